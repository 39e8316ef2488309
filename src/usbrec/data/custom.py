"""Your own data: a folder with `catalogue.jsonl` (Item rows) and dialogues in `train.jsonl`, `valid.jsonl` and `test.jsonl`.

A dialogue row is an `Example`, or the short form of one:

    {"dialogue": [{"side": "seeker", "text": "..."}, ...], "targets": ["Heat (1995)", "some-id"], "reply": "..."}

Targets are ids or titles; without any, the items that the reply names are the targets.  `turn_id` is optional (the number of messages), and
so is `dialogue_id`: of rows without one those that go on from each other, word for word, are one dialogue (`splits.chats`).  So are
`valid.jsonl` and `test.jsonl`, with `split: dialogue`, and `likes.jsonl` (rows of key and items).

Nothing is guessed: a key that no row has is an error, and all faults of all files are told at once.  A row that is right but cannot be
played (nobody spoke, the seeker never did, the recommender spoke last, no target) is left out and counted, with its key in `card.json`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from usbrec import jsonl
from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Likes
from usbrec.data.corpus import digests
from usbrec.data.prepared import SPLITS, Card, Prepared, write
from usbrec.data.quality import LinkingQuality, measure
from usbrec.data.rows import Text
from usbrec.data.splits import chats
from usbrec.errors import DataError
from usbrec.linking import Linker
from usbrec.types import LONGEST_NAME, LONGEST_TEXT, Dialogue, Example, Frozen, Item, Message, Name, Side

_FORM = 'write {"dialogue": [{"side": "seeker", "text": "..."}], "targets": ["Heat (1995)"], "reply": "..."}'
_TWICE = "key occurs twice"
Number = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value), Field(max_length=LONGEST_NAME)]


class Said(Frozen):
    """One message as people write it."""

    side: Side
    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT, strip_whitespace=True)]


class Row(Frozen):
    """One line of a split as people write it."""

    dialogue: Annotated[tuple[Said, ...], BeforeValidator(lambda value: value["messages"] if _is_dialogue(value) else value)]
    targets: tuple[Name, ...] | None = None
    reply: Text | None = None
    key: Number | None = None
    dialogue_id: Number | None = None
    turn_id: int | None = None
    reply_whole: bool = True
    language: str = "en"
    leaks: tuple[str, ...] = ()
    """Of an `Example`; found anew."""


def _is_dialogue(value: object) -> bool:
    return isinstance(value, dict) and list(value) == ["messages"]


@dataclass
class Own:
    """What the files of a folder hold."""

    catalogue: Catalogue
    linker: Linker
    splits: dict[str, list[Example]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    skipped: dict[str, dict[str, list[str]]] = field(default_factory=lambda: {split: defaultdict(list) for split in SPLITS})
    likes: list[Likes] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    """Keys of the rows whose targets somebody wrote down: on these linking can be measured."""
    unnamed: dict[str, bool] = field(default_factory=dict)
    """Keys of the rows without a `dialogue_id` -> was the key made up, too?"""
    faults: list[DataError] = field(default_factory=list)


def folder_of(data_dir: Path | None) -> Path:
    """The folder, checked for its catalogue and its training dialogues.

    Raises:
        DataError: no folder was given, or one of these two files is missing.
    """
    if data_dir is None:
        raise DataError("no folder with your data was given", fix="give it with --data-dir or USBREC_DATA")
    for name in ("catalogue.jsonl", "train.jsonl"):
        if not (data_dir / name).exists():
            raise DataError("there is no such file", where=str(data_dir / name), fix="the folder needs catalogue.jsonl and train.jsonl")
    return data_dir


def read(data_dir: Path | None, out: Path) -> Prepared:
    """Reads the folder and writes the prepared one.

    Raises:
        DataError: with file and line of everything that cannot be read.
    """
    folder = folder_of(data_dir)
    own = parse(folder)
    if own.faults:
        raise jsonl.together(own.faults)
    return write(out, own.catalogue, own.splits, own.likes, card_of(folder, own))


def parse(folder: Path) -> Own:
    """What is in the files, and every fault of theirs; nothing is written."""
    items, faults = jsonl.gather(folder / "catalogue.jsonl", lambda value, _: Item.model_validate(value), Item)
    if not items and not faults:
        faults.append(DataError("holds no item", where=str(folder / "catalogue.jsonl"), fix="write one item a line"))
    try:
        catalogue = Catalogue(items)
    except DataError as fault:
        faults.append(DataError(fault.what, where=str(folder / "catalogue.jsonl"), fix=fault.fix))
        catalogue = Catalogue({item.id: item for item in items}.values())
    own = Own(catalogue, Linker(catalogue), faults=faults)
    for split in SPLITS if not faults else ():  # without a catalogue every target would be a fault
        if (folder / f"{split}.jsonl").exists():
            _read_split(own, folder / f"{split}.jsonl")
    _join_chats(own)
    if not own.faults and not any(own.splits.values()):
        own.faults.append(DataError("there is not one row", where=str(folder), fix=_FORM))
    own.likes = _likes(folder, own)
    twins = Counter((item.title.lower(), item.year) for item in catalogue)
    own.counts["catalogue"]["items of one title and year, never linked"] = sum(count for count in twins.values() if count > 1)
    return own


def card_of(folder: Path, own: Own) -> Card:
    """What a reader of results must know of it."""
    files = [folder / f"{name}.jsonl" for name in ("catalogue", *SPLITS, "likes") if (folder / f"{name}.jsonl").exists()]
    return Card(
        kind="custom",
        licence="your own",
        sources=digests(files),
        items=len(own.catalogue),
        rows={split: len(rows) for split, rows in own.splits.items()},
        dialogues={split: len({row.dialogue_id for row in rows}) for split, rows in own.splits.items()},
        counts={part: dict(count) for part, count in own.counts.items()},
        skipped={split: dict(reasons) for split, reasons in own.skipped.items()},
        linking={split: quality.as_card() for split, quality in linking_of(own).items()},
    )


def linking_of(own: Own) -> dict[str, LinkingQuality]:
    """How much of the targets that somebody wrote down the linker finds in the replies, split by split."""
    marked = {
        split: [(row.reply, set(row.targets)) for row in rows if row.answered and row.key in own.given]
        for split, rows in own.splits.items()
    }  # fmt: skip
    return {split: measure(replies, own.linker) for split, replies in marked.items() if replies}


def _read_split(own: Own, path: Path) -> None:
    split = path.stem
    keys = {row.key for rows in own.splits.values() for row in rows}

    def make(value: dict[str, Any], where: str) -> None:
        if "dialogue" not in value:
            near = jsonl.meant("dialogue", value)
            raise DataError("the row has no 'dialogue'" + (f"; did you mean it by '{near}'?" if near else ""), where=where, fix=_FORM)
        row = Row.model_validate(value)
        example = _example(row, f"{split}-{where.rpartition(':')[2]}", own, where)
        if reason := unplayable(example) or (_TWICE if example.key in keys else ""):
            own.skipped[split][reason].append(example.key)
            return
        keys.add(example.key)
        own.splits[split].append(example)
        if row.dialogue_id is None:
            own.unnamed[example.key] = row.key is None
        if row.targets is not None:
            own.given.add(example.key)
        own.counts[split]["some targets already named"] += bool(example.leaks)
        own.counts[split]["all targets already named"] += len(example.leaks) == len(example.targets)

    _, faults = jsonl.gather(path, make, Row)
    own.faults += faults
    reasons = {reason: len(left) for reason, left in own.skipped[split].items()}
    if not faults and not own.splits[split] and reasons.keys() - {_TWICE}:
        told = ", ".join(f"{reason}: {count}" for reason, count in reasons.items())
        own.faults.append(DataError(f"not one row can be used ({told})", where=str(path), fix=_FORM))


def _join_chats(own: Own) -> None:
    """Gives rows without a `dialogue_id` that of their chat: what somebody wrote in another of its rows, else the name of its first row."""
    rows = [row for split in SPLITS for row in own.splits[split]]
    found, ids = chats(rows) if own.unnamed else [], dict[int, str]()
    for row, chat in zip(rows, found, strict=False):
        if row.key not in own.unnamed:
            ids.setdefault(chat, row.dialogue_id)
    joined, keys = dict[str, Example](), {row.key for row in rows}
    for row, chat in zip(rows, found, strict=False):
        name = ids.setdefault(chat, row.dialogue_id)
        if row.key in own.unnamed and name != row.dialogue_id:
            joined[row.key] = row.model_copy(
                update={"dialogue_id": name} | ({"key": _free_key(name, row, keys)} if own.unnamed[row.key] else {})
            )
    own.splits = {split: [joined.get(row.key, row) for row in rows] for split, rows in own.splits.items()}
    own.given = {joined[key].key if key in joined else key for key in own.given}


def _free_key(dialogue_id: str, row: Example, taken: set[str]) -> str:
    """Two rows of one chat may stand before the same turn."""
    names = (f"{dialogue_id}:{row.turn_id}{more}" for more in ("", *(f"-{n}" for n in range(2, len(taken) + 3))))
    taken.add(key := next(name for name in names if name not in taken))
    return key


def unplayable(example: Example) -> str:
    """Why no conversation can start from a row; empty when one can."""
    sides = [message.side for message in example.dialogue.messages]
    if not sides:
        return "empty dialogue"
    if "seeker" not in sides:
        return "the seeker says nothing"
    if sides[-1] == "recommender":
        return "dialogue ends with the recommender"
    return "" if example.targets else "no target"


def _example(row: Row, name: str, own: Own, where: str) -> Example:
    dialogue = Dialogue(messages=tuple(Message(side=said.side, text=said.text) for said in row.dialogue))
    reply = (row.reply or "").strip()
    targets = own.linker.items(reply) if row.targets is None else _targets(row.targets, own.linker, where)
    dialogue_id, turn_id = row.dialogue_id or name, len(dialogue) if row.turn_id is None else row.turn_id
    return Example(
        key=row.key or f"{dialogue_id}:{turn_id}",
        dialogue_id=dialogue_id,
        turn_id=turn_id,
        dialogue=dialogue,
        targets=targets,
        reply=reply,
        reply_whole=bool(reply) and row.reply_whole,
        language=row.language,
        leaks=own.linker.leaks(dialogue, targets),
    )


def _targets(given: tuple[str, ...], linker: Linker, where: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in given:
        ids = (name,) if name in linker.catalogue else linker.names(name)
        if len(ids) != 1:
            what = f"the target '{name}' is no id or title of the catalogue" if not ids else f"the target '{name}' means {', '.join(ids)}"
            raise DataError(what, where=where, fix="write an id of catalogue.jsonl, or a title with its year")
        found[ids[0]] = None
    return tuple(found)


def _likes(folder: Path, own: Own) -> list[Likes]:
    """Those given, or what each training dialogue names; a dialogue with rows in valid or test gives nothing."""
    held_out = {row.dialogue_id for split in ("valid", "test") for row in own.splits[split]}
    if (folder / "likes.jsonl").exists():
        rows, faults = jsonl.gather(folder / "likes.jsonl", lambda value, where: known_likes(value, own.catalogue, where), Likes)
        own.faults += faults
        return [row for row in rows if row.key not in held_out]
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for row in own.splits["train"]:
        if row.dialogue_id not in held_out:
            for text in (*(message.text for message in row.dialogue.messages), row.reply):
                found[row.dialogue_id].update(dict.fromkeys(own.linker.items(text)))
            found[row.dialogue_id].update(dict.fromkeys(row.targets))
    return [Likes(key=key, items=tuple(items)) for key, items in found.items() if items]


def known_likes(value: dict[str, Any], catalogue: Catalogue, where: str) -> Likes:
    """The row, its items looked up."""
    row = Likes.model_validate(value)
    if unknown := [item for item in row.items if item not in catalogue]:
        raise DataError(f"the item '{unknown[0]}' is not in the catalogue", where=where, fix="write ids of catalogue.jsonl")
    return row
