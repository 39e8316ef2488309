"""Do two graders agree, and does a judge tell a right reply from a wrong one?

Grades are 0, 1 or 2; a judge's expected grade is rounded to the nearest one where grades are compared, and taken as it is where replies are
ranked (`auc`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from usbrec.evaluation.stats import Interval, Limits, bca, rounded, unseen_share, widened
from usbrec.seeds import seed_of
from usbrec.types import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = tuple[NDArray[np.float64], Sequence[str]]
    """Wins, and the cluster of each row."""

GRADES = (0, 1, 2)
RESAMPLES = 2_000


class Auc(Frozen):
    """The chance that a right reply is scored above a wrong one, ties counting half: 1 tells them apart, 0.5 is a coin."""

    value: float | None
    """None for no rows."""
    low: float | None
    """95% interval, a BCa bootstrap over dialogues; None for fewer than two."""
    high: float | None
    rows: int


class Agreement(Frozen):
    """How far two graders agree on the same replies."""

    replies: int
    same: float | None
    """Share of equal grades."""
    cohen: float | None
    """Cohen's kappa (1960); None where it is not defined: no replies, or all of them in one and the same grade."""
    cohen_weighted: float | None
    """With quadratic weights (Cohen 1968): a 0 against a 2 counts four times a 0 against a 1."""
    krippendorff: float | None
    """Krippendorff's alpha for ordinal data (2004); like kappa not defined without variation."""


def auc(right: Mapping[str, float], wrong: Mapping[str, float], seed: int, *, clusters: Mapping[str, str] | None = None) -> Auc:
    """The area under the ROC curve (Mann and Whitney 1947) of right against wrong replies, over the rows that have both.

    Every right reply is held against every wrong one, not only against its own row's: the question is whether one threshold can tell
    them apart.

    Args:
        right, wrong: score by row key.
        clusters: row key -> what is resampled as a whole; None: each row is its own.
    """
    import numpy as np

    keys = sorted(right.keys() & wrong.keys())
    won = wins(np.array([right[key] for key in keys]), np.array([wrong[key] for key in keys]))
    found = area([(won, [clusters[key] for key in keys] if clusters else keys)], seed)
    return Auc(value=found.mean, low=found.low, high=found.high, rows=found.rows)


def wins(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right scores (rows) against wrong ones (columns): 1 above, 0 below, ties 0.5."""
    import numpy as np

    above = right[:, None] - wrong[None, :]
    return np.where(np.abs(above) < 1e-9, 0.5, (above > 0).astype(float))


def area(tables: Sequence[Table], seed: int, limits: Limits = (0, 1)) -> Interval:
    """The mean of several tables' means with its 95% BCa interval, whole clusters drawn, the same ones from every table.

    Where no resample differs (every right reply above every wrong one) the interval has no width 0: were a share p of the clusters, as
    large as the sample leaves plausible (`stats.unseen_share`), at a limit, as right and as wrong replies, (1 - p)^2 of it would stay.

    Args:
        tables: of as many right replies as wrong ones; those without any say nothing.
        seed: of the resampling.
        limits: of a win.

    Returns:
        The mean; `rows` are those of the largest table.
    """
    import numpy as np

    tables = [(won, names) for won, names in tables if len(names)]
    if not tables:
        return Interval(mean=None, low=None, high=None, rows=0, clusters=0)
    clusters = np.unique([name for _, names in tables for name in names])
    mean = sum(float(won.mean()) for won, _ in tables) / len(tables)
    low = high = None
    if (count := len(clusters)) > 1:
        weights = _weights(count, seed)
        parts = [_resampled(won, np.searchsorted(clusters, names), weights) for won, names in tables]
        drawn, without = (np.nanmean(part, axis=0) for part in zip(*parts, strict=True))
        if np.ptp(drawn) < 1e-12:
            low, high = widened(mean, 1 - (1 - unseen_share(count)) ** 2, limits)
        else:
            low, high = bca(drawn, mean, without)
    return Interval(mean=rounded(mean), low=low, high=high, rows=max(len(names) for _, names in tables), clusters=count)


@lru_cache(maxsize=4)
def _weights(count: int, seed: int) -> NDArray[np.float64]:
    """(resamples, clusters): how often each cluster is drawn; many areas of the same rows ask for the same."""
    import numpy as np

    return np.random.default_rng(seed_of("auc", seed)).multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)


def _resampled(
    won: NDArray[np.float64], clusters: NDArray[np.intp], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of each resample of clusters, and with each cluster left out; NaN where no row is left.

    A cluster that is drawn twice counts twice, as right and as wrong.
    """
    import numpy as np

    member = np.zeros((weights.shape[1], len(clusters)))
    member[clusters, np.arange(len(clusters))] = 1
    between, size = member @ won @ member.T, member.sum(axis=1)  # wins summed within pairs of clusters
    left = between.sum() - between.sum(axis=0) - between.sum(axis=1) + between.diagonal()
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn: NDArray[np.float64] = ((weights @ between) * weights).sum(axis=1) / (weights @ size) ** 2
        return drawn, left / (size.sum() - size) ** 2


def agreement(a: Sequence[float], b: Sequence[float]) -> Agreement:
    """Of two graders on the same replies, in the same order."""
    import numpy as np

    if len(a) != len(b):
        raise ValueError("two graders must have graded the same replies")
    left, right = [grade(value) for value in a], [grade(value) for value in b]
    if not left:
        return Agreement(replies=0, same=None, cohen=None, cohen_weighted=None, krippendorff=None)
    table = np.zeros((len(GRADES), len(GRADES)))
    np.add.at(table, (left, right), 1)
    distance = np.subtract.outer(GRADES, GRADES).astype(float)
    return Agreement(
        replies=len(left),
        same=round(float(np.trace(table) / table.sum()), 6),
        cohen=_kappa(table, (distance != 0).astype(float)),
        cohen_weighted=_kappa(table, distance**2),
        krippendorff=krippendorff([left, right]),
    )


def krippendorff(raters: Sequence[Sequence[int | None]]) -> float | None:
    """Krippendorff's alpha for ordinal data ("Content Analysis", 2004, chapter 11); None without any variation.

    1 - D_o / D_e over the coincidence matrix; the distance of grades c and k is the squared number of grades given between them, the two
    themselves counting half: (sum of n_g for g from c to k - (n_c + n_k) / 2)^2.

    Args:
        raters: one sequence a rater, one grade a reply, None where a rater gave none; replies with fewer than two grades say nothing.
    """
    import numpy as np

    units = [[value for value in unit if value is not None] for unit in zip(*raters, strict=True)]
    known = sorted({value for unit in units for value in unit})
    place = {value: index for index, value in enumerate(known)}
    together = np.zeros((len(known), len(known)))
    for unit in (unit for unit in units if len(unit) > 1):
        for left, one in enumerate(unit):
            for right, other in enumerate(unit):
                together[place[one], place[other]] += (left != right) / (len(unit) - 1)
    margins = together.sum(axis=0)
    below = np.cumsum(margins) - margins / 2
    distance = np.subtract.outer(below, below) ** 2
    expected = float((np.outer(margins, margins) * distance).sum()) / (margins.sum() - 1) if margins.sum() > 1 else 0.0
    return round(1 - float((together * distance).sum()) / expected, 6) if expected > 0 else None


def grade(value: float) -> int:
    """The nearest grade; halves go up."""
    return min(int(value + 0.5), GRADES[-1])


def _kappa(table: NDArray[np.float64], costs: NDArray[np.float64]) -> float | None:
    """1 - observed cost / cost expected of independent graders with these margins."""
    import numpy as np

    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    chance = float((costs * expected).sum())
    return round(1 - float((costs * table).sum()) / chance, 6) if chance > 0 else None
