"""Tiny GGUF files of the two architectures, written from tiny random models: independent of the code under test."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def tiny_of(architecture: str):
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

    torch.manual_seed(1)
    kind = {"llama": LlamaConfig, "qwen2": Qwen2Config}[architecture]
    config = kind(
        vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=64, tie_word_embeddings=True, initializer_range=0.2, rms_norm_eps=1e-5,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(value, std=0.5)
    return model


def write_gguf(model, architecture: str, path: Path, *, kind: str = "F32") -> Path:
    """All linear weights as `kind`; for llama, each head's rows r of the first half and of the second half alternate."""
    import gguf
    from gguf.quants import quantize

    config = model.config
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_string("general.name", "tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(96)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(["t", "1", "2", *(f"t{n}" for n in range(1, 94))])
    writer.add_token_types([1] * 96)
    writer.add_token_merges(["t 1", "t 2"])
    writer.add_eos_token_id(2)
    writer.add_array("general.languages", ["en"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA if architecture == "llama" else gguf.MODEL_ARCH.QWEN2, 2)
    for name, value in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        data = value.numpy()
        if architecture == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            half = 8
            rows = [head + part * half + r for head in range(0, data.shape[0], 16) for r in range(half) for part in (0, 1)]
            data = np.ascontiguousarray(data[rows])
        wanted = gguf.GGMLQuantizationType[kind] if "_proj" in name and data.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), quantize(data, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_adapter(model, out: Path, **settings) -> Path:
    """A LoRA adapter with random A and B on every linear layer."""
    import peft
    import torch

    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **settings))
    torch.manual_seed(2)
    for name, value in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    wrapped.save_pretrained(str(out), save_embedding_layers=False)
    return out
