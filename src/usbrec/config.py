"""Reads a recipe: every setting of a run in one YAML file.

A recipe never says where data lies (`--data-dir`, or `USBREC_DATA`).  `${NAME}` is replaced by that environment variable.  All faults are
reported at once, each with its place and, for a misspelt key, the key that was probably meant.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from usbrec import jsonl, manifest, relevance, strict_yaml
from usbrec.errors import ConfigError, DataError
from usbrec.faults import faults_of, listed
from usbrec.recipe import Recipe

__all__ = ["Recipe", "load", "parse", "stored"]


def load(path: Path, overrides: Sequence[str] = (), *, used: Collection[str] = ()) -> Recipe:
    """The recipe of a YAML file, with `a.b=value` overrides.

    Args:
        used: keys that matter to the caller, whatever the rest of the recipe says.

    Raises:
        ConfigError: the file is missing, is not YAML, or has faults, a setting without effect among them; all of them in one message.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        shipped = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, shipped, n=1)
        fix = f"did you mean {path.parent / near[0]}?" if near else "give the path of a recipe, recipes/demo.yaml for one"
        raise ConfigError("there is no such recipe", where=str(path), fix=fix) from None
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"cannot be read ({fault})", where=str(path), fix="give a YAML file in UTF-8") from None
    return parse(text, where=str(path), overrides=overrides, used=used)


def parse(text: str, *, where: str, overrides: Sequence[str] = (), used: Collection[str] = ()) -> Recipe:
    """As `load`, from text."""
    value = strict_yaml.load(text, where)
    if not isinstance(value, dict):
        what = "is empty" if value is None else "a recipe is a mapping of sections"
        raise ConfigError(what, where=where, fix="see recipes/demo.yaml")
    _override(value, overrides)
    wrong: list[str] = []
    value = _expand(value, wrong)
    if wrong:
        raise ConfigError("; ".join(dict.fromkeys(wrong)), where=where, fix="set what is missing, e.g. export NAME=...")
    try:
        recipe = Recipe.model_validate(value)
    except ValidationError as error:
        raise _refusal(faults_of(Recipe, error), where, overrides) from None
    if faults := [*relevance.missing(recipe), *relevance.idle(recipe, used)]:
        raise _refusal(faults, where, overrides)
    return recipe


def _refusal(faults: Sequence[object], where: str, overrides: Sequence[str]) -> ConfigError:
    section = next((f"; --set '{o.partition('.')[0]}={{...}}' sets a whole section anew" for o in overrides if "." in o), "")
    return ConfigError(listed(faults, "the recipe"), where=where, fix=f"mend these keys; docs/recipes.md lists them all{section}")


def _override(value: dict[str, Any], overrides: Sequence[str]) -> None:
    """Sets `a.b=value`, `a.0.b=value` too.

    Raises:
        ConfigError: it is none, a section on the way holds no keys, or a later one undoes it.
    """
    names: list[str] = []
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not all(name.split(".")):
            raise ConfigError(f"'{override}' is no setting", where="--set", fix="write it as section.key=value, e.g. --set sft.epochs=2")
        if undone := next((known for known in names if f"{known}.".startswith(f"{name}.")), None):
            raise ConfigError(f"{undone} is set twice", where=f"--set {override}", fix="leave one of them out")
        names.append(name)
        _set(value, name.split("."), strict_yaml.load(text, f"--set {override}"), f"--set {override}")


def _set(holder: Any, keys: Sequence[str], value: Any, where: str) -> None:
    for number, key in enumerate(keys, start=1):
        at = _place_in(holder, key, where)
        if number == len(keys):
            holder[at] = value
        elif isinstance(holder, dict) and holder.get(at) is None:
            holder[at] = {}
        holder = holder[at]


def _place_in(holder: Any, key: str, where: str) -> str | int:
    if isinstance(holder, dict):
        return key
    if not isinstance(holder, list):
        raise ConfigError(f"'{key}' stands below a value that has no keys", where=where, fix="set the whole section, e.g. a={key: value}")
    if not key.isdecimal() or int(key) >= len(holder):
        raise ConfigError(f"'{key}' is no place in a list of {len(holder)}, counted from 0", where=where, fix="set the whole list")
    return int(key)


def _expand(value: Any, wrong: list[str]) -> Any:
    """The value with environment variables in place; what is wrong with the others is added to `wrong`."""
    if isinstance(value, dict):
        return {key: _expand(inner, wrong) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, wrong) for inner in value]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        reference = re.fullmatch(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}", found[0])
        if reference is None:
            wrong.append(f"'{found[0]}' is no environment variable (write ${{NAME}} or ${{NAME:-default}})")
            return ""
        name, default = reference[1], reference[2]
        if not os.environ.get(name) and default is None:
            wrong.append(f"the environment has no {name}")
        return os.environ.get(name) or default or ""

    return re.sub(r"\$\{[^}]*\}?", replace, value)


def stored(folder: Path, *stages: str) -> Recipe:
    """The recipe that made the first of these stages of a run folder that is finished; else the one that was last asked for.

    What had no effect when it was written is left out.

    Args:
        stages: as `manifest.recipe` takes them.

    Raises:
        ConfigError: the folder is no run folder, or its recipe is damaged or of another version.
        DataError: the record of a stage's recipe is damaged.
    """
    path = folder / "recipe.json"
    if not path.exists() and not (folder / manifest.MANIFEST).exists():
        raise ConfigError("is no run folder", where=str(folder), fix="give the folder that `usbrec run` wrote, e.g. runs/demo")
    made = next((made for stage in stages if (made := manifest.recipe(folder, stage))), None)
    try:
        return _as_stored(made or jsonl.document(path))
    except ValidationError as fault:
        what = f"was written by another version of usbrec; {listed(faults_of(Recipe, fault), 'it')}"
        raise ConfigError(what, where=str(path), fix="run the recipe again with another --out") from None
    except DataError as broken:
        raise ConfigError(broken.what, where=str(path), fix="run the recipe again with this --out") from None


def _as_stored(value: Any) -> Recipe:
    """The recipe of a dump, without the keys of other kinds that earlier versions wrote out."""
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        faults = faults_of(Recipe, error)
        if not all(fault.idle for fault in faults):
            raise
        for *path, key in (fault.path for fault in faults):
            holder = value
            for part in path:
                holder = holder[part]
            del holder[key]
        return Recipe.model_validate(value)
