"""The product, top to bottom: prepare, sft, prefer, simpo, export, evaluate, report.

Each stage is a function of the run folder, the recipe and what earlier stages left there.  `through` runs all stages up to a given one;
finished ones are kept (`pipeline`).  Only a path, the model's, travels back from training to the engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from usbrec import data, interrupts, jsonl, manifest, models, preferences, prompts, readiness
from usbrec.assemble import APART, RANKERS, REFERENCES, RETRIEVAL, Assembly, Engines, World, retrieval_parts
from usbrec.config import Recipe
from usbrec.engines import EngineConfig, serving
from usbrec.errors import ConfigError, UsbrecError
from usbrec.evaluation.arms import ARMS, model_of, searches
from usbrec.evaluation.ieval import Evaluation, play_rows
from usbrec.evaluation.rankers import RankRows, Sampled
from usbrec.evaluation.ranking import Ranking
from usbrec.pipeline import Run
from usbrec.roles import Recommender, RecommenderFor
from usbrec.roles.llm import asked, recommender_messages
from usbrec.roles.settings import JudgeSettings, SeekerSettings
from usbrec.rowmap import map_rows, tally
from usbrec.rows import imitation_rows, sample_rows
from usbrec.seeds import rng_of
from usbrec.systems import System
from usbrec.types import Dialogue, Example, Outcome, PreferencePair

StageName = Literal["prepare", "sft", "prefer", "simpo", "export", "evaluate", "report"]
STAGES: tuple[StageName, ...] = ("prepare", "sft", "prefer", "simpo", "export", "evaluate", "report")
Which = Literal["sft", "rl"]
_MODELS: tuple[Which, ...] = ("sft", "rl")
HELD_OUT_ROWS = 64
"""Validation rows for the collapse check of a training run."""


@dataclass
class Loop:
    """One run of the whole loop over a run folder."""

    run: Run
    recipe: Recipe
    data_dir: Path | None
    system: System | None = None
    """Measured instead of the recipe's own arms: then nothing is trained."""

    def __post_init__(self) -> None:
        self.run = replace(self.run, recipe=self.recipe.model_dump(mode="json"))

    async def through(self, last: StageName) -> None:
        """Runs every stage up to and including `last`, as far as it is not finished already."""
        wanted = STAGES[: STAGES.index(last) + 1]
        marks: dict[str, str] = {}
        trained: list[Which] = [which for which in _MODELS if last != "prepare" and self._trains(which)]
        if last in ("sft", "simpo", "export") and ("rl" if last == "simpo" else "sft") not in trained:
            fix = "add the model's arm to evaluate.arms, and name no engine that serves it"
            raise ConfigError("there is nothing to train", where=f"usbrec {last}", fix=fix)
        prefer, evaluated = last == "prefer" or ("prefer" in wanted and "rl" in trained), "evaluate" in wanted
        arms = self.recipe.evaluate.arms if evaluated and not self.system else ()
        readiness.check(self.recipe, trained=trained, prefer=prefer, arms=arms, judged=evaluated)
        jsonl.write_json(self.run.folder / "recipe.json", self.run.recipe)  # what was last asked for; each stage keeps what made it
        marks["prepare"] = await self.prepare()
        rows = self.run.manifest["stages"]["prepare"]["rows"]
        readiness.check_rows(self.recipe, rows, trained=trained, evaluated=evaluated and not self.system)
        if self._trains("sft") and last != "prepare":
            marks["sft"] = await self.sft(marks)
            marks["export/sft"] = await self.export("sft", marks["sft"])
        if prefer:
            marks["prefer"] = await self.prefer(marks)
        if "simpo" in wanted and self._trains("rl"):
            marks["simpo"] = await self.simpo(marks)
        if "export" in wanted and self._trains("rl"):
            marks["export/rl"] = await self.export("rl", marks["simpo"])
        if "evaluate" in wanted:
            marks["evaluate"] = await self.evaluate(marks)
        if "report" in wanted:
            await self.report(marks)

    def _trains(self, which: Which) -> bool:
        """Is this model trained here?  Not where an endpoint serves it, nor where no arm needs it."""
        arms = () if self.system else self.recipe.evaluate.arms
        needed = any(arm.startswith(("rl", "sft") if which == "sft" else "rl") for arm in arms)
        return needed and getattr(self.recipe.engines, which) is None

    # ---- prepare -----------------------------------------------------------------------------------------------------------------

    async def prepare(self) -> str:
        async def work(folder: Path) -> dict[str, Any]:
            with interrupts.blocking():
                prepared = data.prepare(self.recipe.data, self.data_dir, folder)
            for warning in data.weak(prepared.card.linking):
                self.run.say(f"warning: {warning}")
            return {"rows": {name: len(rows) for name, rows in prepared.splits.items()}, "items": len(prepared.catalogue)}

        return await self.run.stage(
            "prepare",
            {"data": self.recipe.data.model_dump(mode="json"), "source": data.digest(self.recipe.data, self.data_dir)},
            work,
            label=f"importing {self.recipe.data.kind}",
        )

    def world(self) -> World:
        with interrupts.blocking():
            return World.of(self.run.folder / "prepare")

    # ---- training ----------------------------------------------------------------------------------------------------------------

    async def sft(self, marks: dict[str, str]) -> str:
        from usbrec.training import train_sft

        recipe = self.recipe

        async def work(folder: Path) -> dict[str, Any]:
            world = self.world()
            rows = await imitation_rows(recipe, world, "train")
            held_out = await imitation_rows(recipe, world, "valid", limit=HELD_OUT_ROWS)
            with interrupts.blocking():
                result = train_sft(rows, held_out, recipe.sft, models.resolve(recipe.base_model).path, folder)
            return {"training": result.summary()}

        parts = {
            "prepare": marks["prepare"], "model": models.resolve(recipe.base_model).digest, "sft": recipe.sft.model_dump(mode="json"),
            "imitation": recipe.imitation.model_dump(mode="json"), "seed": recipe.seed, **self._voice(),
            "affinity": self._affinity() | {"training rows": APART} if recipe.recommender.hint_share else None,
        }  # fmt: skip
        return await self.run.stage("sft", parts, work, label="LoRA fine-tuning on human replies", reads=["prepare"])

    async def simpo(self, marks: dict[str, str]) -> str:
        from usbrec.training import PairRow, train_simpo

        recipe = self.recipe

        async def work(folder: Path) -> dict[str, Any]:
            rows = jsonl.read(self.run.folder / "prefer" / "rows.jsonl", preferences.PreferenceRow)
            pairs = [
                PairRow(
                    key=row.key,
                    messages=tuple(self.messages_of(row.pair)),
                    chosen=row.pair.chosen,
                    rejected=row.pair.rejected,
                )
                for row in rows
                if row.pair
            ]
            rng_of(recipe.seed, "held-out pairs").shuffle(pairs)
            held = min(HELD_OUT_ROWS, len(pairs) // 8)
            base = models.resolve(recipe.base_model).path
            with interrupts.blocking():
                result = train_simpo(pairs[held:], pairs[:held], recipe.simpo, base, self._adapter("sft"), folder)
            (self.run.folder / "checkpoints" / "divergence.json").unlink(missing_ok=True)  # of an earlier training
            return {"training": result.summary()}

        parts = {"prefer": marks["prefer"], "sft": marks["sft"], "simpo": recipe.simpo.model_dump(mode="json"), "seed": recipe.seed}
        return await self.run.stage("simpo", parts, work, label="SimPO on the preference pairs", reads=["prefer/rows.jsonl", "sft/adapter"])

    def _adapter(self, which: Which) -> Path:
        return self.run.folder / ("sft" if which == "sft" else "simpo") / "adapter"

    async def export(self, which: Which, mark: str) -> str:
        from usbrec.training import merge_gguf

        recipe = self.recipe
        files = models.resolve(recipe.base_model)
        base = files.gguf
        assert base is not None  # `readiness` has looked

        async def work(folder: Path) -> dict[str, Any]:
            with interrupts.blocking():
                merge_gguf(base, self._adapter(which), folder / "model.gguf", recipe.export)
            return {"model": f"export/{which}/model.gguf"}

        parts = {"adapter": mark, "model": files.digest, "export": recipe.export.model_dump(mode="json")}
        reads = ["sft/adapter" if which == "sft" else "simpo/adapter"]
        return await self.run.stage(f"export/{which}", parts, work, label="merging the adapter into the base model", reads=reads)

    def engine_of(self, which: Literal["base", "sft", "rl"]) -> EngineConfig:
        """The engine that serves a model of this run."""
        engines = self.recipe.engines
        served = {"base": engines.policy, "sft": engines.sft, "rl": engines.rl}[which]
        if served is not None:
            return served
        return serving(engines.policy, str(self.run.folder / "export" / which / "model.gguf"))

    # ---- preferences -------------------------------------------------------------------------------------------------------------

    async def prefer(self, marks: dict[str, str]) -> str:
        recipe, settings = self.recipe, self.recipe.prefer

        async def work(folder: Path) -> dict[str, Any]:
            world = self.world()
            examples = sample_rows(world.splits["train"], settings.rows, recipe.seed, "prefer")
            async with Engines(ledger=self.run.folder / "ledger.sqlite") as engines:
                assembly = Assembly(recipe, world, engines)
                engine = engines.get(self.engine_of("sft"))

                seeker_for = assembly.seeker_for(settings.seeker)  # made once: only what is retrieved depends on the row

                async def maker(example: Example) -> preferences.CandidateSet:
                    return await replace(assembly.apart_from(example).candidate_maker(engine), seeker_for=seeker_for)(example)

                sets = await map_rows(
                    examples, maker, path=folder / "candidates.jsonl", kind=preferences.CandidateSet, key=lambda e: e.key,
                    row_key=lambda r: r.key, failed=lambda e, fault: preferences.CandidateSet(key=e.key, error=str(fault)),
                    is_failed=lambda r: bool(r.error), label="preferences", limit=recipe.engines.policy.concurrency,
                    gauge=assembly.engines.gauge(),
                )  # fmt: skip
            rows = preferences.make_pairs(examples, sets, settings)
            jsonl.rewrite(folder / "rows.jsonl", rows)
            self._write_exports(folder, rows)
            card = preferences.data_card(rows, settings)
            jsonl.write_json(folder / "card.json", card)
            if not card["pairs"]:
                told = ", ".join(f"{count} x {outcome}" for outcome, count in dict(card["outcomes"]).items())  # type: ignore[call-overload]
                raise UsbrecError(f"PODCS gave no pair: {told}", where=str(folder / "rows.jsonl"),
                                  fix="raise prefer.temperature or prefer.k, or choose another prefer.pairing")  # fmt: skip
            return {"pairs": card["pairs"], "outcomes": card["outcomes"]}

        parts = {
            "prepare": marks["prepare"], "policy": marks.get("export/sft", self.engine_of("sft").identity()),
            "prefer": settings.model_dump(mode="json"), "engines": self._engines(settings.seeker, [settings.judge]),
            "seed": recipe.seed, **self._voice(),
            "others": asked([settings.judge], settings.seeker),
            "affinity": self._affinity() | {"training rows": APART} if settings.hinted or recipe.recommender.hints else None,
        }  # fmt: skip
        reads = ["prepare", *(["export/sft"] if "export/sft" in marks else [])]
        return await self.run.stage("prefer", parts, work, label="drawing and judging candidates (PODCS)", reads=reads)

    def _write_exports(self, folder: Path, rows: Sequence[preferences.PreferenceRow]) -> None:
        pairs = [row.pair for row in rows if row.pair]
        for name, convert in (("trl", preferences.to_trl), ("llama_factory", preferences.to_llama_factory)):
            lines = [preferences.as_json(convert(pair, self.messages_of(pair))) for pair in pairs]
            jsonl.write_text(folder / f"pairs.{name}.jsonl", "".join(line + "\n" for line in lines))

    # ---- evaluation --------------------------------------------------------------------------------------------------------------

    async def evaluate(self, marks: dict[str, str]) -> str:
        recipe, settings = self.recipe, self.recipe.evaluate
        world = self.world()
        examples = sample_rows(world.splits[settings.split], settings.rows, settings.rows_seed, "evaluate")
        arms = (*REFERENCES, *settings.arms)
        if self.system:
            examples = self.system.examples(world, settings.split, examples)
            arms = (self.system.arm, *REFERENCES)  # first, since it may not work
        if not examples:
            raise ConfigError(f"the {settings.split} split has no rows", where="evaluate.split")
        if not any(example.answered for example in examples):
            arms = tuple(arm for arm in arms if arm != "ceiling:human")  # the report says that it is missing
        done: dict[str, str] = {}
        for arm in arms:
            async with Engines(ledger=self.run.folder / "ledger.sqlite") as engines:
                done[arm] = await self._arm(arm, examples, Assembly(recipe, world, engines), marks)
        if settings.rankings.samples and not self.system:
            for name in (*RANKERS, *(arm for arm in settings.arms if not searches(arm))):
                async with Engines(ledger=self.run.folder / "ledger.sqlite") as engines:
                    done[f"rankings/{name}"] = await self._ranking(name, examples, Assembly(recipe, world, engines), done)
        return str(sorted(done.items()))

    async def _arm(self, arm: str, examples: Sequence[Example], assembly: Assembly, marks: dict[str, str]) -> str:
        recipe, settings = self.recipe, self.recipe.evaluate
        tested = self.system if self.system and arm == self.system.arm else None
        at_once = (tested and tested.at_once) or recipe.engines.policy.concurrency

        async def work(folder: Path) -> dict[str, Any]:
            evaluation = Evaluation(
                arm=arm,
                recommender_for=self._recommender_for(arm, assembly),
                seeker_for=assembly.seeker_for(settings.seeker),
                judges_for=[assembly.judge_for(judge) for judge in settings.judges],
                linker=assembly.world.linker,
                turns=settings.turns,
                seed=recipe.seed,
            )
            play = self.system.played(evaluation) if self.system else evaluation
            return await play_rows(examples, evaluation, folder, at_once, assembly.engines.gauge(), label=f"evaluate {arm}", play=play)

        reads = ["prepare"]
        parts: dict[str, Any] = {
            "prepare": marks["prepare"], "seed": recipe.seed, "engines": self._engines(settings.seeker, settings.judges),
            "others": asked(settings.judges, settings.seeker),
            "evaluate": settings.model_dump(mode="json", exclude={"arms", "rankings"}),
        }  # fmt: skip
        if settings.seeker.kind == "llm":
            parts["noun"] = recipe.recommender.noun  # in its prompt
        if self.system and self.system.record:
            parts |= self.system.record.imposed(settings.turns)
        if tested:
            parts |= self._voice(speaking=True) | {"system": tested.identity}
        elif arm not in REFERENCES:
            which = model_of(arm)
            parts |= self._voice(speaking=True) | {"model": marks.get(f"export/{which}", self.engine_of(which).identity())}  # type: ignore[arg-type]
            reads += [f"export/{which}"] if f"export/{which}" in marks else []
            if recipe.recommender.hints:
                parts["affinity"] = self._affinity()
        if arm in RETRIEVAL:
            parts["affinity"] = self._affinity()
        if searches(arm):
            voices = prompts.digests_of("profiler", "seeker_profile", "judge_profile")
            search = recipe.as_searched_by(arm).search.model_dump(mode="json", exclude={"speculate"})
            parts |= {"search": search, "affinity": self._affinity(), "voices": voices}
            parts |= {"inner": inner} if (inner := self._inner_engines()) else {}
        told = f"{len(examples)} rows of {settings.split}"
        return await self.run.stage(f"evaluate/{arm}", parts, work, label=told, retry=True, reads=reads)

    async def _ranking(self, name: str, examples: Sequence[Example], assembly: Assembly, done: Mapping[str, str]) -> str:
        """An arm's rankings, at every turn of its own conversations; or those of a ranker without a model, for the dialogues as given."""
        recipe, settings = self.recipe, self.recipe.evaluate.rankings
        chosen = sample_rows(examples, settings.rows, recipe.evaluate.rows_seed, "rankings")

        async def work(folder: Path) -> dict[str, Any]:
            rows: Sequence[Example | Outcome] = chosen
            if name in RANKERS:
                ranker = assembly.ranker(name)
            else:
                played = {row.key: row for row in jsonl.read(self.run.folder / "evaluate" / name / "outcomes.jsonl", Outcome)}
                rows = [played[example.key] for example in chosen]
                speaker = assembly.recommender(assembly.engines.get(self.engine_of(name)))  # type: ignore[arg-type]
                ranker = Sampled(speaker, assembly.world.linker, n=settings.samples, temperature=settings.temperature)
            ranking = RankRows(name, ranker, recipe.seed)
            found = await map_rows(
                rows, ranking, path=folder / "rankings.jsonl", kind=Ranking, key=lambda row: row.key, row_key=lambda row: row.key,
                failed=ranking.failed, is_failed=lambda row: bool(row.error), label=f"rankings, {name}",
                limit=recipe.engines.policy.concurrency, gauge=assembly.engines.gauge(),
            )  # fmt: skip
            return tally(len(found), (row.key for row in found if row.error))

        keys = [example.key for example in chosen]
        parts = {"arm": done.get(name), "rankings": settings.model_dump(mode="json"), "rows": keys, "seed": recipe.seed,
                 "prepare": self.run.manifest["stages"]["prepare"]["fingerprint"], "affinity": self._affinity()}  # fmt: skip
        reads = ["prepare", *([] if name in RANKERS else [f"evaluate/{name}"])]
        return await self.run.stage(f"rankings/{name}", parts, work, label=f"{len(chosen)} rows", retry=True, reads=reads)

    def _recommender_for(self, arm: str, assembly: Assembly) -> RecommenderFor:
        if self.system and arm == self.system.arm:
            return self.system.recommender_for(assembly)
        if arm in REFERENCES:
            return assembly.reference(arm)
        engine = assembly.engines.get(self.engine_of(model_of(arm)))  # type: ignore[arg-type]
        if searches(arm):
            search = assembly.searching(arm).search(engine)
            return lambda example: search.within(len(example.dialogue), self.recipe.evaluate.turns)
        recommender = assembly.recommender(engine)
        return lambda _: recommender

    async def report(self, marks: dict[str, str]) -> str:
        from usbrec.evaluation import report

        async def work(folder: Path) -> dict[str, Any]:
            with interrupts.blocking():
                report.write(self.run.folder, report.build(self.run.folder, self.recipe.judge_names))
            return {}

        stages = self._stage_marks()
        return await self.run.stage("report", {"evaluate": marks["evaluate"], "stages": stages}, work, reads=[*stages])

    # ---- what decides an outcome ---------------------------------------------------------------------------------------------------

    def messages_of(self, pair: PreferencePair) -> list[Any]:
        """The prompt that the policy answered."""
        voice = self.recipe.recommender
        return recommender_messages(pair.dialogue, noun=voice.noun, nouns=voice.nouns, history=voice.history, hints=pair.hints)

    def _voice(self, *, speaking: bool = False) -> dict[str, Any]:
        """How the recommender speaks; training does not depend on `redraws`."""
        settings = self.recipe.recommender.model_dump(mode="json", exclude=set() if speaking else {"redraws"})
        return {"recommender": settings, "prompts": prompts.digests_of("recommender", "recommender_hints")}

    def _affinity(self) -> dict[str, Any]:
        return retrieval_parts(self.recipe.affinity)

    def _engines(self, seeker: SeekerSettings, judges: Sequence[JudgeSettings]) -> dict[str, Any]:
        """The engines of the policy and of those who answer it, where these are LLMs."""
        return self._identities(policy=True, seeker=seeker.kind == "llm", judge=any(judge.kind != "catalogue" for judge in judges))

    def _inner_engines(self) -> dict[str, Any]:
        """Those of the search's internal roles."""
        inner = self.recipe.search.inner
        return self._identities(seeker=inner.seeker == "llm", judge="llm" in (inner.judge, inner.profiler))

    def _identities(self, **used: bool) -> dict[str, Any]:
        engines = self.recipe.engines
        return {role: config.identity() for role, needed in used.items() if needed and (config := getattr(engines, role))}

    def _stage_marks(self) -> dict[str, str]:
        return {name: entry["fingerprint"] for name, entry in self.run.manifest["stages"].items() if name != "report"}


def recommender_of(folder: Path, recipe: Recipe, arm: str, engines: Engines) -> Recommender:
    """An arm of a finished run, ready to talk.

    Raises:
        ConfigError: there is no such arm, or its model is not trained yet.
        DataError: the prepared data or the model is not as the run left it.
    """
    if arm in ("ceiling:human", "floor:random-reply") or (arm not in REFERENCES and arm not in ARMS):
        known = [*ARMS, *(a for a in REFERENCES if a not in ("ceiling:human", "floor:random-reply"))]
        raise ConfigError(f"there is no arm '{arm}' to talk with", fix=f"choose one of {', '.join(known)}")
    loop = Loop(run=Run(folder=folder, say=lambda _: None), recipe=recipe, data_dir=None)
    which = model_of(arm)
    if which in ("sft", "rl") and getattr(recipe.engines, which) is None and f"export/{which}" not in manifest.stages_of(folder):
        fix = f"finish the run: usbrec run RECIPE --out {folder}"
        raise ConfigError(f"the {which} model is not there", where=str(folder / "export" / which), fix=fix)
    manifest.verify(folder, "prepare", f"export/{which}")
    assembly = Assembly(recipe, loop.world(), engines)
    if arm in REFERENCES:
        return assembly.reference(arm)(Example(key="chat", dialogue_id="chat", turn_id=0, dialogue=Dialogue(), targets=()))
    engine = engines.get(loop.engine_of(which))  # type: ignore[arg-type]
    return assembly.searching(arm).search(engine) if searches(arm) else assembly.recommender(engine)
