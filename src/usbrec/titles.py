"""How a title is written, and how it is compared: the text half of `usbrec.linking`.

Two titles are the same when their *words* are: case, accents, punctuation, apostrophes, "&" for "and", HTML entities and the `%3F` of
broken exports do not count.  In a script that writes no spaces between words (Chinese, Japanese, Thai ...) or glues endings to them
(Korean) every character is a word, so that a title is found wherever its characters follow each other.  A title without any word ("…", an
emoji) is compared by its characters as they stand: `literal_of`.  Positions always refer to the original text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

ARTICLES = frozenset({"the", "a", "an"})

_NO_SPACES = (
    # kana and bopomofo; Han; Hangul; Thai, Lao, Burmese and Khmer
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31f0-\u31ff\uff66-\uff9d"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3"
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u1000-\u102a\u103f\u1780-\u17b3"
)
_RIDERS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3\u17dd\u3099\u309a\uff9e\uff9f"
"""Signs that ride on the character before them: vowels, tones, the dots of kana."""
SYLLABIC = re.compile(f"[{_NO_SPACES}]")
"""A character of these scripts."""
HAN_OR_HANGUL = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\uac00-\ud7a3]")
"""A character that is a whole syllable with a meaning of its own."""
_LETTER = rf"[^\W_{_NO_SPACES}]"
_WORD = re.compile(rf"{_LETTER}+(?:['’`´]{_LETTER}+)*|&|[\u1100-\u115f][\u1160-\u11a7]?[\u11a8-\u11ff]?|[{_NO_SPACES}][{_RIDERS}]*")
_JOINERS = frozenset("\ufe0e\ufe0f")
_JOINT = re.compile(r"(?<=\w)[-–·./](?=\w)")
_ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[a-zA-Z]{2,10});|%(?:2[0-9A-F]|3[A-F]|40)")
_YEAR = re.compile(r"\((\d{4})\)\Z")


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
    name = name.strip()
    found = _YEAR.search(name, max(0, len(name) - 6))
    return (name[: found.start()].strip(), int(found[1])) if found else (name, None)


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
    key = key_of(title) or literal_of(title)
    keys = [key]
    if _JOINT.search(title):
        keys.append(key_of(_JOINT.sub("", title)))
    for each in tuple(keys):
        first, _, rest = each.partition(" ")
        if first in ARTICLES and rest:
            keys.append(rest)
    return [each for each in dict.fromkeys(keys) if each]


def literal_of(title: str) -> str:
    """The title's characters, symbols included, in one case and width: "[REC]" -> "[rec]", "…" -> "..."."""
    return folded(title.strip())[0]


def folded(text: str) -> tuple[str, list[int]]:
    """The text as `literal_of` writes it, and for each of its characters (and its end) the position in `text`."""
    plain, at = _plain(text) if "&" in text or "%" in text else (text, range(len(text) + 1))
    pieces: list[str] = []
    places: list[int] = []
    for index, letter in enumerate(plain):
        piece = "" if letter in _JOINERS else unicodedata.normalize("NFKC", letter.casefold())
        pieces.append(piece)
        places.extend([at[index]] * len(piece))
    return "".join(pieces), [*places, len(text)]


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
    if SYLLABIC.match(word):
        return unicodedata.normalize("NFKC", word)
    # what is no letter or digit goes: combining marks, apostrophes, and the space that "´" and others decompose into
    return "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if c.isalnum())
