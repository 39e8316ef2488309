"""From a raw row of iEvaLM's format to an `Example`, with everything that had to be mended or skipped counted by name.

A raw row: `dialog_id`, `turn_id`, `context` (strings; even positions are the seeker's, odd ones the recommender's), `rec` (title strings)
and `resp` (the human's reply).  A leading "" means that the recommender spoke first: the string goes, the sides stay.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from usbrec import jsonl
from usbrec.errors import DataError
from usbrec.linking import Linker
from usbrec.titles import clean
from usbrec.types import LONGEST_NAME, LONGEST_TEXT, Dialogue, Example, Frozen, Message, Side

_ID = re.compile(r"@(\d{3,})")


Text = Annotated[str, Field(max_length=LONGEST_TEXT)]


class RawRow(Frozen):
    """One line of a processed split."""

    dialogue_id: str
    turn_id: int
    context: tuple[Text, ...]
    rec: tuple[Annotated[str, Field(max_length=LONGEST_NAME)], ...]
    resp: Text
    cut: bool = False
    """The reply is missing or cut off; the targets are right."""
    split: str = ""
    """The official split it stands in."""

    @property
    def key(self) -> str:
        return f"{self.dialogue_id}:{self.turn_id}"


@dataclass
class Tally:
    """What was met on the way, by name."""

    counts: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Reason -> keys of the rows left out."""

    def skip(self, reason: str, key: str) -> None:
        self.skipped[reason].append(key)


@dataclass(frozen=True)
class Reading:
    """How one corpus is read: its linker, what its title strings mean, and which of them are no offers."""

    linker: Linker
    ids: Callable[[str], tuple[str, ...]]
    """A title string of `rec` -> catalogue ids (none: unknown; several: ambiguous)."""
    refuses: Callable[[str, str], str] = lambda name, reply: ""
    """(title string, reply) -> why it is no target, or "" """


def read_rows(path: Path, split: str) -> list[RawRow]:
    """All rows of a processed split.

    Raises:
        DataError: with file and line of every row that lacks a field or has one of a wrong kind.
    """
    rows, faults = jsonl.gather(path, lambda value, where: _raw(value, split, where), RawRow)
    if faults:
        raise jsonl.together(faults)
    return rows


def example_of(row: RawRow, reading: Reading, tally: Tally) -> Example | None:
    """The row as an example; None, with the reason in the tally, where it has no dialogue, no turn to fill or no target."""
    if row.context and len(row.context) % 2 == 0:
        tally.skip("context ends with the recommender", row.key)
        return None
    dialogue = _dialogue(row, reading, tally)
    if not len(dialogue):
        tally.skip("empty dialogue", row.key)
        return None
    reply = _mended(row.resp, reading, tally)
    targets = _targets(row, reply, reading, tally)
    if not targets:
        tally.skip("no target", row.key)
        return None
    leaks = reading.linker.leaks(dialogue, targets)
    tally.counts["some targets already named"] += bool(leaks)
    tally.counts["all targets already named"] += len(leaks) == len(targets)
    tally.counts["several targets"] += len(targets) > 1
    tally.counts["reply cut or missing"] += row.cut or not reply
    tally.counts["seeker has named no item"] += not any(reading.linker.items(text) for text in dialogue.of("seeker"))
    return Example(
        key=row.key,
        dialogue_id=row.dialogue_id,
        turn_id=row.turn_id,
        dialogue=dialogue,
        targets=targets,
        reply=reply,
        reply_whole=bool(reply) and not row.cut,
        leaks=leaks,
    )


def examples_of(rows: Sequence[RawRow], reading: Reading, tally: Tally) -> list[Example]:
    """All examples of some rows, in order; a second row with the same key is skipped and counted."""
    found: dict[str, Example] = {}
    seen: set[str] = set()
    for row in rows:
        if row.key in seen:
            tally.skip("key occurs twice", row.key)
            continue
        seen.add(row.key)
        example = example_of(row, reading, tally)
        if example is not None:
            found[row.key] = example
    tally.counts["rows read"] += len(rows)
    tally.counts["rows kept"] += len(found)
    return list(found.values())


def _raw(value: dict[str, Any], split: str, where: str) -> RawRow:
    fix = "the rows need dialog_id, turn_id, context, rec and resp"
    for name in ("dialog_id", "turn_id", "context", "rec", "resp"):
        if name not in value:
            raise DataError(f"the row lacks the field '{name}'", where=where, fix=fix)
    if not isinstance(value["dialog_id"], str | int):
        raise DataError("'dialog_id' is no text and no number", where=where, fix=fix)
    for name in ("context", "rec"):
        if not isinstance(value[name], list):
            raise DataError(f"'{name}' is no list of strings", where=where, fix=fix)
    return RawRow(
        dialogue_id=str(value["dialog_id"]),
        turn_id=value["turn_id"],
        context=tuple(value["context"]),
        rec=tuple(value["rec"]),
        resp="" if value["resp"] is None else value["resp"],
        cut=bool(value.get("resp_truncated", False)),
        split=split,
    )


def _dialogue(row: RawRow, reading: Reading, tally: Tally) -> Dialogue:
    """The messages with their sides.  Empty strings go; two messages of one side in a row become one."""
    messages: list[Message] = []
    for position, raw in enumerate(row.context):
        text = _mended(raw, reading, tally)
        side: Side = "seeker" if position % 2 == 0 else "recommender"
        if not text:
            tally.counts["leading empty string dropped" if position == 0 else "empty message dropped"] += 1
        elif messages and messages[-1].side == side:
            tally.counts["messages of one side joined"] += 1
            messages[-1] = Message(side=side, text=f"{messages[-1].text} {text}")
        else:
            messages.append(Message(side=side, text=text))
    return Dialogue(messages=tuple(messages))


def _mended(raw: str, reading: Reading, tally: Tally) -> str:
    """The text without entities, escapes and bare ids; an id that the catalogue knows becomes its title."""

    def name(found: re.Match[str]) -> str:
        item = reading.linker.catalogue.get(found[1])
        tally.counts["bare @id dropped" if item is None else "bare @id became a title"] += 1
        return "" if item is None else item.name

    text = " ".join(raw.split())
    mended = clean(text)
    tally.counts["entities and escapes decoded"] += mended != text
    return " ".join(_ID.sub(name, mended).split())


def _targets(row: RawRow, reply: str, reading: Reading, tally: Tally) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in row.rec:
        ids = reading.ids(name)
        reason = "" if row.cut else reading.refuses(name, reply)
        if not ids:
            tally.counts["target dropped: not in the catalogue"] += 1
        elif len(ids) > 1:
            tally.counts["target dropped: ambiguous"] += 1
        elif reason:
            tally.counts[f"target dropped: {reason}"] += 1
        else:
            found[ids[0]] = None
    return tuple(found)
