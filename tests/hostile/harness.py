"""What every hostile case is built of: run the product with a time limit, and say what did not hold.

A `Case` plays itself in an empty folder and returns its faults, each `"<kind>: what happened"` with a kind of `KINDS`; no fault: it held.

- hang: no end within the limit, or a child that outlived the command;
- traceback: a fault that reached the user as Python's, not as a message;
- silent: something was wrong and the command did not say so (code 0, a wrong result, or an error without what, where and what to do);
- lost: something that had been computed, or a file of the user's, is gone;
- secret: a key or a password stands where somebody may read it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KINDS = ("hang", "traceback", "silent", "lost", "secret")
_CRASH = re.compile(
    r"Traceback \(most recent|unexpected \w*(Error|Exception|Group|Interrupt)|unhandled errors in a TaskGroup|USBREC_DEBUG=1"
)


@dataclass(frozen=True)
class Case:
    """One hostile act.  `fast` cases run in `make test`, the others only in `make hostile`."""

    name: str
    play: Callable[[Path], Iterable[str]]
    fast: bool = True
    acts: int = 1
    """How often it is hostile: the summary counts these."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    hung: bool = False
    orphans: int = 0
    """Processes that it left behind."""


def usbrec(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    text: str | None = None,
    limit: float = 120,
    interrupt: Callable[[subprocess.Popen[str]], object] | None = None,
) -> Ended:
    """Runs `usbrec ARGUMENTS` as a process of its own; after `limit` seconds it hung and is killed with all that it started.

    Args:
        limit: only catches hangs: far above what a busy machine needs.
        text: its standard input; none: empty.
        interrupt: called once the process runs (sends it a signal, say, after some time).
    """
    mark = f"hostile-{os.getpid()}-{time.monotonic_ns()}"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "usbrec", *map(str, arguments)],
        cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        env={**os.environ, **(env or {}), "HOSTILE_MARK": mark}, start_new_session=True,
    )  # fmt: skip
    hung = False
    try:
        if interrupt is not None:
            interrupt(process)
        out, err = process.communicate(text or "", timeout=limit)
    except subprocess.TimeoutExpired:
        hung = True
        end(*marked(mark))
        out, err = process.communicate()
    return Ended(process.returncode, out, err, hung, orphans=left_behind(mark))


def on_terminal(
    *arguments: str | Path, cwd: Path, keys: Sequence[tuple[str, str]], env: Mapping[str, str] | None = None, limit: float = 120
) -> Ended:
    """Runs `usbrec ARGUMENTS` on a terminal of its own; `out` is all that it showed, its code is -1 where the terminal was left changed.

    Args:
        keys: one after the other, (text that is waited for, what is typed then): "\\x03" is Ctrl-C, "\\x04" Ctrl-D.
    """
    mark = f"hostile-{os.getpid()}-{time.monotonic_ns()}"
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "usbrec", *map(str, arguments)],
        cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "TERM": "xterm", **(env or {}), "HOSTILE_MARK": mark},
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    seen, at, deadline, waiting = "", 0, time.monotonic() + limit, list(keys)
    while time.monotonic() < deadline:
        if waiting and (found := seen.find(waiting[0][0], at)) >= 0:
            at = found + len(waiting[0][0])
            os.write(ours, waiting.pop(0)[1].encode())
        elif select.select([ours], [], [], 0.05)[0]:
            seen += os.read(ours, 1 << 16).decode(errors="replace")
        elif process.poll() is not None:
            break
    hung = process.poll() is None
    if hung:
        end(*marked(mark))
    changed = termios.tcgetattr(theirs) != before
    for end_of in (theirs, ours):
        os.close(end_of)
    return Ended(-1 if changed else process.wait(), seen.replace("\r\n", "\n"), "", hung, orphans=left_behind(mark))


def marked(mark: str) -> list[int]:
    """The processes that carry a mark in their environment, children that left the session among them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if f"HOSTILE_MARK={mark}".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
    return found


def end(*pids: int) -> None:
    """Kills these processes."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def left_behind(mark: str, patience: float = 5) -> int:
    """How many processes of an ended command are still there after a while; they are killed."""
    deadline = time.monotonic() + patience
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    end(*left)
    return len(left)


def refused(ended: Ended, *told: str, code: int | None = None) -> list[str]:
    """The faults of a command that should have ended with one clear error that contains each of `told`."""
    faults = crashed(ended)
    if ended.code == 0:
        return [*faults, "silent: it ended with code 0"]
    if not ended.hung and code is not None and ended.code != code:
        faults.append(f"silent: it ended with code {ended.code}, not {code}: {ended.err[-300:]}")
    faults += [f"silent: the error does not say {text!r}: {ended.err[-500:]}" for text in told if text.lower() not in ended.err.lower()]
    return faults


def held(ended: Ended, *told: str) -> list[str]:
    """The faults of a command that should have ended well, and said each of `told` on either stream."""
    faults = crashed(ended)
    if ended.code != 0 and not ended.hung:
        faults.append(f"silent: it ended with code {ended.code}: {ended.err[-500:]}")
    said = (ended.out + ended.err).lower()
    return faults + [f"silent: it does not say {text!r}: {ended.err[-500:]}" for text in told if text.lower() not in said]


def crashed(ended: Ended) -> list[str]:
    """The faults that no command may have, however it ended."""
    faults = ["hang: no end within the limit"] if ended.hung else []
    if ended.orphans:
        faults.append(f"hang: {ended.orphans} processes outlived the command")
    if found := _CRASH.search(ended.err + ended.out):
        faults.append(f"traceback: {found[0]!r} in {(ended.err + ended.out)[-500:]}")
    if ended.code < 0 and not ended.hung:
        faults.append(f"traceback: ended by signal {-ended.code}")
    return faults


def leaked(secrets: Sequence[str], folder: Path, *ended: Ended) -> list[str]:
    """Where any of these secrets stands: in the output, or in a file under `folder`."""
    faults = [f"secret: in the output of the command: {s[:3]}..." for s in secrets for e in ended if s in e.out + e.err]
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            raw = path.read_bytes()
            faults += [f"secret: in {path.relative_to(folder)}: {s[:3]}..." for s in secrets if s.encode() in raw]
    return faults
