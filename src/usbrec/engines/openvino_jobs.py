"""What the child process of the embedded engine has to do: a job for each request, a sample for each reply of it, and their faults."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Line = dict[str, Any]


@dataclass
class Sample:
    """One generation inside the batch."""

    handle: Any
    prompt_tokens: int
    most: int
    """Tokens that it may write."""
    stop: tuple[str, ...] = ()
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    cut: bool = False
    """Ended by max_tokens."""


@dataclass
class Job:
    """One line of the parent: its samples, and those that wait for a first one to fill the prefix cache, or for room."""

    line: Line
    prompt: str
    ids: Any
    """The prompt's tokens, of shape (1, length)."""
    running: dict[int, Sample] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    done: dict[int, Line] = field(default_factory=dict)
    said: str = ""
    read: bool = False
    """Its prompt lies in the prefix cache: a first token came."""

    @property
    def length(self) -> int:
        """Of the prompt, in tokens."""
        return int(self.ids.shape[1])

    @property
    def most(self) -> int:
        """Tokens that a reply may have."""
        return int(self.line["max_tokens"]) if self.line["op"] == "chat" else 1


def small(tokens: int) -> str:
    """The fault of a prompt for which the attention cache has too few blocks."""
    return f"the model's memory is too small for a prompt of {tokens} tokens; give it more cache_gb"


def reason_of(fault: Exception) -> str:
    """One line; a native exception's own path is dropped."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("Exception from", "Check '"))] or lines
    return kept[-1] if kept else type(fault).__name__


def window_of(folder: Path) -> int | None:
    """A model's window in tokens, where its folder says so."""
    window = json.loads((folder / "config.json").read_text()).get("max_position_embeddings")
    return int(window) if window else None
