"""The scale that a judge's scores stand on: is the judge fit, and where does a score lie between floor and ceiling?

Every evaluation scores floors and the human's reply on the same rows, so every report can say this of its own judges, on its own rows.  Fit
is what `calibration` calls fit: an AUC of at least `LEAST_AUC` for the human's first reply against each floor's, on the rows whose dialogue
names no target (there the seeker's own item may be a hit).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usbrec.evaluation.agreement import Auc, auc
from usbrec.evaluation.calibration import LEAST_AUC, MOST_UNSCORED, weak
from usbrec.evaluation.compare import CEILING, FLOORS, kind_of
from usbrec.evaluation.metrics import METRICS, dialogue_of, row_values
from usbrec.evaluation.stats import Interval, by_cluster, percentiles, resampled, rounded
from usbrec.types import Frozen, Outcome

RESAMPLES = 2_000


class Scale(Frozen):
    """What one judge's scores of one evaluation mean."""

    fit: bool | None
    """None: without floors or ceiling nobody knows."""
    why: str
    """Why it is not fit, or why nobody knows; empty when it is."""
    auc: dict[str, Auc]
    """Floor -> the human's first reply against it."""
    floor: str | None
    """The highest floor: 0 of the normalised scale."""
    normalised: dict[str, Interval]
    """Arm -> (iEval - highest floor) / (ceiling - highest floor), with its 95% interval; empty where the two coincide."""


def scale_of(outcomes: Mapping[str, Sequence[Outcome]], place: int, *, seed: int = 0) -> Scale:
    """The scale of the judge at this place in every turn's scores."""
    first = {arm: row_values(rows, METRICS["ieval-first"], place) for arm, rows in outcomes.items() if kind_of(arm) in ("floor", "ceiling")}
    floors = [arm for arm in first if arm != CEILING]
    if CEILING not in first or not floors:
        return Scale(fit=None, why="no ceiling or no floor was measured", auc={}, floor=None, normalised={})
    clean = {o.key for o in outcomes[CEILING] if not o.leaks}
    known = {arm: {key: v for key, v in values.items() if v is not None and key in clean} for arm, values in first.items()}
    clusters = {key: dialogue_of(key) for key in clean}
    curves = {floor: auc(known[CEILING], known[floor], seed, clusters=clusters) for floor in floors}
    why = _unfit(curves, first)
    floor, normalised = _normalised(outcomes, place, seed)
    fit = None if why == _NO_ROWS else not why
    return Scale(fit=fit, why=why, auc=curves, floor=floor, normalised=normalised)


_NO_ROWS = "no row without a leak was scored in the ceiling and in every floor"


def _unfit(curves: Mapping[str, Auc], first: Mapping[str, Mapping[str, float | None]]) -> str:
    given = [value for values in first.values() for value in values.values()]
    unscored = sum(value is None for value in given)
    if unscored > MOST_UNSCORED * len(given):
        return f"no verdict on {unscored} of {len(given)} replies of floors and ceiling"
    if any(curve.value is None for curve in curves.values()):
        return _NO_ROWS
    told = weak(curves, LEAST_AUC)
    return f"AUC of the human's reply below {LEAST_AUC:g} against {told}" if told else ""


def _normalised(outcomes: Mapping[str, Sequence[Outcome]], place: int, seed: int) -> tuple[str | None, dict[str, Interval]]:
    """(the highest floor, arm -> normalised iEval), over the rows that every arm has a score of; dialogues are resampled for all."""
    import numpy as np

    values = {arm: row_values(rows, METRICS["ieval"], place) for arm, rows in outcomes.items()}
    common = sorted(key for key in set.intersection(*(set(v) for v in values.values())) if all(v[key] is not None for v in values.values()))
    floors = [arm for arm in FLOORS if arm in values]
    if not common or not floors:
        return None, {}
    scores = {arm: np.array([found[key] for key in common], dtype=float) for arm, found in values.items()}
    floor = max(floors, key=lambda arm: float(scores[arm].mean()))
    names = [dialogue_of(key) for key in common]
    sums = resampled(np.stack([by_cluster(found, names)[0] for found in scores.values()], axis=1), seed)[:RESAMPLES]
    drawn = dict(zip(scores, sums.T, strict=True))
    span = float(scores[CEILING].mean() - scores[floor].mean())
    if span <= 0:
        return floor, {}
    spans, count = drawn[CEILING] - drawn[floor], len(set(names))
    found = {}
    for arm in outcomes:
        value = float((scores[arm].mean() - scores[floor].mean()) / span)
        low = high = None
        if count > 1 and (spans > 0).all():
            low, high = percentiles((drawn[arm] - drawn[floor]) / spans)
        found[arm] = Interval(mean=rounded(value), low=low, high=high, rows=len(common), clusters=count)
    return floor, found
