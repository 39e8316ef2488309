"""Protocols fix what they say they fix."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from usbrec.evaluation import protocols
from usbrec.evaluation.ieval import EvaluationSettings


def test_all_of_them_make_valid_settings() -> None:
    assert protocols.names() == ["ievalm-attributes-1", "ievalm-free-1", "usbrec-1", "usbrec-2"]
    for name in protocols.names():
        assert EvaluationSettings.model_validate({"protocol": name}).protocol == name


def test_a_protocol_fixes_its_keys_and_leaves_the_others() -> None:
    found = EvaluationSettings.model_validate({"protocol": "ievalm-free-1", "rows": 7, "seeker": {"temperature": 0.2}})
    assert (found.turns, found.seeker.kind, found.seeker.temperature, found.rows) == (5, "llm", 0.2, 7)
    assert EvaluationSettings.model_validate({"protocol": "usbrec-1", "turns": 2}).turns == 2


def test_the_second_version_plays_five_turns_with_a_seeker_whose_wishes_are_shared() -> None:
    found = EvaluationSettings.model_validate({"protocol": "usbrec-2"})
    assert (found.turns, found.seeker.model_dump()) == (
        5, {"kind": "attributes", "least": 10, "knows": 1.0, "errs": 0.0, "patience": None},
    )  # fmt: skip
    assert EvaluationSettings.model_validate({"protocol": "usbrec-1"}).seeker == EvaluationSettings().seeker, "older ones stay"
    assert getattr(EvaluationSettings().seeker, "least", None) == 0
    assert getattr(EvaluationSettings.model_validate({"protocol": "ievalm-attributes-1"}).seeker, "least", None) == 0
    with pytest.raises(ValidationError, match=r"usbrec-2 fixes seeker\.least: 10"):
        EvaluationSettings.model_validate({"protocol": "usbrec-2", "seeker": {"least": 3}})


def test_a_key_that_contradicts_it_is_an_error() -> None:
    with pytest.raises(ValidationError, match=r"ievalm-attributes-1 fixes seeker.kind: attributes; take 'seeker.kind' out"):
        EvaluationSettings.model_validate({"protocol": "ievalm-attributes-1", "seeker": {"kind": "llm"}})
    with pytest.raises(ValidationError, match="there is no protocol 'paper'; known: ievalm-attributes-1"):
        EvaluationSettings.model_validate({"protocol": "paper"})


def test_settings_that_were_written_out_are_read_back() -> None:
    found = EvaluationSettings.model_validate({"protocol": "ievalm-free-1"})
    assert EvaluationSettings.model_validate(found.model_dump(mode="json")) == found
