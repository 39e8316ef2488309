"""`usbrec experiment FILE`: one recipe in several variants, each a run of its own, held against one of them.

A file names a recipe, what varies, and the arms to measure.  Every variant is a run folder; training that a variant shares with a finished
run is taken over from there (`--from`), what differs is done anew, and everything resumes.  The result is a table, a plot and a JSON file,
without any text of a dialogue.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from usbrec import config, jsonl, manifest, pipeline, strict_yaml
from usbrec.config import Recipe
from usbrec.errors import ConfigError
from usbrec.evaluation import variants as tables
from usbrec.evaluation.arms import Arm
from usbrec.evaluation.report import new_outcomes
from usbrec.evaluation.variants import Experiment
from usbrec.faults import faults_of, listed
from usbrec.settings import Settings
from usbrec.stages import Loop
from usbrec.types import Outcome

_NOT_TAKEN = {"evaluate", "report", "earlier", "recipe.json", ".lock", "manifest.json", "experiment.json", "checkpoints"}
_IMMUTABLE = {".gguf", ".safetensors"}


class Variant(Settings):
    """One way to set the recipe."""

    name: str
    """Names its run folder and its row in the table."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys of the recipe, `section.key`, and their values."""


class ExperimentFile(Settings):
    """What is varied."""

    name: str
    """Names the folder and the files."""
    about: str
    """The question, in a sentence."""
    recipe: str
    """The recipe that is varied; a path relative to this file."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys that all variants set."""
    vary: dict[str, list[Any]] = Field(default_factory=dict)
    """Key -> its values; of several keys every combination."""
    variants: tuple[Variant, ...] = ()
    """Variants by name, where a list of values does not say it."""
    arms: tuple[Arm, ...] = Field(default=("rl+ses",), min_length=1)
    """What is measured in each."""
    reference: str | None = None
    """The variant that the others are held against; null for the first."""

    @model_validator(mode="after")
    def _as_variants(self) -> ExperimentFile:
        if bool(self.vary) == bool(self.variants):
            raise ValueError("give either `vary` or `variants`")
        names = [variant.name for variant in self.all()]
        if len(set(names)) < len(names):
            raise ValueError("two variants have one name")
        if self.reference is not None and self.reference not in names:
            raise ValueError(f"there is no variant '{self.reference}'; there are: {', '.join(names)}")
        return self

    def all(self) -> list[Variant]:
        """Every variant, in order."""
        if self.variants:
            return list(self.variants)
        found = []
        for values in itertools.product(*self.vary.values()):
            chosen = dict(zip(self.vary, values, strict=True))
            found.append(Variant(name=", ".join(f"{key.rpartition('.')[2]} {_word(value)}" for key, value in chosen.items()), set=chosen))
        return found


def load(path: Path) -> ExperimentFile:
    """The experiment of a YAML file.

    Raises:
        ConfigError: it is missing, or no experiment.
    """
    try:
        value = strict_yaml.load(path.read_text(encoding="utf-8"), str(path))
        return ExperimentFile.model_validate(value)
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"cannot be read ({fault})", where=str(path), fix="see recipes/experiments/ for those shipped") from None
    except ValidationError as error:
        what = listed(faults_of(ExperimentFile, error), "the experiment")
        raise ConfigError(what, where=str(path), fix="docs/experiments.md says how one is written") from None


@dataclass(frozen=True)
class Plan:
    """An experiment with its recipes, checked before anything runs."""

    file: ExperimentFile
    recipes: dict[str, Recipe]
    """Variant -> recipe."""

    @classmethod
    def of(cls, path: Path, overrides: Sequence[str] = ()) -> Plan:
        """The plan of a file, with `a.b=value` overrides for all variants.

        Raises:
            ConfigError: the file or one of the recipes has faults.
        """
        file = load(path)
        common = {**file.set, "evaluate.arms": list(file.arms)}
        own = {override.partition("=")[0]: override for override in overrides}
        recipes = {}
        for variant in file.all():
            if varied := [key for key in own if key in variant.set]:
                what = f"{varied[0]} is what the variants differ in"
                raise ConfigError(what, where=f"--set {own[varied[0]]}", fix="leave it out, or change the experiment's file")
            keys = [f"{key}={json.dumps(value)}" for key, value in {**common, **variant.set}.items() if key not in own]
            try:
                recipes[variant.name] = config.load(path.parent / file.recipe, [*keys, *overrides])
            except ConfigError as fault:
                raise ConfigError(fault.what, where=f"{path}, variant '{variant.name}': {fault.where}", fix=fault.fix) from None
        judges = {name: (recipe.evaluate.judges, recipe.engines.judge) for name, recipe in recipes.items()}
        first = next(iter(judges))
        if other := next((name for name, found in judges.items() if found != judges[first]), None):
            what = f"the variants '{first}' and '{other}' have different judges, whose scores cannot be held against each other"
            raise ConfigError(what, where=str(path), fix="name the judges in `set`: all of them in evaluate.judges score every variant")
        return cls(file, recipes)

    async def run(self, out: Path, data_dir: Path | None, start: Path | None, say: Callable[[str], None]) -> Experiment:
        """Runs every variant and compares; `out` gets a run folder a variant, and the results.

        Args:
            start: a finished run to take unchanged training from.
        """
        measured: dict[str, Mapping[str, Sequence[Outcome]]] = {}
        for name, recipe in self.recipes.items():
            folder = out / pipeline.slug(name)
            if start and not folder.exists():
                take_over(start, folder)
            say(f"\n{self.file.name}: {name}")
            with pipeline.opened(folder, say) as run:
                await Loop(run=run, recipe=recipe, data_dir=data_dir).through("evaluate")
            for aside in (folder / "earlier").glob("*-*"):  # of other settings: large, and each variant has its own folder
                if not re.search("-(damaged|unknown)(-[0-9]+)?$", aside.name):
                    shutil.rmtree(aside, ignore_errors=True)
            measured[name] = new_outcomes(folder)
        first = next(iter(self.recipes.values()))
        return tables.compare_variants(
            measured, name=self.file.name, about=self.file.about, arms=self.file.arms, judges=first.judge_names,
            reference=self.file.reference or next(iter(measured)), split=first.evaluate.split, data=first.data.kind,
            settings={name: self._set(name) for name in measured}, seed=first.seed,
        )  # fmt: skip

    def _set(self, name: str) -> dict[str, Any]:
        return next(variant.set for variant in self.file.all() if variant.name == name)


def write(out: Path, found: Experiment) -> None:
    """`experiment.json`, `experiment.md` and the plot; they hold no text of any dialogue."""
    jsonl.write_json(out / "experiment.json", found.model_dump(mode="json"))
    jsonl.write_text(out / "experiment.md", tables.text(found))
    jsonl.write_text(out / "experiment.svg", tables.draw(found).file)


def take_over(start: Path, folder: Path) -> None:
    """Copies a run without its evaluation; big files that are never changed are linked where the disk allows it."""
    if manifest.damage(start) and not manifest.stages_of(start):
        raise ConfigError("is no run folder", where=str(start), fix="give the folder that `usbrec run` wrote, e.g. runs/demo")
    told = manifest.load(start)
    kept = {name: entry for name, entry in told["stages"].items() if name.partition("/")[0] not in _NOT_TAKEN}
    copied = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(start, copied, ignore=_ignored(start), copy_function=_copy)
    jsonl.write_json(copied / manifest.MANIFEST, {**told, "stages": kept})
    copied.rename(folder)


def _ignored(start: Path) -> Callable[[str, list[str]], set[str]]:
    return lambda at, names: _NOT_TAKEN.intersection(names) if Path(at) == start else set()


def _copy(source: str, target: str) -> str:
    if Path(source).suffix in _IMMUTABLE:
        try:
            os.link(source, target)
            return target
        except OSError:
            pass
    return shutil.copy2(source, target)


def _word(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value)
