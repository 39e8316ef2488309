"""Freed memory goes back to the system."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from usbrec.training import memory


def resident() -> int:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_what_is_freed_below_something_that_is_kept_goes_back() -> None:
    blocks = [bytearray(b"x" * 100_000) for _ in range(2_000)]  # below the size that is mapped on its own
    kept = blocks[-1]
    before = resident()
    del blocks
    memory.release()
    assert len(kept) == 100_000 and before - resident() > 100
