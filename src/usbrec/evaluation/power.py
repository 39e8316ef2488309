"""How large a difference must be for these rows to show it, and how many rows a difference needs.

The smallest detectable difference of a two-sided test at level `alpha` is (z_(1-alpha/2) + z_power) x the standard error (Bloom 1995): a
true difference of that size is found in the share `power` of all repetitions.  It is computed from the spread of the *paired* differences,
not from their mean, so it can be read beside a difference that is not shown.  In a family of m comparisons Holm's strictest step asks for
`alpha` / m, a larger difference: the report shows that one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from usbrec.evaluation.stats import CONFIDENCE, by_cluster

ALPHA = 1 - CONFIDENCE
POWER = 0.8


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
