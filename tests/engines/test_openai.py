"""The endpoint engine against a server that misbehaves."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from clock import HANG
from loopback import Answer, Loopback
from usbrec import redaction
from usbrec.engine import ChatMessage, Sampling
from usbrec.engines import endpoint
from usbrec.engines.openai import OpenAIEngine, OpenAISettings, read_vote
from usbrec.engines.whose_fault import Refused
from usbrec.errors import ConfigError, EngineError, EngineReply, EngineTimeout, EngineUnavailable

HELLO = (ChatMessage(role="user", content="hello"),)
GREEDY = Sampling()
WARM = Sampling(temperature=0.7, seed=5)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def engine_of(server: Loopback, **more: object) -> OpenAIEngine:
    return OpenAIEngine(OpenAISettings(**{"base_url": server.url, "model": "toy", "first_pause": 0.01, **more}))


async def test_a_reply_and_its_tokens(server: Loopback) -> None:
    engine = engine_of(server)
    [reply] = await engine.chat(HELLO, sampling=Sampling(max_tokens=9, stop=("\n",), seed=3))
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("reply 1.0", 7, 2)
    sent = server.requests[0]
    assert (sent["max_tokens"], sent["stop"], sent["seed"], sent["temperature"]) == (9, ["\n"], 3, 0)
    assert engine.stats.calls == 1 and engine.stats.prompt_tokens == 7
    await engine.close()
    await engine.close()


async def test_log_probabilities_are_told_where_the_endpoint_has_them(server: Loopback) -> None:
    server.default = Answer(logprobs={"reply": -0.5})
    engine, asking = engine_of(server), Sampling(logprobs=True)
    [told], [plain] = await engine.chat(HELLO, sampling=asking), await engine.chat(HELLO, sampling=GREEDY)
    assert (told.logprob, plain.logprob) == (-0.5, None)
    server.script(Answer(status=400, message="logprobs are not supported"))
    for _ in range(2):
        [other] = await engine.chat(HELLO, sampling=asking.model_copy(update={"temperature": 0.5}))
        assert other.text and other.logprob is None
    assert sum("logprobs" in request for request in server.requests) == 2  # asked for no more


@pytest.mark.parametrize("answer", [Answer(status=429), Answer(status=500), Answer(status=503), Answer(cut=True)])
async def test_a_passing_failure_is_asked_again(server: Loopback, answer: Answer) -> None:
    server.script(answer, answer)
    engine = engine_of(server)
    [reply] = await engine.chat(HELLO, sampling=GREEDY)
    assert reply.text == "reply 3.0" and engine.stats.retries == 2


async def test_retry_after_is_respected(server: Loopback) -> None:
    server.script(Answer(status=429, headers={"Retry-After": "0.5"}))
    began = asyncio.get_running_loop().time()
    await engine_of(server).chat(HELLO, sampling=GREEDY)
    assert asyncio.get_running_loop().time() - began >= 0.5


async def test_retries_end(server: Loopback) -> None:
    server.default = Answer(status=500)
    with pytest.raises(EngineError, match="HTTP 500"):
        await engine_of(server, retries=2).chat(HELLO, sampling=GREEDY)
    assert len(server.requests) == 3


@pytest.mark.parametrize("wish", ["3600", "inf", "Wed, 01 Jan 2200 00:00:00 GMT"])
async def test_a_wait_beyond_the_deadline_is_told_and_not_slept_through(server: Loopback, wish: str) -> None:
    server.default = Answer(status=429, headers={"Retry-After": wish})
    with pytest.raises(EngineUnavailable, match="it asks to be left alone for"):
        await engine_of(server).chat(HELLO, sampling=GREEDY)
    assert len(server.requests) == 1


@pytest.mark.parametrize("wish", ["nan", "soon", "-5", "", "Wed, 01 Jan 1990 00:00:00 GMT"])
async def test_a_wish_that_nobody_understands_is_none(server: Loopback, wish: str) -> None:
    server.script(Answer(status=429, headers={"Retry-After": wish}))
    await engine_of(server).chat(HELLO, sampling=GREEDY)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(status=400, message="flagged by the content filter"), Refused),
        (Answer(status=403, message="Your input was flagged"), Refused),
        (Answer(status=413), Refused),
        (Answer(status=422), Refused),
        (Answer(status=401), EngineUnavailable),
        (Answer(status=403), EngineUnavailable),
        (Answer(status=404), EngineUnavailable),
        (Answer(status=429, message="insufficient_quota"), EngineUnavailable),
        (Answer(status=307, headers={"Location": "http://me:word@elsewhere/v1"}), EngineUnavailable),
    ],
)
async def test_whose_fault_a_refusal_is(server: Loopback, answer: Answer, kind: type[EngineError]) -> None:
    server.default = answer
    fault = await fault_of(engine_of(server))
    assert type(fault) is kind and len(server.requests) == 1 and "word@" not in str(fault)


async def test_a_filtered_prompt_among_several_samples_is_one_fault_and_changes_nothing(server: Loopback) -> None:
    engine = engine_of(server)
    server.script(*[Answer(status=400, message="filtered")] * 2)
    with pytest.raises(Refused, match="filtered"):
        await engine.chat(HELLO, n=3, sampling=WARM)
    assert len(await engine.chat(HELLO, n=3, sampling=WARM)) == 3 and server.requests[-1]["n"] == 3


async def test_a_fault_of_a_top_up_is_that_fault() -> None:
    with Loopback(honours_n=False) as server:
        server.script(Answer(), *[Answer(status=400, message="filtered")] * 4)
        with pytest.raises(Refused, match="filtered"):
            await engine_of(server).chat(HELLO, n=3, sampling=WARM)


async def test_a_reply_is_cut_to_what_its_tokens_can_hold(server: Loopback) -> None:
    server.default = Answer(text="word " * 10_000)
    engine, few = engine_of(server, retries=0), Sampling(max_tokens=4)
    [reply] = await engine.chat(HELLO, sampling=few)
    assert reply.finish == "length" and 400 < len(reply.text) <= 512
    pieces = [piece async for piece in engine.stream(HELLO, sampling=few)]
    assert 400 < len("".join(pieces)) <= 512
    server.default = Answer(text="x" * 10_000_000)
    for _ in range(2):
        with pytest.raises(EngineReply, match="longer than"):
            await engine.chat(HELLO, sampling=few)


@pytest.mark.parametrize("value", [{"logprob": math.nan}, {"logprob": "much"}, {"logprob": 3.0}, {"token": 1}])
async def test_log_probabilities_that_are_none_give_no_verdict(server: Loopback, value: dict[str, object]) -> None:
    entry = {"token": "1", "logprob": -0.1, **value}
    logprobs = {"content": [{"token": "1", "logprob": -0.1, "top_logprobs": [entry]}]}
    choice = {"message": {"role": "assistant", "content": "1"}, "finish_reason": "stop", "logprobs": logprobs}
    server.default = Answer(body=json.dumps({"choices": [choice]}))
    with pytest.raises(EngineReply, match="breaks the protocol"):
        await engine_of(server, retries=0).choose(HELLO, ["0", "1"])


@pytest.mark.parametrize(("status", "fix"), [(400, "its message says why"), (401, "MY_KEY"), (404, "doctor --base-url")])
async def test_a_refusal_is_final_and_names_the_fix(server: Loopback, status: int, fix: str) -> None:
    server.default = Answer(status=status)
    with pytest.raises(EngineError, match=f"HTTP {status}") as fault:
        await engine_of(server, api_key_env="MY_KEY").chat(HELLO, sampling=GREEDY)
    assert fix in fault.value.fix and len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(empty=True),
        Answer(text=None),
        Answer(body="<html>down for maintenance</html>", content_type="text/html"),
        Answer(body='{"choices": [', content_type="application/json"),
        Answer(body="null", content_type="application/json"),
    ],
)
async def test_an_answer_that_is_none_is_asked_again_twice_only(server: Loopback, answer: Answer) -> None:
    server.default = answer
    with pytest.raises(EngineReply):
        await engine_of(server).chat(HELLO, sampling=GREEDY)
    assert len(server.requests) == 3


async def test_a_call_has_one_deadline_whatever_its_retries(server: Loopback) -> None:
    engine = engine_of(server)
    await engine.chat(HELLO, sampling=GREEDY)
    server.default = Answer(slow=30)
    hurry(engine, 1)
    with pytest.raises(EngineTimeout, match="no whole answer within 1 s"):
        await engine.chat(HELLO, sampling=GREEDY)
    assert len(server.requests) == 2


async def test_a_server_that_never_answers_ends_all_calls_at_the_first_deadline(server: Loopback) -> None:
    server.default = Answer(slow=30)
    with pytest.raises(EngineUnavailable, match="none to any other call"):
        await engine_of(server, timeout_seconds=0.2).chat(HELLO, sampling=GREEDY)


async def test_a_server_that_stops_answering_ends_all_calls_at_the_third(server: Loopback) -> None:
    engine = engine_of(server)
    await engine.chat(HELLO, sampling=GREEDY)
    server.default = Answer(slow=30)
    hurry(engine, 0.2)
    faults = [await fault_of(engine) for _ in range(3)]
    assert [type(fault) for fault in faults] == [EngineTimeout, EngineTimeout, EngineUnavailable] and "it hangs" in faults[2].what
    server.default = Answer()
    hurry(engine, HANG)
    await engine.chat(HELLO, sampling=GREEDY)
    server.default = Answer(slow=30)
    hurry(engine, 0.2)
    assert type(await fault_of(engine)) is EngineTimeout


def hurry(engine: OpenAIEngine, seconds: float) -> None:
    """From now on its deadline is so short that nothing but a fault may come of it."""
    engine._endpoint.settings = engine.settings.model_copy(update={"timeout_seconds": seconds})


async def fault_of(engine: OpenAIEngine) -> EngineError:
    with pytest.raises(EngineError) as fault:
        await engine.chat(HELLO, sampling=GREEDY)
    return fault.value


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_that_trickles_ends_at_the_deadline(server: Loopback, stream: bool) -> None:
    server.default = Answer(text="a b c d e", trickle=0.2)
    engine = engine_of(server, timeout_seconds=1)
    with pytest.raises(EngineError, match="no whole answer within 1 s"):
        if stream:
            _ = [piece async for piece in engine.stream(HELLO, sampling=GREEDY)]
        else:
            await engine.chat(HELLO, sampling=GREEDY)


async def test_whoever_waits_is_told(server: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WORD", 0.2)
    server.default = Answer(slow=1.5)
    engine = engine_of(server)
    await asyncio.gather(*(engine.chat(HELLO, sampling=GREEDY) for _ in range(20)))
    told = capsys.readouterr().err.splitlines()
    assert 1 <= len(told) <= 20 and all("no answer yet after" in line and "given up at" in line and server.url in line for line in told)
    server.script(*[Answer(status=503, message="busy")] * 3)
    monkeypatch.setattr(endpoint, "FIRST_WORD", 60)
    await engine.chat(HELLO, sampling=GREEDY)
    assert capsys.readouterr().err.count("HTTP 503: busy; asked again in") == 1


async def test_no_server_at_all() -> None:
    engine = OpenAIEngine(OpenAISettings(base_url="http://127.0.0.1:9/v1", model="toy", retries=0))
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        await engine.chat(HELLO, sampling=GREEDY)


async def test_n_is_asked_at_once_where_the_server_honours_it(server: Loopback) -> None:
    replies = await engine_of(server).chat(HELLO, n=3, sampling=WARM)
    assert [reply.text for reply in replies] == ["reply 1.0", "reply 1.1", "reply 1.2"] and len(server.requests) == 1


async def test_n_is_topped_up_where_the_server_ignores_it() -> None:
    with Loopback(honours_n=False) as server:
        engine = engine_of(server)
        replies = await engine.chat(HELLO, n=3, sampling=WARM)
        assert len({reply.text for reply in replies}) == 3 and len(server.requests) == 3
        assert len({request["seed"] for request in server.requests}) == 3
        await engine.chat(HELLO, n=2, sampling=WARM)
        assert all("n" not in request for request in server.requests[3:])


async def test_n_is_topped_up_where_the_server_refuses_it(server: Loopback) -> None:
    server.script(Answer(status=400, message="n must be 1"))
    assert len(await engine_of(server).chat(HELLO, n=2, sampling=WARM)) == 2


async def test_greedy_replies_are_asked_once(server: Loopback) -> None:
    assert [reply.text for reply in await engine_of(server).chat(HELLO, n=3, sampling=GREEDY)] == ["reply 1.0"] * 3


async def test_a_server_that_wants_the_newer_token_limit(server: Loopback) -> None:
    server.script(Answer(status=400, message="max_tokens is not supported, use max_completion_tokens"))
    await engine_of(server).chat(HELLO, sampling=GREEDY)
    assert "max_completion_tokens" in server.requests[1] and "max_tokens" not in server.requests[1]


async def test_choose_sums_the_spellings_of_an_option(server: Loopback) -> None:
    shares = {"1": 0.3, " 1": 0.2, "0": 0.1, "2": 0.2, "The": 0.1}
    server.default = Answer(logprobs={token: math.log(share) for token, share in shares.items()})
    choice = await engine_of(server).choose(HELLO, ["0", "1", "2"])
    assert choice.probabilities == pytest.approx((0.125, 0.625, 0.25)) and choice.mass == pytest.approx(0.8) and choice.exact
    assert server.requests[0]["max_tokens"] == 1 and server.requests[0]["top_logprobs"] == 20


async def test_choose_says_which_option_it_did_not_see(server: Loopback) -> None:
    server.default = Answer(logprobs={"1": math.log(0.5), "x": math.log(0.5)})
    choice = await engine_of(server).choose(HELLO, ["0", "1"])
    assert choice.probabilities == (0, 1) and not choice.exact and "counted as 0: 0" in choice.note


@pytest.mark.parametrize("refusal", [(), (Answer(status=400, message="logprobs are not supported"),)])
async def test_choose_votes_where_there_are_no_logprobs(server: Loopback, refusal: tuple[Answer, ...]) -> None:
    server.default = Answer(text="2 because it is better")
    server.script(*refusal)
    engine = engine_of(server, votes=4)
    choice = await engine.choose(HELLO, ["0", "1", "2"])
    assert choice.probabilities == (0, 0, 1) and choice.mass == 1 and not choice.exact and "4 votes" in choice.note
    await engine.choose(HELLO, ["0", "1", "2"])
    assert sum("logprobs" in request for request in server.requests) == 1


async def test_unreadable_votes_leave_no_mass(server: Loopback) -> None:
    server.default = Answer(text="The 2 films deserve 0")
    choice = await engine_of(server, votes=4).choose(HELLO, ["0", "1", "2"])
    assert choice.mass == 0 and "4 of them unreadable" in choice.note


@pytest.mark.parametrize(
    ("text", "vote"), [("2", 2), (" 1.", 1), ("0 - worse", 0), ("20", None), ("The 2 films deserve 0", None), ("", None), ("two", None)]
)
def test_votes_are_read_strictly(text: str, vote: int | None) -> None:
    assert read_vote(text, ["0", "1", "2"]) == vote


async def test_streaming(server: Loopback) -> None:
    server.default = Answer(text="you might like Heat")
    assert [piece async for piece in engine_of(server).stream(HELLO, sampling=GREEDY)] == ["you", " might", " like", " Heat"]


async def test_a_stream_that_is_cut_is_an_error_after_its_pieces(server: Loopback) -> None:
    server.default = Answer(text="you might like Heat", cut=True)
    heard = []
    with pytest.raises(EngineError):
        async for piece in engine_of(server).stream(HELLO, sampling=GREEDY):
            heard.append(piece)
    assert heard == ["you", " might", " like"]


async def test_concurrency_is_bounded(server: Loopback) -> None:
    server.default = Answer(slow=0.05)
    engine = engine_of(server, concurrency=3)
    await asyncio.gather(*(engine.chat(HELLO, sampling=GREEDY) for _ in range(9)))
    assert server.peak == 3 and len(server.requests) == 9


@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_that_the_server_echoes_is_hidden(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: bool
) -> None:
    monkeypatch.setattr(redaction, "_SECRETS", set())
    monkeypatch.setenv("MY_KEY", key := "sk-sesame/&42")
    engine = engine_of(server, api_key_env="MY_KEY", retries=1)
    server.script(Answer(text=f"so {key[:5]} it is {key} or {key}"))
    if stream:
        said = "".join([piece async for piece in engine.stream(HELLO, sampling=GREEDY)])
    else:
        said = (await engine.chat(HELLO, sampling=GREEDY))[0].text
    assert said == f"so {key[:5]} it is *** or ***"
    server.script(*[Answer(status=500, message=f"wrong key {key}")] * 2)
    with pytest.raises(EngineError, match=r"wrong key \*\*\*") as fault:
        await engine.chat(HELLO, sampling=GREEDY)
    assert key not in str(fault.value) + repr(fault.value) + capsys.readouterr().err


async def test_a_proxy_may_ask_for_a_password(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_SECRETS", set())
    monkeypatch.setenv("MY_KEY", "Basic me:pass word")
    engine = engine_of(server, api_key_env="MY_KEY")
    server.default = Answer(text="bWU6cGFzcyB3b3Jk pass word")
    [reply] = await engine.chat(HELLO, sampling=GREEDY)
    assert server.keys == ["Basic bWU6cGFzcyB3b3Jk"] and reply.text == "*** ***"


@pytest.mark.parametrize("key", ["sk-line\nbreak-1", "sk-\u201cquoted\u201d-1"])
async def test_a_key_that_no_header_takes_is_told_without_it(server: Loopback, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(ConfigError, match="MY_KEY") as fault:
        await engine_of(server, api_key_env="MY_KEY").chat(HELLO, sampling=GREEDY)
    assert "sk-" not in str(fault.value)


@pytest.mark.parametrize(
    "url", ["http://me:password1@host/v1", "https://token@host", "ftp://host", "host:80", "http://host/v1?key=a", "http://h:x"]
)
def test_an_address_that_cannot_be_kept_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        OpenAISettings(base_url=url, model="toy")


async def test_the_key_comes_from_the_environment_and_stays_there(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sesame")
    engine = engine_of(server, api_key_env="MY_KEY")
    await engine.chat(HELLO, sampling=GREEDY)
    assert server.keys == ["Bearer sesame"] and "sesame" not in repr(engine) + engine.name


async def test_the_models_of_an_endpoint(server: Loopback) -> None:
    assert await engine_of(server).models() == ["toy"]
