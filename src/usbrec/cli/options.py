"""Options that matter only together with others: given where they have no effect, they are an error."""

from __future__ import annotations

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


def _source(context: typer.Context, name: str) -> str | Any:
    source = context.get_parameter_source(name)
    return source and source.name
