"""A merged file holds what the adapter makes of the base model, and nothing else has changed."""

from __future__ import annotations

import json

import gguf
import numpy as np
import peft
import pytest
import torch
from gguf_files import tiny_of, write_adapter, write_gguf
from transformers import AutoModelForCausalLM

from usbrec.errors import ModelError
from usbrec.training import ExportConfig, merge_gguf, merge_safetensors
from usbrec.training.export import interleave, read_deltas
from usbrec.weights import dequantise

IDS = torch.tensor([[5, 17, 80, 3, 44, 9]])


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def load(path):
    return AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_merged_gguf_equals_pefts_merge(architecture, tmp_path):
    """Read back by transformers, which knows the layouts on its own; F32, so nothing is rounded."""
    base = write_gguf(tiny_of(architecture), architecture, tmp_path / "base.gguf")
    assert torch.allclose(logits(load(base)), logits(tiny_of(architecture)), atol=1e-5)
    adapter = write_adapter(tiny_of(architecture), tmp_path / "adapter")
    merged = merge_gguf(base, adapter, tmp_path / "merged.gguf", ExportConfig(quantisation="F32"))
    expected = logits(peft.PeftModel.from_pretrained(tiny_of(architecture), str(adapter)).merge_and_unload())
    assert torch.allclose(logits(load(merged)), expected, atol=1e-4)
    assert not torch.allclose(expected, logits(tiny_of(architecture)), atol=0.1)


@pytest.mark.parametrize("settings", [{"use_rslora": True}, {"alpha_pattern": {"q_proj": 32}, "rank_pattern": {"up_proj": 2}}])
def test_scales_are_pefts(settings, tmp_path):
    base = write_gguf(tiny_of("llama"), "llama", tmp_path / "base.gguf")
    adapter = write_adapter(tiny_of("llama"), tmp_path / "adapter", **settings)
    merged = merge_gguf(base, adapter, tmp_path / "merged.gguf", ExportConfig(quantisation="F32"))
    expected = logits(peft.PeftModel.from_pretrained(tiny_of("llama"), str(adapter)).merge_and_unload())
    assert torch.allclose(logits(load(merged)), expected, atol=1e-4)


def test_everything_else_is_copied_byte_for_byte(tmp_path):
    base = write_gguf(tiny_of("qwen2"), "qwen2", tmp_path / "base.gguf", kind="Q4_1")
    adapter = write_adapter(tiny_of("qwen2"), tmp_path / "adapter")
    merge_gguf(base, adapter, tmp_path / "merged.gguf")
    old, new = gguf.GGUFReader(str(base)), gguf.GGUFReader(str(tmp_path / "merged.gguf"))
    assert [tensor.name for tensor in old.tensors] == [tensor.name for tensor in new.tensors]
    changed = 0
    for before, after in zip(old.tensors, new.tensors, strict=True):
        assert list(before.shape) == list(after.shape)
        if before.tensor_type == gguf.GGMLQuantizationType.Q4_1:
            assert after.tensor_type == gguf.GGMLQuantizationType.Q8_0
            changed += 1
        else:
            assert after.tensor_type == before.tensor_type
            assert after.data.tobytes() == before.data.tobytes()
    assert changed == 14

    def fields(reader):
        return {name: field.contents() for name, field in reader.fields.items() if name not in ("general.file_type", "GGUF.kv_count")}

    assert fields(old) == fields(new)
    assert [f.types for n, f in old.fields.items()] == [f.types for n, f in new.fields.items()]
    assert new.get_field("general.file_type").contents() == gguf.LlamaFileType.MOSTLY_Q8_0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_q8_rounds_by_half_a_step_at_most(tmp_path):
    """Q8_0: each 32 values share the scale max/127, so no merged weight is off by more than half of that (and fp16's rounding of it)."""
    base = write_gguf(tiny_of("llama"), "llama", tmp_path / "base.gguf")
    adapter = write_adapter(tiny_of("llama"), tmp_path / "adapter")
    merged = merge_gguf(base, adapter, tmp_path / "merged.gguf")
    exact = merge_gguf(base, adapter, tmp_path / "exact.gguf", ExportConfig(quantisation="F32"))
    a, b = (next(t for t in gguf.GGUFReader(str(path)).tensors if t.name == "blk.1.ffn_up.weight") for path in (merged, exact))
    rounded, value = gguf.quants.dequantize(a.data, a.tensor_type), np.array(b.data)
    steps = np.abs(value).reshape(-1, 32).max(1) / 127
    assert (np.abs(rounded - value).reshape(-1, 32).max(1) <= 0.5 * steps + 127 * steps * 2**-11 + 1e-6).all()


def test_without_an_adapter_only_types_with_offsets_are_written_anew(tmp_path):
    base = write_gguf(tiny_of("llama"), "llama", tmp_path / "base.gguf", kind="Q4_1")
    plain = merge_gguf(base, None, tmp_path / "plain.gguf", ExportConfig(quantisation="F32"))
    assert torch.allclose(logits(load(plain)), logits(load(base)), atol=1e-5)
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(str(merge_gguf(base, None, tmp_path / "q8.gguf"))).tensors}
    assert kinds["blk.0.attn_q.weight"] == "Q8_0"
    assert kinds["token_embd.weight"] == "F32"
    untouched = write_gguf(tiny_of("llama"), "llama", tmp_path / "q40.gguf", kind="Q4_0")
    same = gguf.GGUFReader(str(merge_gguf(untouched, None, tmp_path / "same.gguf"))).tensors
    assert all(a.data.tobytes() == b.data.tobytes() for a, b in zip(gguf.GGUFReader(str(untouched)).tensors, same, strict=True))


def test_interleave_by_hand():
    """One head of four rows: halves (0, 1) and (2, 3) alternate to 0, 2, 1, 3; the second head likewise."""
    rows = np.arange(8, dtype=np.float32)[:, None]
    assert interleave(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_an_adapter_of_another_model_is_refused(tmp_path):
    base = write_gguf(tiny_of("llama"), "llama", tmp_path / "base.gguf")
    adapter = write_adapter(tiny_of("llama"), tmp_path / "adapter")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    from safetensors.numpy import load_file, save_file

    save_file({name.replace("layers.1", "layers.7"): value for name, value in load_file(str(weights)).items()}, str(weights))
    with pytest.raises(ModelError, match=r"layers\.7"):
        merge_gguf(base, adapter, tmp_path / "merged.gguf")
    assert not (tmp_path / "merged.gguf").exists()


def test_an_adapter_that_is_not_plain_lora_is_refused(tmp_path):
    adapter = write_adapter(tiny_of("llama"), tmp_path / "adapter")
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_dora": True}))
    with pytest.raises(ModelError, match="use_dora"):
        read_deltas(adapter)
    with pytest.raises(ModelError, match="no adapter"):
        read_deltas(tmp_path / "nowhere")


def test_another_architecture_is_refused(tmp_path):
    writer = gguf.GGUFWriter(str(tmp_path / "gpt2.gguf"), "gpt2")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match="a gpt2 model cannot be merged"):
        merge_gguf(tmp_path / "gpt2.gguf", tmp_path, tmp_path / "merged.gguf")


def test_merged_safetensors_can_be_trained_on_again(tiny, tmp_path):
    adapter = write_adapter(AutoModelForCausalLM.from_pretrained(str(tiny), dtype=torch.float32), tmp_path / "adapter")
    out = merge_safetensors(tiny, adapter, tmp_path / "merged")
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    assert (out / "tokenizer.json").exists()
    merged = AutoModelForCausalLM.from_pretrained(str(out), dtype=torch.float32)
    wrapped = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(str(tiny), dtype=torch.float32), str(adapter))
    assert torch.allclose(logits(merged), logits(wrapped), atol=1e-4)


def test_a_dequantised_model_says_nothing_of_quantisation(tmp_path):
    base = write_gguf(tiny_of("qwen2"), "qwen2", tmp_path / "base.gguf", kind="Q8_0")
    dequantise(base, tmp_path / "folder")
    assert "quantization_config" not in json.loads((tmp_path / "folder" / "config.json").read_text())
    read = AutoModelForCausalLM.from_pretrained(str(tmp_path / "folder"), dtype=torch.float32)
    assert torch.allclose(logits(read), logits(load(base)), atol=0.35)
