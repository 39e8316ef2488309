"""Ctrl-C, once and twice; SIGTERM counts as one press.

`guarded` holds a whole command, `run` its event loop.  One press ends the command at the first place where nothing is lost by it, and one
line says where that was and how to go on:

- a coroutine that waits is cancelled, with all that it waits for;
- `blocking` code is left where it stands: the handler raises `Interrupted` (files are written atomically, so it may stand anywhere);
- `stepping` code is not disturbed: it asks `pressed` after each step, saves, and is then left; what of it is `vain` is left at once, and
  then it saves.

Python runs a handler only between two bytecodes of the main thread.  In case that is busy in native code, a thread reads the pipe that the
system's own handler writes to: a second press ends the process at once, children included, and so does tidying up that takes longer than
`PATIENCE`.  A command is never waited for by threads of its own: the process leaves without joining them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

if TYPE_CHECKING:
    import asyncio

Result = TypeVar("Result")
PATIENCE = 3.0
"""Seconds from a press to the end by force; what is `stepping` has all the time it needs."""
_Mode = Literal["raise", "cancel", "note", "vain"]
_HEARD = (signal.SIGINT, signal.SIGTERM)
_TICK = 0.1


class Interrupted(BaseException):
    """The user wants the command to end.  No error, and no `KeyboardInterrupt` either, which libraries make an exit of without a word."""


@dataclass
class _Press:
    """What is known of the press; one a process, as the signal."""

    signal: int = 0
    """Its number; 0: none came."""
    mode: _Mode = "raise"
    task: asyncio.Task[Any] | None = None
    """The loop's main task."""
    places: list[Callable[[], str]] = field(default_factory=list)
    remedy: str = "what is finished is kept, the same command goes on from here"
    ending: threading.Lock = field(default_factory=threading.Lock)
    terminal: list[Any] | None = None
    """Its settings before the command began: an editor of lines changes them."""


_press = _Press()


def guarded(command: Callable[[], None]) -> None:
    """Runs a command; an interrupted one ends the process with its line and 128 + the signal's number.

    A signal that was ignored when the process started (`nohup`) stays so.
    """
    with contextlib.suppress(termios.error, ValueError, OSError):
        _press.terminal = termios.tcgetattr(0)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    heard = [number for number in _HEARD if signal.getsignal(number) != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, _hear)
    threading.Thread(target=_watch, args=(reading,), name="interrupts", daemon=True).start()
    try:
        command()
    except Interrupted:
        _end()
    finally:  # what comes now is Python's own way out, in which a handler would only make noise
        for number in heard:
            signal.signal(number, signal.SIG_DFL)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`, but for the press: the main task is cancelled, and then nothing is waited for.

    Raises:
        Interrupted: a press came.
    """
    import asyncio

    async def main() -> Result:
        _press.task = asyncio.current_task()
        with _mode("cancel"):
            return await work

    runner = asyncio.Runner()
    try:
        return runner.run(main())
    except asyncio.CancelledError:
        if pressed():
            raise Interrupted from None
        raise
    finally:
        if not pressed():
            runner.close()


def pressed() -> bool:
    """Does the user want the command to end?"""
    return _press.signal != 0


@contextlib.contextmanager
def blocking() -> Iterator[None]:
    """Around long work in the main thread: a press leaves it at once.

    Raises:
        Interrupted: a press came.
    """
    with _mode("raise"):
        _leave()
        yield


@contextlib.contextmanager
def stepping() -> Iterator[None]:
    """Around work that asks `pressed` itself, as often as it can be left without a loss.

    Raises:
        Interrupted: at its end, where a press came.
    """
    with _mode("note"):
        yield
    _leave()


@contextlib.contextmanager
def vain() -> Iterator[None]:
    """Within `stepping`, around work that changes nothing that is kept: a press leaves it at once, and saving has all the time it needs.

    Raises:
        Interrupted: a press came.
    """
    with _mode("vain"):
        _leave()
        yield


@contextlib.contextmanager
def within(place: Callable[[], str]) -> Iterator[None]:
    """Tells the line where the command is: "in sft", "at step 12 of 60".  Once pressed, a place stays for the line."""
    _press.places.append(place)
    try:
        yield
    finally:
        if not pressed():
            _press.places.pop()


def say_instead(remedy: str) -> None:
    """What the line says of how to go on, where that is not the same command."""
    _press.remedy = remedy


@contextlib.contextmanager
def _mode(mode: _Mode) -> Iterator[None]:
    outer, _press.mode = _press.mode, mode
    try:
        yield
    finally:
        _press.mode = outer


def _leave() -> None:
    if pressed():
        raise Interrupted


def _hear(number: int, _: object) -> None:
    """The handler, in the main thread."""
    if pressed():
        return  # `_watch` sees to it
    _press.signal = number
    logging.disable()
    sys.unraisablehook = lambda _: None
    if _press.mode in ("raise", "vain"):
        raise Interrupted
    if _press.mode == "cancel" and _press.task is not None:
        _press.task.cancel()
        _press.task.get_loop().call_soon_threadsafe(lambda: None)  # wakes it


def _watch(pipe: int) -> None:
    """The thread: counts presses, and the time since the first."""
    presses, waited = 0, 0.0
    while presses < 2 and waited < PATIENCE:
        if select.select([pipe], [], [], _TICK if presses else None)[0]:
            presses += sum(number in _HEARD for number in os.read(pipe, 64))
        elif _press.mode not in ("note", "vain"):
            waited += _TICK
    _end()


def _end() -> NoReturn:
    """Leaves: no child stays, no thread is waited for."""
    _press.ending.acquire()
    _end_children()
    if threading.current_thread() is threading.main_thread():
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
    with contextlib.suppress(OSError, termios.error):
        if _press.terminal is not None and os.tcgetpgrp(0) == os.getpgrp():  # in the background it would stop the process
            termios.tcsetattr(0, termios.TCSADRAIN, _press.terminal)
    place = "".join(f" {told()}" for told in _press.places)
    anew = "\r\x1b[2K\x1b[?25h" if os.isatty(2) else ""  # over what stands in the line, and the cursor that a progress bar has hidden
    with contextlib.suppress(OSError):
        os.write(2, f"{anew}interrupted{place}; {_press.remedy}\n".encode())
    os._exit(128 + (_press.signal or signal.SIGINT))


def _end_children() -> None:
    """Kills every process below this one."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    below = [os.getpid()]
    for pid in below:
        below += [child for child, parent in parents.items() if parent == pid]
    for pid in below[1:]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
