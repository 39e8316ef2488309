"""The product as a user runs it: one command, killed in every stage, the same command again; the same result as an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clock import HANG
from usbrec import models
from usbrec.errors import UsbrecError

RECIPE = Path(__file__).parents[1] / "recipes" / "demo.yaml"
SMALL = {
    "data.train_rows": 60,
    "imitation.rows": 24,
    "sft.max_steps": 3,
    "sft.batch_size": 2,
    "sft.save_every": 1,
    "sft.check_rows": 4,
    "sft.check_replies": 2,
    "sft.check_tokens": 8,
    "prefer.rows": 10,
    "prefer.k": 4,
    "prefer.temperature": 0.8,
    "prefer.pairing": "paper",  # three steps of SFT offer nothing yet: the human replies make the pairs
    "simpo.max_steps": 2,
    "simpo.save_every": 1,
    "simpo.check_rows": 4,
    "simpo.check_replies": 2,
    "simpo.check_tokens": 8,
    "simpo.batch_size": 2,
    "search.candidates": 3,
    "search.depth": 1,
    "search.stop_early": False,
    "evaluate.rows": 6,
    "evaluate.arms": "[base, rl, rl+ses]",
    "recommender.history": 3,
    "recommender.max_tokens": 24,
    "recommender.redraws": 1,
    "engines.policy.precision": "exact",
}
STAGES = ("prepare", "sft", "export/sft", "prefer", "simpo", "export/rl", "evaluate/base", "evaluate/rl+ses", "report")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session", autouse=True)
def _model() -> None:
    try:
        models.fetch("smollm2-135m-instruct")
    except UsbrecError as fault:
        pytest.skip(f"the default model is not to be had: {fault}")


def command(out: Path, *more: str) -> list[str]:
    sets = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "usbrec", "run", str(RECIPE), "--out", str(out), *sets, *more]


def run(out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(out), capture_output=True, text=True, timeout=HANG)


def kill_in(stage: str, out: Path) -> bool:
    """Starts the run, kills it with all its children right after `stage` began; False when the stage was over before."""
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"{stage}: ") and "unchanged" not in line:
            time.sleep(0.05 if stage in ("prepare", "report") else 1.5)
            break
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=HANG)
    process.stderr.close()
    return alive


def results(out: Path) -> dict[str, Any]:
    """All that must not depend on interruptions: every row without its wall times, and the trained weights."""
    found: dict[str, Any] = {}
    for path in sorted(out.glob("**/*.jsonl")):
        name = str(path.relative_to(out))
        if name.startswith(("prepare", "prefer", "evaluate")):
            found[name] = [timeless(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    for name in ("sft/adapter/adapter_model.safetensors", "simpo/adapter/adapter_model.safetensors", "export/rl/model.gguf"):
        found[name] = (out / name).read_bytes()
    return found


def timeless(row: Any) -> Any:
    if isinstance(row, dict):
        return {key: timeless(value) for key, value in row.items() if key != "seconds"}
    return [timeless(value) for value in row] if isinstance(row, list) else row


def difference(a: Any, b: Any) -> str:
    """Where two values first differ, and how: short enough to be read in a log."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return next(f".{key}{difference(a[key], b[key])}" for key in a if a[key] != b[key])
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return next(f"[{n}]{difference(x, y)}" for n, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
    return f": {str(a)[:200]!r} became {str(b)[:200]!r}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "undisturbed"
    done = run(out)
    assert done.returncode == 0, done.stderr
    return out


def test_one_command_runs_all_seven_stages(undisturbed: Path) -> None:
    report = json.loads((undisturbed / "report" / "report.json").read_text(encoding="utf-8"))
    assert {"base", "rl", "rl+ses", "collaborative", "ceiling:human"} <= set(report["arms"])
    named = {(p["a"], p["b"], p["metric"]) for p in report["paired"]}
    assert ("rl", "base", "ieval") in named or ("rl+ses", "rl", "ieval") in named
    assert (undisturbed / "report" / "report.html").exists()
    card = json.loads((undisturbed / "prefer" / "card.json").read_text(encoding="utf-8"))
    assert card["dialogues"] == 10 and sum(card["outcomes"].values()) == 10


def test_killed_in_every_stage_and_run_again_ends_in_the_same_result(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "disturbed"
    killed = [stage for stage in STAGES if kill_in(stage, out)]
    assert len(killed) >= 6, f"only {killed} could be killed"
    done = run(out)
    assert done.returncode == 0, done.stderr
    expected, found = results(undisturbed), results(out)
    assert set(found) == set(expected)
    differing = [f"{name}{difference(value, found[name])}" for name, value in expected.items() if found[name] != value]
    assert not differing, f"after kills in {killed}: {differing}"


def test_the_same_command_again_does_nothing_and_a_changed_key_is_named(undisturbed: Path) -> None:
    again = run(undisturbed)
    assert again.returncode == 0 and again.stderr.count("unchanged, kept") >= 9
    assert "running" not in again.stderr
    status = subprocess.run(
        [sys.executable, "-m", "usbrec", "status", str(undisturbed), "--json"], capture_output=True, text=True, timeout=HANG
    )
    assert {row["state"] for row in json.loads(status.stdout)} == {"finished"}


def test_chat_takes_piped_lines(undisturbed: Path) -> None:
    talk = subprocess.run(
        [sys.executable, "-m", "usbrec", "chat", str(undisturbed), "--arm", "rl+ses", "--show-search"],
        input="I loved Heat (1995)\nSomething newer?\n", capture_output=True, text=True, timeout=HANG,
    )  # fmt: skip
    assert talk.returncode == 0, talk.stderr
    assert len([line for line in talk.stdout.splitlines() if line.strip()]) == 2
    assert "profile:" in talk.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "recipes/nothing.yaml"], "no such recipe"),
        (["run", str(RECIPE), "--set", "prefer.kk=2"], "did you mean 'k'?"),
        (["run", str(RECIPE), "--set", "engines.policy.model=/no/such.gguf", "--out", "OUT"], "/no/such.gguf"),
        (["run", str(RECIPE), "--set", "data.kind=redial", "--out", "OUT", "--data-dir", "/nowhere"], "--data-dir"),
        (["status", "/nowhere"], "no run folder"),
        (["chat", "/nowhere"], "no run folder"),
        (["report", "/nowhere"], "no run folder"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], told: str, tmp_path: Path) -> None:
    given = [str(tmp_path / "out") if a == "OUT" else a for a in arguments]
    done = subprocess.run([sys.executable, "-m", "usbrec", *given], capture_output=True, text=True, timeout=HANG)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr and "error: " in done.stderr
    assert told in done.stderr
