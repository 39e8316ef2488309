"""Preparing data: every trap of the corpora, made small, with all counts known by hand.  No text of a corpus is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from usbrec import data, jsonl
from usbrec.cooccurrence import Likes
from usbrec.data import OpenDialKGSettings, RedialSettings
from usbrec.errors import DataError

FILMS = {
    "100001": {"name": "Heat (1995)", "genre": ["Crime"], "director": ["Michael Mann"], "imdb_id": "tt1"},
    "100002": {"name": "Alien (1979)", "genre": ["Horror"], "imdb_id": "tt2"},
    "100003": {"name": "Moana", "genre": ["animation"], "imdb_id": "tt3"},
    "100004": {"name": "Moana (2016)", "genre": ["animation"], "imdb_id": "tt3"},
    "100005": {"name": "(2015)", "imdb_id": "tt5"},
    "100006": {"name": "Ghosts (1984)", "imdb_id": "tt6"},
    "100007": {"name": "Ghosts (2016)", "imdb_id": "tt7"},
    "100008": {"name": "What&apos;s Up%3F (1972)", "imdb_id": "tt8"},
}


def row(dialogue: str, turn: int, context: list[str], rec: list[str], resp: str, **more: Any) -> dict[str, Any]:
    return {"dialog_id": dialogue, "turn_id": turn, "context": context, "entity": [], "rec": rec, "resp": resp} | more


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(each) + "\n" for each in rows))


@pytest.fixture
def redial(tmp_path: Path) -> Path:
    folder = tmp_path / "redial"
    write(
        folder,
        "train_partial.jsonl",
        [
            row("1", 2, ["", "Hello", "I like Heat (1995)"], ["Alien (1979)"], "Try Alien (1979)!"),
            row(
                "1",
                4,
                ["", "Hello", "I like Heat (1995)", "Alien (1979)?", "Seen it"],
                ["Alien (1979)", "Moana"],
                "Moana &amp; Alien (1979)",
            ),
            row("1", 4, ["again"], ["Heat (1995)"], "Heat (1995)"),
            row("2", 1, ["About @100001 or @999999?"], ["Moana (2016)"], "Moana", resp_truncated=True),
        ],
    )
    write(
        folder,
        "valid.jsonl",
        [
            row("3", 1, ["a film please", "Sure"], ["Heat (1995)"], "Heat (1995)"),
            row("3", 2, [""], ["Heat (1995)"], "Heat (1995)"),
            row("3", 3, ["more 🙂 por favor"], ["(2015)", "What&apos;s Up%3F (1972)"], "What's Up? (1972)"),
        ],
    )
    write(
        folder,
        "test.jsonl",
        [row("4", 1, ["hi"], ["Unknown (1900)"], "Unknown (1900)"), row("5", 1, ["hi"], ["Heat (1995)"], "Heat (1995)")],
    )
    write(
        folder,
        "train_ratings.jsonl",
        [
            {"dialog_id": "1", "in_ievalm_valid": False, "rated": [["Heat (1995)", 1], ["Alien (1979)", 0], ["Moana", 1]]},
            {"dialog_id": "3", "in_ievalm_valid": True, "rated": [["Heat (1995)", 1]]},
            {"dialog_id": "5", "in_ievalm_valid": False, "rated": [["Heat (1995)", 1]]},
        ],
    )
    (folder / "id2info.json").write_text(json.dumps(FILMS))
    return tmp_path


def test_redial_traps(redial: Path, tmp_path: Path) -> None:
    prepared = data.prepare(RedialSettings(), redial, tmp_path / "out")
    first, second, third = prepared.splits["train"]
    assert [message.side for message in first.dialogue.messages] == ["recommender", "seeker"], "the empty string went, the sides stayed"
    assert (first.targets, first.leaks) == (("100002",), ())
    assert (second.targets, second.leaks) == (("100002", "100004"), ("100002",)), "Moana is Moana (2016)'s twin; Alien is named already"
    assert second.reply == "Moana & Alien (1979)"
    assert (third.reply_whole, third.dialogue.messages[0].text) == (False, "About Heat (1995) or ?")
    valid = prepared.splits["valid"]
    assert [example.key for example in valid] == ["3:3"]
    assert valid[0].dialogue.messages[0].text == "more 🙂 por favor"
    assert valid[0].targets == ("100008",)
    assert prepared.catalogue["100008"].name == "What's Up? (1972)"
    assert prepared.catalogue["100001"].genres == ("crime",)
    assert "100003" not in prepared.catalogue


def test_every_trap_is_counted_and_every_skipped_row_named(redial: Path, tmp_path: Path) -> None:
    card = data.prepare(RedialSettings(), redial, tmp_path / "out").card
    assert card.skipped["train"] == {"key occurs twice": ["1:4"]}
    assert card.skipped["valid"] == {"context ends with the recommender": ["3:1"], "empty dialogue": ["3:2"]}
    assert card.skipped["test"] == {"no target": ["4:1"]}
    train = card.counts["train"]
    assert train["leading empty string dropped"] == 2
    assert train["some targets already named"] == 1
    assert train["all targets already named"] == 0
    assert train["reply cut or missing"] == 1
    assert train["bare @id became a title"] == 1
    assert train["bare @id dropped"] == 1
    assert card.counts["valid"]["target dropped: not in the catalogue"] == 1
    assert card.counts["catalogue"]["twin entries made one"] == 1
    assert card.counts["catalogue"]["catalogue entry without a title dropped"] == 1
    assert card.rows == {"train": 3, "valid": 1, "test": 1}
    assert "CC BY 4.0" in card.licence
    assert len(card.sources["valid.jsonl"]) == 64


def test_likes_come_from_training_dialogues_only(redial: Path, tmp_path: Path) -> None:
    prepared = data.prepare(RedialSettings(), redial, tmp_path / "out")
    assert [row.items for row in prepared.likes] == [("100001", "100004")], "3 is in valid, 5 in test; a disliked title does not count"
    assert prepared.card.counts["likes"]["rated dialogues left out: valid or test"] == 2


def test_what_was_prepared_is_what_loads(redial: Path, tmp_path: Path) -> None:
    prepared = data.prepare(RedialSettings(), redial / "redial", tmp_path / "out")
    again = data.load(tmp_path / "out")
    assert (again.splits, again.likes, again.card) == (prepared.splits, prepared.likes, prepared.card)
    assert again.catalogue.digest == prepared.catalogue.digest


def test_limits_are_stable_and_leave_the_likes(redial: Path, tmp_path: Path) -> None:
    one = data.prepare(RedialSettings(train_rows=1), redial, tmp_path / "one")
    two = data.prepare(RedialSettings(train_rows=2), redial, tmp_path / "two")
    assert len(one.splits["train"]) == 1
    assert {e.key for e in one.splits["train"]} < {e.key for e in two.splits["train"]}
    assert one.likes == two.likes


def test_the_digest_changes_with_the_config_and_with_the_files(redial: Path) -> None:
    config = RedialSettings()
    before = data.digest(config, redial)
    assert data.digest(config, redial) == before
    assert data.digest(RedialSettings(train_rows=1), redial) != before
    (redial / "redial" / "test.jsonl").write_text("")
    assert data.digest(config, redial) != before


def test_a_missing_file_says_which_and_what_to_do(redial: Path, tmp_path: Path) -> None:
    (redial / "redial" / "test.jsonl").unlink()
    with pytest.raises(DataError) as fault:
        data.prepare(RedialSettings(), redial, tmp_path / "out")
    assert "test.jsonl is missing" in fault.value.what
    assert "usbrec data get redial" in fault.value.fix
    with pytest.raises(DataError, match="no folder with opendialkg"):
        data.prepare(OpenDialKGSettings(), None, tmp_path / "out")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"dialog_id": "1", "turn_id": 1}', "lacks the field 'context'"),
        ('{"dialog_id": "1", "turn_id": 1, "context": "hi", "rec": [], "resp": ""}', "'context' is no list of strings"),
        ('{"dialog_id": "1", "turn_id": "x", "context": [], "rec": [], "resp": ""}', "field 'turn_id' is no whole number"),
        ("not json", "not a JSON object"),
    ],
)
def test_a_broken_row_is_named_with_file_and_line(redial: Path, tmp_path: Path, line: str, what: str) -> None:
    path = redial / "redial" / "valid.jsonl"
    path.write_text(path.read_text() + line + "\n" + "{}\n")
    with pytest.raises(DataError) as fault:
        data.prepare(RedialSettings(), redial, tmp_path / "out")
    assert fault.value.where == f"{path}:4"
    assert what in fault.value.what


@pytest.fixture
def opendialkg(tmp_path: Path) -> Path:
    films = {
        "0": {"name": "War", "year": "2007", "genre": ["War film", "United Kingdom"], "actor": ["Jet Li", "Jet Li"]},
        "1": {"name": "2012", "year": "2009"},
        "2": {"name": "Up", "year": "2009", "genre": ["Family (Film genre) #395", "Comedy-drama"]},
        "3": {"name": "Zodiac", "year": "-500"},
        "4": {"name": "Deadpool", "year": "2016"},
    }
    rows = [
        row("7", 1, ["something new?"], ["War", "Deadpool"], "Deadpool, it is about war"),
        row("7", 3, ["hm", "ok", "when?"], ["2012"], "in 2012"),
        row("8", 1, ["a cartoon?"], ["Up"], "let me look it up"),
        row("8", 3, ["a", "b", "a cartoon?"], ["Up"], 'You could watch "Up"'),
        row("9", 1, ["i liked deadpool"], ["Zodiac"], "Then Zodiac"),
    ]
    folder = tmp_path / "opendialkg"
    write(folder, "train.jsonl", [*rows, row("10", 1, ["?"], ["Zodiac"], "zodiac")])
    write(folder, "valid.jsonl", [row("11", 1, ["?"], ["Deadpool"], "Deadpool")])
    write(
        folder, "test.jsonl", [row("9", 3, ["a", "b", "c"], ["Deadpool"], "Deadpool"), row("12", 1, ["?", "!"], ["Deadpool"], "Deadpool")]
    )
    (folder / "id2info.json").write_text(json.dumps(films))
    return tmp_path


def test_opendialkg_targets_that_are_words_or_years_are_dropped(opendialkg: Path, tmp_path: Path) -> None:
    prepared = data.prepare(OpenDialKGSettings(), opendialkg, tmp_path / "out")
    assert {e.key: e.targets for e in prepared.splits["train"]} == {"7:1": ("4",), "8:3": ("2",), "9:1": ("3",), "10:1": ("3",)}
    counts = prepared.card.counts["train"]
    assert counts["target dropped: a genre word"] == 1
    assert counts["target dropped: a number"] == 1
    assert counts["target dropped: a common word, not written as a title"] == 1
    assert prepared.card.skipped["test"] == {"context ends with the recommender": ["12:1"]}


def test_opendialkg_attributes_are_put_in_order(opendialkg: Path, tmp_path: Path) -> None:
    catalogue = data.prepare(OpenDialKGSettings(), opendialkg, tmp_path / "out").catalogue
    assert (catalogue["0"].genres, catalogue["0"].stars) == (("war",), ("Jet Li",)), "a country is no genre; an actor counts once"
    assert catalogue["2"].genres == ("family", "comedy", "drama")
    assert catalogue["3"].year is None


def test_the_row_split_of_opendialkg_leaks_and_is_counted_but_gives_no_likes(opendialkg: Path, tmp_path: Path) -> None:
    prepared = data.prepare(OpenDialKGSettings(), opendialkg, tmp_path / "out")
    assert prepared.card.counts["test"]["dialogues with rows in train too"] == 1
    keys = [row.key for row in jsonl.read(tmp_path / "out" / "likes.jsonl", Likes)]
    assert keys == ["7", "8", "10"], "dialogue 9 has rows in test"


def test_splitting_anew_by_dialogue_shares_none(opendialkg: Path, tmp_path: Path) -> None:
    prepared = data.prepare(OpenDialKGSettings(split="dialogue", seed=3), opendialkg, tmp_path / "out")
    of = {split: {row.dialogue_id for row in rows} for split, rows in prepared.splits.items()}
    assert not of["train"] & (of["valid"] | of["test"])
    assert sum(len(rows) for rows in prepared.splits.values()) == 6
    likes = {row.key for row in jsonl.read(tmp_path / "out" / "likes.jsonl", Likes)}
    assert likes == of["train"]
