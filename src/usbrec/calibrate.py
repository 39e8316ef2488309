"""`usbrec judge calibrate`: puts replies of known worth before judges (`evaluation.probes`) and says whether they are fit to judge.

Each judge is a stage of a run folder: what it said is kept row by row, and a killed run goes on where it stopped.  The same replies are put
a second time past the ledger, so that an answer is not its own witness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from usbrec import interrupts, jsonl, manifest
from usbrec.assemble import Assembly, Engines, World
from usbrec.config import Recipe
from usbrec.data import DataConfig
from usbrec.engine import Engine
from usbrec.engines import EngineConfig, serving
from usbrec.engines.metered import Meter, MeteredEngine, metering
from usbrec.errors import ConfigError, DataError, UsbrecError, first_line
from usbrec.evaluation import calibration_tables
from usbrec.evaluation.calibration import LEAST_AUC, Calibration, JudgedRow, Label, Variant, Verdict, calibrate, labelled_replies
from usbrec.evaluation.probes import PROBES, SWAPPED, TRUTH, Probes
from usbrec.evaluation.votes import VoteStudy, count_votes
from usbrec.pipeline import Run, slug
from usbrec.roles import JudgeFor
from usbrec.roles.llm import RUBRICS, asked
from usbrec.roles.settings import JudgeSettings, read_judge, worded
from usbrec.rowmap import map_rows, tally
from usbrec.rows import sample_rows
from usbrec.seeds import rng_of, seed_of
from usbrec.settings import kinds_in
from usbrec.stages import Loop
from usbrec.types import Example

TWICE = (TRUTH, "random-reply")
"""The probes that are asked about in every way."""
LABELLING = 2
"""Different replies of a row on a labelling sheet."""


@dataclass(frozen=True)
class Named:
    """A judge as the command line names it: `catalogue`, `llm:vote`, `grounded:choose@MODEL`."""

    name: str
    settings: JudgeSettings
    engine: EngineConfig | None


def named(spec: str, recipe: Recipe) -> Named:
    """The judge of a spec, KIND[:METHOD][@MODEL]; a model that is not named is the recipe's `engines.judge`.

    Raises:
        ConfigError: no such kind or method, or an LLM judge without a model.
    """
    how, _, model = spec.partition("@")
    try:
        settings = read_judge(how)
    except ValueError:
        fix = f"write KIND[:METHOD][@MODEL]; kinds: {', '.join(kinds_in(JudgeSettings))}; methods: choose, vote"
        raise ConfigError(f"'{spec}' is no judge", where="--judge", fix=fix) from None
    if settings.kind == "catalogue":
        return Named(settings.spec, settings, None)
    engine = recipe.engines.judge or (recipe.engines.policy if model else None)
    if engine is None:
        raise ConfigError(
            f"the judge '{spec}' needs a model", where="--judge", fix=f"name one, {how}@MODEL, or add engines.judge to the recipe"
        )
    if model:
        engine = serving(engine, model)
    return Named(settings.named(engine.model), settings, engine)


def own(settings: JudgeSettings, recipe: Recipe) -> Named:
    """A judge of the recipe, with all its settings."""
    return replace(named(settings.spec, recipe), settings=settings)


@dataclass
class Metered(Engines):
    """Engines whose calls fall on the meter in force."""

    def get(self, config: EngineConfig) -> Engine:
        return MeteredEngine(super().get(config))


@dataclass(frozen=True)
class Calibrator:
    """Puts one row's probes before a judge."""

    judges: Mapping[Variant, JudgeFor]
    """Variant -> who judges it; the probes are asked about in each of them, most of them once."""
    probes: Probes
    labels: Mapping[str, Sequence[Label]]
    thorough: frozenset[str]
    """Keys of the rows that are asked about in every way."""
    seed: int

    async def __call__(self, example: Example) -> JudgedRow:
        replies = self.probes.of(example, self.seed)
        left_out = tuple(probe for probe in PROBES if probe not in replies)
        thorough = example.key in self.thorough
        asked: list[tuple[str, str, Variant]] = []
        for variant in self.judges:
            if not variant:
                asked += [(probe, text, variant) for probe, text in replies.items() if thorough or probe not in SWAPPED]
                asked += [(probe, text, variant) for probe, text in labelled_replies(self.labels.get(example.key, ())).items()]
            elif thorough and (variant != "reversed" or len(example.targets) > 1):
                asked += [(probe, replies[probe], variant) for probe in TWICE if probe in replies]
        if not asked:
            return JudgedRow(key=example.key)
        first = await self._verdict(example, *asked[0])  # alone, so that the others find what they share with it in the prefix cache
        rest = await asyncio.gather(*(self._verdict(example, *each) for each in asked[1:]))
        return JudgedRow(key=example.key, verdicts=(first, *rest), left_out=left_out)

    async def _verdict(self, example: Example, probe: str, reply: str, variant: Variant) -> Verdict:
        targets = example.targets[::-1] if variant == "reversed" else example.targets
        said, meter = example.dialogue.say("recommender", reply), Meter()
        with metering(meter):
            seed = seed_of(self.seed, "calibrate", example.key, probe, variant)
            score = await self.judges[variant](targets).score(said, start=len(example.dialogue), seed=seed)
        return Verdict(
            probe=probe, variant=variant, score=score,
            calls=meter.calls, prompt_tokens=meter.prompt_tokens, completion_tokens=meter.completion_tokens,
        )  # fmt: skip

    @staticmethod
    def failed(example: Example, fault: UsbrecError) -> JudgedRow:
        return JudgedRow(key=example.key, error=str(fault))


@dataclass
class Calibrating:
    """Several judges on the same rows of one data set."""

    run: Run
    recipe: Recipe
    data_dir: Path | None
    split: str = "valid"
    rows: int | None = 300
    thorough: int = 100
    """So many of the rows are asked about in every way: twice, in another order, in other words."""
    labels: Mapping[str, Sequence[Label]] = field(default_factory=dict)
    least_auc: float = LEAST_AUC

    async def __call__(self, specs: Sequence[str]) -> Calibration:
        """Calibrates the judges, one after the other.

        Args:
            specs: as the command line names judges; none: those of the recipe's evaluation, with their own settings.

        Raises:
            ConfigError: a spec names no judge, or two judges have one name.
            DataError: no row can be used, or a label's row is not there.
        """
        held_against = "catalogue"
        judges = self._judges(held_against, specs)
        prepared = await Loop(run=self.run, recipe=self.recipe, data_dir=self.data_dir).prepare()
        with interrupts.blocking():
            world = World.of(self.run.folder / "prepare")
        examples = self.examples(world)
        found: dict[str, list[JudgedRow]] = {}
        for _, group in groupby(judges, key=lambda judge: judge.engine):
            async with Engines() as running:  # one engine for judges in a row that share it: what one has read, the next finds read
                for judge in group:
                    await self._stage(judge, running, world, examples, prepared)
                    found[judge.name] = judged_rows(self.run, judge.name)
        calibrated = {
            name: calibrate(
                name, rows, catalogue=found[held_against] if name != held_against else (), labels=self.labels,
                least_auc=self.least_auc, seed=self.recipe.seed,
            )
            for name, rows in found.items()
        }  # fmt: skip
        return Calibration(data=self.recipe.data.kind, split=self.split, rows=len(examples), least_auc=self.least_auc, judges=calibrated)

    def _judges(self, held_against: str, specs: Sequence[str]) -> list[Named]:
        judges = [named(held_against, self.recipe), *(named(spec, self.recipe) for spec in specs)]
        if not specs:
            judges += [own(settings, self.recipe) for settings in self.recipe.evaluate.judges if settings.kind != held_against]
        known: dict[str, Named] = {}
        for judge in judges:
            if known.setdefault(judge.name, judge) != judge:
                fix = "rename a model's file, or calibrate the two one at a time, each with its own --out"
                raise ConfigError(f"two judges would be called '{judge.name}'", where="--judge" if specs else "evaluate.judges", fix=fix)
        return list(known.values())

    def examples(self, world: World) -> list[Example]:
        """The rows: those with a whole human reply, and every row that a label speaks of."""
        usable = [e for e in world.splits[self.split] if e.answered and e.targets]
        known = {example.key for example in usable}
        if strange := sorted(self.labels.keys() - known):
            what = f"{len(strange)} labelled rows are not among the rows of {self.split} with a whole human reply: {', '.join(strange[:3])}"
            raise DataError(what, where="--labels", fix="label rows of this split of this recipe's data (`usbrec judge sheet`)")
        drawn = sample_rows([e for e in usable if not e.leaks], self.rows, self.recipe.seed, "calibrate")  # what was named is no offer
        keys = {example.key for example in drawn} | self.labels.keys()
        if not keys:
            raise DataError(f"the {self.split} split has no row with a whole human reply", where=self.recipe.data.kind)
        return [example for example in usable if example.key in keys]

    def probes(self, world: World) -> Probes:
        """The replies of known worth, from training dialogues."""
        replies = [e.reply for e in world.splits["train"] if e.answered]
        return Probes(world.catalogue, world.linker, world.cooccurrence, replies)

    async def _stage(self, judge: Named, running: Engines, world: World, examples: Sequence[Example], prepared: str) -> None:
        async def work(folder: Path) -> dict[str, Any]:
            passes: tuple[tuple[str, Sequence[Variant]], ...] = (("ledger", ("", "reversed", "short", "steps")), ("retest", ("retest",)))
            broken: set[str] = set()
            for name, variants in passes if judge.engine else (("ledger", ("", "reversed", "retest")),):
                async with Metered(self.run.folder / f"{name}.sqlite", lender=running) as engines:
                    broken |= await self._ask(judge, world, examples, engines, variants, folder / f"{name}.jsonl")
            return tally(len(examples), broken)

        labels = {key: [label.model_dump() for label in given] for key, given in sorted(self.labels.items())}
        parts = {
            "prepare": prepared, "judge": judge.settings.model_dump(mode="json"), "engine": judge.engine and judge.engine.identity(),
            "rows": self.rows, "split": self.split, "thorough": self.thorough, "seed": self.recipe.seed, "labels": labels,
            "prompts": asked([worded(judge.settings, wording) for wording in RUBRICS]),
        }  # fmt: skip
        await self.run.stage(
            f"judges/{slug(judge.name)}",
            parts,
            work,
            label=f"{judge.name} on {len(examples)} rows of {self.split}",
            retry=True,
            reads=["prepare"],
        )

    async def _ask(
        self, judge: Named, world: World, examples: Sequence[Example], engines: Engines, variants: Sequence[Variant], path: Path
    ) -> set[str]:
        """Asks a judge; the keys of the rows that failed."""
        assembly = Assembly(self.recipe, world, engines).judged_by(judge.engine)
        judges = {v: assembly.judge_for(worded(judge.settings, v) if v in RUBRICS else judge.settings) for v in variants}
        order = sorted(examples, key=lambda e: seed_of(self.recipe.seed, "thorough", e.key))
        thorough = frozenset(example.key for example in order[: self.thorough])
        work = Calibrator(judges, self.probes(world), self.labels, thorough, self.recipe.seed)
        rows = await map_rows(
            examples, work, path=path, kind=JudgedRow, key=lambda e: e.key, row_key=lambda r: r.key, failed=work.failed,
            is_failed=lambda r: bool(r.error), label=judge.name, limit=max(1, judge.engine.concurrency // 4) if judge.engine else 1,
            gauge=engines.gauge(),
        )  # fmt: skip
        return {row.key for row in rows if row.error}


def judged_rows(run: Run, judge: str) -> list[JudgedRow]:
    """What a judge said in a run, by its name: the passes put together, a row each."""
    joined: dict[str, JudgedRow] = {}
    for path in sorted((run.folder / "judges" / slug(judge)).glob("*.jsonl")):
        for row in jsonl.read(path, JudgedRow, tolerate_torn_tail=True):
            other = joined.get(row.key)
            joined[row.key] = row if other is None else other.model_copy(
                update={"verdicts": other.verdicts + row.verdicts, "error": other.error or row.error}
            )  # fmt: skip
    return list(joined.values())


def votes_of(folder: Path, counts: Sequence[int]) -> VoteStudy:
    """The LLM judges of a finished calibration by number of votes, from what they said there (`evaluation.votes`).

    Raises:
        ConfigError: there is no finished calibration, or it asked nobody by `choose`.
    """
    run = Run(folder, say=lambda _: None)
    stages = run.manifest["stages"]
    data = stages["prepare"]["parts"]["data"]["kind"] if "prepare" in stages else ""
    path = folder / "calibration" / f"{data}.json"
    manifest.verify(folder, "judges")
    known = _calibration(path) if path.exists() else None
    if known is None or any(f"judges/{slug(name)}" not in stages for name in known.judges):
        raise ConfigError("holds no finished calibration", where=str(folder), fix="give the run folder of `usbrec judge calibrate`")
    rows = {name: judged_rows(run, name) for name in known.judges}
    found = {
        name: count_votes(
            rows[name], rows.get(name.replace(":choose@", ":vote@"), ()), counts, fit=judge.fit,
            seed=stages[f"judges/{slug(name)}"]["parts"]["seed"],
        )
        for name, judge in known.judges.items()
        if ":choose@" in name
    }  # fmt: skip
    if not found:
        fix = "usbrec judge calibrate RECIPE --judge llm:choose@MODEL --judge llm:vote@MODEL, with the same --out"
        raise ConfigError("no judge of this calibration was asked by choose", where=str(folder), fix=fix)
    return VoteStudy(data=known.data, split=known.split, judges=found)


def _calibration(path: Path) -> Calibration:
    try:
        return Calibration.model_validate(jsonl.document(path))
    except ValidationError as fault:
        raise DataError(f"is no calibration ({first_line(fault)})", where=str(path), fix="usbrec judge calibrate writes it again") from None


def read_labels(path: Path) -> dict[str, list[Label]]:
    """Row key -> what people said of its replies; lines without a grade are left out.

    Raises:
        DataError: a line is no label, or nothing is graded.
    """
    found: dict[str, list[Label]] = {}
    for number, value in jsonl.read_objects(path):
        if value.get("grade") is None:
            continue
        try:
            label = Label.model_validate({name: value[name] for name in Label.model_fields if value.get(name) not in (None, "")})
        except ValidationError as fault:
            error = fault.errors()[0]
            what = f"no label: {'.'.join(map(str, error['loc']))}: {error['msg']}"
            raise DataError(
                what, where=f"{path}:{number}", fix='write {"key": ..., "reply": ..., "grade": 0, 1 or 2, "rater": ...}'
            ) from None
        found.setdefault(label.key, []).append(label)
    if not found:
        raise DataError("not one line has a grade", where=str(path), fix="fill in `grade`: 0, 1 or 2")
    return found


def labelling_sheet(examples: Sequence[Example], probes: Probes, world: World, seed: int) -> list[dict[str, Any]]:
    """Lines for people to grade: for each row the human's reply or another, and a reply of another kind, in an order that tells nothing."""
    lines = []
    for example in examples:
        rng = rng_of(seed, "sheet", example.key)
        replies = probes.of(example, seed)
        kinds = rng.sample([probe for probe in replies if probe not in SWAPPED], min(LABELLING, len(replies)))
        lines += [
            {
                "key": example.key, "wishes": [world.catalogue[target].name for target in example.targets],
                "dialogue": [f"{message.side}: {message.text}" for message in example.dialogue.messages],
                "reply": replies[kind], "grade": None, "rater": "",
            }
            for kind in kinds
        ]  # fmt: skip
    return lines


def publish(folder: Path, found: Calibration) -> None:
    """`DATA.json`, `DATA.md` and the plot in a folder, and `summary.json` out of all data sets that are there; no text of any dialogue."""
    drawn = calibration_tables.draw(found)
    jsonl.write_json(folder / f"{found.data}.json", found.model_dump(mode="json"))
    jsonl.write_text(folder / f"{found.data}.md", calibration_tables.text(found))
    jsonl.write_text(folder / f"{found.data}.svg", drawn.file)
    own = (folder / f"{kind}.json" for kind in sorted(kinds_in(DataConfig)))  # others' files lie there, too
    everything = [_calibration(path) for path in own if path.exists()]
    jsonl.write_json(folder / "summary.json", calibration_tables.summary(everything))
