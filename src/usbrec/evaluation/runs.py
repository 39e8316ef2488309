"""Run against run: the same arm in two runs, on the rows that both have, one seed or several.

Runs that differ in nothing but the seed are repeats of one thing: `compare_runs` averages them row by row (`evaluation.repeats`) and
gives two intervals, one for these seeds on other rows, one for other seeds too.  Holm corrects over all arms and all pairs of sides that
are compared at once, for each metric and judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from usbrec.errors import ConfigError, DataError
from usbrec.evaluation.compare import Comparison, compared_metrics, contrast, corrected, in_order, kind_of
from usbrec.evaluation.metrics import COUNTED, METRICS, Metric, Values, row_values
from usbrec.evaluation.tables import Sheet, bounds, label, number, p_value
from usbrec.types import Frozen, Outcome

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class MeasuredRun:
    """A finished evaluation."""

    name: str
    judges: tuple[str, ...]
    """One per score of a turn, in that order; two of one name numbered."""
    arms: dict[str, list[Outcome]]
    protocol: dict[str, Any]
    """How it was measured: the data, the rows, the seeker, the judges, the turns."""
    settings: dict[str, dict[str, Any]]
    """What was measured: by arm, the rest of the recipe that made it."""
    notes: tuple[str, ...] = ()
    """What stands against taking it for one finished evaluation."""


NOTE = (
    "On the rows that all runs have. Holm p: sign-flip permutation test, corrected for all arms and runs compared here in that metric. "
    "Detectable: the smallest true difference that these rows show four times in five, so corrected."
)
SEEDS_NOTE = (
    " 95% interval, p and standing are for these seeds on other rows; other seeds: the interval that resamples seeds too; "
    "SD: of the seeds' differences."
)
OTHER_SEEDS = "other seeds"

Side = Sequence[MeasuredRun]
"""Runs that differ in nothing but the seed."""


class RunDifference(Frozen):
    """One arm's difference in one metric, a - b."""

    arm: str
    comparison: Comparison
    """Its interval resamples rows, for these seeds."""
    by_seed: tuple[float, ...]
    """The difference of each seed."""
    spread: float | None
    """Their standard deviation; None for one seed."""
    seeds_low: float | None
    """95% interval with rows and seeds resampled; None for one seed."""
    seeds_high: float | None


class RunComparison(Frozen):
    """One side against another."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    warnings: tuple[str, ...]
    """What stands against comparing them."""
    settings: tuple[str, ...]
    """The settings in which they differ by intent."""
    differences: tuple[RunDifference, ...]


def compare_runs(a: Side, others: Sequence[Side], arms: Sequence[str] = (), *, seed: int = 0) -> list[list[RunDifference]]:
    """The differences of `a` from each of the other sides: every compared metric, every judge that all have, every arm.

    Args:
        a, others: each side's runs, one per seed; run i of a side is set against run i of the other.
        arms: empty: the model arms that all runs have.
        seed: of the resampling.

    Raises:
        ConfigError: an arm that is not in all runs, or none that is.
        DataError: two sides without a common row, or with different numbers of runs.
    """
    runs = [run for side in (a, *others) for run in side]
    arms = _arms(runs, arms)
    metrics = compared_metrics(outcome for run in runs for arm in arms for outcome in run.arms[arm])
    judges = [judge for judge in runs[0].judges if all(judge in run.judges for run in runs)]
    slots = [(metric, judge) for metric in metrics for judge in (judges if metric.judged else (COUNTED,))]
    found: list[list[RunDifference]] = []
    for b in others:
        if not common_rows([*a, *b], arms):
            raise DataError(
                f"no row of {' and '.join(run.name for run in a)} is in {' and '.join(run.name for run in b)}",
                fix="evaluate both on the same split, with the same evaluate.rows and evaluate.rows_seed; without them all rows are taken",
            )
        found.append([_difference(a, b, arm, metric, judge, seed) for metric, judge in slots for arm in arms])
    judged = iter(corrected([difference.comparison for pair in found for difference in pair]))
    return [[difference.model_copy(update={"comparison": next(judged)}) for difference in pair] for pair in found]


def _difference(a: Side, b: Side, arm: str, metric: Metric, judge: str, seed: int) -> RunDifference:
    """One arm's difference in one metric, not corrected yet."""

    def values(run: MeasuredRun) -> Values:
        return row_values(run.arms[arm], metric, run.judges.index(judge) if metric.judged else 0)

    left, right = ((_name(side), [values(run) for run in side]) for side in (a, b))
    comparison, pooled = contrast(left, right, "runs", metric, judge, seed=seed)
    return RunDifference(
        arm=arm, comparison=comparison, by_seed=pooled.by_seed, spread=pooled.spread, seeds_low=pooled.low, seeds_high=pooled.high
    )


def common_rows(runs: Side, arms: Sequence[str]) -> set[str]:
    """The keys of the rows that every run has in one of the arms."""
    keys = [{outcome.key for arm in arms for outcome in run.arms[arm]} for run in runs]
    return keys[0].intersection(*keys[1:])


def _arms(runs: Side, wanted: Sequence[str]) -> list[str]:
    shared = [arm for arm in in_order(list(runs[0].arms)) if all(arm in run.arms for run in runs)]
    if missing := [arm for arm in wanted if arm not in shared]:
        raise ConfigError(f"arm {missing[0]} is not in all of the runs", fix=f"these are: {', '.join(shared) or 'none'}")
    arms = list(wanted) or [arm for arm in shared if kind_of(arm) == "model"]
    if not arms:
        raise ConfigError(
            "the runs have no model arm in common", fix=f"name another with --arm; common to all: {', '.join(shared) or 'none'}"
        )
    return arms


def _name(side: Side) -> str:
    return " + ".join(run.name for run in side)


def sheet(found: RunComparison) -> Sheet:
    """The differences of two sides as one table."""
    several = len(found.a) > 1
    rows = []
    for difference in found.differences:
        c = difference.comparison
        seeds = (bounds(difference.seeds_low, difference.seeds_high), number(difference.spread)) if several else ()
        metric = f"{METRICS[c.metric].label}, {c.judge}"
        rows.append((
            metric, label(difference.arm), number(c.diff, sign=True), bounds(c.low, c.high), *seeds, p_value(c.p_holm),
            number(c.detectable), f"{c.rows} ({c.clusters})", str(c.unscored), c.standing,
        ))  # fmt: skip
    columns = (
        "metric", "arm", "a − b", "95% interval", *((OTHER_SEEDS, "SD") if several else ()), "Holm p", "detectable", "rows (dialogues)",
        "unscored", "standing",
    )  # fmt: skip
    return Sheet(
        title=f"{' + '.join(found.a)} − {' + '.join(found.b)}",
        columns=columns,
        rows=tuple(rows),
        kinds=tuple(difference.comparison.standing for difference in found.differences),
        note=NOTE + (SEEDS_NOTE if several else ""),
    )


def terminal(sheet: Sheet) -> Group:
    """The sheet for a terminal, in 80 columns: one table a metric, the interval with other seeds below the other."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    styles = {"shown": "green", "opposite shown": "red", "undecided": "yellow"}
    narrow = {"detectable": "detec-\ntable", "rows (dialogues)": "rows\n(dial.)", "unscored": "no\nscore"}
    tables: dict[str, Table] = {}
    for row, kind in zip(sheet.rows, sheet.kinds, strict=True):
        if row[0] not in tables:
            table = Table(title=Text(row[0]), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=0)
            for place, column in enumerate(_stacked(sheet.columns, sheet.columns)):
                whole = place == 0 or "interval" in column
                table.add_column(Text(narrow.get(column, column)), justify="right" if place else "left", no_wrap=whole, overflow="fold")
            tables[row[0]] = table
        tables[row[0]].add_row(*map(Text, _stacked(sheet.columns, row)), style=styles.get(kind, ""))
    return Group(Text(sheet.title), *tables.values(), Text(sheet.note, style="dim"))


def _stacked(columns: Sequence[str], cells: Sequence[str]) -> list[str]:
    """The cells after the first; that of `OTHER_SEEDS`, if there is one, below the one before it."""
    if OTHER_SEEDS not in columns:
        return list(cells[1:])
    place = columns.index(OTHER_SEEDS)
    return [*cells[1 : place - 1], f"{cells[place - 1]}\n{cells[place]}", *cells[place + 1 :]]
