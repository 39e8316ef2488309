"""The report as data: what a run showed, before anybody renders it.  No dialogue text."""

from __future__ import annotations

from usbrec import __version__
from usbrec.evaluation.compare import Comparison
from usbrec.evaluation.metrics import ArmMetrics
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
