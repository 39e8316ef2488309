"""How many items fit what the seeker said: every count by hand, over the toy world."""

from __future__ import annotations

from pathlib import Path

import pytest

from toy import CATALOGUE, LINKER, dialogue
from usbrec import jsonl
from usbrec.evaluation.identifiability import Listener, identified
from usbrec.evaluation.leak_tables import sheets as leak_sheets
from usbrec.evaluation.leaks import LeakAudit, audit
from usbrec.evaluation.report import build
from usbrec.evaluation.tables import sheets
from usbrec.types import Dialogue, Outcome, Score, Turn


def outcome(key: str, *texts: str, start: int = 1, targets: tuple[str, ...] = ("casi",), arm: str = "rl") -> Outcome:
    """A conversation played from `start` on; a reply with a target scores 2, any other 0."""
    said, turns = dialogue(*texts), []
    for message in said.messages[start:]:
        if message.side == "recommender":
            items = LINKER.items(message.text)[:1]
            hit = bool({*items} & {*targets})
            score = Score(value=2 if hit else 0, judge="catalogue", hit=hit, items=items)
            turns.append(Turn(reply=message.text, items=items, scores=(score,)))
    leaks = LINKER.leaks(Dialogue(messages=said.messages[:start]), targets)
    return Outcome(key=key, arm=arm, dialogue=said, start=start, turns=tuple(turns), targets=targets, leaks=leaks)


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        (("hi", "Hello", "No, by Martin Scorsese.", "?"), [1]),
        (("hi", "Hello", "Something with Robert De Niro.", "?"), [2]),
        (("hi", "Heat (1995)?", "Something with Robert De Niro.", "?"), [1]),
        (("hi", "Hello", "A crime film.", "?"), [3]),
        (("hi", "Hello", "A crime film.", "?", "Something from the 1990s.", "?"), [3, 2]),
        (("hi", "Hello", "A crime film.", "?", "I said crime.", "?"), [3, None]),
        (("hi", "Hello", "It should be from the nineties.", "?"), [4]),
        (("hi", "Hello", "Not really.", "?", "A crime film.", "?", "I like crime a lot.", "?"), [None, 3, None]),
        (("hi", "Hello", "By Michael Mann.", "?"), [None]),
        (("I like crime films.", "Hello", "Something with Robert De Niro.", "?"), [2]),
        (("Any drama with Robert De Niro?", "Heat (1995)?", "A crime film.", "?"), [1]),
        (("hi", "Hello", "By Michael Mann, a crime film.", "?"), [3]),
        (("I saw Casino (1995).", "Hello", "By Martin Scorsese.", "?"), [None]),
    ],
)
def test_items_left_after_each_saying(texts: tuple[str, ...], left: list[int | None]) -> None:
    """Wanted is Casino.  Crime: Heat, Collateral, Casino; of these De Niro: Heat, Casino; of the nineties: these two, Event Horizon and Toy
    Story.  What is not true of the target, or was told before, tells nothing; a target that was named is no secret."""
    assert Listener(LINKER).left(outcome("a:1", *texts)) == left


def test_of_two_targets_the_one_that_is_easiest_to_tell_counts() -> None:
    said = ("hi", "Hello", "A crime film.", "?", "Maybe something by Ridley Scott?", "?")
    assert Listener(LINKER).left(outcome("a:1", *said, targets=("casi", "alien"))) == [3, 1]


ROWS = [
    outcome("a:1", "hi", "Casino (1995)!"),
    outcome("b:1", "hi", "Toy Story (1995)?", "No, by Martin Scorsese.", "Casino (1995)!"),
    outcome("c:1", "hi", "Toy Story (1995)?", "No, a crime film.", "Heat (1995)!"),
    outcome("d:1", "hi", "Toy Story (1995)?", "Not really.", "Alien (1979)!"),
    outcome("e:1", "hi", "Alien (1979)?", "Something from the 1990s.", "Casino (1995)!"),
]
"""b is identified (1 left), c within three; after e's saying four are left; a has no saying, d tells nothing."""


def test_counts_and_scores_with_and_without() -> None:
    (found,) = identified({"rl": ROWS}, LINKER, ["catalogue"])
    assert (found.rows, found.sayings, found.telling) == (5, 4, 3)
    assert found.rows_within == {1: 1, 3: 2, 10: 3} == found.sayings_within
    told = {part.metric: (part.without.mean, part.without.rows, part.only.mean, part.only.rows) for part in found.parts}
    assert told == {"ieval": (pytest.approx(4 / 3, abs=1e-5), 3, 1.0, 2), "hit-any": (pytest.approx(2 / 3, abs=1e-5), 3, 0.5, 2)}


def test_rows_that_leak_are_out_of_these_scores() -> None:
    rows = [*ROWS, outcome("f:1", "I saw Casino (1995).", "Toy Story (1995)?", "Not really.", "Casino (1995)!")]
    (found,) = identified({"rl": rows}, LINKER, ["catalogue"])
    assert {part.metric: part.without.rows for part in found.parts} == {"ieval-unleaked": 3, "hit-any-unleaked": 3}


def test_the_audit_tells_it_in_a_table() -> None:
    found = audit(LINKER, {"rl": ROWS}, judges=["catalogue"])
    (sheet,) = [sheet for sheet in leak_sheets(found) if sheet.title == "How far the seeker's words identify a target"]
    assert sheet.rows == (("RL", "5", "1 (20.0%)", "2 (40.0%)", "3 (60.0%)", "4", "3", "1 (25.0%)", "2 (50.0%)", "3 (75.0%)"),)
    assert all(len(line) == len(sheet.columns) for line in sheet.rows)
    assert LeakAudit.model_validate_json(found.model_dump_json()) == found
    assert found.faults == [], "it is measured, not forbidden"


def test_every_report_gives_the_last_turn_with_and_without_these_rows(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = tmp_path_factory.mktemp("identified")
    jsonl.rewrite(run / "evaluate" / "rl" / "outcomes.jsonl", ROWS)
    CATALOGUE.save(run / "prepare" / "catalogue.jsonl")
    found = sheets(build(run))
    titles = [sheet.title for sheet in found]
    place = titles.index("Last turn, with and without rows that the seeker identifies, judge: catalogue")
    assert titles[place - 1] == "iEval (last turn), judge: catalogue"
    (row,) = found[place].rows
    assert row[:2] == ("RL", "2 of 5")
    assert [cell.split(" ")[0] for cell in row[2:]] == ["1.200", "1.333", "1.000", "0.600", "0.667", "0.500"]
    silent = [row for row in ROWS if row.key == "a:1"]
    jsonl.rewrite(run / "evaluate" / "rl" / "outcomes.jsonl", silent)
    assert not [sheet for sheet in sheets(build(run)) if "identifies" in sheet.title], "nobody simulated has spoken"


def test_a_run_without_a_catalogue_has_no_such_table(run_folder: Path) -> None:
    assert not [sheet for sheet in sheets(build(run_folder)) if "identifies" in sheet.title]
