"""The one subclass of `transformers.Trainer`: two objectives on reply tokens only.  Imports torch; reached through `trainer.train` only.

Logits are computed for the reply's positions alone: the output head of a small model costs a quarter of its forward pass, so this gives a
fifth more tokens a second (docs/log.md).  A hook in front of the output head picks the positions, so the pass still goes through the
model's own forward and works wrapped for several processes.  A pair's prompt is computed once (`batches.collate`).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader

from usbrec import interrupts
from usbrec.training import losses
from usbrec.training.batches import Encoded, collate
from usbrec.training.settings import SimpoConfig, TrainingSettings


@contextmanager
def _only(model: Any, places: Tensor) -> Iterator[None]:
    """Within it, the output head sees the hidden states of these places of the flattened batch alone, as [n, hidden]."""
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0].flatten(0, 1)[places],))
    try:
        yield
    finally:
        hook.remove()


def reply_log_probabilities(model: Any, batch: dict[str, Tensor], *, inside: Any = None) -> tuple[Tensor, Tensor]:
    """Sum of the reply tokens' log-probabilities and their number, [replies x rows], first all first replies.

    Args:
        model: what is called; possibly wrapped for several processes.
        batch: as `batches.collate` makes it.
        inside: the model without wrapping.
    """
    seen = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
    with _only(inside if inside is not None else model, batch["places"]):
        logits = model(**seen, use_cache=False).logits
    values = losses.token_log_probabilities(logits, batch["targets"])
    return losses.sums_by_row(values, batch["owners"], len(batch["counts"]))


class ReplyTrainer(transformers.Trainer):  # type: ignore[misc]
    """Minimises the nll of replies (SFT) or SimPO's loss (pairs), in a planned order of batches."""

    _tr_loss: Tensor
    current_flos: float
    control: Any

    def __init__(
        self, *, settings: TrainingSettings, rows: Sequence[Encoded], batches: list[list[int]], padding: int, **others: Any
    ) -> None:
        self.settings, self.rows, self.batches, self.padding = settings, rows, batches, padding
        self.noted: dict[str, list[float]] = {}
        """What the objective told since the last line of the log."""
        self.tokens = 0
        self._rewind: Callable[[], None] | None = None
        """Makes of a step that was left a step that was not begun."""
        super().__init__(train_dataset=rows, data_collator=collate(padding), **others)
        for parameter in filter(lambda parameter: parameter.requires_grad, self.model.parameters()):
            parameter.register_hook(lambda _: None)  # a backward pass is one native call: here Python hears a press
        # nll is scaled here by the tokens of the whole optimiser step; SimPO by the trainer, by the number of forward passes
        self.model_accepts_loss_kwargs = not isinstance(settings, SimpoConfig)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This process's share of the planned batches: every n-th one; the plan is filled up from its front so that shares are equal."""
        count = self.args.world_size
        whole = [*self.batches, *self.batches[: -len(self.batches) % count]]
        return DataLoader(self.rows, batch_sampler=whole[self.args.process_index :: count], collate_fn=collate(self.padding))

    def training_step(self, *given: Any, **named: Any) -> Any:
        """Forward and backward pass, which a press leaves: until the optimiser's step no weight has changed."""
        with interrupts.vain() if self.args.world_size == 1 else nullcontext():
            return super().training_step(*given, **named)

    def remember(self) -> None:
        """Notes what the passes of the step that begins will change: the random states, and what the log is made of."""
        if self.args.world_size > 1:
            return
        python, numpy, cpu, gpus = random.getstate(), np.random.get_state(), torch.get_rng_state(), torch.cuda.get_rng_state_all()
        loss, noted, tokens, flos = self._tr_loss.clone(), copy.deepcopy(self.noted), self.tokens, self.current_flos

        def rewind() -> None:
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_rng_state(cpu)
            torch.cuda.set_rng_state_all(gpus)
            self._tr_loss, self.noted, self.tokens, self.current_flos = loss, noted, tokens, flos

        self._rewind = rewind

    def save_last_step(self) -> None:
        """After a step was left: the checkpoint of the one before, unless there is one."""
        step = self.state.global_step
        if self._rewind is None or step == 0 or (Path(self.args.output_dir) / f"checkpoint-{step}").exists():
            return
        self._rewind()
        self._save_checkpoint(self.model_wrapped, trial=None)
        self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        inside = self.accelerator.unwrap_model(model)
        self.tokens += int(inputs["tokens"])
        sums, counts = reply_log_probabilities(model, inputs, inside=inside)
        if isinstance(self.settings, SimpoConfig):
            loss = self._simpo(sums, counts, self.settings)
        else:
            total = num_items_in_batch if num_items_in_batch is not None else counts.sum()
            loss = -sums.sum() / total
            if num_items_in_batch is not None and self.args.average_tokens_across_devices:
                loss = loss * self.accelerator.num_processes
        return (loss, None) if return_outputs else loss

    def _simpo(self, sums: Tensor, counts: Tensor, settings: SimpoConfig) -> Tensor:
        chosen, rejected = (sums / counts).chunk(2)
        each, good, bad = losses.simpo(
            chosen,
            rejected,
            beta=settings.beta,
            gamma=settings.beta * settings.gamma_beta_ratio,
            label_smoothing=settings.label_smoothing,
            kind="hinge" if settings.loss == "hinge" else "sigmoid",
        )
        self._note(chosen_reward=good, rejected_reward=bad, reward_margin=good - bad, accuracy=(good > bad).float())
        half = len(sums) // 2
        likelihood = sums[:half].sum() / counts[:half].sum()
        return -likelihood if settings.loss == "chosen" else each.mean() - settings.nll_weight * likelihood

    def _note(self, **values: Tensor) -> None:
        for name, value in values.items():
            self.noted.setdefault(name, []).append(float(value.mean()))

    def unlogged(self) -> dict[str, Any]:
        """What the next line of the log is made of, so far; a checkpoint keeps it, and `go_on_logging` takes it back."""
        loss = float(self.accelerator.gather(self._tr_loss).mean())
        return {"loss": loss, "since": self._globalstep_last_logged, "noted": self.noted, "tokens": self.tokens}

    def go_on_logging(self, *, loss: float, since: int, noted: dict[str, list[float]], tokens: int) -> None:
        self._tr_loss += loss
        self._globalstep_last_logged, self.noted, self.tokens = since, noted, tokens

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what the objective noted since the last line."""
        if "loss" in logs:
            logs |= {name: sum(values) / len(values) for name, values in self.noted.items()}
            self.noted = {}
        super().log(logs, start_time)
