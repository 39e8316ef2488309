"""One training run: rows -> LoRA adapter, by either objective (docs/method.md, SFT and SimPO).

`train` may be killed at any moment and called again with the same arguments: it goes on from the newest whole checkpoint, and the adapter
is bit for bit that of an undisturbed run on the same machine, since weights, optimiser, schedule, random state and row order are all
restored, and so is the log but for its times.  Ctrl-C leaves the step that runs, and a checkpoint of the one before is kept (of several
processes: ends it after that step).  The folder then holds `adapter/` (peft's format), `log.jsonl` and `result.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from usbrec import interrupts, jsonl, models
from usbrec.errors import DamageError, DataError, TrainingError, first_line
from usbrec.progress import progress
from usbrec.training import batches, checkpoints, memory
from usbrec.training.collapse import Health
from usbrec.training.loading import Precision, load_tokenizer, load_weights, precision_of
from usbrec.training.rows import PairRow, SftRow
from usbrec.training.settings import LoraSettings, SftConfig, SimpoConfig, TrainingSettings, warn_settings
from usbrec.types import Frozen
from usbrec.weights import ModelSource, folder_of


class TrainResult(Frozen):
    """What a training run left behind."""

    adapter: Path
    """Folder with the LoRA adapter in peft's format."""
    steps: int
    """Optimiser steps."""
    first_loss: float
    last_loss: float
    """Mean loss over the first and the last line of log.jsonl."""
    tokens: int
    """Prompt and reply tokens of all steps."""
    tokens_per_second: float
    """Without loading, checks and checkpoints; over all processes that had a share in the run."""
    counts: dict[str, int]
    """Rows used, dropped and shortened: see `batches.Counts`."""
    precision: Precision
    warnings: tuple[str, ...] = ()
    start: Health | None = None
    """On the held-out rows before the first step."""
    end: Health | None = None
    """On the held-out rows after the last step."""
    resumed_at: int = 0
    """The step that the finishing process started from."""

    def summary(self) -> dict[str, Any]:
        """For a manifest: everything but the path."""
        return self.model_dump(mode="json", exclude={"adapter"})


def train_sft(rows: Sequence[SftRow], held_out: Sequence[SftRow], config: SftConfig, model: ModelSource, out: Path) -> TrainResult:
    """Supervised fine-tuning of a new adapter; see `train`."""
    return train("nll", rows, held_out, config, model, None, out)


def train_simpo(
    rows: Sequence[PairRow], held_out: Sequence[PairRow], config: SimpoConfig, model: ModelSource, adapter: Path | LoraSettings, out: Path
) -> TrainResult:
    """SimPO from an SFT adapter (or from the base model, with a new one); see `train`."""
    return train("simpo", rows, held_out, config, model, adapter, out)


def train(
    objective: Literal["nll", "simpo"],
    rows: Sequence[SftRow] | Sequence[PairRow],
    held_out: Sequence[SftRow] | Sequence[PairRow],
    config: TrainingSettings,
    model: ModelSource,
    adapter: Path | LoraSettings | None,
    out: Path,
) -> TrainResult:
    """Trains a LoRA adapter, resuming what `out` holds of the same run.

    Args:
        held_out: for the collapse check; may be empty, then there is none.
        adapter: continue this adapter, or start one of this shape; None: of the shape in `config`.
        out: receives `adapter/`, `log.jsonl`, `result.json`; checkpoints while it runs.

    Raises:
        TrainingError: no usable row, or `out` holds another run.
        CollapseError: the policy degenerates; the last good checkpoint stays in `out`.
        ModelError: the model or the adapter cannot be loaded.
    """
    if (objective == "simpo") != isinstance(config, SimpoConfig):
        raise TrainingError(f"the objective {objective} does not fit a {type(config).__name__}")
    if not rows:
        raise TrainingError("there are no rows to train on", fix="look at the stage before: did it keep any row?")
    adapter = adapter or (config if isinstance(config, SftConfig) else LoraSettings())
    place = folder_of(model)
    _claim(out, _identity(objective, rows, held_out, config, model, adapter))
    if (done := finished(out)) is not None:
        return done
    name = model.name if isinstance(model, models.ModelFiles) else model.stem
    try:
        return _Session(rows, held_out, config, place, name, adapter, out).run()
    finally:
        memory.release()


def finished(out: Path) -> TrainResult | None:
    """The result of a finished run in this folder."""
    path = out / "result.json"
    if not (out / "adapter").is_dir():
        return None
    try:
        return TrainResult.model_validate(jsonl.document(path)).model_copy(update={"adapter": out / "adapter"}) if path.exists() else None
    except (DataError, ValidationError) as fault:
        raise _damaged(path, fault) from None


def _damaged(path: Path, fault: Exception) -> DamageError:
    return DamageError(first_line(fault), where=str(path), fix=f"remove {path.parent}, and train again")


def _identity(
    objective: str,
    rows: Sequence[SftRow] | Sequence[PairRow],
    held_out: Sequence[SftRow] | Sequence[PairRow],
    config: TrainingSettings,
    model: ModelSource,
    adapter: Path | LoraSettings,
) -> dict[str, str]:
    """What decides the outcome, as digests."""

    def digest(texts: Sequence[str]) -> str:
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]

    files = model if isinstance(model, models.ModelFiles) else models.resolve(model)
    if isinstance(adapter, Path):
        given = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(adapter.glob("adapter_*"))]
        if not given:
            raise TrainingError("there is no adapter to continue", where=str(adapter), fix="train it first (the sft stage)")
    else:
        given = [adapter.model_dump_json(include=set(LoraSettings.model_fields))]
    return {
        "objective": objective,
        "rows": digest([row.model_dump_json() for row in rows]),
        "held_out": digest([row.model_dump_json() for row in held_out]),
        "config": digest([config.model_dump_json()]),
        "model": files.digest[:16],
        "adapter": digest(given),
    }


def _claim(out: Path, identity: dict[str, str]) -> None:
    """Makes sure that whatever `out` holds belongs to this very run.

    Raises:
        DamageError: nobody can tell.
        TrainingError: it is another's.
    """
    path = out / "identity.json"
    try:
        known = jsonl.document(path) if path.exists() else identity
    except DataError as fault:
        raise _damaged(path, fault) from None
    if known != identity:
        changed = [key for key in identity if known.get(key) != identity[key]]
        what = f"this folder holds another training run (different: {', '.join(changed)})"
        raise TrainingError(what, where=str(out), fix="remove it, or choose another folder")
    jsonl.write_json(path, identity)


class _Session:
    """The working parts of one process's share of a run, from loading to the finished adapter."""

    def __init__(
        self,
        rows: Sequence[SftRow] | Sequence[PairRow],
        held_out: Sequence[SftRow] | Sequence[PairRow],
        config: TrainingSettings,
        place: Path,
        name: str,
        adapter: Path | LoraSettings,
        out: Path,
    ) -> None:
        self.config, self.place, self.name, self.adapter, self.out = config, place, name, adapter, out
        self.precision = precision_of(config.precision)
        self.tokenizer = load_tokenizer(place)
        encoder = batches.ChatEncoder(self.tokenizer, max_length=config.max_length, max_reply=config.max_reply)
        self.rows = batches.encode(rows, encoder)
        self.counts = asdict(encoder.counts)
        self.encoder = batches.ChatEncoder(self.tokenizer, max_length=config.max_length, max_reply=config.max_reply)
        self.held_out = batches.encode(held_out[: config.check_rows], self.encoder) if config.check_every else []
        self.warnings = (*warn_settings(config), *self._row_warnings())

    def _row_warnings(self) -> list[str]:
        told = {
            "empty": "dropped: a reply is empty",
            "too_long": "dropped: system message and reply alone fill max_length",
            "cut_user": "lost the beginning of their last user message to max_length",
            "cut_reply": "replies cut at max_reply",
        }
        return [f"{self.counts[name]} rows {text}" for name, text in told.items() if self.counts[name]]

    def run(self) -> TrainResult:
        import transformers

        from usbrec.training.watch import Watch

        _use_all_cores()
        resumed = checkpoints.latest(self.out)
        model = self._model()
        trainer = self._trainer(model)
        watch = Watch(self.out, self.config, trainer, self.held_out, self.tokenizer, self.encoder.end_of_turn)
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.add_callback(watch)
        step = checkpoints.step_of(resumed) if resumed else 0
        watch.restore(resumed)
        watch.keep = lambda step: self._save(model, checkpoints.kept(self.out, step))
        with progress("training, steps", self.steps, done=step, unit="step") as bar, interrupts.stepping():
            watch.bar = bar
            try:
                trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
            except interrupts.Interrupted:
                trainer.save_last_step()
                raise
        if trainer.is_world_process_zero():
            self._save(model, self.out / "adapter")
        first, last = watch.first_and_last_loss()
        result = TrainResult(
            adapter=self.out / "adapter", steps=self.steps, first_loss=first, last_loss=last, tokens=trainer.tokens,
            tokens_per_second=watch.rate(), counts=self.counts, precision=self.precision, warnings=self.warnings,
            start=watch.start, end=watch.end, resumed_at=step,
        )  # fmt: skip
        if trainer.is_world_process_zero():
            jsonl.write_text(self.out / "result.json", result.model_dump_json(indent=2))
            for folder in self.out.glob("checkpoint-*"):
                shutil.rmtree(folder)
        return result

    def _model(self) -> Any:
        """The frozen base with a trainable adapter in fp32."""
        import peft
        import torch
        import transformers

        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        transformers.set_seed(self.config.seed)
        base = load_weights(self.place, self.precision)
        if isinstance(self.adapter, Path):
            model = peft.PeftModel.from_pretrained(base, str(self.adapter), is_trainable=True)
        else:
            targets = self.adapter.lora_targets
            lora = peft.LoraConfig(
                r=self.adapter.lora_rank,
                lora_alpha=self.adapter.lora_alpha,
                lora_dropout=self.adapter.lora_dropout,
                target_modules=targets if isinstance(targets, str) else list(targets),
                task_type="CAUSAL_LM",
            )
            model = peft.get_peft_model(base, lora)
        model.peft_config["default"].base_model_name_or_path = str(self.place)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
        if self.precision == "bf16":  # autocast casts the adapter; peft would first copy every input to fp32, for nothing
            for module in model.modules():
                if isinstance(module, peft.tuners.lora.LoraLayer):
                    module.cast_input_dtype_enabled = False
        return model

    def _trainer(self, model: Any) -> Any:
        import torch
        import transformers

        from usbrec.training.objective import ReplyTrainer

        config = self.config
        order = batches.plan([row.length for row in self.rows], batch_size=config.batch_size, epochs=config.epochs, seed=config.seed)
        arguments = transformers.TrainingArguments(
            output_dir=str(self.out), per_device_train_batch_size=config.batch_size, gradient_accumulation_steps=config.accumulation,
            num_train_epochs=1, learning_rate=config.learning_rate, weight_decay=config.weight_decay, max_grad_norm=config.max_grad_norm,
            lr_scheduler_type="constant_with_warmup" if config.schedule == "constant" else config.schedule,
            logging_steps=config.log_every, logging_first_step=True, logging_nan_inf_filter=False, save_steps=config.save_every,
            save_total_limit=2, seed=config.seed, bf16=self.precision == "bf16", use_cpu=not torch.cuda.is_available(),
            report_to="none", disable_tqdm=True, remove_unused_columns=False, optim="adamw_torch", log_level="error",
        )  # fmt: skip
        arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs: one process each, started by accelerate
        each = arguments.world_size * config.accumulation
        if config.max_steps is not None:
            order = order[: config.max_steps * each]
        self.steps = -(-len(order) // each)
        arguments.warmup_steps = min(round(config.warmup * self.steps), self.steps - 1)
        return ReplyTrainer(
            settings=config, rows=self.rows, batches=order, padding=self.tokenizer.pad_token_id, model=model, args=arguments
        )

    def _save(self, model: Any, final: Path) -> None:
        """Puts the adapter into its place in one step; it names the model, not a path of this machine."""
        temporary = self.out / ".adapter.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        model.save_pretrained(str(temporary))
        (temporary / "README.md").unlink(missing_ok=True)
        told = json.loads((temporary / "adapter_config.json").read_text(encoding="utf-8"))
        targets = told["target_modules"]  # a set of peft's, in any order
        told |= {"base_model_name_or_path": self.name, "target_modules": sorted(targets) if isinstance(targets, list) else targets}
        jsonl.write_json(temporary / "adapter_config.json", told)
        self.tokenizer.save_pretrained(str(temporary))
        shutil.rmtree(final, ignore_errors=True)
        final.parent.mkdir(exist_ok=True)
        temporary.rename(final)


def _use_all_cores() -> None:
    """Lets torch use every core this process may use, unless OMP_NUM_THREADS says otherwise."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
