"""Which arms are set against which, and what may be said of the difference."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from outcome_rows import ARMS, row, turn

from usbrec.evaluation.compare import Comparison, compare_all, contrast, corrected, in_order, kind_of, leading, planned
from usbrec.evaluation.metrics import METRICS, measure_arm, row_values
from usbrec.evaluation.verdicts import scale, searched, sentence, verdicts
from usbrec.types import Outcome


def rows(arm: str, values: Sequence[float | None]) -> list[Outcome]:
    return [row(f"d{place}:1", turn(value), arm=arm) for place, value in enumerate(values)]


def compare(a: Sequence[Outcome], b: Sequence[Outcome]) -> Comparison:
    """The difference of two arms in iEval, a family of its own."""
    metric = METRICS["ieval"]
    left, right = row_values(a, metric), row_values(b, metric)
    return corrected([contrast(("rl", [left]), ("sft", [right]), "training", metric, "catalogue")[0]])[0]


def difference(a: Sequence[float | None], b: Sequence[float | None]) -> Comparison:
    return compare(rows("rl", a), rows("sft", b))


def test_every_planned_pair_is_there_once_and_only_for_arms_that_are_there() -> None:
    pairs = [(a, b) for a, b, _ in planned(list(ARMS))]
    assert len(pairs) == len(set(pairs))
    wanted = [
        ("sft", "base"), ("rl", "sft"), ("rl+ses", "rl"), ("sft+ses", "sft"), ("base+ses", "base"), ("rl+ses", "sft+ses"),
        ("rl+ses", "floor:most-popular"), ("rl+ses", "collaborative"), ("rl", "floor:most-popular"), ("ceiling:human", "rl+ses"),
        ("ceiling:human", "floor:question"),
    ]  # fmt: skip
    assert set(wanted) <= set(pairs)
    assert planned(["base", "sft"]) == [("sft", "base", "training")]


def test_a_system_is_set_against_every_arm_of_the_run() -> None:
    """It stood in the same report as the arms, and no line compared them."""
    pairs = [(a, b) for a, b, question in planned(["base", "rl+ses", "system:x", "system:y", "floor:question"]) if question == "systems"]
    x, y = "system:x", "system:y"
    assert pairs == [(x, "rl+ses"), (x, "base"), (x, y), (y, "rl+ses"), (y, "base")]
    arms = {arm: rows(arm, [value] * 30 + [1] * 10) for arm, value in (("rl+ses", 0), ("system:x", 2))}
    found = next(c for c in compare_all(arms, ["catalogue"]) if (c.a, c.b, c.metric) == ("system:x", "rl+ses", "ieval"))
    assert (found.diff, found.standing) == (1.5, "shown")
    assert any("system:x - rl+ses: +1.500" in told for told in verdicts(compare_all(arms, ["catalogue"]), ["catalogue"], "rl+ses"))


def test_the_leading_arm_is_named_by_the_method_not_by_its_score() -> None:
    assert leading(list(ARMS)) == "rl+ses"
    assert leading(["base", "floor:question"]) == "base"
    assert leading(["floor:question"]) is None


def test_arms_have_one_order_with_unknown_models_before_the_baselines() -> None:
    shuffled = ["floor:question", "hinted", "ceiling:human", "collaborative", "rl", "base"]
    assert in_order(shuffled) == ["base", "rl", "hinted", "collaborative", "ceiling:human", "floor:question"]


def test_what_an_arm_is_there_for() -> None:
    kinds = {"model": ("rl+ses", "system:x", "step-4"), "baseline": ("retrieval", "retrieval:3", "retrieval+ask", "collaborative")}
    kinds |= {"floor": ("floor:question",), "ceiling": ("ceiling:human",)}
    assert {arm: kind_of(arm) for arms in kinds.values() for arm in arms} == {arm: kind for kind, arms in kinds.items() for arm in arms}


def test_a_clear_difference_is_shown_and_its_opposite_too() -> None:
    up, down = difference([2] * 30 + [0] * 10, [0] * 40), difference([0] * 40, [2] * 30 + [0] * 10)
    assert (up.diff, up.standing) == (1.5, "shown")
    assert (down.diff, down.standing) == (-1.5, "opposite shown")
    assert "sft is better" in sentence(down)
    assert "Holm-corrected p < 0.0001 on 40 rows" in sentence(up)  # 2 / 2^30, and never "= 0.0000"


def test_a_difference_that_the_noise_could_make_is_not_shown() -> None:
    found = difference([1, 0, 2, 0, 1, 0, 1, 2], [0, 1, 1, 0, 2, 0, 1, 1])
    assert found.standing == "not shown"
    assert found.detectable is not None and found.detectable > abs(found.diff or 0.0)
    assert sentence(found).endswith(f"not shown; to be found four times in five it would have to be {found.detectable:.3f}.")


def test_unscored_rows_bound_the_difference_and_can_leave_it_undecided() -> None:
    """30 rows at +1 and 20 that a alone lacks: at worst (30 + 20 x (0 - 0)) / 50 with b at 0, at best (30 + 20 x 2) / 50."""
    found = difference([1] * 29 + [0] + [None] * 20, [0] * 50)
    assert (found.rows, found.unscored, found.worst, found.best) == (30, 20, 0.58, 1.38)
    assert found.standing == "shown"
    undecided = difference([1] * 29 + [0] + [None] * 20, [0] * 30 + [2] * 20)
    assert (undecided.worst, undecided.standing) == (-0.22, "undecided")
    assert "could turn it" in sentence(undecided)


def test_rows_of_one_arm_only_are_counted_and_left_out() -> None:
    found = compare(rows("rl", [2, 2, 0]), rows("sft", [0, 0, 0, 2, 2]))
    assert (found.rows, found.unpaired) == (3, 2)
    assert found.diff == pytest.approx(4 / 3, abs=1e-6)


def test_no_common_row_says_so() -> None:
    found = compare([row("a:1", turn(2))], [row("b:1", turn(0))])
    assert found.standing == "no rows"
    assert "nothing is shown" in sentence(found)


def test_a_judge_that_cannot_tell_the_ceiling_from_a_floor_is_called_so() -> None:
    blind = {"ceiling:human": rows("ceiling:human", [1, 2] * 20), "floor:question": rows("floor:question", [2, 1] * 20)}
    said = scale([c for c in compare_all(blind, ["llm"]) if c.metric == "ieval"], "ieval", "llm")
    assert "does not tell" in said and "floor:question" in said
    seeing = {"ceiling:human": rows("ceiling:human", [2] * 40), "floor:question": rows("floor:question", [0] * 40)}
    assert "tells the human's reply from every floor" in scale([c for c in compare_all(seeing, ["j"]) if c.metric == "ieval"], "ieval", "j")
    assert "no scale" in scale([], "ieval", "j")


def test_metrics_that_cannot_differ_are_not_compared_twice() -> None:
    arms = {"base": rows("base", [0, 1, 2]), "sft": rows("sft", [1, 2, 2])}
    assert [c.metric for c in compare_all(arms, ["catalogue"])] == ["ieval", "hit"]
    leaky = {arm: [o.model_copy(update={"leaks": ("t",)}) if o.key == "d0:1" else o for o in found] for arm, found in arms.items()}
    assert {c.metric for c in compare_all(leaky, ["catalogue"])} == {"ieval-unleaked", "hit-unleaked"}


def test_the_first_comparison_is_with_the_retriever_alone() -> None:
    arms = {arm: rows(arm, [1] * 5) for arm in ("base", "base+ses", "rl+ses", "retrieval", "retrieval:3", "retrieval+ask", "collaborative")}
    pairs = planned(in_order(list(arms)))
    asked = [pair for *pair, question in pairs if question == "retrieval"]
    assert asked[:3] == [["rl+ses", "retrieval"], ["rl+ses", "retrieval:3"], ["rl+ses", "retrieval+ask"]]
    assert pairs[0][:2] == ("rl+ses", "retrieval") and ["base", "retrieval"] in asked
    assert ("rl+ses", "base+ses", "training") in pairs
    first = verdicts(compare_all(arms, ["catalogue"]), ["catalogue"], "rl+ses")[1]
    assert "rl+ses - retrieval:" in first


def test_a_search_with_retrieved_items_is_called_guided() -> None:
    arms = {arm: measure_arm(rows(arm, [1, 0]), ["j"]) for arm in ("rl", "rl+ses")}
    [told] = searched(arms, {"guided": 6, "depth": 0})
    assert "guided: up to 6 retrieved items" in told and "no look-ahead" in told
    assert "2 turns of look-ahead" in searched(arms, {"guided": 1, "depth": 2})[0]
    assert searched(arms, {"guided": 0, "depth": 1}) == searched({"rl": arms["rl"]}, {"guided": 6}) == []


def test_the_headline_leaves_out_rows_whose_target_was_named() -> None:
    said = [o.model_copy(update={"leaks": ("t",)}) if n < 2 else o for n, o in enumerate(rows("rl+ses", [2, 2, 0, 0]))]
    [found] = [
        c for c in compare_all({"rl+ses": said, "retrieval": rows("retrieval", [0, 0, 0, 0])}, ["j"]) if c.metric == "ieval-unleaked"
    ]
    assert (found.diff, found.rows) == (0.0, 2)


def test_verdicts_say_where_the_leading_arm_stands_against_the_collaborative_baseline() -> None:
    arms = {"rl+ses": rows("rl+ses", [0] * 40), "collaborative": rows("collaborative", [1] * 30 + [0] * 10)}
    said = verdicts(compare_all(arms, ["catalogue"]), ["catalogue"], "rl+ses")
    assert any("rl+ses - collaborative: -0.750" in line and "the opposite is shown: collaborative is better" in line for line in said)


def test_a_family_is_one_question_of_one_metric_and_judge() -> None:
    """Five of five at +1: p = 1/16 alone; as one of two in its family, 1/8; the search question has a family of its own."""
    arms = {arm: rows(arm, values) for arm, values in {"base": [0] * 5, "sft": [1] * 5, "rl": [0] * 5, "rl+ses": [1] * 5}.items()}
    found = {(c.a, c.b): c for c in compare_all(arms, ["j"]) if c.metric == "ieval"}
    assert {(c.a, c.b) for c in found.values() if c.question == "training"} == {("sft", "base"), ("rl", "sft"), ("rl", "base")}
    assert (found["sft", "base"].p, found["sft", "base"].p_holm) == (1 / 16, 3 / 16)
    assert (found["rl", "base"].p, found["rl", "base"].p_holm) == (1.0, 1.0)
    assert (found["rl+ses", "rl"].p, found["rl+ses", "rl"].p_holm) == (1 / 16, 1 / 16)


def test_holm_can_take_away_what_one_test_alone_would_show() -> None:
    """Differences +1 on 12 rows, -1 on 2 of 40: p = 2 (1 + 14 + 91) / 2^14 = .0129, so .0129 x 4 = .052 among four as good as it."""
    alone = difference([1] * 12 + [0] * 28, [0] * 12 + [1] * 2 + [0] * 26)
    assert alone.p == pytest.approx(0.0129, abs=0.003)
    assert (alone.p_holm, alone.standing) == (alone.p, "shown")
    four = corrected([alone.model_copy(update={"p": 0.0129, "p_holm": None}) for _ in range(4)])
    assert [c.p_holm for c in four] == pytest.approx([0.0516] * 4)
    assert {c.standing for c in four} == {"not shown"}
    assert "Holm-corrected p = 0.0516" in sentence(four[0])
    assert corrected(four) == four


def test_comparisons_without_rows_count_in_no_family() -> None:
    alone = difference([1] * 12 + [0] * 28, [0] * 40)
    empty = compare([row("a:1", turn(2))], [row("b:1", turn(0))])
    kept, nothing = corrected([alone, empty])
    assert kept == alone
    assert (nothing.p_holm, nothing.detectable, nothing.standing) == (None, None, "no rows")


def test_the_detectable_difference_is_that_of_holms_strictest_step() -> None:
    """Differences 1, 0, 1, 0, ... on 40 rows: sd .50637, standard error .080064; z(.975) + z(.8) = 2.8016, z(.9875) + z(.8) = 3.0830."""
    alone = difference([1, 0] * 20, [0] * 40)
    assert alone.error == pytest.approx(0.080064, abs=1e-6)
    assert alone.detectable == pytest.approx(2.8016 * 0.080064, abs=1e-5)
    assert corrected([alone, alone])[0].detectable == pytest.approx(3.0830 * 0.080064, abs=1e-5)
    assert difference([1] * 40, [0] * 40).detectable is None


def test_a_comparison_of_an_older_report_still_loads() -> None:
    found = difference([2] * 30 + [0] * 10, [0] * 40)
    old = Comparison.model_validate(found.model_dump(exclude={"p_holm", "error", "detectable"}))
    assert (old.p_holm, old.error, old.detectable) == (None, None, None)
    assert "not corrected" in sentence(old)
