"""The roles that an LLM plays: recommender, seeker, judge, profiler.

`as_seen_by` is the only place where the domain's two sides become a chat model's roles.  Whoever speaks sees the own turns as `assistant`
and the other side's as `user`; nothing is ever glued onto a message, and an instruction never enters a transcript.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from usbrec import prompts
from usbrec.catalogue import Catalogue
from usbrec.engine import ChatMessage, Choice, Engine, Sampling
from usbrec.errors import EngineReply
from usbrec.linking import Linker
from usbrec.prompts import render
from usbrec.roles import Reply
from usbrec.roles.catalogue import OFFER, CatalogueProfiler, named_items, target_hit
from usbrec.roles.settings import JudgeSettings, SeekerSettings, Wording
from usbrec.roles.unsaid import Unsaid, strings_of
from usbrec.seeds import seed_of
from usbrec.types import Dialogue, Item, Profile, Score, Side

MENU = ("0", "1", "2")
RUBRICS: dict[Wording, str] = {"full": "judge", "short": "judge_short", "steps": "judge_steps"}
"""The prompt of each wording."""
_NOISE = re.compile(r"\s+")
_OPEN = re.compile(r"(?:^|\n)\s*\w*\s*$")
"""The first word of a line, before it is known not to be a role label."""
HintsFor = Callable[[Dialogue], Awaitable[Sequence[str]]]
"""From a dialogue to the names of items worth considering; knows nothing but the dialogue."""


def as_seen_by(side: Side, dialogue: Dialogue, system: str, *, history: int | None = None) -> list[ChatMessage]:
    """The chat that a model playing `side` is given: system, then alternating user and assistant messages.

    Several messages in a row of one side become one message, lines joined, since many chat templates demand alternation.

    Args:
        history: keep at most this many of the latest messages; None keeps all.
    """
    messages = [ChatMessage(role="system", content=system)]
    recent = dialogue.messages[-history:] if history else dialogue.messages
    for message in recent:
        role: Literal["assistant", "user"] = "assistant" if message.side == side else "user"
        if messages[-1].role == role:
            messages[-1] = ChatMessage(role=role, content=f"{messages[-1].content}\n{message.text}")
        else:
            messages.append(ChatMessage(role=role, content=message.text))
    return messages


def transcript(dialogue: Dialogue) -> str:
    """The dialogue as lines of text, for prompts that talk *about* it."""
    names = {"seeker": "Seeker", "recommender": "Recommender"}
    return "\n".join(f"{names[m.side]}: {m.text}" for m in dialogue.messages) or "(nothing yet)"


def describe(items: Sequence[Item]) -> str:
    """Wished-for items as a list for a prompt: name, genres, people."""
    lines = []
    for item in items:
        facts = [", ".join(item.genres[:4]), f"by {item.directors[0]}" if item.directors else "", ", ".join(item.stars[:3])]
        told = "; ".join(fact for fact in facts if fact)
        lines.append(f"- {item.name}{f' [{told}]' if told else ''}")
    return "\n".join(lines)


def clean(text: str) -> str:
    """A reply as it enters a dialogue: one paragraph, no role label in front, none invented behind."""
    text = re.split(r"\n\s*(?:Seeker|User|Recommender|Assistant|Human)\s*:", text.strip())[0]
    text = re.sub(r"^(?:Seeker|User|Recommender|Assistant)\s*:\s*", "", text)
    return _NOISE.sub(" ", text).strip()


@dataclass(frozen=True)
class LLMRecommender:
    """The recommender LLM: greedy in `reply`, sampled in `sample`."""

    engine: Engine
    noun: str = "film"
    nouns: str = "films"
    max_tokens: int = 48
    history: int | None = 12
    temperature: float = 0.0
    hints_for: HintsFor | None = None
    """Puts items from a retriever into the prompt; None: the model is on its own, as in the paper."""
    redraws: int = 0
    """Draws in place of a reply that repeats what was said; needs the linker."""
    linker: Linker | None = None

    def messages(self, dialogue: Dialogue, hints: Sequence[str] = ()) -> list[ChatMessage]:
        """Exactly the messages that SFT and SimPO train on."""
        return recommender_messages(dialogue, noun=self.noun, nouns=self.nouns, history=self.history, hints=hints)

    async def reply(self, dialogue: Dialogue, *, seed: int, hear: Callable[[str], None] | None = None) -> Reply:
        """As the protocol's.

        Args:
            hear: is told how the reply begins, again and again while the model writes it; nothing where it may still be drawn anew.
        """
        if hear:
            texts = await self._written(dialogue, seed, hear)
        else:
            texts = await self.sample(dialogue, n=1, temperature=self.temperature, seed=seed)
        if not texts:  # a model that ends at once is asked again, at a temperature at which it may say something
            texts = await self.sample(dialogue, n=3, temperature=self._warm, seed=seed_of(seed, "again"))
        if not texts:
            raise EngineReply("the model's reply was empty four times in a row", where=self.engine.name)
        if self.redraws and self.linker and repeats(texts[0], dialogue, self.linker):
            texts += await self.sample(dialogue, n=self.redraws, temperature=self._warm, seed=seed_of(seed, "redraw"))
            return Reply(text=_most_new(texts, dialogue, self.linker))
        return Reply(text=texts[0])

    async def _written(self, dialogue: Dialogue, seed: int, hear: Callable[[str], None]) -> list[str]:
        hints = await self.hints_for(dialogue) if self.hints_for else ()
        sampling, text = Sampling(temperature=self.temperature, max_tokens=self.max_tokens, seed=seed), ""
        async for piece in self.engine.stream(self.messages(dialogue, hints), sampling=sampling):
            text += piece
            settled = clean(_OPEN.sub("", text))
            if settled and self._stands(settled, dialogue):
                hear(settled)
        return [said] if (said := clean(text)) else []

    def _stands(self, begun: str, dialogue: Dialogue) -> bool:
        """Is a reply that begins so said, whatever follows?"""
        if not (self.redraws and self.linker):
            return True
        offers = not named_items(dialogue, self.linker).issuperset(self.linker.items(begun))
        return offers and not any(said.startswith(begun) for said in dialogue.of("recommender"))

    @property
    def _warm(self) -> float:
        return max(self.temperature, 0.5)

    async def sample(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int) -> list[str]:
        hints = await self.hints_for(dialogue) if self.hints_for else ()
        return await self.sample_with(hints, dialogue, n=n, temperature=temperature, seed=seed)

    def hinted(self, names: Sequence[str]) -> LLMRecommender:
        """The same recommender with these items' names in every prompt."""

        async def hints(_: Dialogue) -> Sequence[str]:
            return names

        return replace(self, hints_for=hints)

    async def sample_with(self, hints: Sequence[str], dialogue: Dialogue, *, n: int, temperature: float, seed: int) -> list[str]:
        """As `sample`, with these items' names in the prompt."""
        drawn = await self._draw(hints, dialogue, n, Sampling(temperature=temperature, max_tokens=self.max_tokens, seed=seed))
        return [text for text, _ in drawn]

    async def sample_scored(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int) -> list[tuple[str, float | None]]:
        """As `sample`, each reply with its mean log-probability a token."""
        hints = await self.hints_for(dialogue) if self.hints_for else ()
        sampling = Sampling(temperature=temperature, max_tokens=self.max_tokens, seed=seed, logprobs=True)
        return await self._draw(hints, dialogue, n, sampling)

    async def _draw(self, hints: Sequence[str], dialogue: Dialogue, n: int, sampling: Sampling) -> list[tuple[str, float | None]]:
        completions = await self.engine.chat(self.messages(dialogue, hints), n=n, sampling=sampling)
        return [(text, c.logprob) for text, c in ((clean(c.text), c) for c in completions) if text]


def repeats(text: str, dialogue: Dialogue, linker: Linker) -> bool:
    """Does a reply offer only items that were named already, or say the recommender's own words once more?"""
    items = linker.items(text)
    return (bool(items) and named_items(dialogue, linker).issuperset(items)) or text in dialogue.of("recommender")


def _most_new(texts: Sequence[str], dialogue: Dialogue, linker: Linker) -> str:
    """The first that offers something new; else the first that repeats nothing; else the first."""
    named = named_items(dialogue, linker)
    fresh = (text for text in texts if not named.issuperset(linker.items(text)))
    return next(fresh, None) or next((text for text in texts if not repeats(text, dialogue, linker)), texts[0])


@dataclass(frozen=True)
class GuidedReplies:
    """Candidates for the search that put the right items before the model: one reply for each of the retriever's best items.

    The model writes every reply itself, with that one item in its prompt; it may decline to use it.
    """

    recommender: LLMRecommender
    retrieve: Callable[[Dialogue, int], Awaitable[Sequence[str]]]
    """The names of up to so many items, best first."""

    async def sample(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int, skip: int = 0) -> list[str]:
        """n replies, one for each of the retriever's items from number `skip` on; fewer where it knows fewer."""
        names = (await self.retrieve(dialogue, skip + n))[skip:]
        drawn = [self.recommender.sample_with([name], dialogue, n=1, temperature=temperature, seed=seed_of(seed, name)) for name in names]
        return [text for texts in await asyncio.gather(*drawn) for text in texts]


def recommender_messages(dialogue: Dialogue, *, noun: str, nouns: str, history: int | None, hints: Sequence[str] = ()) -> list[ChatMessage]:
    """The recommender's view of a dialogue, the same in training and at inference.  A dialogue that has not begun opens with "Hi".

    Args:
        hints: names of items that a retriever proposes; empty for the plain prompt.
    """
    chat = as_seen_by("recommender", dialogue, render("recommender", item=noun, items=nouns), history=history)
    if chat[-1].role != "user":
        chat.append(ChatMessage(role="user", content="Hi"))
    if hints:  # last, so that prompts with and without hints share everything before, in the engine's prefix cache
        chat.append(ChatMessage(role="system", content=render("recommender_hints", names="; ".join(hints))))
    return chat


@dataclass(frozen=True)
class LLMSeeker:
    """The paper's user simulator: an LLM that knows the targets.  What it says is filtered for their titles before anyone reads it."""

    engine: Engine
    catalogue: Catalogue
    linker: Linker
    targets: tuple[str, ...]
    noun: str = "film"
    max_tokens: int = 60
    temperature: float = 0.7
    attempts: int = 3
    checked: bool = False
    """It paraphrases: the targets' genres and people are filtered as their titles are."""

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        wanted = [self.catalogue[t] for t in self.targets]
        chat = as_seen_by("seeker", dialogue, render(_seeker_prompt(self.checked), item=self.noun, wishes=describe(wanted)))
        named = frozenset(self.linker.leaks(dialogue, self.targets))
        secret = tuple(t for t in self.targets if t not in named)
        unsaid = Unsaid(self.linker, secret, strings_of(wanted if self.checked else ()))
        spoken = ""
        for attempt in range(self.attempts):
            sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens, seed=seed_of(seed, "again", attempt))
            text = clean((await self.engine.chat(chat, sampling=sampling))[0].text)
            if text and not unsaid.told(text):
                return text
            spoken = spoken or text
        if not spoken:
            raise EngineReply("the simulated seeker said nothing", where=self.engine.name)
        return unsaid.masked(spoken)


def _seeker_prompt(checked: bool) -> str:
    return "seeker_paraphrase" if checked else "seeker"


@dataclass(frozen=True)
class LLMProfileSeeker:
    """The internal simulator of the search (docs/method.md, SES): knows a summary of the dialogue, nothing else."""

    engine: Engine
    profile: Profile
    noun: str = "film"
    max_tokens: int = 60
    temperature: float = 0.7

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        chat = as_seen_by("seeker", dialogue, render("seeker_profile", item=self.noun, summary=self.profile.summary))
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens, seed=seed)
        text = clean((await self.engine.chat(chat, sampling=sampling))[0].text)
        if not text:
            raise EngineReply("the internal seeker said nothing", where=self.engine.name)
        return text


@dataclass(frozen=True)
class LLMProfiler:
    """Summarises the seeker's preference in words; the linked items come from the catalogue profiler."""

    engine: Engine
    facts: CatalogueProfiler
    noun: str = "film"
    max_tokens: int = 96

    async def profile(self, dialogue: Dialogue, *, seed: int) -> Profile:
        prompt = render("profiler", item=self.noun, transcript=transcript(dialogue))
        chat = [ChatMessage(role="user", content=prompt)]
        completion, facts = await asyncio.gather(
            self.engine.chat(chat, sampling=Sampling(max_tokens=self.max_tokens, seed=seed)), self.facts.profile(dialogue, seed=seed)
        )
        summary = clean(completion[0].text)
        return facts.model_copy(update={"summary": summary}) if summary else facts


@dataclass(frozen=True)
class LLMJudge:
    """The paper's rubric, 0/1/2 (Eq. 1 of the paper), by the exact distribution over the menu (`choose`) or by n sampled votes."""

    engine: Engine
    catalogue: Catalogue
    targets: tuple[str, ...]
    method: Literal["choose", "vote"] = "choose"
    votes: int = 10
    least_mass: float = 0.5
    """Below this share of probability on the menu the model is not answering the question: no verdict."""
    wording: Wording = "full"
    linker: Linker | None = None
    """Cuts the reply that is graded before its second new item; None shows all of it."""
    name: str = "llm"

    async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
        before, reply = _split(dialogue)
        if self.linker:
            reply = that_counts(before, reply, self.linker)
        wishes = describe([self.catalogue[t] for t in self.targets])
        prompt = render(RUBRICS[self.wording], wishes=wishes, transcript=transcript(before), reply=reply)
        return await verdict(self.engine, prompt, self, seed)


@dataclass(frozen=True)
class LLMProfileJudge:
    """The search's own judge: the rubric against a summary instead of the targets."""

    engine: Engine
    profile: Profile
    method: Literal["choose", "vote"] = "choose"
    votes: int = 10
    least_mass: float = 0.5
    name: str = "llm"

    async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
        before, reply = _split(dialogue)
        prompt = render("judge_profile", summary=self.profile.summary, transcript=transcript(before), reply=reply)
        return await verdict(self.engine, prompt, self, seed)


@dataclass(frozen=True)
class GroundedJudge:
    """Rules first: an offered target is 2, nothing new is 0.  The LLM decides only the rest, and only between 0 and 1: its 2 counts as 1.

    A miss that an LLM calls better than what was wished for would else stand beside a hit, and by a majority of votes many do
    (`docs/experiments/calibration`); so would a list whose target comes too late to count.
    """

    llm: LLMJudge
    linker: Linker
    name: str = "grounded"

    async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
        hit, fresh = target_hit(dialogue, self.llm.targets, self.linker)
        if hit:
            return Score(value=2, reason="a target is offered", judge=self.name, hit=True, items=fresh)
        if not fresh:
            return Score(value=0, reason="nothing new is offered", judge=self.name)
        score = await self.llm.score(dialogue, start=start, seed=seed)
        return _of_a_miss(score).model_copy(update={"judge": self.name, "items": fresh})


def _of_a_miss(score: Score) -> Score:
    """The verdict of an LLM whose 2 counts as 1: every vote and every share of probability, before they are counted."""
    votes = tuple(vote and min(vote, 1) for vote in score.votes)
    if not score.scored:
        return score.model_copy(update={"votes": votes})
    if votes:
        return tally(votes, score.judge)
    worse, comparable, better = score.probabilities
    return score.model_copy(update={"value": comparable + better, "probabilities": (worse, comparable + better, 0.0)})


def asked(judges: Sequence[JudgeSettings], seeker: SeekerSettings | None = None) -> dict[str, str]:
    """For fingerprints: the prompts and rules of those who answer the recommender, where they are LLMs."""
    rubrics = [RUBRICS[judge.wording] for judge in judges if judge.kind != "catalogue"]
    rules = {"miss": "at most 1"} if any(judge.kind == "grounded" for judge in judges) else {}
    spoken = [_seeker_prompt(seeker.checked)] if seeker and seeker.kind == "llm" else []
    return prompts.digests_of(*spoken, *rubrics) | rules | {"counted": OFFER}


def that_counts(before: Dialogue, reply: str, linker: Linker) -> str:
    """A reply up to where it names a second new item, so that a list of titles buys no grade; the whole of any other."""
    named, offered = named_items(before, linker), ""
    for mention in linker.mentions(reply):
        if mention.item is None or mention.item in named:
            continue
        offered = offered or mention.item
        if mention.item != offered:
            return reply[: mention.start].rstrip(" ,;:-–") + " [...]"
    return reply


async def verdict(engine: Engine, prompt: str, judge: LLMJudge | LLMProfileJudge, seed: int) -> Score:
    """One rubric question answered, by the judge's method."""
    chat = [ChatMessage(role="user", content=prompt)]
    if judge.method == "vote":
        sampling = Sampling(temperature=1.0, max_tokens=4, seed=seed)
        completions = await engine.chat(chat, n=judge.votes, sampling=sampling)
        return tally([read_vote(c.text) for c in completions], judge.name)
    return expectation(await engine.choose(chat, MENU), judge.name, judge.least_mass)


def expectation(choice: Choice, name: str, least_mass: float) -> Score:
    """The expected grade of a distribution over the menu; no verdict where too little mass is on it."""
    common = {"judge": name, "probabilities": choice.probabilities, "menu_mass": choice.mass}
    if choice.mass < least_mass:
        reason = f"only {choice.mass:.1%} of the model's probability is on the menu 0/1/2 (at least {least_mass:.0%} wanted)"
        return Score.model_validate({"value": None, "reason": reason, **common})
    value = sum(grade * p for grade, p in enumerate(choice.probabilities))
    reason = "expected grade" if choice.exact else f"estimated: {choice.note}"
    return Score.model_validate({"value": value, "reason": reason, **common})


def tally(votes: Sequence[int | None], name: str) -> Score:
    """The majority of the readable votes (ties: the lower grade); no verdict when fewer than half can be read."""
    readable = Counter(vote for vote in votes if vote is not None)
    if 2 * sum(readable.values()) < len(votes) or not readable:
        reason = f"only {sum(readable.values())} of {len(votes)} votes could be read"
        return Score(value=None, reason=reason, judge=name, votes=tuple(votes))
    most = max(readable.values())
    value = min(vote for vote, count in readable.items() if count == most)
    return Score(value=value, reason=f"{most} of {len(votes)} votes", judge=name, votes=tuple(votes))


def read_vote(text: str) -> int | None:
    """A vote is a reply that *is* a grade, or begins with one that stands alone; "The 2 films deserve 0" is no vote."""
    found = re.match(r"^\s*[\"'(*]*([012])(?![\d.,/]*\d)[\"')*.:]*(?:\s|$)", text)
    if not found:
        return None
    rest = text[found.end() :].strip()
    return int(found[1]) if not rest or not re.match(r"^(?:films?|movies?|of|out|or|to|-|/)\b", rest, re.IGNORECASE) else None


def _split(dialogue: Dialogue) -> tuple[Dialogue, str]:
    last = dialogue.messages[-1]
    if last.side != "recommender":
        raise ValueError("a judge scores a dialogue that ends with the recommender")
    return Dialogue(messages=dialogue.messages[:-1]), last.text
