"""`usbrec judge checkpoints`: does the judge that a model is trained on part ways with other judges while the training goes on?

The adapter that SimPO began with (step 0), every kept one (`simpo.keep_every`) and the trained one are merged into the base model in one
and the same way, whatever lies under `export/`.  Each of these models replies once to the same rows, and all judges score the replies;
floors and the ceiling give each judge its scale (`evaluation.divergence`).  Every model is a stage of the run folder: a killed command
goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from usbrec import interrupts, jsonl, manifest, models, prompts, weights
from usbrec.assemble import REFERENCES, Assembly, Engines, World, retrieval_parts
from usbrec.calibrate import Named, named, own
from usbrec.config import Recipe
from usbrec.engines import EngineConfig, serving
from usbrec.engines.transformers_model import adapter_digest
from usbrec.errors import ConfigError, DataError
from usbrec.evaluation.compare import kind_of
from usbrec.evaluation.divergence import Divergence, checkpoint_of, divergence, scales_of, usable
from usbrec.evaluation.ieval import Evaluation, play_rows
from usbrec.evaluation.sight import sight_of
from usbrec.jsonl import differences
from usbrec.pipeline import Run
from usbrec.roles import RecommenderFor
from usbrec.roles.llm import asked
from usbrec.rows import sample_rows
from usbrec.types import Example, Outcome

RESULT = "checkpoints/divergence.json"
SCALED = tuple(arm for arm in REFERENCES if kind_of(arm) in ("floor", "ceiling"))
"""The arms without a model that make a judge's scale."""


@dataclass(frozen=True)
class Drift:
    """The checkpoints of a finished run before several judges."""

    run: Run
    recipe: Recipe
    specs: Sequence[str]
    """The other judges: KIND[:METHOD][@MODEL]."""
    rows: int = 150
    split: str = "valid"
    engine_of: Callable[[Path, Path], EngineConfig] | None = None
    """From an adapter, and a folder for files, to the engine that speaks for it; None: merged into the base model."""

    async def __call__(self) -> Divergence:
        """Scores every checkpoint and says where the judges part ways; written to `checkpoints/divergence.json` too.

        Raises:
            ConfigError: no other judge is named, nothing was trained or kept, or the recipe is no longer that of the training.
            ModelError: the base model or an adapter is not there.
            DataError: no row has a human reply, or a judge has no scale.
        """
        judges = self._judges()
        manifest.verify(self.run.folder, "prepare", "sft", "simpo")
        adapters = self._adapters()
        with interrupts.blocking():
            world = World.of(self.run.folder / "prepare")
        examples = sample_rows([e for e in world.splits[self.split] if e.answered], self.rows, self.recipe.seed, "checkpoints")
        if not examples:
            raise DataError(f"no row of {self.split} has a whole human reply, so there is no ceiling", fix="choose another --split")
        async with Engines(ledger=self.run.folder / "ledger.sqlite") as judging:  # started once for all arms
            arms = _Arms(self, judges, Assembly(self.recipe, world, judging), examples)
            scales = scales_of({arm: await arms.play(arm, None) for arm in SCALED}, list(judges), seed=self.recipe.seed)
            able = usable(scales, list(judges))
            arms = replace(arms, judges={judge: judges[judge] for judge in able})
            played = {step: await arms.play(f"step-{step}", adapter) for step, adapter in adapters.items()}
        found = [checkpoint_of(step, rows, able) for step, rows in played.items()]
        replies = [row for rows in played.values() for row in rows]
        sight = {judge: sight_of(replies, place) for place, judge in enumerate(able)}
        told = divergence(found, scales, trained_on=able[0], split=self.split, seed=self.recipe.seed, named=list(judges), sight=sight)
        jsonl.write_json(self.run.folder / RESULT, told.model_dump(mode="json"))
        return told

    def _judges(self) -> dict[str, Named]:
        """By name: the one that the training pairs were scored by first, with its own settings; then the others, in alphabetical order."""
        training = own(self.recipe.prefer.judge, self.recipe)
        judges = {training.name: training}
        for judge in sorted((named(spec, self.recipe) for spec in self.specs), key=lambda judge: judge.name):
            known = judges.setdefault(judge.name, judge)
            if known.engine != judge.engine:
                raise ConfigError(f"two models would judge as '{judge.name}'", where="--judge", fix="leave one out, or rename its file")
        if len(judges) == 1:
            what = f"{training.name} is the judge that the model was trained on: there is no other to hold it against"
            raise ConfigError(what, where="--judge", fix="name one of another kind or with another model, e.g. --judge llm:choose@MODEL")
        return judges

    def _adapters(self) -> dict[int, Path]:
        """Optimiser step -> adapter, in order; step 0 is the one that the training began with, the last is the trained one."""
        from usbrec.training import checkpoints

        folder, stages = self.run.folder, self.run.manifest["stages"]
        again = f"usbrec run RECIPE --out {folder}"
        if "simpo" not in stages:
            what = "there is no finished SimPO training in this run (a model that an endpoint serves is not trained here)"
            raise ConfigError(what, where=str(folder), fix=f"{again} --set simpo.keep_every=10")
        if self.recipe.engines.policy.kind == "openai":
            what = "an endpoint cannot load the checkpoints of a run"
            raise ConfigError(what, where="engines.policy.kind", fix="set openvino or transformers there and run the recipe again")
        steps = stages["simpo"]["training"]["steps"]
        kept = checkpoints.all_kept(folder / "simpo")
        if not kept:
            fix = f"{again} --set simpo.keep_every={max(1, steps // 8)}"
            raise ConfigError(f"none of the {steps} steps of the SimPO training was kept", where=str(folder / "simpo"), fix=fix)
        if changed := self._changes(stages):
            raise ConfigError(f"the run is not as it was trained: {'; '.join(changed[:6])}", where=str(folder), fix=again)
        adapters = {0: folder / "sft" / "adapter", **kept, steps: folder / "simpo" / "adapter"}
        for adapter in adapters.values():
            adapter_digest(adapter)  # one that is not there is said now, not after hours
        return adapters

    def _changes(self, stages: Mapping[str, Any]) -> list[str]:
        """In what the recipe and the stages differ from what the training was done with: then its judge is perhaps not this recipe's."""
        recipe, judge = self.recipe, self.recipe.engines.judge if self.recipe.prefer.judge.kind != "catalogue" else None
        sft, prefer, simpo = (stages.get(stage, {}).get("parts", {}) for stage in ("sft", "prefer", "simpo"))
        marks = {stage: stages.get(stage, {}).get("fingerprint") for stage in ("prepare", "sft", "prefer")}
        pairs = {
            "prefer": (prefer.get("prefer"), recipe.prefer.model_dump(mode="json")),
            "simpo": (simpo.get("simpo"), recipe.simpo.model_dump(mode="json")),
            **({"engines.judge": (prefer.get("engines", {}).get("judge"), judge.identity())} if judge else {}),
            "the base model": (sft.get("model"), models.resolve(recipe.base_model).digest),
            "the data": (prefer.get("prepare"), marks["prepare"]),
            "the SFT model": (simpo.get("sft"), marks["sft"]),
            "the pairs": (simpo.get("prefer"), marks["prefer"]),
        }
        return differences({name: was for name, (was, _) in pairs.items()}, {name: now for name, (_, now) in pairs.items()})


@dataclass(frozen=True)
class _Arms:
    """What all arms of one `Drift` share."""

    drift: Drift
    judges: Mapping[str, Named]
    assembly: Assembly
    """Over the engines of the judges."""
    examples: Sequence[Example]

    async def play(self, arm: str, adapter: Path | None) -> list[Outcome]:
        """The judged first replies of a checkpoint, or, without an adapter, of an arm without a model."""
        drift = self.drift
        name = f"checkpoints/{arm.replace(':', '-')}"

        async def work(folder: Path) -> dict[str, Any]:
            try:
                async with Engines(ledger=drift.run.folder / "ledger.sqlite") as engines:
                    return await self._played(arm, adapter, engines, folder)
            finally:
                _remove_merged(folder)

        parts = {
            "prepare": drift.run.manifest["stages"]["prepare"]["fingerprint"], "seed": drift.recipe.seed, "rows": drift.rows,
            "split": drift.split, "policy": self._policy(adapter) if adapter else None,
            "asked": asked([judge.settings for judge in self.judges.values()]),
            "judges": [[n, j.settings.model_dump(mode="json"), j.engine and j.engine.identity()] for n, j in self.judges.items()],
        }  # fmt: skip
        await drift.run.stage(name, parts, work, label=f"{len(self.examples)} rows of {drift.split}", retry=True, reads=["prepare"])
        return jsonl.read(drift.run.folder / name / "outcomes.jsonl", Outcome)

    async def _played(self, arm: str, adapter: Path | None, engines: Engines, folder: Path) -> dict[str, Any]:
        recipe, assembly = self.drift.recipe, self.assembly
        evaluation = Evaluation(
            arm=arm,
            recommender_for=await self._recommender_for(adapter, engines, folder) if adapter else assembly.reference(arm),
            seeker_for=assembly.seeker_for(recipe.evaluate.seeker),  # never asked: there is one turn
            judges_for=[assembly.judged_by(judge.engine).judge_for(judge.settings) for judge in self.judges.values()],
            linker=assembly.world.linker,
            turns=1,
            seed=recipe.seed,
        )
        return await play_rows(self.examples, evaluation, folder, recipe.engines.policy.concurrency, engines.gauge(), label=arm)

    async def _recommender_for(self, adapter: Path, engines: Engines, folder: Path) -> RecommenderFor:
        with interrupts.blocking():
            engine = (self.drift.engine_of or self._merged)(adapter, folder)
        said = self.assembly.recommender(engines.get(engine))
        return lambda _: said

    def _merged(self, adapter: Path, folder: Path) -> EngineConfig:
        """As the export stage merges."""
        from usbrec.training import merge_gguf

        recipe = self.drift.recipe
        base = models.resolve(recipe.base_model).gguf
        if base is None:
            fix = "use a GGUF base model and run the recipe again"
            raise ConfigError("the base model is no GGUF file: its checkpoints cannot be merged", where=recipe.base_model, fix=fix)
        model = merge_gguf(base, adapter, folder / "model.gguf", recipe.export)
        return serving(recipe.engines.policy, str(model))

    def _policy(self, adapter: Path) -> dict[str, Any]:
        """All that decides what a checkpoint says."""
        recipe = self.drift.recipe
        return {
            "adapter": adapter_digest(adapter), "base": models.resolve(recipe.base_model).digest,
            "export": recipe.export.model_dump(mode="json"), "engine": recipe.engines.policy.identity(),
            "recommender": recipe.recommender.model_dump(mode="json"), "prompts": prompts.digests_of("recommender", "recommender_hints"),
            "affinity": retrieval_parts(recipe.affinity) if recipe.recommender.hints else None,
        }  # fmt: skip


def _remove_merged(folder: Path) -> None:
    """Merged models, whole or left half written by a kill, and what the cache has of them: they are as large as the base model, and the
    adapter is kept."""
    for file in folder.glob("*model.gguf*"):
        weights.forget(file)
        file.unlink()
