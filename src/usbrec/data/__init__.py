"""Data: from a corpus's own files to one prepared folder, with every trap handled and counted (`card.json`).

`prepare` reads a corpus (`redial`, `opendialkg`, `custom`, or the bundled `demo`), splits it, and writes the folder that `load` and every
later stage read.  What may be learnt from, and what not, is decided here: likes come from training dialogues only, and a dialogue that has
rows in valid or test is no training dialogue, whatever the official split says.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from usbrec import __version__, outputs
from usbrec.cooccurrence import Likes
from usbrec.data import custom, opendialkg, opendialkg_raw, redial, redial_raw
from usbrec.data.corpus import Corpus, find_folder, places
from usbrec.data.prepared import CARD, FILES, SPLITS, Card, Prepared, load, write
from usbrec.data.quality import measure_rows, weak
from usbrec.data.rows import RawRow, Tally, examples_of
from usbrec.data.settings import CustomSettings, DataConfig, DemoSettings, OpenDialKGSettings, RedialSettings
from usbrec.data.splits import CHATS, by_dialogue, sample, shared_dialogues
from usbrec.errors import DataError
from usbrec.types import Example

__all__ = [
    "CARD", "FILES", "Card", "CustomSettings", "DataConfig", "DemoSettings", "OpenDialKGSettings", "Prepared", "RedialSettings", "digest",
    "load", "prepare", "weak",
]  # fmt: skip


def prepare(config: DataConfig, data_dir: Path | None, out: Path) -> Prepared:
    """Reads the corpus and writes the prepared folder.

    Args:
        data_dir: the folder with the corpus's files, or the one that holds `redial/` or `opendialkg/`; not needed for `demo`.

    Raises:
        DataError: a file is missing or broken; with its place and the remedy.
        ConfigError: `out` is the corpus's own folder.
        StorageError: the folder cannot be written.
    """
    outputs.apart(out, data_dir)
    if isinstance(config, DemoSettings):
        from usbrec.data.demo import build_demo

        build_demo(out, config.seed)
        return _limited(load(out), config)
    if isinstance(config, CustomSettings):
        return _limited(custom.read(data_dir, out), config)
    corpus = redial.read(data_dir) if isinstance(config, RedialSettings) else opendialkg.read(data_dir)
    return _prepare(corpus, config, data_dir, out)


def digest(config: DataConfig, data_dir: Path | None) -> str:
    """A digest of everything `prepare` would read: part of the stage's fingerprint.

    Raises:
        DataError: a file is missing.
    """
    whole = hashlib.sha256(f"{__version__} {config.model_dump_json()}".encode())
    if config.kind == "demo":
        from usbrec.data.demo_words import world_files

        whole.update("".join([*world_files("films", ".jsonl").values(), *world_files("phrases", ".txt").values()]).encode())
    else:
        whole.update(CHATS.encode() if config.kind == "custom" else b"")
        folder = custom.folder_of(data_dir) if config.kind == "custom" else _folder(config.kind, data_dir)
        published = (folder / name for name in opendialkg_raw.FILES if config.kind == "opendialkg" and (folder / name).exists())
        for path in sorted((*folder.glob("*.json*"), *published)):
            whole.update(path.name.encode())
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


def _folder(kind: str, data_dir: Path | None) -> Path:
    published = (redial_raw if kind == "redial" else opendialkg_raw).FILES[0]
    for each in places(kind, data_dir):
        if (each / published).exists():
            return each
    return find_folder(kind, data_dir, ("valid.jsonl", "test.jsonl", "id2info.json"))


def _prepare(corpus: Corpus, config: RedialSettings | OpenDialKGSettings, data_dir: Path | None, out: Path) -> Prepared:
    rows = corpus.rows
    if config.split == "dialogue":
        rows = by_dialogue([row for split in SPLITS for row in corpus.rows[split]], config.seed)
    tallies = {split: Tally() for split in SPLITS}
    found = {split: examples_of(rows[split], corpus.reading, tallies[split]) for split in SPLITS}
    for split in ("valid", "test"):
        shared = shared_dialogues(rows[split], rows["train"])
        tallies[split].counts["dialogues with rows in train too"] = len(shared)
        tallies[split].counts["rows of dialogues with rows in train too"] = sum(row.dialogue_id in shared for row in rows[split])
    if not any(found.values()):
        left = Counter(reason for tally in tallies.values() for reason, keys in tally.skipped.items() for _ in keys)
        told = ", ".join(f"{reason}: {count}" for reason, count in left.items()) or "the files are empty"
        raise DataError(f"not one row can be used ({told})", where=str(data_dir), fix="fetch the files again")
    likes, counts = _likes(corpus, rows, found["train"], official=config.split == "official")
    splits = {split: sample(found[split], config.limit(split), config.seed) for split in SPLITS}
    card = Card(
        kind=config.kind,
        split=config.split,
        seed=config.seed,
        licence=corpus.licence,
        sources=corpus.sources,
        items=len(corpus.catalogue),
        rows={split: len(splits[split]) for split in SPLITS},
        dialogues={split: len({row.dialogue_id for row in splits[split]}) for split in SPLITS},
        counts={"catalogue": dict(corpus.counts), "likes": dict(counts)} | {split: dict(tallies[split].counts) for split in SPLITS},
        skipped={split: dict(tallies[split].skipped) for split in SPLITS},
        linking={split: measure_rows(rows[split], corpus.reading).as_card() for split in SPLITS},
    )
    return write(out, corpus.catalogue, splits, likes, card)


def _likes(corpus: Corpus, rows: dict[str, list[RawRow]], train: list[Example], *, official: bool) -> tuple[list[Likes], Counter[str]]:
    """What the training dialogues liked; a dialogue with rows in valid or test gives nothing."""
    held_out = {row.dialogue_id for split in ("valid", "test") for row in rows[split]}
    counts: Counter[str] = Counter()
    found: dict[str, dict[str, None]] = {}
    if corpus.ratings is None:
        for example in train:
            if example.dialogue_id in held_out:
                continue
            items = found.setdefault(example.dialogue_id, {})
            for text in (*(message.text for message in example.dialogue.messages), example.reply):
                items.update(dict.fromkeys(corpus.linker.items(text)))
            items.update(dict.fromkeys(example.targets))
        counts["training dialogues left out: rows in valid or test"] = len({row.dialogue_id for row in train} & held_out)
    else:
        for rated in corpus.ratings:
            if rated.dialogue_id in held_out or (official and rated.held_out):
                counts["rated dialogues left out: valid or test"] += 1
            else:
                found.setdefault(rated.dialogue_id, {}).update(dict.fromkeys(rated.items))
    likes = [Likes(key=key, items=tuple(items)) for key, items in found.items() if items]
    counts["dialogues with likes"] = len(likes)
    return likes, counts


def _limited(prepared: Prepared, config: DemoSettings | CustomSettings) -> Prepared:
    """The same folder with at most the rows asked for, split anew where that is asked for."""
    splits = prepared.splits
    split = config.split if isinstance(config, CustomSettings) else prepared.card.split
    if split == "dialogue":
        splits = by_dialogue([row for name in SPLITS for row in splits[name]], config.seed)
    splits = {name: sample(splits[name], config.limit(name), config.seed) for name in SPLITS}
    if splits == prepared.splits:
        return prepared
    held_out = {row.dialogue_id for split in ("valid", "test") for row in splits[split]}
    card = prepared.card.model_copy(
        update={
            "split": split,
            "seed": config.seed,
            "rows": {split: len(splits[split]) for split in SPLITS},
            "dialogues": {split: len({row.dialogue_id for row in splits[split]}) for split in SPLITS},
        }
    )
    likes = [row for row in prepared.likes if row.key not in held_out]
    return write(prepared.folder, prepared.catalogue, splits, likes, card)
