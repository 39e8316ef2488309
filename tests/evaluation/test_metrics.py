"""Metrics over rows whose every value is known by hand."""

from __future__ import annotations

import pytest
from outcome_rows import row, turn

from toy import LINKER, dialogue
from usbrec.errors import DataError
from usbrec.evaluation.metrics import METRICS, distinct, hit, keep_new, measure_arm, row_values
from usbrec.types import Outcome, Score, Turn

ROWS = (
    row("d1:1", turn(0), turn(1, items=("x",))),
    row("d1:2", turn(1, items=("y",)), turn(2, items=("t",), hit=True)),
    row("d2:1", turn(2, items=("t",), hit=True), leaks=("t",)),
    row("d3:1", turn(0, items=("x",)), turn(None)),
    row("d4:1", turn(1, items=("z",)), error="the engine is gone"),
)


def test_ieval_reads_the_last_turn_and_bounds_what_was_not_scored() -> None:
    """Last turns 1, 2, 2, unscored, broken off: mean 5/3 of three rows, 1.0 with both at 0, 1.8 with both at 2."""
    found = measure_arm(ROWS, ["catalogue"]).judged["catalogue"]["ieval"]
    assert found.mean == pytest.approx(5 / 3, abs=1e-6)
    assert (found.rows, found.unscored, found.worst, found.best) == (3, 2, 1.0, 1.8)


def test_first_and_best_turn() -> None:
    judged = measure_arm(ROWS, ["catalogue"]).judged["catalogue"]
    assert (judged["ieval-first"].mean, judged["ieval-first"].unscored) == (0.8, 0)
    assert row_values(ROWS, METRICS["ieval-best"]) == {"d1:1": 1, "d1:2": 2, "d2:1": 2, "d3:1": None, "d4:1": None}


def test_rows_with_a_leak_are_left_out_of_the_unleaked_metrics_only() -> None:
    arm = measure_arm(ROWS, ["catalogue"])
    assert arm.leaked == 1
    assert arm.judged["catalogue"]["ieval-unleaked"].mean == 1.5
    assert arm.counted["hit-unleaked"].mean == 0.0
    assert arm.counted["hit-unleaked"].rows == 4


def test_a_hit_needs_one_judge_that_saw_it() -> None:
    """An LLM judge lists no items and marks no hits."""
    judged = turn(2, items=("other",), hit=True)
    beside = judged.model_copy(update={"scores": (Score(value=1, judge="llm"), *judged.scores)})
    assert hit(beside, ("t",)) and not hit(turn(2), ("t",))


def test_a_row_with_some_of_its_targets_named_leaks() -> None:
    """Of two targets one was named: its hit may be the one that was given away."""
    rows = [row("a:1", turn(2, items=("x",), hit=True), targets=("x", "y"), leaks=("y",)), row("b:1", turn(0), targets=("x", "y"))]
    found = measure_arm(rows, ["catalogue"])
    assert (found.leaked, found.counted["hit"].mean) == (1, 0.5)
    assert (found.counted["hit-unleaked"].mean, found.judged["catalogue"]["ieval-unleaked"].mean) == (0, 0)


def test_recall_static_and_interactive() -> None:
    """Static hits: d2:1 only, of five first turns.  Any turn: d1:2 too; d4:1 broke off before it could."""
    counted = measure_arm(ROWS, ["catalogue"]).counted
    assert (counted["hit"].mean, counted["hit"].rows) == (0.2, 5)
    interactive = counted["hit-any"]
    assert (interactive.mean, interactive.rows, interactive.unscored, interactive.worst, interactive.best) == (0.5, 4, 1, 0.4, 0.6)


def test_a_late_hit_is_discounted() -> None:
    """A hit in turn 1, 2 and 3 is worth 1, 1 / log2(3) and 1 / 2; none 0; a row that broke off without one has no value."""
    none, found = turn(0), turn(2, items=("t",), hit=True)
    rows = [*ROWS, row("d5:1", none, none, found), row("d6:1", none, none, error="the engine is gone")]
    values = row_values(rows, METRICS["discounted-hit"])
    later = pytest.approx(0.6309297535714575)
    assert values == {"d1:1": 0, "d1:2": later, "d2:1": 1, "d3:1": 0, "d4:1": None, "d5:1": 0.5, "d6:1": None}
    assert "d2:1" not in row_values(rows, METRICS["discounted-hit-unleaked"]), "its target was named before"


def test_a_target_among_the_items_hits_even_where_no_judge_says_so() -> None:
    arm = measure_arm([row("d1:1", turn(1.2, items=("x", "t"))), row("d2:1", turn(1.2, items=("x",)))], ["llm"])
    assert arm.counted["hit"].mean == 0.5
    assert arm.counted["recall@1"].mean == 0.0


def test_what_the_replies_are_like() -> None:
    asked = turn(0, reply="Why? What?")
    rows = [row("a:1", asked), row("b:1", asked), row("c:1", turn(1, items=("x",), reply="See X"))]
    arm = measure_arm(rows, ["catalogue"])
    assert arm.counted["questions"].mean == pytest.approx(4 / 3, abs=1e-6)
    assert arm.counted["offers"].mean == pytest.approx(1 / 3, abs=1e-6)
    assert arm.repetition == pytest.approx(2 / 3, abs=1e-6)
    assert (arm.different_items, arm.seconds_per_turn, arm.turns) == (1, 0.5, 3)
    assert arm.distinct_2 == pytest.approx(2 / 3, abs=1e-6)


def test_distinct_counts_pairs_within_replies_only() -> None:
    assert distinct(["a b a b"], 2) == pytest.approx(2 / 3, abs=1e-6)
    assert distinct(["a b", "B c"], 2) == 1.0
    assert distinct(["one"], 2) is None


def test_an_arm_of_failures_has_no_score_at_all() -> None:
    arm = measure_arm([row("a:1", error="gone"), row("b:1", error="gone")], ["catalogue"])
    found = arm.judged["catalogue"]["ieval"]
    assert (arm.errors, found.mean, found.low, found.unscored, found.worst, found.best) == (2, None, None, 2, 0.0, 2.0)
    assert (arm.distinct_2, arm.repetition, arm.seconds_per_turn) == (None, None, None)


def test_items_that_the_linking_judge_did_not_call_new_are_no_offers() -> None:
    repeated = turn(0, items=("old",)).model_copy(update={"scores": (Score(value=0, judge="catalogue"),)})
    arms = keep_new({"floor:repeat": [row("a:1", repeated)], "rl": [row("a:1", turn(1, items=("x",)))]})
    assert [arms[arm][0].turns[0].items for arm in ("floor:repeat", "rl")] == [(), ("x",)]


def test_without_a_linking_judge_the_items_are_taken_as_they_are() -> None:
    plain = turn(1.3, items=("x",)).model_copy(update={"scores": (Score(value=1.3, judge="llm"),)})
    assert keep_new({"rl": [row("a:1", plain)]})["rl"][0].turns[0].items == ("x",)


def test_without_a_judge_that_lists_items_the_linker_tells_which_are_new() -> None:
    """LLM judges do not link: what the seeker had named himself was "a new item"."""
    said = dialogue("I liked Heat (1995).", "Heat (1995) or Alien (1979).", "More?", "Alien (1979), Casino (1995).")
    replies = (said.messages[1].text, said.messages[3].text)
    turns = tuple(Turn(reply=text, items=LINKER.items(text), scores=(Score(value=1, judge="llm"),)) for text in replies)
    found = keep_new({"rl": [Outcome(key="a:1", arm="rl", dialogue=said, start=1, turns=turns, targets=("casi",))]}, LINKER)["rl"][0]
    assert [turn.items for turn in found.turns] == [("alien",), ("casi",)]
    assert [turn.scores[0].hit for turn in found.turns] == [False, True]


def test_scores_that_do_not_fit_the_judges_are_an_error_with_its_place() -> None:
    with pytest.raises(DataError, match="1 scores for 2 judges") as caught:
        measure_arm(ROWS, ["catalogue", "llm"])
    assert "d1:1" in caught.value.where


def test_rows_of_two_arms_are_not_one_arm() -> None:
    with pytest.raises(DataError, match="several arms"):
        measure_arm([*ROWS, row("x:1", turn(0), arm="sft")], ["catalogue"])
    with pytest.raises(DataError, match="without any outcome"):
        measure_arm([], ["catalogue"])
