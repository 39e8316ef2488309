"""ReDial as published: dialogues a line, `@id` in the texts.  All lines here are made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from usbrec import data
from usbrec.data import RedialSettings
from usbrec.errors import DataError

FILMS = {"111": "Heat (1995)", "222": "Alien (1979)", "333": None}


def talk(number: int, *said: tuple[int, str], liked: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "conversationId": str(number),
        "initiatorWorkerId": 0,
        "respondentWorkerId": 1,
        "messages": [{"senderWorkerId": who, "text": text} for who, text in said],
        "movieMentions": FILMS,
        "initiatorQuestions": {key: {"liked": 1, "seen": 0} for key in liked} or [],
    }


def folder_with(tmp_path: Path, train: list[dict[str, Any]], test: list[dict[str, Any]]) -> Path:
    for name, rows in (("train_data", train), ("test_data", test)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_turns_sides_and_targets(tmp_path: Path) -> None:
    said = ((1, "Hi"), (0, "Hello."), (0, "I like @111"), (1, "Try @222!"), (0, "Thanks"), (1, "or @333"))
    folder = folder_with(tmp_path, [talk(n, (0, "?"), (1, "@111"), liked=("111", "333")) for n in range(60)], [talk(900, *said)])
    prepared = data.prepare(RedialSettings(), folder, tmp_path / "out")
    (row,) = prepared.splits["test"]
    assert [(m.side, m.text) for m in row.dialogue.messages] == [("recommender", "Hi"), ("seeker", "Hello. I like Heat (1995)")]
    assert (row.reply, row.targets) == ("Try Alien (1979) !", ("222",))
    assert prepared.card.skipped["test"] == {"no target": ["900:5"]}, "333 has no title"
    train, valid = prepared.splits["train"], prepared.splits["valid"]
    assert len(train) + len(valid) == 60
    assert valid
    assert [(row.key, row.items) for row in prepared.likes] == [(row.dialogue_id, ("111",)) for row in train], (
        "likes of training dialogues only"
    )


def test_attributes_come_from_id2info_where_it_lies_beside(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [talk(1, (0, "?"), (1, "@111"))], [])
    (folder / "id2info.json").write_text(json.dumps({"111": {"name": "Heat (1995)", "genre": ["Crime"]}}))
    prepared = data.prepare(RedialSettings(), folder, tmp_path / "out")
    assert prepared.catalogue["111"].genres == ("crime",)
    assert prepared.card.counts["catalogue"]["catalogue entry without attributes"] == 1


def test_a_line_of_another_kind_is_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [talk(1, (0, "?")), {"conversationId": "2"}], [])
    with pytest.raises(DataError) as fault:
        data.prepare(RedialSettings(), folder, tmp_path / "out")
    assert fault.value.where == f"{folder / 'train_data.jsonl'}:2"
