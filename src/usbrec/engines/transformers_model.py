"""A model in torch for the transformers engine: files to weights, chats to tokens, tokens to text.

Prompts are rendered as in training: the chat template's text, tokenised without further special tokens.  A reply ends with the end-of-turn
token of the chat template, or with an end-of-sequence token of the tokenizer or of `generation_config.json`; nothing else is taken from
that file: how to draw is the caller's affair (`usbrec.engine.Sampling`).

Importing this module imports no torch.
"""

from __future__ import annotations

import gc
import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from usbrec import chat_template, models
from usbrec.engine import ChatMessage
from usbrec.errors import ConfigError, EngineError, ModelError, Unsupported, first_line
from usbrec.weights import folder_of

if TYPE_CHECKING:
    from torch import Tensor

Device = Literal["cpu", "cuda"]
Dtype = Literal["fp32", "bf16", "fp16"]


def need_extra() -> None:
    """Imports what the engine needs.

    Raises:
        ConfigError: the extra is not installed.
    """
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except (ImportError, OSError) as fault:
        what = f"the transformers engine needs torch, transformers and peft ({fault})"
        raise ConfigError(what, where="kind: transformers", fix="pip install 'usbrec[train]', or choose kind: openvino") from fault


def device_of(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    """auto: the GPU where torch sees one.

    Raises:
        ConfigError: there is none, but it was asked for; or the extra is missing.
    """
    need_extra()
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        fix = "install a torch built for CUDA and its driver, or set device: cpu"
        raise ConfigError(f"torch {torch.__version__} sees no CUDA device", where="device: cuda", fix=fix)
    return "cuda"


def dtype_of(wanted: Literal["auto", "fp32", "bf16", "fp16"], device: Device) -> Dtype:
    """auto: bf16 on a GPU that computes in it, else fp32, in which a reply hardly depends on the other rows of its batch."""
    if wanted != "auto":
        return wanted
    if device == "cpu":
        return "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported() else "fp32"


def adapter_digest(adapter: Path) -> str:
    """SHA-256 in hex of a LoRA folder's settings and weights.

    Raises:
        ModelError: there is no adapter.
    """
    parts = [adapter / "adapter_config.json", adapter / "adapter_model.safetensors"]
    if not all(part.is_file() for part in parts):
        fix = "give the folder with adapter_config.json and adapter_model.safetensors"
        raise ModelError("there is no adapter", where=str(adapter), fix=fix)
    return hashlib.sha256("\n".join(models.sha256_of(part) for part in parts).encode()).hexdigest()


@dataclass
class TorchModel:
    """Weights and tokenizer, ready to compute."""

    network: Any
    tokenizer: Any
    device: Device
    context: int | None
    """The model's window in tokens, where its configuration says so."""

    def __post_init__(self) -> None:
        if not self.tokenizer.chat_template:
            raise ModelError(
                "the model has no chat template", where=str(self.network.config.name_or_path), fix="use an instruction-tuned model"
            )
        self.ends = self._ends()
        inner = getattr(self.network, "get_base_model", lambda: self.network)()
        self._more = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(inner.forward).parameters else {}

    def _ends(self) -> frozenset[int]:
        """The tokens that end a reply."""
        told = getattr(self.network.generation_config, "eos_token_id", None)
        known = [chat_template.end_of_turn(self.tokenizer), self.tokenizer.eos_token_id, *(told if isinstance(told, list) else [told])]
        return frozenset(int(token) for token in known if token is not None)

    def prompt(self, messages: Sequence[ChatMessage], room: int) -> tuple[int, ...]:
        """A chat's tokens, ready for the assistant to speak.

        Args:
            room: tokens that the reply may have.

        Raises:
            EngineError: prompt and reply are longer than the model's window.
        """
        ids = tuple(chat_template.prompt(self.tokenizer, messages))
        if self.context and len(ids) + room > self.context:
            what = f"the prompt has {len(ids)} tokens and the reply may have {room}: more than the model's {self.context}"
            raise EngineError(what, fix="shorten the prompt or lower max_tokens")
        return ids

    def option(self, text: str) -> int:
        """The one token of an option.

        Raises:
            Unsupported: it is not one token.
        """
        ids = chat_template.tokens(self.tokenizer, text)
        if len(ids) != 1:
            raise Unsupported(f"the option {text!r} is {len(ids)} tokens for this model; each option must be one token")
        return ids[0]

    def text(self, ids: Sequence[int]) -> str:
        """What a reply's tokens say; special tokens say nothing."""
        if ids and ids[-1] in self.ends:
            ids = ids[:-1]
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        """The logits [b, vocabulary] behind the last of the tokens `ids` [b, t], in fp32.

        Args:
            mask: [b, everything in the cache, then t]: 1 where there is a token, 0 for padding.
            positions: [b, t], counted without padding.
            cache: keys and values of what came before, which grows; None keeps none.
        """
        more = {"past_key_values": cache, "use_cache": cache is not None, **self._more}
        return self.network(input_ids=ids, attention_mask=mask, position_ids=positions, **more).logits[:, -1].float()

    def free(self) -> None:
        """Gives the memory of the weights back."""
        import torch

        self.network = None
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()


def load(files: models.ModelFiles, adapter: Path | None, device: Device, dtype: Dtype) -> TorchModel:
    """A model with its adapter, on its device.

    In fp32 the adapter is merged: the same function for less work.  In 16 bits it stays apart, since rounding would swallow part of it.

    Raises:
        ModelError: a file cannot be read as a model, or the adapter is not this model's.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    folder = folder_of(files)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        network = AutoModelForCausalLM.from_pretrained(str(folder), dtype=kind, attn_implementation="sdpa")
    except Exception as fault:
        fix = "give a GGUF file of a llama or qwen2 model, or a folder with safetensors; or serve it and use kind: openai"
        raise ModelError(f"transformers cannot load this model ({first_line(fault)})", where=str(folder), fix=fix) from fault
    if adapter is not None:
        network = _adapted(network, adapter)
        if dtype == "fp32":
            network = network.merge_and_unload()
    network = network.eval().requires_grad_(False).to(device)
    window = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    return TorchModel(network, tokenizer, device, int(window) if window else None)


def _adapted(network: Any, adapter: Path) -> Any:
    """The model with a LoRA adapter beside its layers."""
    import peft
    from safetensors import safe_open

    fix = "give an adapter that was trained on this model"
    try:
        with safe_open(str(adapter / "adapter_model.safetensors"), framework="pt") as file:
            given = sum("lora_" in name for name in file.keys())  # noqa: SIM118 (no mapping)
        network = peft.PeftModel.from_pretrained(network, str(adapter))
    except Exception as fault:
        raise ModelError(f"the adapter cannot be put on this model ({first_line(fault)})", where=str(adapter), fix=fix) from fault
    taken = sum("lora_" in name for name, _ in network.named_parameters())
    if given != taken:
        raise ModelError(f"the adapter has {given} tensors, but {taken} belong on this model", where=str(adapter), fix=fix)
    return network
