"""Rows that were played more than once: differences pooled over seeds, and pass^k.

Seeds are repeated measures of the same rows, not more rows.  So the values are averaged over seeds within a row first, and then dialogues
are resampled: that interval holds for *these* seeds on other rows.  A claim about the method, whatever its seed, must also count how the
seeds differ: `Pooled.spread`, and an interval that resamples rows and seeds at once (the pigeonhole bootstrap, Owen 2007).  Few seeds
say little about other seeds: resampling S of them understates their share of the variance by (S - 1) / S, so below five the interval is
a lower bound of the doubt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from usbrec.errors import DataError
from usbrec.evaluation.stats import (
    CELLS,
    RESAMPLES,
    Interval,
    Limits,
    Paired,
    by_cluster,
    mean_interval,
    paired_difference,
    percentiles,
    rounded,
)
from usbrec.seeds import seed_of
from usbrec.types import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Cluster = Callable[[str], str]
Values = Mapping[str, float]
"""Value by row key."""
Repeats = Mapping[str, Sequence[bool]]
"""Row key -> did each of its repeats succeed?"""


class Pooled(Frozen):
    """The mean of a - b over rows and seeds."""

    paired: Paired
    """Values averaged over the seeds within each row, then rows resampled.  Only rows that every seed of a side has."""
    by_seed: tuple[float, ...]
    """Each seed's mean difference on those rows; empty without rows."""
    spread: float | None
    """Their standard deviation (n - 1); None for fewer than two seeds."""
    low: float | None
    """95% interval with rows and seeds resampled; None for fewer than two seeds or dialogues."""
    high: float | None
    partial: int
    """Rows that some seeds of a side have and others lack: not part of the difference."""


class Reliability(Frozen):
    """How often k repeats of a row succeed, all of them or any, over one arm's rows."""

    arm: str
    k: int
    pass_hat: Interval
    """pass^k."""
    pass_at: Interval
    """pass@k."""
    unscored: int
    """Rows that all repeats have and one of them without a verdict: in neither."""


def pooled_difference(
    a: Sequence[Values], b: Sequence[Values], seed: int, *, cluster: Cluster | None = None, limits: Limits | None = None
) -> Pooled:
    """The mean of a - b over rows that were measured with several seeds.

    Args:
        a, b: one mapping per seed, from row key to value; a[i] is set against b[i].
        seed: of the resampling.
        cluster: from a row's key to its cluster; None: each row is its own.
        limits: the range of one side's values, used only where all differences are the same.

    Raises:
        DataError: the sides have no seed, or not as many.
    """
    import numpy as np

    if not a or len(a) != len(b):
        raise DataError(f"{len(a)} seeds cannot be paired with {len(b)}", fix="give as many on one side as on the other")
    left, right = _averaged(a), _averaged(b)
    paired = paired_difference(left, right, seed, cluster=cluster, limits=limits)
    keys = sorted(left.keys() & right.keys())
    partial = sum(len(set[str]().union(*side) - whole.keys()) for side, whole in ((a, left), (b, right)))
    if not keys:
        return Pooled(paired=paired, by_seed=(), spread=None, low=None, high=None, partial=partial)
    table = np.array([[one[key] - other[key] for one, other in zip(a, b, strict=True)] for key in keys])
    means = table.mean(axis=0)
    low, high = _pigeonhole(table, [cluster(key) for key in keys] if cluster else None, seed)
    return Pooled(
        paired=paired,
        by_seed=tuple(rounded(float(mean)) for mean in means),
        spread=rounded(float(means.std(ddof=1))) if len(means) > 1 else None,
        low=low,
        high=high,
        partial=partial,
    )


def pass_hat(rows: Repeats, k: int, seed: int, *, cluster: Cluster | None = None) -> Interval:
    """pass^k: how likely all of k repeats of a row succeed (tau-bench, Yao et al. 2024), with its 95% interval.

    Of n repeats with c successes, C(c, k) / C(n, k) estimates it without bias.

    Raises:
        DataError: k is below 1, or a row has fewer than k repeats.
    """
    return _over_rows(rows, k, lambda n, c: math.comb(c, k) / math.comb(n, k), seed, cluster)


def pass_at(rows: Repeats, k: int, seed: int, *, cluster: Cluster | None = None) -> Interval:
    """pass@k: how likely at least one of k repeats of a row succeeds (Chen et al. 2021, equation 1), with its 95% interval.

    Of n repeats with c successes, 1 - C(n - c, k) / C(n, k) estimates it without bias.

    Raises:
        DataError: k is below 1, or a row has fewer than k repeats.
    """
    return _over_rows(rows, k, lambda n, c: 1 - math.comb(n - c, k) / math.comb(n, k), seed, cluster)


def reliability(arm: str, repeats: Sequence[Mapping[str, float | None]], seed: int, *, cluster: Cluster | None = None) -> list[Reliability]:
    """pass^k and pass@k of an arm for k = 1 to the number of its repeats, over the rows that all of them have.

    Args:
        repeats: one mapping a repeat, from row key to success (0 or 1), None where the row has no verdict.
    """
    common = sorted(set(repeats[0]).intersection(*repeats[1:]))
    played = {key: [values[key] for values in repeats] for key in common}
    rows = {key: [bool(value) for value in values] for key, values in played.items() if None not in values}
    return [
        Reliability(
            arm=arm,
            k=k,
            pass_hat=pass_hat(rows, k, seed, cluster=cluster),
            pass_at=pass_at(rows, k, seed, cluster=cluster),
            unscored=len(common) - len(rows),
        )
        for k in range(1, len(repeats) + 1)
    ]


def _over_rows(rows: Repeats, k: int, share: Callable[[int, int], float], seed: int, cluster: Cluster | None) -> Interval:
    if k < 1:
        raise DataError(f"k is {k}", fix="ask for at least 1 repeat")
    for key, repeats in rows.items():
        if len(repeats) < k:
            raise DataError(
                f"{len(repeats)} repeats for k = {k}", where=f"row '{key}'", fix="play the row more often, or ask for a smaller k"
            )
    values = [share(len(repeats), sum(map(bool, repeats))) for repeats in rows.values()]
    return mean_interval(values, seed, clusters=[cluster(key) for key in rows] if cluster else None, limits=(0, 1))


def _averaged(seeds: Sequence[Values]) -> dict[str, float]:
    """The mean over the seeds of each row that all of them have."""
    common = set(seeds[0]).intersection(*seeds[1:])
    return {key: math.fsum(values[key] for values in seeds) / len(seeds) for key in common}


def _pigeonhole(table: Floats, clusters: Sequence[str] | None, seed: int) -> tuple[float | None, float | None]:
    """Percentile bounds of the mean of `table` (rows x seeds) when clusters of rows and seeds are drawn anew, independently."""
    import numpy as np

    sums = np.stack([by_cluster(column, clusters)[0] for column in table.T], axis=1)
    counts = by_cluster(table[:, 0], clusters)[1]
    drawn, seeds = sums.shape
    if drawn < 2 or seeds < 2:
        return None, None
    rng = np.random.default_rng(seed_of("pigeonhole", seed))
    batch, means = max(1, CELLS // drawn), []
    for begin in range(0, RESAMPLES, batch):
        size = min(batch, RESAMPLES - begin)
        of_rows = rng.multinomial(drawn, np.full(drawn, 1 / drawn), size)
        of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size)
        means.append(((of_rows @ sums) * of_seeds).sum(axis=1) / ((of_rows @ counts) * seeds))
    return percentiles(np.concatenate(means))
