"""Own data: short rows, whole rows, and messages that say what to mend."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from usbrec import data, jsonl
from usbrec.cooccurrence import Likes
from usbrec.data import CustomSettings
from usbrec.data.checking import check_custom
from usbrec.errors import ConfigError, DataError
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
    assert [row.items for row in prepared.likes] == [("g1", "h"), ("g2",)]


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


GOOD = {"dialogue": [{"side": "seeker", "text": "hi"}], "targets": ["h"], "reply": "Heat (1995)"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"dialogue": [{"side": "see', "not a JSON object"),  # the last line, cut: of a foreign file it counts
        (json.dumps({**GOOD, "response": "x"}), "unknown key 'response'; did you mean 'reply'?"),
        (json.dumps({**GOOD, "target": ["h"]}), "unknown key 'target'; did you mean 'targets'?"),
        (json.dumps({**GOOD, "dialogue": [{"role": "user", "content": "hi"}]}), "unknown key 'dialogue.0.role'"),
        (json.dumps({**GOOD, "reply": "\ud83d"}), "lone surrogate"),
        ('{"dialogue": ' + "[" * 100_000, "nested too deeply"),
        (json.dumps({**GOOD, "dialogue_id": float("nan")}), "NaN is no value of JSON"),
        (json.dumps(GOOD)[:-1] + ', "reply": ""}', "the key 'reply' is written twice"),
        (json.dumps({**GOOD, "targets": [5]}), "field 'targets.0' is no text (given: 5)"),
        (json.dumps({**GOOD, "dialogue": [{"side": "seeker", "text": "  "}]}), "field 'dialogue.0.text'"),
        (json.dumps({**GOOD, "reply": "x" * 200_000}), "at most 100000 characters"),
    ],
)
def test_a_row_of_another_form_is_an_error_with_its_line_from_import_and_check(tmp_path: Path, line: str, what: str) -> None:
    folder = folder_with(tmp_path, train=[GOOD])
    with (folder / "train.jsonl").open("a") as file:
        file.write(line)
    with pytest.raises(DataError) as fault:
        data.prepare(CONFIG, folder, tmp_path / "out")
    assert what in fault.value.what and fault.value.where == f"{folder / 'train.jsonl'}:2"
    assert any(f"train.jsonl:2: {fault.value.what}" in told for told in check_custom(folder).faults)


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, train=[GOOD, {"dialogue": []} | {"a": 1}], test=[{"targets": ["h"]}], valid=[{**GOOD, "targets": ["?"]}])
    with pytest.raises(DataError) as fault:
        data.prepare(CONFIG, folder, tmp_path / "out")
    assert all(place in str(fault.value) for place in ("train.jsonl:2", "valid.jsonl:1", "test.jsonl:1"))


@pytest.mark.parametrize("ends", ["\r", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path, ends: str, mark: bytes) -> None:
    folder = folder_with(tmp_path, train=[GOOD, GOOD | {"dialogue_id": "d"}])
    for path in (folder / "train.jsonl", folder / "catalogue.jsonl"):
        path.write_bytes(mark + path.read_text().replace("\n", ends).encode())
    assert data.prepare(CONFIG, folder, tmp_path / "out").card.rows["train"] == 2


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (json.dumps(GOOD).encode("utf-16"), "UTF-16"),
        (gzip.compress(json.dumps(GOOD).encode(), mtime=0), "gzip"),
        (b"PK\x03\x04...", "zip archive"),
    ],
    ids=["UTF-16", "gzip", "zip"],
)
def test_what_is_no_text_is_one_error(tmp_path: Path, content: bytes, what: str) -> None:
    folder = folder_with(tmp_path, train=[GOOD])
    (folder / "train.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=what):
        data.prepare(CONFIG, folder, tmp_path / "out")


def test_rows_that_nobody_can_play_are_left_out_and_counted(tmp_path: Path) -> None:
    offer = {"side": "recommender", "text": "Heat?"}
    rows = [
        GOOD | {"dialogue_id": "a"},
        GOOD | {"dialogue_id": "b", "dialogue": []},
        GOOD | {"dialogue_id": "c", "dialogue": [offer]},
        GOOD | {"dialogue_id": "d", "dialogue": [*GOOD["dialogue"], offer]},  # type: ignore[misc]
    ]
    prepared = data.prepare(CONFIG, folder_with(tmp_path, train=rows), tmp_path / "out")
    assert [row.dialogue_id for row in prepared.splits["train"]] == ["a"]
    left = {"empty dialogue": ["b:0"], "the seeker says nothing": ["c:1"], "dialogue ends with the recommender": ["d:2"]}
    assert prepared.card.skipped["train"] == left
    with pytest.raises(DataError, match="not one row can be used"):
        data.prepare(CONFIG, folder_with(tmp_path, train=rows[1:]), tmp_path / "again")


def test_attributes_are_normalised_and_too_long_ones_refused(tmp_path: Path) -> None:
    film = {"id": "h", "title": " Heat ", "year": 1995, "genres": ["Crime", "crime", " "], "stars": ["", "Al Pacino "]}
    prepared = data.prepare(CONFIG, folder_with(tmp_path, catalogue=[film], train=[GOOD]), tmp_path / "out")
    item = prepared.catalogue["h"]
    assert (item.title, item.genres, item.stars) == ("Heat", ("crime",), ("Al Pacino",))
    folder = folder_with(tmp_path, catalogue=[film, film | {"id": "x", "title": "a" * 10_000_000}], train=[GOOD])
    with pytest.raises(DataError, match=r"'title'.*at most 1000 characters") as fault:
        data.prepare(CONFIG, folder, tmp_path / "again")
    assert fault.value.where.endswith("catalogue.jsonl:2") and len(str(fault.value)) < 500


def test_low_linking_recall_is_measured_and_told(tmp_path: Path) -> None:
    rows = [GOOD | {"dialogue_id": str(n), "reply": "that one" if n else "Heat (1995)"} for n in range(4)]
    prepared = data.prepare(CONFIG, folder_with(tmp_path, train=rows), tmp_path / "out")
    assert prepared.card.linking["train"]["recall"] == 0.25
    assert "recall 0.25" in data.weak(prepared.card.linking)[0]
    assert data.weak({"train": {"right": 9, "missed": 1, "recall": 0.9}}) == []


@pytest.mark.parametrize("out", ["own", "link", "."])
def test_the_prepared_folder_never_lands_on_its_input(tmp_path: Path, out: str) -> None:
    (tmp_path / "own").mkdir()
    folder = folder_with(tmp_path / "own", train=[GOOD])
    (tmp_path / "link").symlink_to(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match="what is read"):
        data.prepare(CONFIG, folder, tmp_path / out)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def chat_rows(chat: int) -> list[dict[str, object]]:
    """Three rows of one chat, without an id: each goes on from the one before."""
    said, rows = list[dict[str, str]](), []
    for turn, title in enumerate(("Heat (1995)", "Ghosts (1984)", "Ghosts (2016)")):
        said = [*said, {"side": "seeker", "text": f"chat {chat}, turn {turn}"}]
        rows.append({"dialogue": said, "reply": f"See {title}!"})
        said = [*said, {"side": "recommender", "text": f"See {title}!"}]
    return rows


def test_rows_of_one_chat_without_an_id_stay_together(tmp_path: Path) -> None:
    """They were split apart: test rows whose chat went on in training, and an audit that said 0."""
    folder = folder_with(tmp_path, train=[row for chat in range(20) for row in chat_rows(chat)])
    prepared = data.prepare(CustomSettings(split="dialogue"), folder, tmp_path / "out")
    told = {split: {row.dialogue.messages[0].text for row in rows} for split, rows in prepared.splits.items()}
    assert {split: len(rows) for split, rows in prepared.splits.items()} == {"train": 48, "valid": 6, "test": 6}
    assert not told["train"] & told["test"] and not told["train"] & told["valid"] and not told["valid"] & told["test"]
    assert {row.key for row in jsonl.read(tmp_path / "out" / "likes.jsonl", Likes)} == {row.dialogue_id for row in prepared.splits["train"]}


def test_a_chat_that_stands_in_train_and_in_test_is_told(tmp_path: Path) -> None:
    """No id says so; the words do.  What was written in an id counts for the rows of its chat that have none."""
    rows = [*chat_rows(1), *chat_rows(2)]
    rows[3]["dialogue_id"] = "two"
    folder = folder_with(tmp_path, train=rows[:4], test=rows[4:])
    prepared = data.prepare(CONFIG, folder, tmp_path / "out")
    assert [row.key for row in prepared.splits["train"]] == ["train-1:1", "train-1:3", "train-1:5", "two:1"]
    assert [row.key for row in prepared.splits["test"]] == ["two:3", "two:5"]
    assert not any(row.key == "two" for row in jsonl.read(tmp_path / "out" / "likes.jsonl", Likes))
    assert check_custom(folder).splits["test"]["dialogues with rows in train too"] == 1


def test_rows_before_one_turn_of_a_chat_keep_keys_of_their_own(tmp_path: Path) -> None:
    rows = [*chat_rows(1), chat_rows(1)[1] | {"reply": "Heat (1995), perhaps?"}]
    prepared = data.prepare(CONFIG, folder_with(tmp_path, train=rows), tmp_path / "out")
    assert [row.key for row in prepared.splits["train"]] == ["train-1:1", "train-1:3", "train-1:5", "train-1:3-2"]
