"""Splits and samples: seeded, and stable.  Which dialogue falls where depends on its id alone, not on the order or number of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from usbrec.seeds import seed_of

SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
"""Of the dialogues."""


class Keyed(Protocol):
    """A row that belongs to a dialogue."""

    @property
    def key(self) -> str: ...

    @property
    def dialogue_id(self) -> str: ...


Row = TypeVar("Row", bound=Keyed)


def by_dialogue(rows: Iterable[Row], seed: int) -> dict[str, list[Row]]:
    """Splits rows 80/10/10 by dialogue: no dialogue has rows in two splits.  Rows keep their order."""
    rows = list(rows)
    dialogues = sorted({row.dialogue_id for row in rows}, key=lambda each: (seed_of(seed, "split", each), each))
    first, second = round(len(dialogues) * SHARES["train"]), round(len(dialogues) * (SHARES["train"] + SHARES["valid"]))
    place = {dialogue: "train" if index < first else "valid" if index < second else "test" for index, dialogue in enumerate(dialogues)}
    split: dict[str, list[Row]] = {name: [] for name in SHARES}
    for row in rows:
        split[place[row.dialogue_id]].append(row)
    return split


def sample(rows: Sequence[Row], size: int | None, seed: int) -> list[Row]:
    """`size` of the rows, in their order; a bigger sample holds the smaller one.  None: all of them."""
    if size is None or size >= len(rows):
        return list(rows)
    chosen = {row.key for row in sorted(rows, key=lambda row: (seed_of(seed, "sample", row.key), row.key))[:size]}
    return [row for row in rows if row.key in chosen]


def shared_dialogues(one: Iterable[Row], other: Iterable[Row]) -> set[str]:
    """The dialogues that have rows on both sides."""
    return {row.dialogue_id for row in one} & {row.dialogue_id for row in other}
