"""What is wrong with a data folder, and what is worth knowing about it: for `usbrec data check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from usbrec import jsonl
from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Likes
from usbrec.data import custom
from usbrec.data.corpus import Corpus
from usbrec.data.prepared import SPLITS
from usbrec.data.quality import LinkingQuality, measure, measure_rows
from usbrec.data.rows import Tally, examples_of
from usbrec.data.splits import shared_chats, shared_dialogues
from usbrec.errors import DataError
from usbrec.linking import Linker
from usbrec.types import Example, Item

Kind = TypeVar("Kind", bound=BaseModel)


@dataclass
class Findings:
    """Faults make a folder unusable; the rest is for the reader of results."""

    kind: str
    faults: list[str] = field(default_factory=list)
    """Each with file and line."""
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    linking: dict[str, LinkingQuality] = field(default_factory=dict)


def check_prepared(folder: Path) -> Findings:
    """Reads every row of a prepared folder and names every fault, not only the first."""
    found = Findings("prepared")
    items = _rows(folder / "catalogue.jsonl", Item, found)
    ids = Counter(item.id for item in items)
    found.faults.extend(f"{folder / 'catalogue.jsonl'}: the id '{each}' occurs {count} times" for each, count in ids.items() if count > 1)
    catalogue = Catalogue({item.id: item for item in items}.values())
    linker = Linker(catalogue)
    rows = {split: _rows(folder / f"{split}.jsonl", Example, found) for split in SPLITS}
    likes = _rows(folder / "likes.jsonl", Likes, found)
    unknown = [(row.key, item) for row in likes for item in row.items if item not in catalogue]
    found.faults.extend(f"likes.jsonl, key {key}: the item '{item}' is not in the catalogue" for key, item in unknown)
    held_out = {row.dialogue_id for split in ("valid", "test") for row in rows[split]}
    found.faults.extend(f"likes.jsonl: the dialogue '{row.key}' is in valid or test" for row in likes if row.key in held_out)
    seen: dict[str, str] = {}
    for split in SPLITS:
        for row in rows[split]:
            where = f"{folder / split}.jsonl, key {row.key}"
            found.faults.extend(f"{where}: the target '{each}' is not in the catalogue" for each in row.targets if each not in catalogue)
            if reason := custom.unplayable(row):
                found.faults.append(f"{where}: {reason}")
            if row.key in seen:
                found.faults.append(f"{where}: the key occurs in {seen[row.key]} too")
            seen[row.key] = split
        found.splits[split] = _facts(rows[split], rows["train"] if split != "train" else [])
        found.linking[split] = measure(_marked(rows[split], catalogue), linker)
    return found


def check_custom(folder: Path) -> Findings:
    """The same for own data that is not imported yet: what the import would refuse."""
    found = Findings("custom")
    own = custom.parse(custom.folder_of(folder))
    found.faults.extend(_told(own.faults))
    for split, rows in own.splits.items():
        skipped = {f"skipped: {reason}": len(keys) for reason, keys in own.skipped[split].items()}
        found.splits[split] = _facts(rows, own.splits["train"] if split != "train" else []) | dict(own.counts[split]) | skipped
    found.linking.update(custom.linking_of(own))
    return found


def check_corpus(kind: str, corpus: Corpus) -> Findings:
    """The same for a corpus's own files (which were read without a fault)."""
    found = Findings(kind)
    for split, rows in corpus.rows.items():
        tally = Tally()
        examples = examples_of(rows, corpus.reading, tally)
        shared = shared_dialogues(rows, corpus.rows["train"]) if split != "train" else set()
        found.splits[split] = _facts(examples, []) | dict(tally.counts) | {"dialogues with rows in train too": len(shared)}
        found.splits[split] |= {f"skipped: {reason}": len(keys) for reason, keys in tally.skipped.items()}
        found.linking[split] = measure_rows(rows, corpus.reading)
        found.linking[f"{split}, with years"] = measure_rows(rows, corpus.reading, dated=True)
    if not any(facts["rows"] for facts in found.splits.values()):
        found.faults.append("not one row can be used")
    return found


def _facts(rows: list[Example], train: list[Example]) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "dialogues": len({row.dialogue_id for row in rows}),
        "rows with a leak": sum(row.leaked for row in rows),
        "dialogues with rows in train too": len(shared_chats(rows, train)),
    }


def _marked(rows: list[Example], catalogue: Catalogue) -> Iterator[tuple[str, set[str]]]:
    """Whole replies with the targets that the catalogue knows."""
    return ((row.reply, {each for each in row.targets if each in catalogue}) for row in rows if row.reply and row.reply_whole)


def _rows(path: Path, kind: type[Kind], found: Findings) -> list[Kind]:
    rows, faults = jsonl.gather(path, lambda value, _: kind.model_validate(value), kind)
    found.faults.extend(_told(faults))
    return rows


def _told(faults: list[DataError]) -> list[str]:
    return [f"{fault.where}: {fault.what}" + (f" ({fault.fix})" if fault.fix else "") for fault in faults]
