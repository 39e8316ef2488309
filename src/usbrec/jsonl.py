"""Typed rows on disk: one JSON object a line.

Every line of a file counts: one that is no JSON object is an error with its file and line number, the last one too.  Only a file that this
package appends to itself may end in the middle of a line, because a process may be killed there: its readers say so (`tolerate_torn_tail`),
and the torn line is cut off before the next append.  `rewrite` goes through a temporary file and an atomic rename, so a reader sees the old
file or the new one, never half of one.

Beside a file that rows are appended to lies a hidden one with the digest of every line, written before the line is.  `proven` believes
only lines that have theirs: what a crash, an editor or another run put between them is noticed before a stage is finished, too.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from usbrec.errors import DataError, StorageError

Row = TypeVar("Row", bound=BaseModel)
Made = TypeVar("Made")
SHOWN = 20
"""So many faults of a file are told at once."""
_LINE_FIX = "mend or remove that line"
_PACKED = {b"\x1f\x8b": "packed with gzip", b"PK\x03\x04": "a zip archive", b"BZh": "packed with bzip2", b"\xfd7zXZ": "packed with xz"}
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\0")
_MEANT = {
    "response": "reply", "resp": "reply", "answer": "reply", "rec": "targets", "labels": "targets", "items": "targets",
    "context": "dialogue", "messages": "dialogue", "conversation": "dialogue", "history": "dialogue", "lang": "language", "id": "key",
    "role": "side", "speaker": "side", "content": "text", "message": "text", "name": "title", "actors": "stars", "movie": "title",
}  # fmt: skip
"""What other formats call a key of ours."""
_NO = {
    "string": " is no text",
    "tuple": " is no list",
    "int": " is no whole number",
    "bool": " is neither true nor false",
    "model": " is no object",
}


def read_objects(path: Path, *, tolerate_torn_tail: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (line number from 1, object) of each non-empty line.

    Raises:
        DataError: the file is missing or no text, or a line is not a JSON object.
    """
    for number, value in _lines(path, tolerate_torn_tail):
        if isinstance(value, DataError):
            raise value
        yield number, value


def read(path: Path, kind: type[Row], *, tolerate_torn_tail: bool = False) -> list[Row]:
    """All rows of the file as `kind`.

    Raises:
        DataError: with file and line of the rows that are not JSON or do not fit `kind`.
    """
    rows, faults = gather(path, lambda value, _: kind.model_validate(value), kind, tolerate_torn_tail=tolerate_torn_tail)
    if faults:
        raise together(faults)
    return rows


def gather(
    path: Path, make: Callable[[dict[str, Any], str], Made], kind: type[BaseModel], *, tolerate_torn_tail: bool = False
) -> tuple[list[Made], list[DataError]]:
    """(what `make` makes of each line's object and place, the faults of all other lines).

    Args:
        kind: the keys that a line may have, for those that are written otherwise.
    """
    rows: list[Made] = []
    faults: list[DataError] = []
    for number, value in _lines(path, tolerate_torn_tail):
        where = f"{path}:{number}"
        try:
            if isinstance(value, DataError):
                raise value
            rows.append(make(value, where))
        except ValidationError as fault:
            faults.append(DataError(explain(fault, kind), where=where, fix=_LINE_FIX))
        except DataError as fault:
            faults.append(fault)
    return rows, faults


def together(faults: Sequence[DataError]) -> DataError:
    """Several faults as one: the first, and the others below it."""
    first, *others = faults
    shown = [f"\n  {fault.where}: {fault.what}" for fault in others[: SHOWN - 1]]
    more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return DataError(f"{first.what}{''.join(shown)}{more}", where=first.where, fix=first.fix)


def explain(fault: ValidationError, kind: type[BaseModel]) -> str:
    """What does not fit, key by key; an unknown key with the one that was probably meant."""
    told = []
    for error in fault.errors()[:3]:
        place = ".".join(map(str, error["loc"]))
        if error["type"] == "extra_forbidden":
            name = str(error["loc"][-1])
            known = list(kind.model_fields) if len(error["loc"]) == 1 else ["side", "text"]
            meant = _MEANT.get(name.lower())
            near = [meant] if meant in known else difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
            told.append(f"unknown key '{place}'; " + (f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"))
        elif error["type"] == "missing":
            told.append(f"field '{place}' is missing")
        else:
            given = error["input"]
            shown = f" (given: {_short(given)})" if isinstance(given, str | int | float | None) else ""
            what = _NO.get(error["type"].partition("_")[0]) if error["type"].endswith(("_type", "_parsing")) else None
            told.append(f"field '{place}'{what or ': ' + error['msg'].removeprefix('Value error, ')}{shown}")
    return "; ".join(told)


def meant(key: str, given: Iterable[str]) -> str:
    """Which of the given keys was probably meant to be this one; empty: none."""
    return next((name for name in given if _MEANT.get(name.lower()) == key), "") or "".join(difflib.get_close_matches(key, given, n=1))


def _lines(path: Path, tolerate_torn_tail: bool) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    lines = _raw(path).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        value: Any
        try:
            value = _parsed(line)
            if not isinstance(value, dict):
                value = DataError(f"a JSON {type(value).__name__}, not an object", where=f"{path}:{number}", fix=_LINE_FIX)
        except ValueError as fault:
            if tolerate_torn_tail and number == len(lines):
                return
            value = DataError(f"not a JSON object ({fault})", where=f"{path}:{number}", fix=f"{_LINE_FIX}: the file has one object a line")
        yield number, value


def _raw(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError("there is no such file", where=str(path)) from None
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=str(path)) from fault
    for magic, what in _PACKED.items():
        if raw.startswith(magic):
            raise DataError(f"is {what}, not text", where=str(path), fix="unpack it first")
    if raw.startswith(_WIDE) or raw[1:2] == b"\0":
        raise DataError("is UTF-16 or UTF-32, not UTF-8", where=str(path), fix=f"iconv -f UTF-16 -t UTF-8 {path.name}")
    return raw.removeprefix(b"\xef\xbb\xbf")


def _parsed(raw: bytes) -> Any:
    """The JSON value.

    Raises:
        ValueError: it is none, or none that can be written again.
    """
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_object)
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as fault:
        raise ValueError(f"byte {fault.start} is not UTF-8") from None
    except UnicodeEncodeError:
        raise ValueError("half a character, a lone surrogate, stands in a text") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' is written twice")
    return value


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


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
        value: Any = _parsed(_raw(path))
    except ValueError as fault:
        raise DataError(f"is not JSON ({fault})", where=str(path)) from None
    if not isinstance(value, dict):
        raise DataError("is no JSON object", where=str(path))
    return value


def sha256(path: Path) -> str:
    """Of a whole file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
