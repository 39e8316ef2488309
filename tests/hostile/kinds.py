"""The kinds of hostile cases: each is a module beside this one with a table `CASES`."""

from __future__ import annotations

import importlib
from pathlib import Path

from hostile.harness import Case

_OTHER = ("__init__", "__main__", "harness", "kinds", "playing")


def kinds() -> list[str]:
    """The names of the kinds, in order."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in _OTHER and not p.stem.startswith(("test_", "made_")))


def cases_of(kind: str) -> list[Case]:
    """The table of a kind; the names in it differ."""
    cases: list[Case] = importlib.import_module(f"hostile.{kind}").CASES
    assert len({case.name for case in cases}) == len(cases), f"a name stands twice in {kind}"
    return cases
