"""Recipes: all faults at once, with did-you-mean; overrides; environment variables; every shipped recipe is valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from usbrec import config, relevance
from usbrec.errors import ConfigError

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
SMALL = "name: t\ndata: {kind: demo}\n"


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_shipped_recipe_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_BASE_URL", "http://127.0.0.1:9/v1")
    assert config.load(path).name == path.stem


def test_recipes_are_shipped() -> None:
    names = {path.stem for path in RECIPES}
    assert {
        "demo",
        "redial-smollm2",
        "opendialkg-smollm2",
        "redial-llm-judge",
        "paper-llama3.1-8b",
        "paper-chatglm3-6b",
        "paper-qwen2.5-7b",
        "paper-train",
    } <= names


def test_all_faults_are_reported_at_once() -> None:
    text = "name: t\ndata: {kind: redial, splitt: official}\nprefer: {temprature: 0.5, k: 1}\nserach: {}\n"
    with pytest.raises(ConfigError) as fault:
        config.parse(text, where="r.yaml")
    told = str(fault.value)
    assert "data.splitt: unknown key; did you mean 'split'?" in told
    assert "prefer.temprature: unknown key; did you mean 'temperature'?" in told
    assert "prefer.k:" in told and "(given: 1)" in told
    assert "serach: unknown key; did you mean 'search'?" in told
    assert "4 faults" in told and "r.yaml" in told


def test_overrides() -> None:
    recipe = config.parse(SMALL, where="r", overrides=["prefer.k=3", "search.backup=max", "seed=7"])
    assert (recipe.prefer.k, recipe.search.backup, recipe.seed) == (3, "max", 7)
    with pytest.raises(ConfigError, match="no setting"):
        config.parse(SMALL, where="r", overrides=["prefer.k"])


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    text = SMALL + "about: ${WORDS}\n"
    monkeypatch.delenv("WORDS", raising=False)
    with pytest.raises(ConfigError, match="no WORDS"):
        config.parse(text, where="r")
    monkeypatch.setenv("WORDS", "hello")
    assert config.parse(text, where="r").about == "hello"
    assert config.parse(SMALL + "about: ${OTHER:-fallback}\n", where="r").about == "fallback"


def test_an_llm_role_without_an_engine_is_a_fault() -> None:
    text = SMALL + "search: {judge: llm}\nevaluate: {seeker: {kind: llm}}\n"
    with pytest.raises(ConfigError) as fault:
        config.parse(text, where="r")
    assert "engines.judge" in str(fault.value) and "engines.seeker" in str(fault.value)


def test_broken_files(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(SMALL)
    with pytest.raises(ConfigError, match="no such recipe") as fault:
        config.load(tmp_path / "dem.yaml")
    assert "demo.yaml" in fault.value.fix
    with pytest.raises(ConfigError) as fault:
        config.parse("name: [1\nb: 2", where="r.yaml")
    assert "r.yaml:2" in str(fault.value)
    with pytest.raises(ConfigError, match="mapping"):
        config.parse("- 1", where="r.yaml")


def test_a_key_of_another_kind_says_when_it_would_matter() -> None:
    text = SMALL + "engines: {policy: {base_url: 'http://gpu:8000/v1'}}\nsimpo: {lora_rank: 8}\n"
    with pytest.raises(ConfigError) as fault:
        config.parse(text, where="r")
    assert "engines.policy.base_url: matters only where engines.policy.kind is openai (here: openvino)" in str(fault.value)
    assert "simpo.lora_rank: matters only in sft" in str(fault.value)


def test_a_key_that_depends_on_another_may_stay_at_its_default() -> None:
    with pytest.raises(ConfigError, match=r"prefer\.margin: matters only where prefer\.pairing is margin \(given: 0\.5; its default, 1\.0"):
        config.parse(SMALL, where="r", overrides=["prefer.margin=0.5"])
    assert config.parse(SMALL, where="r", overrides=["prefer.margin=1.0"]).prefer.margin == 1
    assert config.parse(SMALL, where="r", overrides=["prefer.margin=0.5", "prefer.pairing=margin"]).prefer.margin == 0.5


def test_an_engine_that_no_role_asks_may_be_the_commands() -> None:
    text = SMALL + "engines: {judge: {kind: scripted}}\n"
    with pytest.raises(ConfigError, match=r"engines\.judge: matters only"):
        config.parse(text, where="r")
    judge = config.parse(text, where="r", used=("engines.judge",)).engines.judge
    assert judge is not None and judge.kind == "scripted"


def test_every_key_of_the_table_is_one() -> None:
    """Each pattern finds its key in a recipe that has all of them."""
    roles = ", ".join(f"{role}: {{kind: openai, model: m}}" for role in ("policy", "sft", "rl", "seeker", "judge"))
    asked = "evaluate: {seeker: {kind: llm}, judges: [{kind: llm}]}\nprefer: {judge: {kind: grounded}}\n"
    recipe = config.parse(f"name: t\ndata: {{kind: redial}}\nengines: {{{roles}}}\n{asked}", where="r")
    assert [key for key in relevance.MATTERS if not list(relevance._places(recipe, key.split(".")))] == []
