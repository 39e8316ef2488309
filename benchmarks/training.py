"""Table e: LoRA training, tokens a second, against TRL's SFT and CPO trainers on the same rows, batches, model and precision."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from usbrec import jsonl, models, preferences
from usbrec.rows import imitation_rows
from usbrec.training import PairRow, SftConfig, SftRow, SimpoConfig, train_sft, train_simpo
from usbrec.training.batches import ChatEncoder, Encoded, encode, plan
from usbrec.training.loading import load_tokenizer, load_weights, precision_of
from usbrec.weights import folder_of

BATCH, SEED = 8, 0
Result = dict[str, Any]


def main(
    run: Annotated[Path, typer.Argument(help="A finished run: its data and its pairs.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps of each training, of 8 rows.")] = 16,
    rounds: Annotated[int, typer.Option(help="How often everybody trains, in turn.")] = 2,
    out: common.Out = common.OUT,
) -> None:
    """LoRA training: tokens a second, and the loss curves side by side."""
    trained = common.Trained(run, "sft")
    sft = asyncio.run(imitation_rows(trained.recipe, trained.world, "train", limit=steps * BATCH))
    found = jsonl.read(run / "prefer" / "rows.jsonl", preferences.PreferenceRow)
    pairs = [
        PairRow(key=row.key, messages=tuple(trained.loop.messages_of(row.pair)), chosen=row.pair.chosen, rejected=row.pair.rejected)
        for row in found
        if row.pair
    ][: steps * BATCH]
    table, ratios, details = [], {}, {}
    contests: tuple[tuple[str, Any, Any, Any], ...] = (("sft", sft, _our_sft, _their_sft), ("simpo", pairs, _our_simpo, _their_simpo))
    for name, rows, ours, theirs in contests:
        measured: dict[str, list[Result]] = {"ours": [], "TRL": []}
        for _ in range(rounds):
            for who, work in (("ours", ours), ("TRL", theirs)):
                measured[who].append(work(trained, rows, steps))
                gc.collect()
        mean = {who: statistics.median(result["tokens/s"] for result in results) for who, results in measured.items()}
        curves = {who: results[0]["losses"] for who, results in measured.items()}
        apart = [abs(a - b) for a, b in zip(curves["ours"], curves["TRL"], strict=True)]
        for who, results in measured.items():
            rates = [result["tokens/s"] for result in results]
            table.append(
                {
                    "objective": name, "trainer": who, "tokens/s, median": mean[who], "least": min(rates), "most": max(rates),
                    "s a step": results[0]["seconds"] / steps, "first loss": curves[who][0], "last loss": curves[who][-1],
                }
            )  # fmt: skip
        table[-2]["loss apart, mean"] = statistics.fmean(apart)
        ratios[f"train_{name}"] = mean["ours"] / mean["TRL"]
        details[name] = {"curves": curves, "apart": apart, "rates": {w: [r["tokens/s"] for r in rs] for w, rs in measured.items()}}
    notes = [
        f"{steps} steps of {BATCH} rows, LoRA on all linear layers, {precision_of('auto')}; the same rows in the same batches, no gradient"
        " checkpointing. Tokens are those of the data: a pair counts its prompt twice, whether a trainer computes it once or twice.",
        "Losses: the mean over the steps of |ours - TRL's|.",
    ]
    common.write(out, "training", "LoRA training against TRL", table, ratios, notes, details)


def _encoded(trained: common.Trained, rows: Sequence[Any], config: SftConfig | SimpoConfig) -> tuple[Any, list[Encoded], list[list[int]]]:
    """(tokenizer, encoded rows, the planned batches), as our trainer makes them."""
    tokenizer = load_tokenizer(folder_of(models.resolve(trained.recipe.base_model).path))
    encoder = ChatEncoder(tokenizer, max_length=config.max_length, max_reply=config.max_reply)
    encoded = encode(rows, encoder)
    order = plan([row.length for row in encoded], batch_size=BATCH, epochs=config.epochs, seed=config.seed)
    return tokenizer, encoded, order


def _tokens(encoded: Sequence[Encoded]) -> int:
    """Of the data: every reply with its prompt."""
    return sum(len(row.replies) * len(row.prompt) + sum(map(len, row.replies)) for row in encoded)


def _settings(kind: type[Any], trained: common.Trained, steps: int) -> Any:
    chosen = trained.recipe.sft if kind is SftConfig else trained.recipe.simpo
    return chosen.model_copy(
        update={"batch_size": BATCH, "max_steps": steps, "log_every": 1, "check_every": 0, "save_every": 10**6, "seed": SEED}
    )


def _ours(trained: common.Trained, rows: Sequence[Any], steps: int, config: Any, train: Callable[[Path, Path], Any]) -> Result:
    _, encoded, _ = _encoded(trained, rows, config)
    with tempfile.TemporaryDirectory() as folder:
        result = train(models.resolve(trained.recipe.base_model).path, Path(folder))
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = result.tokens / result.tokens_per_second
    return {
        "seconds": seconds,
        "tokens/s": _tokens(encoded) / seconds,
        "losses": [line["loss"] for line in lines if "loss" in line][:steps],
    }


def _our_sft(trained: common.Trained, rows: Sequence[SftRow], steps: int) -> Result:
    config = _settings(SftConfig, trained, steps)
    return _ours(trained, rows, steps, config, lambda model, out: train_sft(rows, [], config, model, out))


def _our_simpo(trained: common.Trained, rows: Sequence[PairRow], steps: int) -> Result:
    config = _settings(SimpoConfig, trained, steps)
    return _ours(trained, rows, steps, config, lambda model, out: train_simpo(rows, [], config, model, trained.recipe.sft, out))


def _arguments(config: Any, folder: str, steps: int, precision: str) -> dict[str, Any]:
    import torch

    return {
        "output_dir": folder, "per_device_train_batch_size": BATCH, "max_steps": steps, "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay, "max_grad_norm": config.max_grad_norm, "lr_scheduler_type": config.schedule,
        "warmup_steps": min(round(config.warmup * steps), steps - 1), "logging_steps": 1, "save_strategy": "no", "seed": config.seed,
        "bf16": precision == "bf16", "use_cpu": not torch.cuda.is_available(), "report_to": "none", "disable_tqdm": True,
        "optim": "adamw_torch", "gradient_checkpointing": False, "max_length": config.max_length,
    }  # fmt: skip


def _peft_model(trained: common.Trained, config: Any, precision: Any) -> Any:
    """The same frozen base and the same fresh adapter as ours."""
    import peft
    import transformers

    transformers.set_seed(config.seed)
    base, shape = load_weights(folder_of(models.resolve(trained.recipe.base_model).path), precision), trained.recipe.sft
    lora = peft.LoraConfig(
        r=shape.lora_rank,
        lora_alpha=shape.lora_alpha,
        lora_dropout=shape.lora_dropout,
        target_modules=shape.lora_targets,
        task_type="CAUSAL_LM",
    )
    return peft.get_peft_model(base, lora)


def _theirs(trainer: Any, tokens: int) -> Result:
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return {"seconds": seconds, "tokens/s": tokens / seconds, "losses": losses}


def _in_order(trainer: type[Any]) -> type[Any]:
    """TRL's trainer, taking the rows in the order in which they stand."""

    class InOrder(trainer):  # type: ignore[misc]
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            from torch.utils.data import SequentialSampler

            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

    return InOrder


def _their_sft(trained: common.Trained, rows: Sequence[SftRow], steps: int) -> Result:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    config, precision = _settings(SftConfig, trained, steps), precision_of("auto")
    tokenizer, encoded, order = _encoded(trained, rows, config)
    ordered = [encoded[row] for batch in order for row in batch]
    data = Dataset.from_list(
        [
            {"input_ids": [*row.prompt, *row.replies[0]], "completion_mask": [0] * len(row.prompt) + [1] * len(row.replies[0])}
            for row in ordered
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(**_arguments(config, folder, steps, precision), completion_only_loss=True)
        model = _peft_model(trained, config, precision)
        trainer = _in_order(SFTTrainer)(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
        return _theirs(trainer, _tokens(encoded))


def _their_simpo(trained: common.Trained, rows: Sequence[PairRow], steps: int) -> Result:
    from datasets import Dataset
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    config, precision = _settings(SimpoConfig, trained, steps), precision_of("auto")
    tokenizer, encoded, order = _encoded(trained, rows, config)
    ordered = [encoded[row] for batch in order for row in batch]
    data = Dataset.from_list(
        [
            {
                "prompt": tokenizer.decode(row.prompt),
                "chosen": tokenizer.decode(row.replies[0][:-1]),
                "rejected": tokenizer.decode(row.replies[1][:-1]),
            }
            for row in ordered
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = CPOConfig(
            **_arguments(config, folder, steps, precision), loss_type="simpo", beta=config.beta, cpo_alpha=0.0, remove_unused_columns=False,
            simpo_gamma=config.beta * config.gamma_beta_ratio,
        )  # fmt: skip
        model = _peft_model(trained, config, precision)
        trainer = _in_order(CPOTrainer)(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
        return _theirs(trainer, _tokens(encoded))
