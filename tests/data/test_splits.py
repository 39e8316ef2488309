"""Splits and samples: by dialogue, seeded, stable."""

from __future__ import annotations

from toy import dialogue
from usbrec.data.rows import RawRow
from usbrec.data.splits import by_dialogue, chats, sample, shared_chats, shared_dialogues
from usbrec.types import Example

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


def waiting(key: str, *texts: str, reply: str = "") -> Example:
    said = dialogue(*texts)
    return Example(key=key, dialogue_id=key.split(":")[0], turn_id=len(said), dialogue=said, targets=("heat",), reply=reply)


def test_rows_of_one_chat_are_told_by_their_words() -> None:
    """b goes on from a, reply and all; d begins as a does and hears another reply; f has three messages of e before it; h repeats g."""
    rows = [
        waiting("a:1", "Hi", reply="Heat (1995)?"),
        waiting("b:3", "Hi", "Heat  (1995)?", "No", reply="Casino (1995)?"),
        waiting("c:5", "Hi", "Heat (1995)?", "No", "Casino (1995)?", "Yes"),
        waiting("d:1", "Hi", reply="Hello"),
        waiting("e:3", "Hello", "What do you like?", "Horror", reply="Alien (1979)!"),
        waiting("f:5", "Hello", "What do you like?", "Horror", "Do you?", "Yes"),
        waiting("g:1", "Anything", reply="Alien (1979)!"),
        waiting("h:1", "Anything", reply="Alien (1979)!"),
    ]
    assert chats(rows) == [0, 0, 0, 3, 4, 4, 6, 6]
    assert chats(rows[::-1]) == [0, 0, 2, 2, 4, 5, 5, 5]
    assert chats([]) == []


def test_a_row_without_a_reply_belongs_to_what_goes_on_from_it() -> None:
    rows = [waiting("a:1", "Hi there"), waiting("b:1", "Hi there"), waiting("c:3", "Hi there", "Hello", "A comedy"), waiting("d:1", "Hi")]
    assert chats(rows) == [0, 0, 0, 3]
    assert chats([rows[0], rows[1], rows[3]]) == [0, 1, 2], "a greeting alone tells nothing"


def test_a_long_row_before_its_shorter_one_is_of_the_same_chat() -> None:
    assert chats([waiting("b:3", "Hi", "Heat (1995)?", "No"), waiting("a:1", "Hi", reply="Heat (1995)?")]) == [0, 0]


def test_dialogues_are_shared_by_id_or_by_words() -> None:
    train = [waiting("a:3", "Hi", "Heat (1995)?", "No"), waiting("b:1", "x", reply="y")]
    test = [waiting("c:1", "Hi", reply="Heat (1995)?"), waiting("b:3", "x", "z", "w"), waiting("d:1", "Hi", reply="Oh")]
    assert shared_chats(test, train) == {"c", "b"}
