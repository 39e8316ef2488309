"""How well the linker finds what a human's reply is known to name: precision and recall against the corpus's own marks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from usbrec.data.rows import RawRow, Reading
from usbrec.linking import Linker
from usbrec.titles import clean
from usbrec.types import Frozen

_YEAR = re.compile(r"\(\d{4}\)")


class LinkingQuality(Frozen):
    """Counts over whole replies, each item once a reply."""

    replies: int
    right: int
    """Linked, and marked."""
    extra: int
    """Linked, but not marked."""
    missed: int
    """Marked, but not linked."""
    ambiguous: int
    """Of the missed: seen, but several items share the title."""
    most_missed: tuple[str, ...] = ()
    most_extra: tuple[str, ...] = ()

    @property
    def precision(self) -> float:
        """Of the linked items, how many are marked (1 where nothing was linked)."""
        return self.right / (self.right + self.extra) if self.right + self.extra else 1.0

    @property
    def recall(self) -> float:
        """Of the marked items, how many are linked (1 where nothing is marked)."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    def as_card(self) -> dict[str, Any]:
        """Counts and shares for `card.json`."""
        counts = self.model_dump(exclude={"most_missed", "most_extra"})
        return counts | {"precision": round(self.precision, 4), "recall": round(self.recall, 4)}


LEAST_RECALL = 0.8
"""Below it the human's replies are credited with much less than they name, and every arm's with them."""


def weak(linking: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each split in which much of what the replies name is not linked.

    Args:
        linking: split -> counts and shares as `LinkingQuality.as_card` has them, or as a card keeps them.
    """
    return [
        f"of the {found['right'] + found['missed']} targets of {split} the human replies are linked with only {found['recall']:.0%} "
        f"(linking recall {found['recall']:.2f}): what is not linked cannot score, so the ceiling stands that low"
        for split, found in linking.items()
        if found["recall"] < LEAST_RECALL
    ]


def measure(replies: Iterable[tuple[str, set[str]]], linker: Linker, *, dated: bool = False, show: int = 10) -> LinkingQuality:
    """Links every reply and compares with its marked ids.  `dated`: only what is written with its year counts as linked."""
    right = extra = missed = ambiguous = count = 0
    lost: Counter[str] = Counter()
    added: Counter[str] = Counter()
    for text, marked in replies:
        count += 1
        mentions = [mention for mention in linker.mentions(text) if not dated or _YEAR.search(mention.text)]
        linked = {mention.item for mention in mentions if mention.item is not None}
        maybe = {item for mention in mentions for item in mention.candidates}
        right += len(linked & marked)
        extra += len(linked - marked)
        missed += len(marked - linked)
        ambiguous += len((marked - linked) & maybe)
        lost.update(linker.catalogue[item].name for item in marked - linked)
        added.update(linker.catalogue[item].name for item in linked - marked)
    return LinkingQuality(
        replies=count,
        right=right,
        extra=extra,
        missed=missed,
        ambiguous=ambiguous,
        most_missed=_top(lost, show),
        most_extra=_top(added, show),
    )


def measure_rows(rows: Iterable[RawRow], reading: Reading, *, dated: bool = False) -> LinkingQuality:
    """The same on raw rows with a whole reply, before any target was dropped; names that mean no or several items are left out.

    `dated`: only title strings with a year count as marked.
    """

    def marked(row: RawRow) -> set[str]:
        names = (name for name in row.rec if not dated or _YEAR.search(name))
        return {ids[0] for name in names if len(ids := reading.ids(name)) == 1}

    return measure(((clean(row.resp), marked(row)) for row in rows if row.resp and not row.cut), reading.linker, dated=dated)


def _top(counts: Counter[str], size: int) -> tuple[str, ...]:
    return tuple(f"{name} x{count}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:size])
