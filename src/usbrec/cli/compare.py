"""`usbrec compare`: the same arm in two runs, on the rows that both have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from usbrec.cli.run import Json, say

if TYPE_CHECKING:
    from usbrec.evaluation.runs import MeasuredRun, RunComparison, Side

Form = Literal["terminal", "json", "markdown", "latex"]


class SeveralAgainst(TyperCommand):
    """Lets one `--against` take several runs, which neither click nor typer can declare."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, repeated(args, "--against"))


def repeated(args: Sequence[str], option: str) -> list[str]:
    """`--against B C` as `--against B --against C`."""
    spread: list[str] = []
    taking = False
    for arg in args:
        if arg.startswith("-"):
            taking = arg == option
        elif taking and spread[-1] != option:
            spread.append(option)
        spread.append(arg)
    return spread


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders: the first against each of the others.")],
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against", metavar="RUN...", help="All runs before it are one side's seeds, all after it the other's: pooled, in this order."
        ),
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option("--arm", help="Only this arm; may be repeated. Default: all models that all runs have.")
    ] = None,
    json_: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table (booktabs).")] = False,
) -> None:
    """Compare the same arm in two runs, or over several seeds of each: A B, or A1 A2 A3 --against B1 B2 B3.

    Differences are paired by row, with clustered intervals and Holm-corrected p-values; what the runs do not share is said.
    """
    from usbrec.errors import ConfigError

    if sum((json_, markdown, latex)) > 1:
        raise ConfigError("--json, --markdown and --latex exclude each other", fix="give one of them")
    if against and len(against) != len(runs):
        raise ConfigError(f"{len(runs)} runs are set against {len(against)}", fix="give as many on both sides, one per seed")
    if not against and len(runs) < 2:
        raise ConfigError("there is one run, and nothing to compare it with", fix=f"usbrec compare {runs[0]} OTHER_RUN")
    loaded = {path: load(path) for path in dict.fromkeys((*runs, *(against or ())))}
    sides = [runs, against] if against else [[path] for path in runs]
    a, *others = ([loaded[path] for path in side] for side in sides)
    found = compared(a, others, arm or [])
    _print(found, "json" if json_ else "markdown" if markdown else "latex" if latex else "terminal")


def load(folder: Path) -> MeasuredRun:
    """What a run folder holds of its evaluation, and how that was made.

    The recipe is read as it was written, not checked: a run of an older version can be compared too.  How it was measured is what the
    manifest says of its evaluation; a run that was broken off may not have that yet, then the recipe says it.
    """
    from usbrec.errors import ConfigError, DataError
    from usbrec.evaluation.report import judges_in, measured_as, new_outcomes, unique
    from usbrec.evaluation.runs import MeasuredRun
    from usbrec.pipeline import Run

    path = folder / "recipe.json"
    if not path.exists():
        raise ConfigError("is no run folder", where=str(folder), fix="give the folder that `usbrec run` wrote, e.g. runs/demo")
    stages = Run(folder=folder, say=say).manifest["stages"]
    prepared = stages.get("prepare", {})
    played = measured_as(folder)
    try:
        recipe: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        measured = {key: value for key, value in played.get("evaluate", recipe["evaluate"]).items() if key != "arms"}
        names = [judge["kind"] for judge in measured["judges"]]
    except (ValueError, KeyError, TypeError):
        raise DataError("names no judges of an evaluation", where=str(path), fix="evaluate this run again") from None
    arms = new_outcomes(folder)
    if any(len(turn.scores) != len(names) for rows in arms.values() for outcome in rows for turn in outcome.turns):
        raise DataError(f"the turns' scores are not by {', '.join(names)}", where=str(folder), fix="evaluate this run again")
    told = judges_in(arms)  # a rescored turn names the model, too
    names = [said if said.startswith(f"{kind}:") else kind for kind, said in zip(names, told, strict=True)] if told else names
    others = ("seeker", "judge")
    return MeasuredRun(
        name=str(folder),
        judges=tuple(unique(names)),
        arms=arms,
        protocol={
            "prepare": {key: prepared[key] for key in ("fingerprint", "parts") if key in prepared},
            "evaluate": measured,
            "engines": {role: played.get("engines", {}).get(role) for role in others},
            "prompts": played.get("others", played.get("asked", {})),
            **({"rescored": {key: played.get(key) for key in ("judge", "engine")}} if "judge" in played else {}),
        },
        settings={
            **{key: value for key, value in recipe.items() if key not in ("name", "about", "data", "evaluate")},
            "engines": {role: value for role, value in recipe.get("engines", {}).items() if role not in others},
        },
    )


def compared(a: Side, others: Sequence[Side], arms: Sequence[str]) -> list[RunComparison]:
    """The differences, with everything that stands against them."""
    from usbrec.evaluation.runs import RunComparison, compare_runs
    from usbrec.jsonl import differences

    found = compare_runs(a, others, arms)
    return [
        RunComparison(
            a=tuple(run.name for run in a),
            b=tuple(run.name for run in b),
            warnings=tuple(_warnings(a, b, list(dict.fromkeys(difference.arm for difference in pair)))),
            settings=tuple(differences(a[0].settings, b[0].settings)),
            differences=tuple(pair),
        )
        for b, pair in zip(others, found, strict=True)
    ]


def _warnings(a: Side, b: Side, arms: Sequence[str]) -> list[str]:
    """How the sides were measured differently, seeds that are none, and rows that not all have."""
    from usbrec.jsonl import differences

    told = [f"measured differently: {text}" for text in differences(a[0].protocol, b[0].protocol)]
    told += repeat_warnings(a) + repeat_warnings(b)
    if len(a) > 1:
        pairs = [(one, other) for one, other in zip(a, b, strict=True) if one.settings.get("seed") != other.settings.get("seed")]
        told += [f"{one.name} is set against {other.name}, which has another seed" for one, other in pairs]
    return told + row_warnings([*a, *b], arms)


def repeat_warnings(runs: Side) -> list[str]:
    """Where runs that should differ in the seed alone differ in more, or not even in that."""
    from usbrec.jsonl import differences

    told: list[str] = []
    first, *repeats = runs
    for run in repeats:
        changed = differences(first.settings, run.settings)
        more = differences(first.protocol, run.protocol) + [text for text in changed if not _is_seed(text)]
        told += [f"{first.name} and {run.name} differ in more than the seed: {text}" for text in more]
        told += [] if changed else [f"{first.name} and {run.name} have the same seed: they are no repeats"]
    return told


def row_warnings(runs: Side, arms: Sequence[str]) -> list[str]:
    """How many rows are not in all runs."""
    from usbrec.evaluation.runs import common_rows

    common = common_rows(runs, arms)
    beyond = {run.name: len(common_rows([run], arms) - common) for run in runs}
    if not any(beyond.values()):
        return []
    counts = ", ".join(f"{name} {count}" for name, count in beyond.items() if count)
    return [f"{len(common)} rows are in all runs; rows that are not, and are left out: {counts}"]


def _is_seed(difference: str) -> bool:
    return difference.split(":")[0].rpartition(".")[2] == "seed"


def _print(found: Sequence[RunComparison], form: Form) -> None:
    from usbrec.cli.screen import Screen
    from usbrec.evaluation import runs, tables
    from usbrec.evaluation.latex import latex

    if form == "json":
        typer.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    for one in found:
        for warning in one.warnings:
            say(f"warning: {warning}")
        for text in one.settings:
            say(f"differs: {text}")
        sheet = runs.sheet(one)
        if form == "terminal":
            Screen().print(runs.terminal(sheet))
        else:
            typer.echo(tables.markdown(sheet) if form == "markdown" else latex(sheet))
