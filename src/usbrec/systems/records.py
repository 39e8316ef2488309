"""A record of what a system said, as JSON lines of one of two kinds.

    {"key": "<dialogue>:<turn>", "replies": ["...", ...]}
    {"dialogue": [{"side" or "role": ..., "text" or "content": ...}], "targets": [ids or titles], "start": 3}

The first holds the replies to a known row, turn by turn; the simulated seeker answers in between, and a row that is not recorded fails.
The second is a whole conversation, replayed as it stands, both sides, from message `start` on (counted from 0) until a target is named; it
may carry a `key`, and under `reply` what a human said at `start`.  The references play `evaluate.turns` turns, or as many as the longest
record has, if that is fewer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

from usbrec import jsonl
from usbrec.assemble import World
from usbrec.errors import DataError, EngineReply
from usbrec.evaluation.ieval import Evaluation
from usbrec.evaluation.metrics import dialogue_of
from usbrec.linking import Linker
from usbrec.roles import Recommender, Reply
from usbrec.types import Dialogue, Example, Frozen, Message, Outcome, Side

SIDES: dict[str, Side] = {"seeker": "seeker", "user": "seeker", "recommender": "recommender", "assistant": "recommender"}


class RecordedReplies(Frozen):
    """The replies to a known row, turn by turn."""

    key: str
    replies: tuple[str, ...]


class RecordedMessage(BaseModel):
    """One message; whatever else a log keeps beside it is ignored."""

    model_config = ConfigDict(frozen=True)

    side: Literal["seeker", "user", "recommender", "assistant"] = Field(validation_alias=AliasChoices("side", "role"))
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(validation_alias=AliasChoices("text", "content"))


class RecordedDialogue(Frozen):
    """A whole conversation."""

    dialogue: tuple[RecordedMessage, ...]
    targets: tuple[str, ...] = Field(min_length=1)
    start: int = Field(default=0, ge=0)
    key: str = ""
    reply: str = ""


@dataclass(frozen=True)
class Recorded:
    """What was recorded of one row."""

    replies: tuple[str, ...]
    answers: tuple[str, ...] = ()
    """What the seeker said after each reply but the last; empty where only replies were recorded."""


@dataclass(frozen=True)
class Record:
    """A record, read."""

    path: Path
    digest: str
    rows: dict[str, Recorded]
    """By key."""
    dialogues: dict[str, RecordedDialogue]
    """By key; empty where the record holds replies to known rows."""

    @cached_property
    def longest(self) -> int:
        """Most turns of any row, at least 1."""
        return max(1, *(len(row.replies) for row in self.rows.values()))

    def imposed(self, turns: int) -> dict[str, Any]:
        """What the record decides for the references too, where `turns` are asked for: part of their fingerprints."""
        if self.dialogues:
            return {"dialogues": self.digest, "turns": min(turns, self.longest)}
        return {"turns": self.longest} if self.longest < turns else {}

    def examples(self, world: World, split: str, drawn: Sequence[Example]) -> list[Example]:
        """The rows to evaluate: those drawn, whether recorded or not; or every recorded dialogue.

        Raises:
            DataError: a key that the split does not have, or a target that the catalogue does not have.
        """
        if self.dialogues:
            return [self._example(key, row, world.linker) for key, row in self.dialogues.items()]
        known = {example.key for example in world.splits[split]}
        unknown = [key for key in self.rows if key not in known]
        if unknown:
            others = [name for name, rows in world.splits.items() if any(row.key == unknown[0] for row in rows)]
            fix = f"--set evaluate.split={others[0]}" if others else "keys are <dialogue id>:<turn id>; usbrec data show DIR prints them"
            raise DataError(f"{len(unknown)} of {len(self.rows)} keys are unknown in {split}, '{unknown[0]}' for one",
                            where=str(self.path), fix=fix)  # fmt: skip
        return list(drawn)

    def _example(self, key: str, row: RecordedDialogue, linker: Linker) -> Example:
        context = Dialogue(messages=tuple(_message(said) for said in row.dialogue[: _first(row)]))
        targets = tuple(dict.fromkeys(_id(name, linker, f"{self.path}, {key}") for name in row.targets))
        return Example(
            key=key,
            dialogue_id=dialogue_of(key),
            turn_id=len(context),
            dialogue=context,
            targets=targets,
            reply=row.reply.strip(),
            reply_whole=bool(row.reply.strip()),
            leaks=linker.leaks(context, targets),
        )

    def recommender(self, example: Example) -> Recommender:
        """Says again what was recorded for a row."""
        return Replay(self.rows.get(example.key), len(example.dialogue), str(self.path))

    def played(self, evaluation: Evaluation, *, recorded: bool) -> Callable[[Example], Awaitable[Outcome]]:
        """The evaluation with as many turns as the record has, and with the seeker's own words where it has them.

        Args:
            recorded: the arm is the recorded system, not a reference.
        """

        async def play(example: Example) -> Outcome:
            row = self.rows.get(example.key) if recorded else None
            turns = len(row.replies) if row else self.longest
            own = replace(evaluation, turns=turns if row and self.dialogues else max(1, min(turns, evaluation.turns)))
            if row and self.dialogues:
                own = replace(own, seeker_for=lambda _: ReplayedSeeker(row.answers))
            return await own(example)

        return play


@dataclass(frozen=True)
class Replay:
    """The recommender's side of a record."""

    row: Recorded | None
    start: int
    where: str

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        turn = (len(dialogue) - self.start) // 2
        if self.row is None or not self.row.replies:
            raise EngineReply("the record has no reply to this row", where=self.where, fix="record it and run the same command again")
        if not self.row.replies[turn].strip():
            raise EngineReply(f"the recorded reply of turn {turn + 1} is empty", where=self.where)
        return Reply(text=self.row.replies[turn].strip())


@dataclass(frozen=True)
class ReplayedSeeker:
    """The seeker's side of a record."""

    answers: tuple[str, ...]

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        return self.answers[(len(dialogue) - start) // 2]


def read(path: Path) -> Record:
    """The record of a file.

    Raises:
        DataError: it is not there, is empty, has a line of another format, a conversation without a reply, or a key twice.
    """
    values = [value for _, value in jsonl.read_objects(path)]
    if not values:
        raise DataError("the record is empty", where=str(path), fix='write lines of {"key": ..., "replies": [...]}')
    rows: list[tuple[str, Recorded]] = []
    dialogues: list[tuple[str, RecordedDialogue]] = []
    if "dialogue" in values[0]:
        for number, row in enumerate(jsonl.read(path, RecordedDialogue), start=1):
            key = row.key or f"{path.stem}-{number}:{_first(row)}"
            dialogues.append((key, row))
            rows.append((key, _recorded(row, f"{path}, {key}")))
    else:
        rows = [(row.key, Recorded(row.replies)) for row in jsonl.read(path, RecordedReplies)]
    twice = [key for key, count in Counter(key for key, _ in rows).items() if count > 1]
    if twice:
        raise DataError(f"{len(twice)} keys are there more than once, '{twice[0]}' for one", where=str(path), fix="keep one line a key")
    return Record(path, hashlib.sha256(path.read_bytes()).hexdigest()[:16], dict(rows), dict(dialogues))


def _recorded(row: RecordedDialogue, where: str) -> Recorded:
    """The turns from the first reply on; several messages of one side in a row are one turn."""
    played = row.dialogue[_first(row) :]
    if not played:
        fix = "count `start` from 0 and let a recommender's message come after it"
        raise DataError(f"the recommender says nothing from message {row.start} on", where=where, fix=fix)
    turns = [(side, "\n".join(said.text for said in run)) for side, run in groupby(played, key=lambda said: SIDES[said.side])]
    replies = tuple(text for side, text in turns if side == "recommender")
    return Recorded(replies, tuple(text for side, text in turns if side == "seeker")[: len(replies) - 1])


def _first(row: RecordedDialogue) -> int:
    """The index of the first recommender's message from `start` on."""
    spoken = (index for index, said in enumerate(row.dialogue) if index >= row.start and SIDES[said.side] == "recommender")
    return next(spoken, len(row.dialogue))


def _message(said: RecordedMessage) -> Message:
    return Message(side=SIDES[said.side], text=said.text)


def _id(name: str, linker: Linker, where: str) -> str:
    ids = (name,) if name in linker.catalogue else linker.names(name)
    if len(ids) != 1:
        what = f"the target '{name}' means {', '.join(ids)}" if ids else f"the target '{name}' is no id or title of the catalogue"
        raise DataError(what, where=where, fix="write an id of the catalogue, or a title with its year")
    return ids[0]
