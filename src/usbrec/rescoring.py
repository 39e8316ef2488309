"""The stored conversations of a run, graded once more by another judge: no reply is asked for again.

Every turn of every arm is judged as `conversation.judge_replies` would have judged it had the recipe named this judge from the start, with
the same seeds; the new score stands behind the old ones.  The result is a run folder of its own, the original is only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from usbrec import config, interrupts, jsonl, manifest
from usbrec.assemble import Assembly, Engines, World
from usbrec.config import Recipe
from usbrec.conversation import Played, judge_replies
from usbrec.engines import EngineConfig
from usbrec.errors import ConfigError, DataError, UsbrecError, first_line
from usbrec.evaluation import report
from usbrec.manifest import fingerprint
from usbrec.pipeline import Run
from usbrec.roles import Judge, JudgeFor, Reply
from usbrec.roles.llm import asked
from usbrec.roles.settings import JudgeSettings, read_judge
from usbrec.rowmap import FATAL, map_rows, tally
from usbrec.seeds import seed_of
from usbrec.types import Dialogue, Outcome, Score

FAILED = "the judge failed: "
"""Begins the reason of a score that an engine's fault kept from being; such a row is tried again after an interruption."""
MARK = "rescored.json"
"""In the new folder: which run was rescored."""


def judge_of(given: str) -> JudgeSettings:
    """The judge that is written as `kind` or `kind:method`.

    Raises:
        ConfigError: there is no such judge.
    """
    try:
        return read_judge(given)
    except ValueError:
        known = "catalogue, llm and grounded, the latter two with :choose or :vote"
        raise ConfigError(f"there is no judge '{given}'", where="--judge", fix=f"known: {known}") from None


@dataclass(frozen=True)
class Rescoring:
    """A second judge's way through a finished outcome."""

    judge_for: JudgeFor
    label: str
    """The name in the new scores."""
    seed: int

    async def __call__(self, outcome: Outcome) -> Outcome:
        """The outcome with one more score a turn.

        Raises:
            DataError: the stored dialogue does not hold the stored replies.
        """
        replies = tuple(Reply(text=turn.reply) for turn in outcome.turns)
        played = Played(dialogue=outcome.dialogue, start=outcome.start, replies=replies)
        for index, reply in enumerate(replies):
            if played.until_reply(index).messages[-1].text != reply.text:
                raise DataError(f"the stored dialogue does not hold reply {index + 1}", where=f"{outcome.arm}, {outcome.key}")
        judge = _Named(self.judge_for(outcome.targets), self.label)
        verdicts = await judge_replies(played, [judge], seed=seed_of(self.seed, "evaluate", outcome.key))
        return with_scores(outcome, [score for (score,) in verdicts])

    def failed(self, outcome: Outcome, fault: UsbrecError) -> Outcome:
        """The outcome where nothing could be judged."""
        return with_scores(outcome, [_failure(fault, self.label)] * len(outcome.turns))


@dataclass(frozen=True)
class _Named:
    """A judge whose scores bear another name; a fault on one turn costs that turn's score only."""

    judge: Judge
    label: str

    @property
    def name(self) -> str:
        return self.judge.name

    async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
        try:
            score = await self.judge.score(dialogue, start=start, seed=seed)
        except FATAL:
            raise
        except UsbrecError as fault:
            return _failure(fault, self.label)
        return score.model_copy(update={"judge": self.label})


def _failure(fault: UsbrecError, label: str) -> Score:
    return Score(value=None, reason=FAILED + first_line(fault), judge=label)


def with_scores(outcome: Outcome, scores: Sequence[Score]) -> Outcome:
    """The outcome with one more score behind those of each turn."""
    turns = zip(outcome.turns, scores, strict=True)
    return outcome.model_copy(update={"turns": tuple(turn.model_copy(update={"scores": (*turn.scores, score)}) for turn, score in turns)})


async def rescore(source: Path, run: Run, judge: JudgeSettings, engine: EngineConfig | None = None) -> None:
    """Writes the run folder of `run`: the outcomes of `source` with one more score a turn, and their report.

    Args:
        engine: plays an `llm` or `grounded` judge; None: the recipe's `engines.judge`.

    Raises:
        ConfigError: `source` is no run folder or the target is another run's, or the judge has no engine.
        DataError: there are no outcomes.
        UsbrecError: not one verdict could be had.
    """
    recipe = _recipe(config.stored(source, "evaluate"), judge, engine)
    manifest.verify(source, "prepare")
    with interrupts.blocking():
        outcomes, world = report.read_outcomes(source), World.of(source / "prepare")
    _claim(run.folder, source)
    run = replace(run, recipe=recipe.model_dump(mode="json"))
    jsonl.write_json(run.folder / "recipe.json", run.recipe)
    with interrupts.blocking():
        run.adopt(source, "prepare")
    marks: dict[str, str] = {}
    async with Engines(ledger=run.folder / "ledger.sqlite") as engines:
        assembly = Assembly(recipe, world, engines)
        name = judge.named(recipe.engines.judge.model) if recipe.engines.judge else judge.spec
        work = Rescoring(assembly.judge_for(judge), name, recipe.seed)
        for arm, rows in outcomes.items():
            marks[arm] = await _rescore_arm(arm, rows, work, run, judge, assembly)

    async def write(_: Path) -> dict[str, Any]:
        with interrupts.blocking():
            report.write(run.folder, report.build(run.folder))
        return {}

    await run.stage("report", marks, write)


def _claim(folder: Path, source: Path) -> None:
    """Marks the folder as a rescored `source`, unless it is something else already."""
    mark, of = folder / MARK, source.resolve()
    known = Path(str(jsonl.document(mark).get("of", ""))) if mark.exists() else None
    moved = known is not None and not known.exists()  # the run that was rescored lies elsewhere now
    if folder.resolve() == of or ((folder / "recipe.json").exists() and known != of and not moved):
        raise ConfigError("is another run's folder", where=str(folder), fix="choose another with --out")
    jsonl.write_json(mark, {"of": str(of)})


async def _rescore_arm(arm: str, rows: Sequence[Outcome], work: Rescoring, run: Run, judge: JudgeSettings, assembly: Assembly) -> str:
    engine = assembly.recipe.engines.judge if judge.kind != "catalogue" else None

    async def stage(folder: Path) -> dict[str, Any]:
        done = await map_rows(
            rows, work, path=folder / "outcomes.jsonl", kind=Outcome, key=lambda o: o.key, row_key=lambda o: o.key, failed=work.failed,
            is_failed=_is_broken, label=f"rescore {arm}",
            limit=engine.concurrency if engine else 8, gauge=assembly.engines.gauge(),
        )  # fmt: skip
        scores = [turn.scores[-1] for outcome in done for turn in outcome.turns]
        if scores and all(score.reason.startswith(FAILED) for score in scores):
            raise UsbrecError(f"every verdict failed; the first one: {scores[0].reason.removeprefix(FAILED)}", where=f"rescore {arm}")
        return tally(len(done), (row.key for row in done if _is_broken(row))) | {"unscored": sum(not score.scored for score in scores)}

    parts = {
        "of": fingerprint([row.model_dump(mode="json") for row in rows]), "judge": judge.model_dump(mode="json"),
        "engine": engine.identity() if engine else None, "seed": work.seed,
        "asked": asked([judge]),
    }  # fmt: skip
    return await run.stage(f"evaluate/{arm}", parts, stage, label=f"{len(rows)} rows by {work.label}", retry=True)


def _is_broken(row: Outcome) -> bool:
    return any(turn.scores[-1].reason.startswith(FAILED) for turn in row.turns)


def _recipe(recipe: Recipe, judge: JudgeSettings, engine: EngineConfig | None) -> Recipe:
    """The recipe with one more judge, and with the engine that plays it."""
    engines = recipe.engines.model_copy(update={"judge": engine}) if engine else recipe.engines
    if judge.kind != "catalogue" and engines.judge is None:
        raise ConfigError(f"the judge '{judge.kind}' is played by an LLM, and the run's recipe names none",
                          where="--judge", fix="give --judge-model NAME (and --judge-url URL for an endpoint)")  # fmt: skip
    evaluate = recipe.evaluate.model_copy(update={"judges": (*recipe.evaluate.judges, judge)})
    return recipe.model_copy(update={"engines": engines, "evaluate": evaluate})
