"""What is certain to fail is said at once; the whole table is `hostile/recipes.py`."""

from __future__ import annotations

import importlib.util

import pytest

from usbrec import config, readiness
from usbrec.errors import ConfigError, ModelError, UsbrecError

SMALL = "name: t\ndata: {kind: demo}\n"


def check(text: str, *, trained: tuple[str, ...] = (), prefer: bool = False, arms: tuple[str, ...] = ()) -> None:
    readiness.check(config.parse(SMALL + text, where="r"), trained=trained, prefer=prefer, arms=arms, judged=bool(arms))


def test_one_fault_keeps_its_kind_and_several_are_one_error() -> None:
    judged = "evaluate: {seeker: {kind: llm}, judges: [{kind: llm}]}\n"
    with pytest.raises(ModelError, match="no such model"):
        check("engines: {seeker: {model: gone.gguf}, judge: {kind: scripted}}\n" + judged, arms=("sft",))
    with pytest.raises(UsbrecError) as fault:
        check("engines: {seeker: {model: gone.gguf}, judge: {model: lost.gguf}}\n" + judged, arms=("sft",))
    assert "2 faults in what the run needs" in str(fault.value) and "gone.gguf" in str(fault.value) and "lost.gguf" in str(fault.value)


def test_only_what_will_be_asked_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = "engines: {policy: {kind: scripted}, sft: {kind: openai, model: m, api_key_env: NOWHERE}}\n"
    monkeypatch.delenv("NOWHERE", raising=False)
    check(asked, arms=("base",))
    with pytest.raises(ConfigError, match="NOWHERE"):
        check(asked, arms=("base", "sft+ses"))
    monkeypatch.setenv("NOWHERE", "key")
    check(asked, arms=("base", "sft+ses"), prefer=True)


def test_training_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else object())
    with pytest.raises(UsbrecError, match=r"needs peft"):
        check("engines: {policy: {kind: scripted}}\n", trained=("sft",))


def test_a_split_without_rows() -> None:
    recipe = config.parse(SMALL, where="r")
    readiness.check_rows(recipe, {"train": 0, "valid": 0, "test": 1}, trained=(), evaluated=True)
    with pytest.raises(ConfigError, match="test split has no rows"):
        readiness.check_rows(recipe, {"train": 1, "valid": 1, "test": 0}, trained=("sft",), evaluated=True)
    with pytest.raises(ConfigError, match="no rows to train on"):
        readiness.check_rows(recipe, {"train": 0, "valid": 1, "test": 1}, trained=("sft",), evaluated=True)
