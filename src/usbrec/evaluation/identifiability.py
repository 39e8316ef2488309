"""Identifiability: how many items fit what the seeker has said.

A simulated seeker never says a title.  But who names a director of a single work names the work: a hit after that is a lookup.  So at each
simulated saying the audit counts k, the items that nobody has named and that have every attribute told so far; k = 1, the target alone, is
a leak in all but name.  Attributes are genres, directors and stars, and decades, read from the words as our own profiler reads them, in
the given history too; a saying that tells nothing new has no k.  Of what was told, what is true of a target counts, for the target that is
then easiest to tell: what a seeker gets wrong, or says of another target, makes nobody surer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

from usbrec.evaluation.metrics import COUNTED, METRICS, Measure, headline, measure, row_values
from usbrec.linking import Linker
from usbrec.roles.catalogue import CatalogueProfiler, named_items
from usbrec.roles.paraphrase import ERAS
from usbrec.roles.seekers import Wish, sharing
from usbrec.types import Dialogue, Frozen, Outcome

WITHIN = (1, 3, 10)
"""The k that are reported."""
CLOSE = 3
"""Rows with so few items left are taken out of the last turn's scores."""
_DECADE = re.compile(r"\b((?:1[89]|20)\d0)'?s\b")


class Part(Frozen):
    """One metric without the rows that the seeker's words identify, and on these alone."""

    metric: str
    judge: str
    without: Measure
    only: Measure


class Identified(Frozen):
    """How far the seeker's words gave the targets of an arm's rows away."""

    arm: str
    rows: int
    sayings: int
    """Of the simulated seeker."""
    telling: int
    """Of these, sayings that tell an attribute of a target which the seeker had not told."""
    sayings_within: dict[int, int]
    """k -> sayings after which at most k items are left."""
    rows_within: dict[int, int]
    """k -> rows with such a saying."""
    parts: tuple[Part, ...] = ()
    """The last turn's iEval by each judge, and hits in any turn; without leaks where there are any."""


class Listener:
    """Reads attributes out of words; asking twice costs nothing."""

    def __init__(self, linker: Linker) -> None:
        self.linker = linker
        self._read = lru_cache(maxsize=16384)(self._attributes)
        self._having = lru_cache(maxsize=16384)(self._items)

    @cached_property
    def _facts(self) -> CatalogueProfiler:
        return CatalogueProfiler(self.linker.catalogue, self.linker)

    def _attributes(self, text: str) -> frozenset[Wish]:
        genres, people = self._facts.wanted(text)
        decades = {*_DECADE.findall(text), *(decade for decade, words in ERAS.items() if words in text)}
        told = [*(("genre", g) for g in genres), *(("star", p) for p in people), *(("decade", d) for d in decades)]
        return frozenset(Wish(kind, value) for kind, value in told)

    def _items(self, wish: Wish) -> frozenset[str]:
        return frozenset(sharing(wish, self.linker.catalogue))

    def left(self, outcome: Outcome) -> list[int | None]:
        """k after each simulated saying; None for one that tells nothing new of a target."""
        told: frozenset[Wish] = frozenset()
        found = []
        for place, message in enumerate(outcome.dialogue.messages):
            if message.side == "seeker":
                new = self._read(message.text) - told
                told |= new
                if place >= outcome.start:
                    named = named_items(Dialogue(messages=outcome.dialogue.messages[: place + 1]), self.linker)
                    secret = [target for target in outcome.targets if target not in named]
                    counts = [self._fitting(target, told, named) for target in secret if any(target in self._having(w) for w in new)]
                    found.append(min(counts, default=None))
        return found

    def _fitting(self, target: str, told: frozenset[Wish], named: frozenset[str]) -> int:
        having = [items for wish in told if target in (items := self._having(wish))]
        return len(frozenset.intersection(*having) - named)


def identified(arms: Mapping[str, Sequence[Outcome]], linker: Linker, judges: Sequence[str] = (), *, seed: int = 0) -> list[Identified]:
    """Counts over the arms' rows, and their scores without those that are identified within `CLOSE`.

    Args:
        arms: arm -> its rows, with only new items in their turns (`metrics.keep_new`).
        judges: one name per score of a turn, in that order.
    """
    listener, leaks = Listener(linker), any(o.leaks for rows in arms.values() for o in rows)
    slots = [(headline("ieval", leaks=leaks), place, judge) for place, judge in enumerate(judges)]
    slots += [(headline("hit-any", leaks=leaks), 0, COUNTED)]
    found = []
    for arm, rows in arms.items():
        left = {outcome.key: listener.left(outcome) for outcome in rows}
        least = {key: min((k for k in counts if k is not None), default=None) for key, counts in left.items()}
        known = [k for counts in left.values() for k in counts if k is not None]
        close = {key for key, k in least.items() if k is not None and k <= CLOSE}
        found.append(
            Identified(
                arm=arm,
                rows=len(rows),
                sayings=sum(map(len, left.values())),
                telling=len(known),
                sayings_within={k: sum(count <= k for count in known) for k in WITHIN},
                rows_within={k: sum(count is not None and count <= k for count in least.values()) for k in WITHIN},
                parts=tuple(_part(rows, slot, close, seed) for slot in slots),
            )
        )
    return found


def _part(rows: Sequence[Outcome], slot: tuple[str, int, str], close: set[str], seed: int) -> Part:
    metric, place, judge = slot
    values, limits = row_values(rows, METRICS[metric], place), METRICS[metric].limits
    without, only = ({key: value for key, value in values.items() if (key in close) is inside} for inside in (False, True))
    return Part(metric=metric, judge=judge, without=measure(without, limits, seed), only=measure(only, limits, seed))
