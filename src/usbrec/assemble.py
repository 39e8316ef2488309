"""The only place that chooses classes: from a recipe and a prepared folder to the parts that the stages use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from usbrec import data
from usbrec.catalogue import Catalogue
from usbrec.config import Recipe
from usbrec.cooccurrence import Cooccurrence
from usbrec.engine import Engine
from usbrec.engines import EngineConfig, connect, recorded
from usbrec.engines.metered import MeteredEngine
from usbrec.engines.stats import Gauge
from usbrec.errors import ConfigError
from usbrec.evaluation.compare import CEILING, COLLABORATIVE, FLOORS, RETRIEVERS
from usbrec.evaluation.rankers import Cooccurring, Popular, Ranker, Retrieved
from usbrec.linking import Linker
from usbrec.preferences import CandidateMaker
from usbrec.roles import (
    JudgeFor,
    ProfileJudgeFor,
    Profiler,
    ProfileSeekerFor,
    RecommenderFor,
    SeekerFor,
)
from usbrec.roles.catalogue import POOL, Affinity, AffinityFor, CatalogueJudge, CatalogueProfileJudge, CatalogueProfiler, Retriever
from usbrec.roles.floors import WHO, Collaborative, Human, MostPopular, QuestionOnly, RandomReply, Repeat, Retrieval
from usbrec.roles.llm import (
    GroundedJudge,
    GuidedReplies,
    HintsFor,
    LLMJudge,
    LLMProfileJudge,
    LLMProfiler,
    LLMProfileSeeker,
    LLMRecommender,
    LLMSeeker,
)
from usbrec.roles.paraphrase import ParaphraseSeeker, Phrasebook
from usbrec.roles.patience import ImpatientSeeker
from usbrec.roles.seekers import AttributesSeeker, ProfileSeeker
from usbrec.roles.settings import AffinitySettings, JudgeSettings, SeekerSettings
from usbrec.roles.silent import SilentSeeker
from usbrec.search import DrawnSearch, JudgedSearch, Search
from usbrec.types import Dialogue, Example, Profile

RETRIEVAL = dict(zip(RETRIEVERS, ((1, ""), (3, ""), (3, WHO)), strict=True))
"""Arm -> (the retriever's items in its sentence, the question behind them)."""
REFERENCES = (*FLOORS, *RETRIEVERS, COLLABORATIVE, CEILING)
"""Arms without a model, in every evaluation."""
RANKERS = ("retrieval", "co-occurrence", "most popular")
"""Rankers without a model, beside every ranking."""
APART = "items are retrieved for a training row without the likes of its own dialogue"
"""The rule, for the fingerprint of whatever rests on it."""


@dataclass(frozen=True)
class World:
    """The prepared data and what is built on it."""

    splits: dict[str, list[Example]]
    catalogue: Catalogue
    linker: Linker
    cooccurrence: Cooccurrence
    likes: Mapping[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)
    """Training dialogue -> what it added to `cooccurrence`."""

    @cached_property
    def phrases(self) -> Phrasebook:
        """What seekers that paraphrase say; made once for all arms."""
        return Phrasebook(self.catalogue, self.linker, self.cooccurrence.popularity)

    @classmethod
    def of(cls, folder: Path) -> World:
        prepared = data.load(folder)
        likes: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for row in prepared.likes:
            likes[row.key].append(row.items)
        return cls(
            splits=prepared.splits,
            catalogue=prepared.catalogue,
            linker=Linker(prepared.catalogue),
            cooccurrence=Cooccurrence([row.items for row in prepared.likes]),
            likes=dict(likes),
        )

    def without(self, example: Example) -> World:
        """For a training row: its own dialogue's likes left out, so that what is retrieved for it is no better than for any other."""
        table = self.cooccurrence
        for items in self.likes.get(example.dialogue_id, ()):
            table = table.without(items)
        return replace(self, cooccurrence=table)


@dataclass
class Engines:
    """The engines of a run, each started once, at its first use; closed together."""

    ledger: Path | None = None
    lender: Engines | None = None
    """Whose engines stand behind this ledger, and who closes them; None: they are its own."""
    _open: dict[str, Engine] = field(default_factory=dict)

    def get(self, config: EngineConfig) -> Engine:
        mark = config.model_dump_json()
        if mark not in self._open:
            if self.lender and self.ledger:
                self._open[mark] = recorded(self.lender.get(config), self.ledger, owner=False)
            else:
                self._open[mark] = connect(config, self.ledger)
        return self._open[mark]

    def gauge(self) -> Gauge:
        """How full the engines that were asked for so far are, from now on."""
        return Gauge(tuple(self._open.values()))

    async def close(self) -> None:
        while self._open:
            _, engine = self._open.popitem()
            await engine.close()

    async def __aenter__(self) -> Engines:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@dataclass(frozen=True)
class Assembly:
    """Builds roles out of a recipe."""

    recipe: Recipe
    world: World
    engines: Engines

    def judged_by(self, engine: EngineConfig | None) -> Assembly:
        """The same with another model for the roles that the recipe's judge plays."""
        engines = self.recipe.engines.model_copy(update={"judge": engine})
        return replace(self, recipe=self.recipe.model_copy(update={"engines": engines}))

    def apart_from(self, example: Example) -> Assembly:
        """For a training row: the same over a world without its own dialogue."""
        return replace(self, world=self.world.without(example))

    def seeker_for(self, settings: SeekerSettings) -> SeekerFor:
        """The simulated user that knows the targets."""
        made, patience, linker = self._seeker_for(settings), settings.patience, self.world.linker
        return made if patience is None else lambda targets: ImpatientSeeker(made(targets), linker, targets, patience)

    def _seeker_for(self, settings: SeekerSettings) -> SeekerFor:
        world, noun = self.world, self.recipe.recommender.noun
        if settings.kind == "attributes":
            return lambda targets: AttributesSeeker(
                world.catalogue, world.linker, targets, least=settings.least, knows=settings.knows, errs=settings.errs
            )
        if settings.kind == "silent":
            return lambda targets: SilentSeeker(world.linker, targets)
        if settings.kind == "paraphrase":
            return lambda targets: ParaphraseSeeker(world.phrases, targets, settings.least)
        engine = self._engine("seeker")
        return lambda targets: LLMSeeker(
            engine, world.catalogue, world.linker, targets, noun=noun, max_tokens=settings.max_tokens, temperature=settings.temperature,
            checked=settings.checked,
        )  # fmt: skip

    def judge_for(self, settings: JudgeSettings) -> JudgeFor:
        world = self.world
        if settings.kind == "catalogue":
            return lambda targets: CatalogueJudge(world.catalogue, world.linker, targets)
        engine = self._engine("judge")

        def llm(targets: tuple[str, ...]) -> LLMJudge:
            return LLMJudge(
                engine, world.catalogue, targets,
                method=settings.method, votes=settings.votes, least_mass=settings.least_mass, wording=settings.wording,
                linker=world.linker,
            )  # fmt: skip

        return llm if settings.kind == "llm" else lambda targets: GroundedJudge(llm(targets), world.linker)

    def _engine(self, role: Literal["seeker", "judge"]) -> Engine:
        """The engine that plays a role by an LLM."""
        config: EngineConfig | None = getattr(self.recipe.engines, role)
        if config is None:
            raise ConfigError(
                f"engines.{role} is missing, but a role of this recipe is played by an LLM", fix=f"add engines.{role} to the recipe"
            )
        return self.engines.get(config)

    def _metered(self, role: Literal["seeker", "judge"]) -> Engine:
        """The same, counted on the budget of the search that asks."""
        return MeteredEngine(self._engine(role))

    @property
    def facts(self) -> CatalogueProfiler:
        return CatalogueProfiler(self.world.catalogue, self.world.linker)

    @property
    def affinity_for(self) -> AffinityFor:
        return affinity_for(self.world, self.recipe.affinity)

    @cached_property
    def retriever(self) -> Retriever:
        return Retriever(self.world.catalogue, self.world.cooccurrence, self.facts, self.affinity_for)

    def hints_for(self, count: int) -> HintsFor | None:
        """Names of the retriever's best items; None for a count of 0."""
        if not count:
            return None

        async def hints(dialogue: Dialogue) -> Sequence[str]:
            return await self.retrieve(dialogue, count)

        return hints

    async def retrieve(self, dialogue: Dialogue, count: int) -> Sequence[str]:
        """The names of the retriever's best items for a dialogue."""
        return [self.world.catalogue[item].name for item in await self.retriever.items(dialogue, k=count)]

    def recommender(self, engine: Engine) -> LLMRecommender:
        settings = self.recipe.recommender
        return LLMRecommender(
            engine,
            noun=settings.noun,
            nouns=settings.nouns,
            max_tokens=settings.max_tokens,
            history=settings.history,
            temperature=settings.temperature,
            hints_for=self.hints_for(settings.hints),
            redraws=settings.redraws,
            linker=self.world.linker,
        )

    def candidate_maker(self, engine: Engine) -> CandidateMaker:
        """PODCS over the bare policy: the model of `engine`, which draws nothing anew."""
        settings, policy = self.recipe.prefer, replace(self.recommender(engine), redraws=0)
        return CandidateMaker(
            policy=policy,
            seeker_for=self.seeker_for(settings.seeker),
            judge_for=self.judge_for(settings.judge),
            linker=self.world.linker,
            settings=settings,
            seed=self.recipe.seed,
            policy_with=policy.hinted,
            retrieve=self.retrieve,
            hints_for=policy.hints_for,
        )

    def searching(self, arm: str) -> Assembly:
        """The same with the search of an arm."""
        return replace(self, recipe=self.recipe.as_searched_by(arm))

    def search(self, engine: Engine) -> Search:
        """SES over the model of `engine`."""
        settings, world = self.recipe.search, self.world
        recommender = self.recommender(MeteredEngine(engine))
        guided = GuidedReplies(recommender, self.retrieve) if isinstance(settings, DrawnSearch) and settings.guided else None
        return Search(
            recommender=recommender,
            profiler=self._profiler(),
            seeker_for=self._internal_seeker(),
            judge_for=self._internal_judge(),
            linker=world.linker,
            settings=settings,
            guided=guided,
            best_known=self._best_known if settings.inner.judge == "catalogue" else None,
            facts=self.facts,
            reader=replace(recommender, max_tokens=1),
        )

    def _best_known(self, profile: Profile) -> float:
        """The internal judge's value of the retriever's first item."""
        affinity = self.affinity_for(profile)
        return max((2 * affinity(item) for item in self.retriever.for_profile(profile, k=1)), default=0.0)

    def _profiler(self) -> Profiler:
        if self.recipe.search.inner.profiler == "catalogue":
            return self.facts
        return LLMProfiler(self._metered("judge"), self.facts, noun=self.recipe.recommender.noun)

    def _internal_seeker(self) -> ProfileSeekerFor:
        world, noun = self.world, self.recipe.recommender.noun
        if self.recipe.search.inner.seeker == "catalogue":
            return lambda profile: ProfileSeeker(catalogue=world.catalogue, linker=world.linker, profile=profile)
        engine = self._metered("seeker")
        return lambda profile: LLMProfileSeeker(engine, profile, noun=noun)

    def _internal_judge(self) -> ProfileJudgeFor:
        settings = self.recipe.search
        if not isinstance(settings, JudgedSearch) or settings.judge == "catalogue":
            return lambda profile: CatalogueProfileJudge(self.world.linker, self.affinity_for(profile))
        engine = self._metered("judge")
        return lambda profile: LLMProfileJudge(engine, profile, method=settings.method, votes=settings.votes)

    def ranker(self, name: str) -> Ranker:
        """A ranker without a model (see `RANKERS`)."""
        if name == "retrieval":
            return Retrieved(self.retriever)
        if name == "co-occurrence":
            return Cooccurring(self.world.cooccurrence, self.facts)
        return Popular(self.world.cooccurrence, self.world.linker)

    def reference(self, arm: str) -> RecommenderFor:
        """A floor, the retriever, the collaborative baseline or the ceiling (see `REFERENCES`)."""
        world = self.world
        if arm in RETRIEVAL:
            retrieval = Retrieval(self.retriever, *RETRIEVAL[arm])
            return lambda _: retrieval
        if arm == "floor:random-reply":
            said = RandomReply(tuple(e.reply for e in world.splits["train"] if e.answered))
            return lambda _: said
        if arm == "floor:most-popular":
            return lambda _: MostPopular(world.catalogue, world.linker, world.cooccurrence)
        if arm == "floor:repeat":
            return lambda _: Repeat(world.catalogue, world.linker)
        if arm == "floor:question":
            return lambda _: QuestionOnly()
        if arm == "collaborative":
            return lambda _: Collaborative(world.catalogue, world.linker, world.cooccurrence)
        if arm == "ceiling:human":
            return Human
        raise ConfigError(f"there is no reference arm '{arm}'", fix=f"known: {', '.join(REFERENCES)}")


def retrieval_parts(settings: AffinitySettings) -> dict[str, Any]:
    """For fingerprints: what decides which items are retrieved."""
    return settings.model_dump(mode="json") | {"pool": POOL}


def affinity_for(world: World, settings: AffinitySettings) -> AffinityFor:
    """The label-free likeness with a recipe's weights."""

    def make(profile: Profile) -> Affinity:
        return Affinity(
            world.catalogue,
            world.cooccurrence,
            profile,
            weight_together=settings.together,
            weight_likeness=settings.likeness,
            weight_genres=settings.genres,
            weight_people=settings.people,
        )

    return make
