"""A run that is killed with SIGKILL and started again gives, bit for bit, the adapter of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import pair_rows, sft_config, sft_rows, simpo_config

from clock import HANG
from usbrec.training import train
from usbrec.training.checkpoints import is_whole, latest, seal

RUNS = {
    "nll": (sft_rows(40), sft_config(epochs=2, save_every=3, lora_dropout=0.2, check_every=5, check_tokens=4)),
    "simpo": (pair_rows(40), simpo_config(epochs=2, save_every=3, lora_dropout=0.2, check_every=5, check_tokens=4)),
}


def run(objective: str, model: Path, out: Path):
    rows, config = RUNS[objective]
    return train(objective, rows, rows[:4], config, model, None, out)  # type: ignore[arg-type]


def run_and_die(objective: str, model: Path, out: Path, path: str) -> None:
    """Trains, and kills itself the moment `path` appears under `out`."""
    import threading
    import time

    def watch() -> None:
        while not (out / path).exists():
            time.sleep(0.0005)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    run(objective, model, out)


@pytest.mark.parametrize(("objective", "path"), [("nll", "checkpoint-9"), ("simpo", "checkpoint-12/sealed.json")])
def test_killed_and_resumed_equals_undisturbed(tiny, tmp_path, objective, path):
    """Once in the middle of writing a checkpoint, once right after one was finished."""
    whole = run(objective, tiny, tmp_path / "whole")
    code = f"from test_resume import *; run_and_die({objective!r}, Path({str(tiny)!r}), Path({str(tmp_path / 'killed')!r}), {path!r})"
    places = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(places)}
    died = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not (tmp_path / "killed" / "adapter").exists()
    resumed = run(objective, tiny, tmp_path / "killed")
    assert resumed.resumed_at >= 6
    a, b = ((result.adapter / "adapter_model.safetensors").read_bytes() for result in (whole, resumed))
    assert a == b
    assert resumed.end == whole.end
    assert resumed.start == whole.start
    steps = [line.split(",")[0] for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()]
    assert steps == [line.split(",")[0] for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]


def checkpoint(out: Path, step: int) -> Path:
    folder = out / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "weights").write_bytes(b"1234")
    return folder


def test_only_whole_checkpoints_are_trusted(tmp_path):
    seal(checkpoint(tmp_path, 3))
    seal(checkpoint(tmp_path, 10))
    assert latest(tmp_path) == tmp_path / "checkpoint-10"
    (tmp_path / "checkpoint-10" / "weights").write_bytes(b"12")
    checkpoint(tmp_path, 12)
    assert latest(tmp_path) == tmp_path / "checkpoint-3"
    assert not (tmp_path / "checkpoint-10").exists()
    assert not (tmp_path / "checkpoint-12").exists()
    (tmp_path / "checkpoint-3" / "weights").unlink()
    assert not is_whole(tmp_path / "checkpoint-3")
    assert latest(tmp_path) is None
