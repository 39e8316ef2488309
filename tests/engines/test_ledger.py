"""The ledger: evidence and cache at once, safe against kills and full disks."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("change", ["prompt", "seed", "n", "engine", "options"])
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
        prompt = (ChatMessage(role="user", content="bye"),) if change == "prompt" else HELLO
        await engine.chat(prompt, n=2 if change == "n" else 1, sampling=WARM.model_copy(update={"seed": 5 if change == "seed" else 4}))
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
        await asyncio.sleep(0.001)
        print(i, flush=True)
asyncio.run(main())
"""


def kill_a_writer(path: Path) -> int:
    """Kills a process after 1.5 s of recording; returns how many calls it had made."""
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        began, said = None, 0
        for line in child.stdout:
            said = int(line)
            began = began or time.monotonic()
            if time.monotonic() - began > 1.5:
                break
        os.kill(child.pid, signal.SIGKILL)
    return said


async def test_a_kill_loses_at_most_the_last_moment(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    said = await asyncio.to_thread(kill_a_writer, path)
    stored = totals(path)[0].calls
    assert said / 2 < stored
    inner = ScriptedEngine(["a"])
    engine = LedgerEngine(inner, path)
    for i in range(stored):
        await engine.chat((ChatMessage(role="user", content=str(i)),), sampling=Sampling())
    assert inner.stats.calls == 0
    await engine.close()


async def test_a_full_disk_is_reported_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    engine = LedgerEngine(ScriptedEngine(["x" * 40_000]), path)
    await engine.chat(HELLO, sampling=WARM)
    await asyncio.sleep(0.5)
    store = engine.ledger._store
    pages = store.execute("pragma page_count").fetchone()[0]
    store.execute(f"pragma max_page_count = {pages + 2}")
    with pytest.raises(StorageError, match="full") as fault:
        for i in range(40):
            await engine.chat((ChatMessage(role="user", content=str(i)),), sampling=WARM)
            await asyncio.sleep(0.05)
    assert "make room" in fault.value.fix and totals(path)[0].calls >= 1
    store.execute(f"pragma max_page_count = {pages + 10_000}")
    await engine.close()
    with closing(sqlite3.connect(path)) as store:
        assert store.execute("pragma integrity_check").fetchone() == ("ok",)
    assert totals(path)[0].calls == engine.inner.stats.calls


async def test_half_a_character_neither_stops_the_writer_nor_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    engine = LedgerEngine(ScriptedEngine(lambda messages, *_: "bad \ud83d" if messages[-1].content == "3" else "fine"), path)
    for number in range(6):
        await engine.chat([ChatMessage(role="user", content=str(number))], sampling=WARM)
        await asyncio.sleep(0.1)  # several commits
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


async def test_writing_does_not_hold_up_the_event_loop(tmp_path: Path) -> None:
    engine = connect(ScriptedSettings(), tmp_path / "ledger.sqlite")
    await engine.chat(HELLO, sampling=WARM)
    began = time.perf_counter()
    for i in range(1000):
        await engine.chat((ChatMessage(role="user", content=str(i)),), sampling=WARM)
    assert time.perf_counter() - began < 2
    await engine.close()
    assert totals(tmp_path / "ledger.sqlite")[0].calls == 1001
