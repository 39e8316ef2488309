"""Splits and samples: by dialogue, seeded, stable."""

from __future__ import annotations

from usbrec.data.rows import RawRow
from usbrec.data.splits import by_dialogue, sample, shared_dialogues

ROWS = [RawRow(dialogue_id=str(d), turn_id=t, context=("x",), rec=(), resp="") for d in range(100) for t in range(1 + d % 3)]


def test_a_dialogue_falls_on_one_side_and_shares_are_kept() -> None:
    split = by_dialogue(ROWS, 1)
    dialogues = {name: {row.dialogue_id for row in rows} for name, rows in split.items()}
    assert {name: len(each) for name, each in dialogues.items()} == {"train": 80, "valid": 10, "test": 10}
    assert not shared_dialogues(split["train"], split["test"]) | shared_dialogues(split["valid"], split["test"])
    assert sum(map(len, split.values())) == len(ROWS)


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    one, other = by_dialogue(ROWS, 1), by_dialogue(reversed(ROWS), 1)
    assert {row.key for row in one["test"]} == {row.key for row in other["test"]}
    assert {row.key for row in by_dialogue(ROWS, 2)["test"]} != {row.key for row in one["test"]}


def test_a_bigger_sample_holds_the_smaller_and_keeps_the_order() -> None:
    small, big = sample(ROWS, 10, 1), sample(ROWS, 50, 1)
    assert len(small) == 10
    assert {row.key for row in small} <= {row.key for row in big}
    assert [row for row in ROWS if row in big] == big
    assert sample(ROWS, None, 1) == ROWS == sample(ROWS, 10_000, 1)


def test_shared_dialogues_are_named() -> None:
    assert shared_dialogues(ROWS[:3], ROWS[2:5]) == {ROWS[2].dialogue_id}
