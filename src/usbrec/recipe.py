"""The recipe: every setting of a run, section by section."""

from __future__ import annotations

from pydantic import Field

from usbrec.data import DataConfig
from usbrec.engines import EngineConfig, OpenVINOSettings
from usbrec.evaluation.arms import PAPER_SEARCH
from usbrec.evaluation.ieval import EvaluationSettings
from usbrec.preferences import PreferenceSettings
from usbrec.roles.settings import AffinitySettings, RecommenderSettings
from usbrec.search import JudgedSearch, SearchSettings, TreeSearch
from usbrec.settings import Settings
from usbrec.training.settings import ExportConfig, SftConfig, SimpoConfig


class EngineSettings(Settings):
    """Which engine answers for which role."""

    policy: EngineConfig = OpenVINOSettings()
    """The recommender's base model; by default SmolLM2-135M-Instruct in the embedded engine."""
    sft: EngineConfig | None = None
    """The SFT model where an endpoint serves it (a LoRA adapter by name, say); null: trained here and merged."""
    rl: EngineConfig | None = None
    """The RL model where an endpoint serves it; null: trained here and merged."""
    seeker: EngineConfig | None = None
    """Plays `llm` seekers; needed only by those."""
    judge: EngineConfig | None = None
    """Plays `llm` and `grounded` judges, and the `llm` profiler of the search; needed only by those."""


class ImitationSettings(Settings):
    """Which human replies SFT imitates."""

    rows: int | None = Field(default=None, ge=1)
    """So many training rows, drawn once by the recipe's seed; null for all."""
    new_offers_only: bool = False
    """Only replies that name an item nobody has named before: the recommender is to offer, not to chat."""


class Recipe(Settings):
    """A whole run."""

    name: str = Field(pattern=r"^[^\x00-\x1f]{1,100}$")
    """Names the run folder: `runs/<name>` unless `--out` says otherwise."""
    about: str = ""
    """A sentence for readers."""
    seed: int = 0
    """Every draw of the run derives from it."""
    data: DataConfig
    """Which data, and how it is split."""
    engines: EngineSettings = EngineSettings()
    """Which model answers for which role."""
    recommender: RecommenderSettings = RecommenderSettings()
    """How the recommender speaks."""
    affinity: AffinitySettings = AffinitySettings()
    """Weights of the label-free likeness that search and retrieval use."""
    imitation: ImitationSettings = ImitationSettings()
    """What SFT learns from."""
    sft: SftConfig = SftConfig()
    """Supervised fine-tuning."""
    prefer: PreferenceSettings = PreferenceSettings()
    """PODCS."""
    simpo: SimpoConfig = SimpoConfig()
    """Preference optimisation."""
    export: ExportConfig = ExportConfig()
    """Merging the adapter into the base model."""
    search: SearchSettings = TreeSearch()
    """SES."""
    evaluate: EvaluationSettings = EvaluationSettings()
    """What is measured, and by whom."""

    def as_searched_by(self, arm: str) -> Recipe:
        """The recipe with the search of an arm: its own; for `+paper-ses` the paper's, with the same internal roles.

        That is: three samples of the model, each played one turn on against the internal seeker, in the last two recommender turns of the
        evaluated conversation (arXiv 2509.20381, its best start; nothing is retrieved).
        """
        if not arm.endswith(PAPER_SEARCH):
            return self
        own, roles = self.search, {}
        if isinstance(own, JudgedSearch):
            roles = {**own.inner._asdict(), "method": own.method, "votes": own.votes}
        paper = TreeSearch.model_validate({"candidates": 3, "depth": 1, "width": 1, "last_turns": 2, **roles})
        return self.model_copy(update={"search": paper})

    @property
    def base_model(self) -> str:
        """Name or path of the model that is trained."""
        return self.engines.policy.model

    @property
    def judge_names(self) -> list[str]:
        """The judges of the evaluation, in the order of every turn's scores."""
        return [judge.kind for judge in self.evaluate.judges]
