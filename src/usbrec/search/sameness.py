"""When may the reply to a guessed message be said to the one that came?  Two measures: the same words, or the same wishes.

Both are read from the text and the catalogue alone; no model is asked, since somebody waits.
"""

from __future__ import annotations

import re
import unicodedata

from usbrec.roles import Profiler
from usbrec.types import Dialogue, Profile

_TURNS_A_WISH = re.compile(r"\b(?:no|not|cannot|none|never|nothing|neither|nor|without|but|except|too|hate[ds]?|dislike[ds]?|t)\b|\w*\d\w*")
"""In normal form: what turns a wish round (the "t" of "don't" too), and what holds a digit (years, decades); no profile keeps either."""


def words_of(text: str) -> str:
    """The text's normal form: no case, punctuation is a space, spaces are single.

    >>> words_of("Hmm,  NOT quite... 👍")
    'hmm not quite 👍'
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(" " if unicodedata.category(c)[0] in "PZC" else c for c in plain).split())


def same_words(one: str, other: str) -> bool:
    """Do they differ in case, punctuation and spacing at most?  What has nothing else must be the very same: "?!" is not "..."."""
    return words_of(one) == words_of(other) and bool(words_of(one) or one.strip() == other.strip())


async def same_profile(facts: Profiler, before: Dialogue, one: str, other: str) -> bool:
    """Is what is known of the seeker the same, whichever of the two is said last?  (Items named in lower case may not be found.)"""
    first, second = [_known(await facts.profile(before.say("seeker", text), seed=0)) for text in (one, other)]
    return first == second


async def same_wishes(facts: Profiler, one: str, other: str) -> bool:
    """Do both messages name the same items, genres and people, at least one, in the same sense?"""
    named = _known(await facts.profile(Dialogue().say("seeker", one), seed=0))
    same_sense = set(_TURNS_A_WISH.findall(words_of(one))) == set(_TURNS_A_WISH.findall(words_of(other)))
    return any(named) and same_sense and await same_profile(facts, Dialogue(), one, other)


def _known(profile: Profile) -> tuple[frozenset[str], ...]:
    """A profile apart from its words."""
    return tuple(map(frozenset, (profile.likes, profile.dislikes, profile.genres, profile.people, profile.mentioned)))
