"""Simulated seekers without a model.

`AttributesSeeker` knows the targets and follows an agenda over their attributes: it can never leak a title, since it speaks in genres,
people and years, and every sentence is checked against the linker before anyone reads it.  But what it says may fit a single item
(`evaluation.identifiability` counts that); `least` keeps such wishes unsaid.  `ProfileSeeker` is the search's internal simulator: it knows
a `Profile` only.  `roles.silent` and `roles.paraphrase` hold seekers that are no lookup, `roles.patience` one that leaves.

All are deterministic: the same dialogue and seed give the same words.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from usbrec.catalogue import Catalogue
from usbrec.linking import Linker
from usbrec.roles.catalogue import named_items, target_hit
from usbrec.seeds import rng_of
from usbrec.types import Dialogue, Item, Profile, Side

ACCEPT = (
    "That sounds just right, thank you!",
    "Yes, that is the kind of thing I was after. Thanks!",
    "Oh, perfect. I'll go for that one.",
    "Great, that's it. Thanks a lot!",
)
DECLINE = ("Hmm, not quite.", "I don't think that's the one.", "Not really what I'm after.", "Maybe another time.")
KNOWN = ("I've already got that one in mind.", "I know that one already.", "We've talked about that one.")
ASK = ("What would you suggest?", "Any ideas?", "What do you have for me?", "Got a suggestion?")
WISHES = {
    "genre": ("I'm in the mood for {0}.", "Something {0} would be good.", "I'd rather have {0}.", "I like {0} a lot."),
    "director": ("I like what {0} directs.", "Maybe something by {0}?", "I'm fond of {0}'s work."),
    "star": ("Something with {0} in it would be nice.", "I enjoy watching {0}.", "Is there anything with {0}?"),
    "decade": ("Something from the {0}s, perhaps.", "I'd like one from the {0}s.", "The {0}s would be good."),
}
VAGUE = ("I'm open to anything really.", "Surprise me with something else.", "Something different, please.", "I can't describe it well.")
FORGOTTEN = {
    "genre": "I know the mood that I'm after, but not the word for it.",
    "director": "I forget who made the last one that I liked.",
    "star": "There is somebody I like to watch, but the name escapes me.",
    "decade": "I couldn't tell you what years I like best.",
}
"""A wish that the seeker can only hint at."""
SIMILAR = ("I did like that it is {0}.", "It being {0} is right, though.", "{0} is a good direction.")


@dataclass(frozen=True)
class Wish:
    """One attribute on the agenda."""

    kind: str
    value: str


@dataclass(frozen=True)
class AttributesSeeker:
    """The simulated user of PODCS and of the evaluation; knows the targets, never says a title.

    Attributes that most targets share come first.  Each turn tells one or two of those not told yet; a question is answered with the kind
    of attribute that it asks for.  Targets without attributes get a seeker with nothing to say about them.
    """

    catalogue: Catalogue
    linker: Linker
    targets: tuple[str, ...]
    name: str = "attributes"
    least: int = 0
    """A wish is said only if at least so many items beside the targets share it."""
    knows: float = 1.0
    """Share of the wishes that can be named."""
    errs: float = 0.0
    """Share of the wishes that are said wrong, or only hinted at."""

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        rng = rng_of(seed, "attributes", len(dialogue))
        if accepts(dialogue, self.targets, self.linker):
            return unrevealing([rng.choice(ACCEPT)], self.targets, self.linker, rng)
        last = dialogue.messages[-1].text if dialogue.messages else ""
        offered = self.linker.items(last)
        agenda = self._agenda(dialogue, start, rng)
        parts = refusal(dialogue, self.linker, rng)
        if offered:
            parts += self._praise(offered, rng)
        wanted = asked_for(last)
        answer = [said for wish, said in agenda if wish.kind in wanted][:1]
        picked = answer or [said for _, said in agenda[: 2 if rng.random() < 0.4 else 1]]
        parts += [rng.choice(WISHES.get(w.kind, ("{0}",))).format(w.value) for w in picked] or [rng.choice(VAGUE)]
        if not offered and "?" not in last:
            parts.append(rng.choice(ASK))
        return unrevealing(parts, self.targets, self.linker, rng)

    def _agenda(self, dialogue: Dialogue, start: int, rng: random.Random) -> list[tuple[Wish, Wish]]:
        """(wish, as it is said), those not told yet: the most shared first, then genre, people, decade; titles' words never."""
        counts: Counter[Wish] = Counter()
        for target in self.targets:
            counts.update(wishes_of(self.catalogue[target]))
        heard = told_by("seeker", dialogue)
        given = Dialogue(messages=dialogue.messages[:start])
        known = [wish for wish in counts if self._shared(wish) and self._draw("knows", wish, given) < self.knows]
        voiced = {wish: self._as_said(wish, given) for wish in known}
        fresh = [w for w, said in voiced.items() if said.value.lower() not in heard and not self.linker.reveals(said.value, self.targets)]
        order = {"genre": 0, "director": 1, "star": 2, "decade": 3}
        ranked = sorted(fresh, key=lambda w: (-counts[w], order[w.kind], w.value))
        head = ranked[:4]
        rng.shuffle(head)
        return [(wish, voiced[wish]) for wish in (*head, *ranked[4:])]

    def _shared(self, wish: Wish) -> bool:
        """Do at least `least` items beside the targets share it?"""
        return len(set(sharing(wish, self.catalogue)).difference(self.targets)) >= self.least

    def _draw(self, what: str, wish: Wish, given: Dialogue) -> float:
        """In [0, 1): the same at every turn of a conversation, or a wish that is not known now would be known next."""
        return rng_of(what, wish, self.targets, given.model_dump_json()).random()

    def _as_said(self, wish: Wish, given: Dialogue) -> Wish:
        draw = self._draw("errs", wish, given)
        if draw >= self.errs:
            return wish
        return Wish("forgotten", FORGOTTEN[wish.kind]) if draw < self.errs / 2 else self._mistaken(wish, draw)

    def _mistaken(self, wish: Wish, draw: float) -> Wish:
        """Another genre, person or decade, which no target has; hinted at where there is none."""
        kinds = {"genre": self.catalogue.by_genre, "decade": self.catalogue.by_decade}
        known = kinds.get(wish.kind, self.catalogue.by_person)
        own = {w.value for target in self.targets for w in wishes_of(self.catalogue[target])}
        others = [value for value in sorted(known) if value not in own and self._shared(Wish(wish.kind, value))]
        return Wish(wish.kind, rng_of("mistaken", draw).choice(others)) if others else Wish("forgotten", FORGOTTEN[wish.kind])

    def _praise(self, offered: Sequence[str], rng: random.Random) -> list[str]:
        """What an offer got right: a genre that it has in common with the targets."""
        wanted = {genre for target in self.targets for genre in self.catalogue[target].genres}
        common = sorted({genre for item in offered for genre in self.catalogue[item].genres} & wanted)
        common = [genre for genre in common if not self.linker.reveals(genre, self.targets) and self._shared(Wish("genre", genre))]
        return [_sentence(rng.choice(SIMILAR).format(common[0]))] if common and rng.random() < 0.5 else []


@dataclass(frozen=True)
class ProfileSeeker:
    """The internal simulator of the search (docs/method.md, SES): reacts to an offer by its likeness to the profile, and wishes from it."""

    catalogue: Catalogue
    linker: Linker
    profile: Profile
    name: str = "profile"
    enough: float = 0.3
    """Offers at least so alike to something liked, or of a wanted genre or person, are welcome."""

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        rng = rng_of(seed, "profile", len(dialogue))
        offered = self.linker.items(dialogue.messages[-1].text) if dialogue.messages else ()
        before = named_items(Dialogue(messages=dialogue.messages[:-1]), self.linker)
        fresh = [item for item in offered if item not in before]
        if any(self._fits(item) for item in fresh):
            return rng.choice(("That could be something. What else is like it?", "Sounds good! Anything similar?"))
        wishes = [Wish("genre", g) for g in self.profile.genres] + [Wish("star", p) for p in self.profile.people]
        liked = [self.catalogue[item] for item in self.profile.likes]
        wishes = wishes or [Wish("genre", genre) for genre, _ in Counter(g for item in liked for g in item.genres).most_common(2)]
        wish = rng.choice(WISHES[(chosen := rng.choice(wishes)).kind]).format(chosen.value) if wishes else rng.choice(VAGUE)
        return f"{rng.choice(KNOWN if offered and not fresh else DECLINE)} {wish}" if offered else f"{wish} {rng.choice(ASK)}"

    def _fits(self, item: str) -> bool:
        entry = self.catalogue[item]
        if set(entry.genres) & set(self.profile.genres) or {*entry.directors, *entry.stars} & set(self.profile.people):
            return True
        return any(self.catalogue.likeness(item, liked) >= self.enough for liked in self.profile.likes)


def wishes_of(item: Item) -> list[Wish]:
    """What can be said about an item without its title."""
    wishes = [Wish("genre", genre) for genre in item.genres]
    wishes += [Wish("director", person) for person in item.directors[:1]]
    wishes += [Wish("star", person) for person in item.stars[:3]]
    return wishes + [Wish("decade", item.decade)] * bool(item.decade)


def sharing(wish: Wish, catalogue: Catalogue) -> tuple[str, ...]:
    """The items that have an attribute; a person is looked for among directors and stars alike."""
    by_kind = {"genre": catalogue.by_genre, "decade": catalogue.by_decade}
    return by_kind.get(wish.kind, catalogue.by_person).get(wish.value, ())


def told_by(side: Side, dialogue: Dialogue) -> str:
    """All that one side has said, in lower case."""
    return " ".join(dialogue.of(side)).lower()


def accepts(dialogue: Dialogue, targets: Sequence[str], linker: Linker) -> bool:
    """Does the last message offer what the seeker came for?"""
    return bool(dialogue.messages) and target_hit(dialogue, targets, linker)[0]


def refusal(dialogue: Dialogue, linker: Linker, rng: random.Random) -> list[str]:
    """What is said to an offer: that it is known already, or not the one; nothing where nothing is offered."""
    offered = linker.items(dialogue.messages[-1].text) if dialogue.messages else ()
    if not offered:
        return []
    before = named_items(Dialogue(messages=dialogue.messages[:-1]), linker)
    return [rng.choice(KNOWN if set(offered) <= before else DECLINE)]


def unrevealing(parts: Sequence[str], targets: Sequence[str], linker: Linker, rng: random.Random) -> str:
    """The sentences that give no target away; a vague one where none is left; at the very last, a masked one."""
    kept = [part for part in parts if not linker.reveals(part, targets)]
    text = " ".join(kept) or rng.choice(VAGUE)
    if not linker.reveals(text, targets):
        return text
    return next((v for v in VAGUE if not linker.reveals(v, targets)), linker.mask(text, targets))


def asked_for(text: str) -> frozenset[str]:
    """Which kinds of attribute a recommender's question asks for."""
    if "?" not in text:
        return frozenset()
    low = text.lower()
    kinds = {
        "genre": ("genre", "kind of", "type of", "mood", "sort of"),
        "star": ("actor", "actress", "star", "who is in", "cast"),
        "director": ("director", "directed"),
        "decade": ("year", "decade", "old", "new", "recent", "classic"),
    }
    return frozenset(kind for kind, words in kinds.items() if any(word in low for word in words))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
