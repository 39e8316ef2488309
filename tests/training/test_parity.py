"""The default model, trained for a few steps and merged, says the same in torch, OpenVINO and llama.cpp."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from usbrec import models
from usbrec.engine import ChatMessage
from usbrec.errors import ModelError
from usbrec.training import ExportConfig, SftConfig, SftRow, merge_gguf, merge_safetensors, train_sft
from usbrec.training.parity import parity
from usbrec.weights import dequantise

SYSTEM = "You recommend films. Offer one film that suits the person, in one short sentence."
WISHES = ["something scary", "a funny film for tonight", "an old western", "a space adventure", "a sad love story"]
KNOWN = ["Alien (1979)", "Heat (1995)", "Up (2009)", "Jaws (1975)", "Fargo (1996)"]
MOODS = ["I watch it alone.", "My children are with me."]
GREEDY_TOKENS = 12


def prompt(wish: str, known: str, mood: str) -> tuple[ChatMessage, ...]:
    return (
        ChatMessage(role="system", content=SYSTEM),
        ChatMessage(role="user", content=f"Hello! I am looking for {wish}."),
        ChatMessage(role="assistant", content=f"Have you seen {known}?"),
        ChatMessage(role="user", content=f"Yes, I have, and I liked it. What else is there? {mood}"),
    )


PROMPTS = [prompt(*parts) for parts in itertools.product(WISHES, KNOWN, MOODS)]


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    """(GGUF file, safetensors folder, GGUF file in F16) of the default model after a few steps at a high learning rate."""
    try:
        base = models.resolve(models.DEFAULT)
    except ModelError as fault:
        pytest.skip(f"needs the default model: {fault.fix}")
    out = tmp_path_factory.mktemp("parity")
    replies = [f"You should see {name}, it is a great one." for name in KNOWN]
    rows = [SftRow(key=str(n), messages=p[:2], reply=replies[n % 5]) for n, p in enumerate(PROMPTS[:24])]
    config = SftConfig(max_steps=5, batch_size=4, learning_rate=1e-3, check_every=0)
    result = train_sft(rows, [], config, base, out / "run")
    assert result.last_loss < result.first_loss
    assert base.gguf is not None
    return (
        merge_gguf(base.gguf, result.adapter, out / "model.gguf"),
        merge_safetensors(base.gguf, result.adapter, out / "folder"),
        merge_gguf(base.gguf, result.adapter, out / "f16.gguf", ExportConfig(quantisation="F16")),
    )


class Exact:
    """OpenVINO GenAI in exact precision; first tokens by a beam search of width k with one new token."""

    def __init__(self, path: Path) -> None:
        import openvino_genai as genai

        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = 1
        exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
        self.genai = genai
        self.pipe = genai.ContinuousBatchingPipeline(str(path), scheduler, "CPU", exact)
        self.tokenizer = self.pipe.get_tokenizer()

    def draw(self, messages, **settings):
        config = self.genai.GenerationConfig()
        config.apply_chat_template = False  # the text is rendered already
        for name, value in settings.items():
            setattr(config, name, value)
        chat = [{"role": m.role, "content": m.content} for m in messages]
        (result,) = self.pipe.generate([self.tokenizer.apply_chat_template(chat, add_generation_prompt=True)], [config])
        return result

    def first_tokens(self, messages):
        result = self.draw(messages, max_new_tokens=1, num_beams=5, num_return_sequences=5)
        return dict(zip(result.m_generation_ids, result.m_scores, strict=True))

    def greedy(self, messages):
        return self.draw(messages, max_new_tokens=GREEDY_TOKENS).m_generation_ids[0]


@pytest.mark.slow
def test_openvino_says_what_its_file_says(merged, tmp_path):
    """The engine, the chat template, the tokenizer and the layout: against torch on the very weights of the Q8_0 file."""
    dequantise(merged[0], tmp_path / "same")
    engine = Exact(merged[0])
    found = parity(tmp_path / "same", PROMPTS[::5], engine.first_tokens, engine.greedy, greedy_tokens=GREEDY_TOKENS)
    print(found)
    assert found.mean_difference <= 0.03
    assert found.same_first >= 0.9
    assert found.same_greedy >= 0.8


@pytest.mark.slow
def test_openvino_says_what_was_trained(merged, tmp_path):
    """Against torch on the merged fp32 weights: with F16 layers within 0.03; Q8_0 adds its rounding, about 0.03."""
    first_tokens = Exact(merged[2]).first_tokens
    found = parity(merged[1], PROMPTS, first_tokens)
    print(found)
    assert (found.prompts, found.compared) == (50, 250)
    assert found.mean_difference <= 0.03
    assert found.max_difference <= 0.2
    rounded = parity(merged[1], PROMPTS, Exact(merged[0]).first_tokens)
    print(rounded)
    assert rounded.mean_difference <= 0.045


@pytest.mark.slow
def test_llama_cpp_loads_the_same_file_and_says_the_same(merged):
    xllamacpp = pytest.importorskip("xllamacpp", reason="needs the development dependency xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(merged[0])
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 512, 1, 2
    server = xllamacpp.Server(params)
    engine, same = Exact(merged[0]), 0
    for messages in PROMPTS[:3]:
        chat = [{"role": m.role, "content": m.content} for m in messages]
        reply = server.handle_chat_completions({"messages": chat, "max_tokens": GREEDY_TOKENS, "temperature": 0})
        text = reply["choices"][0]["message"]["content"]
        assert text.strip()
        same += text.strip() == engine.greedy(messages).strip()
    assert same >= 2
