"""The table of deliberate faults follows the code: each can still be planted.  `python tests/mutants.py` plants them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutants import MUTANTS, SOURCE, TESTS, Mutant, planted


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_fault_can_still_be_planted(mutant: Mutant) -> None:
    text = (SOURCE / "usbrec" / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1 and mutant.new != mutant.old
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    assert mutant.tests and all((TESTS / test).exists() for test in mutant.tests.split())


def test_there_are_at_least_sixty_with_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60


def test_a_fault_is_planted_in_a_copy(tmp_path: Path) -> None:
    mutant = MUTANTS[0]
    copy = planted(mutant, tmp_path) / "usbrec" / mutant.file
    assert copy.read_text(encoding="utf-8").count(mutant.old) == 0 or mutant.old in mutant.new
    assert (SOURCE / "usbrec" / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    with pytest.raises(ValueError, match="occurs 0 times"):
        planted(mutant._replace(old="no such text at all"), tmp_path / "other")
