"""The head of a GGUF file, read with and without damage (`hostile/workers.py` cuts and flips every byte of one)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from hostile.workers import tiny
from usbrec import gguf_header
from usbrec.errors import ModelError


def test_what_a_head_says(tmp_path: Path) -> None:
    header = gguf_header.read(tiny(tmp_path / "a.gguf"))
    assert header.types == {"F32", "F16"} and header.context == 64 and header.numbers == {"llama.context_length": 64}


def head(*entries: bytes, tensors: bytes = b"", count: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, count, len(entries)) + b"".join(entries) + tensors


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor(*shape: int, kind: int = 0, offset: int = 0) -> bytes:
    return text(b"t") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "in the middle|ends|after"),
        (b"PK\3\4" + bytes(100), "does not begin as one"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version is 1"),
        (head(text(b"k") + struct.pack("<I", 99)), "'k' is of type 99"),
        (head(text(b"k") + struct.pack("<IIQ", 9, 9, 1)), "'k' is of type 9"),
        (head(text(b"k") + struct.pack("<IIQ", 9, 0, 2**63)), "after its end"),
        (head(text(b"general.alignment") + struct.pack("<II", 4, 0), tensors=tensor(32), count=1), "alignment is 0"),
        (head(tensors=tensor(32, kind=77), count=1), "77 is not a valid"),
        (head(tensors=tensor(33, kind=8), count=1) + bytes(100), "the shape"),
        (head(tensors=tensor(0), count=1) + bytes(100), "the shape"),
        (head(tensors=tensor(*[1] * 8), count=1) + bytes(200), "the shape"),
        (head(tensors=tensor(1000), count=1) + bytes(100), "tensors end at byte"),
        (head(tensors=tensor(2**40, 2**40), count=1) + bytes(100), "tensors end at byte"),
    ],
)
def test_a_head_that_cannot_be(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=told) as fault:
        gguf_header.read(path)
    assert fault.value.where == str(path) and fault.value.fix


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        gguf_header.read(tmp_path)
