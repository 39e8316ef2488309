"""Your own data: a folder with `catalogue.jsonl` (Item rows) and dialogues in `train.jsonl`, `valid.jsonl` and `test.jsonl`.

A dialogue row is an `Example`, or the short form of one:

    {"dialogue": [{"side": "seeker", "text": "..."}, ...], "targets": ["Heat (1995)", "some-id"], "reply": "..."}

Targets are ids or titles; without any, the items that the reply names are the targets.  `dialogue_id` and `turn_id` are optional (the row's
number); so is `valid.jsonl` or `test.jsonl`, with `split: dialogue`.  `likes.jsonl` (rows of key and items) is optional too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from usbrec import jsonl
from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Likes
from usbrec.data.corpus import digests
from usbrec.data.prepared import SPLITS, Card, Prepared, write
from usbrec.errors import DataError
from usbrec.linking import Linker
from usbrec.types import Dialogue, Example, Message


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
        DataError: with file and line of the first row that cannot be read.
    """
    folder = folder_of(data_dir)
    catalogue = Catalogue.load(folder / "catalogue.jsonl")
    linker = Linker(catalogue)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    skipped: dict[str, dict[str, list[str]]] = {split: defaultdict(list) for split in SPLITS}
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    keys: set[str] = set()
    files = [folder / f"{split}.jsonl" for split in SPLITS if (folder / f"{split}.jsonl").exists()]
    for path in files:
        for number, value in jsonl.read_objects(path):
            example = _example(value, f"{path.stem}-{number}", linker, f"{path}:{number}", counts[path.stem])
            reason = "no target" if not example.targets else "key occurs twice" if example.key in keys else ""
            if reason:
                skipped[path.stem][reason].append(example.key)
            else:
                keys.add(example.key)
                splits[path.stem].append(example)
    card = Card(
        kind="custom",
        licence="your own",
        sources=digests([folder / "catalogue.jsonl", *files]),
        items=len(catalogue),
        rows={split: len(rows) for split, rows in splits.items()},
        dialogues={split: len({row.dialogue_id for row in rows}) for split, rows in splits.items()},
        counts={split: dict(count) for split, count in counts.items()},
        skipped={split: dict(reasons) for split, reasons in skipped.items()},
    )
    return write(out, catalogue, splits, _likes(folder, splits, linker), card)


def _example(value: dict[str, Any], name: str, linker: Linker, where: str, counts: Counter[str]) -> Example:
    try:
        said = value["dialogue"]
        dialogue = Dialogue.model_validate(said) if isinstance(said, dict) else Dialogue(messages=tuple(Message(**each) for each in said))
    except (KeyError, TypeError, ValidationError) as fault:
        what = "the row has no 'dialogue'" if isinstance(fault, KeyError) else "'dialogue' is no list of {side, text}"
        raise DataError(what, where=where, fix='write {"dialogue": [{"side": "seeker", "text": "..."}], "targets": [...]}') from None
    reply = str(value.get("reply") or "").strip()
    targets = _targets(value.get("targets"), reply, linker, where)
    leaks = linker.leaks(dialogue, targets)
    counts["some targets already named"] += bool(leaks)
    counts["all targets already named"] += bool(targets) and len(leaks) == len(targets)
    dialogue_id, turn_id = str(value.get("dialogue_id", name)), int(value.get("turn_id", len(dialogue)))
    return Example(
        key=str(value.get("key") or f"{dialogue_id}:{turn_id}"),
        dialogue_id=dialogue_id,
        turn_id=turn_id,
        dialogue=dialogue,
        targets=targets,
        reply=reply,
        reply_whole=bool(reply) and bool(value.get("reply_whole", True)),
        language=str(value.get("language", "en")),
        leaks=leaks,
    )


def _targets(given: object, reply: str, linker: Linker, where: str) -> tuple[str, ...]:
    if given is None:
        return linker.items(reply)
    if not isinstance(given, list):
        raise DataError("'targets' is no list", where=where, fix="write a list of ids or titles")
    found: dict[str, None] = {}
    for name in map(str, given):
        ids = (name,) if name in linker.catalogue else linker.names(name)
        if len(ids) != 1:
            what = f"the target '{name}' is no id or title of the catalogue" if not ids else f"the target '{name}' means {', '.join(ids)}"
            raise DataError(what, where=where, fix="write an id of catalogue.jsonl, or a title with its year")
        found[ids[0]] = None
    return tuple(found)


def _likes(folder: Path, splits: dict[str, list[Example]], linker: Linker) -> list[Likes]:
    """Those given, or what each training dialogue names; a dialogue with rows in valid or test gives nothing."""
    held_out = {row.dialogue_id for split in ("valid", "test") for row in splits[split]}
    if (folder / "likes.jsonl").exists():
        return [row for row in jsonl.read(folder / "likes.jsonl", Likes) if row.key not in held_out]
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for row in splits["train"]:
        if row.dialogue_id not in held_out:
            for text in (*(message.text for message in row.dialogue.messages), row.reply):
                found[row.dialogue_id].update(dict.fromkeys(linker.items(text)))
            found[row.dialogue_id].update(dict.fromkeys(row.targets))
    return [Likes(key=key, items=tuple(items)) for key, items in found.items() if items]
