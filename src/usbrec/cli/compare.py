"""`usbrec compare`: the same arm in two runs, on the rows that both have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from usbrec.cli.run import Json, say

if TYPE_CHECKING:
    from usbrec.evaluation.runs import MeasuredRun, RunComparison, Side

Form = Literal["terminal", "json", "markdown", "latex"]
OTHERS = ("seeker", "judge")
"""Whose engines belong to how a run was measured, not to what."""


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

    Recipes are read as they were written, not checked: a run of an older version can be compared too.  How it was measured is what the
    manifest says of its evaluation, and what was measured is the recipe that each arm's stage kept; where there is none, that of the run.
    """
    from usbrec import manifest
    from usbrec.errors import ConfigError, DataError
    from usbrec.evaluation.report import incomplete, judges_in, made_by, measured_as, new_outcomes, unique
    from usbrec.evaluation.runs import MeasuredRun

    path = folder / "recipe.json"
    if not path.exists() and not (folder / manifest.MANIFEST).exists():
        raise ConfigError("is no run folder", where=str(folder), fix="give the folder that `usbrec run` wrote, e.g. runs/demo")
    prepared = manifest.stages_of(folder).get("prepare", {})
    played = measured_as(folder)
    arms = new_outcomes(folder)
    recipes = {arm: made_by(folder, arm) for arm in arms}
    try:
        measured = {key: value for key, value in (played.get("evaluate") or made_by(folder)["evaluate"]).items() if key != "arms"}
        names = [judge["kind"] for judge in measured["judges"]]
        engines = {
            arm: {role: value for role, value in recipe.get("engines", {}).items() if role not in OTHERS} for arm, recipe in recipes.items()
        }
    except (AttributeError, KeyError, TypeError):
        raise DataError("names no judges of an evaluation", where=str(path), fix="evaluate this run again") from None
    if any(len(turn.scores) != len(names) for rows in arms.values() for outcome in rows for turn in outcome.turns):
        raise DataError(f"the turns' scores are not by {', '.join(names)}", where=str(folder), fix="evaluate this run again")
    told = judges_in(arms)  # a rescored turn names the model, too
    names = [said if said.startswith(f"{kind}:") else kind for kind, said in zip(names, told, strict=True)] if told else names
    return MeasuredRun(
        name=str(folder),
        judges=tuple(unique(names)),
        arms=arms,
        protocol={
            "prepare": {key: prepared[key] for key in ("fingerprint", "parts") if key in prepared},
            "evaluate": measured,
            "engines": {role: played.get("engines", {}).get(role) for role in OTHERS},
            "prompts": played.get("others", played.get("asked", {})),
            **({"rescored": {key: played.get(key) for key in ("judge", "engine")}} if "judge" in played else {}),
        },
        settings={
            arm: {key: value for key, value in recipe.items() if key not in ("name", "about", "data", "evaluate")}
            | {"engines": engines[arm]}
            for arm, recipe in recipes.items()
        },
        notes=tuple(incomplete(folder)),
    )


def compared(a: Side, others: Sequence[Side], arms: Sequence[str]) -> list[RunComparison]:
    """The differences, with everything that stands against them."""
    from usbrec.evaluation.runs import RunComparison, compare_runs

    found = compare_runs(a, others, arms)
    shown = list(dict.fromkeys(difference.arm for pair in found for difference in pair))
    return [
        RunComparison(
            a=tuple(run.name for run in a),
            b=tuple(run.name for run in b),
            warnings=tuple(_warnings(a, b, shown)),
            settings=tuple(_changes(a[0], b[0], shown)),
            differences=tuple(pair),
        )
        for b, pair in zip(others, found, strict=True)
    ]


def _changes(a: MeasuredRun, b: MeasuredRun, arms: Sequence[str]) -> list[str]:
    """The settings in which two runs made some of these arms differently."""
    from usbrec.jsonl import differences

    return list(dict.fromkeys(text for arm in arms for text in differences(a.settings[arm], b.settings[arm])))


def _warnings(a: Side, b: Side, arms: Sequence[str]) -> list[str]:
    """How the sides were measured differently, seeds that are none, and rows that not all have."""
    from usbrec.jsonl import differences

    told = [f"measured differently: {text}" for text in differences(a[0].protocol, b[0].protocol)]
    told += repeat_warnings(a, arms) + repeat_warnings(b, arms)
    if len(a) > 1:
        pairs = [
            (one, other) for one, other in zip(a, b, strict=True) if any(text.startswith("seed: ") for text in _changes(one, other, arms))
        ]
        told += [f"{one.name} is set against {other.name}, which has another seed" for one, other in pairs]
    told += [text for one, other in zip(a, b, strict=True) for text in copy_warnings(one, other, arms)]
    return told + row_warnings([*a, *b], arms)


def repeat_warnings(runs: Side, arms: Sequence[str]) -> list[str]:
    """Where a run is not finished, and where runs that should differ in the seed alone differ in more, or not even in that."""
    from usbrec.jsonl import differences

    told = [f"{run.name}: {note}" for run in runs for note in run.notes]
    for run, other in combinations(runs, 2):
        pair, changed = f"{run.name} and {other.name}", _changes(run, other, arms)
        more = differences(run.protocol, other.protocol) + [text for text in changed if not _is_seed(text)]
        told += [f"{pair} differ in more than the seed: {text}" for text in more] if run is runs[0] else []
        told += ([] if changed else [f"{pair} have the same seed: they are no repeats"]) + copy_warnings(run, other, arms)
    return told


def copy_warnings(run: MeasuredRun, other: MeasuredRun, arms: Sequence[str]) -> list[str]:
    """Where an arm's outcomes in two runs are the same to the last digit of every reply's seconds: not even a repeat takes as long."""
    from usbrec.evaluation.compare import kind_of

    copied = [arm for arm in arms if kind_of(arm) == "model" and run.arms[arm] == other.arms[arm]]
    return [f"{run.name} and {other.name} hold the same outcomes of {', '.join(copied)}, wall times included: a copy"] if copied else []


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
