"""Intervals and paired differences: what a mean over evaluated rows does and does not show.

Rows of one dialogue are not independent (a ReDial dialogue gives two to three rows), so both the bootstrap and the permutation test draw
whole *clusters*: resampling dialogues, not rows.  Without clusters every row is a cluster of its own and both are the textbook versions.
The statistic is the ratio of a resample's sum to its row count, so rows weigh equally.  Intervals are BCa (Efron 1987); where BCa is not
defined, percentile.  What is drawn depends on the seed and the number of clusters alone: all that is measured on the same rows of a report
is resampled alike.

Samples without spread are named, not glossed over: a bootstrap of them has width 0, which would claim certainty.
No cluster: nothing is known.  One cluster: a mean, no interval.  Two or more clusters with one and the same mean: with `limits` (the
range a value can take) the exact binomial bound on how often another value could have gone unseen; without limits, width 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from usbrec.seeds import seed_of
from usbrec.types import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 10_000
CELLS = 200_000
"""Resamples are taken in batches of about this many numbers: they bound memory, and fit a processor's cache."""
FINEST = 60
"""A permutation test is exact where the clusters' sums are multiples of 1/n for an n up to this: hits are, and means of a few turns."""
EXACT = 200_000_000
"""... and where clusters x (their sizes in such steps, added up) is at most this: a second or less."""

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


def widened(mean: float, share: float, limits: Limits) -> tuple[float, float]:
    """How far a mean could move if this share of what it is taken over lay at either limit."""
    lowest, highest = limits
    return rounded(mean - share * (mean - lowest)), rounded(mean + share * (highest - mean))


def _interval(sums: Floats, counts: Floats, mean: float, seed: int, limits: Limits | None) -> tuple[float | None, float | None]:
    import numpy as np

    if len(sums) < 2:
        return None, None
    means = sums / counts
    if np.allclose(means, means[0], rtol=0, atol=1e-12):
        return widened(mean, unseen_share(len(sums)), limits or (mean, mean))
    return _bootstrap(sums, counts, seed)


def _bootstrap(sums: Floats, counts: Floats, seed: int) -> tuple[float, float]:
    """BCa bounds of sum(sums) / sum(counts), clusters resampled."""
    import numpy as np

    drawn = resampled(np.stack([sums, counts], axis=1), seed)
    without = (sums.sum() - sums) / (counts.sum() - counts)
    return bca(drawn[:, 0] / drawn[:, 1], float(sums.sum() / counts.sum()), without)


def bca(means: Floats, mean: float, without: Floats) -> tuple[float, float]:
    """95% bounds, bias-corrected and accelerated (Efron 1987); percentile bounds where they are not defined.

    Args:
        means: of the resamples.
        mean: of the sample.
        without: the jackknife, the mean with each cluster left out.
    """
    import numpy as np
    from scipy.special import ndtr, ndtri

    moved = without.mean() - without
    tails = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    with np.errstate(invalid="ignore", divide="ignore"):  # where all resamples lie on one side of the mean
        bias = ndtri(((means < mean).mean() + (means <= mean).mean()) / 2)
        skew = (moved**3).sum() / (6 * (moved**2).sum() ** 1.5)
        reach = bias + ndtri(tails)
        places = ndtr(bias + reach / (1 - skew * reach))
    low, high = np.quantile(means, places if np.isfinite(places).all() else tails)
    return rounded(float(low)), rounded(float(high))


def percentiles(drawn: Floats) -> tuple[float, float]:
    """The bounds between which 95% of what was drawn lies."""
    import numpy as np

    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return rounded(float(low)), rounded(float(high))


def resampled(table: Floats, seed: int) -> Floats:
    """The column sums of each of `RESAMPLES` resamples of clusters: (clusters x columns) -> (resamples x columns)."""
    import numpy as np

    times = _times_drawn(len(table), seed)
    return np.concatenate([times[batch] @ table for batch in _batches(len(table))])


@lru_cache(maxsize=3)
def _times_drawn(clusters: int, seed: int) -> NDArray[np.uint8]:
    """How often each resample holds each cluster (resamples x clusters).

    Drawing is most of a bootstrap's work, and a report asks for the same few again and again: its arms answer the same rows.  A count
    beyond 255 does not happen: its chance is below 1 / 255!.
    """
    import numpy as np

    rng = np.random.default_rng(seed_of("bootstrap", seed))
    times = np.empty((RESAMPLES, clusters), dtype=np.uint8)
    for batch in _batches(clusters):
        drawn = rng.integers(clusters, size=times[batch].shape)
        drawn += clusters * np.arange(len(drawn))[:, None]
        times[batch] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
    return times


def _batches(width: int) -> Iterator[slice]:
    """Resamples in batches of about `CELLS` numbers, `width` of them a resample."""
    size = max(1, CELLS // width)
    return (slice(begin, begin + size) for begin in range(0, RESAMPLES, size))


def _permutation(sums: Floats, seed: int) -> float:
    """Two-sided p-value under random signs of the clusters' sums; zeros have no sign: left out.

    Exact where the sums are multiples of one step (Pagano and Tritchler 1983) or few (2^clusters < RESAMPLES); drawn elsewhere.
    """
    import numpy as np

    moved = sums[np.abs(sums) > 1e-12]
    if len(moved) < 2:
        return 1.0
    steps = _steps(moved)
    if steps is not None:
        return _as_far(steps)
    whole, slack = moved.sum(), 1e-12 * np.abs(moved).sum()  # sums in another order differ in their last digits
    kept = _kept(moved, seed)
    return min(1.0, 2 * float(min((kept <= whole + slack).mean(), (kept >= whole - slack).mean())))


def _steps(sums: Floats) -> NDArray[np.int64] | None:
    """The sums as whole multiples of 1/n, n at most `FINEST`; None where they are not, or where `_as_far` would take too long."""
    import numpy as np

    for fine in range(1, FINEST + 1):
        steps = np.rint(sums * fine)
        if np.allclose(sums * fine, steps, rtol=0, atol=1e-9):
            return steps.astype(np.int64) if len(steps) * np.abs(steps).sum() <= EXACT else None
    return None


def _as_far(steps: NDArray[np.int64]) -> float:
    """The chance that these whole numbers, given random signs, add up to a number as far from 0 as they do."""
    import numpy as np

    chances = np.ones(1)  # chances[s]: that the numbers which come out positive add up to s
    for size in np.abs(steps):
        zeros = np.zeros(size)
        chances = (np.concatenate([chances, zeros]) + np.concatenate([zeros, chances])) / 2
    totals = 2 * np.arange(len(chances)) - (len(chances) - 1)
    return min(1.0, float(chances[np.abs(totals) >= abs(steps.sum())].sum()))


def _kept(values: Floats, seed: int) -> Floats:
    """For each choice of signs the sum of the values that keep theirs: it orders the choices as their totals, 2 x it - the whole, do.

    Every choice, or `RESAMPLES` of them where there are more: the one given, where all keep their sign, and others drawn.
    """
    import numpy as np

    if 2 ** len(values) < RESAMPLES:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums, sums + value])
        return sums
    rng = np.random.default_rng(seed_of("permutation", seed))
    packed = rng.integers(256, size=(RESAMPLES, -(-len(values) // 8)), dtype=np.uint8)
    packed[0] = 255
    return np.concatenate([np.unpackbits(packed[batch], axis=1, count=len(values)) @ values for batch in _batches(len(values))])


def rounded(value: float) -> float:
    """Six decimals: far below any resampling noise, and the same text on every machine."""
    return round(value, 6) + 0.0
