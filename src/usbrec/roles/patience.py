"""The seeker that leaves: after so many bad offers in a row nobody goes on talking.

An offer is bad if it names nothing new, or if what it offers (`roles.catalogue.offer`) is neither a target nor comparable with one.  A
reply without any title is a question or small talk, no offer: it tries no patience, and restores none.
"""

from __future__ import annotations

from dataclasses import dataclass

from usbrec.linking import Linker
from usbrec.roles import Seeker
from usbrec.roles.catalogue import offer
from usbrec.types import Dialogue


@dataclass(frozen=True)
class ImpatientSeeker:
    """Another seeker, until it has had enough."""

    seeker: Seeker
    linker: Linker
    targets: tuple[str, ...]
    patience: int

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str | None:
        if bad_in_a_row(dialogue, start, self.targets, self.linker) >= self.patience:
            return None
        return await self.seeker.respond(dialogue, start=start, seed=seed)


def bad_in_a_row(dialogue: Dialogue, start: int, targets: tuple[str, ...], linker: Linker) -> int:
    """How many bad offers in a row the recommender has made up to now, message `start` being the first that counts."""
    count = 0
    for place, message in enumerate(dialogue.messages):
        if place < start or message.side == "seeker" or not linker.items(message.text):
            continue
        item = offer(Dialogue(messages=dialogue.messages[: place + 1]), linker)
        good = item is not None and any(item == target or linker.catalogue.comparable(item, target) for target in targets)
        count = 0 if good else count + 1
    return count
