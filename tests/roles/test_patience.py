"""A seeker leaves after so many bad offers in a row; the row is unsatisfied, and counted."""

from __future__ import annotations

import pytest

from toy import CATALOGUE, LINKER, Line, Parrot, dialogue, example
from usbrec.conversation import converse
from usbrec.evaluation.ieval import Evaluation
from usbrec.evaluation.metrics import measure_arm
from usbrec.roles.catalogue import CatalogueJudge
from usbrec.roles.patience import ImpatientSeeker, bad_in_a_row


@pytest.mark.parametrize(
    ("said", "bad"),
    [
        (("hi",), 0),
        (("hi", "Toy Story (1995)?"), 1),
        (("hi", "Toy Story (1995)?", "no", "Alien (1979)?"), 2),
        (("hi", "Toy Story (1995)?", "no", "Toy Story (1995)?"), 2),
        (("hi", "Toy Story (1995)?", "no", "Heat (1995)?"), 0),
        (("hi", "Toy Story (1995)?", "no", "What do you like?"), 1),
        (("hi", "Heat (1995)?", "no", "Alien (1979)?"), 1),
        (("hi", "Toy Story (1995)?", "no", "Casino (1995)?"), 0),
    ],
)
def test_bad_offers_in_a_row(said: tuple[str, ...], bad: int) -> None:
    """Wanted is Casino: Heat is comparable, Toy Story and Alien are not, an offer once made is no new one, a question is no offer."""
    assert bad_in_a_row(dialogue(*said), 1, ("casi",), LINKER) == bad


def test_what_was_offered_before_the_evaluation_tries_nobodys_patience() -> None:
    assert bad_in_a_row(dialogue("hi", "Toy Story (1995)?", "no", "Alien (1979)?"), 3, ("casi",), LINKER) == 1


async def test_the_conversation_ends_when_the_seeker_leaves() -> None:
    seeker = ImpatientSeeker(Line(), LINKER, ("casi",), patience=2)
    played = await converse(dialogue("hi"), recommender=Parrot(), seeker=seeker, turns=5, seed=1)
    assert (len(played.replies), played.left, played.dialogue.messages[-1].side) == (2, True, "recommender")
    asked = await converse(dialogue("hi"), recommender=Parrot("What do you like?"), seeker=seeker, turns=5, seed=1)
    assert (len(asked.replies), asked.left) == (5, False)


async def test_a_row_whose_seeker_left_keeps_its_last_score_and_is_counted() -> None:
    evaluation = Evaluation(
        arm="rl", recommender_for=lambda _: Parrot(), seeker_for=lambda targets: ImpatientSeeker(Line(), LINKER, targets, 1),
        judges_for=[lambda targets: CatalogueJudge(CATALOGUE, LINKER, targets)], linker=LINKER, turns=5, seed=1,
    )  # fmt: skip
    rows = [await evaluation(example("a:1")), await evaluation(example("b:1", targets=("toy",)))]
    assert [(row.left, len(row.turns), row.error) for row in rows] == [(True, 1, ""), (False, 1, "")]
    found = measure_arm(rows, ["catalogue"])
    assert (found.left, found.judged["catalogue"]["ieval"].mean, found.counted["hit-any"].mean) == (1, 1.0, 0.5)
    assert found.judged["catalogue"]["ieval"].unscored == 0
