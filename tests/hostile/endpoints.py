"""Faulty endpoints: every fault that a server, a proxy or a network may have, under `usbrec evaluate`, `prefer` and `chat`.

A fault either passes (the call is asked again), or costs one row, or ends the command with its cause; never anything else.  A key stands in
the environment of every case, and nothing may ever show it.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hostile.harness import Case, Ended, crashed, held, leaked, refused, usbrec
from loopback import Answer, Loopback
from usbrec import doctor
from usbrec.engine import ChatMessage, Sampling
from usbrec.engines.ledger import totals
from usbrec.engines.openai import OpenAIEngine, OpenAISettings
from usbrec.errors import UsbrecError

KEY = "sk-hostile-7f3a/9c=&1"
PASSWORD = "hidden-word-42"
SECRETS = [KEY, PASSWORD]
LIMIT = 300.0
"""Seconds that only a hang takes."""
GOOD = Answer(text="Have you seen Alien (1979)?")
ROWS = 4
LARGE = "Alien (1979) " * 800_000
RECIPE = """
name: hostile
data: {{kind: demo}}
engines:
  policy: &toy
    {{kind: openai, model: toy, base_url: "{url}", api_key_env: HOSTILE_KEY,
      retries: 1, timeout_seconds: {limit}, first_pause: 0.01, concurrency: {at_once}}}
  sft: *toy
  judge: {asked}
prefer: {{rows: 4, k: 3, temperature: 0.5, judge: {{kind: {judge}}}}}
recommender: {{max_tokens: 16}}
evaluate: {{rows: {rows}, turns: 1, arms: [base], judges: [{{kind: {judge}}}]}}
"""


class Picky(Loopback):
    """Answers one of the prompts that it hears, the second, with a fault, each time."""

    def __init__(self, fault: Answer, turn: int = 2) -> None:
        super().__init__(default=GOOD)
        self.fault, self.turn = fault, turn
        self._heard: list[str] = []

    def _next(self, request: dict[str, Any], key: str) -> tuple[Answer, int]:
        answer, number = super()._next(request, key)
        prompt = json.dumps(request["messages"])
        if prompt not in self._heard:
            self._heard.append(prompt)
        return (self.fault if self._heard.index(prompt) == self.turn - 1 else answer), number


@cache
def prepared() -> Path:
    """The demo world, prepared once a process."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-endpoints-"))
    recipe(folder, "http://127.0.0.1:9/v1")
    assert play(folder, "prepare").code == 0
    return folder / "run"


def recipe(folder: Path, url: str, *, limit: float = 60, at_once: int = 1, judge: str = "catalogue", rows: int = ROWS) -> None:
    asked = "null" if judge == "catalogue" else "*toy"
    text = RECIPE.format(url=url, limit=limit, at_once=at_once, judge=judge, rows=rows, asked=asked)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")


def play(folder: Path, command: str = "evaluate", *more: str, url: str = "", env: dict[str, str] | None = None, **how: Any) -> Ended:
    """The command on the recipe, in a run folder in which the data is prepared already."""
    if url:
        recipe(folder, url, **how)
    if command != "prepare" and not (folder / "run").exists():
        shutil.copytree(prepared(), folder / "run")
    return usbrec(
        command,
        "recipe.yaml",
        "--out",
        "run",
        *more,
        cwd=folder,
        limit=LIMIT,
        env={"HOSTILE_KEY": KEY, "no_proxy": "127.0.0.1", **(env or {})},
    )


def outcomes(folder: Path, arm: str = "base") -> list[dict[str, Any]]:
    path = folder / "run" / "evaluate" / arm / "outcomes.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def told_rows(folder: Path, failed: int) -> list[str]:
    """Faults of outcomes that do not have all rows, so many of them failed."""
    rows = outcomes(folder)
    found = (len(rows), sum(bool(row["error"]) for row in rows))
    return [] if found == (ROWS, failed) else [f"silent: {found[0]} rows, {found[1]} failed, in place of {ROWS} and {failed}"]


# ---- the three ends that a fault may have -----------------------------------------------------------------------------------------------


def passes(name: str, *answers: Answer, fast: bool = False, **server: Any) -> Case:
    """It passes: all rows are there."""

    def act(folder: Path) -> Iterator[str]:
        with Loopback(default=GOOD, **server) as running:
            running.script(*answers)
            ended = play(folder, url=running.url)
        yield from [*held(ended), *told_rows(folder, 0), *leaked(SECRETS, folder / "run", ended)]

    return Case(f"passes: {name}", act, fast)


def a_row(name: str, fault: Answer, *told: str, fast: bool = False, limit: float = 60, key: str = KEY) -> Case:
    """It costs one row, which is told; the same command again tries that row alone, and has it once the fault is gone."""

    def act(folder: Path) -> Iterator[str]:
        with Picky(fault) as running:
            first = play(folder, url=running.url, limit=limit)
            yield from [*held(first, "1 of 4 rows failed", *told), *told_rows(folder, 1)]
            asked, running.fault = len(running.requests), GOOD
            again = play(folder)
            yield from [*held(again), *told_rows(folder, 0), *leaked(SECRETS, folder / "run", first, again)]
            if len(running.requests) != asked + 1:
                yield f"lost: {len(running.requests) - asked} calls were made again, not 1"

    return Case(f"a row: {name}", act, fast)


def ends(
    name: str, fault: Answer, *told: str, fast: bool = False, limit: float = 60, most: int = 2, command: str = "evaluate", **how: Any
) -> Case:
    """It ends the command with its cause, after no more than so many requests; without the fault the same command goes on."""

    def act(folder: Path) -> Iterator[str]:
        with Loopback(default=fault) as running:
            ended = play(folder, command, url=running.url, limit=limit, **how)
            yield from refused(ended, *told, running.url, code=1)
            if len(running.requests) > most:
                yield f"silent: it asked {len(running.requests)} times, where {most} tell all"
        yield from leaked(SECRETS, folder / "run", ended)
        if "temperature" in ended.err:
            yield "silent: a remedy that mends nothing"

    return Case(f"ends: {name}", act, fast)


def unreachable(name: str, url: Callable[[str], str], *told: str, fast: bool = False, env: dict[str, str] | None = None) -> Case:
    """Nobody is there, or nobody who understands."""

    def act(folder: Path) -> Iterator[str]:
        with Loopback() as running:
            ended = play(folder, url=url(running.url), env=env)
        yield from [*refused(ended, *told), *leaked(SECRETS, folder / "run", ended)]

    return Case(f"ends: {name}", act, fast)


# ---- secrets ----------------------------------------------------------------------------------------------------------------------------


def given(name: str, *arguments: str, told: str = "", code: int | None = 2, base: str = "", key: str = KEY, fast: bool = False) -> Case:
    """A secret that is given where it would be kept: refused without showing it.  `{url}` becomes an address with a password."""

    def act(folder: Path) -> Iterator[str]:
        with Loopback(default=GOOD) as running:
            url = running.url.replace("http://", f"http://me:{PASSWORD}@")
            recipe(folder, base.format(url=url) or running.url)
            shutil.copytree(prepared(), folder / "run")
            words = [word.format(url=url, key=KEY) for word in arguments]
            ended = usbrec(*words, cwd=folder, limit=LIMIT, env={"HOSTILE_KEY": key, "HOSTILE_URL": url, "USBREC_DEBUG": "1"})
            yield from refused(Ended(ended.code, ended.out, ended.err.partition("Traceback")[0] or ended.out, ended.hung, ended.orphans),
                               told, code=code)  # fmt: skip
            yield from leaked([*SECRETS, key], folder / "run", ended)
            yield from ["secret: it was sent"] if running.requests and PASSWORD in str(running.keys) else []

    return Case(f"secret: {name}", act, fast)


def basic(folder: Path) -> Iterator[str]:
    """A proxy in front of the endpoint asks for a user and a password."""
    with Loopback(default=Answer(text=f"Your word is {PASSWORD}, bWU6aGlkZGVuLXdvcmQtNDI=. Try Alien (1979).")) as running:
        ended = play(folder, url=running.url, env={"HOSTILE_KEY": f"Basic me:{PASSWORD}"})
        yield from [*held(ended), *told_rows(folder, 0), *leaked([*SECRETS, "bWU6aGlkZGVu"], folder / "run", ended)]
        if set(running.keys) != {"Basic bWU6aGlkZGVuLXdvcmQtNDI="}:
            yield "silent: the proxy was not given the password"


def forward(folder: Path) -> Iterator[str]:
    """The environment names a proxy with a password."""
    with Loopback(default=GOOD) as running:
        proxy = running.url.replace("http://", f"http://me:{PASSWORD}@").removesuffix("/v1")
        ended = play(folder, url="http://endpoint.invalid/v1", env={"HTTP_PROXY": proxy, "http_proxy": proxy})
        yield from [*held(ended), *told_rows(folder, 0), *leaked(SECRETS, folder / "run", ended)]


def a_system(folder: Path) -> Iterator[str]:
    """`--system URL` echoes the key, and refuses one row."""
    with Picky(Answer(status=400, message=f"filtered, {KEY}")) as running:
        running.default = Answer(text=f"{KEY} says: Alien (1979)")
        recipe(folder, running.url)
        ended = play(folder, "evaluate", "--system", running.url, "--model", "toy", "--api-key-env", "HOSTILE_KEY", "--concurrency", "1")
        yield from [*held(ended, "1 of 4 rows failed"), *leaked(SECRETS, folder / "run", ended)]


# ---- in time ----------------------------------------------------------------------------------------------------------------------------


def first_word(folder: Path) -> Iterator[str]:
    """A server that hangs: the user hears of it within a minute, with what is waited for and until when; then the command ends."""
    with Loopback(default=Answer(slow=600)) as running:
        ended = play(folder, url=running.url, limit=35, at_once=64)
        yield from refused(ended, "no answer yet after 30 s", "given up at", running.url, "none to any other call", code=1)


def patience(folder: Path) -> Iterator[str]:
    """A server that stops answering in the middle ends the command after three calls, not after all."""
    with Loopback(default=Answer(slow=600)) as running:
        running.script(GOOD)
        ended = play(folder, url=running.url, limit=6, rows=40)
        yield from refused(ended, "it hangs", running.url, code=1)
        if len(running.requests) > 4:
            yield f"hang: it waited for {len(running.requests)} calls"
        if sum(not row["error"] for row in outcomes(folder)) != 1:
            yield "lost: the row that was answered"


# ---- streams ----------------------------------------------------------------------------------------------------------------------------


def streams(name: str, answer: Answer, *told: str, said: str | None = None) -> Case:
    """A stream with a fault is an error that says so, or what could be said; in this process, since `chat` streams to terminals only."""

    def act(folder: Path) -> Iterator[str]:
        os.environ["HOSTILE_KEY"] = KEY

        async def heard(url: str) -> str:
            engine = OpenAIEngine(OpenAISettings(base_url=url, model="toy", api_key_env="HOSTILE_KEY", timeout_seconds=2, retries=0))
            async with asyncio.timeout(LIMIT):
                stream = engine.stream([ChatMessage(role="user", content="hi")], sampling=Sampling(max_tokens=16))
                text = "".join([piece async for piece in stream])
            await engine.close()
            return text

        with Loopback(default=answer) as running:
            try:
                text = asyncio.run(heard(running.url))
            except UsbrecError as fault:
                yield from [f"silent: the error does not say {word!r}: {fault}" for word in told if word not in str(fault)]
                yield from ["secret: in the error"] if KEY in str(fault) else []
                yield from [f"silent: an error, not {said!r}: {fault}"] if said is not None else []
            else:
                yield from [f"silent: it said {text[:80]!r}, not {said!r}"] if text != said else []

    return Case(f"stream: {name}", act, fast=False)


def talks(folder: Path) -> Iterator[str]:
    """`usbrec chat` with an endpoint that refuses the second line, echoes the key and writes markup and escapes."""
    with Loopback(default=Answer(text="[/b]\x1b[31m Alien (1979)")) as running:
        running.script(Answer(text=f"{KEY} Heat (1995)"), Answer(status=400, message=f"filtered {KEY}"))
        play(folder, "prepare", url=running.url)
        ended = usbrec("chat", "run", "--arm", "base", cwd=folder, text="hello\nagain\nmore\n", env={"HOSTILE_KEY": KEY}, limit=LIMIT)
        yield from [*crashed(ended), *leaked(SECRETS, folder / "run", ended)]
        yield from [
            f"silent: not said: {word}" for word in ("*** Heat (1995)", "filtered", "Alien (1979)") if word not in ended.out + ended.err
        ]
        yield from ["silent: an escape reached the terminal"] if "\x1b[31m" in ended.out + ended.err else []


# ---- the ledger -------------------------------------------------------------------------------------------------------------------------


def killed(folder: Path) -> Iterator[str]:
    """kill -9 in the middle: every answer that was used is in the ledger, and the same command asks only for the rest."""
    rows = 60
    with Loopback(default=GOOD) as running:

        def kill(process: subprocess.Popen[str]) -> None:
            deadline = time.monotonic() + LIMIT
            while len(outcomes_lines(folder)) < rows // 3 and time.monotonic() < deadline:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)

        running.default = Answer(text=GOOD.text, slow=0.02)
        recipe(folder, running.url, rows=rows, at_once=4)
        shutil.copytree(prepared(), folder / "run")
        usbrec("evaluate", "recipe.yaml", "--out", "run", cwd=folder, env={"HOSTILE_KEY": KEY}, limit=LIMIT, interrupt=kill)
        used = sum(line.endswith(b"}") for line in outcomes_lines(folder))
        kept = sum(total.calls for total in totals(folder / "run" / "ledger.sqlite"))
        yield from [f"lost: {used - kept} answers that were used are not in the ledger"] if kept < used else []
        asked = len(running.requests)
        yield from held(play(folder))
        again = len(running.requests) - (rows - kept)
        yield from [f"lost: {again - asked} answers were asked for again"] if again > asked else []


def outcomes_lines(folder: Path) -> list[bytes]:
    path = folder / "run" / "evaluate" / "base" / "outcomes.jsonl"
    return path.read_bytes().split(b"\n") if path.exists() else []


def damaged(folder: Path) -> Iterator[str]:
    """A ledger that is none."""
    with Loopback(default=GOOD) as running:
        recipe(folder, running.url)
        shutil.copytree(prepared(), folder / "run")
        (folder / "run" / "ledger.sqlite").write_text("no database " * 1000, encoding="utf-8")
        yield from refused(play(folder), "ledger cannot be used", "move that file away", code=1)


def pairs(folder: Path) -> Iterator[str]:
    """`prefer` with one filtered dialogue: that one gives no pair, the others do."""
    with Picky(Answer(status=400, message="content filter")) as running:
        running.script(*[Answer(text="What do you like?"), GOOD] * 30)
        running.honours_n = False
        ended = play(folder, "prefer", "--set", "prefer.offers=0.3", url=running.url)
        yield from held(ended, "1 of 4 rows failed", "content filter")
        lines = (folder / "run" / "prefer" / "rows.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line)["outcome"] for line in lines]
        yield from [] if found.count("failed") == 1 and found.count("pair") >= 1 else [f"silent: {found}"]


def searched(folder: Path) -> Iterator[str]:
    """One call of a search, within tasks within tasks, is refused: its row fails, with that reason."""
    with Picky(Answer(status=400, message="content filter"), turn=6) as running:
        running.script(*[Answer(text=f"Have you seen {film}?") for film in ("Alien (1979)", "Heat (1995)", "Up (2009)")] * 40)
        search = "search={candidates: 2, depth: 1, temperature: 0.7, profiler: llm, seeker: llm, judge: llm, method: vote, votes: 3}"
        toy = "{kind: openai, model: toy, base_url: '" + running.url + "'}"
        more = ("--set", search, "--set", f"engines.seeker={toy}", "--set", f"engines.judge={toy}")
        ended = play(folder, "evaluate", *more, "--set", "evaluate.arms=[base+ses]", url=running.url, at_once=8)
        yield from held(ended, "1 of 4 rows failed", "content filter")
        failed = [row["error"] for row in outcomes(folder, "base+ses") if row["error"]]
        yield from [] if len(failed) == 1 and "HTTP 400: content filter" in failed[0] else [f"silent: {failed}"]


def examined(folder: Path) -> Iterator[str]:
    """`usbrec doctor --base-url` with a password in the address: alone, since the doctor starts the embedded engine too."""
    found = asyncio.run(doctor.endpoint(f"http://me:{PASSWORD}@127.0.0.1:9/v1", "HOSTILE_KEY"))
    yield from [] if found.state == "broken" and "api_key_env" in found.fix else [f"silent: {found}"]
    yield from ["secret: shown"] if PASSWORD in str(found) else []


def _choice(**more: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": GOOD.text}, **more}]})


HTML = "<html><h1>502 Bad Gateway</h1></html>"
CASES: list[Case] = [
    passes("429 once", Answer(status=429, headers={"Retry-After": "0"})),
    passes("500 once", Answer(status=500)),
    passes("a 502 page", Answer(status=502, body=HTML, content_type="text/html")),
    passes("503 with a Retry-After that says nothing", Answer(status=503, headers={"Retry-After": "soon"})),
    passes("408", Answer(status=408)),
    passes("cut once", Answer(cut=True)),
    passes("no choices once", Answer(empty=True)),
    passes("no HTTP once", Answer(raw=b"\x00\xffnonsense\r\n\r\n")),
    passes("an empty answer once", Answer(body="")),
    passes("usage: null", Answer(body=_choice() [:-1] + ', "usage": null}')),
    passes("usage of wrong types", Answer(body=_choice()[:-1] + ', "usage": {"prompt_tokens": "many", "completion_tokens": -3}}')),
    passes("usage that is a list", Answer(body=_choice()[:-1] + ', "usage": [1]}')),
    passes("more choices than asked for", Answer(body=json.dumps({"choices": json.loads(_choice())["choices"] * 5}))),
    passes("an unknown finish_reason", Answer(body=_choice(finish_reason="boredom"))),
    passes("unknown fields", Answer(body=_choice(reasoning={"deep": [1, None]}, logprobs=None))),
    passes("JSON as text/html", Answer(body=_choice(), content_type="text/html")),
    passes("a byte order mark", Answer(body="\ufeff" + _choice())),
    passes("half a character", Answer(body=_choice(message={"role": "assistant", "content": "bad \ud83d Alien (1979)"}))),
    passes("escapes and markup", Answer(text="\x1b[31m[/b] \x00 Alien (1979) \u202e")),
    passes("it wants the newer token limit", Answer(status=400, message="use max_completion_tokens instead of max_tokens")),
    a_row("a content filter's 400", Answer(status=400, message="the content filter refused"), "the content filter refused", fast=True),
    a_row("403 of a moderation", Answer(status=403, message="your input was flagged for violence"), "flagged for violence"),
    a_row("413", Answer(status=413, message="too large"), "HTTP 413"),
    a_row("422 without a word", Answer(status=422, body=""), "HTTP 422: without a word"),
    a_row("418 with a page", Answer(status=418, body=HTML), "HTTP 418: an HTML page"),
    a_row("always 500", Answer(status=500, message="out of memory"), "HTTP 500: out of memory"),
    a_row("always 429", Answer(status=429, message="slow down"), "HTTP 429: slow down"),
    a_row("always cut", Answer(cut=True), "the connection was cut"),
    a_row("never answered", Answer(slow=600), "no whole answer within 8 s", limit=8),
    a_row("10 MB", Answer(text=LARGE), "longer than"),
    a_row("a megabyte of control characters", Answer(body="\x01" * 1_500_000), "longer than"),
    a_row("content: null", Answer(text=None), "has no text"),
    a_row("content is a number", Answer(body=_choice(message={"content": 7})), "choices.0.message.content"),
    a_row("choices are a string", Answer(body='{"choices": "none"}'), "breaks the protocol"),
    a_row("a list", Answer(body="[1, 2]"), "breaks the protocol"),
    a_row("200 with an error", Answer(body='{"error": {"message": "overloaded", "code": 529}}'), "overloaded"),
    a_row("the key echoed in a 500", Answer(status=500, message=f"bad key {KEY}"), "bad key ***"),
    a_row("an error as a list", Answer(status=400, body='{"error": ["a", {"b": 1}]}'), "HTTP 400"),
    ends("401", Answer(status=401, message=f"wrong key {KEY}"), "HTTP 401", "HOSTILE_KEY", most=1),
    ends("401 of four calls at once", Answer(status=401, slow=0.2), "HTTP 401", most=4, at_once=4),
    ends("401 in prefer", Answer(status=401, message="wrong key"), "HTTP 401: wrong key", command="prefer", most=1, fast=True),
    ends("403", Answer(status=403, message="not yours"), "HTTP 403", most=1),
    ends("404", Answer(status=404, message="no model toy"), "HTTP 404", "doctor --base-url", most=1),
    ends("402", Answer(status=402, message="pay"), "HTTP 402", most=1),
    ends("a spent quota", Answer(status=429, message="insufficient_quota"), "insufficient_quota", most=1),
    ends("every row filtered in prefer", Answer(status=400, message="filtered"), "every row failed", "filtered", command="prefer", most=20),
    ends("a redirect without end", Answer(status=302, headers={"Location": "/v1/chat/completions"}), "it redirects to", most=1),
    ends("a redirect elsewhere", Answer(status=307, headers={"Location": f"http://me:{PASSWORD}@elsewhere/"}), "it redirects to", most=1),
    ends("Retry-After of an hour", Answer(status=429, headers={"Retry-After": "3600"}), "left alone for 3600 s", most=1, fast=True),
    ends("Retry-After in the year 2200", Answer(status=503, headers={"Retry-After": "Wed, 01 Jan 2200 00:00:00 GMT"}), "left alone"),
    ends("it hangs", Answer(slow=600), "no whole answer within 2 s", limit=2, most=1, fast=True),
    ends("it trickles", Answer(trickle=0.2), "no whole answer within 2 s", limit=2, most=1),
    ends("always a page", Answer(body=HTML, content_type="text/html"), "every row failed", "an HTML page", most=8),
    ends("always plain text", Answer(body="It works!"), "every row failed", "no JSON", most=8),
    ends("always half of the JSON", Answer(body='{"choices": ['), "every row failed", "no JSON", most=8),
    ends("deep JSON", Answer(body="[" * 100_000), "every row failed", "no JSON", most=8),
    ends("gzip that is none", Answer(body=_choice(), headers={"Content-Encoding": "gzip"}), "every row failed", "cannot be read", most=8),
    ends("never HTTP", Answer(raw=b"220 mail.example ESMTP\r\n"), "every row failed", "the connection was cut", most=8),
    ends("log-probabilities that are NaN", Answer(text=GOOD.text, logprobs={"0": math.nan}), "breaks the protocol", judge="llm", most=12),
    ends("log-probabilities above 0", Answer(text=GOOD.text, logprobs={"0": 9.0}), "breaks the protocol", judge="llm", most=12),
    unreachable("refused", lambda _: "http://127.0.0.1:9/v1", "cannot be reached", "start the server"),
    unreachable("a name that does not exist", lambda _: "http://no-such-host.invalid/v1", "no-such-host.invalid", "cannot be reached"),
    unreachable("TLS where there is none", lambda url: url.replace("http:", "https:"), "plain http"),
    unreachable("a proxy that is not there", lambda _: "http://endpoint.invalid/v1", "cannot be reached",
                env={"HTTP_PROXY": f"http://me:{PASSWORD}@127.0.0.1:9", "http_proxy": f"http://me:{PASSWORD}@127.0.0.1:9"}),
    unreachable("a proxy's address that is none", lambda _: "http://endpoint.invalid/v1", "HTTP_PROXY",
                env={"HTTP_PROXY": "nonsense://x", "http_proxy": "nonsense://x"}),
    passes("the key echoed in every reply", *[Answer(text=f"{KEY} says Alien (1979)")] * ROWS, fast=True),
    given("a password in the recipe's base_url", "run", "recipe.yaml", "--out", "run", base="{url}", told="api_key_env", fast=True),
    given("the same by the environment", "evaluate", "recipe.yaml", "--out", "run", base="${{HOSTILE_URL}}", told="api_key_env"),
    given("the same by --set", "run", "recipe.yaml", "--out", "run", "--set", "engines.policy.base_url={url}", told="api_key_env"),
    given("the same in --system", "evaluate", "recipe.yaml", "--out", "run", "--system", "{url}", "--model", "toy", told="api_key_env"),
    given("the same in --judge-url", "rescore", "run", "--judge", "llm", "--judge-url", "{url}", "--judge-model", "m", told="api_key_env"),
    Case("secret: the same in doctor", examined, fast=False),
    given("the key in place of its variable", "run", "recipe.yaml", "--set", "engines.policy.api_key_env={key}", told="never the key"),
    given("a key with a line break", "evaluate", "recipe.yaml", "--out", "run", key="sk-broken\nin-two-1", told="HOSTILE_KEY"),
    Case("secret: a password for a proxy before the endpoint", basic, fast=False),
    Case("secret: a proxy's password in the environment", forward, fast=False),
    Case("secret: a system under test echoes the key", a_system, fast=False),
    Case("in time: the first word", first_word, fast=False),
    Case("in time: it stops answering", patience, fast=False),
    streams("whole", Answer(text="you might like Heat"), said="you might like Heat"),
    streams("cut", Answer(text="you might like Heat", cut=True), "cut"),
    streams("without its end", Answer(text="you might", last=""), "broke off"),
    streams("with a broken piece", Answer(text="you might", last="{'"), "no JSON"),
    streams("with an error", Answer(text="you might", last={"error": {"message": f"no more, {KEY}"}}), "no more, ***"),
    streams("a piece of wrong types", Answer(text="you", last={"choices": [{"delta": {"content": 7}}]}), "breaks the protocol"),
    streams("a page", Answer(body=HTML), "broke off"),
    streams("that trickles", Answer(text="a b c d", trickle=0.2), "no whole answer within 2 s"),
    streams("that never begins", Answer(slow=60), "no whole answer within 2 s"),
    streams("401", Answer(status=401, message=KEY), "HTTP 401: ***"),
    streams("far too long", Answer(text="x" * 9000), said="x" * 2048),
    streams("a key in it", Answer(text=f"so it is {KEY} {KEY[:6]} x"), said=f"so it is *** {KEY[:6]} x"),
    Case("stream: a talk", talks, fast=False),
    Case("a row: one filtered dialogue in prefer", pairs, fast=False),
    Case("a row: one refused call deep in a search", searched, fast=False),
    Case("ledger: kill -9 in the middle", killed),
    Case("ledger: no database", damaged, fast=False),
]  # fmt: skip
