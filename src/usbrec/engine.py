"""The one seam to any language model: `Engine`, two verbs.

`chat` samples n replies; `choose` returns the exact probability of each of a few one-token options, and the share of the model's
probability that falls on that menu at all.  `choose` replaces v sampled votes (Eq. 1 of the paper) by their limit for v -> infinity.

An engine owns its concurrency limit and its retries: callers start as many calls as they like.  A failure is an `EngineError`, never a
value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from usbrec.redaction import redacted
from usbrec.types import Frozen


class ChatMessage(Frozen):
    """A message in a model's own terms."""

    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(Frozen):
    """How to draw a reply."""

    temperature: float = Field(default=0.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=64, gt=0)
    stop: tuple[str, ...] = ()
    seed: int = 0
    """Derive it from the row's key: `usbrec.seeds.seed_of`."""
    logprobs: bool = False
    """Ask for `Completion.logprob` too."""

    @model_serializer(mode="wrap")
    def _as_asked(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `logprobs` where it is off: it changes no reply, so what a ledger holds stays known."""
        values: dict[str, Any] = handler(self)
        if not self.logprobs:
            values.pop("logprobs", None)
        return values


def whole(text: str) -> str:
    """The text as a file may hold it: "?" for half characters (lone surrogates, as a broken JSON escape makes them), and no secret."""
    return redacted(text.encode("utf-8", "replace").decode())


class Completion(Frozen):
    """One reply.  `text` is stripped and may be empty when the model said nothing."""

    text: Annotated[str, AfterValidator(whole)]
    finish: Literal["stop", "length"] = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    logprob: float | None = None
    """Mean log-probability a token, in nats, by the engine's account; None where it was not asked for, or the engine cannot tell."""
    cached: bool = False
    """Answered from the ledger, no model was asked."""


class Choice(Frozen):
    """A distribution over a menu of options."""

    probabilities: tuple[float, ...]
    """One per option, in the order asked, summing to 1; normalised over the menu."""
    mass: float
    """How much of the model's whole distribution falls on the menu, 0 to 1."""
    exact: bool = True
    """False: estimated from sampled votes, because the engine offers no log-probabilities."""
    note: str = ""
    prompt_tokens: int = 0

    @classmethod
    def of(cls, shares: Sequence[float], *, exact: bool = True, note: str = "", prompt_tokens: int = 0) -> Choice:
        """From each option's probability under the whole vocabulary (or its share of sampled votes)."""
        mass = sum(shares)
        if mass == 0:
            even, told = (1 / len(shares),) * len(shares), "; ".join(filter(None, ("nothing fell on the menu", note)))
            return cls(probabilities=even, mass=0.0, exact=False, note=told, prompt_tokens=prompt_tokens)
        probabilities = tuple(share / mass for share in shares)
        return cls(probabilities=probabilities, mass=min(mass, 1.0), exact=exact, note=note, prompt_tokens=prompt_tokens)


@runtime_checkable
class Engine(Protocol):
    """What every engine can do."""

    @property
    def name(self) -> str:
        """Stable identity of model and settings: part of every cache key and of the manifest."""
        ...

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        """n replies; reply i is drawn with its own seed, derived from `sampling.seed` and i.

        Raises:
            EngineError: when no answer could be had.
        """
        ...

    def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> AsyncIterator[str]:
        """One reply in pieces as they are generated; closing the iterator cancels the generation."""
        ...

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        """The distribution of the next reply's first token over `options` (each one token).

        Raises:
            Unsupported: the engine offers neither log-probabilities nor votes.
        """
        ...

    async def close(self) -> None:
        """Frees the model; idempotent."""
        ...
