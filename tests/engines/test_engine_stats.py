"""What an engine counts, and how full it is told to be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clock import HANG
from usbrec.engine import ChatMessage, Completion, Sampling
from usbrec.engines import ScriptedSettings, connect
from usbrec.engines.stats import Counted, EngineStats, Gauge


async def test_samples_under_way_are_summed_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("usbrec.engines.stats.time.monotonic", lambda: now)
    stats = EngineStats()

    class Engine:
        def __init__(self) -> None:
            self.stats = stats

    gauge = Gauge((Engine(), object()))
    assert gauge() == ""
    first, second = stats.call(8), stats.call()
    first.__enter__()
    now = 102.0
    second.__enter__()
    now = 103.0
    first.__exit__(None, None, None)
    now = 104.0
    second.__exit__(None, None, None)
    now = 108.0
    stats.count([Completion(text="a", prompt_tokens=60, completion_tokens=20)])
    assert (stats.calls, stats.busy_seconds, stats.sample_seconds) == (2, 4.0, 8 * 3 + 1 * 2)
    assert gauge() == "10 tok/s, 3 at once, busy 50%"


async def test_a_ledger_tells_what_reached_the_model(tmp_path: Path) -> None:
    engine = connect(ScriptedSettings(), tmp_path / "ledger.sqlite")
    assert isinstance(engine, Counted)
    for _ in range(3):
        await engine.chat([ChatMessage(role="user", content="Hi")], sampling=Sampling())
    assert engine.stats.calls == 1
    await asyncio.wait_for(engine.close(), HANG)
