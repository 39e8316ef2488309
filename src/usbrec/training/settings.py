"""The settings of training and export, as they stand in a recipe.  Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from usbrec.settings import Settings


class TrainingSettings(Settings):
    """What both objectives share."""

    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    """Peak learning rate of AdamW."""
    epochs: float = Field(default=1.0, gt=0, le=1000)
    """Passes over the rows; a fraction is allowed."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after so many optimiser steps, before `epochs` are done; null for no limit."""
    batch_size: int = Field(default=8, ge=1)
    """Rows (or pairs) a forward pass, on each device."""
    accumulation: int = Field(default=1, ge=1)
    """Forward passes an optimiser step: the effective batch is batch_size x accumulation x devices."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises from zero."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate goes on after the warm-up; linear and cosine fall to zero."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    max_length: int = Field(default=512, ge=16, le=1_000_000)
    """Tokens of prompt and reply together; what is longer loses its oldest turns."""
    max_reply: int = Field(default=128, ge=1)
    """Tokens of a reply; a longer one is cut, and then teaches no end of turn."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of the frozen model's arithmetic; the adapter itself is always fp32.  auto: bf16 where the processor has it."""
    save_every: int = Field(default=50, ge=1)
    """Optimiser steps between checkpoints."""
    keep_every: int = Field(default=0, ge=0)
    """Keep the adapter of every so-many-th step under `kept/`, for `usbrec judge checkpoints`; 0 keeps the last one only."""
    log_every: int = Field(default=5, ge=1)
    """Optimiser steps between lines of log.jsonl."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    """Of a new adapter's start, the row order and dropout."""
    check_every: int = Field(default=50, ge=0)
    """Optimiser steps between collapse checks on the held-out rows; 0 for none."""
    check_rows: int = Field(default=64, ge=1)
    """Held-out rows whose log-probability is measured."""
    check_replies: int = Field(default=16, ge=0)
    """Held-out prompts that are answered greedily, to look for repetition."""
    check_tokens: int = Field(default=40, ge=1)
    """Tokens of such a reply at most."""
    max_drop: float = Field(default=1.0, gt=0)
    """Collapse: the held-out (chosen) replies' mean log-probability per token fell by more nats than this since the start."""
    max_same_reply: float = Field(default=0.7, gt=0, le=1)
    """Collapse: a larger share of the greedy replies is one and the same text (and larger than at the start)."""
    max_repetition: float = Field(default=0.5, gt=0, le=1)
    """Collapse: a larger share of the words' trigrams inside a reply are repeats (and larger than at the start)."""


class LoraSettings(Settings):
    """The shape of a new adapter."""

    lora_rank: int = Field(default=16, ge=1, le=4096)
    """Rank of the adapter."""
    lora_alpha: float = Field(default=32.0, gt=0)
    """LoRA's scale is alpha / rank."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout in front of the adapter's matrices."""
    lora_targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Module names that get an adapter; by default every linear layer but the output head."""


class SftConfig(TrainingSettings, LoraSettings):
    """Supervised fine-tuning of a new adapter: negative log-likelihood of the reply's tokens (docs/method.md, SFT)."""


class SimpoConfig(TrainingSettings):
    """SimPO of the SFT adapter (docs/method.md, SimPO): no reference model, length-normalised reward, target margin."""

    ELSEWHERE = dict.fromkeys(LoraSettings.model_fields, "matters only in sft: SimPO goes on with the SFT adapter, as that was made")

    learning_rate: float = Field(default=4e-5, gt=0, le=1)
    """Peak learning rate of AdamW; about ten times that of full fine-tuning (3e-7 to 1e-6) suits LoRA."""
    beta: float = Field(default=2.5, gt=0)
    """Reward = beta x mean log-probability per token.  SimPO's authors recommend 2 to 10."""
    gamma_beta_ratio: float = Field(default=0.5, ge=0)
    """Target margin gamma, as a share of beta.  SimPO's authors recommend 0.3 to 0.8."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Assumed share of pairs that are the wrong way round."""
    loss: Literal["sigmoid", "hinge", "chosen"] = "sigmoid"
    """Form of the preference loss; `chosen`: none, only the chosen reply's negative log-likelihood per token (SFT on the preference data,
    for an ablation)."""
    nll_weight: float = Field(default=0.0, ge=0)
    """Weight of the chosen reply's negative log-likelihood per token, added to the loss; 0 is SimPO proper."""


class ExportConfig(Settings):
    """Merging an adapter into its base model."""

    quantisation: Literal["Q8_0", "F16", "BF16", "F32"] = "Q8_0"
    """Type of the merged linear layers in a GGUF file; all other tensors stay as they are, byte for byte."""


def warn_settings(config: TrainingSettings) -> list[str]:
    """Settings outside the region in which SimPO is known to work (docs/method.md, SimPO); empty for SFT and for good settings."""
    if not isinstance(config, SimpoConfig):
        return []
    warnings = []
    if not 2 <= config.beta <= 10:
        warnings.append(f"beta {config.beta:g} lies outside 2 to 10, where SimPO is known to work")
    if not 0.3 <= config.gamma_beta_ratio <= 0.8:
        warnings.append(f"gamma_beta_ratio {config.gamma_beta_ratio:g} lies outside 0.3 to 0.8, where SimPO is known to work")
    if not 3e-6 <= config.learning_rate <= 1e-4:
        warnings.append(f"learning_rate {config.learning_rate:g} lies outside 3e-6 to 1e-4, the usual range for SimPO with LoRA")
    return warnings
