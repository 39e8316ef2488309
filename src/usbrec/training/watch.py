"""What watches a training run: the log, the progress bar, the collapse check, the seals of checkpoints.  Imports torch."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import transformers

from usbrec import interrupts, jsonl
from usbrec.errors import CollapseError
from usbrec.progress import Progress
from usbrec.training import checkpoints, collapse, memory
from usbrec.training.batches import Encoded, collate
from usbrec.training.collapse import Health
from usbrec.training.objective import ReplyTrainer, reply_log_probabilities
from usbrec.training.settings import TrainingSettings

_NAMES = {"learning_rate": "lr"}
_KEPT = ("loss", "learning_rate", "grad_norm", "chosen_reward", "rejected_reward", "reward_margin", "accuracy")
_BATCH = 16  # held-out rows measured at once
_UNLOGGED = "unlogged.json"
"""In a checkpoint: what was seen since the last line of the log."""
_SEALED = ("log.jsonl", "start.json")
"""Copied into each checkpoint, under its seal."""


class Watch(transformers.TrainerCallback):  # type: ignore[misc]
    """Called by the trainer.  The check runs before a checkpoint of the same step is written: what is saved was healthy."""

    def __init__(
        self, out: Path, settings: TrainingSettings, trainer: ReplyTrainer, held_out: Sequence[Encoded], tokenizer: Any, end_of_turn: int
    ) -> None:
        self.out, self.settings, self.trainer = out, settings, trainer
        self.held_out, self.tokenizer, self.end_of_turn = held_out, tokenizer, end_of_turn
        self.bar: Progress | None = None
        self.keep: Callable[[int], None] | None = None
        """Keeps the adapter of a step."""
        self.start: Health | None = None
        self.end: Health | None = None
        self._busy = 0.0
        self._began = 0.0
        self._spoken = (0, 0.0)

    # ---- the trainer's events --------------------------------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step:
            self._go_on(self.out / f"checkpoint-{state.global_step}" / _UNLOGGED)
        if not self.held_out:
            return
        path = self.out / "start.json"
        with interrupts.blocking():
            if state.global_step == 0:
                self.start = self.measure()
                if state.is_world_process_zero:
                    jsonl.write_text(path, self.start.model_dump_json())
                    self._write({"step": 0, **_numbers(self.start)})
                return
            self.start = Health.model_validate_json(path.read_text(encoding="utf-8"))
            if self._is_due(state) and not any(_is_check(row) and row["step"] == state.global_step for row in self._lines()):
                self._check(state)  # that of the step in which it was interrupted
            elif state.global_step >= state.max_steps:
                self.end = self.measure()

    def _go_on(self, path: Path) -> None:
        if path.exists():
            carried = json.loads(path.read_text(encoding="utf-8"))
            self._busy, self._spoken = carried.pop("busy"), tuple(carried.pop("spoken"))
            self.trainer.go_on_logging(**carried)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.remember()
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._busy += time.monotonic() - self._began
        if self.bar is not None:
            self.bar.advance(note=f"{self.rate():.0f} tokens/s")
        if state.global_step % memory.EVERY == 0:
            memory.release()
        if state.global_step == state.max_steps:
            control.should_log = True
        if self.keep and self.settings.keep_every and state.global_step % self.settings.keep_every == 0 and state.is_world_process_zero:
            self.keep(state.global_step)
        if self.start is not None and self._is_due(state):
            with suppress(interrupts.Interrupted), interrupts.blocking():  # it is made up for when training goes on
                self._check(state)
        if interrupts.pressed():
            control.should_save = control.should_training_stop = True

    def _is_due(self, state: Any) -> bool:
        """Is there a check after this step?"""
        return bool(state.global_step % self.settings.check_every == 0 or state.global_step == state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise CollapseError(f"the loss is {logs['loss']} at step {state.global_step}", where=str(self.out), fix=self._advice())
        if state.is_world_process_zero:
            tokens, seconds = self.trainer.tokens - self._spoken[0], self._busy - self._spoken[1]
            self._spoken = (self.trainer.tokens, self._busy)
            row = {_NAMES.get(name, name): logs[name] for name in _KEPT if name in logs}
            self._write({"step": state.global_step, **row, "tokens_per_second": round(tokens / max(seconds, 1e-9), 1)})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        carried = {**self.trainer.unlogged(), "busy": self._busy, "spoken": self._spoken}
        if state.is_world_process_zero:
            folder = self.out / f"checkpoint-{state.global_step}"
            jsonl.write_json(folder / _UNLOGGED, carried)
            for path in filter(Path.exists, (self.out / name for name in _SEALED)):
                shutil.copy(path, folder)
            checkpoints.seal(folder)

    # ---- the collapse check ------------------------------------------------------------------------------------------------------------

    def _check(self, state: Any) -> None:
        assert self.start is not None
        self.end = self.measure()
        if state.is_world_process_zero:
            self._write({"step": state.global_step, **_numbers(self.end)})
        if broken := collapse.faults(self.end, self.start, self.settings):
            shutil.rmtree(self.out / f"checkpoint-{state.global_step}", ignore_errors=True)  # saved before its check, which came to no end
            raise CollapseError(
                f"training stopped at step {state.global_step}, the policy is collapsing: {'; '.join(broken)}",
                where=str(self.out),
                fix=self._advice(),
            )

    def _advice(self) -> str:
        kept = checkpoints.latest(self.out)
        last = f"the last good checkpoint is kept in {kept.name}; " if kept else ""
        return f"{last}lower learning_rate or train fewer steps; for SimPO, prefer pairs whose two replies both come from the policy"

    def measure(self) -> Health:
        """The held-out rows under the model as it is now."""
        model = self.trainer.model
        with self._evaluating(model):
            sums, counts = self._likelihoods(model)
            means = sums / counts
            paired = len(self.held_out[0].replies) == 2
            chosen, rejected = (means[0::2], means[1::2]) if paired else (means, means)
            replies = self._greedy(model) if self.settings.check_replies else []
        return Health(
            chosen_logp=float(chosen.mean()),
            margin=float((chosen - rejected).mean()) if paired else None,
            accuracy=float((chosen > rejected).float().mean()) if paired else None,
            same_reply=collapse.same_reply(replies) if replies else None,
            repetition=sum(map(collapse.repetition, replies)) / len(replies) if replies else None,
            empty_replies=sum(not reply.strip() for reply in replies),
        )

    @contextmanager
    def _evaluating(self, model: Any) -> Iterator[None]:
        training = model.training
        model.eval()
        try:
            with torch.no_grad(), self.trainer.accelerator.autocast():
                yield
        finally:
            model.train(training)

    def _likelihoods(self, model: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum and count of each reply's tokens, in row order; chosen and rejected alternate."""
        pad = collate(self.trainer.padding)
        found: dict[int, list[tuple[float, float]]] = {}
        order = sorted(range(len(self.held_out)), key=lambda row: self.held_out[row].length)
        for at in range(0, len(order), _BATCH):
            some = order[at : at + _BATCH]
            batch = {name: value.to(model.device) for name, value in pad([self.held_out[row] for row in some]).items()}
            sums, counts = reply_log_probabilities(model, batch)
            for place in range(len(sums)):
                found.setdefault(some[place % len(some)], []).append((float(sums[place]), float(counts[place])))
        flat = torch.tensor([pair for row in range(len(order)) for pair in found[row]])
        return flat[:, 0], flat[:, 1]

    def _greedy(self, model: Any) -> list[str]:
        """Greedy replies to the first held-out prompts, padded at the left."""
        prompts = [row.prompt for row in self.held_out[: self.settings.check_replies]]
        longest = max(map(len, prompts))
        ids = torch.full((len(prompts), longest), self.trainer.padding)
        mask = torch.zeros_like(ids)
        for at, prompt in enumerate(prompts):
            ids[at, longest - len(prompt) :] = torch.tensor(prompt)
            mask[at, longest - len(prompt) :] = 1
        drawn = model.generate(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device), max_new_tokens=self.settings.check_tokens,
            do_sample=False, use_cache=True, eos_token_id=self.end_of_turn, pad_token_id=self.trainer.padding,
        )  # fmt: skip
        texts: list[str] = self.tokenizer.batch_decode(drawn[:, longest:], skip_special_tokens=True)
        return texts

    # ---- the log -----------------------------------------------------------------------------------------------------------------------

    def _write(self, row: dict[str, Any]) -> None:
        """Adds a line; that of a check stands before that of the same step's loss, whichever came first."""
        rows = self._lines() if _is_check(row) else []
        if behind := [known for known in rows if known["step"] == row["step"]]:
            self._rewrite([*rows[: -len(behind)], row, *behind])
            return
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _lines(self) -> list[dict[str, Any]]:
        path = self.out / "log.jsonl"
        return [row for _, row in jsonl.read_objects(path, tolerate_torn_tail=True)] if path.exists() else []

    def _rewrite(self, rows: Sequence[dict[str, Any]]) -> None:
        jsonl.write_text(self.out / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def restore(self, checkpoint: Path | None) -> None:
        """Makes log and start what they were at a checkpoint, whatever was written or damaged since; without one the log begins anew."""
        if checkpoint is None:
            self._rewrite([])
        for path in filter(Path.exists, (checkpoint / name for name in _SEALED) if checkpoint else ()):
            shutil.copy(path, self.out)

    def first_and_last_loss(self) -> tuple[float, float]:
        """Of log.jsonl."""
        losses = [row["loss"] for row in self._lines() if "loss" in row]
        return losses[0], losses[-1]

    def rate(self) -> float:
        """Tokens a second of this process so far, checks and checkpoints left out."""
        return self.trainer.tokens / max(self._busy, 1e-9)


def _is_check(row: dict[str, Any]) -> bool:
    return "loss" not in row


def _numbers(health: Health) -> dict[str, float]:
    return {f"held_out_{name}": float(value) for name, value in health.model_dump().items() if value is not None}
