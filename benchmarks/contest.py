"""Recommenders side by side: what one reply costs, how many rows a minute they answer, and how good the replies are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.common import Trained, spread, with_roles
from benchmarks.reference import ReferenceSearch
from usbrec.engine import Engine
from usbrec.engines.metered import Meter, MeteredEngine, metering
from usbrec.evaluation.ieval import Evaluation
from usbrec.evaluation.stats import mean_interval, paired_difference
from usbrec.progress import progress
from usbrec.roles import Recommender, Reply
from usbrec.roles.llm import LLMProfiler, LLMSeeker
from usbrec.seeds import seed_of
from usbrec.types import Dialogue, Example, Outcome

TURNS = 2
REFERENCE, PLAIN, DEFAULT = "reference pattern", "plain", "default search"


@dataclass
class Counted:
    """A recommender whose replies are counted: seconds, calls, tokens."""

    inner: Recommender
    spent: list[dict[str, float]] = field(default_factory=list)

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        meter, began = Meter(), time.perf_counter()
        with metering(meter):
            reply = await self.inner.reply(dialogue, seed=seed)
        seconds, counted = time.perf_counter() - began, reply.search or meter
        self.spent.append(
            {"seconds": seconds, "calls": counted.calls, "prompt": counted.prompt_tokens, "generated": counted.completion_tokens}
        )
        return reply


@dataclass
class Contestant:
    """One way to reply, on an engine of its own."""

    name: str
    engine: Engine
    recommender_for: Callable[[Example], Recommender]
    in_flight: int
    outcomes: list[Outcome] = field(default_factory=list)
    spent: list[dict[str, float]] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    seconds: float = 0.0
    """Wall time of the rows in `outcomes`."""

    @property
    def rows_per_minute(self) -> float:
        return 60 * len(self.outcomes) / self.seconds

    def mean(self, key: str) -> float:
        return sum(spent[key] for spent in self.spent) / len(self.spent)


def plain(trained: Trained, engine: Engine, in_flight: int) -> Contestant:
    """The bare policy's greedy reply: nothing is drawn anew."""
    recipe = with_roles(trained.recipe, {"recommender": {"redraws": 0}})
    said = trained.assembly(MeteredEngine(engine), recipe).recommender(MeteredEngine(engine))
    return Contestant(PLAIN, engine, lambda _: said, in_flight)


def searching(name: str, trained: Trained, engine: Engine, in_flight: int, **settings: Any) -> Contestant:
    """The recipe's search, with other settings."""
    said = trained.assembly(engine, with_roles(trained.recipe, {"search": settings})).search(engine)
    return Contestant(name, engine, lambda _: said, in_flight)


def reference(trained: Trained, engine: Engine) -> Contestant:
    """The reference pattern, one dialogue at a time."""
    metered, world = MeteredEngine(engine), trained.world
    assembly = trained.assembly(metered, with_roles(trained.recipe, {"recommender": {"redraws": 0}}))

    def make(example: Example) -> Recommender:
        user = LLMSeeker(metered, world.catalogue, world.linker, example.targets, attempts=1)
        return ReferenceSearch(metered, assembly.recommender(metered), LLMProfiler(metered, assembly.facts), user)

    return Contestant(REFERENCE, engine, make, 1)


async def play(contestant: Contestant, trained: Trained, rows: Sequence[Example]) -> None:
    """Conversations of two turns with the simulated seeker, judged by the catalogue; as many at once as the contestant takes."""
    recipe = trained.recipe
    assembly = trained.assembly(contestant.engine, recipe)
    common = Evaluation(
        arm=contestant.name,
        recommender_for=contestant.recommender_for,
        seeker_for=assembly.seeker_for(recipe.evaluate.seeker),
        judges_for=[assembly.judge_for(recipe.evaluate.judges[0])],
        linker=trained.world.linker,
        turns=TURNS,
        seed=recipe.seed,
    )
    queue, began = iter(rows), time.perf_counter()
    with progress(f"{contestant.name}, rows", len(rows)) as bar:

        async def worker() -> None:
            for example in queue:
                counted = Counted(contestant.recommender_for(example))
                evaluation = replace(common, recommender_for=lambda _, said=counted: said)  # type: ignore[misc]
                contestant.outcomes.append(await evaluation(example))
                contestant.spent += counted.spent
                bar.advance()

        async with asyncio.TaskGroup() as group:
            for _ in range(contestant.in_flight):
                group.create_task(worker())
    contestant.seconds += time.perf_counter() - began


async def alone(contestants: Sequence[Contestant], rows: Sequence[Example]) -> None:
    """First replies one after the other, the contestants in turn for each row."""
    with progress("one reply at a time", len(rows) * len(contestants)) as bar:
        for example in rows:
            for contestant in contestants:
                began = time.perf_counter()
                await contestant.recommender_for(example).reply(example.dialogue, seed=seed_of("alone", example.key))
                contestant.alone.append(time.perf_counter() - began)
                bar.advance()


def scores(contestant: Contestant) -> dict[str, float]:
    """iEval (the last reply's score) by row."""
    return {o.key: o.turns[-1].scores[0].value for o in contestant.outcomes if o.turns[-1].scores[0].value is not None}


def table(contestants: Sequence[Contestant], seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of the table, and all figures with their spread."""
    base = {c.name: scores(c) for c in contestants}
    rows, details = [], {}
    for contestant in contestants:
        values, time_alone = base[contestant.name], spread(contestant.alone) if contestant.alone else None
        quality = (
            mean_interval(list(values.values()), seed, clusters=[key.split(":")[0] for key in values], limits=(0, 2)) if values else None
        )
        row: dict[str, Any] = {"replies": contestant.name}
        if contestant.spent:
            row |= {
                "calls": contestant.mean("calls"),
                "prompt tokens": contestant.mean("prompt"),
                "generated": contestant.mean("generated"),
            }
        if time_alone:
            row |= {"s alone, median": time_alone["median"], "mean": time_alone["mean"], "p95": time_alone["p95"]}
        if contestant.seconds:
            row |= {"rows/min": contestant.rows_per_minute, "in flight": contestant.in_flight}
        if quality and quality.mean is not None:
            row["iEval"] = f"{quality.mean:.3f} [{quality.low:.3f}, {quality.high:.3f}]"
        other = base.get(REFERENCE)
        difference = None
        if other and contestant.name != REFERENCE:
            difference = paired_difference(values, other, seed, cluster=lambda key: key.split(":")[0])
            row["iEval - reference"] = f"{difference.diff:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
        rows.append(row)
        details[contestant.name] = {
            "alone": time_alone, "rows": len(contestant.outcomes), "seconds": contestant.seconds,
            "reply": spread([spent["seconds"] for spent in contestant.spent]) if contestant.spent else None,
            "ieval": quality.model_dump() if quality else None, "ieval_minus_reference": difference.model_dump() if difference else None,
        }  # fmt: skip
    return rows, details
