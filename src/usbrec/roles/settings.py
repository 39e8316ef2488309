"""The settings of the roles, as they stand in a recipe."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, Tag, TypeAdapter

from usbrec.settings import Settings, by


class RecommenderSettings(Settings):
    """How every LLM arm speaks."""

    noun: str = Field(default="film", min_length=1)
    """What one item is called in prompts."""
    nouns: str = Field(default="films", min_length=1)
    """The plural of `noun`."""
    max_tokens: int = Field(default=48, ge=1, le=100_000)
    """A reply is cut here."""
    history: int | None = Field(default=12, ge=1)
    """Only the latest so many messages are shown to the recommender, in training and at inference; null for all."""
    temperature: float = Field(default=0.0, ge=0, le=10)
    """Of the plain reply; 0 is greedy."""
    redraws: int = Field(default=0, ge=0, le=1000)
    """A plain reply that repeats itself, or offers only what was named already, is drawn anew so many times at once, at a temperature of
    0.5 at least; the first that offers something new is said.  PODCS plays the bare policy, without this; 0 is the paper's setting."""
    hints: int = Field(default=0, ge=0, le=1000)
    """So many items from the retriever stand in the prompt of every plain reply; 0 is the paper's setting."""
    hint_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the SFT rows whose prompt carries hints (the target among them), so that the model learns to use them."""
    hint_count: int = Field(default=8, ge=2, le=1000)
    """Most hints in such an SFT row; how many is drawn from 1 to this."""


Wording = Literal["full", "short", "steps"]


class PatienceSettings(Settings):
    """What every seeker that knows the targets has."""

    patience: int | None = Field(default=None, ge=1)
    """The seeker leaves, unsatisfied, after so many offers in a row that are not new or not comparable with a target; null: never."""


class AttributesSeekerSettings(PatienceSettings):
    """`attributes`: an agenda over the targets' attributes, which cannot leak a title."""

    kind: Literal["attributes"] = "attributes"
    least: int = Field(default=0, ge=0)
    """A wish is said only if at least so many items beside the targets share it: who names a person of a single work names the work."""
    knows: float = Field(default=1.0, ge=0, le=1)
    """Share of the wishes that the seeker can name; drawn once a conversation."""
    errs: float = Field(default=0.0, ge=0, le=1)
    """Share of the wishes that the seeker gets wrong (another person, genre or decade) or can only hint at, one half each."""


class SilentSeekerSettings(PatienceSettings):
    """`silent`: declines what it did not wish for, and says nothing more."""

    kind: Literal["silent"] = "silent"


class ParaphraseSeekerSettings(PatienceSettings):
    """`paraphrase`: wishes in everyday words, none of them the catalogue's genres or people; by an LLM: `llm` with `checked`."""

    kind: Literal["paraphrase"] = "paraphrase"
    least: int = Field(default=10, ge=0)
    """A word of a target's plot is said only if the plots of at least so many other items hold it."""


class LLMSeekerSettings(PatienceSettings):
    """`llm`: the paper's seeker, needs a capable model (`engines.seeker`)."""

    kind: Literal["llm"] = "llm"
    checked: bool = False
    """The seeker paraphrases: it is asked to name no genre and nobody, and a line with a genre or a person of the targets is asked for
    again like one with a title; at last such words are masked."""
    max_tokens: int = Field(default=60, ge=1, le=100_000)
    """Of a turn."""
    temperature: float = Field(default=0.7, ge=0, le=10)
    """Of a turn."""


SeekerSettings = Annotated[
    Annotated[AttributesSeekerSettings, Tag("attributes")]
    | Annotated[SilentSeekerSettings, Tag("silent")]
    | Annotated[ParaphraseSeekerSettings, Tag("paraphrase")]
    | Annotated[LLMSeekerSettings, Tag("llm")],
    by("kind", "attributes"),
]
"""The simulated user that knows the targets (PODCS and evaluation)."""


class CatalogueJudgeSettings(Settings):
    """`catalogue`: programmatic."""

    kind: Literal["catalogue"] = "catalogue"

    @property
    def spec(self) -> str:
        """As `read_judge` reads it."""
        return self.kind

    def named(self, _: str) -> str:
        """What makes one judge's scores another's."""
        return self.kind


class AskedJudgeSettings(Settings):
    """A judge that asks an LLM (`engines.judge`)."""

    kind: Literal["llm", "grounded"]
    method: Literal["choose", "vote"] = "choose"
    """How it is asked: the exact distribution over 0/1/2, or sampled votes."""
    votes: int = Field(default=10, ge=1, le=1000)
    """Sampled votes of the method `vote` (Eq. 1); the paper uses 10."""
    least_mass: float = Field(default=0.5, ge=0, le=1)
    """`choose` gives no verdict where less of the model's probability is on the menu."""
    wording: Wording = "full"
    """How the rubric is put to it: one rubric in three wordings, for `usbrec judge calibrate` to compare."""

    @property
    def spec(self) -> str:
        """As `read_judge` reads it."""
        return f"{self.kind}:{self.method}"

    def named(self, model: str) -> str:
        """What makes one judge's scores another's: `llm:choose@NAME`, NAME of the model's file or folder."""
        return f"{self.spec}@{PurePath(model).name.removesuffix('.gguf')}"


class LLMJudgeSettings(AskedJudgeSettings):
    """`llm`: the paper's rubric."""

    kind: Literal["llm"] = "llm"


class GroundedJudgeSettings(AskedJudgeSettings):
    """`grounded`: rules first, the LLM decides the rest between 0 and 1."""

    kind: Literal["grounded"] = "grounded"


JudgeSettings = Annotated[
    Annotated[CatalogueJudgeSettings, Tag("catalogue")]
    | Annotated[LLMJudgeSettings, Tag("llm")]
    | Annotated[GroundedJudgeSettings, Tag("grounded")],
    by("kind", "catalogue"),
]
"""One judge that knows the targets (docs/judges.md)."""


def read_judge(spec: str) -> JudgeSettings:
    """The judge that a command line writes as KIND or KIND:METHOD.

    Raises:
        ValueError: there is no such kind or method, or a catalogue judge is given one.
    """
    kind, colon, method = spec.partition(":")
    return TypeAdapter[JudgeSettings](JudgeSettings).validate_python({"kind": kind, **({"method": method} if colon else {})})


def worded(judge: JudgeSettings, wording: Wording) -> JudgeSettings:
    """The same judge, asked in other words where it is asked in any."""
    return judge if judge.kind == "catalogue" else judge.model_copy(update={"wording": wording})


class AffinitySettings(Settings):
    """Weights of the label-free likeness of an item to a profile, which the search's catalogue judge and the retriever use."""

    together: float = Field(default=1.0, ge=0)
    """Co-occurrence with the liked items in the training dialogues."""
    likeness: float = Field(default=1.0, ge=0)
    """Likeness of attributes to the liked items."""
    genres: float = Field(default=2.0, ge=0)
    """Genres that the seeker asked for in words."""
    people: float = Field(default=4.0, ge=0)
    """Directors, stars and writers that the seeker asked for in words."""
