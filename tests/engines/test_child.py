"""A child process that dies, stops, stays silent or leaves others behind; and the engine over a stand-in that does so while it starts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from usbrec.engine import ChatMessage, Sampling
from usbrec.engines import openvino
from usbrec.engines.child import Child
from usbrec.engines.openvino import OpenVINOEngine, OpenVINOSettings
from usbrec.errors import EngineError, EngineUnavailable

HELLO = (ChatMessage(role="user", content="hello"),)
SAMPLE = '{"text": "Heat", "finish": "stop", "prompt_tokens": 1, "completion_tokens": 1, "logprob": null}'

Module = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Makes a module out of some lines; what it starts it writes into `started`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))

    def make(lines: str) -> str:
        note = f"open({str(tmp_path / 'started')!r}, 'a').write('x')"
        (tmp_path / "standin.py").write_text(f"import json, os, subprocess, sys, time\n{note}\n{lines}\n")
        return "standin"

    return make


async def gone(pid: int) -> bool:
    for _ in range(1000):
        if not runs(pid):
            return True
        await asyncio.sleep(0.02)
    return False


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


HOLDER = "other = subprocess.Popen(['sleep', '1000'], start_new_session={})\nprint(json.dumps({{'pid': other.pid}}), flush=True)\n"


async def test_a_child_that_dies_is_noticed_though_another_holds_its_pipes(module: Module) -> None:
    child = await Child.of(module(HOLDER.format(False) + "print('bad luck', file=sys.stderr)\nos._exit(3)"))
    line = await child.line(1000)
    assert line and await child.line(1000) is None
    await child.end()
    assert await gone(line["pid"]) and "code 3" in child.fate() and "bad luck" in child.fate()


async def test_even_one_that_left_its_session(module: Module) -> None:
    child = await Child.of(module(HOLDER.format(True) + "os._exit(3)"))
    line = await child.line(1000)
    assert line
    try:
        assert await child.line(1000) is None
        await child.end()
    finally:
        os.kill(line["pid"], signal.SIGKILL)
    await child.end()  # now its pipes close too


async def test_silence_ends_patience_where_something_is_wanted(module: Module) -> None:
    child = await Child.of(module("time.sleep(0.5)\nprint('{\"a\": 1}', flush=True)\ntime.sleep(1000)"))
    assert await child.line(0.1, lambda: False) == {"a": 1}
    with pytest.raises(TimeoutError):
        await child.line(1)
    os.kill(child.process.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await child.line(1)
    await child.end()
    assert not child.alive


@pytest.mark.parametrize("said", ["{'", "[1]", "nonsense", "\\xff"])
async def test_what_is_no_object_is_its_end(module: Module, said: str) -> None:
    child = await Child.of(module(f'sys.stdout.buffer.write(b"{said}" + b"\\n")\nsys.stdout.flush()\ntime.sleep(1000)'))
    assert await child.line(1000) is None
    await child.end()


async def test_of_a_traceback_the_reason_is_told(module: Module) -> None:
    child = await Child.of(module("raise RuntimeError('no luck')"))
    assert await child.line(1000) is None
    await child.end()
    assert child.fate() == "it ended with code 1; its last words: RuntimeError: no luck"


async def test_of_much_only_the_end_is_kept(module: Module) -> None:
    child = await Child.of(module("sys.stderr.write('x' * 10**6 + '\\n' * 10 + 'the end')"))
    assert await child.line(1000) is None
    await child.end()
    assert child.last_words().endswith("the end") and len(child.last_words()) < 1100


async def test_modules_of_the_current_folder_are_not_run(module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "json.py").write_text("raise RuntimeError('a trap')")
    monkeypatch.chdir(tmp_path / "here")
    child = await Child.of(module("print(json.dumps({'ok': 1}))"))
    assert await child.line(1000) == {"ok": 1}
    await child.end()


# ---- the engine over a stand-in ------------------------------------------------------------------------------------------------------


@pytest.fixture
def over(module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OpenVINOEngine]:
    def make(lines: str, **settings: float) -> OpenVINOEngine:
        monkeypatch.setattr(openvino, "_WORKER", module(lines))
        monkeypatch.setenv("USBREC_CACHE", str(tmp_path / "cache"))
        (tmp_path / "model.gguf").write_bytes(b"GGUF")
        return OpenVINOEngine(OpenVINOSettings.model_validate({"model": str(tmp_path / "model.gguf"), **settings}))

    return make


def starts(folder: Path) -> int:
    return len((folder / "started").read_text())


async def test_all_who_wait_for_a_start_share_its_error(over: Callable[..., OpenVINOEngine], tmp_path: Path) -> None:
    engine = over("time.sleep(0.3)\nprint('out of luck', file=sys.stderr)\nos._exit(7)")
    faults = await asyncio.gather(*(engine.chat(HELLO, sampling=Sampling()) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(fault, EngineUnavailable) and "code 7; its last words: out of luck" in fault.what for fault in faults)
    assert starts(tmp_path) == 1
    with pytest.raises(EngineUnavailable):
        await engine.chat(HELLO, sampling=Sampling())
    assert starts(tmp_path) == 2
    await engine.close()


async def test_a_start_without_a_word_is_given_up_and_signs_of_life_are_words(over: Callable[..., OpenVINOEngine], tmp_path: Path) -> None:
    signs = "for _ in range(5):\n    print('{\"alive\": true}', flush=True)\n    time.sleep(0.4)\n"
    engine = over(f"{signs}print('slow', file=sys.stderr)\ntime.sleep(1000)", start_seconds=1)
    with pytest.raises(EngineUnavailable, match="did not start within 1 seconds; its last words: slow") as fault:
        await engine.chat(HELLO, sampling=Sampling())
    assert "start_seconds" in fault.value.fix and fault.value.where.endswith("model.gguf") and engine.pid is None
    await engine.close()


async def test_a_close_does_not_wait_for_a_start(over: Callable[..., OpenVINOEngine]) -> None:
    engine = over("time.sleep(1000)")
    call = asyncio.create_task(engine.chat(HELLO, sampling=Sampling()))
    while (pid := engine.pid) is None:  # noqa: ASYNC110 (of another process)
        await asyncio.sleep(0.01)
    await engine.close()
    with pytest.raises(EngineError, match="closed"):
        await call
    assert await gone(pid)


async def test_a_caller_who_leaves_does_not_end_the_start_of_others(over: Callable[..., OpenVINOEngine], tmp_path: Path) -> None:
    answers = "for line in sys.stdin:\n    print('{\"id\": %d, \"samples\": [SAMPLE]}' % json.loads(line)['id'], flush=True)"
    engine = over(f"sys.stdin.readline()\ntime.sleep(0.5)\nprint('{{\"ready\": {{}}}}', flush=True)\n{answers.replace('SAMPLE', SAMPLE)}")
    first, second = (asyncio.create_task(engine.chat(HELLO, sampling=Sampling())) for _ in range(2))
    while engine.pid is None:  # noqa: ASYNC110 (of another process)
        await asyncio.sleep(0.01)
    first.cancel()
    assert (await second)[0].text == "Heat" and starts(tmp_path) == 1 and first.cancelled()
    await engine.close()


async def test_an_engine_whose_process_cannot_be_made(over: Callable[..., OpenVINOEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = over("pass")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EngineUnavailable, match="could not be started"):
        await engine.chat(HELLO, sampling=Sampling())
    await engine.close()
