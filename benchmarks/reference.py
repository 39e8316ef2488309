"""The reference pattern: the call sequence of the released scripts (docs/method.md), written anew on our engine and prompts.

Serial throughout: every call waits for the one before.  A searched turn is a summary, then for each of three samples a reply, an answer
of the internal seeker and ten votes, then a message of the simulated user: 1 + 3 x 12 + 1 = 38 calls, 76 for the two searched turns of
a dialogue.  A dialogue of PODCS is, for each of three samples, a reply, the user's answer, the next reply and ten votes: 39 calls.
What the user's message says is dropped, so that in the measurements one and the same simulated seeker answers everybody.  A vote may
have four tokens; the released scripts generate more.
"""

from __future__ import annotations

from dataclasses import dataclass

from usbrec.engine import Engine
from usbrec.roles import Judge, Reply, Seeker
from usbrec.roles.llm import LLMJudge, LLMProfileJudge, LLMProfiler, LLMProfileSeeker, LLMRecommender, LLMSeeker
from usbrec.seeds import seed_of
from usbrec.types import Dialogue, Example

SAMPLES, VOTES, TEMPERATURE = 3, 10, 0.5


@dataclass(frozen=True)
class ReferenceSearch:
    """Flat look-ahead, one call after the other."""

    engine: Engine
    recommender: LLMRecommender
    profiler: LLMProfiler
    user: Seeker

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        profile = await self.profiler.profile(dialogue, seed=seed)
        seeker, judge = LLMProfileSeeker(self.engine, profile), LLMProfileJudge(self.engine, profile, method="vote", votes=1)
        best, most = "", -1.0
        for index in range(SAMPLES):
            text = await _one(self.recommender, dialogue, seed_of(seed, index))
            said = dialogue.say("recommender", text)
            await seeker.respond(said, start=len(dialogue), seed=seed_of(seed, index, "seeker"))
            mean = await _votes(judge, said, len(dialogue), seed_of(seed, index))
            if mean > most:
                best, most = text, mean
        await self.user.respond(dialogue.say("recommender", best), start=len(dialogue), seed=seed_of(seed, "user"))
        return Reply(text=best)


@dataclass(frozen=True)
class ReferencePreferences:
    """Three judged candidates for one training dialogue, one call after the other."""

    recommender: LLMRecommender
    user: LLMSeeker
    judge: LLMJudge

    async def __call__(self, example: Example, *, seed: int) -> list[tuple[str, float]]:
        found = []
        for index in range(SAMPLES):
            text = await _one(self.recommender, example.dialogue, seed_of(seed, index))
            said = example.dialogue.say("recommender", text)
            answer = await self.user.respond(said, start=len(example.dialogue), seed=seed_of(seed, index, "user"))
            later = said.say("seeker", answer)
            later = later.say("recommender", await _one(self.recommender, later, seed_of(seed, index, "later")))
            found.append((text, await _votes(self.judge, later, len(example.dialogue), seed_of(seed, index))))
        return found


async def _one(recommender: LLMRecommender, dialogue: Dialogue, seed: int) -> str:
    texts = await recommender.sample(dialogue, n=1, temperature=TEMPERATURE, seed=seed)
    return texts[0] if texts else "?"


async def _votes(judge: Judge, said: Dialogue, start: int, seed: int) -> float:
    """The mean of ten votes; one that cannot be read counts as 0, as in the released scripts."""
    votes = [await judge.score(said, start=start, seed=seed_of(seed, "vote", number)) for number in range(VOTES)]
    return sum(vote.value or 0.0 for vote in votes) / VOTES
