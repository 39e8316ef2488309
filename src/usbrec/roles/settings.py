"""The settings of the roles, as they stand in a recipe."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecommenderSettings(Settings):
    """How every LLM arm speaks."""

    noun: str = "film"
    """What one item is called in prompts."""
    nouns: str = "films"
    """The plural of `noun`."""
    max_tokens: int = Field(default=48, ge=1)
    """A reply is cut here."""
    history: int | None = Field(default=12, ge=1)
    """Only the latest so many messages are shown to the recommender, in training and at inference; null for all."""
    temperature: float = Field(default=0.0, ge=0)
    """Of the plain reply; 0 is greedy."""
    redraws: int = Field(default=0, ge=0)
    """A plain reply that repeats itself, or offers only what was named already, is drawn anew so many times at once, at a temperature of
    0.5 at least; the first that offers something new is said.  PODCS plays the bare policy, without this; 0 is the paper's setting."""
    hints: int = Field(default=0, ge=0)
    """So many items from the retriever stand in the prompt of every plain reply; 0 is the paper's setting."""
    hint_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the SFT rows whose prompt carries hints (the target among them), so that the model learns to use them."""
    hint_count: int = Field(default=8, ge=2)
    """Most hints in such an SFT row; how many is drawn from 1 to this."""


Wording = Literal["full", "short", "steps"]


class SeekerSettings(Settings):
    """The simulated user that knows the targets (PODCS and evaluation)."""

    kind: Literal["attributes", "llm"] = "attributes"
    """`attributes`: an agenda over the targets' attributes, which cannot leak a title; `llm`: the paper's, needs a capable model."""
    max_tokens: int = Field(default=60, ge=1)
    """Of an `llm` seeker's turn."""
    temperature: float = Field(default=0.7, ge=0)
    """Of an `llm` seeker."""


class JudgeSettings(Settings):
    """One judge that knows the targets (docs/judges.md)."""

    kind: Literal["catalogue", "llm", "grounded"] = "catalogue"
    """`catalogue`: programmatic; `llm`: the paper's rubric; `grounded`: rules first, the LLM decides the rest between 0 and 1."""
    method: Literal["choose", "vote"] = "choose"
    """How an LLM is asked: the exact distribution over 0/1/2, or sampled votes."""
    votes: int = Field(default=10, ge=1)
    """Sampled votes of the method `vote` (Eq. 1); the paper uses 10."""
    least_mass: float = Field(default=0.5, ge=0, le=1)
    """`choose` gives no verdict where less of the model's probability is on the menu."""
    wording: Wording = "full"
    """How the rubric is put to an LLM: one rubric in three wordings, for `usbrec judge calibrate` to compare."""

    @classmethod
    def of(cls, spec: str) -> JudgeSettings:
        """The judge that a command line writes as KIND or KIND:METHOD.

        Raises:
            ValueError: there is no such kind or method, or a catalogue judge is given one.
        """
        kind, colon, method = spec.partition(":")
        if colon and kind == "catalogue":
            raise ValueError("a catalogue judge has no methods")
        return cls.model_validate({"kind": kind, **({"method": method} if colon else {})})

    @property
    def spec(self) -> str:
        """As `of` reads it."""
        return self.kind if self.kind == "catalogue" else f"{self.kind}:{self.method}"

    def named(self, model: str) -> str:
        """What makes one judge's scores another's: `catalogue`, or `llm:choose@NAME`, NAME of the model's file or folder."""
        return self.spec if self.kind == "catalogue" else f"{self.spec}@{PurePath(model).name.removesuffix('.gguf')}"


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
