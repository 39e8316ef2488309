"""The collaborative baseline (docs/method.md): items that the same seekers liked.

For the items L that a seeker likes, an item i scores

    sum over l in L of  co(l, i) / sqrt((n_l + 3) (n_i + 3))   +   0.02 log(1 + n_i)

where n_i counts the dialogues that like i, and co(l, i) those that like both.  The table must be made from *training* dialogues only:
whoever prepares the data sees to that (`usbrec.data`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from usbrec import jsonl
from usbrec.types import Frozen

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
        self.popularity: dict[str, int] = dict(Counter(item for items in dialogues for item in items))
        """id -> number of dialogues that like it; only items with at least one."""
        self._ids = sorted(self.popularity)
        self._place = {item: place for place, item in enumerate(self._ids)}
        self._counts = np.array([self.popularity[item] for item in self._ids], dtype=np.float64)
        self._base = POPULARITY_WEIGHT * np.log1p(self._counts)
        together: dict[int, Counter[int]] = defaultdict(Counter)
        for items in dialogues:
            places = [self._place[item] for item in items]
            for place in places:
                together[place].update(other for other in places if other != place)
        self._neighbours = {place: self._weighted(place, row) for place, row in together.items()}

    @classmethod
    def load(cls, path: Path) -> Cooccurrence:
        """The table of a prepared folder's `likes.jsonl` (rows of `Likes`).

        Raises:
            DataError: the file is missing or a row does not fit.
        """
        return cls([row.items for row in jsonl.read(path, Likes)])

    def scores(self, liked: Sequence[str]) -> dict[str, float]:
        """The score of every item that any training dialogue likes.  Unknown ids in `liked` add nothing; doubled ones count once."""
        return dict(zip(self._ids, self._scores(liked).tolist(), strict=True))

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
            if self._ids[place] not in out:
                best.append((self._ids[place], float(scores[place])))
        return best

    def most_popular(self, exclude: Collection[str], k: int) -> list[str]:
        """The k items that most training dialogues like, ties by id, without the excluded ones."""
        return [item for item, _ in self.rank((), exclude, k)]

    def _scores(self, liked: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        total = self._base.copy()
        for item in dict.fromkeys(liked):
            row = self._neighbours.get(self._place.get(item, -1))
            if row is not None:
                total[row[0]] += row[1]
        return total

    def _weighted(
        self, place: int, row: Counter[int]
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
        others = np.fromiter(row.keys(), dtype=np.int64, count=len(row))
        counts = np.fromiter(row.values(), dtype=np.float64, count=len(row))
        return others, counts / np.sqrt((self._counts[place] + SHRINKAGE) * (self._counts[others] + SHRINKAGE))
