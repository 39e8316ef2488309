"""How large a difference must be for these rows to show it, and how many rows a difference needs.

The smallest detectable difference of a two-sided test at level `alpha` is (z_(1-alpha/2) + z_power) x the standard error (Bloom 1995): a
true difference of that size is found in the share `power` of all repetitions.  It is computed from the spread of the *paired* differences,
not from their mean, so it can be read beside a difference that is not shown.  In a family of m comparisons Holm's strictest step asks for
`alpha` / m, a larger difference: the report shows that one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from usbrec.evaluation.metrics import Values, dialogue_of
from usbrec.evaluation.stats import CONFIDENCE, by_cluster, rounded
from usbrec.types import Frozen

ALPHA = 1 - CONFIDENCE
POWER = 0.8


class PairPower(Frozen):
    """What the rows of two arms can show of their difference, a - b."""

    a: str
    b: str
    question: str
    """The family that its test is corrected over."""
    rows: int
    """Rows that have a number in both arms."""
    clusters: int
    """Dialogues they come from."""
    unscored: int
    """Rows that both arms have and one of them without a number."""
    error: float | None
    """The standard error of the mean difference, clustered by dialogue; None where it is unknown."""
    tests: int
    """`alpha` is divided by so many: the question's pairs that have rows, or 1."""
    detectable: float | None
    """The smallest true difference that so many rows show; None with `error`."""
    needed: int | None
    """Rows that show the difference asked for; None with `error`."""


def standard_error(values: Sequence[float], clusters: Sequence[str] | None = None) -> float | None:
    """The standard error of the mean of `values`, clustered (Liang and Zeger 1986, with the factor C / (C - 1)).

    Args:
        values: one number a row, e.g. its paired difference.
        clusters: the cluster of each row, as long as `values`; None: each row is its own.

    Returns:
        None where it is unknown: fewer than two clusters, or no spread at all.
    """
    import numpy as np

    sums, counts = by_cluster(np.asarray(values, dtype=float), clusters)
    if len(sums) < 2:
        return None
    residuals = sums - counts * (sums.sum() / counts.sum())
    squared = float((residuals**2).sum()) * len(sums) / (len(sums) - 1)
    return math.sqrt(squared) / float(counts.sum()) if squared > 1e-18 else None


def smallest_detectable(error: float, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest true difference that a two-sided test finds with probability `power`.

    Args:
        error: the standard error of the mean difference: `standard_error` of rows at hand; to plan, sd / sqrt(dialogues).
    """
    from scipy.stats import norm

    return float(norm.ppf(1 - alpha / 2) + norm.ppf(power)) * error


def rows_needed(diff: float, error: float, rows: int, *, power: float = POWER, alpha: float = ALPHA) -> int:
    """How many rows show a true difference of `diff` with probability `power`.

    Args:
        diff: the true mean difference; not 0.
        error: the standard error that `rows` rows gave; more rows are taken to be as alike within their dialogues as these.
    """
    return math.ceil(rows * (smallest_detectable(error, power=power, alpha=alpha) / diff) ** 2)


def pairs_power(
    pairs: Sequence[tuple[str, str, str]],
    arms: Mapping[str, Values],
    difference: float,
    *,
    power: float = POWER,
    alpha: float = ALPHA,
    alone: bool = False,
) -> list[PairPower]:
    """What each pair's rows can show, and how many rows would show `difference`.

    Args:
        pairs: (a, b, question), as `compare.planned` gives them.
        arms: arm -> its values in one metric.
        difference: in the metric's own unit; not 0.
        alone: each pair as the only test of its question: no correction.
    """
    known = {(a, b): _differences(arms[a], arms[b]) for a, b, _ in pairs}
    family = Counter(question for a, b, question in pairs if known[a, b])
    found = []
    for a, b, question in pairs:
        rows = known[a, b]
        dialogues = [dialogue_of(key) for key in rows]
        tests = 1 if alone else family[question]
        error = standard_error(list(rows.values()), dialogues)
        detectable = needed = None
        if error is not None:
            error = rounded(error)  # as a `Comparison` keeps it, so that both say the same
            detectable = rounded(smallest_detectable(error, power=power, alpha=alpha / tests))
            needed = rows_needed(difference, error, len(rows), power=power, alpha=alpha / tests)
        found.append(PairPower(
            a=a, b=b, question=question, rows=len(rows), clusters=len(set(dialogues)), unscored=len(arms[a].keys() & arms[b]) - len(rows),
            error=error, tests=tests, detectable=detectable, needed=needed,
        ))  # fmt: skip
    return found


def _differences(a: Values, b: Values) -> dict[str, float]:
    """a - b of each row that has a number in both."""
    both = ((key, a[key], b[key]) for key in sorted(a.keys() & b.keys()))
    return {key: left - right for key, left, right in both if left is not None and right is not None}
