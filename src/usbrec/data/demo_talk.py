"""Generated talk about films: a latent taste, a seeker who tells it bit by bit, and a recommender who is right three times in four.

The taste is never stated outright: one or two genres, sometimes a person or a decade, and a circle, a group of films that the same people
like for no reason an attribute would tell.  So an offer can be guessed from attributes *and* from what others liked, and from neither
alone.  Popularity and circles belong to the world and are the same under every seed.

Recommenders sometimes name a film again, or two at once, and some must speak after nothing but "hi".  The linker has the last word on what
a reply names: a reply that it reads otherwise is drawn anew.  The words are in `world/phrases.txt`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Likes
from usbrec.data.demo_words import Phrases, neat, read_phrases
from usbrec.errors import DataError
from usbrec.linking import Linker
from usbrec.roles.seekers import WISHES, Wish, wishes_of
from usbrec.seeds import rng_of, seed_of
from usbrec.types import Dialogue, Example, Item, Side

CIRCLES = 10
GOOD_OFFERS = 0.78
SHARE = {0.0: 0.0, 0.5: 0.35, 1.0: 1.0}
"""What a film with that share of the wanted genres is worth."""
FITS = 0.9
"""Least fit to the taste of a film that the seeker welcomes."""


def simulate(catalogue: Catalogue, seed: int, dialogues: int) -> tuple[list[Example], list[Likes]]:
    """Generated dialogues over any catalogue whose items have genres: one example per reply that names a film, one `Likes` a dialogue."""
    world = _World(catalogue, Linker(catalogue), Phrases(read_phrases()))
    rows: list[Example] = []
    likes = []
    for number in range(dialogues):
        talk = _Talk.begin(world, f"demo-{number:04d}", rng_of(seed, "demo", number))
        talk.run()
        rows += talk.rows
        likes.append(Likes(key=talk.key, items=tuple(dict.fromkeys(talk.praised))))
    return rows, likes


@dataclass(frozen=True)
class _Taste:
    """What the seeker is after; hidden."""

    genres: tuple[str, ...]
    person: str
    decade: int | None
    circle: int

    def fit(self, item: Item) -> float:
        """From 0 (nothing in common) to about 3."""
        share = SHARE[sum(genre in item.genres for genre in self.genres) / len(self.genres)]
        person = 1.2 if self.person and (self.person in item.directors or self.person in item.stars) else 0.0
        return share + person + (0.4 if self.decade is not None and _decade(item) == self.decade else 0.0)


@dataclass(frozen=True)
class _World:
    catalogue: Catalogue
    linker: Linker
    phrases: Phrases

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return tuple(item for item in self.catalogue if item.genres)

    @cached_property
    def popularity(self) -> tuple[float, ...]:
        """A skew of 1 : 5 between the least and the most popular of 300."""
        rank = {item.id: place for place, item in enumerate(sorted(self.items, key=lambda each: seed_of("popularity", each.id)))}
        return tuple((rank[item.id] + 12) ** -0.5 for item in self.items)

    @cached_property
    def circles(self) -> tuple[int, ...]:
        """Who likes it: seekers of that circle more than others."""
        return tuple(seed_of("circle", item.id) % CIRCLES for item in self.items)

    def taste(self, rng: random.Random) -> _Taste:
        """The taste of somebody to whom one drawn film is dear."""
        dear = rng.choices(self.items, self.popularity)[0]
        genres = tuple(rng.sample(dear.genres, min(len(dear.genres), rng.choice((1, 2, 2)))))
        people = [person for person in (*dear.directors, *dear.stars) if len(self.catalogue.by_person[person]) > 1]
        person = rng.choice(people) if people and rng.random() < 0.4 else ""
        return _Taste(genres, person, _decade(dear) if rng.random() < 0.25 else None, rng.randrange(CIRCLES))

    def weights(self, taste: _Taste) -> list[float]:
        """How likely each item is to be liked."""
        columns = zip(self.items, self.popularity, self.circles, strict=True)
        return [(0.06 + taste.fit(i)) ** 2 * p * (4.0 if c == taste.circle else 1.0) for i, p, c in columns]


@dataclass
class _Talk:
    """One dialogue while it is made."""

    world: _World
    key: str
    rng: random.Random
    taste: _Taste
    weights: list[float]
    untold: list[str]
    """Films the seeker likes and has not named yet."""
    wishes: list[Wish]
    lower: bool
    bare: bool
    """Writes no punctuation."""
    dialogue: Dialogue = field(default_factory=Dialogue)
    rows: list[Example] = field(default_factory=list)
    praised: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, world: _World, key: str, rng: random.Random) -> _Talk:
        taste = world.taste(rng)
        weights = world.weights(taste)
        liked = list(dict.fromkeys(item.id for item in rng.choices(world.items, weights, k=rng.choice((3, 4, 5, 6)))))[:5]
        wishes = [Wish("genre", genre) for genre in taste.genres]
        if taste.person:
            wishes.append(Wish("director" if any(taste.person in item.directors for item in world.items) else "star", taste.person))
        wishes += [Wish("decade", str(taste.decade))] if taste.decade else []
        wishes += rng.sample(more := [w for w in wishes_of(world.catalogue[liked[0]]) if w not in wishes], min(2, len(more)))
        return cls(world, key, rng, taste, weights, liked, wishes, rng.random() < 0.5, rng.random() < 0.3)

    def run(self) -> None:
        if self.rng.random() < 0.4:
            self._say("recommender", self._write("rec_greet"))
        self._open()
        asked = False
        for turn in range(self.rng.choice((2, 3, 3, 4, 4, 5, 6))):
            asked = not asked and self.rng.random() < (0.4 if turn == 0 else 0.3)
            if asked:
                kind = self.rng.choice(("genre", "genre", "star", "director", "decade", "liked", "liked"))
                self._say("recommender", neat(f"{self._write('ask_lead')} {self._write(f'ask_{kind}')}"))
                self._seeker([self._tell(kind)])
            elif not self._react(self._offer()):
                return

    def _write(self, name: str, **values: str) -> str:
        return self.world.phrases.write(self.rng, name, values)

    def _say(self, side: Side, text: str) -> None:
        self.dialogue = self.dialogue.say(side, " ".join(text.split()))

    def _seeker(self, parts: Sequence[str]) -> None:
        """The seeker says the parts in its own way of writing."""
        text = neat(" ".join(parts))
        text = re.sub(r"\bi(?=\b[' ])", "I", text)
        text = text.lower() if self.lower else text
        text = re.sub(r"[.,'!]", "", text) if self.bare else text
        self._say("seeker", f"{text} {self._write('emoji')}" if self.rng.random() < 0.04 else text)

    def _open(self) -> None:
        kind = self.rng.random()
        if kind < 0.1:
            return self._seeker([self._write("hello")])
        greet = self._write("greet") if self.rng.random() < 0.5 else ""
        if kind < 0.18:
            return self._seeker([greet, self._write("vague_open")])
        if kind < 0.58:
            genre = self.wishes.pop(0).value
            return self._seeker([greet, self._write("mood_open", genre=genre, a_genre=_a(genre))])
        return self._seeker([greet, self._films("likes_open", self.rng.choice((1, 2, 2, 3)))])

    def _films(self, name: str, count: int) -> str:
        """A phrase that names films the seeker likes; some without the year."""
        told, self.untold = self.untold[:count], self.untold[count:]
        self.praised += told
        self.named += told
        items = [self.world.catalogue[item] for item in told]
        names = [item.title if self.rng.random() < 0.2 else item.name for item in items]
        return self._write(name, films=" and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names))

    def _tell(self, kind: str = "") -> str:
        """Something new about the taste: of that kind if there is any, else whatever is left."""
        if self.untold and (kind == "liked" or (not kind and self.rng.random() < 0.45) or not self.wishes):
            return self._films("likes_more", 1 if self.rng.random() < 0.8 else 2)
        wish = next((each for each in self.wishes if each.kind == kind), None)
        if wish is None and kind in WISHES and self.rng.random() < 0.5:
            return self._write("no_wish")
        wish = wish or (self.wishes[0] if self.wishes else None)
        if wish is None:
            return self._write("no_wish")
        self.wishes.remove(wish)
        return self._write(f"wish_{wish.kind}", value=wish.value, genre=wish.value, a_genre=_a(wish.value))

    def _welcome(self, item: str) -> bool:
        return self.taste.fit(self.world.catalogue[item]) >= FITS or any(self.world.catalogue.comparable(item, one) for one in self.praised)

    def _draw(self) -> str:
        """A film not named yet: good in most cases, otherwise any popular one."""
        good = self.rng.random() < GOOD_OFFERS
        weights = [w * w / p for w, p in zip(self.weights, self.world.popularity, strict=True)] if good else self.world.popularity
        drawn = [item.id for item in self.rng.choices(self.world.items, weights, k=30)]
        return next((item for item in drawn if item not in self.named and self._welcome(item) == good), drawn[0])

    def _offer(self) -> tuple[str, ...]:
        """The recommender's reply as a row; the ids it names, the new ones last."""
        for _ in range(20):
            form, named = "offer", self.rng.choice(self.praised) if self.praised else ""
            if named and (chance := self.rng.random()) < 0.13:
                form = "offer_since" if chance < 0.09 else "offer_again"
            elif self.rng.random() < 0.12:
                form = "offer_two"
            film = self.world.catalogue[self._draw()]
            other = self.world.catalogue[self._draw()] if form == "offer_two" else film
            again = self.world.catalogue[named] if named else film
            about = again if form == "offer_again" else film
            values = {"film": film.name, "other": other.name, "named": again.name, "reason": self._reason(about)}
            text = neat(self._write(form, **values))
            intended = {"offer": [film], "offer_two": [film, other], "offer_since": [again, film], "offer_again": [again]}[form]
            targets = tuple(item.id for item in intended)
            if self.world.linker.items(text) == targets:
                break
        else:
            raise DataError("no reply names its film clearly", where=self.key, fix="give the films titles that the linker can find")
        before = self.dialogue
        self._say("recommender", text)
        self._keep(before, targets)
        return targets

    def _keep(self, before: Dialogue, targets: tuple[str, ...]) -> None:
        turn = len(before)
        self.rows.append(
            Example(
                key=f"{self.key}:{turn}",
                dialogue_id=self.key,
                turn_id=turn,
                dialogue=before,
                targets=targets,
                reply=self.dialogue.messages[-1].text,
                leaks=self.world.linker.leaks(before, targets),
            )
        )

    def _reason(self, item: Item) -> str:
        """Why that film; none now and then."""
        kinds = ["genre", "genre", *(["director"] if item.directors else []), *(["star"] if item.stars else [])]
        if self.rng.random() < 0.15:
            return ""
        wanted = [genre for genre in item.genres if genre in self.taste.genres] or item.genres
        genre = self.rng.choice(wanted)
        values = {"genre": genre, "a_genre": _a(genre), "decade": str(_decade(item))}
        values |= {"director": "".join(item.directors[:1]), "star": self.rng.choice(item.stars or ("",))}
        return self._write(f"reason_{self.rng.choice(kinds)}", **values)

    def _react(self, offered: tuple[str, ...]) -> bool:
        """The seeker's reaction; false when the dialogue is over."""
        item, chance = offered[-1], self.rng.random()
        known = item in self.named
        dear, welcome = item in self.untold, self._welcome(item)
        self.untold = [each for each in self.untold if each not in offered]
        self.named += [each for each in offered if each not in self.named]
        if known:
            self._seeker([self._write("known"), self._tell()])
        elif dear or (welcome and chance < 0.75):
            self.praised.append(item)
            if chance < 0.2 and not dear:
                self._seeker([self._write("thanks")])
                return False
            reaction = "seen_loved" if dear or chance < 0.35 else "welcome"
            self._seeker([self._write(reaction), self._write("more") if self.rng.random() < 0.5 else self._tell()])
        else:
            off = [genre for genre in self.world.catalogue[item].genres if genre not in self.taste.genres]
            reaction = "seen_meh" if chance > 0.85 and not welcome else "decline"
            self._seeker([self._write(reaction, genre=self.rng.choice(off or ["sad"])), self._tell()])
        return True


def _decade(item: Item) -> int:
    return (item.year or 2000) // 10 * 10


def _a(genre: str) -> str:
    return f"{'an' if genre[:1] in 'aeiou' else 'a'} {genre}"
