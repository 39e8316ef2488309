"""`usbrec judge checkpoints`: does the judge that a model is trained on part ways with other judges while the training goes on?

Every kept checkpoint (`simpo.keep_every`), the model before the training and the trained one reply to the same validation rows, once each,
and all judges score the replies; floors and the ceiling give each judge its scale (`evaluation.divergence`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usbrec import jsonl, models
from usbrec.assemble import REFERENCES, Assembly, Engines, World
from usbrec.calibrate import Named, named
from usbrec.config import Recipe
from usbrec.engines import EngineConfig
from usbrec.errors import ConfigError
from usbrec.evaluation.divergence import Divergence, checkpoint_of, divergence, scales_of
from usbrec.evaluation.ieval import Evaluation
from usbrec.pipeline import Run
from usbrec.roles import RecommenderFor
from usbrec.roles.llm import RUBRICS
from usbrec.stages import Loop, base_model, digests_of, play_rows, sample_rows
from usbrec.types import Example, Outcome

RESULT = "checkpoints/divergence.json"


@dataclass(frozen=True)
class Drift:
    """The checkpoints of a finished run before several judges."""

    run: Run
    recipe: Recipe
    specs: Sequence[str]
    """The other judges: KIND[:METHOD][@MODEL]."""
    rows: int = 150
    split: str = "valid"

    async def __call__(self) -> Divergence:
        """Scores every checkpoint and says where the judges part ways; written to `checkpoints/divergence.json` too.

        Raises:
            ConfigError: no checkpoint was kept, or a spec names no judge.
            DataError: fewer than two judges, or a judge without a scale.
        """
        from usbrec.training import checkpoints

        loop = Loop(run=self.run, recipe=self.recipe, data_dir=None)
        kept = checkpoints.all_kept(self.run.folder / "simpo")
        if not kept:
            fix = "set simpo.keep_every, say to 10, and run the recipe again"
            raise ConfigError("no checkpoint of the SimPO training was kept", where=str(self.run.folder / "simpo"), fix=fix)
        judges = self._judges()
        world = await asyncio.to_thread(World.of, self.run.folder / "prepare")
        examples = sample_rows([e for e in world.splits[self.split] if e.answered], self.rows, self.recipe.seed, "checkpoints")
        references: dict[str, list[Outcome]] = {}
        for arm in REFERENCES:
            references[arm] = await self._arm(arm, None, None, examples, world, judges)
        policies: dict[int, Path | EngineConfig] = {0: loop.engine_of("sft"), **kept}
        policies[self.run.manifest["stages"]["simpo"]["training"]["steps"]] = loop.engine_of("rl")
        found = []
        for step, policy in sorted(policies.items()):
            rows = await self._arm(f"step-{step}", policy, step, examples, world, judges)
            found.append(checkpoint_of(step, rows, list(judges)))
        told = divergence(found, scales_of(references, list(judges)), trained_on=next(iter(judges)), seed=self.recipe.seed)
        jsonl.write_json(self.run.folder / RESULT, told.model_dump(mode="json"))
        return told

    def _judges(self) -> dict[str, Named]:
        """By name, the one that the training pairs were scored by first."""
        specs = (self.recipe.prefer.judge.spec, *self.specs)
        return {judge.name: judge for judge in (named(spec, self.recipe) for spec in specs)}

    async def _arm(
        self, arm: str, policy: Path | EngineConfig | None, step: int | None, examples: Sequence[Example], world: World,
        judges: Mapping[str, Named],
    ) -> list[Outcome]:  # fmt: skip
        """The judged first replies of a checkpoint, or of an arm without a model."""

        async def work(folder: Path) -> dict[str, Any]:
            async with Engines(ledger=self.run.folder / "ledger.sqlite") as engines:
                assembly = Assembly(self.recipe, world, engines)
                evaluation = Evaluation(
                    arm=arm,
                    recommender_for=await self._recommender(arm, policy, assembly, folder),
                    seeker_for=assembly.seeker_for(self.recipe.evaluate.seeker),
                    judges_for=[assembly.judged_by(judge.engine).judge_for(judge.settings) for judge in judges.values()],
                    linker=world.linker,
                    turns=1,
                    seed=self.recipe.seed,
                )
                found = await play_rows(examples, evaluation, folder, self.recipe.engines.policy.concurrency, engines.gauge(), label=arm)
            (folder / "model.gguf").unlink(missing_ok=True)  # the adapter is kept
            return found

        stages = self.run.manifest["stages"]
        parts = {
            "prepare": stages["prepare"]["fingerprint"], "policy": step is not None and stages["simpo"]["fingerprint"],
            "seed": self.recipe.seed, "rows": self.rows, "split": self.split, "prompts": digests_of("recommender", *RUBRICS.values()),
            "judges": {n: [j.settings.model_dump(mode="json"), j.engine and j.engine.identity()] for n, j in judges.items()},
        }  # fmt: skip
        name = f"checkpoints/{arm.replace(':', '-')}"
        await self.run.stage(name, parts, work, label=f"{len(examples)} rows of {self.split}")
        return jsonl.read(self.run.folder / name / "outcomes.jsonl", Outcome)

    async def _recommender(self, arm: str, policy: Path | EngineConfig | None, assembly: Assembly, folder: Path) -> RecommenderFor:
        if policy is None:
            return assembly.reference(arm)
        if isinstance(policy, Path):
            from usbrec.training import merge_gguf

            base = models.resolve(base_model(self.recipe)).gguf
            if base is None:
                raise ConfigError("the base model is no GGUF file: its checkpoints cannot be merged", where=base_model(self.recipe))
            merged = await asyncio.to_thread(merge_gguf, base, policy, folder / "model.gguf", self.recipe.export)
            policy = self.recipe.engines.policy.model_copy(update={"model": str(merged), "adapter": None})
        said = assembly.recommender(assembly.engines.get(policy))
        return lambda _: said
