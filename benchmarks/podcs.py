"""Table c: preference data, rows a minute, against the reference pattern."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.reference import SAMPLES, ReferencePreferences
from usbrec.engine import Engine
from usbrec.progress import progress
from usbrec.roles.llm import LLMJudge, LLMSeeker
from usbrec.seeds import seed_of
from usbrec.types import Example

CATALOGUE = {"seeker": {"kind": "attributes"}, "judge": {"kind": "catalogue"}}
LLM = {
    "seeker": {"kind": "llm"}, "judge": {"kind": "llm", "method": "choose", "least_mass": 0.0}, "turns": 1, "scored": "last",
    "k": SAMPLES, "played": 0, "judge_human": False,
}  # fmt: skip
"""The reference pattern's work: as many candidates, one turn of look-ahead with its end scored, no dialogue played on before, no human
reply judged."""


def main(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    rows: Annotated[int, typer.Option(help="Training dialogues that we draw candidates for; with LLM roles half as many.")] = 300,
    reference_rows: Annotated[int, typer.Option(help="Those of the reference pattern.")] = 60,
    out: common.Out = common.OUT,
) -> None:
    """Candidates for preference pairs: rows a minute."""
    asyncio.run(_main(common.Trained(run, "sft"), rows, reference_rows, out))


async def _main(trained: common.Trained, rows: int, reference_rows: int, out: Path) -> None:
    examples = trained.rows(rows, split="train")
    lot = trained.engine_config.concurrency
    measured = [
        await _measure("reference pattern: 3 candidates, LLM roles", trained, _pattern, examples[:reference_rows], 1, {}),
        await _measure("ours: catalogue roles", trained, _ours, examples, lot, CATALOGUE),
        await _measure("ours: LLM roles, a turn of look-ahead, exact scores", trained, _ours, examples[: rows // 2], lot, LLM),
    ]
    pattern, catalogue, llm = (row["rows/min"] for row in measured)
    k = trained.recipe.prefer.k
    notes = [
        f"Training dialogues. The reference pattern draws {SAMPLES} candidates a dialogue, one call after the other; ours draw {k} with"
        f" catalogue roles, {SAMPLES} with LLM roles, {lot} dialogues in flight."
    ]
    common.write(
        out,
        "podcs",
        "Preference data: rows a minute",
        measured,
        {"podcs_catalogue": catalogue / pattern, "podcs_llm": llm / pattern},
        notes,
    )


Work = Callable[[common.Trained, Engine, dict[str, Any]], Callable[[Example], Awaitable[Any]]]


async def _measure(
    name: str, trained: common.Trained, work: Work, rows: Sequence[Example], in_flight: int, settings: dict[str, Any]
) -> dict[str, Any]:
    engine = trained.engine()
    make, queue = work(trained, engine, settings), iter(rows)
    try:
        await make(rows[0])  # the engine starts
        began = time.perf_counter()
        with progress(name, len(rows)) as bar:

            async def worker() -> None:
                for example in queue:
                    await make(example)
                    bar.advance()

            async with asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(worker())
        seconds = time.perf_counter() - began
    finally:
        await engine.close()
    stats = engine.stats  # type: ignore[attr-defined]
    return {
        "preference data": name,
        "dialogues": len(rows),
        "s": seconds,
        "rows/min": 60 * len(rows) / seconds,
        "calls": stats.calls / len(rows),
        "generated tokens": stats.completion_tokens / len(rows),
        "generated tokens/s": stats.completion_tokens / seconds,
    }


def _ours(trained: common.Trained, engine: Engine, settings: dict[str, Any]) -> Callable[[Example], Awaitable[Any]]:
    recipe = common.with_roles(trained.recipe, {"prefer": settings})
    return trained.assembly(engine, recipe).candidate_maker(engine)


def _pattern(trained: common.Trained, engine: Engine, settings: dict[str, Any]) -> Callable[[Example], Awaitable[Any]]:
    recipe = common.with_roles(trained.recipe, {"recommender": {"redraws": 0}})
    assembly = trained.assembly(engine, recipe)
    world = trained.world

    async def make(example: Example) -> Any:
        user = LLMSeeker(engine, world.catalogue, world.linker, example.targets, attempts=1)
        judge = LLMJudge(engine, world.catalogue, example.targets, method="vote", votes=1)
        return await ReferencePreferences(assembly.recommender(engine), user, judge)(example, seed=seed_of("podcs", example.key))

    return make
