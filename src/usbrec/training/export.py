"""Merging a LoRA adapter into its base model: one GGUF file that OpenVINO, llama.cpp and others load, or a safetensors folder.

Only the linear layers that have an adapter change: dequantise, add (alpha / rank) x B A, quantise again; and tensors of a type with
offsets, see `OFFSET_TYPES`.  Every other tensor, the tokenizer and the metadata are copied byte for byte.  The GGUF layout of the llama
architecture interleaves the two halves of each head's rotary dimensions in the query and key projections; the addition is brought into that
layout first.  Other architectures have none of that.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usbrec import gguf_header
from usbrec.errors import ModelError, StorageError
from usbrec.training.settings import ExportConfig

Array = NDArray[np.float32]
ARCHITECTURES = ("llama", "qwen2")
OFFSET_TYPES = ("Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K")
"""Types whose blocks have a real-valued offset.  OpenVINO GenAI 2026.4 rounds it to a whole step when it reads a GGUF file: the default
model's (Q4_1) log-probabilities are off by 0.5 to 1 nat, a Q4_K_M model's by 0.3, against 0.03 in Q8_0 and 0.006 in F16; llama.cpp and
torch agree with each other.  So such tensors are written anew, adapter or not."""
_FILE_TYPES = {"Q8_0": "MOSTLY_Q8_0", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16", "F32": "ALL_F32"}


def merge_gguf(base: Path, adapter: Path | None, out: Path, config: ExportConfig = ExportConfig()) -> Path:  # noqa: B008 (frozen)
    """Writes `out`, a GGUF file of the base model with the adapter merged in; atomically.

    Args:
        adapter: None merges nothing: the base model in types that every engine reads exactly, the fair comparison to a merged one.

    Raises:
        ModelError: an architecture or an adapter that cannot be merged, or an adapter of another model.
        StorageError: `out` cannot be written.
    """
    import gguf

    gguf_header.read(base)
    reader = gguf.GGUFReader(str(base))
    architecture = str(reader.get_field("general.architecture").contents())
    if architecture not in ARCHITECTURES:
        raise ModelError(f"a {architecture} model cannot be merged into GGUF", where=str(base), fix="merge into safetensors instead")
    deltas = _in_gguf_terms(read_deltas(adapter), reader, architecture) if adapter else {}
    known = {tensor.name: tuple(int(size) for size in reversed(tensor.shape)) for tensor in reader.tensors}
    for name, delta in deltas.items():
        if known.get(name) != delta.shape:
            found = known.get(name, "nothing")
            raise ModelError(f"the adapter does not fit the base model at {name}: {delta.shape} against {found}", where=str(adapter))
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(reader, architecture, deltas, temporary, config)
        temporary.replace(out)
    except OSError as fault:
        raise StorageError(f"cannot be written ({fault.strerror or fault})", where=str(out), fix="make room on that disk") from fault
    finally:
        temporary.unlink(missing_ok=True)
    return out


def read_deltas(adapter: Path) -> dict[str, Array]:
    """What a peft LoRA adapter adds to each linear layer: module name (as the model has it) -> [out, in], fp32.

    Raises:
        ModelError: no adapter there, or one that is not plain LoRA.
    """
    from safetensors.numpy import load_file

    try:
        config: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        weights = load_file(str(adapter / "adapter_model.safetensors"))
    except FileNotFoundError as fault:
        fix = "train it first, or give the folder with adapter_config.json"
        raise ModelError("there is no adapter", where=str(adapter), fix=fix) from fault
    odd = [key for key in ("use_dora", "modules_to_save", "fan_in_fan_out", "alora_invocation_tokens") if config.get(key)]
    odd += ["bias"] if config.get("bias", "none") != "none" else []
    unknown = [name for name in weights if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    if config.get("peft_type") != "LORA" or odd or unknown:
        raise ModelError(f"not a plain LoRA adapter ({', '.join([*odd, *unknown[:3]])})", where=str(adapter), fix="train with plain LoRA")
    deltas: dict[str, Array] = {}
    for name in sorted(weights):
        if name.endswith(".lora_A.weight"):
            module = name.removesuffix(".lora_A.weight")
            a, b = weights[name].astype(np.float32), weights[f"{module}.lora_B.weight"].astype(np.float32)
            module = module.removeprefix("base_model.model.")
            deltas[module] = _scale(config, module, a.shape[0]) * (b @ a)
    return deltas


def _scale(config: Mapping[str, Any], module: str, rank: int) -> np.float32:
    """alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA; alpha may differ by module."""
    patterns = config.get("alpha_pattern") or {}
    alpha = next((value for key, value in patterns.items() if module == key or module.endswith(f".{key}")), config["lora_alpha"])
    return np.float32(alpha / (rank**0.5 if config.get("use_rslora") else rank))


def _in_gguf_terms(deltas: Mapping[str, Array], reader: Any, architecture: str) -> dict[str, Array]:
    """Tensor names of GGUF, rows in GGUF's order."""
    import gguf

    def number(key: str) -> int:
        return int(reader.get_field(f"{architecture}.{key}").contents())

    kind = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[architecture]
    names = gguf.get_tensor_name_map(kind, number("block_count"))
    heads = {"attn_q": number("attention.head_count"), "attn_k": number("attention.head_count_kv")}
    found: dict[str, Array] = {}
    for module, delta in deltas.items():
        name = names.get_name(module)
        if name is None:
            raise ModelError(f"the adapter changes {module}, which a {architecture} model does not have", where="adapter")
        count = heads.get(name.rpartition(".")[2]) if architecture == "llama" else None
        found[f"{name}.weight"] = interleave(delta, count) if count else delta
    return found


def interleave(weights: Array, heads: int) -> Array:
    """Rows of a query or key projection [heads x 2 x half, in] from Hugging Face's order to GGUF's: the two halves alternate."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def _write(reader: Any, architecture: str, deltas: Mapping[str, Array], out: Path, config: ExportConfig) -> None:
    import gguf
    from gguf.quants import dequantize, quantize

    writer = gguf.GGUFWriter(str(out), architecture, endianess=reader.endianess)
    _copy_metadata(reader, writer, config)
    kinds = {tensor.name: _new_kind(tensor, deltas, config) for tensor in reader.tensors}
    for tensor in reader.tensors:
        kind = kinds[tensor.name]
        if kind is None:
            shape, dtype, size = tensor.data.shape, tensor.data.dtype, tensor.data.nbytes
        else:
            shape = tuple(int(length) for length in reversed(tensor.shape))
            plain: dict[str, np.dtype[Any]] = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16)}
            dtype = plain.get(kind.name, np.dtype(np.uint8))
            shape = shape if dtype != np.uint8 else gguf.quants.quant_shape_to_byte_shape(shape, kind)
            size = int(np.prod(shape)) * dtype.itemsize
        writer.add_tensor_info(tensor.name, shape, dtype, size, tensor.tensor_type if kind is None else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in reader.tensors:
        kind, data = kinds[tensor.name], tensor.data
        if kind is not None:
            data = quantize(dequantize(tensor.data, tensor.tensor_type) + deltas.get(tensor.name, np.float32(0)), kind)
        writer.write_tensor_data(data)
    writer.close()


def _new_kind(tensor: Any, deltas: Mapping[str, Array], config: ExportConfig) -> Any:
    """The type that a tensor is written in; None: as it is, byte for byte."""
    import gguf

    if tensor.name not in deltas and tensor.tensor_type.name not in OFFSET_TYPES:
        return None
    fits = config.quantisation != "Q8_0" or tensor.shape[0] % 32 == 0
    return gguf.GGMLQuantizationType[config.quantisation if fits else "F16"]


def _copy_metadata(reader: Any, writer: Any, config: ExportConfig) -> None:
    """Every key, but for `general.file_type`, which now says what most tensors are."""
    import gguf

    alignment = reader.get_field("general.alignment")
    if alignment is not None:
        writer.data_alignment = int(alignment.contents())
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        value, kind = field.contents(), field.types[0]
        if field.name == "general.file_type":
            value = int(gguf.LlamaFileType[_FILE_TYPES[config.quantisation]])
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, kind, sub_type=inner)


def merge_safetensors(base: Path, adapter: Path, out: Path) -> Path:
    """Writes `out`, a Hugging Face folder: base (a GGUF file or a folder) with the adapter merged in, with the tokenizer; atomically.

    In fp32: a small addition gets lost in bf16 (0.06 nats in the first token's log-probabilities, twice what Q8_0 costs).

    Raises:
        ModelError: the base or the adapter cannot be loaded.
    """
    import peft

    from usbrec.training.loading import load_tokenizer, load_weights
    from usbrec.weights import folder_of

    place = folder_of(base)
    model = peft.PeftModel.from_pretrained(load_weights(place, "fp32"), str(adapter)).merge_and_unload()
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        model.save_pretrained(str(temporary))
        load_tokenizer(place).save_pretrained(str(temporary))
        shutil.rmtree(out, ignore_errors=True)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out
