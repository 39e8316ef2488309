"""The scale that a judge's scores stand on: is the judge fit, and where does a score lie between floor and ceiling?

Every evaluation scores floors and the human's reply on the same rows, so every report can say this of its own judges, on its own rows.  Fit
is what `calibration` calls fit: an AUC of at least `LEAST_AUC` for the human's first reply against each floor's, on the rows whose dialogue
names no target (there the seeker's own item may be a hit).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usbrec.evaluation.agreement import Auc, auc
from usbrec.evaluation.calibration import LEAST_AUC, MOST_UNSCORED, unproven, weak
from usbrec.evaluation.compare import CEILING, FLOORS, kind_of
from usbrec.evaluation.metrics import METRICS, dialogue_of, row_values
from usbrec.evaluation.sight import Sight, sight_of
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
    sight: Sight | None = None
    """Does it tell offers that hit from offers that miss?  None in reports of usbrec 0.1."""


def scale_of(outcomes: Mapping[str, Sequence[Outcome]], place: int, *, seed: int = 0) -> Scale:
    """The scale of the judge at this place in every turn's scores."""
    sight = sight_of((row for rows in outcomes.values() for row in rows), place)
    first = {arm: row_values(rows, METRICS["ieval-first"], place) for arm, rows in outcomes.items() if kind_of(arm) in ("floor", "ceiling")}
    floors = [arm for arm in first if arm != CEILING]
    if CEILING not in first or not floors:
        return Scale(fit=None, why="no ceiling or no floor was measured", auc={}, floor=None, normalised={}, sight=sight)
    clean = {o.key for o in outcomes[CEILING] if not o.leaks}
    known = {arm: {key: v for key, v in values.items() if v is not None and key in clean} for arm, values in first.items()}
    clusters = {key: dialogue_of(key) for key in clean}
    curves = {floor: auc(known[CEILING], known[floor], seed, clusters=clusters) for floor in floors}
    replies = [first[o.arm][o.key] for rows in outcomes.values() for o in rows if o.arm in first and o.turns]
    fit, why = _fit(curves, replies)
    floor, normalised = _normalised(outcomes, place, seed)
    return Scale(fit=fit, why=why, auc=curves, floor=floor, normalised=normalised, sight=sight)


def _fit(curves: Mapping[str, Auc], replies: Sequence[float | None]) -> tuple[bool | None, str]:
    """(is the judge fit, why not or why nobody knows), from its scores of the floors' and the ceiling's first replies."""
    unscored = sum(value is None for value in replies)
    if unscored > MOST_UNSCORED * len(replies):
        return False, f"no verdict on {unscored} of {len(replies)} replies of floors and ceiling"
    if any(curve.value is None for curve in curves.values()):
        return None, "no row without a leak was scored in the ceiling and in every floor"
    if told := weak(curves, LEAST_AUC):
        return False, f"AUC of the human's reply below {LEAST_AUC:g} against {told}"
    doubt = unproven(curves)
    return (None if doubt else True), doubt


def _normalised(outcomes: Mapping[str, Sequence[Outcome]], place: int, seed: int) -> tuple[str | None, dict[str, Interval]]:
    """(the highest floor, arm -> normalised iEval).

    The floor is chosen on the rows that all floors and the ceiling have a score of; an arm is normalised on those that it, this floor and
    the ceiling have, so what one arm lacks takes no row from another.
    """
    values = {
        arm: {key: value for key, value in row_values(rows, METRICS["ieval-unleaked"], place).items() if value is not None}
        for arm, rows in outcomes.items()
    }
    floors = [arm for arm in FLOORS if arm in values]
    common = set.intersection(*(set(values[arm]) for arm in (CEILING, *floors)))
    if not common or not floors:
        return None, {}
    floor = max(floors, key=lambda arm: sum(values[arm][key] for key in common))
    placed = {arm: _placed(found, values[floor], values[CEILING], seed) for arm, found in values.items()}
    return floor, {arm: found for arm, found in placed.items() if found}


def _placed(arm: Mapping[str, float], floor: Mapping[str, float], ceiling: Mapping[str, float], seed: int) -> Interval | None:
    """Where an arm lies between floor and ceiling; dialogues are resampled for the three at once.  None where the two coincide."""
    import numpy as np

    common = sorted(arm.keys() & floor.keys() & ceiling.keys())
    scores = np.array([[arm[key], floor[key], ceiling[key]] for key in common]).reshape(-1, 3)
    above = np.stack([scores[:, 0] - scores[:, 1], scores[:, 2] - scores[:, 1]], axis=1)
    gained, span = above.sum(axis=0)
    if span <= 0:
        return None
    names = [dialogue_of(key) for key in common]
    drawn = resampled(np.stack([by_cluster(column, names)[0] for column in above.T], axis=1), seed)[:RESAMPLES]
    low = high = None
    if (count := len(set(names))) > 1 and (drawn[:, 1] > 0).all():
        low, high = percentiles(drawn[:, 0] / drawn[:, 1])
    return Interval(mean=rounded(float(gained / span)), low=low, high=high, rows=len(common), clusters=count)
