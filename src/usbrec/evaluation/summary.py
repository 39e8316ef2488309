"""The report as data: what a run showed, before anybody renders it.  No dialogue text."""

from __future__ import annotations

from pydantic import Field

from usbrec import __version__
from usbrec.evaluation.compare import Comparison
from usbrec.evaluation.divergence import Divergence
from usbrec.evaluation.failures import Failure
from usbrec.evaluation.leaks import LeakAudit
from usbrec.evaluation.metrics import ArmMetrics, Measure, headline
from usbrec.evaluation.scale import Scale
from usbrec.evaluation.variety import Variety
from usbrec.types import Frozen

FORMAT = 1

Plain = str | int | float | bool | None
Curves = dict[str, list[tuple[float, float]]]
"""Name of a logged number -> (step, value) pairs."""


class Report(Frozen):
    """What a run showed."""

    format: int = FORMAT
    usbrec: str = __version__
    run: str
    """Name of the run folder."""
    judges: tuple[str, ...]
    leading: str | None
    """The arm that the method expects to be best, fixed before scoring."""
    turns_at_most: int
    """Recommender turns of the longest conversation."""
    arms: dict[str, ArmMetrics]
    """In the order of every table."""
    paired: tuple[Comparison, ...]
    verdicts: tuple[str, ...]
    """What is shown and what is not, in plain sentences."""
    warnings: tuple[str, ...]
    """What must be known before a score is quoted."""
    cards: dict[str, dict[str, Plain]]
    """Title -> flattened keys: data, preference pairs, stages, versions."""
    training: dict[str, Curves]
    """Stage -> what its log recorded."""
    protocol: str | None = None
    """The versioned protocol of the evaluation, if it names one."""
    scales: dict[str, Scale] = Field(default_factory=dict)
    """Judge -> whether it is fit, and where each arm stands between floor and ceiling."""
    rankings: dict[str, dict[str, Measure]] = Field(default_factory=dict)
    """Ranker -> heading -> measure, of the dialogues as given."""
    rankings_interactive: dict[str, dict[str, Measure]] = Field(default_factory=dict)
    """The same, the best over the turns of an arm's conversations."""
    variety: tuple[Variety, ...] = ()
    """Arm by arm; empty where the run's catalogue is not there."""
    leaks: LeakAudit | None = None
    failures: tuple[Failure, ...] = ()
    """Every signature on every arm, whether or not it fires."""
    divergence: Divergence | None = None
    """Judges over the checkpoints of the training, where `usbrec judge checkpoints` was run."""

    def headline(self, metric: str) -> str:
        """As `metrics.headline`, of this report."""
        return headline(metric, leaks=any(arm.leaked for arm in self.arms.values()))
