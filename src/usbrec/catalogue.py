"""The catalogue: every item that can be recommended, with its attributes, and when two items are alike.

`comparable` is the yes/no likeness of the catalogue judge, which decides between a verdict of 0 and of 1; `likeness` is its smooth sister
for the search, which must rank offers that are all "comparable" or all not.  Nothing here reads text: titles in a sentence are the matter
of `usbrec.linking`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from usbrec import jsonl
from usbrec.errors import DataError
from usbrec.types import Item

COMPARABLE_GENRES = 0.5
COMPARABLE_STARS = 2


class Catalogue:
    """Items by id, in the order given.

    Raises:
        DataError: two items have the same id.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        entries = list(items)
        self._items = {item.id: item for item in entries}
        if len(self._items) < len(entries):
            doubled = sorted(key for key, count in Counter(item.id for item in entries).items() if count > 1)
            shown = ", ".join(doubled[:5]) + (", ..." if len(doubled) > 5 else "")
            raise DataError(f"{len(doubled)} item ids occur more than once: {shown}", where="catalogue", fix="give every item its own id")

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """The catalogue in a JSONL file of `Item` rows.

        Raises:
            DataError: the file is missing, a row is no `Item`, or an id is doubled.
        """
        try:
            return cls(jsonl.read(path, Item))
        except DataError as fault:
            raise DataError(fault.what, where=str(path) if fault.where == "catalogue" else fault.where, fix=fault.fix) from None

    def save(self, path: Path) -> None:
        """Writes the items as JSONL, atomically."""
        jsonl.rewrite(path, self)

    def __getitem__(self, item: str) -> Item:
        try:
            return self._items[item]
        except KeyError:
            raise DataError(f"there is no item '{item}'", where="catalogue") from None

    def get(self, item: str) -> Item | None:
        """The item, or None where the catalogue does not hold it."""
        return self._items.get(item)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (first 16 hex digits) over all rows in order: part of fingerprints."""
        whole = hashlib.sha256()
        for item in self:
            whole.update(item.model_dump_json().encode() + b"\n")
        return whole.hexdigest()[:16]

    @cached_property
    def genres(self) -> tuple[str, ...]:
        """All genres, sorted."""
        return tuple(sorted(self.by_genre))

    @cached_property
    def by_genre(self) -> dict[str, tuple[str, ...]]:
        """Genre -> ids of its items."""
        return _index((genre, item.id) for item in self for genre in item.genres)

    @cached_property
    def by_person(self) -> dict[str, tuple[str, ...]]:
        """Director or star, as written -> ids of their items."""
        return _index((person, item.id) for item in self for person in (*item.directors, *item.stars))

    @cached_property
    def by_decade(self) -> dict[str, tuple[str, ...]]:
        """First year of a decade, "1990" -> ids of its items."""
        return _index((decade, item.id) for item in self if (decade := item.decade))

    @cached_property
    def people(self) -> dict[str, str]:
        """Full name of a director, star or writer in lower case -> as written."""
        return {person.lower(): person for person in self.by_maker if " " in person}

    @cached_property
    def by_maker(self) -> dict[str, tuple[str, ...]]:
        """Director, star or writer, as written -> ids of their items."""
        return _index((person, item.id) for item in self for person in dict.fromkeys((*item.directors, *item.stars, *item.writers)))

    def comparable(self, a: str, b: str) -> bool:
        """Half of the genres in common (Jaccard), or a common director, or two common stars (docs/method.md, Catalogue judge).  An item is
        not comparable with itself: that would be a hit."""
        if a == b:
            return False
        one, other = self[a], self[b]
        return (
            _jaccard(one.genres, other.genres) >= COMPARABLE_GENRES
            or bool(set(one.directors) & set(other.directors))
            or len(set(one.stars) & set(other.stars)) >= COMPARABLE_STARS
        )

    def likeness(self, a: str, b: str) -> float:
        """How alike two items are, in [0, 1]; 1 for an item and itself.

        0.6 of the genres' Jaccard index, 0.2 for a common director, 0.1 for each of at most two common stars.
        """
        if a == b:
            return 1.0
        (genres, directors, stars), (their_genres, their_directors, their_stars) = self._facets[a], self._facets[b]
        common = len(genres & their_genres)
        jaccard = common / (len(genres) + len(their_genres) - common) if common else 0.0
        director = not directors.isdisjoint(their_directors)
        return 0.6 * jaccard + 0.2 * director + 0.1 * min(len(stars & their_stars), COMPARABLE_STARS)

    @cached_property
    def _facets(self) -> dict[str, tuple[frozenset[str], frozenset[str], frozenset[str]]]:
        """Genres, directors and stars as sets: a ranking asks for the likeness of thousands of pairs."""
        return {item.id: (frozenset(item.genres), frozenset(item.directors), frozenset(item.stars)) for item in self}


def _jaccard(a: Iterable[str], b: Iterable[str]) -> float:
    one, other = set(a), set(b)
    return len(one & other) / len(one | other) if one and other else 0.0


def _index(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for key, item in pairs:
        found[key][item] = None
    return {key: tuple(items) for key, items in found.items()}
