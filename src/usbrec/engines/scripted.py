"""The scripted engine: a fake with the whole contract, for tests, demos and documentation.

Replies come from a list or from a function; a draw depends on the prompt, the seed and the sample's index only, so it is as reproducible as
a real engine.  A script that raises makes the call fail, which is how tests ask for trouble.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from usbrec.engine import ChatMessage, Choice, Completion, Sampling
from usbrec.engines.stats import EngineStats
from usbrec.engines.stops import cut
from usbrec.errors import EngineError
from usbrec.seeds import seed_of
from usbrec.settings import Settings

Script = Callable[[Sequence[ChatMessage], Sampling, int], str]
"""(messages, sampling, index of the sample) -> reply; may raise an EngineError."""
Weights = Callable[[Sequence[ChatMessage], Sequence[str]], Sequence[float]]
"""(messages, options) -> each option's probability in the whole distribution; their sum, at most 1, is the mass."""


class ScriptedSettings(Settings):
    """`scripted`: a fake for tests and demos."""

    kind: Literal["scripted"] = "scripted"
    model: str = "scripted"
    """What it is called."""
    replies: tuple[str, ...] = Field(default=("Have you seen Heat (1995)?",), min_length=1)
    """Its lines; greedily the first, else one drawn by the seed."""
    concurrency: int = Field(default=64, ge=1)
    """Rows at once."""

    def identity(self) -> dict[str, Any]:
        """What changes what is said: for fingerprints."""
        return self.model_dump(mode="json", include={"kind", "model", "replies"})


@dataclass
class ScriptedEngine:
    """Says what it is told to say."""

    script: Script | Sequence[str] = ("Have you seen Heat (1995)?",)
    """A function, or lines: greedily the first one, else drawn by the seed."""
    weights: Weights | None = None
    """For `choose`; by default all options are equally probable and hold the whole mass."""
    name: str = "scripted"
    stats: EngineStats = field(default_factory=EngineStats)
    asked: list[tuple[ChatMessage, ...]] = field(default_factory=list)
    """The prompt of every call, in order."""
    closed: bool = False

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        with self._call(messages):
            completions = [self._complete(messages, sampling, index) for index in range(n)]
            self.stats.count(completions)
            return completions

    async def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> AsyncIterator[str]:
        with self._call(messages):
            completion = self._complete(messages, sampling, 0)
            self.stats.count([completion])
        for number, word in enumerate(completion.text.split(" ")):
            yield f" {word}" if number else word

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        with self._call(messages):
            weights = self.weights(messages, options) if self.weights else [1 / len(options)] * len(options)
        if len(weights) != len(options) or not 0 < sum(weights) <= 1 + 1e-9:
            raise EngineError("the script's weights must be one per option, with a sum above 0 and at most 1", where=self.name)
        return Choice.of(weights, prompt_tokens=_words(messages))

    async def close(self) -> None:
        self.closed = True

    def _call(self, messages: Sequence[ChatMessage]) -> AbstractContextManager[None]:
        if self.closed:
            raise EngineError("the engine was closed", where=self.name)
        self.asked.append(tuple(messages))
        return self.stats.call()

    def _complete(self, messages: Sequence[ChatMessage], sampling: Sampling, index: int) -> Completion:
        words = self._text(messages, sampling, index).split(" ")
        text, stopped = cut(" ".join(words[: sampling.max_tokens]), sampling.stop)
        return Completion(
            text=text.strip(),
            finish="length" if len(words) > sampling.max_tokens and not stopped else "stop",
            prompt_tokens=_words(messages),
            completion_tokens=min(len(words), sampling.max_tokens),
        )

    def _text(self, messages: Sequence[ChatMessage], sampling: Sampling, index: int) -> str:
        if callable(self.script):
            return self.script(messages, sampling, index)
        if sampling.temperature == 0:
            return self.script[0]
        prompt = "\x1e".join(f"{message.role}\x1f{message.content}" for message in messages)
        return self.script[seed_of(prompt, sampling.seed, index) % len(self.script)]


def _words(messages: Sequence[ChatMessage]) -> int:
    """Stands for the tokens of a prompt."""
    return sum(len(message.content.split()) for message in messages)
