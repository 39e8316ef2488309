"""`usbrec data check`: all faults at once, each with its place."""

from __future__ import annotations

from pathlib import Path

from usbrec import jsonl
from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Likes
from usbrec.data.checking import check_prepared
from usbrec.data.prepared import Card, write
from usbrec.types import Dialogue, Example, Item, Message

ITEMS = Catalogue([Item(id="h", title="Heat", year=1995), Item(id="r", title="Ronin", year=1998)])


def example(dialogue: str, reply: str, *targets: str) -> Example:
    said = Dialogue(messages=(Message(side="seeker", text="hello"),))
    return Example(key=f"{dialogue}:1", dialogue_id=dialogue, turn_id=1, dialogue=said, targets=targets, reply=reply)


def prepared(folder: Path) -> Path:
    splits = {
        "train": [example("1", "Heat (1995)", "h")],
        "valid": [example("2", "Ronin (1998)", "r")],
        "test": [example("3", "Ronin", "r", "h")],
    }
    write(folder, ITEMS, splits, [Likes(key="1", items=("h",))], Card(kind="custom"))
    return folder


def test_a_whole_folder_has_no_faults_and_its_linking_is_measured(tmp_path: Path) -> None:
    found = check_prepared(prepared(tmp_path))
    assert found.faults == []
    assert found.splits["test"]["rows"] == 1
    assert (found.linking["valid"].precision, found.linking["valid"].recall) == (1.0, 1.0)
    assert (found.linking["test"].precision, found.linking["test"].recall) == (1.0, 0.5), "Heat is a target that the reply does not name"


def test_all_faults_are_named(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    jsonl.rewrite(folder / "test.jsonl", [example("1", "", "nobody")])
    (folder / "valid.jsonl").write_text('{"key": "x"}\n')
    found = check_prepared(folder)
    text = "\n".join(found.faults)
    assert "valid.jsonl:1: field 'dialogue_id'" in text
    assert "the target 'nobody' is not in the catalogue" in text
    assert "the key occurs in train too" in text
    assert "likes.jsonl: the dialogue '1' is in valid or test" in text
    assert found.splits["test"]["dialogues with rows in train too"] == 1
