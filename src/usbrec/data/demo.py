"""The demo data: a small world of real films and generated talk, so that everything runs without a download.

The films' facts are in `world/films*.jsonl`; `usbrec.data.demo_talk` makes the dialogues.  Split 80/10/10 by dialogue; the likes are those
of the training dialogues only.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from usbrec.catalogue import Catalogue
from usbrec.data.demo_talk import simulate
from usbrec.data.demo_words import world_files
from usbrec.data.prepared import SPLITS, Card, write
from usbrec.data.splits import by_dialogue
from usbrec.errors import DataError
from usbrec.types import Example, Item

LICENCE = "facts; dialogues are generated; Apache-2.0"


def build_demo(out: Path, seed: int = 0, dialogues: int = 700) -> None:
    """Writes the demo as a prepared folder; the same seed gives the same bytes.

    Raises:
        DataError: the bundled films are missing or broken.
        StorageError: the folder cannot be written.
    """
    catalogue = demo_catalogue()
    rows, likes = simulate(catalogue, seed, dialogues)
    splits = by_dialogue(rows, seed)
    held_out = {row.dialogue_id for split in ("valid", "test") for row in splits[split]}
    kept = [each for each in likes if each.key not in held_out and each.items]
    shared = Counter(item.title for item in catalogue)
    counts = {split: _counts(splits[split]) for split in SPLITS}
    counts["catalogue"] = {"items": len(catalogue), "titles that several films share": sum(n > 1 for n in shared.values())}
    counts["likes"] = {"dialogues with likes": len(kept)}
    card = Card(
        kind="demo",
        seed=seed,
        licence=LICENCE,
        sources={name: hashlib.sha256(text.encode()).hexdigest() for name, text in world_files("films", ".jsonl").items()},
        items=len(catalogue),
        rows={split: len(splits[split]) for split in SPLITS},
        dialogues={split: len({row.dialogue_id for row in splits[split]}) for split in SPLITS},
        counts=counts,
    )
    write(out, catalogue, splits, kept, card)


def demo_catalogue() -> Catalogue:
    """The bundled films.

    Raises:
        DataError: there are none, a row is no `Item`, or an id is doubled.
    """
    files = world_files("films", ".jsonl")
    if not files:
        raise DataError("the bundled films are missing", where="usbrec/data/world", fix="install the package anew")
    items = []
    for name, text in files.items():
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                items += [Item.model_validate_json(line)] if line.strip() else []
            except ValueError as fault:
                where = f"usbrec/data/world/{name}:{number}"
                raise DataError(f"not a film ({str(fault).splitlines()[0]})", where=where, fix="install the package anew") from None
    return Catalogue(items)


def _counts(rows: Sequence[Example]) -> dict[str, int]:
    return {
        "rows with a target named before": sum(row.leaked for row in rows),
        "rows with two targets": sum(len(row.targets) > 1 for row in rows),
        "rows with one short message only": sum(_brief(row) for row in rows),
    }


def _brief(row: Example) -> bool:
    said = row.dialogue.of("seeker")
    return len(said) == 1 and len(said[0]) < 20
