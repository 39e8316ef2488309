"""A run that is killed or interrupted and started again gives, bit for bit, the adapter (and the log) of an undisturbed run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import LORA, pair_rows, sft_config, sft_rows, simpo_config

from clock import HANG
from usbrec import interrupts
from usbrec.errors import DamageError
from usbrec.training import LoraSettings, train
from usbrec.training.checkpoints import is_whole, latest, seal

RUNS = {
    "nll": (sft_rows(40), sft_config(epochs=2, save_every=3, log_every=4, check_every=5, check_tokens=4)),
    "simpo": (pair_rows(40), simpo_config(epochs=2, save_every=3, log_every=4, check_every=5, check_tokens=4)),
    "nll accumulated": (
        sft_rows(40),
        sft_config(epochs=2, accumulation=3, batch_size=2, save_every=4, log_every=4, check_every=5, check_tokens=4),
    ),
}


def run(objective: str, model: Path, out: Path):
    rows, config = RUNS[objective]
    return train(objective.split()[0], rows, rows[:4], config, model, LoraSettings(**LORA, lora_dropout=0.2), out)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    return {objective: run(objective, tiny, tmp_path_factory.mktemp(objective)) for objective in RUNS}


def left(objective: str, model: Path, out: Path, passes: int) -> None:
    """Trains, and presses Ctrl-C in a forward pass, at its beginning or end or in the backward pass behind it; `passes` began before it."""
    from usbrec.training.objective import ReplyTrainer

    compute, began = ReplyTrainer.compute_loss, [0]

    def press(*_):
        os.kill(os.getpid(), signal.SIGINT)

    def pressing(self, model, *given, **named):
        began[0] += 1
        pressed = began[0] == passes + 1
        if pressed and passes % 3 == 1:
            next(each for name, each in model.named_modules() if "lora_A" in name).register_forward_hook(press)
        loss = compute(self, model, *given, **named)
        if pressed and passes % 3 == 0:
            press()
        if pressed:
            loss.register_hook(press)
        return loss

    ReplyTrainer.compute_loss = pressing  # type: ignore[method-assign]
    interrupts.guarded(lambda: run(objective, model, out))


def run_and_die(objective: str, model: Path, out: Path, path: str, number: int) -> None:
    """Trains, and sends itself a signal the moment `path` appears under `out`; or in the midst of the first check after the start."""
    import threading
    import time

    from usbrec.training.watch import Watch

    greedy = Watch._greedy

    def pressing(self, model):
        if path == "a check" and self.start is not None:
            os.kill(os.getpid(), number)
        return greedy(self, model)

    Watch._greedy = pressing  # type: ignore[method-assign]

    def watch() -> None:
        while not (out / path).exists():
            time.sleep(0.0005)
        os.kill(os.getpid(), number)

    threading.Thread(target=watch, daemon=True).start()
    interrupts.guarded(lambda: run(objective, model, out))


def dead(objective: str, model: Path, out: Path, path: str, number: int) -> subprocess.CompletedProcess[str]:
    """As `run_and_die`, in a process of its own."""
    return ended(number, f"run_and_die({objective!r}, Path({str(model)!r}), Path({str(out)!r}), {path!r}, {int(number)})")


def ended(number: int, call: str) -> subprocess.CompletedProcess[str]:
    """Calls a function of this module in a process of its own, which ends by a signal."""
    code = f"from test_resume import *; {call}"
    places = [str(Path(__file__).parent), str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(places)}
    died = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    assert died.returncode == (-number if number == signal.SIGKILL else 128 + number), died.stderr
    return died


def logged(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]


@pytest.mark.parametrize(
    ("objective", "path", "number"),
    [
        ("nll", "checkpoint-9", signal.SIGKILL),
        ("simpo", "checkpoint-12/sealed.json", signal.SIGKILL),
        ("nll", "checkpoint-9", signal.SIGINT),
        ("simpo", "checkpoint-15/sealed.json", signal.SIGTERM),
        ("simpo", "a check", signal.SIGINT),
    ],
)
def test_killed_and_resumed_equals_undisturbed(tiny, undisturbed, tmp_path, objective, path, number):
    """In the middle of writing a checkpoint, right after one was finished, or in a collapse check."""
    whole = undisturbed[objective]
    died = dead(objective, tiny, tmp_path / "killed", path, number)
    if number != signal.SIGKILL:
        assert died.stderr.splitlines()[-1].startswith("interrupted at step "), died.stderr
    assert not (tmp_path / "killed" / "adapter").exists()
    resumed = run(objective, tiny, tmp_path / "killed")
    assert resumed.resumed_at >= (6 if number == signal.SIGKILL else 5 if path == "a check" else 9)
    a, b = ((result.adapter / "adapter_model.safetensors").read_bytes() for result in (whole, resumed))
    assert a == b
    assert resumed.end == whole.end
    assert resumed.start == whole.start
    assert logged(tmp_path / "killed") == logged(whole.adapter.parent)
    own = {"adapter", "resumed_at", "tokens_per_second"}
    assert resumed.model_dump(exclude=own) == whole.model_dump(exclude=own)


@pytest.mark.parametrize(("objective", "passes"), [("nll", (10, 5)), ("simpo", (9, 0)), ("nll accumulated", (7, 11))])
def test_a_press_leaves_a_step(tiny, undisturbed, tmp_path, objective, passes):
    """In whatever of its passes: the step before is kept, no other is done twice, and the end is bit for bit the same."""
    whole, out, step = undisturbed[objective], tmp_path / "left", 0
    each = RUNS[objective][1].accumulation
    for count in passes:
        died = ended(signal.SIGINT, f"left({objective!r}, Path({str(tiny)!r}), Path({str(out)!r}), {count})")
        step += count // each
        assert died.stderr.splitlines()[-1].startswith(f"interrupted at step {step} of {whole.steps}; "), died.stderr
        assert (latest(out) or Path("checkpoint-0")).name == f"checkpoint-{step}"
    resumed = run(objective, tiny, out)
    assert resumed.resumed_at == step
    a, b = ((result.adapter / "adapter_model.safetensors").read_bytes() for result in (whole, resumed))
    assert a == b
    assert logged(out) == logged(whole.adapter.parent)
    own = {"adapter", "resumed_at", "tokens_per_second"}
    assert resumed.model_dump(exclude=own) == whole.model_dump(exclude=own)


def test_a_press_in_the_first_step_begins_anew(tiny, undisturbed, tmp_path):
    out = tmp_path / "left"
    ended(signal.SIGINT, f"left('nll accumulated', Path({str(tiny)!r}), Path({str(out)!r}), 1)")
    assert latest(out) is None
    assert run("nll accumulated", tiny, out).resumed_at == 0
    assert logged(out) == logged(undisturbed["nll accumulated"].adapter.parent)


@pytest.fixture(scope="module")
def killed(tiny, tmp_path_factory):
    """A training that was killed after its second checkpoint."""
    out = tmp_path_factory.mktemp("killed") / "nll"
    dead("nll", tiny, out, "checkpoint-6/sealed.json", signal.SIGKILL)
    return out


@pytest.mark.parametrize(
    ("name", "content"),
    [("start.json", b""), ("log.jsonl", bytes(300)), ("checkpoint-6/adapter_model.safetensors", b"{"), ("checkpoint-6/log.jsonl", None)],
)
def test_killed_and_damaged_it_equals_undisturbed(tiny, undisturbed, killed, tmp_path, name, content):
    """What is needed to go on is under the seal of each checkpoint."""
    out = shutil.copytree(killed, tmp_path / "nll")
    (out / name).unlink() if content is None else (out / name).write_bytes(content)
    whole, resumed = undisturbed["nll"], run("nll", tiny, out)
    a, b = ((result.adapter / "adapter_model.safetensors").read_bytes() for result in (whole, resumed))
    assert a == b and (resumed.start, resumed.end) == (whole.start, whole.end)
    assert logged(out) == logged(whole.adapter.parent)


@pytest.mark.parametrize("content", [b"", b"[]", bytes(300)])
def test_a_training_whose_identity_is_damaged_is_not_gone_on_with(tiny, killed, tmp_path, content):
    """As a stage it is begun anew (`pipeline`)."""
    out = shutil.copytree(killed, tmp_path / "nll")
    (out / "identity.json").write_bytes(content)
    with pytest.raises(DamageError, match="identity"):
        run("nll", tiny, out)


def test_an_adapter_is_described_in_one_order(undisturbed):
    """What SimPO starts from has a digest: it must not depend on the order of a set."""
    config = json.loads((undisturbed["nll"].adapter / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"]) and len(config["target_modules"]) > 7


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
