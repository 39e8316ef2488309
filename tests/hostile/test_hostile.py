"""The fast hostile cases, each a test; `make hostile` plays all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile.harness import Case
from hostile.kinds import cases_of, kinds


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{kind}-{c.name}") for kind in kinds() for c in cases_of(kind) if c.fast])
def test_it_holds(case: Case, tmp_path: Path) -> None:
    assert list(case.play(tmp_path)) == []
