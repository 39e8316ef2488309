"""Recommenders without a model: the floors, the retriever, the collaborative baseline and the ceiling, which stand beside every number.

A judge that does not put the ceiling far above every floor measures nothing (docs/judges.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Cooccurrence
from usbrec.errors import DataError
from usbrec.linking import Linker
from usbrec.roles import Reply
from usbrec.roles.catalogue import CatalogueProfiler, Retriever, named_items
from usbrec.seeds import rng_of
from usbrec.types import Dialogue, Example

QUESTION = "What kind of films do you usually like?"
WHO = "Which director or actor do you like?"


@dataclass(frozen=True)
class RandomReply:
    """A human reply taken from another dialogue, drawn by the seed."""

    replies: tuple[str, ...]

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        if not self.replies:
            raise DataError("there is no human reply to draw from", where="floor:random-reply")
        return Reply(text=rng_of(seed, "random reply").choice(self.replies))


@dataclass(frozen=True)
class QuestionOnly:
    """Never offers anything."""

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        return Reply(text=QUESTION)


@dataclass(frozen=True)
class Repeat:
    """Offers what the seeker named last; asks where they named nothing."""

    catalogue: Catalogue
    linker: Linker

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        named = [item for text in dialogue.of("seeker") for item in self.linker.items(text)]
        return Reply(text=f"You should watch {self.catalogue[named[-1]].name}." if named else QUESTION)


@dataclass(frozen=True)
class MostPopular:
    """Offers the item that most training dialogues liked, among those nobody has named."""

    catalogue: Catalogue
    linker: Linker
    cooccurrence: Cooccurrence

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        best = self.cooccurrence.most_popular(named_items(dialogue, self.linker), 1)
        return Reply(text=f"Have you seen {self.catalogue[best[0]].name}?" if best else QUESTION)


@dataclass(frozen=True)
class Collaborative:
    """Offers the unseen item that co-occurs most with what the seeker named; the most popular where they named nothing."""

    catalogue: Catalogue
    linker: Linker
    cooccurrence: Cooccurrence

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        profile = await CatalogueProfiler(self.catalogue, self.linker).profile(dialogue, seed=seed)
        best = self.cooccurrence.rank(profile.likes, {*profile.mentioned, *profile.dislikes}, 1)
        return Reply(text=f"Have you seen {self.catalogue[best[0][0]].name}?" if best else QUESTION)


@dataclass(frozen=True)
class Retrieval:
    """Offers the retriever's first items in a fixed sentence: what a language model behind the same retriever has to beat."""

    retriever: Retriever
    count: int = 1
    question: str = ""
    """Said after them."""

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        names = [self.retriever.catalogue[item].name for item in await self.retriever.items(dialogue, k=self.count)]
        if not names:
            return Reply(text=self.question or QUESTION)
        listed = " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
        return Reply(text=f"Have you seen {listed}? {self.question}".strip())


@dataclass(frozen=True)
class Human:
    """The ceiling: what the human recommender said.  In a later turn, too: there is no other human reply."""

    example: Example

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        if not self.example.answered:
            raise DataError("the human's reply is missing", where=self.example.key)
        return Reply(text=self.example.reply)
