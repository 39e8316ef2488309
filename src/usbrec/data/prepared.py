"""The prepared folder: what every later stage reads, whatever the corpus was.

catalogue.jsonl              Item rows
train, valid, test .jsonl    Example rows
likes.jsonl                  Likes rows: what each training dialogue liked, or named where nothing says what was liked
card.json                    where it came from, what was mended, and what was left out
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from usbrec import jsonl
from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Likes
from usbrec.errors import DataError, first_line
from usbrec.types import Example, Frozen

SPLITS = ("train", "valid", "test")
CARD = "card.json"
"""Marks a whole prepared folder."""
FILES = ("catalogue.jsonl", "train.jsonl", "valid.jsonl", "test.jsonl", "likes.jsonl")


class Card(Frozen):
    """What a reader of results must know of the data."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    split: str = "official"
    seed: int = 0
    licence: str = ""
    sources: dict[str, str] = Field(default_factory=dict)
    """File name -> SHA-256."""
    items: int = 0
    rows: dict[str, int] = Field(default_factory=dict)
    dialogues: dict[str, int] = Field(default_factory=dict)
    counts: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Per split, and for the catalogue and the likes: every trap that was met, by name."""
    skipped: dict[str, dict[str, list[str]]] = Field(default_factory=dict)
    """Per split: reason -> keys of the rows left out."""
    linking: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Per split: how well the linker finds what the replies are known to name."""


@dataclass(frozen=True)
class Prepared:
    """A prepared folder in memory."""

    folder: Path
    catalogue: Catalogue
    splits: dict[str, list[Example]]
    """`train`, `valid` and `test`."""
    likes: list[Likes] = field(default_factory=list)
    """Per training dialogue: for `Cooccurrence`."""
    card: Card = field(default_factory=lambda: Card(kind="custom"))


def write(folder: Path, catalogue: Catalogue, splits: dict[str, list[Example]], likes: Sequence[Likes], card: Card) -> Prepared:
    """Writes the folder; the card comes last, so that a folder with a card is whole."""
    catalogue.save(folder / "catalogue.jsonl")
    for split in SPLITS:
        jsonl.rewrite(folder / f"{split}.jsonl", splits[split])
    jsonl.rewrite(folder / "likes.jsonl", likes)
    jsonl.write_json(folder / CARD, card.model_dump(mode="json"))
    return Prepared(folder, catalogue, splits, list(likes), card)


def load(folder: Path) -> Prepared:
    """Reads a prepared folder.

    Raises:
        DataError: a file is missing, a row does not fit, or a target is not in the catalogue; with file and line.
    """
    path = folder / CARD
    if not path.exists():
        fix = "make it: usbrec data import redial --from-dir DIR --out " + str(folder)
        raise DataError("this is no prepared data folder (it has no card.json)", where=str(folder), fix=fix)
    try:
        card = Card.model_validate(jsonl.document(path))
    except (DataError, ValidationError) as fault:
        raise DataError(f"the card cannot be read ({first_line(fault)})", where=str(path), fix="prepare the data anew") from None
    catalogue = Catalogue.load(folder / "catalogue.jsonl")
    splits = {split: jsonl.read(folder / f"{split}.jsonl", Example) for split in SPLITS}
    for split, rows in splits.items():
        for number, row in enumerate(rows, start=1):
            unknown = [target for target in row.targets if target not in catalogue]
            if unknown:
                where = f"{folder / split}.jsonl:{number}"
                raise DataError(f"the target '{unknown[0]}' is not in the catalogue", where=where, fix="prepare the data anew")
    return Prepared(folder, catalogue, splits, jsonl.read(folder / "likes.jsonl", Likes), card)
