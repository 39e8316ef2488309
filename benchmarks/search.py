"""Table a: searched replies on the embedded engine, our strategies against the reference pattern."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common
from benchmarks.contest import DEFAULT, alone, plain, play, reference, searching, table

PURE = {"candidates": 8, "guided": 0, "enough": None, "depth": 1}
STRATEGIES = ("best-of-n", "majority", "chain", "tree", "halving")


def main(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    arm: Annotated[str, typer.Option(help="Which of its models: base, sft or rl.")] = "rl",
    rows: Annotated[int, typer.Option(help="Rows of the validation split that everybody answers, two turns each.")] = 200,
    single: Annotated[int, typer.Option(help="Replies timed alone.")] = 30,
    out: common.Out = common.OUT,
) -> None:
    """Searched replies on the embedded engine: calls, tokens, seconds, rows a minute, quality."""
    asyncio.run(_main(common.Trained(run, arm), rows, single, out))


async def _main(trained: common.Trained, rows: int, single: int, out: Path) -> None:
    lot = trained.engine_config.concurrency
    bare = plain(trained, trained.engine(), lot)
    ours = searching(DEFAULT, trained, trained.engine(), lot)
    theirs = reference(trained, trained.engine())
    others = [
        searching(f"{name}, 8 samples", trained, trained.engine(), lot, strategy=name, **PURE, width=2 if name == "tree" else 1)
        for name in STRATEGIES
    ]
    everybody, examples = [bare, ours, theirs, *others], trained.rows(rows)
    try:
        await alone([bare, ours, theirs], examples[:single])
        for contestant in everybody:
            await play(contestant, trained, examples)
            await contestant.engine.close()  # its cache is gigabytes
    finally:
        for contestant in everybody:
            await contestant.engine.close()
    lines, details = table([bare, ours, *others, theirs], trained.recipe.seed)
    plainly, default, pattern = (details[name]["alone"] for name in (bare.name, DEFAULT, theirs.name))
    ratios = {
        "ses_engine_throughput": ours.rows_per_minute / theirs.rows_per_minute,
        "ses_engine_latency": default["median"] / pattern["median"],
        "ses_over_plain_engine": default["mean"] / plainly["mean"],
    }
    notes = [
        f"{rows} rows of the validation split, two turns, catalogue judge; every contestant on an engine of its own, without a ledger."
        f" Alone: {single} first replies, the contestants in turn. The reference pattern goes one dialogue at a time, as the released"
        " scripts do.",
        "Throughput: ours / reference's rows a minute. Latency: median of one reply alone, ours / reference's. Over plain: mean alone,"
        " ours / plain's.",
    ]
    common.write(out, "search", "Searched replies on the embedded engine", lines, ratios, notes, details)
