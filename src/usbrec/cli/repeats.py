"""`usbrec repeats`: how reliably an arm names a target when its rows are played again and again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usbrec.cli.compare import load, repeat_warnings, row_warnings
from usbrec.cli.run import Json, say

if TYPE_CHECKING:
    from usbrec.evaluation.repeats import Reliability
    from usbrec.evaluation.tables import Sheet

SUCCESS = "hit-any"


def repeats(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of one recipe that differ in the seed alone.")],
    json_: Json = False,
) -> None:
    """Measure reliability over runs with different seeds: does an arm name a target in all of k runs (pass^k), in any (pass@k)?

    For each arm and k up to the number of runs, on the rows that all runs have, with intervals.
    """
    from usbrec.errors import ConfigError, DataError
    from usbrec.evaluation import tables
    from usbrec.evaluation.compare import in_order
    from usbrec.evaluation.metrics import METRICS, dialogue_of, row_values
    from usbrec.evaluation.repeats import reliability
    from usbrec.evaluation.runs import common_rows
    from usbrec.seeds import seed_of

    if len(runs) < 2:
        raise ConfigError("there is one run, and nothing is repeated", fix=f"usbrec repeats {runs[0]} RUN_WITH_ANOTHER_SEED")
    loaded = [load(path) for path in runs]
    names = [run.name for run in loaded]
    arms = [arm for arm in in_order(list(loaded[0].arms)) if all(arm in run.arms for run in loaded)]
    rows = len(common_rows(loaded, arms))
    if not rows:
        raise DataError(
            f"no row is in all of {', '.join(names)}", fix="evaluate all on the same split and rows; evaluate.rows: null evaluates all rows"
        )
    played = {arm: [row_values(run.arms[arm], METRICS[SUCCESS]) for run in loaded] for arm in arms}
    found = [one for arm in arms for one in reliability(arm, played[arm], seed_of(0, SUCCESS), cluster=dialogue_of)]
    warnings = repeat_warnings(loaded, arms) + row_warnings(loaded, arms)
    if json_:
        told = {"runs": names, "rows": rows, "success": SUCCESS, "warnings": warnings, "arms": [one.model_dump() for one in found]}
        typer.echo(json.dumps(told, indent=2))
        return
    for warning in warnings:
        say(f"warning: {warning}")
    sheet = _sheet(found, names, rows)
    typer.echo(f"# {sheet.title}\n\n{tables.markdown(sheet)}")


def _sheet(found: Sequence[Reliability], names: Sequence[str], rows: int) -> Sheet:
    from usbrec.evaluation.stats import Interval
    from usbrec.evaluation.tables import Sheet, between, label

    def spread(value: Interval) -> str:
        return between(value.mean, value.low, value.high, 3)

    cells = [
        (
            label(one.arm), str(one.k), spread(one.pass_hat), spread(one.pass_at), f"{one.pass_hat.rows} ({one.pass_hat.clusters})",
            str(one.unscored),
        )
        for one in found
    ]  # fmt: skip
    note = (
        "A run succeeds on a row when it names a target in any turn. pass^k: all of k runs do; pass@k: at least one does. 95% intervals: "
        "these runs, other rows."
    )
    return Sheet(
        title=f"{' + '.join(names)}: {rows} rows are in all runs",
        columns=("arm", "k", "pass^k", "pass@k", "rows (dialogues)", "unscored"),
        rows=tuple(cells),
        note=note,
    )
