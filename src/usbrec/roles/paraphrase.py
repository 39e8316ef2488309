"""The seeker that wishes in words that are not the catalogue's: no genre, nobody's name, no year.

It says what a genre feels like, an era in words, words of a target's plot, or that it wants something like another item, but lighter, by
templates; a sentence with a target's title, a genre of the catalogue or a maker of a target (`roles.unsaid`) is never said.
The descriptions keep clear of the words that our own profiler knows for genres, too, since the same hands wrote both.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice

from usbrec.catalogue import Catalogue
from usbrec.linking import Linker
from usbrec.linking.writing import TOP, stems
from usbrec.roles.catalogue import named_items
from usbrec.roles.seekers import ACCEPT, ASK, VAGUE, accepts, asked_for, refusal, told_by, unrevealing
from usbrec.roles.unsaid import Unsaid, strings_of
from usbrec.seeds import rng_of
from usbrec.titles import words_of
from usbrec.types import Dialogue, Item

FEELS: dict[str, tuple[str, ...]] = {
    "action": ("I want chases and fights.", "Something with a lot of punches and explosions would be fun."),
    "adventure": ("I'd like a long journey into the unknown.", "Take me along on an expedition, please."),
    "animation": ("I like it when everything on screen is drawn.", "No real people in front of a camera, please, only drawings."),
    "biography": ("I like to follow one real person through life.", "I want to learn how somebody who really lived became who they were."),
    "comedy": ("I need a good giggle.", "I'd like to grin all evening."),
    "crime": ("I like robbers and the police after them.", "Something about people on the wrong side of the law."),
    "documentary": ("I'd rather see what really happened, nothing acted.", "Show me the real world, with no actors."),
    "drama": ("I want to feel with the people in it.", "Something serious about people and their troubles."),
    "family": ("It should be fine for everybody from six to ninety.", "My little nephews will sit next to me."),
    "fantasy": ("I'd like dragons, spells and the like.", "Take me to a world that cannot exist."),
    "film-noir": ("I like shadows, hats and cigarettes in black and white.",),
    "history": ("I'd like to see how people lived long ago.", "Take me to a time before my grandparents."),
    "horror": ("I want to sleep with the lights on afterwards.", "I like to hide behind the sofa."),
    "music": ("It should be full of good songs and bands.", "I like to see people play their instruments."),
    "musical": ("I like it when they burst into song.", "People should sing and dance all the time."),
    "mystery": ("I want to puzzle out who did it.", "I like to be kept guessing until the last page."),
    "romance": ("I'd like two people to fall for each other.", "I'm after butterflies in the stomach."),
    "sci-fi": ("Show me what the future may be like.", "I'd like robots, aliens or strange machines."),
    "sport": ("I like it when a team trains for the big match.", "Something about athletes who want to win."),
    "superhero": ("I like capes and masks.",),
    "thriller": ("I want to sit on the edge of my seat.", "My pulse should go up."),
    "war": ("I'd like soldiers at the front.", "Something about life in the trenches or on the battlefield."),
    "western": ("I like dusty towns, saloons and horses.",),
    "young adult": ("The people in it should be about sixteen.",),
}
"""What a genre is like, without its name."""
ERAS = {
    "2020": "brand new", "2010": "fairly new", "2000": "from just after the turn of the millennium", "1990": "from the nineties",
    "1980": "from the eighties", "1970": "from the seventies", "1960": "from the sixties", "1950": "from the fifties",
    "1940": "from the forties", "1930": "from the thirties", "1920": "from the twenties of the last century",
}  # fmt: skip
ERA = ("It should be {0}.", "Something {0} would suit me.", "I'd like it to be {0}.")
PLOT = ("Words like {0} and {1} come to mind.", "In two words: {0}, {1}.", "Think of {0}, {1}, that sort of thing.")
LIKE = ("Something like {0}, but {1}.", "Along the lines of {0}, only {1}.", "{0} was close to it, but I'd like it {1}.")
NAMELESS = ("I never remember names.", "I'm hopeless with names.")
LIGHT = frozenset(("animation", "comedy", "family", "musical", "romance", "fantasy", "sport"))
DARK = frozenset(("crime", "film-noir", "horror", "mystery", "thriller", "war"))
KNOWN_FIRST = 25
"""Something like X: one of so many comparable items that most people liked."""
YEARS_APART = 8
"""From so many on, newer or older is worth saying."""
_PLAIN = re.compile(r"(?<![\w'’-])[a-z]{4,}(?![\w'’-])")


@dataclass(frozen=True)
class Phrasebook:
    """What seekers say about the items of a catalogue; one for all of them."""

    catalogue: Catalogue
    linker: Linker
    popularity: Mapping[str, int] = field(default_factory=dict)
    """Item -> training dialogues that liked it: people compare with what many know."""

    @cached_property
    def _plots(self) -> Counter[str]:
        """Word -> how many plots hold it."""
        return Counter(word for item in self.catalogue for word in set(_PLAIN.findall(item.plot)))

    def plot_words(self, item: Item, least: int) -> list[str]:
        """Words of the plot that say something and do not tell the item: no very common one, none of the title, each in so many others."""
        titled = {word.form for word in words_of(item.title)}
        found = dict.fromkeys(_PLAIN.findall(item.plot))
        return [word for word in found if self._plots[word] > least and not stems(word) & TOP and not stems(word) & titled]

    @cached_property
    def comparables(self) -> Callable[[str], tuple[str, ...]]:
        """Item -> those comparable with it, the best known first."""
        return lru_cache(maxsize=4096)(self._comparables)

    def _comparables(self, item: str) -> tuple[str, ...]:
        found = [other.id for other in self.catalogue if self.catalogue.comparable(item, other.id)]
        return tuple(sorted(found, key=lambda other: (-self.popularity.get(other, 0), other)))


@dataclass(frozen=True)
class ParaphraseSeeker:
    """Knows the targets, and speaks of them as somebody who has never seen the catalogue."""

    book: Phrasebook
    targets: tuple[str, ...]
    least: int = 10
    """A word of a plot is said only if so many other plots hold it."""
    name: str = "paraphrase"

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        rng, linker = rng_of(seed, "paraphrase", len(dialogue)), self.book.linker
        if accepts(dialogue, self.targets, linker):
            return unrevealing([rng.choice(ACCEPT)], self.targets, linker, rng)
        last = dialogue.messages[-1].text if dialogue.messages else ""
        parts = refusal(dialogue, linker, rng)
        wanted = asked_for(last)
        if wanted & {"star", "director"}:
            parts.append(rng.choice(NAMELESS))
        wishes = self._wishes(dialogue, rng)
        answer = [text for kind, text in wishes if kind in wanted][:1]
        parts += answer or [text for _, text in wishes[: 2 if rng.random() < 0.4 else 1]] or [rng.choice(VAGUE)]
        if "?" not in last and not linker.items(last):
            parts.append(rng.choice(ASK))
        return unrevealing(parts, self.targets, linker, rng)

    def _wishes(self, dialogue: Dialogue, rng: random.Random) -> list[tuple[str, str]]:
        """(kind, sentence) of what was not told yet and may be said, in any order."""
        heard = told_by("seeker", dialogue)
        targets = [self.book.catalogue[target] for target in self.targets]
        feels = [FEELS[genre] for genre in dict.fromkeys(genre for item in targets for genre in item.genres) if genre in FEELS]
        found = [("genre", rng.choice(texts)) for texts in feels if not any(text.lower() in heard for text in texts)]
        eras = [ERAS[item.decade] for item in targets if item.decade in ERAS]
        found += [("decade", rng.choice(ERA).format(era)) for era in dict.fromkeys(eras) if era not in heard]
        for item in targets:
            words = [word for word in self.book.plot_words(item, self.least) if word not in heard and not self._unsaid.told(word)]
            found += [("plot", rng.choice(PLOT).format(*rng.sample(words, 2)))] if len(words) > 1 else []
            found += [("like", text) for text in self._likened(item, dialogue, rng)]
        rng.shuffle(found)
        return [(kind, text) for kind, text in found if not self._unsaid.told(text)]

    def _likened(self, item: Item, dialogue: Dialogue, rng: random.Random) -> list[str]:
        """That something like a comparable item is wanted, which is no target, no sequel of one, and not named yet."""
        kept = named_items(dialogue, self.book.linker) | {*self.targets}
        own = {word.form for target in self.targets for word in words_of(self.book.catalogue[target].title) if len(word.form) >= 4}
        others = (self.book.catalogue[other] for other in self.book.comparables(item.id) if other not in kept)
        fit = (other for other in others if own.isdisjoint(w.form for w in words_of(other.title)) and not self._unsaid.told(other.name))
        known = list(islice(fit, KNOWN_FIRST))
        return [rng.choice(LIKE).format((other := rng.choice(known)).name, difference(item, other))] if known else []

    @cached_property
    def _unsaid(self) -> Unsaid:
        catalogue = self.book.catalogue
        return Unsaid(self.book.linker, self.targets, strings_of((catalogue[t] for t in self.targets), catalogue.genres))


def difference(item: Item, other: Item) -> str:
    """How an item differs from another, as people say it: lighter or darker by its genres, else newer or older."""
    lighter = _lightness(item) - _lightness(other)
    if lighter:
        return "lighter" if lighter > 0 else "darker"
    years = (item.year or 0) - (other.year or 0) if item.year and other.year else 0
    if abs(years) >= YEARS_APART:
        return "newer" if years > 0 else "older"
    return "a little different"


def _lightness(item: Item) -> int:
    return len(LIGHT & {*item.genres}) - len(DARK & {*item.genres})
