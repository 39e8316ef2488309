"""Own data: short rows, whole rows, and messages that say what to mend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from usbrec import data
from usbrec.data import CustomSettings
from usbrec.errors import DataError
from usbrec.linking import Linker

ITEMS = [
    {"id": "h", "title": "Heat", "year": 1995},
    {"id": "g1", "title": "Ghosts", "year": 1984},
    {"id": "g2", "title": "Ghosts", "year": 2016},
]
CONFIG = CustomSettings()


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
        ({"dialogue": [{"who": "me"}]}, "'dialogue.0.side' is missing"),
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
    config = CustomSettings(train_rows=4)
    prepared = data.prepare(config, folder_with(tmp_path, train=rows), tmp_path / "out")
    assert len(prepared.splits["train"]) == prepared.card.rows["train"] == 4
    assert len(data.load(tmp_path / "out").splits["train"]) == 4
    assert len(prepared.likes) == 9, "the likes of all training dialogues stay"


def test_other_scripts_emoji_and_odd_characters_go_through_whole(tmp_path: Path) -> None:
    catalogue = [*ITEMS, {"id": "jp", "title": "千と千尋の神隠し", "year": 2001}, {"id": "ru", "title": "Солярис", "year": 1972}]
    said = "日本のアニメが好きです 🎬\u200b\U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 مرحبا"
    replies = ["「千と千尋の神隠し」 (2001) はどう？", "Посмотри Солярис (1972) 🙂"]
    rows = [{"dialogue": [{"side": "seeker", "text": said}], "reply": reply} for reply in replies]
    out = tmp_path / "out"
    prepared = data.prepare(CONFIG, folder_with(tmp_path, catalogue=catalogue, train=rows), out)
    assert [e.targets for e in prepared.splits["train"]] == [("jp",), ("ru",)]
    again = data.load(out).splits["train"][0]
    assert [m.text for m in again.dialogue.messages] == [said]
    linker = Linker(prepared.catalogue)
    assert linker.reveals(replies[0], ["jp"]) and not linker.reveals(said, ["jp", "ru"])
    assert "千と千尋" not in linker.mask(replies[0], ["jp"])
