"""Replies of known worth, to hold a judge against: the human's own, and replies that are known to be useless.

The floors here name no target of their row by construction (a popular film that happens to be the target is no floor): a judge that knows
its business scores every one of them below the human's reply.  Where a row allows no such reply (the seeker named nothing, say), the probe
is left out, and counted.

Beyond hits, `comparable` and `random-item` offer one item each in the same words, neither of them a target: what tells them apart is
whether the catalogue calls the item comparable with a target.  `target-first` and `target-last` are one reply with its two titles swapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Cooccurrence
from usbrec.linking import Linker
from usbrec.roles.catalogue import named_items
from usbrec.roles.floors import QUESTION
from usbrec.seeds import rng_of
from usbrec.types import Example

TRUTH = "truth"
FLOORS = ("random-reply", "most-popular", "repeat", "question", "compliment")
BEYOND = ("comparable", "random-item")
SWAPPED = ("target-first", "target-last")
PROBES = (TRUTH, *FLOORS, *BEYOND, *SWAPPED)
COMPLIMENT = "You have wonderful taste, it is a pleasure to talk with you!"
_TRIES = 200


@dataclass(frozen=True)
class Probes:
    """Makes the probes of a row."""

    catalogue: Catalogue
    linker: Linker
    cooccurrence: Cooccurrence
    replies: Sequence[str]
    """Human replies of other dialogues."""

    def of(self, example: Example, seed: int) -> dict[str, str]:
        """Probe -> reply, for the probes that the row allows.  The row has a whole human reply."""
        rng = rng_of(seed, "probes", example.key)
        found = {TRUTH: example.reply, **dict(self._floors(example, rng)), **dict(self._offers(example, rng))}
        return {name: found[name] for name in PROBES if name in found}

    def _floors(self, example: Example, rng: Random) -> Iterator[tuple[str, str]]:
        targets, named = set(example.targets), named_items(example.dialogue, self.linker)
        for _ in range(_TRIES if self.replies else 0):
            reply = rng.choice(self.replies)
            if reply != example.reply and not targets & set(self.linker.items(reply)):
                yield "random-reply", reply
                break
        if best := self.cooccurrence.most_popular(named | targets, 1):
            yield "most-popular", self._offer(best[0])
        own = [item for text in example.dialogue.of("seeker") for item in self.linker.items(text) if item not in targets]
        if own:
            yield "repeat", self._offer(own[-1])
        yield "question", QUESTION
        yield "compliment", COMPLIMENT

    def _offers(self, example: Example, rng: Random) -> Iterator[tuple[str, str]]:
        excluded = {*example.targets, *named_items(example.dialogue, self.linker)}
        near = [i for i in self._known if i not in excluded and any(self.catalogue.comparable(i, t) for t in example.targets)]
        if near:
            yield "comparable", self._offer(rng.choice(near))
        close = excluded.union(near)
        far = [item for item in self._known if item not in close]
        if not far:
            return
        yield "random-item", self._offer(rng.choice(far))
        target, other = self.catalogue[example.targets[0]].name, self.catalogue[rng.choice(far)].name
        yield "target-first", f"You could watch {target} or {other}."
        yield "target-last", f"You could watch {other} or {target}."

    @cached_property
    def _known(self) -> list[str]:
        """Items that some training dialogue liked, so that neither probe is given away by its obscurity; all where nobody liked any."""
        return sorted(i for i in self.cooccurrence.popularity if i in self.catalogue) or sorted(item.id for item in self.catalogue)

    def _offer(self, item: str) -> str:
        return f"Have you seen {self.catalogue[item].name}?"
