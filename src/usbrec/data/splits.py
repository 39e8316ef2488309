"""Splits and samples: seeded, and stable.  Which dialogue falls where depends on its id alone, not on the order or number of rows.

An id says what somebody wrote; the words say what is so.  `chats` finds the rows of one chat by their texts, whatever their ids are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, TypeVar

from usbrec.seeds import seed_of
from usbrec.types import Example

CHATS = "rows of one chat are told by their words"
"""The rule, for the fingerprint of whatever rests on it."""
LONG = 3
"""Of so many messages on two rows with the same words are of one chat, whatever is replied; fewer may be a greeting that many write."""
End = tuple[int, bool]
"""What was said up to some place, as a digest; and whether anything at all goes on from there."""

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


def chats(rows: Sequence[Example]) -> list[int]:
    """For each row the place of the first row of its chat, told by the words alone.

    A row belongs to a later one that begins with its messages and its reply; where the reply is not there, or there are `LONG` messages,
    with its messages alone.  Two rows with the same messages and the same reply are of one chat too.
    """
    first = list(range(len(rows)))

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = place = first[first[place]]
        return place

    ends: dict[End, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        ends[_end(row, LONG)].append(place)
    for place, row in enumerate(rows):
        for end in passed(row, reply=True) & ends.keys():
            for other in ends[end]:
                low, high = sorted((root(place), root(other)))
                first[high] = low
            ends[end] = [place]  # they are one by now
    return [root(place) for place in range(len(rows))]


def shared_chats(one: Sequence[Example], other: Sequence[Example]) -> set[str]:
    """The dialogues of `one` that have rows in `other` as well: by their id, or by their words."""
    chat = chats([*other, *one])
    there, known = set(chat[: len(other)]), {row.dialogue_id for row in other}
    return {row.dialogue_id for row, at in zip(one, chat[len(other) :], strict=True) if at in there or row.dialogue_id in known}


def goes_on(row: Example, histories: Collection[End]) -> bool:
    """Does a dialogue go on, the row's reply and all, in one of those whose ends (`passed`) are given?"""
    return _end(row, None) in histories


def passed(row: Example, *, reply: bool = False) -> set[End]:
    """The ends that a row's messages, and its reply if that is asked for, pass by or come to."""
    marks = _marks(row)
    return {
        *((mark, False) for mark in marks[: len(marks) if reply else len(row.dialogue)]),
        *((m, True) for m in marks[: len(row.dialogue) - 1]),
    }


def _end(row: Example, long: int | None) -> End:
    """Where a row ends: behind its reply; without one, before anything that comes after its messages."""
    marks, said = _marks(row), len(row.dialogue)
    if long is not None and said >= long:
        return marks[said - 1], False
    return (marks[-1], False) if row.answered else (marks[-1], True)


def _marks(row: Example) -> list[int]:
    """A digest of all that was said up to each message, and up to the reply where it is there."""
    messages = row.dialogue.say("recommender", row.reply) if row.answered else row.dialogue
    marks = [0]
    for message in messages.messages:
        marks.append(hash((marks[-1], message.side, " ".join(message.text.casefold().split()))))
    return marks[1:] or marks
