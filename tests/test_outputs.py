"""Where results may go, and where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from usbrec.errors import ConfigError
from usbrec.outputs import apart, run_folder, vacant


def test_an_output_is_no_input_and_holds_none(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    assert apart(tmp_path / "run", data, None) == tmp_path / "run"
    assert apart(data / "run", data) == data / "run", "a new folder in the input overwrites nothing"
    for out in (data, tmp_path, data / ".." / "data"):
        with pytest.raises(ConfigError, match="what is read"):
            apart(out, data)


def test_somebodys_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(ConfigError, match=r"holds train\.jsonl"):
        vacant(tmp_path, ("train.jsonl",), "card.json")
    (tmp_path / "card.json").touch()
    assert vacant(tmp_path, ("train.jsonl",), "card.json") == tmp_path
    with pytest.raises(ConfigError, match="no folder"):
        vacant(tmp_path / "card.json", (), "card.json")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/tmp/x", "a/b", "a\0b", "a\nb"])
def test_a_name_that_leads_out_of_runs_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="names no folder below runs/"):
        run_folder(None, name)
    assert run_folder(Path("elsewhere"), name) == Path("elsewhere"), "with --out the name is only a name"


def test_a_run_goes_to_a_new_folder_or_to_a_runs(tmp_path: Path) -> None:
    assert run_folder(tmp_path, "x") == tmp_path, "an empty one"
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        run_folder(tmp_path, "x")
    (tmp_path / "manifest.json").touch()
    assert run_folder(tmp_path, "x") == tmp_path
    left = tmp_path / "removed while it ran" / "evaluate"
    left.mkdir(parents=True)
    assert run_folder(left.parent, "x") == left.parent
