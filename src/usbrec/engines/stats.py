"""What an engine did so far: counted by every engine, shown by reports and by `doctor`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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
    retries: int = 0
    """Calls asked again after a failure that may pass."""
    restarts: int = 0
    """How often the embedded engine's child had to be started again."""
    _open: int = 0
    _since: float = 0.0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call: counts it and the time."""
        self.calls += 1
        if self._open == 0:
            self._since = time.monotonic()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if self._open == 0:
                self.busy_seconds += time.monotonic() - self._since

    def count(self, completions: Sequence[Completion]) -> None:
        """Adds their tokens."""
        self.prompt_tokens += sum(completion.prompt_tokens for completion in completions)
        self.completion_tokens += sum(completion.completion_tokens for completion in completions)
