"""What a seeker that paraphrases must not say: a target's title, a genre as the catalogue writes it, or who made a target.

These are the strings that a retriever can look up.  A genre counts with its plural and with a space for its hyphen; a person by the full
name, or by the last one where it is written like a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from usbrec.linking import Linker
from usbrec.types import Item

SHORTEST_SURNAME = 4
"""Letters; a shorter last name may be anything ("Lee", "Li")."""


@dataclass(frozen=True)
class Unsaid:
    """Finds and masks what must not be said."""

    linker: Linker
    titles: tuple[str, ...]
    """Items whose titles must not be said."""
    strings: re.Pattern[str]

    def told(self, text: str) -> bool:
        """Does the text hold any of it?"""
        return bool(self.strings.search(text)) or self.linker.reveals(text, self.titles)

    def masked(self, text: str) -> str:
        """The text with everything that must not be said replaced."""
        return self.strings.sub("that", self.linker.mask(text, self.titles))


def strings_of(items: Iterable[Item], genres: Sequence[str] = ()) -> re.Pattern[str]:
    """The people and genres of some items, and further genres, as one pattern."""
    entries = list(items)
    people = list(dict.fromkeys(person for item in entries for person in (*item.directors, *item.stars, *item.writers)))
    last = [name for person in people if len(name := person.split()[-1]) >= SHORTEST_SURNAME]
    kinds = dict.fromkeys((*genres, *(genre for item in entries for genre in item.genres)))
    anyhow = "|".join((*map(_genre, kinds), *map(re.escape, people))) or "(?!)"
    return re.compile(rf"\b(?:(?i:{anyhow})|{'|'.join(map(re.escape, last)) or '(?!)'})(?!\w)")


def _genre(genre: str) -> str:
    """A genre's pattern: "comedy", "comedies"; "sci-fi", "sci fi"."""
    stem, ending = (genre[:-1], "(?:y|ies)") if genre.endswith("y") else (genre, "s?")
    return re.escape(stem).replace(r"\-", "[- ]?").replace(r"\ ", "[- ]?") + ending
