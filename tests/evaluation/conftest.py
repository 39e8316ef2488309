"""The synthetic run that the report's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from outcome_rows import make_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run of all arms; read it, do not write to it."""
    return make_run(tmp_path_factory.mktemp("runs") / "toy-run")
