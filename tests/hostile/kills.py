"""kill -9 at random moments of a run with the real model: the same command again ends as an undisturbed run did, bit for bit.

Only the command itself is killed, as an out-of-memory killer does it: what it started has to notice.  `tests/test_run.py` kills once in
every stage.
"""

from __future__ import annotations

import atexit
import functools
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from clock import HANG
from hostile.harness import Case, left_behind
from test_run import command, difference, results

RUNS, KILLS, LATEST = 5, 10, 14.0
"""So many kills in each of so many runs, each at most so many seconds after the start."""


def case(seed: int) -> Case:
    return Case(f"{KILLS} kills, moments {seed}", lambda folder: killed(folder, random.Random(seed)), fast=False, acts=KILLS)


def killed(folder: Path, rng: random.Random) -> Iterator[str]:
    """Kills a run again and again; one that ends before its turn is compared, and the next begins anew."""
    out, number, done = folder / "run-0", 0, 0
    answers = 0
    while done < KILLS:
        ended, orphans = started(out, folder, rng.uniform(0.2, LATEST))
        if orphans:
            yield f"hang: {orphans} processes outlived the killed command"
        if ended is None:
            done += 1
            if (now := recorded(out)) < answers:
                yield f"lost: {answers - now} answers of the ledger are gone"
            answers = now
        else:
            yield from compared(out, ended)
            number, answers = number + 1, 0
            out = folder / f"run-{number}"
    yield from compared(out, started(out, folder, HANG)[0])


def started(out: Path, folder: Path, seconds: float) -> tuple[int | None, int]:
    """Starts the run and kills it after so many seconds: (its exit code, or None where it was killed; processes that it left)."""
    mark = f"kills-{os.getpid()}-{time.monotonic_ns()}"
    with (folder / "told.txt").open("w") as told:
        process = subprocess.Popen(command(out), stdout=told, stderr=told, env={**os.environ, "HOSTILE_MARK": mark}, start_new_session=True)
        try:
            code: int | None = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
    return code, left_behind(mark)


def compared(out: Path, code: int | None) -> Iterator[str]:
    """What differs from an undisturbed run."""
    if code is None:
        yield "hang: no end within the limit"
    elif code:
        yield f"silent: it ended with code {code}: {(out.parent / 'told.txt').read_text()[-500:]}"
    else:
        found, expected = results(out), undisturbed()
        yield from (f"lost: {name} is not there" for name in expected.keys() - found.keys())
        yield from (f"lost: {name}{difference(v, found[name])}" for name, v in expected.items() if name in found and found[name] != v)


@functools.cache
def undisturbed() -> dict[str, Any]:
    """The results of a run that nobody killed."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-undisturbed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    code, _ = started(folder / "run", folder, HANG)
    assert code == 0, (folder / "told.txt").read_text()[-2000:]
    return results(folder / "run")


def recorded(out: Path) -> int:
    """How many answers the ledger has."""
    path = out / "ledger.sqlite"
    if not path.exists():
        return 0
    count: Callable[[sqlite3.Connection], int] = lambda open_: open_.execute("SELECT COUNT(*) FROM calls").fetchone()[0]  # noqa: E731
    with closing(sqlite3.connect(path)) as open_:
        try:
            return count(open_)
        except sqlite3.OperationalError:  # killed before the table was made
            return 0


CASES = [case(seed) for seed in range(1, RUNS + 1)]
