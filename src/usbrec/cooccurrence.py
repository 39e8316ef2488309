"""The collaborative baseline (docs/method.md): items that the same seekers liked.

For the items L that a seeker likes, an item i scores

    sum over l in L of  co(l, i) / sqrt((n_l + 3) (n_i + 3))   +   0.02 log(1 + n_i)

where n_i counts the dialogues that like i, and co(l, i) those that like both.  The table must be made from *training* dialogues only:
whoever prepares the data sees to that (`usbrec.data`).  A training dialogue's own likes must not answer for it either, or it would find
its targets more easily than any dialogue of the test: `without` gives the table as if it had not taken part.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from usbrec import jsonl
from usbrec.types import Frozen

Whole = np.ndarray[tuple[int], np.dtype[np.int64]]
Real = np.ndarray[tuple[int], np.dtype[np.float64]]

SHRINKAGE = 3.0
POPULARITY_WEIGHT = 0.02


class Likes(Frozen):
    """What one training dialogue liked (or, where nothing says so, named)."""

    key: str
    """The dialogue's id."""
    items: tuple[str, ...]


class Cooccurrence:
    """The table over all likes.  Doubled items within one dialogue count once.

    Args:
        likes: for each training dialogue, the ids it likes.
    """

    def __init__(self, likes: Sequence[Sequence[str]]) -> None:
        dialogues = [sorted(set(items)) for items in likes]
        liked_by = Counter(item for items in dialogues for item in items)
        self._ids = sorted(liked_by)
        self._place = {item: place for place, item in enumerate(self._ids)}
        self._counts = np.array([liked_by[item] for item in self._ids], dtype=np.float64)
        self._left_out: tuple[Whole, ...] = ()
        together: dict[int, Counter[int]] = defaultdict(Counter)
        for items in dialogues:
            places = [self._place[item] for item in items]
            for place in places:
                together[place].update(other for other in places if other != place)
        self._together = {place: (_array(row.keys(), np.int64), _array(row.values(), np.float64)) for place, row in together.items()}

    @classmethod
    def load(cls, path: Path) -> Cooccurrence:
        """The table of a prepared folder's `likes.jsonl` (rows of `Likes`).

        Raises:
            DataError: the file is missing or a row does not fit.
        """
        return cls([row.items for row in jsonl.read(path, Likes)])

    def without(self, items: Iterable[str]) -> Cooccurrence:
        """The table as if one of its dialogues, which likes these items, had not taken part: exact, and made in no time.

        Args:
            items: all that this dialogue likes, as it stood in `likes`.
        """
        table = copy.copy(self)
        places = np.array(sorted({self._place[item] for item in items}), dtype=np.int64)
        table._left_out, table._counts = (*self._left_out, places), self._counts.copy()
        table._counts[places] -= 1
        return table

    @property
    def popularity(self) -> dict[str, int]:
        """id -> number of dialogues that like it; only items with at least one."""
        return {item: int(count) for item, count in zip(self._ids, self._counts.tolist(), strict=True) if count}

    def scores(self, liked: Sequence[str]) -> dict[str, float]:
        """The score of every item that any training dialogue likes.  Unknown ids in `liked` add nothing; doubled ones count once."""
        found = zip(self._ids, self._scores(liked).tolist(), self._counts.tolist(), strict=True)
        return {item: score for item, score, count in found if count}

    def score(self, liked: Sequence[str], item: str) -> float:
        """The score of one item; 0 for one that no training dialogue likes."""
        place = self._place.get(item)
        return float(self._scores(liked)[place]) if place is not None else 0.0

    def rank(self, liked: Sequence[str], exclude: Collection[str], k: int) -> list[tuple[str, float]]:
        """The k best (id, score), best first, ties by id; neither excluded nor liked items."""
        scores = self._scores(liked)
        out = {*exclude, *liked}
        best: list[tuple[str, float]] = []
        for place in np.argsort(-scores, kind="stable"):
            if len(best) >= k:
                break
            if self._counts[place] and self._ids[place] not in out:
                best.append((self._ids[place], float(scores[place])))
        return best

    def most_popular(self, exclude: Collection[str], k: int) -> list[str]:
        """The k items that most training dialogues like, ties by id, without the excluded ones."""
        return [item for item, _ in self.rank((), exclude, k)]

    def _scores(self, liked: Sequence[str]) -> Real:
        total: Real = POPULARITY_WEIGHT * np.log1p(self._counts)
        for item in dict.fromkeys(liked):
            place = self._place.get(item, -1)
            if place in self._together:
                others, together = self._together[place]
                for left in self._left_out:
                    if place in left:
                        together = together - np.isin(others, left)
                total[others] += together / np.sqrt((self._counts[place] + SHRINKAGE) * (self._counts[others] + SHRINKAGE))
        return total


def _array(values: Collection[int], kind: type[np.generic]) -> np.ndarray[tuple[int], np.dtype[Any]]:
    return np.fromiter(values, dtype=kind, count=len(values))
