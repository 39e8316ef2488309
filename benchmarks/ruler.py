"""The ruler: every arm under seekers that give less and less away, the first turn (a human's own words) apart from the last.

A simulated user who names the target's director or star turns the second turn into a lookup.  This table shows what is left of each arm,
and of the search's gain, when the user says nothing more (`silent`), says what at least ten other items share (`attributes, 10`), or speaks
in words that are not the catalogue's (`paraphrase`).  Only rows whose dialogue names no target yet; everything resumes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.common import machine
from usbrec import config, experiments, jsonl, pipeline
from usbrec.evaluation.arms import ARMS
from usbrec.evaluation.compare import Comparison, compare_all, in_order
from usbrec.evaluation.metrics import COUNTED, ArmMetrics, Measure, measure_arm
from usbrec.evaluation.report import new_outcomes
from usbrec.evaluation.tables import Sheet, label, markdown, spread
from usbrec.stages import Loop

SEEKERS: dict[str, dict[str, Any]] = {
    "attributes": {"kind": "attributes"},
    "attributes, 10": {"kind": "attributes", "least": 10},
    "paraphrase": {"kind": "paraphrase"},
    "silent": {"kind": "silent"},
}
TURNS = {"first": ("ieval-first-unleaked", "hit-unleaked"), "last": ("ieval-unleaked", "hit-any-unleaked")}
"""Turn -> (judged metric, hits): of the last turn's conversation a hit in any turn."""


def main(
    recipes: Annotated[list[Path], typer.Argument(help="Recipes, one a data set.")],
    data_dir: Annotated[Path, typer.Option(help="Where the data lies.")],
    runs: Annotated[list[Path] | None, typer.Option("--from", help="A finished run of each recipe, whose models are taken over.")] = None,
    rows: Annotated[int, typer.Option(help="Rows of each data set.")] = 600,
    arms: Annotated[str, typer.Option(help="Models to measure beside the arms without one.")] = ",".join(ARMS),
    work: Annotated[Path, typer.Option(help="Where the run folders go.")] = Path("runs/ruler"),
    out: Annotated[Path, typer.Option(help="Where the tables go.")] = Path("docs/experiments/ruler"),
) -> None:
    """Measures every arm under every seeker."""
    found: dict[str, Any] = {}
    for place, recipe in enumerate(recipes):
        start = runs[place] if runs and place < len(runs) else None
        for seeker, settings in SEEKERS.items():
            sets = [f"evaluate.seeker={settings}", f"evaluate.arms=[{arms}]", f"evaluate.rows={rows}", "evaluate.rankings={samples: 0}"]
            folder = work / recipe.stem / pipeline.slug(seeker)
            if start and not folder.exists():
                experiments.take_over(start, folder)
            asyncio.run(_play(config.load(recipe, sets), folder, data_dir))
            start = folder  # its ledger knows the first replies, which are the same under every seeker
            found.setdefault(recipe.stem, {})[seeker] = _measured(folder)
    jsonl.write_json(out / "summary.json", {"machine": machine(), "rows": rows, "tables": found})
    jsonl.write_text(out / "README.md", "\n".join(_text(found)))


async def _play(recipe: config.Recipe, folder: Path, data_dir: Path) -> None:
    with pipeline.opened(folder, typer.echo) as run:
        await Loop(run=run, recipe=recipe, data_dir=data_dir).through("report")


def _measured(folder: Path) -> dict[str, Any]:
    outcomes = new_outcomes(folder)
    arms = {arm: measure_arm(outcomes[arm], ["catalogue"]) for arm in in_order(list(outcomes))}
    wanted = {metric for metrics in TURNS.values() for metric in metrics}
    gains = [c for c in compare_all(outcomes, ["catalogue"]) if c.metric in wanted and c.question in ("retrieval", "search", "training")]
    return {"arms": {arm: _of(found) for arm, found in arms.items()}, "differences": [_difference(c) for c in gains]}


def _of(arm: ArmMetrics) -> dict[str, Any]:
    return {turn: {"ieval": _figures(arm, metrics[0]), "hit": _figures(arm, metrics[1])} for turn, metrics in TURNS.items()}


def _figures(arm: ArmMetrics, metric: str) -> dict[str, Any]:
    found = arm.measure(metric, "catalogue")
    assert found is not None  # every arm has every metric
    return found.model_dump(include={"mean", "low", "high", "rows", "clusters", "unscored"})


def _difference(found: Comparison) -> dict[str, Any]:
    return found.model_dump(include={"a", "b", "metric", "diff", "low", "high", "p_holm", "rows", "standing"})


def _text(found: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    told = [
        "# The ruler: arms under seekers that give less away",
        "",
        f"`python -m benchmarks ruler`; {(__doc__ or '').split('  ')[0]}",
        "",
    ]
    for data, seekers in found.items():
        for turn in TURNS:
            told += [f"## {data}, {turn} turn", "", markdown(_sheet(seekers, turn)), ""]
        told += [f"## {data}, paired differences", "", markdown(_gains(seekers)), ""]
    return told


def _sheet(seekers: Mapping[str, Any], turn: str) -> Sheet:
    arms = next(iter(seekers.values()))["arms"]
    columns = [f"{what}, {seeker}" for seeker in seekers for what in ("iEval", "hit")]
    rows = [(label(arm), *(_cell(seekers[s]["arms"][arm][turn][what]) for s in seekers for what in ("ieval", "hit"))) for arm in arms]
    note = f"Catalogue judge, 0 to 2, and {COUNTED}, rows without leaks, 95% intervals over dialogues; a hit of the last turn: in any turn."
    return Sheet(title=turn, columns=("arm", *columns), rows=tuple(rows), note=note)


def _cell(found: Mapping[str, Any]) -> str:
    return spread(Measure.model_validate(found))


def _gains(seekers: Mapping[str, Any]) -> Sheet:
    rows = [
        (seeker, c["metric"], f"{label(c['a'])} − {label(c['b'])}", f"{c['diff']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}]", c["standing"])
        for seeker, told in seekers.items()
        for c in told["differences"]
        if c["low"] is not None
    ]
    return Sheet(title="differences", columns=("seeker", "metric", "a − b", "difference", "standing"), rows=tuple(rows))
