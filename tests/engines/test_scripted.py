"""The fake engine keeps the whole contract."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from usbrec.engine import ChatMessage, Engine, Sampling
from usbrec.engines import ScriptedSettings, connect
from usbrec.engines.scripted import ScriptedEngine
from usbrec.errors import EngineError, EngineTimeout

HELLO = (ChatMessage(role="user", content="hello there"),)
WARM = Sampling(temperature=1, seed=4)


async def test_lines_are_drawn_by_the_seed_and_do_not_depend_on_n() -> None:
    engine = ScriptedEngine([f"line {i}" for i in range(50)])
    six = [c.text for c in await engine.chat(HELLO, n=6, sampling=WARM)]
    two = [c.text for c in await engine.chat(HELLO, n=2, sampling=WARM)]
    assert six[:2] == two and len(set(six)) > 3
    assert [c.text for c in await engine.chat(HELLO, sampling=Sampling())] == ["line 0"]
    assert engine.stats.calls == 3 and engine.stats.prompt_tokens == 9 * 2
    assert engine.asked == [HELLO] * 3


async def test_a_function_sees_prompt_sampling_and_index_and_may_raise() -> None:
    def script(messages: Sequence[ChatMessage], sampling: Sampling, index: int) -> str:
        if sampling.seed == 13:
            raise EngineTimeout("as asked")
        return f"{messages[-1].content} #{index}"

    engine = ScriptedEngine(script)
    assert [c.text for c in await engine.chat(HELLO, n=2, sampling=WARM)] == ["hello there #0", "hello there #1"]
    with pytest.raises(EngineTimeout):
        await engine.chat(HELLO, sampling=Sampling(seed=13))


async def test_stop_strings_and_max_tokens() -> None:
    engine = ScriptedEngine(["one two three four"])
    [cut] = await engine.chat(HELLO, sampling=Sampling(max_tokens=2))
    assert (cut.text, cut.finish) == ("one two", "length")
    [stopped] = await engine.chat(HELLO, sampling=Sampling(stop=("three",)))
    assert (stopped.text, stopped.finish) == ("one two", "stop")
    assert "".join([piece async for piece in engine.stream(HELLO, sampling=Sampling())]) == "one two three four"


async def test_choose_by_weights() -> None:
    engine = ScriptedEngine(weights=lambda messages, options: [0.1, 0.1, 0.2])
    choice = await engine.choose(HELLO, ["0", "1", "2"])
    assert choice.probabilities == pytest.approx((0.25, 0.25, 0.5)) and choice.mass == pytest.approx(0.4)
    with pytest.raises(EngineError, match="weights"):
        await engine.choose(HELLO, ["0", "1"])


async def test_closed_is_closed_and_connect_makes_one() -> None:
    engine = connect(ScriptedSettings(replies=("a", "b")))
    assert isinstance(engine, Engine) and (await engine.chat(HELLO, sampling=Sampling()))[0].text == "a"
    await engine.close()
    await engine.close()
    with pytest.raises(EngineError, match="closed"):
        await engine.chat(HELLO, sampling=Sampling())
