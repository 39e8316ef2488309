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

| of a script without spaces: one character | in quotation marks                                                   |
| two (of kana, Thai and the like: three)  | the same, or where no other character of such a script is next to it |
| symbols that belong to the title, "[REC]"| as they stand; a single one, or punctuation alone, in quotation marks|

"Common" is what `usbrec.words` lists, with its inflections, and whatever the catalogue's own plots write in lower case.

All titles are found in one pass (Aho-Corasick): the time depends on the text, not on the size of the catalogue.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
    Text,
    by_length,
    capitals_tell,
    closing,
    ends_longer_name,
    in_longer_name,
    in_quotes,
    stands_alone,
    stems,
)
from usbrec.titles import ARTICLES, HAN_OR_HANGUL, SYLLABIC, folded, keys_of, literal_of, parts_of, split_name, words_of
from usbrec.types import Dialogue, Frozen, Item

__all__ = ["COMMON", "GENERIC", "Linker", "Mention"]

REPAIR_YEARS = 2
"""A title that several films share is repaired to the nearest year within so many."""
REPAIR_LIKENESS = 92.0
"""Least likeness (rapidfuzz ratio, 0 to 100) of a misspelt title to one of the same year."""
SHORTEST_REPAIR = 6
LONGEST_REPAIR = 8
LONGEST_WRITTEN = 400
"""Misspelt titles have at least so many characters, and at most so many words and characters."""

_LOWER = re.compile(r"(?<![\w'’-])[a-z]{3,}(?![\w'’-])")

_LONGEST_KEPT = 20_000
"""Characters of a text whose answer is kept."""
_SYMBOLS = frozenset("[]{}#@*")
"""Beside what Unicode calls a currency, mathematical or other symbol: what may tell a title by itself, as in "[REC]" or "$9.99"."""
_RIDING = frozenset("\u200d\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
"""What makes another emoji of the one before it."""

Tier = Literal["generic", "quoted", "alone", "written", "free"]


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
    """The title's words as the catalogue writes them: short titles must be written so."""

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
        self._automaton = _automaton((f" {key} ", key) for key in self._keys)
        literals = self._literals()
        self._keys |= literals
        self._literal = _automaton((key, key) for key in literals)
        written = "".join((*literals, *(item.title for entry in literals.values() for item in entry.exact)))
        self._telling = frozenset(letter for letter in written if not letter.isalnum() and not letter.isspace())
        self._cached = lru_cache(maxsize=16384)(self._find)
        self._likest = lru_cache(maxsize=65536)(self._like)

    def __reduce__(self) -> tuple[object, ...]:
        return Linker, (self.catalogue,)

    def _found(self, text: str) -> tuple[Mention, ...]:
        return self._cached(text) if len(text) <= _LONGEST_KEPT else self._find(text)

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
        pieces, last = [], 0
        for start, end in _merged(self._revealing(text, targets)):
            pieces += [text[last:start], by]
            last = end
        return "".join((*pieces, text[last:]))

    def righted(self, text: str) -> str:
        """The text with every repaired title by its catalogue name: whoever says it back says it right."""
        pieces, last = [], 0
        for mention in self._found(text):
            if mention.repaired and mention.item is not None:
                pieces += [text[last : mention.start], self.catalogue[mention.item].name]
                last = mention.end
        return "".join((*pieces, text[last:]))

    def years(self, text: str) -> list[bool]:
        """For each year that the text says in brackets behind a title: is it the catalogue's?

        Of a title that several items share it is where one of them has it.  Items without a year tell nothing.
        """
        found = []
        for mention in self._found(text):
            said = split_name(mention.text)[1]
            known = {self.catalogue[item].year for item in (mention.candidates if mention.item is None else (mention.item,))}
            if said is not None and None not in known:
                found.append(said in known)
        return found

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
                _written((exact.get(key) or alias[key])[0].title),
            )
            for key in (*exact, *(key for key in alias if key not in exact))
        }

    def _literals(self) -> dict[str, _Key]:
        """The titles whose symbols tell them, by these: where the words alone would not link, or where there are none."""
        found: dict[str, list[Item]] = defaultdict(list)
        for item in self.catalogue:
            literal = literal_of(item.title)
            told = any(map(_tells, literal)) and self._keys[keys_of(item.title)[0]].tier != "free"
            if literal and (told or not words_of(item.title)):
                found[literal].append(item)
        return {key: _Key(tuple(items), (), _literal_tier(key), items[0].title) for key, items in found.items()}

    def _tier(self, key: str, *, alias: bool = False) -> Tier:
        words = key.split()
        if all(map(SYLLABIC.match, words)):
            free = 3 if HAN_OR_HANGUL.search(key) else 4
            return "quoted" if len(words) == 1 else "alone" if len(words) < free else "free"
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
        read = Text(text)
        taken = bytearray(len(text))
        found: list[Mention] = []
        for span in sorted(self._spans(read), key=by_length):
            if taken.find(1, span.start, span.stop) >= 0:
                continue
            mention = self._resolve(read, span)
            if mention is not None:
                found.append(mention)
                taken[mention.start : mention.end] = b"\1" * (mention.end - mention.start)
        if "(" in text:
            found.extend(self._misspelt(read, taken))
        return tuple(sorted(found, key=lambda mention: mention.start))

    def _spans(self, text: Text) -> Iterator[Span]:
        if text.words:
            for end, key in self._automaton.iter(text.haystack):
                first, last = bisect_left(text.starts, end - len(key)), bisect_right(text.starts, end - 1) - 1
                yield text.span(first, last, key)
        if not self._telling.isdisjoint(text.whole.casefold()):
            yield from self._literal_spans(text)

    def _literal_spans(self, text: Text) -> Iterator[Span]:
        written, places = folded(text.whole)
        starts, ends = [word.start for word in text.words], [word.end for word in text.words]
        for end, key in self._literal.iter(written):
            first, stop = end + 1 - len(key), end + 1
            before, after = written[first - 1 : first] if first else "", written[stop : stop + 1]
            inside = (before.isalnum() and key[0].isalnum()) or (after.isalnum() and key[-1].isalnum()) or after in _RIDING
            place = places[first], places[stop]
            if not inside and place[0] < place[1]:
                yield text.span(bisect_left(starts, place[0]), bisect_right(ends, place[1]) - 1, key, place)

    def _resolve(self, text: Text, span: Span) -> Mention | None:
        entry, start = self._keys[span.key], span.start

        def mention(items: Sequence[Item], end: int, *, repaired: bool = False) -> Mention:
            ids = tuple(item.id for item in items)
            one = ids[0] if len(ids) == 1 else None
            return Mention(
                start=start,
                end=end,
                text=text.whole[start:end],
                item=one,
                repaired=repaired and one is not None,
                candidates=() if one else ids,
            )

        if span.year is not None:
            same = [item for item in entry.exact if item.year == span.year] or [item for item in entry.alias if item.year == span.year]
            if not same and span.bracketed:
                same = self._same_but_article(span.key, span.year)
            if same:
                return mention(same, span.end)
            whole = span.last > span.first and bool(entry.exact)
            if span.bracketed and (whole or not ends_longer_name(text, span)):
                return mention(self._nearest(entry.items, span.year), span.end, repaired=entry.items[0].year is not None)
        if not self._looks_titled(text, span, entry):
            return None
        return mention(entry.items, span.stop)

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

    def _looks_titled(self, text: Text, span: Span, entry: _Key) -> bool:
        """The table of the module's docstring, for a title without a year."""
        if entry.tier == "generic":
            return False
        if in_quotes(text, span):
            return True
        if entry.tier == "alone":
            return stands_alone(text, span)
        words = text.words[span.first : span.last + 1]
        single = bool(words) and sum(word.form not in ARTICLES for word in words) <= 1
        if single and in_longer_name(text, span, self._people):
            return False
        if entry.tier == "free":
            return True
        if single and len(span.key) <= 3 and text.whole[span.start : span.stop] != entry.written:
            return False
        if entry.tier == "quoted":
            cued = span.first > 0 and text.words[span.first - 1].form in BEFORE and not span.key.isdigit()
            return cued and bool(words) and capitals_tell(text, span)
        return capitals_tell(text, span)

    @cached_property
    def _by_year(self) -> dict[int, dict[str, dict[str, Item]]]:
        return _by_year(self.catalogue)

    def _misspelt(self, text: Text, taken: bytearray) -> Iterable[Mention]:
        words = text.words
        for at, word in enumerate(words):
            if len(word.form) != 4 or not word.form.isdigit() or not word.start or text.whole[word.start - 1] != "(" or taken[word.start]:
                continue
            year, best = int(word.form), None
            letters = self._by_year.get(year, {})
            for first in range(max(0, at - LONGEST_REPAIR), at):
                if words[first].form[:1] not in letters or taken.find(1, words[first].start, word.start) >= 0:
                    continue
                written = " ".join(each.form for each in words[first:at])
                hit = self._likest(year, written) if len(written) <= LONGEST_WRITTEN else None
                if hit and (best is None or hit[0] > best[0]):
                    best = (hit[0], first, hit[1])
            if best is not None:
                start, end = words[best[1]].start, closing(text.whole, word.end)
                yield Mention(start=start, end=end, text=text.whole[start:end], item=best[2].id, repaired=True)

    def _like(self, year: int, written: str) -> tuple[float, Item] | None:
        """(likeness, the item of that year) whose title is most like these words; None where none is like enough."""
        titles = self._by_year[year][written[:1]]
        hit = process.extractOne(written, titles.keys(), scorer=fuzz.ratio, score_cutoff=REPAIR_LIKENESS)
        return (hit[1], titles[hit[0]]) if hit and len(written) >= SHORTEST_REPAIR else None

    def _revealing(self, text: str, targets: Sequence[str]) -> list[tuple[int, int]]:
        wanted = set(targets)
        spans = [
            (mention.start, mention.end)
            for mention in self._found(text)
            if mention.item in wanted or not wanted.isdisjoint(mention.candidates)
        ]
        read = Text(text)
        for target in wanted:
            title = self.catalogue[target].title
            for key in dict.fromkeys((*keys_of(title), *parts_of(title))):
                spans.extend(self._passages(read, key))
        return spans

    def _passages(self, text: Text, key: str) -> Iterable[tuple[int, int]]:
        bare = len([word for word in key.split() if word not in ARTICLES]) == 1 and self._tier(key) != "free"
        at = text.haystack.find(f" {key} ")
        while at >= 0:
            first = bisect_left(text.starts, at + 1)
            span = text.span(first, first + key.count(" "), key)
            alone = len(text.words) == span.last - span.first + 1
            if not bare or span.bracketed or alone or in_quotes(text, span) or capitals_tell(text, span):
                yield span.start, span.end
            at = text.haystack.find(f" {key} ", at + 1)


def _people_words(catalogue: Catalogue) -> frozenset[str]:
    return frozenset(word.form for person in catalogue.by_person for word in words_of(person))


def _prose_words(catalogue: Catalogue) -> frozenset[str]:
    """Words that the plots write in lower case: no title by themselves."""
    return frozenset(word for item in catalogue for word in _LOWER.findall(item.plot))


def _automaton(keys: Iterable[tuple[str, str]]) -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    automaton.add_word("\x00", "")
    for written, key in keys:
        automaton.add_word(written, key)
    automaton.make_automaton()
    return automaton


def _tells(letter: str) -> bool:
    return letter in _SYMBOLS or unicodedata.category(letter) in ("Sc", "Sm", "So")


def _literal_tier(key: str) -> Tier:
    """Punctuation alone, or a single symbol, is no title by itself."""
    return "free" if len(key) > 1 and any(letter.isalnum() or _tells(letter) for letter in key) else "quoted"


def _written(title: str) -> str:
    """The title from its first word to its last."""
    words = words_of(title)
    return title[words[0].start : words[-1].end] if words else title


def _by_year(catalogue: Catalogue) -> dict[int, dict[str, dict[str, Item]]]:
    """Year -> first letter -> key -> item: where a misspelt title is looked up."""
    table: dict[int, dict[str, dict[str, Item]]] = defaultdict(lambda: defaultdict(dict))
    for item in catalogue:
        if item.year is not None:
            for key in keys_of(item.title):
                table[item.year][key[0]].setdefault(key, item)
    return {year: dict(letters) for year, letters in table.items()}


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
