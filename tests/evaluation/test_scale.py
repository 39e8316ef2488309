"""The scale under the scores of a report."""

from __future__ import annotations

import pytest
from outcome_rows import row, turn

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
    assert found.fit and found.auc["floor:repeat"].value == 1


def test_a_judge_that_cannot_tell_is_not_fit() -> None:
    outcomes = {"floor:repeat": arm("floor:repeat", [1.4] * 8), "ceiling:human": arm("ceiling:human", [1.4] * 8)}
    found = scale_of(outcomes, 0)
    assert found.fit is False and "floor:repeat 0.50" in found.why
    assert found.normalised == {}  # floor and ceiling coincide: there is no scale


def test_leaks_are_left_out_and_silence_is_counted() -> None:
    """A repeated item that is the target is no fault of the judge."""
    clean = {"floor:repeat": arm("floor:repeat", [0, 0, 2]), "ceiling:human": arm("ceiling:human", [2, 2, 2])}
    clean["ceiling:human"][2] = clean["ceiling:human"][2].model_copy(update={"leaks": ("t",)})
    assert scale_of(clean, 0).auc["floor:repeat"].value == 1
    silent = {"floor:repeat": arm("floor:repeat", [0, None, None]), "ceiling:human": arm("ceiling:human", [2, 2, 2])}
    found = scale_of(silent, 0)
    assert found.fit is False and found.why == "no verdict on 2 of 6 replies of floors and ceiling"


def test_without_floors_nobody_knows() -> None:
    found = scale_of({"rl": arm("rl", [1, 2])}, 0)
    assert found.fit is None and found.floor is None
