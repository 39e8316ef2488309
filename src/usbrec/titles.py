"""How a title is written, and how it is compared: the text half of `usbrec.linking`.

Two titles are the same when their *words* are: case, accents, punctuation, apostrophes, "&" for "and", HTML entities and the `%3F` of
broken exports do not count.  Positions always refer to the original text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

ARTICLES = frozenset({"the", "a", "an"})

_WORD = re.compile(r"&|[^\W_]+(?:['’`´][^\W_]+)*")
_JOINT = re.compile(r"(?<=\w)[-–·./](?=\w)")
_ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[a-zA-Z]{2,10});|%(?:2[0-9A-F]|3[A-F]|40)")
_NAME = re.compile(r"(?P<title>.*?)\s*\((?P<year>\d{4})\)\s*", re.DOTALL)


class Word(NamedTuple):
    """A word of a text: its normal form, and where it stands."""

    form: str
    start: int
    end: int


def clean(text: str) -> str:
    """The text without HTML entities and percent-escapes, and with single spaces."""
    return " ".join(_ENTITY.sub(lambda found: _decoded(found.group()), text).split())


def split_name(name: str) -> tuple[str, int | None]:
    """ "Heat (1995)" -> ("Heat", 1995); a name without a year in brackets at its end -> (name, None)."""
    found = _NAME.fullmatch(name)
    return (found["title"].strip(), int(found["year"])) if found else (name.strip(), None)


def words_of(text: str) -> list[Word]:
    """The words of a text, left to right; positions are those of `text` even where entities stand for characters."""
    if "&" not in text and "%" not in text:
        return [Word(_form(found.group()), found.start(), found.end()) for found in _WORD.finditer(text)]
    plain, places = _plain(text)
    return [Word(_form(found.group()), places[found.start()], places[found.end()]) for found in _WORD.finditer(plain)]


def key_of(title: str) -> str:
    """The words of a title in normal form, joined by single spaces."""
    return " ".join(word.form for word in words_of(title))


def keys_of(title: str) -> list[str]:
    """The title's own key first, then other ways to write it: without its leading article, with its hyphens and dots closed up."""
    key = key_of(title)
    keys = [key]
    if _JOINT.search(title):
        keys.append(key_of(_JOINT.sub("", title)))
    for each in tuple(keys):
        first, _, rest = each.partition(" ")
        if first in ARTICLES and rest:
            keys.append(rest)
    return [each for each in dict.fromkeys(keys) if each]


def parts_of(title: str) -> list[str]:
    """Keys of what stands before and after a colon or a dash: each alone gives a title away."""
    pieces = re.split(r":\s|\s[-–—]\s", title)
    if len(pieces) < 2:
        return []
    return list(dict.fromkeys(key for piece in pieces if (key := key_of(piece)) and key not in ARTICLES))


def _decoded(found: str) -> str:
    return chr(int(found[1:], 16)) if found.startswith("%") else html.unescape(found)


def _plain(text: str) -> tuple[str, list[int]]:
    """The decoded text, and for each of its characters (and its end) the position in `text`."""
    pieces: list[str] = []
    places: list[int] = []
    last = 0
    for found in _ENTITY.finditer(text):
        pieces.append(text[last : found.start()])
        places.extend(range(last, found.start()))
        decoded = _decoded(found.group())
        pieces.append(decoded)
        places.extend([found.start()] * len(decoded))
        last = found.end()
    pieces.append(text[last:])
    places.extend(range(last, len(text) + 1))
    return "".join(pieces), places


@lru_cache(maxsize=65536)
def _form(word: str) -> str:
    if word == "&":
        return "and"
    if word.isascii():
        return word.replace("'", "").replace("`", "").lower()
    # what is no letter or digit goes: combining marks, apostrophes, and the space that "´" and others decompose into
    return "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if c.isalnum())
