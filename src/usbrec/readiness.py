"""What is certain to fail later, said before the first stage: models, extras and keys that are not there, models that cannot be trained.

Whatever is checked here would end a stage anyway, perhaps hours later.  Nothing is asked of an engine.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from usbrec import models
from usbrec.engines import EngineConfig, OpenAISettings, OpenVINOSettings, ScriptedSettings, TransformersSettings
from usbrec.engines.transformers_model import adapter_digest
from usbrec.errors import ConfigError, UsbrecError
from usbrec.evaluation.arms import model_of, searches
from usbrec.faults import listed
from usbrec.recipe import Recipe
from usbrec.relevance import users

EXTRA = ("torch", "transformers", "peft", "accelerate")
KEY = OpenAISettings.model_fields["api_key_env"].default


def check(recipe: Recipe, *, trained: Collection[str], prefer: bool, arms: Collection[str], judged: bool) -> None:
    """Of what a run is going to do.

    Args:
        trained: which of `sft` and `rl` are trained here.
        prefer: is the preference dataset built?
        arms: the arms with a model that are measured.
        judged: is anything evaluated?

    Raises:
        UsbrecError: something is certain to fail; all of it in one message.
    """
    found: list[UsbrecError] = [*_training(recipe, trained), *_base(recipe, trained, arms)]
    if prefer and recipe.engines.sft is None and "sft" not in trained:
        fix = "add sft or rl to evaluate.arms, or name the engine that serves it under engines.sft"
        found.append(ConfigError("PODCS draws from the SFT model, which no arm asks for", where="evaluate.arms", fix=fix))
    for role, engine in _engines(recipe, trained, prefer, arms, judged).items():
        found += _engine(role, engine)
    if len(found) == 1:
        raise found[0]
    if found:
        told = [f"{fault.where}: {fault.what}" + (f" ({fault.fix})" if fault.fix else "") for fault in found]
        raise type(found[0])(listed(told, "what the run needs"), fix="mend these; nothing was begun")


def check_rows(recipe: Recipe, rows: dict[str, int], *, trained: Collection[str], evaluated: bool) -> None:
    """Of the prepared data.

    Raises:
        ConfigError: a split that is needed has no rows.
    """
    if trained and not rows["train"]:
        raise ConfigError(
            "the train split has no rows to train on", where="data", fix="give data with training rows, or evaluate.arms: [base]"
        )
    if evaluated and not rows[recipe.evaluate.split]:
        fix = "evaluate another split, or give data with such rows"
        raise ConfigError(f"the {recipe.evaluate.split} split has no rows", where="evaluate.split", fix=fix)


def _training(recipe: Recipe, trained: Collection[str]) -> Iterator[UsbrecError]:
    engines = recipe.engines
    for which in trained:
        if isinstance(engines.policy, OpenAISettings | ScriptedSettings):
            kind = "an endpoint's" if engines.policy.kind == "openai" else "a scripted"
            fix = f"name the engine that serves the {which} model under engines.{which}, or take its arms out of evaluate.arms"
            yield ConfigError(f"missing, and {kind} model (engines.policy) cannot be trained here", where=f"engines.{which}", fix=fix)
    if "rl" in trained and engines.sft is not None:
        fix = "name the engine that serves the RL model, or take its arms out of evaluate.arms"
        yield ConfigError(
            "missing, and SimPO has no adapter to go on with, since engines.sft serves the SFT model", where="engines.rl", fix=fix
        )
    absent = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if trained and absent:
        yield ConfigError(f"training needs {', '.join(absent)}", where=", ".join(trained), fix="pip install 'usbrec[train]'")


def _base(recipe: Recipe, trained: Collection[str], arms: Collection[str]) -> Iterator[UsbrecError]:
    """The model that is trained, or asked as it is."""
    policy = recipe.engines.policy
    if isinstance(policy, OpenAISettings | ScriptedSettings) or not (trained or any(arm.startswith("base") for arm in arms)):
        return
    try:
        files = models.resolve(policy.model)
    except UsbrecError as fault:
        yield fault
        return
    if trained and files.gguf is None:
        yield ConfigError(
            f"the base model {files.name} is no GGUF file, so its trained model cannot be merged for the embedded engine",
            where="engines.policy.model",
            fix="serve the adapter with vLLM and name it under engines.sft and engines.rl, or use a GGUF base model",
        )


def _engines(recipe: Recipe, trained: Collection[str], prefer: bool, arms: Collection[str], judged: bool) -> dict[str, EngineConfig]:
    """Those that will be asked, by the key of the recipe."""
    sections = {"prefer": prefer, "evaluate": judged, "search": any(searches(arm) for arm in arms)}
    asked = {role for role, keys in users(recipe).items() if any(sections[key.partition(".")[0]] for key in keys)}
    asked |= {model_of(arm).replace("base", "policy") for arm in arms} | ({"sft"} if prefer else set())
    asked |= {"policy"} if trained else set()
    named = {f"engines.{role}": getattr(recipe.engines, role) for role in sorted(asked)}
    return {role: engine for role, engine in named.items() if engine is not None}


def _engine(role: str, engine: EngineConfig) -> Iterator[UsbrecError]:
    if isinstance(engine, OpenAISettings):
        if engine.api_key_env != KEY and not os.environ.get(engine.api_key_env):
            fix = f"export {engine.api_key_env}=..., or leave api_key_env out where no key is needed"
            yield ConfigError(f"the environment has no {engine.api_key_env}", where=f"{role}.api_key_env", fix=fix)
    elif not isinstance(engine, ScriptedSettings):
        try:
            files = models.resolve(engine.model)
        except UsbrecError as fault:
            if role != "engines.policy":  # that is `_base`'s
                yield type(fault)(fault.what, where=f"{role}.model: {fault.where}", fix=fault.fix)
        else:
            if isinstance(engine, OpenVINOSettings) and files.folder and not any(files.folder.glob("openvino_model.*")):
                fix = f"set {role}.kind: transformers, or use a GGUF file"
                yield ConfigError("the embedded engine reads no safetensors", where=f"{role}.model: {engine.model}", fix=fix)
    if isinstance(engine, TransformersSettings):
        if absent := [name for name in EXTRA if importlib.util.find_spec(name) is None]:
            yield ConfigError(f"transformers needs {', '.join(absent)}", where=f"{role}.kind", fix="pip install 'usbrec[train]'")
        if engine.adapter:
            try:
                adapter_digest(Path(engine.adapter).expanduser())
            except UsbrecError as fault:
                yield type(fault)(fault.what, where=f"{role}.adapter: {fault.where}", fix=fault.fix)
