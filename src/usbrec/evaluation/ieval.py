"""iEval (docs/method.md, iEval): the seeker that knows the targets talks with the recommender for t turns; every reply is judged.

One rollout serves all metrics: the static ones read the first turn, the interactive ones any turn, iEval the last.  The conversation ends
early when a target is named, as the seeker then has what they came for (whether one is named is a matter of linking, not of any judge), or
when the seeker loses patience: the row keeps the score of its last reply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from usbrec.conversation import converse, judge_replies
from usbrec.errors import UsbrecError
from usbrec.evaluation import protocols
from usbrec.evaluation.arms import ARMS, Arm
from usbrec.linking import Linker
from usbrec.roles import JudgeFor, RecommenderFor, SeekerFor
from usbrec.roles.catalogue import target_hit
from usbrec.roles.settings import AttributesSeekerSettings, CatalogueJudgeSettings, JudgeSettings, SeekerSettings
from usbrec.rowmap import map_rows, tally
from usbrec.seeds import seed_of
from usbrec.settings import Settings
from usbrec.types import Dialogue, Example, Outcome, Turn


class RankingSettings(Settings):
    """Rankings beside the replies: Recall@k, MRR and NDCG of the plain arms, of retrieval, of co-occurrence and of popularity."""

    samples: int = Field(default=0, ge=0, le=1000)
    """An arm's ranking is made of so many sampled replies a turn; 0: nothing is ranked."""
    temperature: float = Field(default=0.5, gt=0, le=10)
    """Of those replies."""
    rows: int | None = Field(default=None, ge=1)
    """So many of the evaluated rows; null for all."""


class EvaluationSettings(Settings):
    """The evaluation, as it stands in a recipe."""

    protocol: str | None = None
    """A versioned protocol that fixes some of the keys below: `usbrec-1`, `usbrec-2`, `ievalm-free-1` or `ievalm-attributes-1`; null fixes
    none."""
    split: Literal["valid", "test"] = "test"
    """Tune on valid; report on test."""
    rows: int | None = Field(default=None, ge=1)
    """Evaluate so many rows of the split; null for all."""
    rows_seed: int = 1
    """Draws those rows: runs with different seeds answer the same ones, and can be pooled."""
    turns: int = Field(default=2, ge=1, le=100)
    """Recommender turns of a conversation (the paper's t)."""
    seeker: SeekerSettings = AttributesSeekerSettings()
    """The simulated user, who knows the targets."""
    judges: tuple[JudgeSettings, ...] = Field(default=(CatalogueJudgeSettings(),), min_length=1)
    """Every reply is scored by each."""
    arms: tuple[Arm, ...] = Field(default=ARMS, min_length=1)
    """The models to compare; floors, the collaborative baseline and the ceiling are always there."""
    rankings: RankingSettings = RankingSettings()
    """Rankings of items, for Recall@10 and the like."""

    @model_validator(mode="before")
    @classmethod
    def _as_the_protocol_says(cls, value: Any) -> Any:
        name = value.get("protocol") if isinstance(value, dict) else None
        return protocols.applied(name, value) if isinstance(name, str) else value


@dataclass(frozen=True)
class Evaluation:
    """One arm's way through an example."""

    arm: str
    recommender_for: RecommenderFor
    seeker_for: SeekerFor
    judges_for: Sequence[JudgeFor]
    linker: Linker
    turns: int
    seed: int

    async def __call__(self, example: Example) -> Outcome:
        seed = seed_of(self.seed, "evaluate", example.key)  # the same for every arm: differences are paired

        def found(dialogue: Dialogue) -> bool:
            return target_hit(dialogue, example.targets, self.linker)[0]

        played = await converse(
            example.dialogue,
            recommender=self.recommender_for(example),
            seeker=self.seeker_for(example.targets),
            turns=self.turns,
            seed=seed,
            done=found,
        )
        judges = [judge_for(example.targets) for judge_for in self.judges_for]
        verdicts = await judge_replies(played, judges, seed=seed)
        turns = tuple(
            Turn(
                reply=reply.text,
                items=target_hit(played.until_reply(index), example.targets, self.linker)[1],
                named=self.linker.items(reply.text),
                scores=scores,
                search=reply.search,
                seconds=round(seconds, 4),
            )
            for index, (reply, scores, seconds) in enumerate(zip(played.replies, verdicts, played.seconds, strict=True))
        )
        return Outcome(
            key=example.key, arm=self.arm, dialogue=played.dialogue, start=played.start,
            turns=turns, targets=example.targets, leaks=example.leaks, left=played.left,
        )  # fmt: skip

    def failed(self, example: Example, fault: UsbrecError) -> Outcome:
        """The row of an example that could not be played."""
        return Outcome(
            key=example.key, arm=self.arm, dialogue=example.dialogue, start=len(example.dialogue),
            turns=(), targets=example.targets, leaks=example.leaks, error=str(fault),
        )  # fmt: skip


async def play_rows(
    examples: Sequence[Example],
    evaluation: Evaluation,
    folder: Path,
    at_once: int,
    gauge: Callable[[], str],
    *,
    label: str,
    play: Callable[[Example], Awaitable[Outcome]] | None = None,
) -> dict[str, Any]:
    """Plays an arm's rows into `outcomes.jsonl`; the counts for the manifest.

    Args:
        play: how a row is played, where `evaluation` does not do that itself.
    """
    rows = await map_rows(
        examples, play or evaluation, path=folder / "outcomes.jsonl", kind=Outcome, key=lambda e: e.key, row_key=lambda r: r.key,
        failed=evaluation.failed, is_failed=lambda r: bool(r.error), label=label, limit=at_once, gauge=gauge,
    )  # fmt: skip
    return tally(len(rows), (row.key for row in rows if row.error))
