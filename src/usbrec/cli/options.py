"""What all commands ask of their options: one without effect where it is given is an error, so are an empty path and an infinity."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import typer


def given(context: typer.Context, *names: str) -> list[str]:
    """Those of these parameters that stand on the command line, as they are written there."""
    written: dict[str | None, str] = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    return [written[name] for name in names if _source(context, name) == "COMMANDLINE"]


def idle(context: typer.Context, when: str, *names: str) -> None:
    """Raises ConfigError where one of these options is given; `when`: the words for when they would matter."""
    from usbrec.errors import ConfigError

    if found := given(context, *names):
        verb = "matters" if len(found) == 1 else "matter"
        raise ConfigError(f"{verb} only {when}", where=" and ".join(found), fix="leave it out" if len(found) == 1 else "leave them out")


def finite(value: float) -> float:
    """Refuses what is no number (typer lets `inf` and `nan` through)."""
    if not math.isfinite(value):
        raise typer.BadParameter("it has to be a finite number")
    return value


def _source(context: typer.Context, name: str) -> str | Any:
    source = context.get_parameter_source(name)
    return source and source.name


def path(text: str) -> Path:
    """A path of the command line; an empty text would mean the current folder, and is mostly a variable that is not set."""
    if not text.strip():
        raise typer.BadParameter("is empty: is a variable not set?")
    return Path(text)
