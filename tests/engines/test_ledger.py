"""The ledger: evidence and cache at once, safe against kills and full disks."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from hostile.harness import leaked
from usbrec import redaction
from usbrec.engine import ChatMessage, Completion, Sampling
from usbrec.engines import ScriptedSettings, connect
from usbrec.engines.ledger import Ledger, LedgerEngine, totals
from usbrec.engines.scripted import ScriptedEngine
from usbrec.errors import EngineError, StorageError

HELLO = (ChatMessage(role="user", content="hello"),)
WARM = Sampling(temperature=1, seed=4)


async def test_a_repeated_call_is_answered_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    first = LedgerEngine(ScriptedEngine([f"line {i}" for i in range(9)]), path)
    told = await first.chat(HELLO, n=2, sampling=WARM)
    choice = await first.choose(HELLO, ["0", "1"])
    await first.close()
    silent = ScriptedEngine(["other"])
    second = LedgerEngine(silent, path)
    again = await second.chat(HELLO, n=2, sampling=WARM)
    assert [c.text for c in again] == [c.text for c in told] and all(c.cached for c in again) and not any(c.cached for c in told)
    assert await second.choose(HELLO, ["0", "1"]) == choice
    assert silent.stats.calls == 0 and second.hits == 2
    await second.close()


async def test_only_the_owner_of_an_engine_closes_it(tmp_path: Path) -> None:
    engine = ScriptedEngine(["a"])
    for name, owner in (("one", False), ("two", False), ("three", True)):
        ledger = LedgerEngine(engine, tmp_path / name, owner)
        await ledger.chat(HELLO, sampling=WARM)
        await ledger.close()
        assert engine.closed == owner
    assert [t.calls for t in totals(tmp_path / "one")] == [1] and engine.stats.calls == 3


SETTINGS = {"seed": 5, "temperature": 0.5, "max_tokens": 7, "top_p": 0.5, "stop": ("x",)}
"""Other values of what decides an answer."""
PROMPTS = {"prompt": ChatMessage(role="user", content="bye"), "role": ChatMessage(role="system", content="hello")}


@pytest.mark.parametrize("change", [*PROMPTS, *SETTINGS, "n", "engine", "options"])
async def test_any_difference_asks_the_model(tmp_path: Path, change: str) -> None:
    inner = ScriptedEngine(["a"])
    engine = LedgerEngine(inner, tmp_path / "ledger.sqlite")
    await engine.chat(HELLO, sampling=WARM)
    await engine.choose(HELLO, ["0", "1"])
    if change == "engine":
        inner.name = "another"
    if change == "options":
        await engine.choose(HELLO, ["1", "0"])
    else:
        prompt = (PROMPTS[change],) if change in PROMPTS else HELLO
        update = {change: SETTINGS[change]} if change in SETTINGS else {}
        await engine.chat(prompt, n=2 if change == "n" else 1, sampling=WARM.model_copy(update=update))
    assert inner.stats.calls == 3 and engine.hits == 0
    await engine.close()


async def test_an_answer_counts_before_it_is_on_disk(tmp_path: Path) -> None:
    inner = ScriptedEngine(["a"])
    engine = LedgerEngine(inner, tmp_path / "ledger.sqlite")
    for _ in range(20):
        await engine.chat(HELLO, sampling=WARM)
    assert inner.stats.calls == 1 and engine.hits == 19
    await engine.close()


async def test_failures_are_recorded_and_not_cached(tmp_path: Path) -> None:
    asked = []

    def script(messages: Sequence[ChatMessage], sampling: Sampling, index: int) -> str:
        asked.append(index)
        if len(asked) == 1:
            raise EngineError("out of luck")
        return "fine now"

    engine = LedgerEngine(ScriptedEngine(script), tmp_path / "ledger.sqlite")
    with pytest.raises(EngineError, match="out of luck"):
        await engine.chat(HELLO, sampling=WARM)
    assert (await engine.chat(HELLO, sampling=WARM))[0].text == "fine now"
    await engine.close()
    [total] = totals(engine.path)
    assert (total.engine, total.verb, total.calls, total.failed, total.completion_tokens) == ("scripted", "chat", 2, 1, 2)


async def test_an_answer_without_a_word_is_recorded_and_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    said = iter(["", " ", "", "a word"])
    engine = LedgerEngine(ScriptedEngine(lambda *_: next(said)), path)
    for _ in range(2):
        assert [c.text.strip() for c in await engine.chat(HELLO, sampling=WARM)] == [""]
    assert [piece async for piece in engine.stream(HELLO, sampling=WARM)] in ([], [""])
    for _ in range(2):
        assert [c.text for c in await engine.chat(HELLO, sampling=WARM)] == ["a word"]
    await engine.close()
    assert sum(t.calls for t in totals(path)) == 4 and engine.hits == 1


async def test_a_stream_is_recorded_at_its_end_and_replayed(tmp_path: Path) -> None:
    inner = ScriptedEngine(["one two three"])
    engine = LedgerEngine(inner, tmp_path / "ledger.sqlite")
    broken = engine.stream(HELLO, sampling=Sampling())
    assert await anext(broken) == "one"
    await broken.aclose()
    assert [p async for p in engine.stream(HELLO, sampling=Sampling())] == ["one", " two", " three"]
    assert [p async for p in engine.stream(HELLO, sampling=Sampling())] == ["one two three"]
    assert (await engine.chat(HELLO, sampling=Sampling()))[0] == Completion(text="one two three", cached=True)
    assert inner.stats.calls == 2
    await engine.close()
    assert [(t.verb, t.calls) for t in totals(engine.path)] == [("stream", 1)]


async def test_no_prompt_is_stored_in_words(tmp_path: Path) -> None:
    engine = LedgerEngine(ScriptedEngine(["a"]), tmp_path / "ledger.sqlite")
    await engine.chat((ChatMessage(role="user", content="my-private-words"),), sampling=WARM)
    await engine.close()
    assert b"my-private-words" not in engine.path.read_bytes()


KILLED = """
import asyncio, sys
from pathlib import Path
from usbrec.engine import ChatMessage, Sampling
from usbrec.engines.ledger import LedgerEngine
from usbrec.engines.scripted import ScriptedEngine

async def main():
    engine = LedgerEngine(ScriptedEngine(["a"]), Path(sys.argv[1]))
    for i in range(10**6):
        await engine.chat((ChatMessage(role="user", content=str(i)),), sampling=Sampling())
        print(i, flush=True)
asyncio.run(main())
"""


def kill_a_writer(path: Path, calls: int = 500) -> int:
    """Kills a process that records after so many calls; returns how many of its calls were answered."""
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) == calls:
                os.kill(child.pid, signal.SIGKILL)
            last = int(line)
    return last + 1


async def test_a_kill_loses_no_answer_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    answered = await asyncio.to_thread(kill_a_writer, path)
    inner = ScriptedEngine(["a"])
    engine = LedgerEngine(inner, path)
    for i in range(answered):
        await engine.chat((ChatMessage(role="user", content=str(i)),), sampling=Sampling())
    assert answered > 500 and inner.stats.calls == 0
    await engine.close()


async def test_a_full_disk_is_reported_at_once_and_no_answer_that_was_given_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    engine = LedgerEngine(ScriptedEngine(["x" * 40_000]), path)
    await engine.chat(HELLO, sampling=WARM)
    store = engine.ledger._store
    pages = store.execute("pragma page_count").fetchone()[0]
    store.execute(f"pragma max_page_count = {pages + 60}")
    with pytest.raises(StorageError, match="full") as fault:
        for i in range(40):
            await engine.chat((ChatMessage(role="user", content=str(i)),), sampling=WARM)
    given = engine.inner.stats.calls - 1  # the last answer could not be recorded, and was not given
    assert "make room" in fault.value.fix and 1 < given < 40 and totals(path)[0].calls == given
    store.execute(f"pragma max_page_count = {pages + 10_000}")
    await engine.chat((ChatMessage(role="user", content=str(given - 1)),), sampling=WARM)
    await engine.close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("pragma integrity_check").fetchone() == ("ok",)
    assert totals(path)[0].calls == given + 1


async def test_half_a_character_is_no_fault_and_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    engine = LedgerEngine(ScriptedEngine(lambda messages, *_: "bad \ud83d" if messages[-1].content == "3" else "fine"), path)
    for number in range(6):
        await engine.chat([ChatMessage(role="user", content=str(number))], sampling=WARM)
    await engine.close()
    with closing(sqlite3.connect(path)) as file:
        stored = [reply for (reply,) in file.execute("select reply from calls order by rowid")]
    assert len(stored) == 6 and '"bad ?"' in stored[3]


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("not a database, " * 100)
    with pytest.raises(StorageError, match="cannot be used"):
        Ledger(path)
    with pytest.raises(StorageError):
        totals(path)
    assert totals(tmp_path / "none.sqlite") == []


async def test_several_engines_and_readers_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    one, two = (connect(ScriptedSettings(), path) for _ in range(2))
    for i in range(50):
        await one.chat((ChatMessage(role="user", content=str(i)),), sampling=WARM)
        await two.chat((ChatMessage(role="user", content=str(2 * i)),), sampling=WARM)
        assert totals(path)[0].calls == one.stats.calls + two.stats.calls  # type: ignore[attr-defined]
    assert one.hits + two.hits == 25  # type: ignore[attr-defined]
    await one.close()
    await two.close()


async def test_a_secret_does_not_reach_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_SECRETS", set())
    redaction.keep_secret("sk-hidden-1234")

    def script(messages: Sequence[ChatMessage], sampling: Sampling, index: int) -> str:
        if messages[-1].content == "fail":
            raise EngineError("wrong key sk-hidden-1234 for http://me:word@host/v1")
        return "your key is sk-hidden-1234"

    engine = LedgerEngine(ScriptedEngine(script), tmp_path / "ledger.sqlite")
    assert (await engine.chat(HELLO, sampling=WARM))[0].text == "your key is ***"
    with pytest.raises(EngineError, match=r"wrong key \*\*\* for http://\*\*\*@host"):
        await engine.chat((ChatMessage(role="user", content="fail"),), sampling=WARM)
    assert [piece async for piece in engine.stream(HELLO, sampling=Sampling())]
    await engine.close()
    assert leaked(["sk-hidden-1234", "word@"], tmp_path) == []
