"""A model's weights as a Hugging Face folder: out of a GGUF file, dequantised once and kept in the cache.  Imports torch inside only."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from usbrec import gguf_header, models
from usbrec.errors import ModelError, first_line

_KIND = "dequantised"
ModelSource = models.ModelFiles | Path
"""What `usbrec.models.resolve` gives, or the path of a GGUF file or of a folder with safetensors."""


def folder_of(source: ModelSource) -> Path:
    """A Hugging Face folder with the source's weights; made from a GGUF file in bf16 and cached, where that is what there is.

    Raises:
        ModelError: there is no such file or folder, it is damaged, or transformers cannot read it as a model.
        StorageError: the folder cannot be stored.
    """
    place = source if isinstance(source, Path) else source.path
    if not place.exists():
        raise ModelError("there is no such model", where=str(place), fix="give a GGUF file or a model folder")
    if place.is_dir():
        return place
    gguf_header.read(place)
    digest = models.sha256_of(place) if isinstance(source, Path) else source.digest
    return models.kept(_KIND, digest, lambda folder: dequantise(place, folder))


def forget(gguf: Path) -> None:
    """Removes what the cache keeps of a file that is about to be removed itself: as bf16 it is twice as large as in 8 bits."""
    models.drop(_KIND, models.sha256_of(gguf))
    models.forget_digest(gguf)


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
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it draws a bar that no setting turns off
            read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(**source)
    except Exception as fault:
        fix = "use a GGUF file of a llama or qwen2 model"
        raise ModelError(f"cannot be read as a model ({first_line(fault)})", where=str(gguf), fix=fix) from fault
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
