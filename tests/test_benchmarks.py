"""The benchmarks measure what they say: the reference pattern has 76 and 39 calls, the endpoint answers as it should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import common
from benchmarks.contest import Counted
from benchmarks.loopback import seconds_of, text_of, tokens_of
from benchmarks.reference import ReferencePreferences, ReferenceSearch
from benchmarks.server import endpoint
from toy import CATALOGUE, LINKER, dialogue, example
from usbrec.engine import ChatMessage, Sampling
from usbrec.engines import OpenAISettings, connect
from usbrec.engines.metered import MeteredEngine
from usbrec.engines.scripted import ScriptedEngine
from usbrec.roles.catalogue import CatalogueProfiler
from usbrec.roles.llm import LLMJudge, LLMProfiler, LLMRecommender, LLMSeeker

SAID = dialogue("I loved Heat (1995)")
HELLO = [ChatMessage(role="user", content="Hello there, which film should I watch?")]


async def test_the_reference_pattern_has_the_calls_of_the_released_scripts() -> None:
    engine = ScriptedEngine(("Casino (1995)?", "1"))
    metered = MeteredEngine(engine)
    user = LLMSeeker(metered, CATALOGUE, LINKER, ("casi",), attempts=1)
    profiler = LLMProfiler(metered, CatalogueProfiler(CATALOGUE, LINKER))
    counted = Counted(ReferenceSearch(metered, LLMRecommender(metered), profiler, user))
    reply = await counted.reply(SAID, seed=1)
    await counted.reply(SAID.say("recommender", reply.text).say("seeker", "No."), seed=1)
    assert sum(spent["calls"] for spent in counted.spent) == engine.stats.calls == 76
    assert sum(spent["generated"] for spent in counted.spent) == engine.stats.completion_tokens
    before = engine.stats.calls
    judge = LLMJudge(engine, CATALOGUE, ("casi",), method="vote", votes=1)
    found = await ReferencePreferences(LLMRecommender(engine), user, judge)(example("d1:1", text="I loved Heat (1995)"), seed=1)
    assert len(found) == 3 and engine.stats.calls - before == 39


def test_the_endpoint_waits_for_the_first_token_and_for_each_further_one() -> None:
    assert seconds_of(1) == pytest.approx(0.040) and seconds_of(11) == pytest.approx(0.160)


async def test_the_endpoint_answers_everybody(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the endpoint of the benchmarks needs the extra `serve`")
    replies = ["one two three four five six seven eight nine", "Have you seen Heat (1995)?"]
    with endpoint(replies, tmp_path) as url:
        engine = connect(OpenAISettings(model="loopback", base_url=url))
        (reply,) = await engine.chat(HELLO, sampling=Sampling())
        assert reply.text in replies and reply.completion_tokens == tokens_of(reply.text)
        choice = await engine.choose(HELLO, ("0", "1", "2"))
        assert choice.probabilities[1] > choice.probabilities[2] > choice.probabilities[0]
        await engine.close()
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240


def test_what_the_endpoint_says_follows_from_the_request() -> None:
    hinted = [*({"role": m.role, "content": m.content} for m in HELLO), {"role": "system", "content": "Maybe: Heat (1995)."}]
    request = {"messages": hinted, "temperature": 0.5, "seed": 1}
    texts = [text_of({**request, "seed": seed}, ["no"], 0) for seed in range(400)]
    assert texts[1] == text_of(request, ["no"], 0) and 0.85 < sum("Heat (1995)" in text for text in texts) / 400 < 0.95
    assert text_of({**request, "max_tokens": 4}, ["no"], 0) in "012"


def test_a_table_is_written_whole_and_the_summary_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common.write(tmp_path, "one", "One", [{"name": "a", "s": 1.23456}, {"name": "b", "calls": 3}], {"ratio_one": 2.0}, ["A note."])
    common.write(tmp_path, "two", "Two", [{"name": "a"}], {"ratio_two": 3.0}, [])
    assert json.loads((tmp_path / "summary.json").read_text()) == {"ratio_one": 2.0, "ratio_two": 3.0}
    told = (tmp_path / "one.md").read_text()
    assert "| a | 1.23 | – |" in told and "| b | – | 3 |" in told and "- **ratio_one**: 2" in told and told in capsys.readouterr().out
    assert json.loads((tmp_path / "one.json").read_text())["machine"]["cores"] >= 1
    assert common.spread([1, 2, 3, 4, 100]) == {"median": 3, "low": 2, "high": 4, "p95": pytest.approx(80.8), "mean": 22, "n": 5}
