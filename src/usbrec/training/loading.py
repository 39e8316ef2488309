"""A base model for training, out of a Hugging Face folder (`usbrec.weights` makes one of a GGUF file)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from usbrec.errors import ModelError

Precision = Literal["bf16", "fp32"]


def precision_of(wanted: Literal["auto", "bf16", "fp32"]) -> Precision:
    """auto: bf16 where the processor computes in it, else fp32 (bf16 without hardware support is far slower than fp32)."""
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return "bf16" if probe and probe() else "fp32"


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_weights(folder: Path, precision: Precision) -> Any:
    """The model, frozen, in the given precision, with fused attention."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    try:
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype, attn_implementation="sdpa")
    except (OSError, ValueError) as fault:
        raise ModelError(f"cannot be loaded ({fault})", where=str(folder)) from fault
    model.requires_grad_(False)
    model.config.use_cache = False
    return model
