"""A corpus as it was read from its files: what `redial` and `opendialkg` hand to `usbrec.data.prepare`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usbrec.catalogue import Catalogue
from usbrec.data.rows import RawRow, Reading
from usbrec.errors import DataError
from usbrec.linking import Linker


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


def read_info(path: Path) -> dict[str, dict[str, Any]]:
    """The JSON object of `id2info.json`: id -> attributes.

    Raises:
        DataError: the file is no JSON object of objects with a `name`.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise DataError(f"not JSON ({fault})", where=str(path), fix="fetch the file again") from None
    if not isinstance(value, dict):
        raise DataError("not a JSON object", where=str(path), fix="fetch the file again")
    for key, entry in value.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise DataError(f"the entry '{key}' has no name", where=str(path), fix="fetch the file again")
    return value


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """File name -> SHA-256."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
