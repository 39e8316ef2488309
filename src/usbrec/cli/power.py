"""`usbrec power`: what the rows of a run can show, and how many rows a difference needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usbrec.cli.compare import load
from usbrec.cli.options import finite
from usbrec.cli.run import Json, say

if TYPE_CHECKING:
    from usbrec.evaluation.power import PairPower
    from usbrec.evaluation.tables import Sheet


def power(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder with finished evaluations.")],
    metric: Annotated[
        str, typer.Option("--metric", metavar="METRIC[:JUDGE]", help="E.g. ieval:catalogue or hit; default judge: the run's first.")
    ] = "ieval",
    difference: Annotated[
        float,
        typer.Option("--difference", min=0.0001, callback=finite, help="Say how many rows show this difference, in the metric's unit."),
    ] = 0.05,
    power: Annotated[
        float, typer.Option("--power", min=0.5, max=0.999, callback=finite, help="How often a true difference is to be found.")
    ] = 0.8,
    alpha: Annotated[
        float,
        typer.Option("--alpha", min=1e-6, max=0.5, callback=finite, help="How often a question may find a difference where there is none."),
    ] = 0.05,
    alone: Annotated[
        bool, typer.Option("--alone", help="Each pair as the only one of its question: alpha is not divided among them.")
    ] = False,
    json_: Json = False,
) -> None:
    """Say how small a difference a run's rows can show, and how many rows a given one needs.

    For each pair of arms that the report compares, by the rule by which it calls a difference shown: a question's pairs share alpha (Holm).
    """
    from usbrec.errors import DataError
    from usbrec.evaluation import tables
    from usbrec.evaluation.compare import in_order, planned
    from usbrec.evaluation.metrics import COUNTED, METRICS, row_values
    from usbrec.evaluation.power import pairs_power

    run = load(folder)
    for note in run.notes:
        say(f"warning: {note}")
    name, judge = _slot(metric, run.judges)
    place = run.judges.index(judge) if judge else 0
    values = {arm: row_values(rows, METRICS[name], place) for arm, rows in run.arms.items()}
    pairs = planned(in_order(list(values)))
    if not pairs:
        raise DataError(
            f"no two arms of {', '.join(values)} are compared",
            where=run.name,
            fix="evaluate two of base, sft and rl, or a floor beside them",
        )
    found = pairs_power(pairs, values, difference, power=power, alpha=alpha, alone=alone)
    if json_:
        asked = {"metric": name, "judge": judge or COUNTED, "difference": difference, "power": power, "alpha": alpha, "alone": alone}
        typer.echo(json.dumps({"run": run.name, **asked, "pairs": [pair.model_dump() for pair in found]}, indent=2))
        return
    typer.echo(f"# What these rows can show: {METRICS[name].label}, {judge or COUNTED}\n")
    for sheet in _sheets(found):
        typer.echo(f"## {sheet.title}\n\n{tables.markdown(sheet)}\n")
    typer.echo(
        f"Detectable: the smallest true difference that so many rows show with probability {power:g}; rows needed: to show {difference:g} "
        f"so. Two-sided tests, alpha {alpha:g} {'each' if alone else 'divided by the tests of the question'}. A dash: all differences are "
        "the same, or come from one dialogue."
    )


def _slot(metric: str, judges: Sequence[str]) -> tuple[str, str]:
    """The metric and its judge: the run's first where none is named, none for a metric that is counted."""
    from usbrec.errors import ConfigError
    from usbrec.evaluation.metrics import METRICS

    known = {f"{name}:{judge}": (name, judge) for name, m in METRICS.items() if m.judged for judge in judges}
    known |= {name: (name, "") for name, m in METRICS.items() if not m.judged}
    for wanted in (metric, *(f"{metric}:{judge}" for judge in judges[:1])):
        if wanted in known:
            return known[wanted]
    raise ConfigError("is no metric of this run", where=f"--metric {metric}", fix=f"one of {', '.join(known)}")


def _sheets(found: Sequence[PairPower]) -> list[Sheet]:
    """One table a question."""
    from usbrec.evaluation.compare import QUESTIONS
    from usbrec.evaluation.tables import Sheet, label, number

    columns = ("a − b", "detectable", "rows needed", "standard error", "tests", "rows (dialogues)", "unscored")
    rows = {
        title: tuple(
            (
                f"{label(pair.a)} − {label(pair.b)}", number(pair.detectable), "–" if pair.needed is None else str(pair.needed),
                number(pair.error, 4), str(pair.tests), f"{pair.rows} ({pair.clusters})", str(pair.unscored),
            )
            for pair in found
            if pair.question == question
        )
        for question, title in QUESTIONS.items()
    }  # fmt: skip
    return [Sheet(title=title, columns=columns, rows=cells) for title, cells in rows.items() if cells]
