"""The seeker that is no lookup at all: it declines what it did not wish for, and says nothing more.

What an arm gains against it, it gains by what it offers, not by hearing a wish.
"""

from __future__ import annotations

from dataclasses import dataclass

from usbrec.linking import Linker
from usbrec.roles.seekers import ACCEPT, accepts, refusal, unrevealing
from usbrec.seeds import rng_of
from usbrec.types import Dialogue

SHRUGS = ("Hard to say.", "I don't know, really.", "No idea, sorry.", "I couldn't tell you.")


@dataclass(frozen=True)
class SilentSeeker:
    """Knows the targets, accepts one that is offered, and tells nothing about them."""

    linker: Linker
    targets: tuple[str, ...]
    name: str = "silent"

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        rng = rng_of(seed, "silent", len(dialogue))
        accepted = accepts(dialogue, self.targets, self.linker)
        parts = [rng.choice(ACCEPT)] if accepted else refusal(dialogue, self.linker, rng) or [rng.choice(SHRUGS)]
        return unrevealing(parts, self.targets, self.linker, rng)
