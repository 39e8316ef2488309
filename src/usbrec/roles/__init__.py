"""The roles of a conversation, as protocols; `roles.llm`, `roles.catalogue`, `roles.seekers` and `roles.floors` implement them.

| role        | knows                                   | never sees            |
|-------------|-----------------------------------------|-----------------------|
| Recommender | the dialogue                            | targets, the seeker's goal |
| Seeker      | the dialogue and its goal (targets, or a profile) | -           |
| Judge       | the dialogue and its goal               | -                     |
| Profiler    | the dialogue                            | targets               |

A `Seeker` and a `Judge` are bound to one goal: a data set's seeker is made from an example's targets, the search's *internal* seeker and
judge from a `Profile`.  So the one rollout loop (`usbrec.conversation`) serves PODCS, the search and iEval alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from usbrec.types import Dialogue, Example, Frozen, Profile, Score, SearchTrace


class Reply(Frozen):
    """What a recommender says, and the search behind it if there was one.  `text` is never empty."""

    text: str
    search: SearchTrace | None = None


class Recommender(Protocol):
    """Answers a dialogue.  Knows nothing but the dialogue."""

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        """The next recommender turn.

        Raises:
            EngineError: no reply could be had.  Never an empty text.
        """
        ...


class Seeker(Protocol):
    """The simulated user of one conversation, bound to its goal."""

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str | None:
        """The seeker's next turn, None where they leave; `dialogue` ends with the recommender.  `start`: index of the first simulated
        message.

        The text never contains a target's title that the dialogue does not: whoever makes the text filters it *before anyone reads it*.
        """
        ...


class StayingSeeker(Protocol):
    """A seeker that never leaves: the search's internal one."""

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        """As `Seeker.respond`."""
        ...


class Judge(Protocol):
    """Scores what the recommender offered since `start`, 0/1/2 (Eq. 1 of the paper), bound to its goal."""

    @property
    def name(self) -> str: ...

    async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
        """The verdict on the *last* recommender message; `Score(value=None)` with a reason where there is none."""
        ...


class Profiler(Protocol):
    """Reads the seeker's preference out of the dialogue, the latest message included."""

    async def profile(self, dialogue: Dialogue, *, seed: int) -> Profile: ...


class SampleReplies(Protocol):
    """A recommender that can also draw several replies at once."""

    async def sample(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int) -> list[str]:
        """n replies; empty ones are dropped, so the list may be shorter than n.  Temperature 0: the greedy reply."""
        ...


class ScoreReplies(Protocol):
    """A recommender that also says how likely each of its sampled replies is."""

    async def sample_scored(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int) -> list[tuple[str, float | None]]:
        """(reply, its mean log-probability a token, or None where the engine cannot tell); empty replies are dropped."""
        ...


class GuidedSampler(Protocol):
    """Draws replies with a retrieved item in the prompt, one a reply, the best item first."""

    async def sample(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int, skip: int = 0) -> list[str]:
        """Up to n replies, the first for item number `skip` of the retriever's; empty ones are dropped."""
        ...


class SamplingRecommender(Recommender, SampleReplies, Protocol):
    """A recommender that replies greedily and draws samples: what PODCS and the search need."""


SeekerFor = Callable[[tuple[str, ...]], Seeker]
JudgeFor = Callable[[tuple[str, ...]], Judge]
ProfileSeekerFor = Callable[[Profile], StayingSeeker]
ProfileJudgeFor = Callable[[Profile], Judge]
RecommenderFor = Callable[[Example], Recommender]
"""An arm: most arms ignore the example; the floors and the ceiling need it."""
