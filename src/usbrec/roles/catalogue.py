"""The roles that need no model: the programmatic judge, the profiler that reads linked items, and the internal judge of the search.

One rule says what a reply offers (`offer`): its first new item, nothing else.  A list of titles so buys nothing, and costs what stands in
it, since an item once named is not new again.  A target that was named already cannot be hit.

The catalogue judge can be verified by hand: 2 if a target is offered; 0 if nothing is; 1 if what is offered is comparable with a target;
else 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Cooccurrence
from usbrec.linking import Linker
from usbrec.types import Dialogue, Profile, Score

OFFER = "the first new item of a reply counts"
"""The rule, for the fingerprint of whatever rests on it."""
FEW = 5
POOL = "co-occurring items, all by people asked for, and all of a genre asked for that fewer than 5 of these have"
"""What a retriever ranks, for the same."""


def named_items(dialogue: Dialogue, linker: Linker) -> frozenset[str]:
    """Every item that either side has named."""
    return frozenset(item for message in dialogue.messages for item in linker.items(message.text))


def target_hit(dialogue: Dialogue, targets: Sequence[str], linker: Linker) -> tuple[bool, tuple[str, ...]]:
    """(does the last message offer a target, what it offers: one item or none)."""
    offered = offer(dialogue, linker)
    return offered in targets, () if offered is None else (offered,)


def offer(dialogue: Dialogue, linker: Linker) -> str | None:
    """What the last message offers: the first of its items that nobody has named before; None where there is none."""
    items = linker.items(dialogue.messages[-1].text)
    if not items:
        return None
    before = named_items(Dialogue(messages=dialogue.messages[:-1]), linker)
    return next((item for item in items if item not in before), None)


@dataclass(frozen=True)
class CatalogueJudge:
    """Scores 0/1/2 from the catalogue alone; knows the targets."""

    catalogue: Catalogue
    linker: Linker
    targets: tuple[str, ...]
    name: str = "catalogue"

    async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
        hit, fresh = target_hit(dialogue, self.targets, self.linker)
        if hit:
            return Score(value=2, reason="a target is offered", judge=self.name, hit=True, items=fresh)
        if not fresh:
            return Score(value=0, reason="nothing new is offered", judge=self.name)
        if any(self.catalogue.comparable(fresh[0], target) for target in self.targets):
            return Score(value=1, reason=f"{fresh[0]} is comparable with a target", judge=self.name, items=fresh)
        return Score(value=0, reason="what is offered is not comparable", judge=self.name, items=fresh)


_AVERSION = re.compile(
    r"\b(?:hate[ds]?|dislike[ds]?|didn'?t (?:really )?(?:like|enjoy|care)|did not (?:like|enjoy)|don'?t (?:really )?(?:like|enjoy|care)"
    r"|do not (?:like|enjoy)|not (?:a|much of a|really a) (?:big )?fan|not into|can'?t stand|too (?:scary|long|boring|slow|silly)"
    r"|nothing like|anything but|no more)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.!?;]+|\bbut\b|\bthough\b", re.IGNORECASE)
_GENRE_WORDS = {
    "comedies": "comedy", "funny": "comedy", "humor": "comedy", "laugh": "comedy", "hilarious": "comedy", "comedic": "comedy",
    "scary": "horror", "spooky": "horror", "creepy": "horror", "slasher": "horror",
    "romantic": "romance", "love story": "romance", "rom com": "romance", "romcom": "romance", "rom-com": "romance",
    "sci fi": "sci-fi", "scifi": "sci-fi", "science fiction": "sci-fi", "space": "sci-fi",
    "animated": "animation", "cartoon": "animation", "cartoons": "animation", "disney": "animation",
    "pixar": "animation", "anime": "animation",
    "kids": "family", "children": "family", "child": "family", "thrillers": "thriller", "suspense": "thriller", "suspenseful": "thriller",
    "mysteries": "mystery", "detective": "mystery", "whodunit": "mystery", "dramas": "drama", "dramatic": "drama",
    "documentaries": "documentary", "musicals": "musical", "westerns": "western", "cowboy": "western",
    "superhero": "action", "superheroes": "action", "marvel": "action", "gangster": "crime", "mafia": "crime", "mob": "crime",
    "adventures": "adventure", "fantasies": "fantasy", "magic": "fantasy", "biopic": "biography", "true story": "biography",
    "historical": "history", "sports": "sport",
}  # fmt: skip


@dataclass(frozen=True)
class CatalogueProfiler:
    """Reads liked and disliked items, genres and people out of what the seeker said, the latest message included."""

    catalogue: Catalogue
    linker: Linker

    @cached_property
    def _genres(self) -> dict[str, str]:
        known = {genre: genre for genre in self.catalogue.genres}
        return known | {word: genre for word, genre in _GENRE_WORDS.items() if genre in known}

    @cached_property
    def _genre_pattern(self) -> re.Pattern[str]:
        words = sorted(self._genres, key=len, reverse=True) or ["(?!)"]
        return re.compile(r"\b(?:" + "|".join(re.escape(word) for word in words) + r")\b", re.IGNORECASE)

    async def profile(self, dialogue: Dialogue, *, seed: int) -> Profile:
        likes: dict[str, None] = {}
        dislikes: dict[str, None] = {}
        genres: dict[str, None] = {}
        people: dict[str, None] = {}
        for text in dialogue.of("seeker"):
            averse = _averse_spans(text)
            for mention in self.linker.mentions(text):
                if mention.item is not None:
                    bad = any(low <= mention.start < high for low, high in averse)
                    (dislikes if bad else likes)[mention.item] = None
            wanted, persons = self.wanted(text)
            genres.update(dict.fromkeys(wanted))
            people.update(dict.fromkeys(persons))
        kept = tuple(item for item in likes if item not in dislikes)
        mentioned = tuple(sorted(named_items(dialogue, self.linker)))
        summary = self._words(kept, tuple(dislikes), tuple(genres), tuple(people), dialogue)
        return Profile(
            summary=summary, likes=kept, dislikes=tuple(dislikes), genres=tuple(genres), people=tuple(people), mentioned=mentioned
        )

    def wanted(self, text: str) -> tuple[list[str], list[str]]:
        """The genres and people that a text asks for."""
        averse, found = _averse_spans(text), self._genre_pattern.finditer(text)
        genres = [self._genres[word[0].lower()] for word in found if not any(low <= word.start() < high for low, high in averse)]
        return genres, self._persons_in(text)

    def _persons_in(self, text: str) -> list[str]:
        words = re.findall(r"[\w'.-]+", text.lower())
        spans = (" ".join(words[i : i + n]).strip(".") for n in (2, 3) for i in range(len(words) - n + 1))
        people = self.catalogue.people
        return [people[span] for span in spans if span in people]

    def _words(
        self, likes: tuple[str, ...], dislikes: tuple[str, ...], genres: tuple[str, ...], people: tuple[str, ...], dialogue: Dialogue
    ) -> str:
        parts = []
        if likes:
            parts.append("Likes " + ", ".join(self.catalogue[i].name for i in likes[-6:]) + ".")
        if dislikes:
            parts.append("Does not want anything like " + ", ".join(self.catalogue[i].name for i in dislikes[-4:]) + ".")
        if genres:
            parts.append("Asked for " + ", ".join(genres) + ".")
        if people:
            parts.append("Asked for " + ", ".join(people) + ".")
        said = dialogue.of("seeker")
        if said:
            parts.append(f'Last said: "{self.linker.righted(said[-1])}"')
        return " ".join(parts) or "Nothing is known yet."


def _averse_spans(text: str) -> list[tuple[int, int]]:
    """The stretches of text that follow an expression of dislike, up to the end of the clause."""
    spans = []
    for found in _AVERSION.finditer(text):
        end = _CLAUSE.search(text, found.end())
        spans.append((found.start(), end.start() if end else len(text)))
    return spans


@dataclass(frozen=True)
class Affinity:
    """How well an item fits a profile, in [0, 1], from the catalogue and the training likes alone: no label, no model.

    A weighted mean of: the co-occurrence score with the liked items relative to the best unseen item's, the mean likeness to the liked
    items, the share of the wanted genres that the item has, and whether a wanted person made it.  Terms that the profile says nothing
    about drop out of the mean.
    """

    catalogue: Catalogue
    cooccurrence: Cooccurrence
    profile: Profile
    weight_together: float = 1.0
    weight_likeness: float = 1.0
    weight_genres: float = 2.0
    weight_people: float = 4.0

    @cached_property
    def _together(self) -> dict[str, float]:
        return self.cooccurrence.scores(self.profile.likes)

    @cached_property
    def _best(self) -> float:
        seen = set(self.profile.mentioned)
        return max((score for item, score in self._together.items() if item not in seen), default=0.0)

    @cached_property
    def _wanted(self) -> frozenset[str]:
        return frozenset(self.profile.genres)

    def __call__(self, item: str) -> float:
        entry, terms = self.catalogue[item], []
        wishes = self.profile.genres or self.profile.people
        if self._best > 0 and (self.profile.likes or not wishes):  # else it is mere popularity: no match for a wish
            terms.append((self.weight_together, min(1.0, self._together.get(item, 0.0) / self._best)))
        if self.profile.likes:
            likeness = [self.catalogue.likeness(item, liked) for liked in self.profile.likes]
            terms.append((self.weight_likeness, sum(likeness) / len(likeness)))
        if self.profile.genres:
            terms.append((self.weight_genres, len(self._wanted.intersection(entry.genres)) / len(self._wanted)))
        if self.profile.people:
            made = {*entry.directors, *entry.stars, *entry.writers}
            terms.append((self.weight_people, 1.0 if made & set(self.profile.people) else 0.0))
        total = sum(weight for weight, _ in terms)
        value = sum(weight * term for weight, term in terms) / total if total else 0.0
        return value / 2 if item in self.profile.dislikes else value


AffinityFor = Callable[[Profile], Affinity]


@dataclass(frozen=True)
class CatalogueProfileJudge:
    """The search's own judge without an LLM: twice the affinity of what is offered, in [0, 2]."""

    linker: Linker
    affinity: Affinity
    name: str = "catalogue"

    async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
        _, fresh = target_hit(dialogue, (), self.linker)
        if not fresh:
            return Score(value=0, reason="nothing new is offered", judge=self.name)
        fit = self.affinity(fresh[0])
        return Score(value=2 * fit, reason=f"affinity: {fresh[0]} {fit:.2f}", judge=self.name, items=fresh)


@dataclass(frozen=True)
class Retriever:
    """The unseen items that fit a dialogue best by `Affinity`: candidates to put before the model, or to search over.

    Out of the `pool` items that co-occur most with the liked ones (without any, the most popular), all by a person asked for, and all of a
    genre asked for of which these hold fewer than `FEW`: what few talk about has nothing among the popular.  More costs hits (docs/log.md).
    """

    catalogue: Catalogue
    cooccurrence: Cooccurrence
    profiler: CatalogueProfiler
    affinity_for: AffinityFor
    pool: int = 200

    async def items(self, dialogue: Dialogue, *, k: int) -> list[str]:
        """Up to k item ids, the best first, none of them named in the dialogue."""
        profile = await self.profiler.profile(dialogue, seed=0)
        return self.for_profile(profile, k=k)

    def for_profile(self, profile: Profile, *, k: int) -> list[str]:
        """The same for a profile; one that was ranked lately is not ranked again."""
        return self._ranked(profile)[:k]

    @cached_property
    def _ranked(self) -> Callable[[Profile], list[str]]:
        return lru_cache(maxsize=256)(self._rank)

    def _rank(self, profile: Profile) -> list[str]:
        seen = {*profile.mentioned, *profile.dislikes}
        liked = [item for item, _ in self.cooccurrence.rank(profile.likes, seen, self.pool)]
        made = [item for person in profile.people for item in self.catalogue.by_maker[person] if item not in seen]
        pool, affinity = dict.fromkeys((*liked, *made)), self.affinity_for(profile)
        for genre in profile.genres:
            of_it = [item for item in self.catalogue.by_genre.get(genre, ()) if item not in seen]
            if sum(item in pool for item in of_it) < FEW:
                pool |= dict.fromkeys(of_it)
        return sorted(pool, key=affinity, reverse=True)
