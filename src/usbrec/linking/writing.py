"""What the writing of a text says: is this word common, is that year a title's year, do these capitals tell a title?

All of it looks at the text around one place; nothing here knows a catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import NamedTuple

from usbrec.titles import ARTICLES, SYLLABIC, Word, clean, words_of
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


OPENING = frozenset("\"“'‘*_「『《〈«")
CLOSING = frozenset("\"”'’*_」』》〉»")
_CLOSED = re.compile(r"[^()\[\]（）]{0,12}[)\]）]")
_ENDS = re.compile(r"[,.!?]*")
_BETWEEN = " ,\"'”’*_!?.([-–」』》〉»）】]（…"
"""What may stand between a title and its year."""


class Text:
    """A text with what is asked of it at every title: so the time depends on its length alone."""

    def __init__(self, whole: str) -> None:
        self.whole = whole
        self.words: Sequence[Word] = words_of(whole)

    @cached_property
    def prose(self) -> tuple[int, int]:
        """(words of letters alone, how many of them have no capital)."""
        letters = [word for word in self.words if word.form.isalpha()]
        return len(letters), sum(not self.capital(word) for word in letters)

    @cached_property
    def starts(self) -> list[int]:
        """Where each word starts in `haystack`."""
        return [at + 1 for at in accumulate((len(word.form) + 1 for word in self.words), initial=0)][:-1]

    @cached_property
    def haystack(self) -> str:
        """The words in normal form, a space before and after each."""
        return f" {' '.join(word.form for word in self.words)} "

    def capital(self, word: Word) -> bool:
        return self.whole[word.start].isupper() or self.whole[word.start].isdigit()

    def between(self, index: int) -> str:
        """What stands between a word and the next."""
        return self.whole[self.words[index].end : self.words[index + 1].start]

    def span(self, first: int, last: int, key: str, place: tuple[int, int] | None = None) -> Span:
        """These words as a possible title, with the year that follows; `place`: where its characters stand, where symbols belong to it."""
        start, stop = place or (self.words[first].start, self.words[last].end)
        year, bracketed, end = self._year(stop, last + 1)
        return Span(first, last, key, year, bracketed, end, start, stop)

    def _year(self, stop: int, index: int) -> tuple[int | None, bool, int]:
        """(the year written right after a title, is it in brackets, where the title with its year ends)."""
        if index < len(self.words):
            word = self.words[index]
            if len(word.form) == 4 and word.form.isdigit() and 1870 <= int(word.form) <= 2039:
                gap = clean(self.whole[stop : word.start])
                if not gap.strip(_BETWEEN):
                    bracketed = any(mark in gap for mark in "([（")
                    return int(word.form), bracketed, closing(self.whole, word.end) if bracketed else word.end
        return None, False, stop


class Span(NamedTuple):
    """A title in a text, with the year that follows it."""

    first: int
    last: int
    """Its words; of a title without words the word after it, and the one before."""
    key: str
    year: int | None
    bracketed: bool
    end: int
    """Where it ends, with its year."""
    start: int
    stop: int
    """Where its characters start and end, without the year."""


def by_length(span: Span) -> tuple[int, int, bool, int]:
    """Longer titles first, by words that are no articles."""
    words = span.key.split()
    return -sum(word not in ARTICLES for word in words), -len(words), not span.bracketed, span.start


@lru_cache(maxsize=65536)
def stems(word: str) -> frozenset[str]:
    """The word itself and what it may be an inflection of."""
    cut = {word[: -len(end)] + instead for end, instead in _ENDINGS if word.endswith(end) and len(word) - len(end) >= 3}
    return frozenset({word, *cut})


def closing(text: str, end: int) -> int:
    found = _CLOSED.match(text, end)
    return found.end() if found else end


def _opens_sentence(text: Text, index: int) -> bool:
    return index == 0 or any(mark in text.between(index - 1) for mark in ".!?\n:;…。！？")


def in_quotes(text: Text, span: Span) -> bool:
    after = _ENDS.match(text.whole, span.stop)
    assert after is not None
    return span.start > 0 and text.whole[span.start - 1] in OPENING and text.whole[after.end() : after.end() + 1] in CLOSING


def stands_alone(text: Text, span: Span) -> bool:
    """Is no character of a script without spaces right before or after it?"""
    places = (place for place in (span.start - 1, span.stop) if 0 <= place < len(text.whole))
    return not any(SYLLABIC.match(text.whole, place) for place in places)


def in_longer_name(text: Text, span: Span, people: frozenset[str]) -> bool:
    """Is a title of one word part of a longer name or compound, as in "Emma Watson", "Owen Wilson" or "J-Lo"?"""
    words, last = text.words, span.last
    before = words[span.first - 1] if span.first > 0 else None
    after = words[last + 1] if last + 1 < len(words) else None
    if (before and text.between(span.first - 1) == "-") or (after and text.between(last) == "-"):
        return True
    if not text.capital(words[last]):
        return False
    if before and text.capital(before) and text.between(span.first - 1) == " ":
        known = before.form in COMMON or _opens_sentence(text, span.first - 1)
        if before.form in people or not known:
            return True
    return bool(after and text.between(last) == " " and text.capital(after) and after.form not in SMALL and after.form != "i")


def ends_longer_name(text: Text, span: Span) -> bool:
    """Is "Alone (2007)" only the end of "Home Alone (2007)"?  Then a wrong year repairs nothing."""
    before = span.first - 1
    if before < 0 or span.last < span.first:
        return False
    return text.between(before) in (" ", "-") and text.capital(text.words[before]) and not _opens_sentence(text, before)


def capitals_tell(text: Text, span: Span) -> bool:
    """Are the title's words written with capitals, one of them where a sentence does not begin, in a text that is not all capitals?"""
    words = text.words
    core = [index for index in range(span.first, span.last + 1) if words[index].form not in SMALL] or [span.last]
    if not all(text.capital(words[index]) for index in core):
        return False
    cued = span.last + 1 < len(words) and words[span.last + 1].form in AFTER
    if not cued and all(_opens_sentence(text, index) or words[index].form in ("i", "im") for index in core):
        return False
    own = [word for word in words[span.first : span.last + 1] if word.form.isalpha()]
    letters, small = text.prose
    return letters - len(own) < 3 or small > sum(not text.capital(word) for word in own)
