"""Progress on stderr: counts, rate and time left.  Silent where stderr is no terminal, but for one line at the start and the end.

The count is also what an interrupted command says of where it was.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from usbrec import interrupts
from usbrec.redaction import redacted


def note(text: str) -> None:
    """A line for people, on stderr, beside whatever progress is shown."""
    sys.stderr.write(f"{redacted(text)}\n")
    sys.stderr.flush()


class Progress(Protocol):
    """A running count."""

    done: int

    def advance(self, amount: int = 1, *, note: str = "") -> None: ...


@dataclass
class Plain:
    """Progress for logs: a line every `every` seconds."""

    label: str
    total: int
    done: int
    every: float = 20.0
    began: float = field(default_factory=time.monotonic)
    spoke: float = field(default_factory=time.monotonic)
    note: str = ""

    def __post_init__(self) -> None:
        self._before = self.done

    def advance(self, amount: int = 1, *, note: str = "") -> None:
        self.done, self.note = self.done + amount, note
        now = time.monotonic()
        if now - self.spoke >= self.every:
            self.spoke = now
            self.say()

    def say(self) -> None:
        seconds = max(time.monotonic() - self.began, 1e-9)
        rate = (self.done - self._before) / seconds
        left = (self.total - self.done) / rate if rate else float("inf")
        tail = f", {self.note}" if self.note else ""
        note(f"{self.label}: {self.done}/{self.total}, {rate:.2f}/s, {left:.0f} s left{tail}")


@contextmanager
def progress(label: str, total: int, *, done: int = 0, unit: str = "row") -> Iterator[Progress]:
    """A bar on a terminal, lines in a log.  `done` of `total` are finished already (a resumed stage)."""
    with _shown(label, total, done) as bar, interrupts.within(lambda: f"at {unit} {bar.done} of {total}"):
        yield bar


@contextmanager
def _shown(label: str, total: int, done: int) -> Iterator[Progress]:
    if not sys.stderr.isatty():
        plain = Plain(label, total, done)
        yield plain
        plain.say()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(label, total=total, completed=done, rate="", note="")
        began, before = time.monotonic(), done

        class Bar:
            done = before

            def advance(self, amount: int = 1, *, note: str = "") -> None:
                self.done += amount
                rate = (self.done - before) / max(time.monotonic() - began, 1e-9)
                bars.update(task, completed=self.done, rate=f"{rate:.2f}/s", note=note)

        yield Bar()
