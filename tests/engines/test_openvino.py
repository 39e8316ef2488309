"""The embedded engine with the real model: replies, exact choices, cancellation, and a child that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from usbrec.engine import ChatMessage, Sampling
from usbrec.engines import connect, openvino_worker
from usbrec.engines.openvino import OpenVINOEngine, OpenVINOSettings
from usbrec.engines.openvino_exact import Room
from usbrec.engines.openvino_jobs import Sample, reason_of
from usbrec.engines.stops import overlap
from usbrec.errors import EngineError, ModelError, Unsupported

HELLO = (ChatMessage(role="user", content="I loved Heat. What should I watch tonight?"),)
JUDGE = (ChatMessage(role="system", content="You answer with one digit."), ChatMessage(role="user", content="Is it 0, 1 or 2?"))
WARM = Sampling(temperature=0.8, seed=4, max_tokens=12)
EXACT = OpenVINOSettings(precision="exact", cache_gb=1, threads=2, timeout_seconds=120)


@pytest.fixture
async def engine(gguf: Path) -> AsyncIterator[OpenVINOEngine]:
    running = OpenVINOEngine(EXACT.model_copy(update={"model": str(gguf)}))
    yield running
    await running.close()


async def alive(pid: int) -> bool:
    """Is it there still, when it has had all the time it may need to end?"""
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        await asyncio.sleep(0.05)
    return True


@pytest.mark.slow
async def test_a_sample_depends_on_its_seed_and_not_on_n_or_the_company(engine: OpenVINOEngine) -> None:
    six, alone, greedy = await asyncio.gather(
        engine.chat(HELLO, n=6, sampling=WARM), engine.chat(HELLO, sampling=WARM), engine.chat(HELLO, n=2, sampling=Sampling(max_tokens=12))
    )
    again = await engine.chat(HELLO, n=3, sampling=WARM)
    assert [c.text for c in again] == [c.text for c in six[:3]] and alone[0].text == six[0].text
    assert len({c.text for c in six}) == 6 and greedy[0] == greedy[1] and greedy[0].text
    assert all(c.finish == "length" and c.completion_tokens == 12 for c in six) and len({c.prompt_tokens for c in six}) == 1
    assert engine.stats.calls == 4 and engine.stats.completion_tokens == 12 * 12 and engine.stats.busy_seconds > 0


@pytest.mark.slow
async def test_prompts_that_begin_alike_wait_for_the_first_and_outlive_its_cancellation(engine: OpenVINOEngine) -> None:
    begin = "I loved Heat, and Casino, and all that Michael Mann made in those years. " * 12
    asked = [(ChatMessage(role="user", content=f"{begin} What is number {n}?"),) for n in range(5)]
    first, *others = [asyncio.create_task(engine.chat(messages, sampling=WARM)) for messages in asked]
    await asyncio.sleep(0.01)
    first.cancel()
    at_once = await asyncio.gather(*others)
    alone = [await engine.chat(messages, sampling=WARM) for messages in asked[1:]]
    assert [a[0].text for a in at_once] == [b[0].text for b in alone]
    again = await asyncio.gather(*(engine.chat(messages, n=2, sampling=WARM) for messages in asked[1:]))
    assert [a[0].text for a in again] == [b[0].text for b in alone]


@pytest.mark.slow
async def test_in_exact_precision_company_changes_not_a_bit(engine: OpenVINOEngine) -> None:
    film = "Casino was long and I liked it, "
    asked = [(ChatMessage(role="user", content=film * (1 + n // 8) + "ok " * n + "what else?"),) for n in range(40)]  # all remainders of 32
    warm = Sampling(temperature=1.2, seed=4, max_tokens=10, logprobs=True)
    alone = [await engine.chat(messages, sampling=warm) for messages in asked]
    gone = [asyncio.create_task(engine.chat(messages, n=2, sampling=warm)) for messages in asked[::5]]
    crowd = [asyncio.create_task(engine.chat(messages, n=1 + n % 2, sampling=warm)) for n, messages in enumerate(reversed(asked))]
    choices = [asyncio.create_task(engine.choose(JUDGE, ["0", "1", "2"])) for _ in range(3)]
    await asyncio.sleep(0.5)
    for task in gone:
        task.cancel()
    assert [answer[0] for answer in reversed(await asyncio.gather(*crowd))] == [answer[0] for answer in alone]
    assert {await task for task in choices} == {await engine.choose(JUDGE, ["0", "1", "2"])}
    tight = Sampling(temperature=1.2, seed=4, max_tokens=4000, stop=(" ",), logprobs=True)  # five fit into a gigabyte
    crowd = [asyncio.create_task(engine.chat(messages, n=2, sampling=tight)) for messages in asked[:12]]
    assert await asyncio.gather(*crowd) == [await engine.chat(messages, n=2, sampling=tight) for messages in asked[:12]]


def test_room_for_what_surely_fits() -> None:
    class Pipe:
        def get_metrics(self) -> Any:
            return SimpleNamespace(cache_usage=10.0)

        def step(self) -> None: ...

    room = Room(MagicMock(), Pipe(), samples=4, tokens=100)
    read, unread = Sample(None, 40, 20, ids=[1]), Sample(None, 60, 4)
    assert room.blocks == 9 and room.ever(200, 88) and not room.ever(200, 89)
    assert room.now(40, 24, [read, unread]) and not room.now(41, 20, [read, unread])  # 100 unread tokens fit into a step
    assert room.now(40, 120, [read, unread]) and not room.now(40, 121, [read, unread])  # 2 + 2 + 5 blocks are all
    assert room.now(250, 38, []) and not room.now(1, 1, [read, read, read])


@pytest.mark.slow
async def test_stop_strings_streams_and_cancellation(engine: OpenVINOEngine) -> None:
    [whole] = await engine.chat(HELLO, sampling=Sampling(max_tokens=30))
    stop = whole.text.split()[3]
    [cut] = await engine.chat(HELLO, sampling=Sampling(max_tokens=30, stop=(stop,)))
    assert cut.finish == "stop" and cut.text == whole.text[: whole.text.index(stop)].strip()
    pieces = [piece async for piece in engine.stream(HELLO, sampling=Sampling(max_tokens=30))]
    assert "".join(pieces).strip() == whole.text and len(pieces) > 10
    pieces = [piece async for piece in engine.stream(HELLO, sampling=Sampling(max_tokens=30, stop=(stop,)))]
    assert "".join(pieces).strip() == cut.text
    stream = engine.stream(HELLO, sampling=Sampling(max_tokens=2000))
    assert await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    task = asyncio.create_task(engine.chat(HELLO, n=4, sampling=WARM.model_copy(update={"max_tokens": 2000})))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await asyncio.wait_for(engine.chat(HELLO, sampling=Sampling(max_tokens=30)), 100))[0].text == whole.text


@pytest.mark.slow
async def test_faults_of_one_request_hurt_nobody_else(engine: OpenVINOEngine) -> None:
    with pytest.raises(Unsupported, match="must be one token"):
        await engine.choose(JUDGE, ["0", "an option of many tokens"])
    with pytest.raises(EngineError, match="more than the model's"):
        await engine.chat((ChatMessage(role="user", content="word " * 9000),), sampling=WARM)
    assert (await engine.chat(HELLO, sampling=WARM))[0].text and engine.stats.restarts == 0


@pytest.mark.slow
async def test_a_killed_child_costs_a_restart_and_changes_nothing(engine: OpenVINOEngine) -> None:
    long = WARM.model_copy(update={"max_tokens": 60})
    undisturbed = await engine.chat(HELLO, n=4, sampling=long)
    first = engine.pid
    assert first is not None
    calls = [asyncio.create_task(engine.chat(HELLO, n=4, sampling=long)), asyncio.create_task(engine.choose(JUDGE, ["0", "1"]))]
    stream = engine.stream(HELLO, sampling=Sampling(max_tokens=60))
    said = await anext(stream)
    os.kill(first, signal.SIGKILL)
    assert await calls[0] == undisturbed and (await calls[1]).mass > 0
    said += "".join([piece async for piece in stream])
    assert said.strip() == (await engine.chat(HELLO, sampling=Sampling(max_tokens=60)))[0].text
    assert engine.stats.restarts == 1 and engine.pid not in (None, first)


@pytest.mark.slow
async def test_a_child_killed_again_while_it_starts_costs_one_restart_more(engine: OpenVINOEngine) -> None:
    undisturbed = await engine.chat(HELLO, sampling=WARM)
    task = asyncio.create_task(engine.chat(HELLO, sampling=WARM))
    killed: set[int] = set()
    while len(killed) < 2:
        if engine.pid is not None and engine.pid not in killed:
            killed.add(engine.pid)
            os.kill(engine.pid, signal.SIGKILL)
        await asyncio.sleep(0.02)
    assert await task == undisturbed and engine.stats.restarts == 2


@pytest.mark.slow
async def test_a_child_that_keeps_dying_is_given_up(engine: OpenVINOEngine) -> None:
    await engine.chat(HELLO, sampling=WARM)
    task = asyncio.create_task(engine.chat(HELLO, sampling=WARM.model_copy(update={"max_tokens": 4000})))
    killed: set[int] = set()
    while not task.done():
        if engine.pid is not None and engine.pid not in killed:
            killed.add(engine.pid)
            os.kill(engine.pid, signal.SIGKILL)
        await asyncio.sleep(0.02)
    with pytest.raises(EngineError, match="4 times in a row"):
        await task
    assert len(killed) == 4
    assert (await engine.chat(HELLO, sampling=WARM))[0].text


@pytest.mark.slow
async def test_a_frozen_child_is_restarted(gguf: Path) -> None:
    engine = OpenVINOEngine(EXACT.model_copy(update={"model": str(gguf), "timeout_seconds": 10.0}))
    await engine.chat(HELLO, sampling=WARM)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    assert (await engine.chat(HELLO, sampling=WARM.model_copy(update={"seed": 5})))[0].text and engine.stats.restarts == 1
    await engine.close()


@pytest.mark.slow
async def test_the_child_ends_with_close_and_the_engine_stays_closed(gguf: Path) -> None:
    engine = OpenVINOEngine(EXACT.model_copy(update={"model": str(gguf)}))
    await engine.chat(HELLO, sampling=WARM)
    pid = engine.pid
    assert pid is not None
    task = asyncio.create_task(engine.chat(HELLO, sampling=WARM.model_copy(update={"max_tokens": 4000})))
    await asyncio.sleep(0.3)
    await engine.close()
    await engine.close()
    with pytest.raises(EngineError, match="closed"):
        await task
    assert not await alive(pid) and engine.pid is None
    with pytest.raises(EngineError, match="closed"):
        await engine.chat(HELLO, sampling=WARM)


ORPHAN = """
import asyncio, os, sys
from usbrec.engine import ChatMessage, Sampling
from usbrec.engines.openvino import OpenVINOEngine, OpenVINOSettings
async def main():
    engine = OpenVINOEngine(OpenVINOSettings(model=sys.argv[1], cache_gb=1))
    await engine.chat([ChatMessage(role="user", content="hello")], sampling=Sampling(max_tokens=2))
    print(engine.pid, flush=True)
    await engine.chat([ChatMessage(role="user", content="hello")], n=8, sampling=Sampling(temperature=1, max_tokens=4000))
asyncio.run(main())
"""


@pytest.mark.slow
async def test_the_child_never_outlives_a_killed_parent(gguf: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", ORPHAN, str(gguf), stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    assert not await alive(pid)


@pytest.mark.slow
async def test_choose_is_exact_and_prompts_are_tokenised_as_in_training(engine: OpenVINOEngine, gguf: Path) -> None:
    """Against the same weights in torch (float32).  What is left is the rounding of Q4_1 to Q8_0."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    for prompt, options in ((JUDGE, ["0", "1", "2"]), (HELLO, ["If", "I", "Yes"])):
        chat = [message.model_dump() for message in prompt]
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            whole = model(ids).logits[0, -1].softmax(-1)
        wanted = [whole[tokenizer(option, add_special_tokens=False).input_ids[0]].item() for option in options]
        choice = await engine.choose(prompt, options)
        [reply] = await engine.chat(prompt, sampling=Sampling(max_tokens=1))
        assert reply.prompt_tokens == ids.shape[1] and choice.exact and reply.logprob is None
        [told] = await engine.chat(prompt, sampling=Sampling(max_tokens=1, logprobs=True))
        assert told.logprob == pytest.approx(whole.max().log().item(), abs=0.15)
        assert choice.mass == pytest.approx(sum(wanted), rel=0.15)
        assert choice.probabilities == pytest.approx([w / sum(wanted) for w in wanted], abs=0.05)
    assert (await engine.choose(JUDGE, ["2", "1", "0"])).probabilities[::-1] == pytest.approx(
        (await engine.choose(JUDGE, ["0", "1", "2"])).probabilities, abs=1e-4
    )


@pytest.mark.slow
async def test_a_file_that_openvino_cannot_load(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    engine = OpenVINOEngine(EXACT.model_copy(update={"model": str(bad)}))
    with pytest.raises(ModelError, match=r"bad\.gguf"):
        await engine.chat(HELLO, sampling=WARM)
    await engine.close()


async def test_a_missing_model_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path))
    engine = connect(OpenVINOSettings())
    with pytest.raises(ModelError) as fault:
        await engine.chat(HELLO, sampling=WARM)
    assert fault.value.fix == "usbrec model get smollm2-135m-instruct"
    await engine.close()


def test_small_parts() -> None:
    assert overlap("and so <|e", "<|end|>") == 3 and overlap("and so", "<|end|>") == 0
    assert reason_of(RuntimeError("Exception from a.cpp:5:\nCheck 'x' failed\nno such file")) == "no such file"
    assert OpenVINOSettings(precision="exact").identity() == {
        "kind": "openvino", "model": "smollm2-135m-instruct", "precision": "exact", "weights": "q8_0",
    }  # fmt: skip


QUIET = """
import sys
told = []
sys.addaudithook(lambda event, args: told.append((event, args)) if event.startswith(("socket.", "os.fork", "subprocess.")) else None)
from usbrec.engines.openvino_worker import genai
genai()
import openvino, openvino.tools.ovc
print(told, "openvino_telemetry" in sys.modules and sys.modules["openvino_telemetry"])
"""


def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    """No process, no connection, nothing in the home folder."""
    env = {key: value for key, value in os.environ.items() if key != "CI"} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, env=env, check=True)
    assert done.stdout == "[] None\n" and not list(tmp_path.iterdir())


def test_only_the_worker_imports_openvino() -> None:
    package = Path(openvino_worker.__file__).parents[1]
    importers = [path.name for path in package.rglob("*.py") if "import openvino" in path.read_text(encoding="utf-8")]
    assert importers == ["openvino_worker.py"]
