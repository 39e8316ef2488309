"""A corpus as it was read from its files: what `redial` and `opendialkg` hand to `usbrec.data.prepare`."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from usbrec import jsonl
from usbrec.catalogue import Catalogue
from usbrec.data.rows import RawRow, Reading
from usbrec.errors import DataError
from usbrec.linking import Linker
from usbrec.titles import clean
from usbrec.types import LONGEST_NAME, LONGEST_TEXT, Item, Names


@dataclass(frozen=True)
class Liked:
    """The items that one dialogue's seeker said they like, from a ratings file."""

    dialogue_id: str
    items: tuple[str, ...]
    held_out: bool = False
    """The official split holds this dialogue out."""


@dataclass(frozen=True)
class Corpus:
    """Rows by official split, with the catalogue and how its titles are read."""

    catalogue: Catalogue
    rows: dict[str, list[RawRow]]
    reading: Reading
    licence: str
    sources: dict[str, str]
    """File name -> SHA-256."""
    ratings: tuple[Liked, ...] | None = None
    """None: the corpus has none; what a training dialogue names counts as liked."""
    counts: Counter[str] = field(default_factory=Counter)
    """What was met in the catalogue and the ratings."""

    @property
    def linker(self) -> Linker:
        return self.reading.linker


def places(kind: str, data_dir: Path | None) -> tuple[Path, ...]:
    """Where a corpus may lie: the subfolder named after it, then `data_dir` itself."""
    return (data_dir / kind, data_dir) if data_dir else ()


def find_folder(kind: str, data_dir: Path | None, needed: Sequence[str]) -> Path:
    """The folder with a corpus's files: `data_dir` itself or its subfolder named after the corpus.

    Raises:
        DataError: no folder was given, or a file is missing.
    """
    fix = f"give the folder with --data-dir or USBREC_DATA, or fetch it: usbrec data get {kind} --out DIR"
    if data_dir is None:
        raise DataError(f"no folder with {kind} data was given", fix=fix)
    for folder in places(kind, data_dir):
        if (folder / needed[0]).exists() or (folder / "id2info.json").exists():
            missing = [name for name in needed if not (folder / name).exists()]
            if missing:
                raise DataError(f"the file {missing[0]} is missing", where=str(folder / missing[0]), fix=fix)
            return folder
    raise DataError(f"there is no {kind} data here (looked for {needed[0]})", where=str(data_dir), fix=fix)


class Info(BaseModel):
    """What is read of one entry of `id2info.json`, whatever else it holds."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(max_length=LONGEST_NAME)
    genre: Names | None = ()
    director: Names | None = ()
    star: Names | None = ()
    actor: Names | None = ()
    writer: Names | None = ()
    plot: str | None = Field(default="", max_length=LONGEST_TEXT)


def read_info(path: Path) -> dict[str, dict[str, Any]]:
    """The JSON object of `id2info.json`: id -> attributes.

    Raises:
        DataError: the file is no JSON object, or an entry has no name or one of its attributes is of a wrong kind.
    """
    fix = "fetch the file again"
    value = jsonl.document(path)
    faults = []
    for key, entry in value.items():
        try:
            Info.model_validate(entry)
        except ValidationError as fault:
            no_name = not isinstance(entry, dict) or not isinstance(entry.get("name"), str)
            what = f"the entry '{key}' has no name" if no_name else f"the entry '{key}': {jsonl.explain(fault, Info)}"
            faults.append(DataError(what, where=str(path), fix=fix))
    if faults:
        raise jsonl.together(faults)
    return value


def as_item(key: str, title: str, **attributes: Any) -> Item | None:
    """The item of a catalogue's entry; None where it has no title.

    Raises:
        DataError: something about it is too long, or of a wrong kind.
    """
    if not title or not key.strip():
        return None
    try:
        return Item(id=key, title=title, **attributes)
    except ValidationError as fault:
        raise DataError(jsonl.explain(fault, Item), where=f"the catalogue's entry '{key[:80]}'", fix="mend or remove that entry") from None


def strings(entry: dict[str, Any], name: str) -> tuple[str, ...]:
    """The texts of an attribute, cleaned, each once."""
    return tuple(dict.fromkeys(text for value in entry.get(name) or () if (text := clean(value))))


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """File name -> SHA-256."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
