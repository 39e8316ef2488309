"""Rankings: where in an ordered list of offers the targets stand.

A *ranking* is a tuple of distinct item ids, the best first.  It may be shorter than k, or empty: that is a recommender with nothing (more)
to offer, so it scores 0 and stays in every mean.  A ranking that could not be had at all is None: unscored, counted, and bounded from both
sides, like everything in `metrics`.  How rankings come about is `rankers`' matter.

*Static* is the ranking at the example's dialogue; *interactive*, one ranking at every recommender turn of a played conversation, each
metric taking its best turn.  All metrics lie in 0..1, with the set of distinct targets T, the ranking r and its first k items r[:k]:

| metric    | a row's value                                              | source                                      |
|-----------|------------------------------------------------------------|-----------------------------------------------------|
| Recall@k  | share of T in r[:k]                                        | Manning, Raghavan and Schütze 2008, 8.3     |
| Hit@k     | 1 if any of T is in r[:k], else 0                          | Deshpande and Karypis 2004                  |
| MRR       | 1 / place of the first of T in r (from 1), 0 where none is | Voorhees 1999                               |
| NDCG@k    | sum over the places p of T in r[:k] of 1 / log2(p + 1),    | Järvelin and Kekäläinen 2002, binary gains, |
|           | over the same sum for p = 1 .. min(size of T, k)           | discount of Burges et al. 2005              |

Many papers of the field make a row of every single target, so that rows with several count several times and Recall@k is Hit@k; here a
row is a reply to be given, and counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import log2

from usbrec.errors import DataError
from usbrec.evaluation.metrics import Measure, measure
from usbrec.evaluation.tables import Sheet, number, spread
from usbrec.types import Frozen

DEPTH = 50
"""Items that are asked of every ranker: the deepest cut-off.  MRR looks no deeper either."""

Scorer = Callable[[Sequence[str], Sequence[str]], float]
"""(ranking, targets) -> the value in 0..1."""


class Ranking(Frozen):
    """One ranker's row."""

    key: str
    ranker: str
    static: tuple[str, ...] | None
    """At the example's dialogue; None: it could not be had, `error` says why."""
    interactive: tuple[tuple[str, ...], ...] | None = None
    """At each recommender turn of a played conversation, the first being `static`; None: none was played."""
    targets: tuple[str, ...]
    leaks: tuple[str, ...] = ()
    error: str = ""
    """Why a ranking is missing.  A row whose conversation broke off before has its static ranking, and this."""


def recall(ranking: Sequence[str], targets: Sequence[str], k: int) -> float:
    """The share of the distinct targets that are among the first k.

    Raises:
        DataError: an item stands twice in the ranking, or there is no target; so do the other metrics.
    """
    wanted = _checked(ranking, targets)
    return len(wanted.intersection(ranking[:k])) / len(wanted)


def hit(ranking: Sequence[str], targets: Sequence[str], k: int) -> float:
    """1 if any target is among the first k, else 0."""
    return float(not _checked(ranking, targets).isdisjoint(ranking[:k]))


def reciprocal_rank(ranking: Sequence[str], targets: Sequence[str]) -> float:
    """1 / the place of the first target, counted from 1; 0 where the ranking holds none."""
    wanted = _checked(ranking, targets)
    return next((1 / place for place, item in enumerate(ranking, start=1) if item in wanted), 0.0)


def ndcg(ranking: Sequence[str], targets: Sequence[str], k: int) -> float:
    """The discounted gain of the first k over that of an ideal ranking, which has min(number of distinct targets, k) targets first."""
    wanted = _checked(ranking, targets)
    gain = sum(1 / log2(place + 1) for place, item in enumerate(ranking[:k], start=1) if item in wanted)
    return gain / sum(1 / log2(place + 1) for place in range(1, min(len(wanted), k) + 1))


def _checked(ranking: Sequence[str], targets: Sequence[str]) -> frozenset[str]:
    """The distinct targets."""
    doubled = sorted(item for item, count in Counter(ranking).items() if count > 1)
    if doubled:
        raise DataError(f"a ranking lists an item twice: {', '.join(doubled[:5])}", fix="rank every item once, at its best place")
    if not targets:
        raise DataError("a ranking without targets cannot be scored", fix="rank only rows that have targets")
    return frozenset(targets)


SCORERS: dict[str, Scorer] = {
    "Recall@1": partial(recall, k=1),
    "Recall@10": partial(recall, k=10),
    "Recall@50": partial(recall, k=50),
    "Hit@1": partial(hit, k=1),
    "Hit@10": partial(hit, k=10),
    "Hit@50": partial(hit, k=50),
    "MRR": reciprocal_rank,
    "NDCG@10": partial(ndcg, k=10),
}
"""By the heading that each has in a table."""


def row_values(rows: Sequence[Ranking], scorer: Scorer, *, interactive: bool = False, unleaked: bool = False) -> dict[str, float | None]:
    """Row key -> value, None where the ranking is missing.

    Args:
        interactive: the best over the turns instead of the static ranking's.
        unleaked: leave out the rows whose dialogue names a target already.

    Raises:
        DataError: one key twice, or a ranking that cannot be scored; with the row's place.
    """
    values: dict[str, float | None] = {}
    for row in rows:
        where = f"ranker '{row.ranker}', row '{row.key}'"
        if row.key in values:
            raise DataError("the row is there twice", where=where, fix="remove one of the two")
        if unleaked and row.leaks:
            continue
        rankings = row.interactive if interactive else None if row.static is None else (row.static,)
        try:
            values[row.key] = max(scorer(ranking, row.targets) for ranking in rankings) if rankings else None
        except DataError as fault:
            raise DataError(fault.what, where=where, fix=fault.fix) from None
    return values


def measure_ranker(rows: Sequence[Ranking], *, interactive: bool = False, unleaked: bool = False, seed: int = 0) -> dict[str, Measure]:
    """All of `SCORERS` over one ranker's rows: means with intervals by dialogue, and the bounds that missing rankings leave.

    Raises:
        DataError: no rows, rows of several rankers, or what `row_values` raises.
    """
    rankers = sorted({row.ranker for row in rows})
    if len(rankers) != 1:
        raise DataError(f"rankings of several rankers in one list: {', '.join(rankers)}" if rankers else "there are no rankings to measure")
    return {
        name: measure(row_values(rows, scorer, interactive=interactive, unleaked=unleaked), (0, 1), seed)
        for name, scorer in SCORERS.items()
    }


def sheet(measured: Mapping[str, Mapping[str, Measure]], *, title: str = "Rankings", kinds: Sequence[str] = ()) -> Sheet:
    """The table of {ranker: `measure_ranker`'s result}, in the given order.

    Args:
        kinds: one per ranker, for its looks: model, baseline or floor.
    """
    rows = []
    for name, measures in measured.items():
        first = measures["Recall@10"]
        unscored = f"{first.unscored} ({number(first.worst)} to {number(first.best)})" if first.unscored else "0"
        rows.append((name, *(spread(measures[metric]) for metric in SCORERS), str(first.rows + first.unscored), unscored))
    note = (
        "Mean of the scored rows with its 95% interval. An empty ranking scores 0. "
        "Unscored: rows without a ranking, and Recall@10 if all of them were 0, and if all were 1."
    )
    return Sheet(title=title, columns=("ranker", *SCORERS, "rows", "unscored"), rows=tuple(rows), kinds=tuple(kinds), note=note)
