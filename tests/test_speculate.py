"""Searching ahead of the seeker's next message: what was guessed is said at once and is no other than what a search then would say; what
was not leaves nothing behind, in the loop or in the engine."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from clock import event_loop_policy  # noqa: F401 - time limits hold however busy the machine is
from test_search_budget import LLM, Busy, search
from toy import CATALOGUE, COOCCURRENCE, EXAMPLES, LINKER, dialogue
from usbrec import config, stages
from usbrec.assemble import Assembly, Engines, World
from usbrec.cli.chat import _talk
from usbrec.engine import ChatMessage, Completion, Sampling
from usbrec.engines.scripted import ScriptedEngine
from usbrec.errors import EngineError
from usbrec.roles import Reply
from usbrec.roles.catalogue import CatalogueProfiler
from usbrec.search import Search, TreeSearch
from usbrec.search.lane import Lane
from usbrec.search.sameness import same_words
from usbrec.search.speculate import Speculation
from usbrec.seeds import seed_of
from usbrec.types import Dialogue, Profile

ASKED = dialogue("I loved Heat (1995)")
CRIME = "I like crime a lot."
HEARD = "Not that one."
FACTS = CatalogueProfiler(CATALOGUE, LINKER)


@dataclass
class Reads(Busy):
    """Busy, and what it says follows from the prompt, too."""

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        seed = seed_of(sampling.seed, *(message.content for message in messages))
        return await super().chat(messages, n=n, sampling=sampling.model_copy(update={"seed": seed}))


@dataclass
class Says:
    """An internal seeker: in a look-ahead it says HEARD, asked for guesses its answers, one after the other."""

    answers: tuple[str, ...]
    made: list[Profile] = field(default_factory=list)
    """Profiles that it was made from."""
    asked: list[Profile] = field(default_factory=list)
    """Of these, for a guess."""

    def __call__(self, profile: Profile) -> Says:
        self.made.append(profile)
        return self

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        if start == len(dialogue):
            self.asked.append(self.made[-1])
        return self.answers[(len(self.asked) - 1) % len(self.answers)] if start == len(dialogue) else HEARD


def looking(engine: Busy, *answers: str, guesses: int | None = None, use: str = "exact", ahead: dict[str, object] | None = None,
            **settings: object) -> Search:  # fmt: skip
    """A search whose internal seeker gives these answers; without any, the settings' own seeker."""
    played = settings.get("depth", 0) and settings.get("strategy", "tree") in ("chain", "tree", "halving")  # HEARD is the first guess
    speculate = {"guesses": len(answers) + bool(played) if guesses is None else guesses, "use": use, "budget": ahead or {}}
    found = replace(search(engine, speculate=speculate, **settings), facts=FACTS)
    return replace(found, seeker_for=Says(answers)) if answers else found


async def begun(speculation: Speculation, *, seed: int = 2) -> Dialogue:
    """The first reply was said; the dialogue with it."""
    reply = await speculation.reply(ASKED, seed=1)
    said = ASKED.say("recommender", reply.text)
    speculation.said(said, reply, seed=seed)
    return said


async def idle(speculation: Speculation) -> None:
    """Until nothing is searched ahead any more."""
    await until(lambda: not speculation._tasks)


async def until(so: Callable[[], object]) -> None:
    while not so():  # noqa: ASYNC110 - what a fake counts sets no event
        await asyncio.sleep(0)


def calls(engine: Busy) -> int:
    """Replies drawn, and menus weighed."""
    return sum(engine.drawn) + engine.started - len(engine.drawn)


# ---- off, right, wrong ---------------------------------------------------------------------------------------------------------------


async def test_by_default_nothing_is_asked_ahead() -> None:
    engine = Busy()
    speculation = Speculation(search(engine))
    assert TreeSearch().speculate.guesses == 0
    before, tasks = calls(engine), asyncio.all_tasks()
    said = await begun(speculation)
    made = calls(engine)
    speculation.typing("I like")
    assert asyncio.all_tasks() == tasks and made > before
    await asyncio.sleep(0.01)
    assert calls(engine) == made and speculation.spent.calls == 0
    reply = await speculation.reply(said.say("seeker", CRIME), seed=2)
    assert reply == await search(Busy()).reply(said.say("seeker", CRIME), seed=2)
    assert not speculation.prefetched and (speculation.spent.hits, speculation.spent.misses) == (0, 0)


STRATEGIES = ("greedy", "best-of-n", "majority", "chain", "tree", "halving")


@pytest.mark.parametrize("roles", [{}, LLM], ids=["catalogue", "llm"])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_right_guess_is_said_without_another_call(strategy: str, roles: dict[str, str]) -> None:
    """And is what a search says that begins with the message: text, candidates, values, calls."""
    how = {"strategy": strategy, "depth": 1, "width": 2, **roles}
    engine = Reads()
    speculation = Speculation(looking(engine, "Something else?", CRIME, "Who is in it?", **how))
    said = await begun(speculation)
    await idle(speculation)
    made = calls(engine)
    asked = said.say("seeker", CRIME)
    reply = await speculation.reply(asked, seed=2)
    assert speculation.prefetched and calls(engine) == made
    spent, now = speculation.spent, Reads()
    assert reply == await looking(now, CRIME, **how).reply(asked, seed=2)
    assert (spent.hits, spent.misses, spent.faults) == (1, 0, 0) and spent.calls - spent.wasted_calls == calls(now) > 0
    assert 0 < spent.wasted_tokens < spent.tokens and engine.now == 0
    other = said.say("seeker", "Something with Tom Cruise")
    assert reply != await looking(Reads(), CRIME, **how).reply(other, seed=2) or strategy == "greedy"  # it depends on what was said


async def test_a_right_guess_that_is_under_way_is_waited_for_not_asked_again() -> None:
    engine = Reads(pace=0.02)
    speculation = Speculation(looking(engine, CRIME, depth=2))
    asked = (await begun(speculation)).say("seeker", HEARD)
    await until(lambda: engine.now)
    reply = await speculation.reply(asked, seed=2)
    assert speculation.prefetched and reply == await looking(Reads(), CRIME, depth=2).reply(asked, seed=2)
    assert speculation.spent.wasted_calls == 0 and engine.cancelled == 0 and engine.now == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("when", ["at once", "under way", "found"])
async def test_a_wrong_guess_is_dropped_and_the_reply_is_as_if_it_had_never_been(strategy: str, when: str) -> None:
    engine, before = Reads(pace=0.004), asyncio.all_tasks()
    how = {"strategy": strategy, "depth": 2, "width": 2, **LLM}
    speculation = Speculation(looking(engine, CRIME, "What else?", **how))
    asked = (await begun(speculation)).say("seeker", "I'd rather have Toy Story (1995)")
    first = calls(engine)
    if when != "at once":
        await until(lambda: engine.now if when == "under way" else not speculation._tasks)
    reply = await speculation.reply(asked, seed=2)
    assert reply == await looking(Reads(), CRIME, **how).reply(asked, seed=2)
    assert asyncio.all_tasks() == before and engine.now == 0 and engine.free._value == engine.slots
    assert not speculation.prefetched and (speculation.spent.hits, speculation.spent.misses) == (0, 1)
    assert speculation.spent.wasted_calls == speculation.spent.calls
    if reply.search:
        assert first + reply.search.calls <= calls(engine) <= first + reply.search.calls + speculation.spent.calls
    assert bool(speculation.spent.calls) == (when != "at once") and bool(engine.cancelled) == (when == "under way")


async def test_the_real_search_begins_before_the_wrong_one_is_gone() -> None:
    class Sticky(Reads):
        """Takes its time to be cancelled."""

        async def _work(self, tokens: float) -> None:
            try:
                await super()._work(tokens)
            except asyncio.CancelledError:
                await asyncio.sleep(0.2)
                gone.append(len(self.drawn))
                raise

    gone: list[int] = []
    engine = Sticky(pace=0.05, slots=64)
    speculation, before = Speculation(looking(engine, CRIME, strategy="best-of-n")), asyncio.all_tasks()
    asked = (await begun(speculation)).say("seeker", "No.")
    await until(lambda: engine.now)
    made = len(engine.drawn)
    await speculation.reply(asked, seed=2)
    assert gone and min(gone) > made and asyncio.all_tasks() == before
    assert len(gone) == engine.cancelled  # nobody was hurried


async def test_what_was_searched_ahead_of_another_dialogue_or_seed_is_not_said() -> None:
    for spoil in ("seed", "dialogue"):
        engine = Reads()
        speculation = Speculation(looking(engine, CRIME))
        said = await begun(speculation)
        await idle(speculation)
        asked = (said if spoil == "seed" else dialogue("Hello", "What do you like?")).say("seeker", CRIME)
        seed = 3 if spoil == "seed" else 2
        assert await speculation.reply(asked, seed=seed) == await looking(Reads(), CRIME).reply(asked, seed=seed)
        assert not speculation.prefetched


# ---- what is guessed -----------------------------------------------------------------------------------------------------------------


async def test_guesses_come_from_the_look_ahead_and_then_from_the_seeker_of_the_last_searches_profile() -> None:
    engine = Reads()
    speculation = Speculation(looking(engine, guesses=3, depth=1))
    reply = await speculation.reply(ASKED, seed=1)
    assert reply.search is not None
    said = ASKED.say("recommender", reply.text)
    speculation.said(said, reply, seed=2)
    turn = speculation._turn
    await idle(speculation)
    assert turn is not None and 1 <= len(turn.guesses) <= 3
    assert turn.guesses[0].text == reply.search.candidates[reply.search.chosen].children[0].heard
    seeker = Says((CRIME, "Horror, please.", CRIME.upper()))
    speculation = Speculation(replace(looking(engine, guesses=3), seeker_for=seeker))
    reply = await speculation.reply(ASKED, seed=1)
    speculation.said(said, reply, seed=2)
    turn = speculation._turn
    await idle(speculation)
    assert reply.search is not None and seeker.asked == [reply.search.profile] * 3
    assert turn is not None and [guess.text for guess in turn.guesses] == [CRIME, "Horror, please."]  # the third is no other


async def test_a_reply_without_a_search_has_its_dialogue_profiled() -> None:
    engine = Reads()
    speculation = Speculation(looking(engine, CRIME, from_turn=2, **LLM))
    said = await begun(speculation)
    await idle(speculation)
    asked = said.say("seeker", CRIME)
    reply = await speculation.reply(asked, seed=2)
    assert speculation.prefetched and reply.search and reply == await looking(Reads(), CRIME, from_turn=2, **LLM).reply(asked, seed=2)
    assert isinstance(speculation.search.seeker_for, Says) and speculation.search.seeker_for.asked[0].likes == ("heat",)


# ---- which guess answers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Hmm, not quite. What else?", "hmm not quite  what ELSE", True),
        ("It’s a sci-fi!", "it's a sci fi", True),
        ("We're in", "were in", False),
        ("👍", "👎", False),
        ("?!", "...", False),
        ("?!", " ?!", True),
        ("Yes", "Yes please", False),
    ],
)
def test_words_are_the_same_apart_from_case_punctuation_and_spacing(one: str, other: str, same: bool) -> None:
    assert same_words(one, other) == same


@pytest.mark.parametrize(
    ("guess", "message", "exact", "profile"),
    [
        (CRIME, "i like CRIME a lot", True, True),
        (CRIME, "Some crime would be nice", False, True),
        (CRIME, "I don't like crime a lot.", False, False),
        (CRIME, "I like crime and horror.", False, False),
        (CRIME, "Crime from the 1970s", False, False),
        (CRIME, "What else?", False, False),
        ("What else?", "Who is in it?", False, False),  # the same profile, but nothing is wished for
        ("Maybe Alien (1979)?", "alien 1979 maybe", False, True),
        ("Maybe Alien (1979)?", "maybe Alien (1979)", True, True),
        ("I've seen Alien", "I've seen alien", False, False),  # the second names no film
        ("Anything by Ridley Scott?", "nothing by Ridley Scott", False, False),
        ("Anything by Ridley Scott?", "Ridley Scott is good", False, True),
    ],
)
@pytest.mark.parametrize("use", ["exact", "profile"])
async def test_a_guess_is_used_for_the_same_words_or_if_allowed_the_same_wishes(
    guess: str, message: str, exact: bool, profile: bool, use: str
) -> None:
    engine = Reads()
    speculation = Speculation(looking(engine, guess, use=use))
    said = await begun(speculation)
    await idle(speculation)
    reply = await speculation.reply(said.say("seeker", message), seed=2)
    assert speculation.prefetched == (profile if use == "profile" else exact)
    heard = guess if speculation.prefetched else message
    assert reply == await looking(Reads(), guess).reply(said.say("seeker", heard), seed=2)


async def test_without_a_profiler_of_facts_only_the_very_words_are_used() -> None:
    for message, used in ((CRIME, True), (CRIME.lower(), False)):
        speculation = Speculation(replace(looking(Reads(), CRIME, use="profile"), facts=None))
        said = await begun(speculation)
        await idle(speculation)
        await speculation.reply(said.say("seeker", message), seed=2)
        assert speculation.prefetched == used


# ---- typing --------------------------------------------------------------------------------------------------------------------------


async def test_what_is_typed_ends_the_guesses_that_it_rules_out() -> None:
    engine = Reads(pace=0.01)
    speculation = Speculation(looking(engine, "Horror, please.", CRIME, depth=2))
    said = await begun(speculation)
    await until(lambda: engine.now)
    turn = speculation._turn
    speculation.typing(" ")
    assert turn is not None and not turn.guesses[0].task.cancelling()
    speculation.typing("i LIKE  cr")
    await idle(speculation)
    assert [bool(guess.reply) for guess in turn.guesses] == [False, True] and engine.cancelled
    asked = said.say("seeker", CRIME)
    assert await speculation.reply(asked, seed=2) == await looking(Reads(), CRIME, depth=2).reply(asked, seed=2)
    assert speculation.prefetched


async def test_when_no_guess_is_left_what_is_typed_is_read_once() -> None:
    @dataclass
    class Reader:
        read: list[Dialogue] = field(default_factory=list)

        async def sample(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int) -> list[str]:
            self.read.append(dialogue)
            return ["I"]

    reader = Reader()
    speculation = Speculation(replace(looking(Reads(), CRIME, "Horror?"), reader=reader))
    said = await begun(speculation)
    speculation.typing("Is the")
    speculation.typing("Is there")
    await idle(speculation)
    assert reader.read == [said.say("seeker", "Is there")] and speculation.spent.faults == 0
    lively = Speculation(replace(looking(Reads(), CRIME, use="profile"), reader=reader))
    await begun(lively)
    lively.typing("Is there")  # other words may still be the same wish
    await idle(lively)
    assert len(reader.read) == 1


# ---- budget, faults ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3, 8, 20, 60])
async def test_no_more_calls_than_its_own_budget_and_none_off_the_replies(most: int) -> None:
    engine, how = Reads(), {"depth": 1, "budget": {"calls": 30}, **LLM}
    speculation = Speculation(looking(engine, CRIME, "Horror?", "What else?", ahead={"calls": most}, **how))
    said = await begun(speculation)
    made = calls(engine)
    await idle(speculation)
    assert calls(engine) - made == speculation.spent.calls <= most and speculation.spent.faults == 0
    asked = said.say("seeker", HEARD)
    reply = await speculation.reply(asked, seed=2)
    assert reply == await looking(Reads(), CRIME, **how).reply(asked, seed=2)  # what was cut short is not said
    assert reply.search is not None and speculation.prefetched == (reply.search.calls <= most)


async def test_no_more_tokens_or_seconds_than_its_own_budget() -> None:
    speculation = Speculation(looking(Reads(), CRIME, "Horror?", ahead={"tokens": 400}, **LLM))
    await begun(speculation)
    await idle(speculation)
    assert 0 < speculation.spent.tokens <= 400 and speculation.spent.faults == 0
    engine = Reads(pace=0.05)
    speculation = Speculation(looking(engine, CRIME, "Horror?", depth=9, ahead={"seconds": 0.1}))
    said = await begun(speculation)
    turn = speculation._turn
    await asyncio.sleep(0.2)
    assert not speculation._tasks and engine.now == 0 and turn is not None and not any(guess.alive for guess in turn.guesses)
    await speculation.reply(said.say("seeker", CRIME), seed=2)
    assert not speculation.prefetched


async def test_a_guess_that_somebody_waits_for_has_the_budget_of_a_reply() -> None:
    engine = Reads(pace=0.02)
    speculation = Speculation(looking(engine, CRIME, depth=1, ahead={"calls": 9}))
    asked = (await begun(speculation)).say("seeker", HEARD)
    await until(lambda: engine.now)
    reply = await speculation.reply(asked, seed=2)
    assert speculation.prefetched and reply == await looking(Reads(), CRIME, depth=1).reply(asked, seed=2)
    assert reply.search is not None and reply.search.calls > 9


@pytest.mark.parametrize("after", [0, 1, 5])
@pytest.mark.parametrize("answer_anyway", [False, True])
async def test_faults_of_the_engine_stay_in_the_notes(after: int, answer_anyway: bool) -> None:
    engine, before = Reads(pace=0.001), asyncio.all_tasks()
    how = {"depth": 2, **LLM}
    speculation = Speculation(replace(looking(engine, CRIME, "Horror?", **how), answer_anyway=answer_anyway))
    asked = (await begun(speculation)).say("seeker", HEARD)
    engine.fail_after = engine.started + after
    await idle(speculation)
    assert speculation.spent.faults == 1 and "died" in speculation.spent.note  # the second guess is not begun
    engine.fail_after = None
    assert await speculation.reply(asked, seed=2) == await looking(Reads(), CRIME, **how).reply(asked, seed=2)
    assert not speculation.prefetched and asyncio.all_tasks() == before


async def test_a_guess_that_dies_while_it_is_waited_for_is_searched_anew() -> None:
    engine = Reads(pace=0.02)
    speculation = Speculation(looking(engine, CRIME, depth=1))
    asked = (await begun(speculation)).say("seeker", HEARD)
    await until(lambda: engine.now)
    engine.fail_after = engine.started + 3
    waiting = asyncio.create_task(speculation.reply(asked, seed=2))
    await until(lambda: speculation.spent.faults)
    engine.fail_after = None
    assert await waiting == await looking(Reads(), CRIME, depth=1).reply(asked, seed=2) and not speculation.prefetched


async def test_faults_of_the_reply_itself_are_raised() -> None:
    engine, before = Reads(), asyncio.all_tasks()
    speculation = Speculation(looking(engine, CRIME))
    asked = (await begun(speculation)).say("seeker", "No.")
    engine.fail_after = 0
    with pytest.raises(EngineError, match="died"):
        await speculation.reply(asked, seed=2)
    assert asyncio.all_tasks() == before


# ---- several conversations -----------------------------------------------------------------------------------------------------------


async def test_whoever_waits_for_a_reply_comes_first() -> None:
    engine, lane = Reads(pace=0.01), Lane()
    patient = Speculation(looking(engine, CRIME, depth=2), lane)
    await begun(patient)
    await until(lambda: engine.now)
    turn = patient._turn
    with lane.first():
        await asyncio.sleep(0.01)
        assert engine.now == 0 and engine.cancelled and turn is not None and not turn.guesses[0].alive
        made = calls(engine)
        await asyncio.sleep(0.02)
        assert calls(engine) == made and len(turn.guesses) == 1
    await idle(patient)
    assert [guess.alive for guess in turn.guesses] == [False, True]  # given up for good; the next one had its turn


async def test_one_guess_at_a_time_and_one_that_is_waited_for_is_not_given_up() -> None:
    engine, lane = Reads(pace=0.01), Lane()
    one, other = (Speculation(looking(engine, CRIME, depth=2, strategy="chain"), lane) for _ in range(2))
    said = await begun(one)
    await begun(other)
    await until(lambda: engine.now)
    assert [len(s._turn.guesses) for s in (one, other) if s._turn] == [1, 0]
    waiting = asyncio.create_task(one.reply(said.say("seeker", HEARD), seed=2))
    await asyncio.sleep(0)
    with lane.first():
        await asyncio.sleep(0)
    made = engine.started
    await until(lambda: engine.started > made)
    assert not waiting.done() and other._turn is not None and not other._turn.guesses
    await waiting
    assert one.prefetched and engine.cancelled == 0
    await idle(other)
    assert other._turn is not None and other._turn.guesses[0].reply
    await other.close()


# ---- whatever happens ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["chain", "tree", "halving"])
async def test_no_interleaving_leaves_a_task_or_a_slot(strategy: str) -> None:
    """A hundred conversations a strategy, ten at once on a lane: typing, right and wrong answers, callers who go away."""
    engine, lane, before = Reads(pace=0.001, slots=8), Lane(), asyncio.all_tasks()
    expected: dict[tuple[Dialogue, int], Reply] = {}
    answers = (CRIME, "Horror, please.", "What else?")
    how = {"strategy": strategy, "depth": 1, "width": 2, "candidates": 3, **LLM}

    async def talk(number: int) -> int:
        rng = random.Random(f"{strategy} {number}")
        speculation = Speculation(looking(engine, *answers, use=rng.choice(("exact", "profile")), **how), rng.choice((lane, Lane())))
        said, hits = ASKED, 0
        for turn in range(3):
            asking = asyncio.create_task(speculation.reply(said, seed=turn))
            if rng.random() < 0.3:
                await asyncio.sleep(rng.choice((0, 0, 0.001, 0.003)))
                asking.cancel()
                if rng.random() < 0.5:
                    await asyncio.sleep(0)
                    asking.cancel()
                await asyncio.wait({asking})
                if asking.cancelled():
                    asking = asyncio.create_task(speculation.reply(said, seed=turn))
            reply = await asking
            hits += speculation.prefetched
            if rng.random() < 0.2:
                if (said, turn) not in expected:
                    expected[said, turn] = await looking(Reads(), *answers, **how).reply(said, seed=turn)
                assert reply == expected[said, turn]
            said = said.say("recommender", reply.text)
            for _ in range(rng.choice((1, 1, 2))):  # a reply may be told twice
                speculation.said(said, reply, seed=turn + 1)
            text = rng.choice((*answers, CRIME, "No, thanks."))
            for length in sorted(rng.sample(range(len(text)), rng.randrange(4))):
                speculation.typing(text[:length])
                await asyncio.sleep(rng.choice((0, 0, 0.001, 0.01, 0.05)))
            said = said.say("seeker", text)
        if rng.random() < 0.5:
            speculation.said(said.say("recommender", "Bye"), Reply(text="Bye"), seed=9)
            await asyncio.sleep(rng.choice((0, 0.002)))
        await speculation.close()
        assert not speculation._tasks
        return hits

    hits = 0
    for lot in range(0, 100, 10):
        hits += sum(await asyncio.gather(*(talk(number) for number in range(lot, lot + 10))))
    assert asyncio.all_tasks() == before and lane.running is None and not lane._waited_for and not lane._one.locked()
    assert engine.now == 0 and engine.free._value == engine.slots and engine.cancelled and hits


# ---- where it is hooked in -----------------------------------------------------------------------------------------------------------


def test_what_is_off_leaves_the_fingerprints_of_earlier_runs_alone() -> None:
    assert "speculate" not in TreeSearch().model_dump(mode="json")
    on = TreeSearch.model_validate({"speculate": {"guesses": 2}})
    assert TreeSearch.model_validate(on.model_dump(mode="json")) == on
    with pytest.raises(ValueError, match="guesses"):
        TreeSearch.model_validate({"speculate": {"guesses": -1}})


def assembled(engine: ScriptedEngine, **settings: object) -> Search:
    recipe = config.Recipe.model_validate({"name": "t", "data": {"kind": "demo"}, "search": settings})
    splits = {name: list(EXAMPLES) for name in ("train", "valid", "test")}
    return Assembly(recipe, World(splits, CATALOGUE, LINKER, COOCCURRENCE), Engines()).search(engine)


async def test_a_recipes_search_can_compare_messages_and_read_what_is_typed() -> None:
    engine = ScriptedEngine(("What do you like?", "Casino (1995)!"))
    found = assembled(engine, speculate={"guesses": 1, "use": "profile"}, depth=0)
    assert found.facts is not None and (await found.facts.profile(ASKED, seed=0)).likes == ("heat",)
    assert found.reader is not None and await found.reader.sample(ASKED, n=1, temperature=0.0, seed=0) == ["What"]


@pytest.mark.parametrize("guesses", [0, 2])
async def test_the_terminal_searches_ahead_while_the_user_types(
    guesses: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The user says what the look-ahead has heard, once the engine has been asked for a while; then something else."""
    engine = ScriptedEngine(("What do you like?", "Casino (1995)!", "Alien (1979)?"))
    found = assembled(engine, speculate={"guesses": guesses}, depth=1)
    seed = seed_of(0, 1)
    first = await found.reply(ASKED, seed=seed)
    assert first.search is not None
    heard = first.search.candidates[first.search.chosen].children[0].heard
    said = ASKED.say("recommender", first.text).say("seeker", heard)
    second = await found.reply(said, seed=seed_of(0, 3))
    engine.asked.clear()
    lines = [ASKED.messages[0].text, "", heard, "Who is in it?"]
    loop = asyncio.get_running_loop()
    told: list[int] = []

    class Keyboard(io.StringIO):
        def readline(self, size: int = -1, /) -> str:
            if len(told) < 2:
                while guesses and told and len(asyncio.all_tasks(loop)) > 1:  # until nothing but the chat itself is left
                    time.sleep(0.002)
            told.append(len(engine.asked))
            return lines.pop(0) + "\n" if lines else ""

    monkeypatch.setattr("sys.stdin", Keyboard())
    monkeypatch.setattr(config, "stored", lambda *_: None)
    monkeypatch.setattr(stages, "recommender_of", lambda *_: found)
    await _talk(tmp_path, "rl+ses", True, 0)
    shown = capsys.readouterr()
    assert shown.out.splitlines()[:2] == [first.text, second.text] and len(shown.out.splitlines()) == 3
    if guesses:
        ways = [line for line in shown.err.splitlines() if "searched ahead" in line]
        assert ways[:3] == ["not searched ahead", "searched ahead, while you read and typed", "not searched ahead"]
        assert ways[3].startswith("searched ahead: 1 hits, 1 misses; ") and ways[3].endswith("0 faults")
    else:
        assert "searched ahead" not in shown.err
