"""Intervals and paired differences: what a mean over evaluated rows does and does not show.

Rows of one dialogue are not independent (a ReDial dialogue gives two to three rows), so both the bootstrap and the permutation test draw
whole *clusters*: resampling dialogues, not rows.  Without clusters every row is a cluster of its own and both are the textbook versions.
The statistic is the ratio of a resample's sum to its row count, so rows weigh equally.  Intervals are BCa (Efron 1987); where BCa is not
defined, percentile.

Samples without spread are named, not glossed over: a bootstrap of them has width 0, which would claim certainty.
No cluster: nothing is known.  One cluster: a mean, no interval.  Two or more clusters with one and the same mean: with `limits` (the
range a value can take) the exact binomial bound on how often another value could have gone unseen; without limits, width 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from usbrec.seeds import seed_of
from usbrec.types import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 10_000
CELLS = 2_000_000
"""Resamples are drawn in batches of about this many numbers, to bound memory."""

Limits = tuple[float, float]


class Interval(Frozen):
    """A mean with its 95% interval."""

    mean: float | None
    """None for no rows."""
    low: float | None
    """None where no interval exists: fewer than two clusters."""
    high: float | None
    rows: int
    clusters: int


class Paired(Frozen):
    """The mean of a - b over the rows that both sides have, with its 95% interval."""

    diff: float | None
    low: float | None
    high: float | None
    p: float | None
    """Two-sided sign-flip permutation test of "no difference", clusters flipped whole; None for no rows."""
    rows: int
    clusters: int
    only_a: int = 0
    """Rows that b lacks; not part of the difference."""
    only_b: int = 0


def mean_interval(values: Sequence[float], seed: int, *, clusters: Sequence[str] | None = None, limits: Limits | None = None) -> Interval:
    """The mean of `values` with its 95% bootstrap interval.

    Args:
        values: one number a row.
        seed: of the resampling; the same seed and values give the same interval.
        clusters: the cluster of each row, as long as `values`; None: each row is its own.
        limits: the smallest and the largest value a row can take, used only where the sample has no spread.
    """
    import numpy as np

    if not len(values):
        return Interval(mean=None, low=None, high=None, rows=0, clusters=0)
    sums, counts = by_cluster(np.asarray(values, dtype=float), clusters)
    mean = float(sums.sum() / counts.sum())
    low, high = _interval(sums, counts, mean, seed, limits)
    return Interval(mean=rounded(mean), low=low, high=high, rows=len(values), clusters=len(sums))


def paired_difference(
    a: Mapping[str, float],
    b: Mapping[str, float],
    seed: int,
    *,
    cluster: Callable[[str], str] | None = None,
    limits: Limits | None = None,
) -> Paired:
    """The mean of a - b over the common keys, its 95% bootstrap interval and its permutation p-value.

    Args:
        a, b: value by row key.
        seed: of the resampling.
        cluster: from a row's key to its cluster; None: each row is its own.
        limits: the range of one side's values, used only where all differences are the same.
    """
    import numpy as np

    keys = sorted(a.keys() & b.keys())
    only_a, only_b = len(a) - len(keys), len(b) - len(keys)
    if not keys:
        return Paired(diff=None, low=None, high=None, p=None, rows=0, clusters=0, only_a=only_a, only_b=only_b)
    differences = np.array([a[key] - b[key] for key in keys])
    sums, counts = by_cluster(differences, [cluster(key) for key in keys] if cluster else None)
    diff = float(sums.sum() / counts.sum())
    span = (limits[0] - limits[1], limits[1] - limits[0]) if limits else None
    low, high = _interval(sums, counts, diff, seed, span)
    return Paired(
        diff=rounded(diff), low=low, high=high, p=_permutation(sums, seed), rows=len(keys), clusters=len(sums), only_a=only_a, only_b=only_b
    )


def holm(p: Sequence[float]) -> list[float]:
    """The p-values of one family of tests, corrected for their number (Holm 1979), in the order given.

    The i-th smallest of m is multiplied by m - i + 1; none falls below a smaller one's, none is above 1.  A corrected value below 0.05
    keeps the chance of even one false finding in the family below 0.05, however the tests depend on each other.
    """
    corrected, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = highest
    return corrected


def unseen_share(clusters: int) -> float:
    """The largest share of other values under which `clusters` equal draws are plausible at 95% (Clopper and Pearson 1934)."""
    return float(1 - ((1 - CONFIDENCE) / 2) ** (1 / clusters))


def by_cluster(values: Floats, clusters: Sequence[str] | None) -> tuple[Floats, Floats]:
    """Sum and row count of each cluster; None: each row is its own."""
    import numpy as np

    if clusters is None:
        return values, np.ones_like(values)
    _, place = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(place, weights=values).astype(np.float64), np.bincount(place).astype(np.float64)


def _interval(sums: Floats, counts: Floats, mean: float, seed: int, limits: Limits | None) -> tuple[float | None, float | None]:
    import numpy as np

    if len(sums) < 2:
        return None, None
    means = sums / counts
    if np.allclose(means, means[0], rtol=0, atol=1e-12):
        share = unseen_share(len(sums))
        lowest, highest = limits or (mean, mean)
        return rounded(mean - share * (mean - lowest)), rounded(mean + share * (highest - mean))
    return _bootstrap(sums, counts, seed)


def _bootstrap(sums: Floats, counts: Floats, seed: int) -> tuple[float, float]:
    """BCa bounds of sum(sums) / sum(counts), clusters resampled; percentile bounds where BCa gives none."""
    import numpy as np
    from scipy import stats

    def ratio(s: Floats, c: Floats, axis: int = -1) -> Any:
        return s.sum(axis=axis) / c.sum(axis=axis)

    low = high = float("nan")
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy warns where BCa is degenerate; the next method answers that
            result = stats.bootstrap(
                (sums, counts),
                ratio,
                paired=True,
                vectorized=True,
                n_resamples=RESAMPLES,
                batch=max(1, CELLS // len(sums)),
                confidence_level=CONFIDENCE,
                method=method,
                rng=np.random.default_rng(seed_of("bootstrap", seed)),
            )
        low, high = (float(bound) for bound in result.confidence_interval)
        if np.isfinite(low) and np.isfinite(high):
            break
    return rounded(low), rounded(high)


def _permutation(sums: Floats, seed: int) -> float:
    """Two-sided p-value under random signs of the clusters' sums; exact where 2^clusters <= RESAMPLES.  Zeros have no sign: left out."""
    import numpy as np
    from scipy import stats

    moved = sums[np.abs(sums) > 1e-12]
    if len(moved) < 2:
        return 1.0
    result = stats.permutation_test(
        (moved,),
        lambda x, axis=-1: x.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES - 1,
        batch=max(1, CELLS // len(moved)),
        rng=np.random.default_rng(seed_of("permutation", seed)),
    )
    return float(result.pvalue)


def rounded(value: float) -> float:
    """Six decimals: far below any resampling noise, and the same text on every machine."""
    return round(value, 6) + 0.0
