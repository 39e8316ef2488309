"""Failure signatures: rates by hand, the floors that must fire theirs, and the human's replies, which must fire none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from outcome_rows import row, turn

from toy import CATALOGUE, COOCCURRENCE, FILMS, LINKER, dialogue
from usbrec.errors import DataError
from usbrec.evaluation.failures import PRAISED, SIGNATURES, Failure, failures, sheet
from usbrec.evaluation.ieval import Evaluation
from usbrec.evaluation.metrics import COUNTED
from usbrec.evaluation.signatures import FailureSettings, circles
from usbrec.roles import Recommender
from usbrec.roles.catalogue import CatalogueJudge
from usbrec.roles.floors import Human, MostPopular, QuestionOnly, Repeat
from usbrec.roles.seekers import AttributesSeeker
from usbrec.types import Dialogue, Example, Outcome, Score, Turn

FEW = FailureSettings(least=1)


def fired(found: Sequence[Failure], arm: str) -> set[str]:
    return {f.name for f in found if f.arm == arm and f.fires}


def one(found: Sequence[Failure], name: str, arm: str = "rl") -> Failure:
    return next(f for f in found if f.name == name and f.arm == arm)


def read(name: str, *rows: Outcome, settings: FailureSettings = FEW) -> Failure:
    return one(failures({"rl": rows}, ["catalogue"], linker=LINKER, settings=settings), name)


def played(arm: str, recommender_for: Callable[[Example], Recommender], count: int = 24) -> list[Outcome]:
    """Real conversations of two turns in the toy world; each seeker liked one film and is after the next."""
    evaluation = Evaluation(
        arm=arm, recommender_for=recommender_for, seeker_for=lambda targets: AttributesSeeker(CATALOGUE, LINKER, targets),
        judges_for=[lambda targets: CatalogueJudge(CATALOGUE, LINKER, targets)], linker=LINKER, turns=2, seed=1,
    )  # fmt: skip
    examples = []
    for place in range(count):
        liked, wanted = FILMS[place % 6], FILMS[(place + 1) % 6]
        context = dialogue(f"I loved {liked.name}. What else is there?")
        reply = f"Then {wanted.name} is for you."
        key = f"d{place}"
        examples.append(Example(key=f"{key}:1", dialogue_id=key, turn_id=1, dialogue=context, targets=(wanted.id,), reply=reply))
    return [asyncio.run(evaluation(example)) for example in examples]


@pytest.fixture(scope="module")
def arms() -> dict[str, list[Outcome]]:
    return {
        "floor:question": played("floor:question", lambda _: QuestionOnly()),
        "floor:repeat": played("floor:repeat", lambda _: Repeat(CATALOGUE, LINKER)),
        "floor:most-popular": played("floor:most-popular", lambda _: MostPopular(CATALOGUE, LINKER, COOCCURRENCE)),
        "ceiling:human": played("ceiling:human", Human),
    }


@pytest.fixture(scope="module")
def found(arms: dict[str, list[Outcome]]) -> list[Failure]:
    return failures(arms, ["catalogue"], linker=LINKER)


def test_the_human_fires_nothing(found: list[Failure]) -> None:
    assert fired(found, "ceiling:human") == set()


def test_every_floor_fires_what_it_was_built_to_do(found: list[Failure]) -> None:
    assert fired(found, "floor:question") >= {"questions without offers", "one reply for everybody", "repetitive loops", "stagnant scores"}
    assert fired(found, "floor:repeat") >= {"ends in the seeker's own item", "declined item offered again", "one score for all"}
    assert "one item for everybody" in fired(found, "floor:most-popular")
    assert "ends in the seeker's own item" not in fired(found, "floor:most-popular")
    assert "questions without offers" not in fired(found, "floor:repeat")


def test_every_signature_is_there_for_every_arm_with_its_threshold(found: list[Failure]) -> None:
    assert {f.name for f in found if f.arm == "floor:repeat"} == {s.name for s in SIGNATURES} | {PRAISED}
    settings = FailureSettings()
    assert {s.name: getattr(settings, s.setting) for s in SIGNATURES}.items() <= {f.name: f.threshold for f in found}.items()
    assert all(f.why and f.explanation.endswith(".") for f in found)


def test_evidence_is_keys_and_no_words(found: list[Failure], arms: dict[str, list[Outcome]]) -> None:
    failure = one(found, "questions without offers", "floor:question")
    assert failure.evidence == tuple(o.key for o in arms["floor:question"][:5])
    assert (failure.count, failure.of, failure.rate) == (24, 24, 1.0)
    assert not any(t.reply in f.explanation for f in found for t in arms["floor:question"][0].turns)


def test_level_scores_are_stagnant_and_a_hit_or_a_rise_is_not() -> None:
    level, rise, unscored = row("a:1", turn(0), turn(0)), row("b:1", turn(0), turn(1)), row("c:1", turn(0), turn(None))
    hit, near = row("d:1", turn(2, items=("t",), hit=True)), row("e:1", turn(1.30), turn(1.34))
    failure = read("stagnant scores", level, rise, unscored, hit, near)
    assert (failure.count, failure.of, failure.evidence) == (2, 4, ("a:1", "e:1"))


def test_one_score_is_the_commonest_of_the_rows_without_a_hit() -> None:
    rows = [row("a:1", turn(0)), row("b:1", turn(1.31)), row("c:1", turn(1.28)), row("d:1", turn(2, items=("t",), hit=True))]
    failure = read("one score for all", *rows)
    assert (failure.count, failure.of, failure.evidence) == (2, 4, ("b:1", "c:1"))
    assert "score: 1.3" in failure.explanation


def test_a_silent_judge_is_counted_by_turn() -> None:
    failure = read("judge silent", row("a:1", turn(0), turn(None)), row("b:1", turn(None), turn(None)))
    assert (failure.count, failure.of, failure.fires, failure.evidence) == (3, 4, True, ("b:1", "a:1"))


@pytest.mark.parametrize(
    ("replies", "loops"),
    [
        (("Have you seen Alien (1979)?", "have you seen 'Alien' (1979)"), True),
        (("What kind of films do you usually like?", "What kinds of films do you usually like?"), True),
        (("Have you seen Alien (1979)?", "Have you seen Toy Story (1995)?"), False),
        (("You are welcome!", "You are welcome!"), False),
        (("I like it and I like it and I like it and I like it",), True),
        (("A man and a woman and a dog go to the sea.",), False),
    ],
)
def test_loops_are_replies_said_again_or_going_round(replies: tuple[str, ...], loops: bool) -> None:
    assert read("repetitive loops", row("a:1", *(turn(0, reply=reply) for reply in replies))).count == loops


def test_the_recommenders_own_words_before_the_row_count_for_loops() -> None:
    said = row("a:1", turn(0, reply="Maybe you would enjoy a western."))
    before = dialogue("Hello.", "Maybe you would enjoy a western.", *(m.text for m in said.dialogue.messages))
    assert read("repetitive loops", said.model_copy(update={"dialogue": before, "start": 3})).count == 1


def test_circles_by_hand() -> None:
    """Trigrams of "a b a b a b": aba, bab, aba, bab: two of four repeat."""
    assert (circles("a b a b a b"), circles("a b c"), circles("")) == (0.5, 0.0, 0.0)


def test_an_item_offered_again_in_a_later_turn() -> None:
    again, other = row("a:1", turn(0, items=("x", "y")), turn(0, items=("y",))), row("b:1", turn(0, items=("x",)), turn(0, items=("y",)))
    failure = read("declined item offered again", again, other)
    assert (failure.count, failure.of, failure.evidence) == (1, 2, ("a:1",))


def test_one_reply_and_one_item_are_shares_of_rows() -> None:
    """x in rows a and b, y in b alone; "See X!" and "see x" are the same words; a row counts once."""
    rows = [
        row("a:1", turn(0, items=("x",), reply="See X!"), turn(0, items=("x",), reply="see x")),
        row("b:1", turn(0, items=("x", "y"), reply="See X or Y.")),
        row("c:1", turn(0, items=("z",), reply="See X")),
    ]
    reply, item = read("one reply for everybody", *rows), read("one item for everybody", *rows)
    assert (reply.count, reply.of, reply.evidence) == (2, 3, ("a:1", "c:1"))
    assert (item.count, item.of, item.evidence) == (2, 3, ("a:1", "b:1")) and "(x)" in item.explanation


def test_questions_count_only_where_nothing_else_was_said() -> None:
    ask, offer = turn(0, reply="What do you like?"), turn(0, items=("x",))
    unknown = turn(0, reply="Have you seen The Night of the Lawn (1999)?")
    rows = [row("a:1", ask, ask), row("b:1", ask, offer), row("c:1", ask), row("d:1", ask, unknown), row("e:1", ask, turn(0, reply="Ok."))]
    failure = read("questions without offers", *rows)
    assert (failure.count, failure.of, failure.evidence) == (1, 5, ("a:1",))


def test_titles_of_no_item_are_counted_among_the_turns_that_offer() -> None:
    unknown, known = turn(0, reply="Try The Night of the Lawn (1999)."), turn(0, items=("heat",), reply="Try Heat (1995).")
    failure = read("off-catalogue offers", row("a:1", unknown, known), row("b:1", turn(0, reply="Why?"), known))
    assert (failure.count, failure.of, failure.evidence) == (1, 3, ("a:1",))


def test_wrong_years_are_counted_among_those_said_with_a_title() -> None:
    wrong, right = turn(2, items=("heat",), reply="Try Heat (1996) or Casino (1995)."), turn(0, reply="Casino (1995)? Alien?")
    failure = read("wrong years", row("a:1", wrong, right), row("b:1", right), row("c:1", turn(0, reply="Why?")))
    assert (failure.count, failure.of, failure.evidence, failure.fires) == (1, 4, ("a:1",), True)
    assert one(failures({"rl": [row("a:1", wrong)]}, ["catalogue"], settings=FEW), "wrong years").rate is None


def test_the_seekers_own_item_is_what_they_named_before_and_no_target() -> None:
    own, new = turn(0, items=("heat",)), turn(0, items=("alien",))
    target = row("c:1", turn(2, items=("heat",), hit=True), targets=("heat",))
    rows = [row("a:1", own, own), row("b:1", own, new), target, row("d:1", turn(0))]
    named = dialogue("I liked Heat (1995).").messages
    rows = [o.model_copy(update={"dialogue": Dialogue(messages=(*named, *o.dialogue.messages[1:]))}) for o in rows]
    failure = read("ends in the seeker's own item", *rows)
    assert (failure.count, failure.of, failure.evidence) == (1, 3, ("a:1",))


@pytest.mark.parametrize(
    ("reply", "runs"),
    [
        ("word " * 25 + "and the", True),
        ("word " * 25 + "the end.", False),
        ("word " * 10 + "no mark", False),
        ("word " * 81 + ".", True),
        ("Have you seen it?\nSeeker: No.", True),
        ("The user: a film about people.", False),
    ],
)
def test_runaway_replies(reply: str, runs: bool) -> None:
    assert read("runaway replies", row("a:1", turn(0, reply=reply))).count == runs


def judged(arm: str, values: Sequence[float], hits: int = 0) -> list[Outcome]:
    """The first `hits` rows hit; the judge gives `values` whatever is offered."""
    rows = []
    for place, value in enumerate(values):
        items = (f"t{place}",) if place < hits else ("x",)
        offered = Turn(reply="See it.", items=items, scores=(Score(value=value, judge="llm"),))
        rows.append(row(f"d{place}:1", offered, arm=arm, targets=(f"t{place}",)))
    return rows


def praised(values: Sequence[float], hits: int) -> Failure:
    """Most popular: mean 1, 2 hits of 40; ceiling: mean 1.5."""
    arms = {
        "rl": judged("rl", values, hits), "floor:most-popular": judged("floor:most-popular", [0.9, 1.1] * 20, 2),
        "ceiling:human": judged("ceiling:human", [1.4, 1.6] * 20, 40),
    }  # fmt: skip
    return one(failures(arms, ["llm"]), PRAISED)


def test_praise_without_hits_fires_and_praise_with_hits_does_not() -> None:
    """Mean 1.25: half of the way from 1 to 1.5."""
    failure = praised([1.2, 1.3] * 20, 2)
    assert (failure.fires, failure.rate, failure.judge, failure.of) == (True, 0.5, "llm", 40)
    assert failure.count == 38 and failure.evidence[0] == "d11:1"
    assert not praised([1.2, 1.3] * 20, 3).fires


def test_little_or_uncertain_praise_does_not_fire() -> None:
    assert not praised([0.92, 1.12] * 20, 0).fires
    uncertain = praised([0.0] * 18 + [2.0] * 22, 0)
    assert uncertain.rate == pytest.approx(0.2) and not uncertain.fires


def test_praise_needs_the_floor_the_ceiling_and_a_scale() -> None:
    alone = one(failures({"rl": judged("rl", [1.0] * 30)}, ["llm"]), PRAISED)
    assert (alone.rate, alone.fires) == (None, False) and "floor:most-popular or ceiling:human is not there" in alone.explanation
    same = {arm: judged(arm, [1.0] * 30) for arm in ("rl", "floor:most-popular", "ceiling:human")}
    assert "no higher than the most popular item" in one(failures(same, ["llm"]), PRAISED).explanation


def test_too_few_rows_never_fire() -> None:
    rows = [row(f"d{i}:1", turn(None)) for i in range(19)]
    failure = read("judge silent", *rows, settings=FailureSettings())
    assert (failure.rate, failure.fires) == (1.0, False) and "fewer than 20" in failure.explanation
    assert read("judge silent", *rows, row("x:1", turn(None)), settings=FailureSettings()).fires


def test_what_cannot_be_measured_says_why() -> None:
    rows = [row("a:1", turn(0, items=("x",))), row("b:1", error="the engine is gone")]
    result = failures({"rl": rows}, ["catalogue"])
    why = {f.name: f.explanation for f in result if f.rate is None}
    assert why["stagnant scores"] == "not measured: no conversation has a second turn."
    assert why["ends in the seeker's own item"] == "not measured: the catalogue's linker is not given."
    assert not any(f.fires for f in failures({"rl": [rows[1]]}, ["catalogue"], linker=LINKER))
    assert "Not measured everywhere: stagnant scores (no conversation has a second turn)" in sheet(result).note


def test_every_judge_is_read_by_itself() -> None:
    both = turn(0).model_copy(update={"scores": (Score(value=0, judge="catalogue"), Score(value=None, judge="llm"))})
    result = failures({"rl": [row(f"d{i}:1", both) for i in range(20)]}, ["catalogue", "llm"])
    assert {f.judge: f.fires for f in result if f.name == "judge silent"} == {"catalogue": False, "llm": True}
    assert one(result, "repetitive loops").judge == COUNTED
    with pytest.raises(DataError, match="not one per judge") as caught:
        failures({"rl": [row("a:1", both)]}, ["catalogue"])
    assert "a:1" in caught.value.where and caught.value.fix


def test_the_sheet_lists_every_arm_and_what_fired(found: list[Failure]) -> None:
    table = sheet(found)
    assert all(len(line) == len(table.columns) for line in table.rows) and len(table.kinds) == len(table.rows)
    assert ("ceiling: the human's reply", "none", "–", "–", "–", "–", "–") in table.rows
    assert len(table.rows) == sum(f.fires for f in found) + 1
    assert table.kinds[0] == "ceiling" and table.kinds[-1] == "floor"
