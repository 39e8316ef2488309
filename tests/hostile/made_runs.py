"""Small run folders, each made once in a process and copied by every case that needs one."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from clock import HANG
from hostile.harness import Ended, usbrec
from test_run import RECIPE, SMALL, difference, timeless
from usbrec import cli, manifest

SCRIPTED = """
name: small
seed: 1
data: {kind: demo, train_rows: 40}
engines:
  policy: {kind: scripted, replies: ["Have you seen Heat (1995)?", "You may like Alien (1979).", "What do you like?"]}
  sft: {kind: scripted, model: b, replies: ["Have you seen Casino (1995)?", "You may like Alien (1979)."]}
  rl: {kind: scripted, model: c, replies: ["Have you seen Alien (1979)?", "What about Heat (1995)?"]}
prefer: {rows: 8, k: 3, temperature: 0.8, pairing: paper}
search: {candidates: 2, depth: 0}
evaluate: {rows: 6, arms: [base, rl, rl+ses], rankings: {samples: 2}}
"""
"""All stages but the training, in seconds."""
SLOW = """
import time
def reply(messages): time.sleep(0.1); return f"Have you seen Heat (1995)? {len(messages)}"
"""
"""A system that gives time to kill what asks it."""


def here(*arguments: str | Path) -> Ended:
    """As `harness.usbrec`, in this process: for cases in which a process of its own would only cost time."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch.object(sys, "argv", ["usbrec", *map(str, arguments)]):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return Ended(code, out.getvalue(), err.getvalue())


def _folder(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"hostile-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _made(ended: Ended) -> None:
    assert ended.code == 0, ended.err[-2000:]


@functools.cache
def scripted() -> Path:
    """A folder with `recipe.yaml` and its finished run in `run`, the preference data included."""
    folder = _folder("scripted")
    (folder / "recipe.yaml").write_text(SCRIPTED)
    for command in ("prefer", "run"):
        _made(here(command, folder / "recipe.yaml", "--out", folder / "run"))
    return folder


@functools.cache
def played() -> Path:
    """A folder with `recipe.yaml`, `slow.py`, its finished evaluation in `run`, and in `half` one that was killed after some rows."""
    folder = _folder("played")
    (folder / "recipe.yaml").write_text(SCRIPTED)
    (folder / "slow.py").write_text(SLOW)
    _made(usbrec(*measure(folder, folder / "run"), cwd=folder, limit=HANG))
    killed(folder, folder / "half")
    return folder


def measure(folder: Path, out: Path, *more: str) -> list[str | Path]:
    return [
        "evaluate",
        folder / "recipe.yaml",
        "--system",
        f"{folder / 'slow.py'}:reply",
        "--out",
        out,
        "--set",
        "evaluate.rankings.samples=0",
        *more,
    ]


def killed(folder: Path, out: Path, *more: str, rows: int = 3, before: Callable[[], object] = lambda: None) -> None:
    """Begins to measure the slow system and kills the command with SIGKILL once so many of its rows are there.

    Args:
        before: called just before the kill.
    """
    arm = out / "evaluate" / "system:slow-reply"

    def there() -> bool:
        path = arm / "outcomes.jsonl"
        return "files" not in (manifest.label(arm) or {"files": 0}) and path.exists() and path.read_bytes().count(b"\n") >= rows

    def kill(process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + HANG
        while time.monotonic() < deadline and process.poll() is None and not there():
            time.sleep(0.02)
        before()
        process.send_signal(signal.SIGKILL)

    ended = usbrec(*measure(folder, out, *more), cwd=folder, limit=HANG, interrupt=kill)
    assert ended.code == -signal.SIGKILL, f"it was over before it could be killed: {ended.err[-500:]}"


@functools.cache
def trained() -> Path:
    """A folder with a finished run of the real model in `run`."""
    folder = _folder("trained")
    _made(usbrec(*train(folder / "run"), cwd=folder, limit=HANG))
    return folder


@functools.cache
def half_trained() -> Path:
    """A folder with two copies of that run, trained on with another seed: to the end in `whole`, killed between two steps in `half`."""
    folder = _folder("half-trained")
    for name in ("whole", "half"):
        shutil.copytree(trained() / "run", folder / name)
    _made(usbrec(*retrain(folder / "whole"), cwd=folder, limit=HANG))

    def kill(process: subprocess.Popen[str]) -> None:
        deadline, checkpoint = time.monotonic() + HANG, folder / "half" / "simpo" / "checkpoint-1" / "sealed.json"
        while time.monotonic() < deadline and process.poll() is None and not checkpoint.exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)

    ended = usbrec(*retrain(folder / "half"), cwd=folder, limit=HANG, interrupt=kill)
    assert ended.code == -signal.SIGKILL, f"it was over before it could be killed: {ended.err[-500:]}"
    return folder


def train(out: Path) -> list[str | Path]:
    sets = [part for key, value in (SMALL | {"evaluate.arms": "[rl]", "evaluate.rows": 3}).items() for part in ("--set", f"{key}={value}")]
    return ["evaluate", RECIPE, "--out", out, *sets]


def retrain(out: Path) -> list[str | Path]:
    return ["simpo", *train(out)[1:], "--set", "simpo.seed=5"]


def rows_in(out: Path) -> dict[str, Any]:
    """All rows of a run folder without their wall times, by file, and the trained weights."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".jsonl" and not name.startswith(("earlier/", "sft/", "simpo/", "judges/")):
            found[name] = [timeless(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        elif path.name in ("adapter_model.safetensors", "model.gguf") and not name.startswith("earlier/"):
            found[name] = path.read_bytes()
    return found


def unlike(out: Path, expected: dict[str, Any]) -> list[str]:
    """The faults of a run folder that should hold the same as an undamaged one."""
    found = rows_in(out)
    faults = [f"lost: {name} is not there" for name in expected.keys() - found.keys()]
    differing = (name for name in expected.keys() & found.keys() if expected[name] != found[name])
    return faults + [f"silent: {name}{difference(expected[name], found[name])}" for name in differing]
