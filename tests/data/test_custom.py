"""Own data: short rows, whole rows, and messages that say what to mend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from usbrec import data
from usbrec.data import DataConfig
from usbrec.errors import DataError

ITEMS = [
    {"id": "h", "title": "Heat", "year": 1995},
    {"id": "g1", "title": "Ghosts", "year": 1984},
    {"id": "g2", "title": "Ghosts", "year": 2016},
]
CONFIG = DataConfig(kind="custom")


def folder_with(tmp_path: Path, **files: list[object]) -> Path:
    for name, rows in ({"catalogue": ITEMS} | files).items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_short_rows_become_examples(tmp_path: Path) -> None:
    said = [{"side": "seeker", "text": "I liked Heat"}]
    rows = [
        {"dialogue": said, "targets": ["Heat (1995)", "g1"], "reply": "Ghosts (1984)"},
        {"dialogue": said, "reply": "See Ghosts (2016)!", "dialogue_id": "d", "turn_id": 4},
        {"dialogue": said, "reply": "no idea"},
    ]
    prepared = data.prepare(CONFIG, folder_with(tmp_path, train=rows), tmp_path / "out")
    first, second = prepared.splits["train"]
    assert (first.targets, first.leaks) == (("h", "g1"), ())
    assert (second.key, second.targets) == ("d:4", ("g2",))
    assert prepared.card.skipped["train"] == {"no target": ["train-3:1"]}
    assert data.load(tmp_path / "out").splits == prepared.splits
    assert prepared.likes == [("g1", "h"), ("g2",)]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"targets": ["h"]}, "no 'dialogue'"),
        ({"dialogue": [{"who": "me"}]}, "no list of {side, text}"),
        ({"dialogue": [], "targets": ["Nothing"]}, "no id or title"),
        ({"dialogue": [], "targets": ["Ghosts"]}, "means g1, g2"),
        ({"dialogue": [], "targets": "Heat"}, "'targets' is no list"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: dict[str, object], what: str) -> None:
    folder = folder_with(tmp_path, train=[row])
    with pytest.raises(DataError) as fault:
        data.prepare(CONFIG, folder, tmp_path / "out")
    assert what in fault.value.what
    assert fault.value.where == f"{folder / 'train.jsonl'}:1"
    assert fault.value.fix


def test_a_missing_catalogue_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as fault:
        data.prepare(CONFIG, tmp_path, tmp_path / "out")
    assert fault.value.where.endswith("catalogue.jsonl")


def test_a_limit_reports_the_rows_that_are_left(tmp_path: Path) -> None:
    said = [{"side": "seeker", "text": "hello"}]
    rows = [{"dialogue": said, "targets": ["h"], "dialogue_id": str(n)} for n in range(9)]
    config = DataConfig(kind="custom", train_rows=4)
    prepared = data.prepare(config, folder_with(tmp_path, train=rows), tmp_path / "out")
    assert len(prepared.splits["train"]) == prepared.card.rows["train"] == 4
    assert len(data.load(tmp_path / "out").splits["train"]) == 4
    assert len(prepared.likes) == 9, "the likes of all training dialogues stay"
