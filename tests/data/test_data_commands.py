"""`usbrec data`: what the commands print, and how they stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from usbrec.cli.data import app
from usbrec.data import CustomSettings, prepare
from usbrec.errors import DataError

RUN = CliRunner()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    items = [{"id": "h", "title": "Heat", "year": 1995}, {"id": "r", "title": "Ronin", "year": 1998}]
    said = [{"side": "seeker", "text": "I liked Heat (1995)"}]
    rows = [{"dialogue": said, "targets": ["r"], "reply": "Ronin (1998)", "dialogue_id": str(n)} for n in range(3)]
    for name, part in (("catalogue", items), ("train", rows[:1]), ("valid", rows[1:2]), ("test", rows[2:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    prepare(CustomSettings(), tmp_path, tmp_path / "out")
    return tmp_path


def test_import_prints_a_card(own: Path) -> None:
    done = RUN.invoke(app, ["import", "custom", "--from-dir", str(own), "--out", str(own / "again"), "--json"])
    assert done.exit_code == 0
    card = json.loads(done.stdout)
    assert (card["items"], card["rows"]) == (2, {"train": 1, "valid": 1, "test": 1})
    assert (own / "again" / "card.json").exists()


def test_check_passes_a_whole_folder_and_exits_1_on_faults(own: Path) -> None:
    assert RUN.invoke(app, ["check", str(own / "out")]).exit_code == 0
    (own / "out" / "valid.jsonl").write_text("{}\n{}\n")
    done = RUN.invoke(app, ["check", str(own / "out"), "--json"])
    assert done.exit_code == 1
    assert any("valid.jsonl:1" in fault for fault in json.loads(done.stdout)["faults"])


def test_show_prints_the_dialogue_and_its_targets(own: Path) -> None:
    done = RUN.invoke(app, ["show", str(own / "out"), "--key", "2:1"])
    assert "I liked Heat (1995)" in done.stdout
    assert "targets: Ronin (1998)" in done.stdout


@pytest.mark.parametrize(("option", "value"), [("--key", "nope"), ("--split", "nope")])
def test_show_says_what_there_is_not(own: Path, option: str, value: str) -> None:
    fault = RUN.invoke(app, ["show", str(own / "out"), option, value]).exception
    assert isinstance(fault, DataError)
    assert "nope" in fault.what
    assert fault.fix
