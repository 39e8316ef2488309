"""The transformers engine with a tiny random Llama: what it says alone and in company, choices, adapters, cancellation and faults."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch = pytest.importorskip("torch", reason="needs usbrec[train]")
pytest.importorskip("peft", reason="needs usbrec[train]")

from training.gguf_files import tiny_of, write_adapter, write_gguf  # noqa: E402
from training.tiny_models import chat, make_tiny_model  # noqa: E402
from usbrec import doctor, models  # noqa: E402
from usbrec.engine import ChatMessage, Engine, Sampling  # noqa: E402
from usbrec.engines import OpenVINOSettings, connect  # noqa: E402
from usbrec.engines.stops import settled  # noqa: E402
from usbrec.engines.transformers import TransformersEngine, TransformersSettings  # noqa: E402
from usbrec.engines.transformers_batch import Batch, Job, Row, draw, lots  # noqa: E402
from usbrec.errors import ConfigError, EngineError, ModelError, Unsupported  # noqa: E402
from usbrec.training import merge_safetensors  # noqa: E402
from usbrec.weights import folder_of, forget  # noqa: E402

PROMPTS = [chat("hello i want a film " * size) for size in (1, 7, 2, 5, 3, 9)]
GREEDY = Sampling(max_tokens=16)
WARM = Sampling(temperature=1.2, top_p=0.95, seed=4, max_tokens=12)
LONG = Sampling(temperature=1.2, seed=1, max_tokens=120)
CPU = TransformersSettings(device="cpu", dtype="fp32", threads=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def reference(tiny: Path) -> Reference:
    return Reference(tiny)


@pytest.fixture
async def engine(tiny: Path) -> AsyncIterator[TransformersEngine]:
    running = TransformersEngine(CPU.model_copy(update={"model": str(tiny)}))
    yield running
    await running.close()


class Reference:
    """The same model, one prompt at a time, without cache or padding."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def ids(self, messages: Sequence[ChatMessage]) -> list[int]:
        turns = [message.model_dump() for message in messages]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def probabilities(self, ids: list[int]) -> Any:
        with torch.no_grad():
            return self.network(torch.tensor([ids])).logits[0, -1].softmax(-1)

    def greedy(self, messages: Sequence[ChatMessage], count: int) -> list[int]:
        """Generated tokens, the end-of-turn token (2) included."""
        ids, said = self.ids(messages), list[int]()
        while len(said) < count and 2 not in said:
            said.append(int(self.probabilities(ids + said).argmax()))
        return said

    def text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()


async def quiet(engine: TransformersEngine) -> bool:
    """Nothing is under way soon."""
    assert engine._worker is not None
    for _ in range(200):
        if not (engine._worker.rows or engine._worker.waiting):
            return True
        await asyncio.sleep(0.01)
    return False


# ---- chat --------------------------------------------------------------------------------------------------------------------------


async def test_greedy_replies_are_the_models_alone_and_in_company(engine: TransformersEngine, reference: Reference) -> None:
    wanted = [reference.greedy(messages, 16) for messages in PROMPTS]
    alone = [(await engine.chat(messages, sampling=GREEDY))[0] for messages in PROMPTS]
    together = await asyncio.gather(
        *(engine.chat(messages, n=2, sampling=GREEDY) for messages in PROMPTS), engine.chat(PROMPTS[0], n=3, sampling=WARM)
    )
    for messages, said, first, more in zip(PROMPTS, wanted, alone, together[:-1], strict=True):
        assert first.text == reference.text(said) and more == [first, first]
        assert first.completion_tokens == len(said) and first.prompt_tokens == len(reference.ids(messages))
        assert first.finish == ("stop" if said[-1] == 2 else "length")
    assert len({reply.text for reply in alone}) > 3 and engine.stats.calls == 13


async def test_a_sample_depends_on_its_seed_and_not_on_n_or_the_company(engine: TransformersEngine) -> None:
    six, alone, *_ = await asyncio.gather(
        engine.chat(PROMPTS[1], n=6, sampling=WARM),
        engine.chat(PROMPTS[1], sampling=WARM),
        *(engine.chat(messages, n=2, sampling=LONG) for messages in PROMPTS),
    )
    again = await engine.chat(PROMPTS[1], n=3, sampling=WARM)
    other = await engine.chat(PROMPTS[1], n=3, sampling=WARM.model_copy(update={"seed": 5}))
    assert again == six[:3] and alone == six[:1] and len({reply.text for reply in six}) == 6
    assert not {reply.text for reply in other} & {reply.text for reply in six}


async def test_a_prompt_with_many_samples_is_read_once(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = spy(monkeypatch)
    await asyncio.gather(engine.chat(PROMPTS[0], n=8, sampling=WARM), engine.chat(PROMPTS[0], sampling=WARM))
    assert shapes[0][0] == 1 and shapes[0][1] > 1 and shapes[1] == (9, 1) and all(width == 1 for _, width in shapes[1:])


def spy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The shapes of all tokens that are computed from now on."""
    from usbrec.engines.transformers_model import TorchModel

    shapes: list[tuple[int, int]] = []
    whole = TorchModel.forward

    def forward(self: TorchModel, ids: Any, mask: Any, positions: Any, cache: Any) -> Any:
        shapes.append(tuple(ids.shape))
        return whole(self, ids, mask, positions, cache)

    monkeypatch.setattr(TorchModel, "forward", forward)
    return shapes


async def test_stop_strings_and_streams(engine: TransformersEngine) -> None:
    [whole] = await engine.chat(PROMPTS[2], sampling=GREEDY)
    stop = whole.text[7:10]
    at = whole.text.index(stop)
    stopped = GREEDY.model_copy(update={"stop": ("never said", stop)})
    [cut] = await engine.chat(PROMPTS[2], sampling=stopped)
    assert cut.finish == "stop" and cut.text == whole.text[:at].strip() and cut.completion_tokens < whole.completion_tokens
    for sampling, said in ((GREEDY, whole), (stopped, cut), (WARM, (await engine.chat(PROMPTS[2], sampling=WARM))[0])):
        pieces = [piece async for piece in engine.stream(PROMPTS[2], sampling=sampling)]
        assert "".join(pieces) == said.text and all(pieces) and (len(pieces) > 3 or said is cut)


async def test_the_generation_config_names_further_ends(tiny: Path, tmp_path: Path, reference: Reference) -> None:
    said = reference.greedy(PROMPTS[0], 16)
    folder = shutil.copytree(tiny, tmp_path / "other")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, said[5]]}))
    engine = TransformersEngine(CPU.model_copy(update={"model": str(folder)}))
    [reply] = await engine.chat(PROMPTS[0], sampling=GREEDY)
    end = said.index(said[5])
    assert reply.text == reference.text(said[:end]) and (reply.finish, reply.completion_tokens) == ("stop", end + 1)
    await engine.close()


async def test_cancelled_rows_leave_and_the_others_go_on(engine: TransformersEngine) -> None:
    [wanted] = await engine.chat(PROMPTS[3], sampling=LONG)
    doomed = asyncio.create_task(engine.chat(PROMPTS[5], n=4, sampling=LONG))
    other = asyncio.create_task(engine.chat(PROMPTS[3], sampling=LONG))
    stream = engine.stream(PROMPTS[1], sampling=LONG)
    assert await anext(stream)
    assert not doomed.done()
    doomed.cancel()
    await stream.aclose()  # type: ignore[attr-defined]
    assert await other == [wanted]
    with pytest.raises(asyncio.CancelledError):
        await doomed
    assert await quiet(engine) and engine._jobs == set()


async def test_more_rows_than_the_batch_holds_wait(tiny: Path) -> None:
    engine = TransformersEngine(CPU.model_copy(update={"model": str(tiny), "max_batch": 3, "concurrency": 4}))
    calls = [engine.chat(messages, n=4, sampling=WARM) for messages in PROMPTS]
    together = await asyncio.gather(*calls)
    assert together == [await engine.chat(messages, n=4, sampling=WARM) for messages in PROMPTS]
    await engine.close()


# ---- choose ------------------------------------------------------------------------------------------------------------------------


async def test_choose_is_the_models_own_distribution(engine: TransformersEngine, reference: Reference) -> None:
    options = ["a", "b", "0"]
    tokens = [reference.tokenizer(option, add_special_tokens=False)["input_ids"][0] for option in options]
    *choices, _ = await asyncio.gather(
        *(engine.choose(messages, options) for messages in PROMPTS), engine.chat(PROMPTS[0], sampling=GREEDY)
    )
    for messages, choice in zip(PROMPTS, choices, strict=True):
        wanted = reference.probabilities(reference.ids(messages))[tokens].tolist()
        assert choice.mass == pytest.approx(sum(wanted), rel=1e-4) and choice.exact
        assert choice.probabilities == pytest.approx([share / sum(wanted) for share in wanted], rel=1e-4)
        assert sum(choice.probabilities) == pytest.approx(1)


async def test_a_replys_log_probability_is_the_models(engine: TransformersEngine, reference: Reference) -> None:
    """The mean over a greedy reply's tokens; and only where it is asked for."""
    [plain] = await engine.chat(PROMPTS[0], sampling=GREEDY)
    [told] = await engine.chat(PROMPTS[0], sampling=GREEDY.model_copy(update={"logprobs": True}))
    assert plain.logprob is None and told.text == plain.text
    ids, said = reference.ids(PROMPTS[0]), reference.greedy(PROMPTS[0], GREEDY.max_tokens)
    each = [math.log(reference.probabilities([*ids, *said[:at]])[token]) for at, token in enumerate(said)]
    assert told.logprob == pytest.approx(sum(each) / len(each), abs=1e-4)


async def test_choices_are_computed_together(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = spy(monkeypatch)
    same = [chat(f"hello {word}") for word in ("film", "love", "river", "robots")]
    await asyncio.gather(*(engine.choose(messages, ["a", "b"]) for messages in same))
    assert [count for count, _ in shapes] == [4]


# ---- adapters and files ------------------------------------------------------------------------------------------------------------


async def test_an_adapter_says_what_the_merged_model_says(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    adapter = write_adapter(AutoModelForCausalLM.from_pretrained(tiny), tmp_path / "adapter")
    merged = merge_safetensors(tiny, adapter, tmp_path / "merged")
    engines = {
        "base": TransformersEngine(CPU.model_copy(update={"model": str(tiny)})),
        "adapter": TransformersEngine(CPU.model_copy(update={"model": str(tiny), "adapter": str(adapter)})),
        "merged": TransformersEngine(CPU.model_copy(update={"model": str(merged)})),
        "bf16": TransformersEngine(CPU.model_copy(update={"model": str(tiny), "adapter": str(adapter), "dtype": "bf16"})),
    }
    said = {name: [(await e.chat(m, sampling=GREEDY))[0].text for m in PROMPTS[:3]] for name, e in engines.items()}
    chosen = {name: await e.choose(PROMPTS[0], ["a", "b", "c"]) for name, e in engines.items()}
    assert said["adapter"] == said["merged"] != said["base"]
    assert chosen["adapter"].probabilities == pytest.approx(chosen["merged"].probabilities, rel=1e-3)
    assert chosen["bf16"].probabilities == pytest.approx(chosen["merged"].probabilities, abs=0.05)
    names = {engine.name for engine in engines.values()}
    assert len(names) == 4 and engines["adapter"].name == engines["base"].name.replace(":fp32", f"+{engines['adapter'].name[-17:]}")
    for engine in engines.values():
        await engine.close()


async def test_a_gguf_file_is_dequantised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path))
    model = tiny_of("llama")
    files = models.resolve(write_gguf(model, "llama", tmp_path / "tiny.gguf"))
    engine = TransformersEngine(CPU.model_copy(update={"model": str(files.path)}))
    with pytest.raises(ModelError, match="no chat template"):
        await engine.chat(PROMPTS[0], sampling=GREEDY)
    weights = models.cache() / "dequantised" / files.digest[:32] / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert folder_of(files) == weights.parent and weights.stat().st_mtime_ns == before
    again = Reference(weights.parent).network.state_dict()
    assert all(torch.equal(again[name], value.bfloat16().float()) for name, value in model.state_dict().items())
    await engine.close()
    whole = weights.read_bytes()
    for harmed in (whole[:-9] + bytes(9), whole[:-1]):
        weights.write_bytes(harmed)
        assert folder_of(files) == weights.parent and weights.read_bytes() == whole
    forget(files.path)  # type: ignore[arg-type]
    assert not list((models.cache() / "dequantised").iterdir()) and models.resolve(files.path).digest == files.digest
    files.path.write_bytes(files.path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="damaged: its tensors end at byte"):
        folder_of(files)


async def test_connect_makes_one_and_the_name_is_its_identity(tiny: Path) -> None:
    config = TransformersSettings(model=str(tiny), device="cpu", max_batch=2)
    engine = connect(config)
    assert isinstance(engine, TransformersEngine) and isinstance(engine, Engine) and engine.settings.max_batch == 2
    assert engine.name == f"transformers:model@{models.resolve(tiny).digest[:12]}:fp32"
    known = {"kind": "transformers", "model": str(tiny), "adapter": None, "dtype": "auto"}
    assert OpenVINOSettings(model=str(tiny / "nothing.gguf")).identity()["model"].endswith("nothing.gguf")  # told at the start
    assert config.identity() == known | {"digest": models.resolve(tiny).digest}
    await engine.close()


# ---- faults ------------------------------------------------------------------------------------------------------------------------


async def test_faults_of_one_call_hurt_nobody_else(engine: TransformersEngine) -> None:
    calls = [
        engine.choose(PROMPTS[0], ["a", "an option of many tokens"]),
        engine.chat(chat("film " * 900), sampling=GREEDY),
        engine.chat(PROMPTS[0], sampling=GREEDY.model_copy(update={"max_tokens": 600})),
        engine.choose(PROMPTS[0], []),
        engine.chat(PROMPTS[0], sampling=GREEDY),
    ]
    wide, long, greedy, none, well = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(wide, Unsupported) and "must be one token" in wide.what
    for fault in (long, greedy):
        assert isinstance(fault, EngineError) and "more than the model's 512" in fault.what and fault.where == engine.name and fault.fix
    assert isinstance(none, EngineError) and isinstance(well, list) and well[0].text


async def test_a_template_that_refuses(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "strict")
    template = (folder / "chat_template.jinja").read_text()
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system message') }}{% endif %}"
    (folder / "chat_template.jinja").write_text(refusal + template)
    engine = TransformersEngine(CPU.model_copy(update={"model": str(folder)}))
    with pytest.raises(EngineError, match="no system message"):
        await engine.chat(PROMPTS[0], sampling=GREEDY)
    assert (await engine.chat(PROMPTS[0][1:], sampling=GREEDY))[0].text
    await engine.close()


async def test_a_fault_of_the_computation_answers_the_batch(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Batch.step

    def broken(self: Batch, model: Any) -> Any:
        raise RuntimeError("device-side assert\nand more")

    monkeypatch.setattr(Batch, "step", broken)
    for fault in await asyncio.gather(*(engine.chat(m, sampling=GREEDY) for m in PROMPTS), return_exceptions=True):
        assert isinstance(fault, EngineError) and fault.what == "the model failed (device-side assert)" and fault.fix
    monkeypatch.setattr(Batch, "step", step)
    assert (await engine.chat(PROMPTS[0], sampling=GREEDY))[0].text


async def test_a_full_memory_halves_the_batch(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [await engine.chat(messages, n=3, sampling=WARM) for messages in PROMPTS]
    step, most, steps = Batch.step, 4, list[int]()

    def small(self: Batch, model: Any) -> Any:
        steps.append(len(self.rows))
        if len(self.rows) > most and len(steps) > 3 * (most > 0):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, model)

    monkeypatch.setattr(Batch, "step", small)
    assert await asyncio.gather(*(engine.chat(messages, n=3, sampling=WARM) for messages in PROMPTS)) == wanted
    assert max(steps) == 18 and steps[3:6] == [18, 9, 4]
    most = 0
    with pytest.raises(EngineError, match="not enough memory for a single prompt"):
        await engine.chat(PROMPTS[0], n=2, sampling=WARM)
    monkeypatch.setattr(Batch, "step", step)
    assert await engine.chat(PROMPTS[0], n=3, sampling=WARM) == wanted[0]


async def test_numbers_that_are_none(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from usbrec.engines.transformers_model import TorchModel

    whole = TorchModel.forward
    monkeypatch.setattr(TorchModel, "forward", lambda *parts: whole(*parts) * float("nan"))
    with pytest.raises(EngineError, match="NaN"):
        await engine.chat(PROMPTS[0], sampling=WARM)


async def test_close_answers_all_and_is_for_good(engine: TransformersEngine) -> None:
    tasks = [asyncio.create_task(engine.chat(messages, sampling=LONG)) for messages in PROMPTS]
    stream = engine.stream(PROMPTS[0], sampling=LONG)
    await anext(stream)
    thread = engine._thread
    await engine.close()
    await engine.close()
    for task in tasks:
        with pytest.raises(EngineError, match="closed"):
            await task
    with pytest.raises(EngineError, match="closed"):
        [piece async for piece in stream]
    with pytest.raises(EngineError, match="closed"):
        await engine.chat(PROMPTS[0], sampling=GREEDY)
    assert thread is not None and not thread.is_alive()


async def test_a_thread_that_ends_by_a_fault_is_started_again(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from usbrec.engines.transformers_worker import Worker

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "begin", lambda *_: 1 / 0)
        with pytest.raises(EngineError, match="thread ended"):
            await engine.chat(PROMPTS[0], sampling=GREEDY)
    assert (await engine.chat(PROMPTS[0], sampling=GREEDY))[0].text


def other(tiny: Path, **changes: int) -> Any:
    """A random model of another shape."""
    from transformers import AutoConfig, AutoModelForCausalLM

    return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny, **changes))


async def fault_of(model: str, **settings: Any) -> Any:
    engine = TransformersEngine(CPU.model_copy(update={"model": model, **settings}))
    with pytest.raises((ConfigError, ModelError)) as fault:
        await asyncio.gather(*(engine.chat(messages, sampling=GREEDY) for messages in PROMPTS))
    await engine.close()
    return fault.value


async def test_what_is_missing_is_named_with_its_remedy(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await fault_of(str(tmp_path / "nothing"))).what == "there is no such model"
    assert (await fault_of(str(tiny), adapter=str(tmp_path))).what == "there is no adapter"
    for changes, told in (({"hidden_size": 32}, "cannot be put on this model"), ({"num_hidden_layers": 3}, "but 28 belong on this model")):
        foreign = write_adapter(other(tiny, **changes), tmp_path / told[:3])
        assert told in (await fault_of(str(tiny), adapter=str(foreign))).what
    broken = shutil.copytree(tiny, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"nothing")
    assert "cannot load this model" in (await fault_of(str(broken))).what
    if not torch.cuda.is_available():
        assert "no CUDA device" in (await fault_of(str(tiny), device="cuda")).what
    monkeypatch.setitem(sys.modules, "peft", None)
    fault = await fault_of(str(tiny))
    assert isinstance(fault, ConfigError) and "usbrec[train]" in fault.fix
    assert doctor.in_torch().state == "missing"


def test_the_doctor_says_on_what_it_computes() -> None:
    found = doctor.in_torch()
    assert found.state == "ok" and torch.__version__ in found.detail
    assert found.detail.endswith("on the CPU (no GPU seen) in fp32") or torch.cuda.is_available()


# ---- parts -------------------------------------------------------------------------------------------------------------------------


def row(tokens: int, sampling: Sampling = WARM, options: tuple[int, ...] = (), seed: int = 0) -> Row:
    return Row(Job(PROMPTS[0], sampling), 0, tuple(range(tokens)), options, random.Random(seed))


def test_lots_of_like_length() -> None:
    rows = [row(10), row(100), row(95, options=(1,)), row(98), row(100), row(40), row(9)]
    sizes = [[(len(one.tokens), bool(one.options)) for one in lot] for lot in lots(rows)]
    assert sizes == [[(95, True)], [(100, False), (100, False), (98, False)], [(40, False)], [(10, False), (9, False)]]
    assert [len(lot) for lot in lots([row(9000), row(9000), row(8999), row(20000)])] == [1, 2, 1]


def test_draws_follow_the_distribution_within_its_nucleus() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 1000) * 2
    probabilities = (logits[0] / 0.7).softmax(-1)
    order = probabilities.argsort(descending=True)
    sums = probabilities[order].cumsum(-1)
    inside = order[: int((sums < 0.8).sum()) + 1]
    wanted = torch.zeros(1000)
    wanted[inside] = probabilities[inside] / probabilities[inside].sum()
    how = Sampling(temperature=0.7, top_p=0.8)
    drawn = torch.tensor(draw(logits.expand(4000, -1), [row(1, how, seed=seed) for seed in range(4000)]))
    seen = torch.bincount(drawn, minlength=1000) / 4000
    assert set(drawn.tolist()) <= set(inside.tolist()) and (seen - wanted).abs().sum() < 0.25
    mixed = [row(1, Sampling()), row(1, Sampling(temperature=1e-12)), row(1, Sampling(temperature=5, top_p=1e-9))]
    assert set(draw(logits.expand(3, -1), mixed)) == {int(order[0])}


def test_what_is_safe_to_pass_on() -> None:
    assert settled(" and so <|e", ["<|end|>"]).strip() == "and so" and settled("and so\ufffd", []) == "and so"
    assert settled("and so\n\nUs", ["\nUser:", "\n\nUser:"]) == "and so" and settled("and", ["nothing"]) == "and"
