"""The head of a GGUF file: what it says of itself, held against the file's length before anything loads it.

GGUF has no checksum, and the readers that load it trust it: cut or damaged files crash them or keep them busy for ever.  So the head is
walked once, without a view of the values: every text and list must lie inside the file, and so must every tensor.  The walk takes a
twentieth of the time of the `gguf` package's reader, which makes an object of every token of the vocabulary.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from io import BufferedReader
from math import prod
from pathlib import Path

from usbrec.errors import ModelError

_WHOLE = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 7: "B", 10: "Q", 11: "q"}
"""Types of whole numbers, by their number in the file, as `struct` writes them."""
_SIZES = {kind: struct.calcsize("<" + form) for kind, form in _WHOLE.items()} | {6: 4, 12: 8}
"""Bytes of one value, floats among them."""
_TEXT, _LIST = 8, 9


@dataclass
class Header:
    """What stands before the tensors."""

    numbers: dict[str, int] = field(default_factory=dict)
    """Metadata that is a whole number, by key."""
    types: set[str] = field(default_factory=set)
    """Of the tensors, as the `gguf` package calls them."""

    @property
    def context(self) -> int | None:
        """The model's window in tokens, where the file says so."""
        return next((value for key, value in self.numbers.items() if key.endswith(".context_length") and value > 0), None)


def read(path: Path) -> Header:
    """The head of a file whose parts all lie inside it.

    Raises:
        ModelError: it is no GGUF file, cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _Walk(file, path.stat().st_size).header()
    except OSError as fault:
        raise ModelError(
            f"cannot be read ({fault.strerror or fault})", where=str(path), fix="check the file's permissions and disk"
        ) from fault
    except (ValueError, struct.error) as fault:
        raise ModelError(f"this GGUF file is damaged: {fault}", where=str(path), fix="download or export it again") from None


class _Walk:
    def __init__(self, file: BufferedReader, size: int) -> None:
        self._file, self._left, self._size = file, size, size

    def header(self) -> Header:
        if self._bytes(4) != b"GGUF":
            raise ValueError("it does not begin as one")
        if (version := self._number("I")) not in (2, 3):
            raise ValueError(f"its version is {version}, not 2 or 3")
        tensors, entries = self._number("Q"), self._number("Q")
        header = Header()
        for _ in range(entries):
            self._entry(header)
        ends = [self._tensor(header) for _ in range(tensors)]
        alignment = header.numbers.get("general.alignment", 32)
        if alignment < 1:
            raise ValueError(f"its alignment is {alignment}")
        end = -(-(self._size - self._left) // alignment) * alignment + max(ends, default=0)
        if end > self._size:
            raise ValueError(f"its tensors end at byte {end:,}, but the file at {self._size:,}")
        return header

    def _entry(self, header: Header) -> None:
        key, kind = self._text(), self._number("I")
        if kind in _WHOLE:
            header.numbers[key] = self._number(_WHOLE[kind])
        elif kind == _TEXT:
            self._text()
        elif kind == _LIST:
            self._list(key)
        else:
            self._skip(_size_of(key, kind))

    def _list(self, key: str) -> None:
        kind, length = self._number("I"), self._number("Q")
        if kind != _TEXT:
            self._skip(length * _size_of(key, kind))
            return
        for _ in range(length):
            self._text()

    def _tensor(self, header: Header) -> int:
        """Where it ends, from the first one's begin."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        name, dimensions = self._text(), self._number("I")
        shape = [self._number("Q") for _ in range(min(dimensions, 9))]
        kind, offset = GGMLQuantizationType(self._number("I")), self._number("Q")
        block, size = GGML_QUANT_SIZES[kind]
        if not 1 <= dimensions <= 4 or shape[0] % block or not prod(shape):
            raise ValueError(f"the tensor '{name}' has the shape {shape} in {kind.name}")
        header.types.add(kind.name)
        return offset + prod(shape) // int(block) * int(size)

    def _number(self, form: str) -> int:
        return int(struct.unpack("<" + form, self._bytes(struct.calcsize("<" + form)))[0])

    def _text(self) -> str:
        return self._bytes(self._number("Q")).decode("utf-8", "replace")

    def _bytes(self, count: int) -> bytes:
        self._take(count)
        return self._file.read(count)

    def _skip(self, count: int) -> None:
        self._take(count)
        self._file.seek(count, 1)

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError(f"its head goes on after its end at byte {self._size:,}")


def _size_of(key: str, kind: int) -> int:
    if kind not in _SIZES:
        raise ValueError(f"'{key}' is of type {kind}, which is not known")
    return _SIZES[kind]
