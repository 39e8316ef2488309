"""SES, the Self-Enhancement Strategy (METHOD 1.4): search for the best reply at inference.

The search takes a `Dialogue`, not an `Example`: it cannot see a target.  It is itself a `Recommender`.

1. A profiler summarises the seeker's preference, the latest message included; meanwhile the greedy reply and n samples are drawn.
2. Samples that offer the same items are merged; how many were merged is kept as a vote of the model for itself.
3. Each candidate is judged against the profile, and with depth d > 0 played on: the internal seeker answers, the recommender draws w
   replies, each judged in turn, d times.  Values are backed up: a node's value is the mean (or the maximum) of its own score and of
   its children's backed-up values.
4. The best candidate is said; ties go to the one sampled more often, then to the greedy reply.  Where nothing can be scored, the greedy
   reply is said and the trace says so: never an empty reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from usbrec.errors import EngineReply
from usbrec.linking import Linker
from usbrec.roles import Judge, ProfileJudgeFor, Profiler, ProfileSeekerFor, Reply, SampleReplies, SamplingRecommender, Seeker
from usbrec.roles.settings import Settings
from usbrec.seeds import seed_of
from usbrec.types import Candidate, Dialogue, Message, Profile, Score, SearchTrace


class SearchSettings(Settings):
    """The search, as it stands in a recipe."""

    strategy: Literal["tree", "majority"] = "tree"
    """`tree`: judged and, with depth, played forward; `majority`: the most often sampled offer, no judge (self-consistency)."""
    candidates: int = Field(default=8, ge=1)
    """First replies sampled, besides the greedy one."""
    temperature: float = Field(default=0.5, ge=0)
    """Of the candidates; the paper found 0.5 best."""
    guided: int = Field(default=0, ge=0)
    """Further candidates: so many of the retriever's best items are put before the model, one a prompt; 0 is the paper's setting."""
    depth: int = Field(default=1, ge=0)
    """Turns of look-ahead after the candidate."""
    width: int = Field(default=1, ge=1)
    """Replies drawn at each turn of the look-ahead; above 4 hurts, by the paper."""
    backup: Literal["mean", "max"] = "mean"
    """How values travel up the tree."""
    consensus: float = Field(default=0.0, ge=0)
    """Added to a candidate's value: this times its share of the samples."""
    from_turn: int = Field(default=0, ge=0)
    """Search only once the seeker has spoken so often; before that the greedy reply is said."""
    profiler: Literal["catalogue", "llm"] = "catalogue"
    """Who reads the preference out of the dialogue."""
    seeker: Literal["catalogue", "llm"] = "catalogue"
    """The internal simulator, which knows the profile only."""
    judge: Literal["catalogue", "llm"] = "catalogue"
    """Who scores a candidate against the profile."""
    method: Literal["choose", "vote"] = "choose"
    """Of an `llm` judge: exact scores, or votes."""
    votes: int = Field(default=10, ge=1)
    """Of an `llm` judge that votes."""


@dataclass(frozen=True)
class Search:
    """The searching recommender.

    Args:
        guided: draws replies with retrieved items in the prompt (see `SearchSettings.guided`); None where there is no retriever.
    """

    recommender: SamplingRecommender
    profiler: Profiler
    seeker_for: ProfileSeekerFor
    judge_for: ProfileJudgeFor
    linker: Linker
    settings: SearchSettings
    guided: SampleReplies | None = None

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        if len(dialogue.of("seeker")) < self.settings.from_turn:
            return await self.recommender.reply(dialogue, seed=seed)
        trace = await self.search(dialogue, seed=seed)
        return Reply(text=trace.candidates[trace.chosen].text, search=trace)

    async def search(self, dialogue: Dialogue, *, seed: int) -> SearchTrace:
        """The whole tree over one dialogue.

        Raises:
            EngineReply: not even the greedy reply could be had.
        """
        profile, texts = await asyncio.gather(self.profiler.profile(dialogue, seed=seed_of(seed, "profile")), self._draw(dialogue, seed))
        candidates = merge(texts, self.linker)
        if self.settings.strategy == "majority" or len(candidates) == 1:
            return self._trace(profile, candidates)
        seeker, judge = self.seeker_for(profile), self.judge_for(profile)
        judged = [self._judge(dialogue, c, seeker, judge, seed_of(seed, "branch", c.text)) for c in candidates]
        return self._trace(profile, list(await asyncio.gather(*judged)))

    async def _draw(self, dialogue: Dialogue, seed: int) -> list[str]:
        """The greedy reply first (where there is one), then the samples."""
        settings, warm = self.settings, self.settings.temperature
        # The greedy reply first: the engine then has the dialogue's prefix, which every later candidate shares.
        texts = list(await self.recommender.sample(dialogue, n=1, temperature=0.0, seed=seed))
        draws = [self.recommender.sample(dialogue, n=settings.candidates, temperature=warm, seed=seed_of(seed, "candidates"))]
        if self.guided and settings.guided:
            draws.append(self.guided.sample(dialogue, n=settings.guided, temperature=warm, seed=seed_of(seed, "guided")))
        texts += [text for drawn in await asyncio.gather(*draws) for text in drawn]
        if not texts:
            raise EngineReply("every candidate and the greedy reply were empty")
        return texts

    async def _judge(self, dialogue: Dialogue, candidate: Candidate, seeker: Seeker, judge: Judge, seed: int) -> Candidate:
        """The candidate with its backed-up score and the first line that was played after it."""
        said = dialogue.say("recommender", candidate.text)
        score, line = await self._value(said, len(dialogue), self.settings.depth, seeker, judge, seed)
        return candidate.model_copy(update={"score": score, "continuation": line})

    async def _value(
        self, dialogue: Dialogue, start: int, depth: int, seeker: Seeker, judge: Judge, seed: int
    ) -> tuple[Score, tuple[Message, ...]]:
        """(backed-up score of the last reply, the messages played after it along the first child)."""
        own = judge.score(dialogue, start=start, seed=seed_of(seed, "judge", depth))
        if depth == 0:
            return await own, ()
        score, answer = await asyncio.gather(own, seeker.respond(dialogue, start=start, seed=seed_of(seed, "seeker", depth)))
        heard = dialogue.say("seeker", answer)
        replies = await self.recommender.sample(
            heard, n=self.settings.width, temperature=self.settings.temperature, seed=seed_of(seed, "reply", depth)
        )
        children = await asyncio.gather(
            *(
                self._value(heard.say("recommender", text), start, depth - 1, seeker, judge, seed_of(seed, depth, i))
                for i, text in enumerate(replies)
            )
        )
        value = back_up(score.value, [child.value for child, _ in children], self.settings.backup)
        line = (heard.messages[-1], Message(side="recommender", text=replies[0]), *children[0][1]) if replies else (heard.messages[-1],)
        return score.model_copy(update={"value": value}), line

    def _trace(self, profile: Profile, candidates: Sequence[Candidate]) -> SearchTrace:
        samples = sum(c.count for c in candidates)

        def worth(index: int) -> tuple[float, int, int]:
            candidate = candidates[index]
            value = candidate.score.value if candidate.score and candidate.score.value is not None else -1.0
            return value + self.settings.consensus * candidate.count / samples, candidate.count, -index

        scored = [i for i, c in enumerate(candidates) if c.score is not None and c.score.scored]
        majority = self.settings.strategy == "majority"
        fallback = not scored and not majority and len(candidates) > 1
        chosen = 0 if fallback else max(scored or range(len(candidates)), key=worth)
        note = "no candidate could be scored: the greedy reply is said" if fallback else ""
        return SearchTrace(
            profile=profile, candidates=tuple(candidates), chosen=chosen, strategy=self.settings.strategy, fallback=fallback, note=note
        )


def merge(texts: Sequence[str], linker: Linker) -> list[Candidate]:
    """Candidates by what they offer: the same items in the same order are one (the first wording stays), without items the same words."""
    merged: dict[tuple[str, ...], Candidate] = {}
    for text in texts:
        items = linker.items(text)
        name = items or ("", " ".join(text.lower().split()))
        known = merged.get(name)
        merged[name] = known.model_copy(update={"count": known.count + 1}) if known else Candidate(text=text, items=items)
    return list(merged.values())


def back_up(own: float | None, children: Sequence[float | None], rule: Literal["mean", "max"]) -> float | None:
    """A node's value: its own score and its children's values, by `rule`.

    With `mean` the children count as one: (own + mean(children)) / 2.  Unscored nodes drop out; None where nothing was scored.

    >>> back_up(1.0, [0.0, 2.0], "mean"), back_up(1.0, [0.0, 2.0], "max"), back_up(None, [None], "mean")
    (1.0, 2.0, None)
    """
    known = [value for value in children if value is not None]
    below = [max(known) if rule == "max" else sum(known) / len(known)] if known else []
    values = below if own is None else [own, *below]
    if not values:
        return None
    return max(values) if rule == "max" else sum(values) / len(values)
