"""Linking: which items of the catalogue a text names, and where.

A title with its year ("Heat (1995)") links whatever its words.  A right title with a wrong year is the commonest slip of a model
(docs/log.md): it links to the title's only film, or to the nearest within two years, and is marked `repaired`; a title that several films
share is never guessed: `item` is None and `candidates` says which.  A near-misspelt title with the right year links and is repaired.

A title without a year is a title only if its writing says so, because "it", "up", "her" and "drama" are films as well:

| the title's words                       | it links when                                                            |
|-----------------------------------------|--------------------------------------------------------------------------|
| genre words, "movie", "film"            | never without a year                                                     |
| one very common word, or digits only    | in quotation marks, or with a capital right after "seen", "watched" ...  |
| one common word; two or several         | in quotation marks, or with capitals where prose has none                |
| (very) common words                     |                                                                          |
| a name of the catalogue's people        | the same                                                                 |
| anything else                           | in any case; but not as part of a longer capitalised name ("Emma Watson")|

"Common" is what `usbrec.words` lists, with its inflections, and whatever the catalogue's own plots write in lower case.

All titles are found in one pass (Aho-Corasick): the time depends on the text, not on the size of the catalogue.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import ahocorasick
from rapidfuzz import fuzz, process

from usbrec.catalogue import Catalogue
from usbrec.linking.writing import (
    BEFORE,
    COMMON,
    GENERIC,
    SMALL,
    TOP,
    Span,
    by_length,
    capitals_tell,
    closing,
    ends_longer_name,
    in_longer_name,
    in_quotes,
    stems,
    year_after,
)
from usbrec.titles import ARTICLES, Word, keys_of, parts_of, split_name, words_of
from usbrec.types import Dialogue, Frozen, Item

__all__ = ["COMMON", "GENERIC", "Linker", "Mention"]

REPAIR_YEARS = 2
"""A title that several films share is repaired to the nearest year within so many."""
REPAIR_LIKENESS = 92.0
"""Least likeness (rapidfuzz ratio, 0 to 100) of a misspelt title to one of the same year."""
SHORTEST_REPAIR = 6
LONGEST_REPAIR = 8
"""Misspelt titles have at least so many characters and at most so many words."""

_LOWER = re.compile(r"(?<![\w'’-])[a-z]{3,}(?![\w'’-])")

Tier = Literal["generic", "quoted", "written", "free"]


class Mention(Frozen):
    """A title found in a text: `text[start:end]`, the year included."""

    start: int
    end: int
    text: str
    item: str | None
    """The item meant; None when several could be meant."""
    repaired: bool = False
    """The year was wrong or the title misspelt."""
    candidates: tuple[str, ...] = ()
    """Where `item` is None: the items that could be meant, at least two."""


class _Key(NamedTuple):
    exact: tuple[Item, ...]
    alias: tuple[Item, ...]
    tier: Tier
    written: str
    """The title as the catalogue writes it: short titles must be written so."""

    @property
    def items(self) -> tuple[Item, ...]:
        return self.exact or self.alias


class Linker:
    """Finds the catalogue's titles in texts.  Answers are cached, so asking twice costs nothing."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._people = _people_words(catalogue)
        self._prose = _prose_words(catalogue)
        self._keys = self._index()
        self._automaton = _automaton(self._keys)
        self._found = lru_cache(maxsize=16384)(self._find)

    def __reduce__(self) -> tuple[object, ...]:
        return Linker, (self.catalogue,)

    def mentions(self, text: str) -> list[Mention]:
        """Every title the text names, left to right, without overlaps; of two overlapping ones the longer."""
        return list(self._found(text))

    def items(self, text: str) -> tuple[str, ...]:
        """The ids the text names, in order, each once; without the ambiguous."""
        return tuple(dict.fromkeys(mention.item for mention in self._found(text) if mention.item is not None))

    def names(self, name: str) -> tuple[str, ...]:
        """The ids that a data set's title string means: "Title (Year)" by title and year, "Title" by title; several when it is shared."""
        title, year = split_name(name)
        for key in keys_of(title)[:1]:
            entry = self._keys.get(key)
            if entry is not None:
                return tuple(item.id for item in entry.items if year is None or item.year is None or item.year == year)
        return ()

    def leaks(self, dialogue: Dialogue, targets: Sequence[str]) -> tuple[str, ...]:
        """The targets that the dialogue already names, with or without a year; a shared title counts for all its films."""
        named: set[str] = set()
        for message in dialogue.messages:
            for mention in self._found(message.text):
                named.update(mention.candidates if mention.item is None else (mention.item,))
        return tuple(target for target in dict.fromkeys(targets) if target in named)

    def reveals(self, text: str, targets: Sequence[str]) -> bool:
        """Does the text give one of the targets away: by its title, or by what stands before or after the title's colon?"""
        return bool(self._revealing(text, targets))

    def mask(self, text: str, targets: Sequence[str], by: str = "that one") -> str:
        """The text with every revealing passage replaced."""
        for start, end in reversed(_merged(self._revealing(text, targets))):
            text = text[:start] + by + text[end:]
        return text

    def _index(self) -> dict[str, _Key]:
        exact: dict[str, list[Item]] = defaultdict(list)
        alias: dict[str, list[Item]] = defaultdict(list)
        for item in self.catalogue:
            first, *others = keys_of(item.title) or [""]
            exact[first].append(item)
            for key in others:
                alias[key].append(item)
        exact.pop("", None)
        return {
            key: _Key(
                tuple(exact.get(key, ())),
                tuple(alias.get(key, ())),
                self._tier(key, alias=key not in exact),
                (exact.get(key) or alias[key])[0].title,
            )
            for key in (*exact, *(key for key in alias if key not in exact))
        }

    def _tier(self, key: str, *, alias: bool = False) -> Tier:
        words = key.split()
        core = [word for word in words if word not in ARTICLES] or words
        if len(words) == 1 and words[0] in GENERIC:
            return "generic"
        if all(word.isdigit() for word in core) or len(core) == 1 == len(core[0]):
            return "quoted"
        if len(core) == 1:
            word = core[0]
            if len(words) == 1 and stems(word) & TOP:
                return "quoted"
            return "written" if alias or self._common(word) or word in self._people or len(word) <= 3 or word in GENERIC else "free"
        if all(word in GENERIC or word in SMALL or word in self._people or stems(word) & TOP for word in core):
            return "written" if len(words) < 5 else "free"
        plain = all(word in GENERIC or word in SMALL or self._common(word) for word in core)
        return "written" if plain and len(words) <= (3 if alias else 2) else "free"

    def _common(self, word: str) -> bool:
        return bool(stems(word) & COMMON) or word in self._prose

    def _find(self, text: str) -> tuple[Mention, ...]:
        words = words_of(text)
        if not words:
            return ()
        spans = sorted(self._spans(text, words), key=by_length)
        taken = [False] * len(words)
        found: list[Mention] = []
        for span in spans:
            if any(taken[span.first : span.last + 1]):
                continue
            mention = self._resolve(text, words, span)
            if mention is not None:
                found.append(mention)
                _take(taken, words, mention)
        if "(" in text:
            found.extend(self._misspelt(text, words, taken))
        return tuple(sorted(found, key=lambda mention: mention.start))

    def _spans(self, text: str, words: Sequence[Word]) -> list[Span]:
        haystack = " " + " ".join(word.form for word in words) + " "
        starts: dict[int, int] = {}
        ends: dict[int, int] = {}
        place = 1
        for index, word in enumerate(words):
            starts[place] = index
            place += len(word.form) + 1
            ends[place - 1] = index
        spans = []
        for end, key in self._automaton.iter(haystack):
            last = ends[end]
            year, bracketed, stop = year_after(text, words, last)
            spans.append(Span(starts[end - len(key)], last, key, year, bracketed, stop))
        return spans

    def _resolve(self, text: str, words: Sequence[Word], span: Span) -> Mention | None:
        entry = self._keys[span.key]
        start = words[span.first].start

        def mention(items: Sequence[Item], end: int, *, repaired: bool = False) -> Mention:
            ids = tuple(item.id for item in items)
            one = ids[0] if len(ids) == 1 else None
            return Mention(
                start=start, end=end, text=text[start:end], item=one, repaired=repaired and one is not None, candidates=() if one else ids
            )

        if span.year is not None:
            same = [item for item in entry.exact if item.year == span.year] or [item for item in entry.alias if item.year == span.year]
            if not same and span.bracketed:
                same = self._same_but_article(span.key, span.year)
            if same:
                return mention(same, span.end)
            whole = span.last > span.first and bool(entry.exact)
            if span.bracketed and (whole or not ends_longer_name(text, words, span)):
                return mention(self._nearest(entry.items, span.year), span.end, repaired=entry.items[0].year is not None)
        if not self._looks_titled(text, words, span, entry):
            return None
        return mention(entry.items, words[span.last].end)

    def _nearest(self, items: Sequence[Item], year: int) -> Sequence[Item]:
        """The only item, or the one nearest to the year where that is near enough and no other is as near; else all of them."""
        near = sorted((abs(item.year - year), item.id) for item in items if item.year is not None)
        if len(items) > 1 and near and near[0][0] <= REPAIR_YEARS and (len(near) == 1 or near[1][0] > near[0][0]):
            return [self.catalogue[near[0][1]]]
        return items

    def _same_but_article(self, key: str, year: int) -> list[Item]:
        """ "the ring", 1998 -> "Ring (1998)": a right year counts for more than an article."""
        first, _, rest = key.partition(" ")
        entry = self._keys.get(rest) if first in ARTICLES else None
        return [item for item in entry.exact if item.year == year] if entry else []

    def _looks_titled(self, text: str, words: Sequence[Word], span: Span, entry: _Key) -> bool:
        """The table of the module's docstring, for a title without a year."""
        if entry.tier == "generic":
            return False
        if in_quotes(text, words, span):
            return True
        single = sum(word.form not in ARTICLES for word in words[span.first : span.last + 1]) <= 1
        if single and in_longer_name(text, words, span, self._people):
            return False
        if entry.tier == "free":
            return True
        if single and len(span.key) <= 3 and text[words[span.first].start : words[span.last].end] != entry.written:
            return False
        if entry.tier == "quoted":
            cued = span.first > 0 and words[span.first - 1].form in BEFORE and not span.key.isdigit()
            return cued and capitals_tell(text, words, span)
        return capitals_tell(text, words, span)

    @cached_property
    def _by_year(self) -> dict[int, dict[str, dict[str, Item]]]:
        return _by_year(self.catalogue)

    def _misspelt(self, text: str, words: Sequence[Word], taken: list[bool]) -> Iterable[Mention]:
        for at, word in enumerate(words):
            if taken[at] or len(word.form) != 4 or not word.form.isdigit() or text[word.start - 1 : word.start] != "(":
                continue
            table = self._by_year.get(int(word.form))
            best: tuple[float, int, Item] | None = None
            for first in range(max(0, at - LONGEST_REPAIR), at):
                if table is None or any(taken[first:at]):
                    continue
                written = " ".join(each.form for each in words[first:at])
                titles = table.get(written[:1], {})
                hit = process.extractOne(written, titles.keys(), scorer=fuzz.ratio, score_cutoff=REPAIR_LIKENESS)
                if hit and len(written) >= SHORTEST_REPAIR and (best is None or hit[1] > best[0]):
                    best = (hit[1], first, titles[hit[0]])
            if best is not None:
                start, end = words[best[1]].start, closing(text, word.end)
                yield Mention(start=start, end=end, text=text[start:end], item=best[2].id, repaired=True)

    def _revealing(self, text: str, targets: Sequence[str]) -> list[tuple[int, int]]:
        wanted = set(targets)
        spans = [
            (mention.start, mention.end)
            for mention in self._found(text)
            if mention.item in wanted or not wanted.isdisjoint(mention.candidates)
        ]
        words = words_of(text)
        forms = [word.form for word in words]
        for target in wanted:
            title = self.catalogue[target].title
            for key in dict.fromkeys((*keys_of(title), *parts_of(title))):
                spans.extend(self._passages(text, words, forms, key))
        return spans

    def _passages(self, text: str, words: Sequence[Word], forms: Sequence[str], key: str) -> Iterable[tuple[int, int]]:
        wanted = key.split()
        bare = len([word for word in wanted if word not in ARTICLES]) == 1 and self._tier(key) != "free"
        for first in range(len(forms) - len(wanted) + 1):
            last = first + len(wanted) - 1
            if list(forms[first : last + 1]) != wanted:
                continue
            year, bracketed, end = year_after(text, words, last)
            span = Span(first, last, key, year, bracketed, end)
            if not bare or bracketed or len(forms) == len(wanted) or in_quotes(text, words, span) or capitals_tell(text, words, span):
                yield words[first].start, end


def _people_words(catalogue: Catalogue) -> frozenset[str]:
    return frozenset(word.form for person in catalogue.by_person for word in words_of(person))


def _prose_words(catalogue: Catalogue) -> frozenset[str]:
    """Words that the plots write in lower case: no title by themselves."""
    return frozenset(word for item in catalogue for word in _LOWER.findall(item.plot))


def _automaton(keys: Iterable[str]) -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    automaton.add_word("\x00", "")
    for key in keys:
        automaton.add_word(f" {key} ", key)
    automaton.make_automaton()
    return automaton


def _by_year(catalogue: Catalogue) -> dict[int, dict[str, dict[str, Item]]]:
    """Year -> first letter -> key -> item: where a misspelt title is looked up."""
    table: dict[int, dict[str, dict[str, Item]]] = defaultdict(lambda: defaultdict(dict))
    for item in catalogue:
        if item.year is not None:
            for key in keys_of(item.title):
                table[item.year][key[0]].setdefault(key, item)
    return {year: dict(letters) for year, letters in table.items()}


def _take(taken: list[bool], words: Sequence[Word], mention: Mention) -> None:
    for index, word in enumerate(words):
        if mention.start <= word.start < mention.end:
            taken[index] = True


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
