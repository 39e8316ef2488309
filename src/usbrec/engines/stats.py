"""What an engine did so far: counted by every engine, shown by reports and by `doctor`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from usbrec.engine import Completion


@dataclass
class EngineStats:
    """Counters of one engine object."""

    calls: int = 0
    """Calls of the three verbs that reached the model."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    busy_seconds: float = 0.0
    """Wall time with at least one call under way."""
    sample_seconds: float = 0.0
    """Samples under way, summed over wall time: divided by a stretch of time, how many there were at once."""
    retries: int = 0
    """Calls asked again after a failure that may pass."""
    restarts: int = 0
    """How often the embedded engine's child had to be started again."""
    _open: int = 0
    _since: float = 0.0

    @contextmanager
    def call(self, samples: int = 1) -> Iterator[None]:
        """Around one call for so many samples: counts it and the time."""
        self.calls += 1
        self._step(samples)
        try:
            yield
        finally:
            self._step(-samples)

    def _step(self, more: int) -> None:
        now = time.monotonic()
        if self._open:
            self.busy_seconds += now - self._since
            self.sample_seconds += self._open * (now - self._since)
        self._since = now
        self._open += more

    def count(self, completions: Sequence[Completion]) -> None:
        """Adds their tokens."""
        self.prompt_tokens += sum(completion.prompt_tokens for completion in completions)
        self.completion_tokens += sum(completion.completion_tokens for completion in completions)


@runtime_checkable
class Counted(Protocol):
    """An engine that counts what it does; all of this package's do."""

    @property
    def stats(self) -> EngineStats: ...


@dataclass
class Gauge:
    """How full some engines are: what they did since the gauge was made, in words for a progress bar."""

    engines: Sequence[object]

    def __post_init__(self) -> None:
        self._stats = [engine.stats for engine in self.engines if isinstance(engine, Counted)]
        self._before = [replace(stats) for stats in self._stats]
        self._began = time.monotonic()

    def __call__(self) -> str:
        """Tokens a second (prompts and replies), samples at once, share of the time that an engine had work; empty without an engine."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        pairs = list(zip(self._stats, self._before, strict=True))
        tokens = sum(now.prompt_tokens + now.completion_tokens - was.prompt_tokens - was.completion_tokens for now, was in pairs)
        at_once = sum(now.sample_seconds - was.sample_seconds for now, was in pairs) / seconds
        busy = max((now.busy_seconds - was.busy_seconds for now, was in pairs), default=0.0) / seconds
        return f"{tokens / seconds:,.0f} tok/s, {at_once:.0f} at once, busy {min(busy, 1):.0%}" if tokens else ""
