"""OpenDialKG as published: dialogues in a CSV file, the graph as triples.  All lines here are made up."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from usbrec import data
from usbrec.cli.data import app
from usbrec.data import OpenDialKGSettings
from usbrec.data.opendialkg_raw import title_of
from usbrec.errors import DataError

ZODIAC = "Zodiac (Crime Fiction Film)"
TRIPLES = (
    ("Heat", "directed_by", "Michael Mann"),
    ("Michael Mann", "~directed_by", "Collateral"),
    ("Collateral", "has_genre", "Thriller"),
    ("Thriller", "~has_genre", "Collateral"),
    ("Collateral", "has_genre", "Los Angeles"),
    ("Collateral", "release_year", "2004"),
    ("Collateral", "release_year", "-500"),
    (ZODIAC, "starred_actors", "Jake Gyllenhaal"),
    ("Zodiac", "written_by", "Neal Stephenson"),
    ("Ronin", "directed_by", "John Frankenheimer"),
    ("Kobe Bryant", "Sport played", "Basketball"),
)


def chat(sender: str, message: str) -> dict[str, Any]:
    return {"type": "chat", "sender": sender, "message": message}


def path(sender: str, *triples: tuple[str, str, str]) -> dict[str, Any]:
    walk = [0.5, [list(triple) for triple in triples], "in words"]
    return {"type": "action", "sender": sender, "action_id": "kgwalk/choose_path", "metadata": {"path": walk}}


NOTE = {"type": "action", "sender": "assistant", "action_id": "meta_thread/send_meta_message"}
TO_COLLATERAL = (("Heat", "directed_by", "Michael Mann"), ("Michael Mann", "~directed_by", "Collateral"))
FILM = [
    chat("user", "I like Heat."),
    path("assistant", *TO_COLLATERAL),
    NOTE,
    chat("assistant", "Michael Mann made it,"),
    chat("assistant", "and collateral too, like Ronin."),
    path("user", ("Collateral", "has_genre", "Thriller")),
    chat("user", "A thriller?"),
    chat("assistant", "Yes, Collateral is one."),
    chat("user", "And with Jake Gyllenhaal?"),
    path("assistant", ("Jake Gyllenhaal", "~starred_actors", ZODIAC)),
    chat("assistant", "Try Zodiac!"),
    chat("user", "More?"),
    path("assistant", ("Collateral", "directed_by", "Michael Mann"), ("Michael Mann", "~directed_by", "Heat")),
    chat("assistant", "Michael Mann made others."),
]
SPORT = [
    chat("user", "Do you know Kobe Bryant?"),
    path("assistant", ("Kobe Bryant", "Sport played", "Basketball")),
    chat("assistant", "He plays basketball."),
]
BEGUN = [path("assistant", ("Neal Stephenson", "~written_by", "Zodiac")), chat("assistant", "Zodiac?"), chat("user", "No.")]


def folder_with(tmp_path: Path, dialogues: list[list[dict[str, Any]]], triples: tuple[tuple[str, ...], ...] = TRIPLES) -> Path:
    tmp_path.mkdir(parents=True, exist_ok=True)
    with (tmp_path / "opendialkg.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Messages", "User Rating", "Assistant Rating"])
        writer.writerows([json.dumps(messages), "{}", "{}"] for messages in dialogues)
    (tmp_path / "opendialkg_triples.txt").write_text("".join("\t".join(triple) + "\n" for triple in triples))
    return tmp_path


def prepare(tmp_path: Path, *dialogues: list[dict[str, Any]]) -> data.Prepared:
    return data.prepare(OpenDialKGSettings(), folder_with(tmp_path / "raw", list(dialogues)), tmp_path / "out")


def test_a_reply_that_names_the_work_its_path_leads_to_is_a_row(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, FILM, SPORT, BEGUN)
    rows = {row.key: row for split in prepared.splits.values() for row in split}
    assert {key: row.targets for key, row in rows.items()} == {"0:1": ("Collateral",), "0:5": (ZODIAC,)}
    assert rows["0:1"].reply == "Michael Mann made it, and collateral too, like Ronin.", "one side's messages are one"
    assert [(m.side, m.text) for m in rows["0:1"].dialogue.messages] == [("seeker", "I like Heat.")]
    assert len(rows["0:5"].dialogue) == 5


def test_what_was_dropped_is_counted(tmp_path: Path) -> None:
    """Replies with something before them: 0:1, 0:3 (no path), 0:5, 0:7 (Heat is not named), 1:1 (basketball is no work)."""
    counts = prepare(tmp_path, FILM, SPORT, BEGUN).card.counts["catalogue"]
    assert counts["reply dropped: no path"] == 1
    assert counts["reply dropped: its path leads to no work"] == 1
    assert counts["reply dropped: names no work of its path"] == 1
    assert counts["work of a path dropped: not in the reply"] == 1
    assert counts["dialogue dropped: no path visits a work"] == 1
    assert counts["entity of a path dropped: no work"] == 6, "Mann, Thriller, Gyllenhaal, Bryant, Basketball, Stephenson"


def test_the_catalogue_is_what_paths_visit_and_somebody_made(tmp_path: Path) -> None:
    catalogue = prepare(tmp_path, FILM, SPORT, BEGUN).catalogue
    assert [item.id for item in catalogue] == ["Collateral", "Heat", "Zodiac", ZODIAC], "no path visits Ronin"
    assert catalogue["Collateral"].model_dump(include={"year", "genres", "directors"}) == {
        "year": 2004, "genres": ("thriller",), "directors": ("Michael Mann",),
    }  # fmt: skip
    assert (catalogue[ZODIAC].title, catalogue[ZODIAC].stars) == ("Zodiac", ("Jake Gyllenhaal",))
    assert catalogue["Zodiac"].writers == ("Neal Stephenson",)


@pytest.mark.parametrize(
    ("entity", "title"),
    [("Carnival of Souls (Horror Film) #14", "Carnival of Souls"), ("(500) Days of Summer", "(500) Days of Summer"), ("Heat", "Heat")],
)
def test_a_namesakes_mark_is_no_part_of_the_title(entity: str, title: str) -> None:
    assert title_of(entity) == title


def test_the_split_is_by_dialogue_and_does_not_move(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, *[FILM] * 200)
    counts = prepared.card.dialogues
    assert sum(counts.values()) == 200
    assert 10 <= counts["valid"] <= 30
    assert 10 <= counts["test"] <= 30
    again = prepare(tmp_path / "again", *[FILM] * 100)
    assert {row.key for row in again.splits["test"]} == {row.key for row in prepared.splits["test"] if int(row.dialogue_id) < 100}
    assert "processed" not in prepared.card.licence


def test_a_recipe_and_the_commands_read_it_too(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "opendialkg", [FILM] * 30)
    config = OpenDialKGSettings()
    before = data.digest(config, tmp_path)
    assert data.digest(config, folder) == before
    done = CliRunner().invoke(app, ["import", "opendialkg", "--from-dir", str(tmp_path), "--out", str(tmp_path / "out"), "--json"])
    assert sum(json.loads(done.stdout)["rows"].values()) == 60
    assert json.loads(CliRunner().invoke(app, ["check", str(folder), "--json"]).stdout)["kind"] == "opendialkg"
    (folder / "opendialkg_triples.txt").write_text("Heat\tdirected_by\tMichael Mann\n")
    assert data.digest(config, tmp_path) != before


@pytest.mark.parametrize(
    "messages", ["not json", '[{"type": "chat", "sender": "user"}]', '[{"type": "chat", "sender": "bot", "message": ""}]', "{}1"]
)
def test_a_row_that_is_no_dialogue_is_named_with_its_line(tmp_path: Path, messages: str) -> None:
    folder = folder_with(tmp_path, [FILM])
    with (folder / "opendialkg.csv").open("a", newline="") as file:
        csv.writer(file).writerow([messages, "", ""])
    with pytest.raises(DataError) as fault:
        data.prepare(OpenDialKGSettings(), folder, tmp_path / "out")
    assert fault.value.where == f"{folder / 'opendialkg.csv'}:3"


def test_missing_or_foreign_triples_are_an_error(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [FILM], (("A", "directed_by", "B"), ("no triple",)))
    with pytest.raises(DataError, match="know no work"):
        data.prepare(OpenDialKGSettings(), folder, tmp_path / "out")
    (folder / "opendialkg_triples.txt").unlink()
    with pytest.raises(DataError, match="no such file") as fault:
        data.prepare(OpenDialKGSettings(), folder, tmp_path / "out")
    assert "usbrec data get opendialkg" in fault.value.fix
