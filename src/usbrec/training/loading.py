"""A base model for training: out of a GGUF file (dequantised once, then kept in the cache) or a Hugging Face folder."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from usbrec import models
from usbrec.errors import ModelError

Precision = Literal["bf16", "fp32"]
ModelSource = models.ModelFiles | Path
"""What `usbrec.models.resolve` gives, or the path of a GGUF file or of a folder with safetensors."""


def precision_of(wanted: Literal["auto", "bf16", "fp32"]) -> Precision:
    """auto: bf16 where the processor computes in it, else fp32 (bf16 without hardware support is far slower than fp32)."""
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return "bf16" if probe and probe() else "fp32"


def folder_of(source: ModelSource) -> Path:
    """A Hugging Face folder with the source's weights; made from a GGUF file in bf16 and cached, where that is what there is.

    Raises:
        ModelError: there is no such file or folder, or it cannot be read as a model.
    """
    place = source if isinstance(source, Path) else source.path
    if not place.exists():
        raise ModelError("there is no such model", where=str(place), fix="give a GGUF file or a model folder")
    return place if place.is_dir() else _dequantised(place)


def _dequantised(gguf: Path) -> Path:
    folder = models.cache() / "dequantised" / models.sha256_of(gguf)[:32]
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        dequantise(gguf, temporary)
        if not folder.exists():
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def dequantise(gguf: Path, out: Path) -> None:
    """Writes a GGUF file's model as bf16 safetensors, with its tokenizer.

    The weights are copied into a model made from a configuration that says nothing of quantisation: one that does refuses to train.

    Raises:
        ModelError: transformers cannot read the file.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it draws a bar that no setting turns off
            read = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    except (ValueError, KeyError, NotImplementedError) as fault:
        raise ModelError(f"cannot be read for training ({fault})", where=str(gguf), fix="use a llama or qwen2 model") from fault
    clean = AutoModelForCausalLM.from_config(plain_config(read.config), dtype=torch.bfloat16)
    clean.load_state_dict(read.state_dict())
    clean.tie_weights()
    clean.save_pretrained(str(out))
    tokenizer.save_pretrained(str(out))


def plain_config(config: Any) -> Any:
    """A copy of a model's configuration without its `quantization_config`."""
    values = config.to_dict()
    values.pop("quantization_config", None)
    return type(config).from_dict(values)


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
