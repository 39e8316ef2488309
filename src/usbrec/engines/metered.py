"""Counts what one search spends, and refuses new work when its budget is spent.

The meter lies in a context variable, so the calls of all roles of one search, in whatever task they run, fall on its meter and on no
other's.  What is answered from the ledger counts too: a budget gives the same search again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from usbrec.engine import ChatMessage, Choice, Completion, Engine, Sampling
from usbrec.errors import EngineError

LETTERS = 4
"""Of a token, about, in a prompt that is not yet read."""


class BudgetSpent(EngineError):
    """The search that asked has spent its budget; nothing was asked."""


@dataclass
class Meter:
    """What was spent, and the most that may be."""

    most_calls: int | None = None
    most_tokens: int | None = None
    calls: int = 0
    """Replies drawn (n samples are n calls) and menus weighed."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refused: int = 0
    """Calls that the budget did not allow."""
    reserved: int = 0
    """Tokens that calls under way may still take."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def allow(self, wanted: int, *, prompt: int = 0, each: int = 1) -> int:
        """How many of so many calls may still be made; they count as made.  The very first one always may.

        Args:
            prompt: about how many tokens the prompt has; it is read once.
            each: the most that one call may generate.
        """
        left = wanted
        if self.most_calls is not None:
            left = min(left, self.most_calls - self.calls)
        if self.most_tokens is not None:
            left = min(left, (self.most_tokens - self.tokens - self.reserved - prompt) // each)
        left = max(left, 0 if self.calls else 1)
        self.calls += left
        self.refused += wanted - left
        return left

    @contextmanager
    def spending(self, wanted: int, messages: Sequence[ChatMessage], each: int) -> Iterator[int]:
        """Within it so many of `wanted` calls may be made, of one prompt; what they may take is reserved meanwhile.

        Raises:
            BudgetSpent: not one may be made.
        """
        prompt = prompt_size(messages)
        if not (allowed := self.allow(wanted, prompt=prompt, each=each)):
            raise BudgetSpent("the search's budget is spent")
        reserved = prompt + allowed * each
        self.reserved += reserved
        try:
            yield allowed
        finally:
            self.reserved -= reserved


def prompt_size(messages: Sequence[ChatMessage]) -> int:
    """About how many tokens a prompt has that is not yet read."""
    return sum(len(message.content) for message in messages) // LETTERS


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metering(meter: Meter) -> Iterator[None]:
    """Within it, and in tasks started within it, metered engines count on this meter."""
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)


@dataclass(frozen=True)
class MeteredEngine:
    """Any engine, metered; without a meter in force it changes nothing."""

    engine: Engine

    @property
    def name(self) -> str:
        return self.engine.name

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        """As the engine's; fewer than n replies where the budget allows no more.

        Raises:
            BudgetSpent: it allows none.
        """
        meter = _METER.get()
        if meter is None:
            return await self.engine.chat(messages, n=n, sampling=sampling)
        with meter.spending(n, messages, sampling.max_tokens) as allowed:
            completions = await self.engine.chat(messages, n=allowed, sampling=sampling)
        meter.prompt_tokens += completions[0].prompt_tokens if completions else 0
        meter.completion_tokens += sum(completion.completion_tokens for completion in completions)
        return completions

    def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> AsyncIterator[str]:
        return self.engine.stream(messages, sampling=sampling)

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        meter = _METER.get()
        if meter is None:
            return await self.engine.choose(messages, options)
        with meter.spending(1, messages, 1):
            choice = await self.engine.choose(messages, options)
        meter.prompt_tokens += choice.prompt_tokens or prompt_size(messages)  # votes over an endpoint do not tell
        meter.completion_tokens += 1
        return choice

    async def close(self) -> None:
        await self.engine.close()
