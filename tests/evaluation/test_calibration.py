"""Judges of known character on the toy world: the calibration says what they are."""

from __future__ import annotations

import random

import pytest

from toy import CATALOGUE, COOCCURRENCE, LINKER, example
from usbrec.evaluation import calibration_tables
from usbrec.evaluation.calibration import Calibration, JudgedRow, Label, Verdict, calibrate, labelled_replies
from usbrec.evaluation.probes import FLOORS, PROBES, TRUTH, Probes
from usbrec.roles.catalogue import CatalogueJudge
from usbrec.types import Score

OTHERS = ("Have you seen Toy Story (1995)?", "You should see Casino (1995).", "I like Alien (1979).")
PLAIN = Probes(CATALOGUE, LINKER, COOCCURRENCE, OTHERS)


def judged(values: dict[str, float | None], key: str = "d1:1", **more: object) -> JudgedRow:
    return JudgedRow(key=key, verdicts=tuple(Verdict(probe=p, score=Score(value=v, judge="j")) for p, v in values.items()), **more)


def rows(truth: float, floor: float, count: int = 20) -> list[JudgedRow]:
    return [judged({TRUTH: truth, **dict.fromkeys(FLOORS, floor)}, f"d{n}:1") for n in range(count)]


def test_probes_of_a_row() -> None:
    """Wanted: Casino; the seeker named Heat, which is comparable with it."""
    replies = PLAIN.of(example(), 0)
    assert set(replies) == set(PROBES) - {"comparable"}  # nothing but Heat is comparable with Casino, and Heat was named
    assert replies[TRUTH] == "You should see Casino (1995)."
    assert replies["random-reply"] in (OTHERS[0], OTHERS[2])  # never the reply that names the target
    assert replies["repeat"] == "Have you seen Heat (1995)?"
    assert LINKER.items(replies["most-popular"])[0] not in ("heat", "casi")
    first, last = LINKER.items(replies["target-first"]), LINKER.items(replies["target-last"])
    assert first == last[::-1] and first[0] == "casi"
    assert PLAIN.of(example(), 0) == replies


def test_probes_that_a_row_does_not_allow() -> None:
    said_nothing = example(text="Hello there")
    assert "repeat" not in PLAIN.of(said_nothing, 0)
    only_target = Probes(CATALOGUE, LINKER, COOCCURRENCE, ("You should see Casino (1995).",))
    assert "random-reply" not in only_target.of(said_nothing, 0)
    comparable = PLAIN.of(said_nothing, 0)["comparable"]
    assert comparable == "Have you seen Heat (1995)?"


async def test_the_catalogue_judge_scores_the_probes_as_they_are_meant() -> None:
    given = example(text="Hello there")
    judge = CatalogueJudge(CATALOGUE, LINKER, given.targets)
    said = {probe: given.dialogue.say("recommender", text) for probe, text in PLAIN.of(given, 0).items()}
    values = {probe: (await judge.score(dialogue, start=1, seed=0)).value for probe, dialogue in said.items()}
    assert values[TRUTH] == values["target-first"] == 2
    assert values["comparable"] == 1
    assert values["target-last"] == values["random-item"] == values["question"] == values["compliment"] == 0


def test_a_judge_that_can_tell_is_fit() -> None:
    found = calibrate("good", rows(1.8, 0.3))
    assert found.fit and found.why == ""
    assert {curve.value for curve in found.auc.values()} == {1.0}
    assert found.probes[TRUTH].mean.mean == pytest.approx(1.8)
    assert found.probes[TRUTH].grades == (0, 0, 1)


def test_a_judge_that_always_says_the_same_is_not() -> None:
    found = calibrate("same", rows(1.0, 1.0), catalogue=rows(2, 0))
    assert not found.fit and "one and the same score" in found.why
    assert {curve.value for curve in found.auc.values()} == {0.5}
    assert found.with_catalogue is not None and found.with_catalogue.cohen == 0


def test_a_judge_that_cannot_be_read_is_not() -> None:
    silent = [judged({TRUTH: None, **dict.fromkeys(FLOORS)}, f"d{n}:1") for n in range(5)]
    found = calibrate("silent", silent)
    assert not found.fit and found.why == "no verdict on 30 of 30 replies"
    assert found.probes[TRUTH].mean.unscored == 5
    assert (found.probes[TRUTH].mean.worst, found.probes[TRUTH].mean.best) == (0, 2)
    assert found.auc["repeat"].value is None and found.auc["repeat"].rows == 0


def test_a_judge_that_died_half_way_is_not() -> None:
    found = calibrate("dead", [*rows(2, 0, 10), JudgedRow(key="d99:1", error="gone")])
    assert not found.fit and found.why == "1 rows broke off with an error"


def test_a_judge_that_likes_what_the_seeker_named_is_named_for_it() -> None:
    fooled = [judged({TRUTH: 1.5, **dict.fromkeys(FLOORS, 0.0), "repeat": 1.6}, f"d{n}:1") for n in range(20)]
    found = calibrate("fooled", fooled)
    assert not found.fit and found.why == "AUC of the human's reply below 0.8 against: repeat 0.00"
    assert calibrate("fooled", fooled, least_auc=0.0).fit


def test_other_ways_of_asking() -> None:
    again = Verdict(probe=TRUTH, variant="retest", score=Score(value=1.0, judge="j"))
    given = [row.model_copy(update={"verdicts": (*row.verdicts, again)}) for row in rows(1.8, 0.0, 4)]
    (change,) = calibrate("j", given).changes
    assert (change.what, change.replies, change.same) == ("asked again with another seed", 4, 0)
    assert change.moved == pytest.approx(0.8) and change.shift.mean == pytest.approx(-0.8)
    swapped = [judged({"target-first": 2.0, "target-last": 0.4}, f"d{n}:1") for n in range(3)]
    (change,) = calibrate("j", swapped).changes
    assert change.shift.mean == pytest.approx(-1.6) and change.replies == 3


def test_people() -> None:
    labels = {
        "d1:1": [
            Label(key="d1:1", reply="A", grade=2, rater="ann"), Label(key="d1:1", reply="B", grade=0, rater="ann"),
            Label(key="d1:1", reply="A", grade=2, rater="bob"),
        ],
    }  # fmt: skip
    assert labelled_replies(labels["d1:1"]) == {"label:0": "A", "label:1": "B"}
    found = calibrate("j", [judged({"label:0": 1.9, "label:1": 1.2})], labels=labels)
    assert found.with_people["ann"].same == 0.5 and found.with_people["ann"].replies == 2
    assert found.with_people["bob"].same == 1 and found.with_people["bob"].replies == 1
    assert found.with_people["all"].replies == 2


def test_beyond_hits_a_coin_is_called_a_coin() -> None:
    rng = random.Random(1)
    given = [
        judged({TRUTH: 2.0, **dict.fromkeys(FLOORS, 0.0), "comparable": rng.random(), "random-item": rng.random()}, f"d{n}:1")
        for n in range(80)
    ]
    coin = calibrate("coin", given)
    assert coin.fit and coin.beyond.low is not None and coin.beyond.low < 0.5 < (coin.beyond.high or 0)
    found = Calibration(data="toy", split="valid", rows=80, least_auc=0.8, judges={"coin": coin})
    assert "a coin: it adds nothing to the rules" in calibration_tables.text(found)


def test_the_summary_compares_tokens() -> None:
    def costing(name: str, calls: int, prompt: int, said: int) -> Calibration:
        spent = {"calls": calls, "prompt_tokens": prompt, "completion_tokens": said}
        given = [JudgedRow(key="d1:1", verdicts=(Verdict(probe=TRUTH, score=Score(value=1.0), **spent),))]
        return Calibration(data="toy", split="valid", rows=1, least_auc=0.8, judges={name: calibrate(name, given)})

    choose, vote = costing("llm:choose@m", 1, 400, 1), costing("llm:vote@m", 10, 400, 20)
    both = choose.model_copy(update={"judges": choose.judges | vote.judges})
    found = calibration_tables.summary([both])
    assert found["choose_tokens_share"] == pytest.approx(401 / 4020, abs=1e-4)
    assert found["choose_tokens_share_one_request"] == pytest.approx(401 / 420, abs=1e-4)
    assert found["toy"]["llm:choose@m"]["mean"] == {TRUTH: 1.0}
    assert calibration_tables.summary([choose])["choose_tokens_share"] is None


def test_a_plot_is_drawn() -> None:
    found = Calibration(data="toy", split="valid", rows=20, least_auc=0.8, judges={"good": calibrate("good", rows(1.8, 0.3))})
    assert calibration_tables.draw(found).file.startswith("<svg")
