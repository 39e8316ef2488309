"""Typed rows on disk: one JSON object a line.

A process may be killed in the middle of a line; so a *last* line that is torn is dropped on reading (and cut off before the next append),
while any other line that does not parse is an error with its file and line number.  `rewrite` goes through a temporary file and an
atomic rename, so a reader sees the old file or the new one, never half of one.

Beside a file that rows are appended to lies a hidden one with the digest of every line, written before the line is.  `proven` believes
only lines that have theirs: what a crash, an editor or another run put between them is noticed before a stage is finished, too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from usbrec.errors import DataError, StorageError

Row = TypeVar("Row", bound=BaseModel)


def read_objects(path: Path, *, tolerate_torn_tail: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (line number from 1, object) of each non-empty line.

    Raises:
        DataError: the file is missing, or a line is not a JSON object.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError("there is no such file", where=str(path)) from None
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=str(path)) from fault
    lines = raw.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, UnicodeDecodeError) as fault:
            if tolerate_torn_tail and number == len(lines):
                return
            raise DataError(f"not a JSON object ({fault})", where=f"{path}:{number}", fix="mend or remove that line") from None
        if not isinstance(value, dict):
            raise DataError(f"a JSON {type(value).__name__}, not an object", where=f"{path}:{number}", fix="mend or remove that line")
        yield number, value


def read(path: Path, kind: type[Row]) -> list[Row]:
    """All rows of the file as `kind`.

    Raises:
        DataError: with file and line for the first row that is not JSON or does not fit `kind`.
    """
    rows = []
    for number, value in read_objects(path):
        try:
            rows.append(kind.model_validate(value))
        except ValidationError as fault:
            first = fault.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise DataError(f"field '{place}': {first['msg']}", where=f"{path}:{number}", fix="mend or remove that line") from None
    return rows


def repair_tail(path: Path) -> None:
    """Cuts off a torn last line, so that the next append starts on a line of its own."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        raw = file.read()
        if not raw.endswith(b"\n"):
            file.truncate(raw.rfind(b"\n") + 1)


def proven(path: Path, kind: type[Row]) -> tuple[list[Row], int]:
    """The rows that are as an `Appender` wrote them, and how many other lines there are; a last line that is torn is not counted.

    A file of an earlier version has no digests: then every line is believed that can be read.
    """
    if not path.is_file():
        return [], 0
    sums, rows, others = _sums(path), list[Row](), 0
    known = set(sums.read_bytes().split()) if sums.exists() else None
    *lines, _ = path.read_bytes().split(b"\n")
    for line in lines:
        try:
            if known is not None and _sum(line) not in known:
                raise ValueError
            rows.append(kind.model_validate(json.loads(line)))
        except (ValueError, RecursionError):
            others += 1
    return rows, others


class Appender:
    """An open file that takes rows one by one; each is flushed to the system as it is written, its digest first."""

    def __init__(self, path: Path) -> None:
        sums = _sums(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            repair_tail(path)
            if sums.exists():
                repair_tail(sums)
            else:  # of an earlier version, or new
                before = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
                write_text(sums, "".join(f"{_sum(line).decode()}\n" for line in before))
            self._files = sums.open("ab"), path.open("ab")
        except OSError as fault:
            raise _cannot_write(path, fault) from fault
        self._path = path

    def append(self, row: BaseModel) -> None:
        line = row.model_dump_json(exclude_defaults=False).encode()
        try:
            for file, text in zip(self._files, (_sum(line), line), strict=True):
                file.write(text + b"\n")
                file.flush()
        except OSError as fault:
            raise _cannot_write(self._path, fault) from fault

    def close(self) -> None:
        try:
            for file in self._files:
                file.close()
        except OSError as fault:
            raise _cannot_write(self._path, fault) from fault

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sums(path: Path) -> Path:
    return path.with_name(f".{path.name}.sums")


def _sum(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest()[:16].encode()


def document(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=str(path)) from None
    except (ValueError, RecursionError) as fault:
        raise DataError(f"is not JSON ({fault})", where=str(path)) from None
    if not isinstance(value, dict):
        raise DataError("is no JSON object", where=str(path))
    return value


def write_text(path: Path, text: str) -> None:
    """Writes a whole file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as fault:
        raise _cannot_write(path, fault) from fault
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def rewrite(path: Path, rows: Iterable[BaseModel]) -> None:
    """Replaces the file by these rows, atomically."""
    write_text(path, "".join(row.model_dump_json() + "\n" for row in rows))


def write_json(path: Path, value: object) -> None:
    """One JSON document, indented, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _cannot_write(path: Path, fault: OSError) -> StorageError:
    return StorageError(
        f"cannot be written ({fault.strerror or fault})",
        where=str(path),
        fix="make room on that disk (or choose another folder with --out) and run the same command again: finished rows are kept",
    )


def differences(old: object, new: object, prefix: str = "") -> list[str]:
    """The keys in which two nested values differ, with both values.

    >>> differences({"a": {"b": 1}}, {"a": {"b": 2}})
    ['a.b: 1 -> 2']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[str] = []
        for key in sorted({*old, *new}, key=str):
            found += differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key))
        return found
    return [] if old == new else [f"{prefix}: {json.dumps(old)} -> {json.dumps(new)}"]
