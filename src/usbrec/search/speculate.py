"""Searching ahead: while the seeker reads and types, their likely answers are guessed and searched, in case one of them comes.

A conversation with a person owns one `Speculation`, a recommender around a `Search`.  `said` tells it that a reply was said: the internal
seeker, who knows the profile of the dialogue and nothing else, guesses answers (first those that the look-ahead behind that very reply has
played), and the search runs on one after the other.  `typing` tells it what is typed so far: guesses that this rules out are given up.
With the message itself, `reply` says what was searched ahead if a guess is as good as the message (`SpeculateSettings.use`), waiting for
it if it is still under way; else all is cancelled, in the engine too, and the search begins at once with a budget and a seed of its own:
for the same words the reply is the same, prefetched or not.

Nobody waits for a guess, so nobody may wait because of one.  Speculation takes its turn on a `Lane`: one guess at a time, only while no
reply is asked for, and given up when one is.  It has a budget of its own, and its faults are noted in `spent`, never raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from usbrec.engines.metered import BudgetSpent, Meter, metering
from usbrec.errors import EngineError
from usbrec.roles import Reply
from usbrec.search import Search
from usbrec.search.lane import Lane, cancel
from usbrec.search.sameness import same_profile, same_wishes, same_words, words_of
from usbrec.seeds import seed_of
from usbrec.types import Dialogue


@dataclass
class Spent:
    """What the speculation of one conversation came to."""

    hits: int = 0
    """Messages that a guess answered."""
    misses: int = 0
    """Messages for which none did."""
    faults: int = 0
    note: str = ""
    """The latest fault."""
    meters: list[Meter] = field(default_factory=list)
    used: list[Meter] = field(default_factory=list)
    """Those of the guesses that were said."""

    @property
    def calls(self) -> int:
        """All that were made ahead, as `BudgetSettings.calls` counts them."""
        return sum(meter.calls for meter in self.meters)

    @property
    def tokens(self) -> int:
        """Prompt and generated; those of a cancelled call are not known, and not in it."""
        return sum(meter.tokens for meter in self.meters)

    @property
    def wasted_calls(self) -> int:
        """Made for what was not said."""
        return self.calls - sum(meter.calls for meter in self.used)

    @property
    def wasted_tokens(self) -> int:
        return self.tokens - sum(meter.tokens for meter in self.used)


@dataclass(eq=False)
class Guess:
    """An answer that the seeker may give, and the reply to it once it is found."""

    text: str
    task: asyncio.Task[None]
    meter: Meter
    tight: bool
    """The meter allows less than the reply's own budget would."""
    reply: Reply | None = None

    @property
    def alive(self) -> bool:
        """There is a reply, or there may still be one."""
        return self.reply is not None or not (self.task.done() or self.task.cancelling() or self.cut)

    @property
    def cut(self) -> bool:
        """The speculation's budget has kept the search from a call."""
        return self.tight and self.meter.refused > 0


@dataclass(eq=False)
class _Turn:
    """From a reply to the seeker's next message."""

    dialogue: Dialogue
    reply: Reply
    seed: int
    guesses: list[Guess] = field(default_factory=list)
    meters: list[Meter] = field(default_factory=list)
    typed: str = ""
    over: bool = False
    """The budget is spent, or a fault came: nothing more is begun."""


@dataclass(eq=False)
class Speculation:
    """The searching recommender of one conversation, searching ahead.  Whoever makes it closes it."""

    search: Search
    lane: Lane = field(default_factory=Lane)
    spent: Spent = field(default_factory=Spent)
    prefetched: bool = False
    """The latest reply was searched ahead, or at least begun."""

    def __post_init__(self) -> None:
        self._settings = self.search.settings.speculate
        self._turn: _Turn | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- the conversation ------------------------------------------------------------------------------------------------------------

    def said(self, dialogue: Dialogue, reply: Reply, *, seed: int) -> None:
        """A reply was said: begins to search ahead, in the background.

        Args:
            dialogue: ends with that reply.
            seed: that `reply` will be given with the next message; with another one nothing searched ahead is used.
        """
        self._give_up()
        if self._settings.guesses:
            self._turn = _Turn(dialogue, reply, seed)
            self._start(self._search_ahead(self._turn))

    def typing(self, text: str) -> None:
        """The seeker has typed so much by now.  With `exact`, guesses under way that do not begin so are given up."""
        if (turn := self._turn) is None:
            return
        turn.typed = text.strip()
        for guess in turn.guesses:
            if not self._fits(guess.text, turn):
                cancel(guess.task)

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        """As `Search.reply`; at once where the message was guessed.

        Raises:
            EngineError: as `Search.reply`; never from speculation.
        """
        turn, self._turn, self.prefetched = self._turn, None, False
        try:
            guess = await self._right(turn, dialogue, seed) if turn else None
            if guess and (found := await self._finished(guess)):
                self.prefetched = True
                self.spent.hits += 1
                self.spent.used.append(guess.meter)
                return found
            self.spent.misses += turn is not None
            with self.lane.first():  # what is still searched ahead is given up
                return await self.search.reply(dialogue, seed=seed)
        finally:
            await self.close()

    async def close(self) -> None:
        """Gives up what is under way, and waits until it is gone; idempotent."""
        self._give_up()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _give_up(self) -> None:
        self._turn = None
        for task in self._tasks:
            cancel(task)

    # ---- which guess answers ---------------------------------------------------------------------------------------------------------

    async def _right(self, turn: _Turn, dialogue: Dialogue, seed: int) -> Guess | None:
        """The guess whose reply may be said: of the very same text, else of the same words, else, where allowed, of the same wishes."""
        if not dialogue.messages or dialogue.messages[:-1] != turn.dialogue.messages or seed != turn.seed:
            return None
        text, alive = dialogue.messages[-1].text, [guess for guess in turn.guesses if guess.alive]
        same = next((guess for guess in alive if guess.text == text), None)
        if same or (facts := self.search.facts) is None:
            return same
        alike = [guess for guess in alive if same_words(guess.text, text)]
        if self._settings.use == "profile":
            alike += [guess for guess in alive if await same_wishes(facts, guess.text, text)]
        for guess in alike:
            if await same_profile(facts, turn.dialogue, guess.text, text):
                return guess
        return None

    async def _finished(self, guess: Guess) -> Reply | None:
        """The guess's reply; one still under way is somebody's reply from now on, with the budget of one.  None where it came to naught."""
        if guess.task.done() or guess.cut:
            return guess.reply
        if self.lane.running is guess.task:
            self.lane.running = None
        own = self.search.budget
        guess.meter.most_calls, guess.meter.most_tokens, guess.tight = own.calls, own.tokens, False
        with self.lane.first():
            await asyncio.wait({guess.task})
        return guess.reply

    # ---- in the background -----------------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _search_ahead(self, turn: _Turn) -> None:
        try:
            async with asyncio.timeout(self._settings.budget.seconds):
                for number in range(self._settings.guesses):
                    await self._in_a_lull(turn, number)
                if turn.typed and not any(guess.reply for guess in turn.guesses):
                    await self._in_a_lull(turn, None)
        except TimeoutError:
            turn.over = True

    async def _in_a_lull(self, turn: _Turn, number: int | None) -> None:
        """Guess number so and so; None: reads what is typed so far."""
        async with self.lane.lull():
            if turn.over:
                return
            task = self.lane.running = self._start(self._quietly(turn, number))
            try:
                await asyncio.wait({task})
            finally:
                if self.lane.running is task:  # else it became somebody's reply
                    self.lane.running = None
                    cancel(task)

    async def _quietly(self, turn: _Turn, number: int | None) -> None:
        try:
            await (self._read(turn) if number is None else self._guess(turn, number))
        except BudgetSpent:
            turn.over = True
        except Exception as fault:  # whatever it was, nobody has asked for this
            turn.over = True
            self.spent.faults += 1
            self.spent.note = str(fault)

    async def _guess(self, turn: _Turn, number: int) -> None:
        """Guesses an answer and searches on from it."""
        text = await self._answer(turn, number)
        if any(same_words(text, guess.text) for guess in turn.guesses) or not self._fits(text, turn):
            return
        task, own, meter = asyncio.current_task(), self.search.budget, self._meter(turn)
        assert task is not None
        meter.most_calls, meter.most_tokens = most = _least(meter.most_calls, own.calls), _least(meter.most_tokens, own.tokens)
        guess = Guess(text, task, meter, tight=most != (own.calls, own.tokens))
        turn.guesses.append(guess)
        reply = None
        ahead = replace(self.search, meter=meter, answer_anyway=False)  # what a fault has spoilt is not said: the message is searched anew
        try:
            with metering(meter):
                reply = await ahead.reply(turn.dialogue.say("seeker", text), seed=turn.seed)
        except EngineError:
            if not guess.cut:
                raise
        if guess.cut:
            raise BudgetSpent("the speculation's budget is spent")
        guess.reply = reply

    async def _answer(self, turn: _Turn, number: int) -> str:
        """What the internal seeker says next: first what the look-ahead has heard after this reply."""
        trace = turn.reply.search
        heard = list(dict.fromkeys(node.heard for node in trace.candidates[trace.chosen].children)) if trace else []
        if number < len(heard):
            return heard[number]
        seed = seed_of(turn.seed, "guess", number)
        with metering(self._meter(turn)):
            profile = trace.profile if trace and trace.profile.summary else await self.search.profiler.profile(turn.dialogue, seed=seed)
            return await self.search.seeker_for(profile).respond(turn.dialogue, start=len(turn.dialogue), seed=seed)

    async def _read(self, turn: _Turn) -> None:
        """The dialogue with what is typed so far goes into the engine's prefix cache: the message will begin so."""
        if self.search.reader is not None:
            with metering(self._meter(turn)):
                await self.search.reader.sample(turn.dialogue.say("seeker", turn.typed), n=1, temperature=0.0, seed=turn.seed)

    def _fits(self, text: str, turn: _Turn) -> bool:
        """May this still become the message?"""
        return self._settings.use == "profile" or words_of(text).startswith(words_of(turn.typed))

    def _meter(self, turn: _Turn) -> Meter:
        """Allows what is left of the budget of this turn.

        Raises:
            BudgetSpent: nothing is left.
        """
        budget = self._settings.budget
        calls = None if budget.calls is None else budget.calls - sum(meter.calls for meter in turn.meters)
        tokens = None if budget.tokens is None else budget.tokens - sum(meter.tokens for meter in turn.meters)
        if any(left is not None and left <= 0 for left in (calls, tokens)):
            raise BudgetSpent("the speculation's budget is spent")
        meter = Meter(most_calls=calls, most_tokens=tokens)
        turn.meters.append(meter)
        self.spent.meters.append(meter)
        return meter


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)
