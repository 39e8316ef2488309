"""The recipe: every setting of a run in one YAML file.

A recipe never says where data lies (`--data-dir`, or `USBREC_DATA`).  `${NAME}` is replaced by that environment variable.  All faults are
reported at once, each with its place and, for a misspelt key, the key that was probably meant.
"""

from __future__ import annotations

import difflib
import os
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from usbrec.data import DataConfig
from usbrec.engines import EngineConfig
from usbrec.errors import ConfigError
from usbrec.evaluation.ieval import EvaluationSettings
from usbrec.preferences import PreferenceSettings
from usbrec.roles.settings import AffinitySettings, RecommenderSettings, Settings
from usbrec.search import SearchSettings
from usbrec.training.settings import ExportConfig, SftConfig, SimpoConfig


class EngineSettings(Settings):
    """Which engine answers for which role."""

    policy: EngineConfig = EngineConfig()
    """The recommender's base model; by default SmolLM2-135M-Instruct in the embedded engine."""
    sft: EngineConfig | None = None
    """The SFT model where an endpoint serves it (a LoRA adapter by name, say); null: trained here and merged."""
    rl: EngineConfig | None = None
    """The RL model where an endpoint serves it; null: trained here and merged."""
    seeker: EngineConfig | None = None
    """Plays `llm` seekers; needed only by those."""
    judge: EngineConfig | None = None
    """Plays `llm` and `grounded` judges, and the `llm` profiler of the search; needed only by those."""


class ImitationSettings(Settings):
    """Which human replies SFT imitates."""

    rows: int | None = Field(default=None, ge=1)
    """So many training rows, drawn once by the recipe's seed; null for all."""
    new_offers_only: bool = False
    """Only replies that name an item nobody has named before: the recommender is to offer, not to chat."""


class Recipe(Settings):
    """A whole run."""

    name: str
    """Names the run folder: `runs/<name>` unless `--out` says otherwise."""
    about: str = ""
    """A sentence for readers."""
    seed: int = 0
    """Every draw of the run derives from it."""
    data: DataConfig
    """Which data, and how it is split."""
    engines: EngineSettings = EngineSettings()
    """Which model answers for which role."""
    recommender: RecommenderSettings = RecommenderSettings()
    """How the recommender speaks."""
    affinity: AffinitySettings = AffinitySettings()
    """Weights of the label-free likeness that search and retrieval use."""
    imitation: ImitationSettings = ImitationSettings()
    """What SFT learns from."""
    sft: SftConfig = SftConfig()
    """Supervised fine-tuning."""
    prefer: PreferenceSettings = PreferenceSettings()
    """PODCS."""
    simpo: SimpoConfig = SimpoConfig()
    """Preference optimisation."""
    export: ExportConfig = ExportConfig()
    """Merging the adapter into the base model."""
    search: SearchSettings = SearchSettings()
    """SES."""
    evaluate: EvaluationSettings = EvaluationSettings()
    """What is measured, and by whom."""

    @property
    def base_model(self) -> str:
        """Name or path of the model that is trained."""
        return self.engines.policy.model

    @property
    def judge_names(self) -> list[str]:
        """The judges of the evaluation, in the order of every turn's scores."""
        return [judge.kind for judge in self.evaluate.judges]

    @model_validator(mode="after")
    def _engines_for_roles(self) -> Recipe:
        needs = {
            "seeker": [
                name
                for name, used in (
                    ("prefer.seeker.kind", self.prefer.turns > 0 and self.prefer.seeker.kind == "llm"),
                    ("evaluate.seeker.kind", self.evaluate.seeker.kind == "llm"),
                    ("search.seeker", self.search.seeker == "llm" and self.search.depth > 0),
                )
                if used
            ],
            "judge": [
                name
                for name, used in (
                    ("prefer.judge.kind", self.prefer.judge.kind != "catalogue"),
                    ("evaluate.judges", any(j.kind != "catalogue" for j in self.evaluate.judges)),
                    ("search.judge", self.search.judge == "llm"),
                    ("search.profiler", self.search.profiler == "llm"),
                )
                if used
            ],
        }
        faults = [
            f"engines.{role}: missing, but {', '.join(users)} asks for an LLM"
            for role, users in needs.items()
            if users and getattr(self.engines, role) is None
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self


def load(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a YAML file, with `a.b=value` overrides.

    Raises:
        ConfigError: the file is missing, is not YAML, or has faults; all of them in one message.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        shipped = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, shipped, n=1)
        fix = f"did you mean {path.parent / near[0]}?" if near else "give the path of a recipe, recipes/demo.yaml for one"
        raise ConfigError("there is no such recipe", where=str(path), fix=fix) from None
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"cannot be read ({fault})", where=str(path)) from None
    return parse(text, where=str(path), overrides=overrides)


def parse(text: str, *, where: str, overrides: Sequence[str] = ()) -> Recipe:
    """As `load`, from text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        raise ConfigError(f"is not YAML: {getattr(fault, 'problem', fault)}", where=place, fix="mend that line") from None
    if not isinstance(value, dict):
        raise ConfigError("a recipe is a mapping of sections", where=where, fix="see recipes/demo.yaml")
    for override in overrides:
        _override(value, override)
    missing: list[str] = []
    value = _expand(value, missing)
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise ConfigError(f"the environment has no {names}", where=where, fix=f"set it, e.g. export {missing[0]}=...")
    try:
        return Recipe.model_validate(value)
    except ValidationError as fault:
        raise ConfigError(_explain(fault), where=where, fix="mend these keys; docs/recipes.md lists them all") from None


def _override(value: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ConfigError(f"'{override}' is no setting", where="--set", fix="write it as section.key=value, e.g. --set sft.epochs=2")
    *sections, key = name.split(".")
    for section in sections:
        inner: Any = value.setdefault(section, {})
        if isinstance(inner, list) and key.isdigit():
            break
        if not isinstance(inner, dict):
            raise ConfigError(f"'{section}' is no section", where=f"--set {override}")
        value = inner
    try:
        value[key] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"'{text}' is not a YAML value", where=f"--set {override}") from None


def _expand(value: Any, missing: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(inner, missing) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, missing) for inner in value]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        name, _, default = found[1].partition(":-")
        if name not in os.environ and not default:
            missing.append(name)
        return os.environ.get(name, default)

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?)\}", replace, value)


def _explain(fault: ValidationError) -> str:
    errors = fault.errors()
    lines = [f"{len(errors)} fault{'s' if len(errors) > 1 else ''} in the recipe:"]
    for error in errors:
        place = ".".join(str(part) for part in error["loc"]) or "recipe"
        if error["type"] == "extra_forbidden":
            known = _fields_at([str(part) for part in error["loc"][:-1]])
            near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
            lines.append(f"  {place}: unknown key; {hint}")
        else:
            given = f" (given: {error['input']!r})" if not isinstance(error["input"], dict) else ""
            lines.append(f"  {place}: {error['msg'].removeprefix('Value error, ')}{given}")
    return "\n".join(lines)


def _fields_at(place: Sequence[str]) -> list[str]:
    model: type[BaseModel] | None = Recipe
    for part in place:
        field = model.model_fields.get(part) if model else None
        model = _model_in(field.annotation) if field else model
    return list(model.model_fields) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in typing.get_args(annotation) if (found := _model_in(inner))), None)


def stored(folder: Path) -> Recipe:
    """The recipe that a run folder was made with.

    Raises:
        ConfigError: the folder is no run folder.
    """
    path = folder / "recipe.json"
    if not path.exists():
        raise ConfigError("is no run folder", where=str(folder), fix="give the folder that `usbrec run` wrote, e.g. runs/demo")
    return parse(path.read_text(encoding="utf-8"), where=str(path))
