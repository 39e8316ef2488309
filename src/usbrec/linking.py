"""Linking: which items of the catalogue a text names, and where.

A title with its year ("Heat (1995)") links whatever its words.  A right title with a wrong year is the commonest slip of a model
(METHOD 6 (4)): it links to the title's only film, or to the nearest within two years, and is marked `repaired`; a title that several films
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
from usbrec.titles import ARTICLES, Word, keys_of, parts_of, split_name, words_of
from usbrec.types import Dialogue, Frozen, Item
from usbrec.words import VERY_COMMON, WORDS

REPAIR_YEARS = 2
"""A title that several films share is repaired to the nearest year within so many."""
REPAIR_LIKENESS = 92.0
"""Least likeness (rapidfuzz ratio, 0 to 100) of a misspelt title to one of the same year."""
SHORTEST_REPAIR = 6
LONGEST_REPAIR = 8
"""Misspelt titles have at least so many characters and at most so many words."""

COMMON = frozenset(WORDS)
TOP = frozenset(WORDS[:VERY_COMMON])
_ENDINGS = (("ies", "y"), ("es", ""), ("s", ""), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"), ("er", ""), ("er", "e"))
_GENERIC = """
action adventure animated animation anime biography biopic classic comedies comedy cartoon crime documentary drama dramas family fantasy
fiction film films funny history historical horror kids love movie movies music musical musicals mystery romance romantic romcom sad
scary sci science scifi series short sport sports superhero suspense thriller thrillers tv war western westerns hi hello yes no thanks
"""
_BEFORE = "seen saw watch watched watching called titled directed recommend movie film"
_AFTER = "stars starred starring"
_SMALL = "a an and as at by for from in is it of on or the to with"
GENERIC = frozenset(_GENERIC.split())
SMALL = frozenset(_SMALL.split())
BEFORE = frozenset(_BEFORE.split())
"""After one of these words a capital tells a title even of a very common word: "have you seen Her?"."""
AFTER = frozenset(_AFTER.split())
"""Before one of these words a capital tells a title even where a sentence begins: "Speed stars ..."."""

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


class _Span(NamedTuple):
    first: int
    last: int
    key: str
    year: int | None
    bracketed: bool
    end: int


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
            if len(words) == 1 and _stems(word) & TOP:
                return "quoted"
            return "written" if alias or self._common(word) or word in self._people or len(word) <= 3 or word in GENERIC else "free"
        if all(word in GENERIC or word in SMALL or word in self._people or _stems(word) & TOP for word in core):
            return "written" if len(words) < 5 else "free"
        plain = all(word in GENERIC or word in SMALL or self._common(word) for word in core)
        return "written" if plain and len(words) <= (3 if alias else 2) else "free"

    def _common(self, word: str) -> bool:
        return bool(_stems(word) & COMMON) or word in self._prose

    def _find(self, text: str) -> tuple[Mention, ...]:
        words = words_of(text)
        if not words:
            return ()
        spans = sorted(self._spans(text, words), key=_rank)
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

    def _spans(self, text: str, words: Sequence[Word]) -> list[_Span]:
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
            year, bracketed, stop = _year_after(text, words, last)
            spans.append(_Span(starts[end - len(key)], last, key, year, bracketed, stop))
        return spans

    def _resolve(self, text: str, words: Sequence[Word], span: _Span) -> Mention | None:
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
            if span.bracketed and not _longer_name(text, words, span, entry):
                return mention(*self._repair(entry.items, span.year, span.end)[:2], repaired=entry.items[0].year is not None)
        if not self._looks_titled(text, words, span, entry):
            return None
        return mention(entry.items, words[span.last].end)

    def _repair(self, items: Sequence[Item], year: int, end: int) -> tuple[Sequence[Item], int]:
        if len(items) == 1:
            return items, end
        near = sorted((abs(item.year - year), item.id) for item in items if item.year is not None)
        if near and near[0][0] <= REPAIR_YEARS and (len(near) == 1 or near[1][0] > near[0][0]):
            return [self.catalogue[near[0][1]]], end
        return items, end

    def _same_but_article(self, key: str, year: int) -> list[Item]:
        """"the ring", 1998 -> "Ring (1998)": a right year counts for more than an article."""
        first, _, rest = key.partition(" ")
        entry = self._keys.get(rest) if first in ARTICLES else None
        return [item for item in entry.exact if item.year == year] if entry else []

    def _looks_titled(self, text: str, words: Sequence[Word], span: _Span, entry: _Key) -> bool:
        """The table of the module's docstring, for a title without a year."""
        if entry.tier == "generic":
            return False
        if _quoted(text, words, span):
            return True
        single = sum(word.form not in ARTICLES for word in words[span.first : span.last + 1]) <= 1
        if single and _in_longer_name(text, words, span, self._people):
            return False
        if entry.tier == "free":
            return True
        if single and len(span.key) <= 3 and text[words[span.first].start : words[span.last].end] != entry.written:
            return False
        if entry.tier == "quoted":
            cued = span.first > 0 and words[span.first - 1].form in BEFORE and not span.key.isdigit()
            return cued and _capitals_tell(text, words, span)
        return _capitals_tell(text, words, span)

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
                start, end = words[best[1]].start, _closing(text, word.end)
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
            year, bracketed, end = _year_after(text, words, last)
            span = _Span(first, last, key, year, bracketed, end)
            if not bare or bracketed or len(forms) == len(wanted) or _quoted(text, words, span) or _capitals_tell(text, words, span):
                yield words[first].start, end


def _rank(span: _Span) -> tuple[int, int, bool, int]:
    """Longer titles first, by words that are no articles."""
    words = span.key.split()
    return -sum(word not in ARTICLES for word in words), -len(words), not span.bracketed, span.first


@lru_cache(maxsize=65536)
def _stems(word: str) -> frozenset[str]:
    """The word itself and what it may be an inflection of."""
    cut = {word[: -len(end)] + instead for end, instead in _ENDINGS if word.endswith(end) and len(word) - len(end) >= 3}
    return frozenset({word, *cut})


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


def _year_after(text: str, words: Sequence[Word], last: int) -> tuple[int | None, bool, int]:
    """(the year written right after word `last`, is it in brackets, where the title with its year ends)."""
    end = words[last].end
    if last + 1 < len(words):
        word = words[last + 1]
        gap = text[end : word.start]
        if len(word.form) == 4 and word.form.isdigit() and 1870 <= int(word.form) <= 2039 and not gap.strip(" ,\"'”’*_!?.([-–"):
            bracketed = "(" in gap or "[" in gap
            return int(word.form), bracketed, _closing(text, word.end) if bracketed else word.end
    return None, False, end


def _closing(text: str, end: int) -> int:
    found = re.compile(r"[^()\[\]]{0,12}[)\]]").match(text, end)
    return found.end() if found else end


def _take(taken: list[bool], words: Sequence[Word], mention: Mention) -> None:
    for index, word in enumerate(words):
        if mention.start <= word.start < mention.end:
            taken[index] = True


def _capital(text: str, word: Word) -> bool:
    return text[word.start].isupper() or text[word.start].isdigit()


def _opens_sentence(text: str, words: Sequence[Word], index: int) -> bool:
    if index == 0:
        return True
    return any(mark in text[words[index - 1].end : words[index].start] for mark in ".!?\n:;…")


def _quoted(text: str, words: Sequence[Word], span: _Span) -> bool:
    before, after = text[: words[span.first].start][-1:], text[words[span.last].end :].lstrip(",.!?")[:1]
    return before in ('"', "“", "'", "‘", "*", "_") and after in ('"', "”", "'", "’", "*", "_") and bool(before) and bool(after)


def _in_longer_name(text: str, words: Sequence[Word], span: _Span, people: frozenset[str]) -> bool:
    """Is a title of one word part of a longer name or compound, as in "Emma Watson", "Owen Wilson" or "J-Lo"?"""
    word, last = words[span.first], words[span.last]
    before = words[span.first - 1] if span.first > 0 else None
    after = words[span.last + 1] if span.last + 1 < len(words) else None
    if (before and text[before.end : word.start] == "-") or (after and text[last.end : after.start] == "-"):
        return True
    if not _capital(text, last):
        return False
    if before and _capital(text, before) and text[before.end : word.start] == " ":
        known = before.form in COMMON or _opens_sentence(text, words, span.first - 1)
        if before.form in people or not known:
            return True
    return bool(after and text[last.end : after.start] == " " and _capital(text, after) and after.form not in SMALL and after.form != "i")


def _longer_name(text: str, words: Sequence[Word], span: _Span, entry: _Key) -> bool:
    """Is "Alone (2007)" only the end of "Home Alone (2007)"?  Then a wrong year repairs nothing."""
    if span.first == 0 or (span.last > span.first and entry.exact):
        return False
    before, word = words[span.first - 1], words[span.first]
    return text[before.end : word.start] in (" ", "-") and _capital(text, before) and not _opens_sentence(text, words, span.first - 1)


def _capitals_tell(text: str, words: Sequence[Word], span: _Span) -> bool:
    """Are the title's words written with capitals, one of them where a sentence does not begin, in a text that is not all capitals?"""
    core = [index for index in range(span.first, span.last + 1) if words[index].form not in SMALL] or [span.last]
    if not all(_capital(text, words[index]) for index in core):
        return False
    cued = span.last + 1 < len(words) and words[span.last + 1].form in AFTER
    if not cued and all(_opens_sentence(text, words, index) or words[index].form in ("i", "im") for index in core):
        return False
    others = [word for index, word in enumerate(words) if not span.first <= index <= span.last and word.form.isalpha()]
    return len(others) < 3 or any(not _capital(text, word) for word in others)


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
