"""The scale under the scores of a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from outcome_rows import row, turn

from usbrec.evaluation import trust
from usbrec.evaluation.report import build
from usbrec.evaluation.scale import scale_of
from usbrec.types import Outcome


def arm(name: str, values: list[float | None], **more: object) -> list[Outcome]:
    return [row(f"d{n}:1", turn(value), arm=name, **more) for n, value in enumerate(values)]


def test_the_normalised_value_by_hand() -> None:
    outcomes = {
        "rl": arm("rl", [1, 1, 1, 1]),
        "floor:repeat": arm("floor:repeat", [0, 0, 0, 0]),
        "floor:most-popular": arm("floor:most-popular", [1, 0, 1, 0]),
        "ceiling:human": arm("ceiling:human", [2, 2, 2, 1]),
    }
    found = scale_of(outcomes, 0)
    assert found.floor == "floor:most-popular"
    assert found.normalised["rl"].mean == pytest.approx((1 - 0.5) / (1.75 - 0.5))
    assert found.normalised["floor:most-popular"].mean == 0 and found.normalised["ceiling:human"].mean == 1
    assert found.auc["floor:repeat"].value == 1
    assert found.fit is None and found.why == "its 4 rows are too few to tell it from a coin against floor:repeat: AUC 1.00 [0.16, 1.00]"


def test_a_judge_that_can_tell_is_fit() -> None:
    outcomes = {"floor:repeat": arm("floor:repeat", [0] * 12), "ceiling:human": arm("ceiling:human", [2] * 12)}
    assert scale_of(outcomes, 0).fit


def test_a_judge_that_cannot_tell_is_not_fit() -> None:
    outcomes = {"floor:repeat": arm("floor:repeat", [1.4] * 8), "ceiling:human": arm("ceiling:human", [1.4] * 8)}
    found = scale_of(outcomes, 0)
    assert found.fit is False and "floor:repeat 0.50" in found.why
    assert found.normalised == {}  # floor and ceiling coincide: there is no scale


def test_a_fit_judge_may_be_blind_to_which_item_is_offered(run_folder: Path) -> None:
    """It puts the human's reply above a question, and gives every offer of a model the same, target or not."""
    offers = [row(f"d{n}:1", turn(0.67, items=("t" if n < 12 else "x",)), arm="rl") for n in range(24)]
    outcomes = {"rl": offers, "floor:question": arm("floor:question", [0] * 24), "ceiling:human": arm("ceiling:human", [0.67] * 24)}
    found = scale_of(outcomes, 0)
    assert found.fit and found.sight and found.sight.blind and found.sight.auc == 0.5
    report = build(run_folder)
    told = trust.fitness(report.model_copy(update={"scales": {"grounded": found}}))
    assert told == [
        "Judge grounded is BLIND to which item is offered: its AUC of hits against misses is 0.50 (12 hits, 12 misses). "
        "That it agrees with another judge shows nothing of hits."
    ]
    assert all(scale.sight and not scale.sight.blind for scale in report.scales.values())


def test_leaks_are_left_out_and_silence_is_counted() -> None:
    """A repeated item that is the target is no fault of the judge."""
    clean = {"floor:repeat": arm("floor:repeat", [0, 0, 2]), "ceiling:human": arm("ceiling:human", [2, 2, 2])}
    clean["ceiling:human"][2] = clean["ceiling:human"][2].model_copy(update={"leaks": ("t",)})
    assert scale_of(clean, 0).auc["floor:repeat"].value == 1
    silent = {"floor:repeat": arm("floor:repeat", [0, None, None]), "ceiling:human": arm("ceiling:human", [2, 2, 2])}
    found = scale_of(silent, 0)
    assert found.fit is False and found.why == "no verdict on 2 of 6 replies of floors and ceiling"


def test_what_one_arm_lacks_takes_no_row_from_another() -> None:
    """`system:x` fails on all rows but the last two; the floor that is the highest there is not the highest of all."""
    outcomes = {
        "rl": arm("rl", [1] * 8 + [0, 0]),
        "system:x": arm("system:x", [None] * 8 + [1, 1]),
        "floor:repeat": arm("floor:repeat", [0] * 8 + [0.5, 0.5]),
        "floor:most-popular": arm("floor:most-popular", [0.25] * 8 + [0, 0]),
        "ceiling:human": arm("ceiling:human", [2] * 10),
    }
    found = scale_of(outcomes, 0)
    assert found.floor == "floor:most-popular"
    assert found.normalised["rl"].mean == pytest.approx((0.8 - 0.2) / (2 - 0.2), abs=1e-6) and found.normalised["rl"].rows == 10
    assert found.normalised["system:x"].mean == 0.5 and found.normalised["system:x"].rows == 2


def test_a_row_that_broke_off_is_not_the_judges_silence() -> None:
    """A record in which few rows have a human reply: the ceiling has no turn there."""
    outcomes = {"floor:repeat": arm("floor:repeat", [0] * 30), "ceiling:human": arm("ceiling:human", [2] * 30)}
    for place in range(18):
        lacking = row(f"d{place}:1", arm="ceiling:human", error="there is no human reply")
        outcomes["ceiling:human"][place] = lacking
    found = scale_of(outcomes, 0)
    assert found.fit and found.why == ""
    assert found.auc["floor:repeat"].rows == 12


def test_without_floors_nobody_knows() -> None:
    found = scale_of({"rl": arm("rl", [1, 2])}, 0)
    assert found.fit is None and found.floor is None
