"""A child process that speaks in JSON lines, and whom nothing makes its parent wait for in vain.

It runs in a session of its own, so that it is ended whole, whatever it started, and so that a terminal's Ctrl-C reaches the parent alone.
Each line is waited for with patience that ends.  A process that is gone is noticed even where a pipe of its own stays open; then,
and only then, the rest of what it said is read.  Patience is counted in looks, not by a clock: a parent that was stopped
(Ctrl-Z, a closed laptop) does not take its own sleep for the child's silence.

`follow_parent` is for the child's side.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LINE_LIMIT = 64 << 20
"""Bytes of the longest line."""
_LOOK = 0.5
"""Seconds between two looks at whether it is still there."""
_FAREWELL = 2.0
"""Seconds that a killed process is waited for: only one inside a broken driver needs more."""
_LAST_WORDS = 6
"""Lines of stderr in an error."""


@dataclass
class Child:
    """A running process, and what it said on stderr."""

    process: asyncio.subprocess.Process
    _stderr: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_WORDS))

    def __post_init__(self) -> None:
        self._hearing = asyncio.create_task(self._hear_stderr())

    @classmethod
    async def of(cls, module: str) -> Child:
        """Runs a module of this package; its argument is this process's id."""
        command = [sys.executable, "-P", "-m", module, str(os.getpid())]  # -P: no module of the current folder takes a package's place
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=LINE_LIMIT, start_new_session=True
            )
        )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    def send(self, line: dict[str, Any]) -> None:
        """Never waits; what a dead process is told is lost."""
        assert self.process.stdin is not None
        if not self.process.stdin.is_closing():
            with contextlib.suppress(ConnectionError):
                self.process.stdin.write((json.dumps(line) + "\n").encode())

    async def line(self, patience: float, wanted: Callable[[], bool] = lambda: True) -> dict[str, Any] | None:
        """Its next line; None when it ended.

        Raises:
            TimeoutError: it said nothing for `patience` seconds in which something was `wanted` of it.
        """
        assert self.process.stdout is not None
        reading, quiet, gone = asyncio.ensure_future(self.process.stdout.readline()), 0.0, False
        try:
            while not reading.done():
                if gone:
                    return None
                if quiet >= patience:
                    raise TimeoutError
                if gone := not self.alive:
                    self.kill()  # what it started may hold the pipe open
                await asyncio.wait([reading], timeout=_LOOK)
                quiet = quiet + _LOOK if wanted() else 0.0
            value = json.loads(reading.result())
        except ValueError:  # cut off by its end, or too long
            return None
        finally:
            reading.cancel()
        return value if isinstance(value, dict) else None

    def kill(self) -> None:
        """The process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kills it, and waits until it is gone and its pipes are closed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.kill()
        last = (self.process.wait(), self._hearing, self.process.stdout.read(), self.process.stdin.wait_closed())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*last, return_exceptions=True), _FAREWELL)

    def fate(self) -> str:
        """How it ended, with its last words on stderr."""
        code = self.process.returncode or 0
        how = f"it ended with code {code}"
        if code < 0:
            how = f"it was ended by signal {-code} ({signal.strsignal(-code)})"
            how += ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
        return f"{how}; {self.last_words()}"

    def last_words(self) -> str:
        """The end of stderr in one line."""
        said = " / ".join(self._stderr)
        return f"its last words: {said[-1000:]}" if said else "it said nothing"

    async def _hear_stderr(self) -> None:
        """Keeps what is not the inside of a traceback: its last line is the reason."""
        assert self.process.stderr is not None
        rest = ""
        while raw := await self.process.stderr.read(1 << 12):
            *lines, rest = (rest[-1000:] + raw.decode(errors="replace")).split("\n")
            self._keep(*lines)
        self._keep(rest)

    def _keep(self, *lines: str) -> None:
        self._stderr += [line.strip() for line in lines if line.strip() and not line.startswith((" ", "Traceback (most recent"))]


def follow_parent(parent: int) -> None:
    """Of the child: ends with its parent, however that ends.

    On Linux the kernel sees to it, also while a native call holds the interpreter lock; elsewhere the end of stdin must do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
