"""What the writing of a text says: is this word common, is that year a title's year, do these capitals tell a title?

All of it looks at the text around one place; nothing here knows a catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from usbrec.titles import ARTICLES, Word, clean
from usbrec.words import VERY_COMMON, WORDS

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


class Span(NamedTuple):
    """A title's words in a text, with the year that follows them."""

    first: int
    last: int
    key: str
    year: int | None
    bracketed: bool
    end: int


def by_length(span: Span) -> tuple[int, int, bool, int]:
    """Longer titles first, by words that are no articles."""
    words = span.key.split()
    return -sum(word not in ARTICLES for word in words), -len(words), not span.bracketed, span.first


@lru_cache(maxsize=65536)
def stems(word: str) -> frozenset[str]:
    """The word itself and what it may be an inflection of."""
    cut = {word[: -len(end)] + instead for end, instead in _ENDINGS if word.endswith(end) and len(word) - len(end) >= 3}
    return frozenset({word, *cut})


def year_after(text: str, words: Sequence[Word], last: int) -> tuple[int | None, bool, int]:
    """(the year written right after word `last`, is it in brackets, where the title with its year ends)."""
    end = words[last].end
    if last + 1 < len(words):
        word = words[last + 1]
        gap = clean(text[end : word.start])
        if len(word.form) == 4 and word.form.isdigit() and 1870 <= int(word.form) <= 2039 and not gap.strip(" ,\"'”’*_!?.([-–"):
            bracketed = "(" in gap or "[" in gap
            return int(word.form), bracketed, closing(text, word.end) if bracketed else word.end
    return None, False, end


def closing(text: str, end: int) -> int:
    found = re.compile(r"[^()\[\]]{0,12}[)\]]").match(text, end)
    return found.end() if found else end


def _capital(text: str, word: Word) -> bool:
    return text[word.start].isupper() or text[word.start].isdigit()


def _opens_sentence(text: str, words: Sequence[Word], index: int) -> bool:
    if index == 0:
        return True
    return any(mark in text[words[index - 1].end : words[index].start] for mark in ".!?\n:;…")


def in_quotes(text: str, words: Sequence[Word], span: Span) -> bool:
    before, after = text[: words[span.first].start][-1:], text[words[span.last].end :].lstrip(",.!?")[:1]
    return before in ('"', "“", "'", "‘", "*", "_") and after in ('"', "”", "'", "’", "*", "_") and bool(before) and bool(after)


def in_longer_name(text: str, words: Sequence[Word], span: Span, people: frozenset[str]) -> bool:
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


def ends_longer_name(text: str, words: Sequence[Word], span: Span) -> bool:
    """Is "Alone (2007)" only the end of "Home Alone (2007)"?  Then a wrong year repairs nothing."""
    if span.first == 0:
        return False
    before, word = words[span.first - 1], words[span.first]
    return text[before.end : word.start] in (" ", "-") and _capital(text, before) and not _opens_sentence(text, words, span.first - 1)


def capitals_tell(text: str, words: Sequence[Word], span: Span) -> bool:
    """Are the title's words written with capitals, one of them where a sentence does not begin, in a text that is not all capitals?"""
    core = [index for index in range(span.first, span.last + 1) if words[index].form not in SMALL] or [span.last]
    if not all(_capital(text, words[index]) for index in core):
        return False
    cued = span.last + 1 < len(words) and words[span.last + 1].form in AFTER
    if not cued and all(_opens_sentence(text, words, index) or words[index].form in ("i", "im") for index in core):
        return False
    others = [word for index, word in enumerate(words) if not span.first <= index <= span.last and word.form.isalpha()]
    return len(others) < 3 or any(not _capital(text, word) for word in others)
