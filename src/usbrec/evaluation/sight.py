"""Does a judge see what is being traded, that is, *which* item a reply offers?

A judge that gives any new offer the same grade tells the human's reply from a bare question, so its scale is fine, and yet it can never
contradict a judge that counts targets: "no divergence" from it shows nothing.  So every judge's first verdicts are held against the
targets: the AUC of offers that hit against offers that miss, over the replies to all rows.  The human's replies are left out, and those
drawn from them: they hit in words of their own, and liking these is no sight.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from usbrec.evaluation.compare import CEILING
from usbrec.types import Frozen, Outcome

LEAST_SIGHT = 0.6
"""From this AUC on a judge sees; the catalogue judge has 1."""
LEAST_OFFERS = 10
"""With fewer hits, or fewer misses, nobody knows."""
HUMAN_WORDS = (CEILING, "floor:random-reply")


class Sight(Frozen):
    """How well one judge tells offers that hit from offers that miss."""

    auc: float | None
    """The chance that a hit is graded above a miss, ties counting half; None with fewer than `LEAST_OFFERS` of either."""
    hits: int
    """First replies with a grade that offer a target ..."""
    misses: int
    """... and that offer something else."""

    @property
    def blind(self) -> bool:
        return self.auc is not None and self.auc < LEAST_SIGHT

    def __str__(self) -> str:
        told = "not known" if self.auc is None else f"{self.auc:.2f}"
        return f"{told} ({self.hits} hits, {self.misses} misses)"


def sight_of(outcomes: Iterable[Outcome], place: int) -> Sight:
    """The sight of the judge at this place in every turn's scores, over the first replies that offer anything."""
    grades: dict[bool, list[float]] = {True: [], False: []}
    for outcome in outcomes:
        first = outcome.turns[0] if outcome.turns and outcome.arm not in HUMAN_WORDS else None
        if first and first.items and (value := first.scores[place].value) is not None:
            grades[not set(first.items).isdisjoint(outcome.targets)].append(value)
    hits, misses = grades[True], sorted(grades[False])
    enough = min(len(hits), len(misses)) >= LEAST_OFFERS
    below = sum(bisect_left(misses, value) + bisect_right(misses, value) for value in hits) / 2
    return Sight(auc=round(below / (len(hits) * len(misses)), 6) if enough else None, hits=len(hits), misses=len(misses))
