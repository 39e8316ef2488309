"""Ctrl-C, once and twice, in every command: it ends soon, with code 130 and one line; the same command again ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clock import HANG
from hostile import harness
from hostile.harness import Case, Ended, crashed, held, left_behind, on_terminal
from hostile.kills import compared
from loopback import Answer, Loopback
from test_run import STAGES, command

MEASURED: dict[str, float] = {}
"""What was pressed -> seconds until it had ended; for whoever asks, no limit."""
REPLY = "Have you seen Heat (1995)?"
TWICE = 0.5
"""Seconds between two presses."""


def pressed(
    arguments: Sequence[str | Path],
    folder: Path,
    awaited: Callable[[str], bool],
    *,
    presses: int = 1,
    number: int = signal.SIGINT,
    delay: float = 0.3,
    env: dict[str, str] | None = None,
) -> Ended | None:
    """Runs a command and presses `delay` seconds after what it tells is as awaited; None where it ended before."""
    mark = f"interrupts-{os.getpid()}-{time.monotonic_ns()}"
    out, err = folder / "out.txt", folder / "err.txt"
    with out.open("w") as to_out, err.open("w") as to_err:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "usbrec", *map(str, arguments)],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=to_out, stderr=to_err, start_new_session=True,
            env={**os.environ, **(env or {}), "HOSTILE_MARK": mark},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    while not awaited(err.read_text(errors="replace")) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(delay)
    ended = process.poll() is not None
    began, hung = time.monotonic(), False
    for press in range(presses):
        time.sleep(TWICE if press else 0)
        process.send_signal(number)
    try:
        process.wait(HANG)
    except subprocess.TimeoutExpired:
        hung = True
        harness.end(*harness.marked(mark))
    MEASURED[f"{' '.join(map(str, arguments[:2]))} x{presses}"] = time.monotonic() - began
    texts = (path.read_text(errors="replace") for path in (out, err))
    return None if ended else Ended(process.wait(), *texts, hung, orphans=left_behind(mark))


def faults_of(ended: Ended, *told: str, code: int = 130) -> Iterator[str]:
    """What is wrong with how an interrupted command ended."""
    yield from crashed(ended)
    if ended.code != code and not ended.hung:
        yield f"silent: it ended with code {ended.code}, not {code}: {ended.err[-300:]}"
    lines = ended.err.splitlines() or ended.out.splitlines() or [""]
    if sum("interrupted" in line for line in lines) != 1 or not all(text in lines[-1] for text in ("interrupted", *told)):
        yield f"silent: the last line does not say {told}: {lines[-3:]}"
    if "Exception ignored" in ended.err or "never awaited" in ended.err:
        yield f"traceback: {ended.err[-500:]}"


def announced(beginning: str) -> Callable[[str], bool]:
    return lambda told: any(line.startswith(beginning) and "unchanged" not in line for line in told.splitlines())


# ---- with the real model -----------------------------------------------------------------------------------------------------------


def everywhere(presses: int) -> Callable[[Path], Iterator[str]]:
    """In every stage of one run, some of them while training or the model runs."""

    def play(folder: Path) -> Iterator[str]:
        out, count = folder / "run", 0
        for stage in STAGES:
            delay = 0.05 if stage == "prepare" else 0.3 if "export" in stage or stage == "report" else 3.0
            arguments = command(out)[3:]
            first_step = out / stage / "checkpoint-1"
            awaited = (lambda _, step=first_step: step.exists()) if stage in ("sft", "simpo") else announced(f"{stage}: ")
            ended = pressed(["run", *arguments[1:]], folder, awaited, presses=presses, delay=0.1 if stage in ("sft", "simpo") else delay)
            if ended:
                count += 1
                MEASURED[f"{stage} x{presses}"] = MEASURED.pop(f"run {arguments[1]} x{presses}")
                yield from (f"{fault} (in {stage})" for fault in faults_of(ended, f"in {stage}", "the same command goes on"))
        if count < 6:
            yield f"silent: only {count} of {len(STAGES)} stages could be interrupted"
        yield from (faults := held(harness.usbrec("run", *arguments[1:], cwd=folder, limit=HANG)))
        if not faults:
            yield from compared(out, 0)

    return play


# ---- with an endpoint that takes its time -------------------------------------------------------------------------------------------


def recipe(folder: Path, url: str, *, judge: str = "catalogue") -> Path:
    one = f"{{kind: openai, model: m, base_url: '{url}', concurrency: 2}}"
    engines = f"policy: {one}" + (f", judge: {one}" if judge != "catalogue" else "")
    path = folder / "recipe.yaml"
    path.write_text(
        f"name: slow\nseed: 1\ndata: {{kind: demo, train_rows: 60}}\nengines: {{{engines}}}\n"
        f"evaluate: {{rows: 8, turns: 1, arms: [base], judges: [{{kind: {judge}}}], rankings: {{samples: 2, rows: 4}}}}\n"
    )
    return path


def rows_in(out: Path) -> dict[str, Any]:
    """Everything that was played, without its times."""

    def timeless(row: Any) -> Any:
        if isinstance(row, dict):
            return {key: timeless(value) for key, value in row.items() if key != "seconds"}
        return [timeless(value) for value in row] if isinstance(row, list) else row

    found = sorted([*out.glob("*/*/*.jsonl"), *out.glob("prepare/*.jsonl")])
    return {str(path.relative_to(out)): [timeless(json.loads(line)) for line in path.read_text().splitlines()] for path in found}


def slowly(
    given: Sequence[str], awaited: str, *told: str, presses: int = 1, number: int = signal.SIGINT
) -> Callable[[Path], Iterator[str]]:
    """Interrupts `usbrec GIVEN RECIPE` while replies are under way, goes on, and compares with an undisturbed run."""

    def play(folder: Path) -> Iterator[str]:
        with Loopback(default=Answer(text=REPLY, slow=0.5, logprobs={"1": 0.0})) as server:
            arguments = [*given, recipe(folder, server.url, judge="llm" if given[0] == "judge" else "catalogue"), "--out"]
            code = 128 + number
            ended = pressed([*arguments, "run"], folder, announced(awaited), presses=presses, number=number, delay=1.0)
            yield from faults_of(ended, *told, code=code) if ended else ["silent: it ended before it could be interrupted"]
            server.default = Answer(text=REPLY, logprobs={"1": 0.0})
            for out in ("run", "undisturbed"):
                yield from held(harness.usbrec(*arguments, out, cwd=folder, limit=HANG))
            if rows_in(folder / "run") != rows_in(folder / "undisturbed"):
                yield "lost: the rows differ from those of an undisturbed run"

    return play


# ---- commands of their own ----------------------------------------------------------------------------------------------------------


def preparing(presses: int) -> Callable[[Path], Iterator[str]]:
    def play(folder: Path) -> Iterator[str]:
        with Loopback() as server:
            arguments = ["prepare", recipe(folder, server.url), "--out"]
            ended = pressed([*arguments, "run"], folder, announced("prepare: "), presses=presses, delay=0)
            if ended:
                yield from faults_of(ended, "in prepare")
            for out in ("run", "undisturbed"):
                yield from held(harness.usbrec(*arguments, out, cwd=folder, limit=HANG))
        if rows_in(folder / "run") != rows_in(folder / "undisturbed"):
            yield "lost: the rows differ from those of an undisturbed run"

    return play


def reporting(presses: int) -> Callable[[Path], Iterator[str]]:
    def play(folder: Path) -> Iterator[str]:
        with Loopback(default=Answer(text=REPLY)) as server:
            arguments = ["run", recipe(folder, server.url), "--out", "run"]
            ended = pressed(arguments, folder, announced("report: "), presses=presses, delay=0.5)
            yield from faults_of(ended, "in report") if ended else ["silent: it ended before it could be interrupted"]
            yield from held(harness.usbrec(*arguments, cwd=folder, limit=HANG))
        if not (folder / "run" / "report" / "report.html").exists() or [*folder.rglob("*.tmp")]:
            yield "lost: there is no report, or half of one"

    return play


def importing(presses: int) -> Callable[[Path], Iterator[str]]:
    """Of data that takes some seconds."""

    def play(folder: Path) -> Iterator[str]:
        given = folder / "given"
        given.mkdir()
        films = [{"id": f"f{n}", "title": f"The {n}th Film of Many", "year": 1950 + n % 70} for n in range(2000)]
        said = [{"side": "seeker", "text": " ".join(f"I liked The {n + k}th Film of Many." for k in range(20))} for n in range(1500)]
        rows = [{"dialogue": [one], "targets": [f"f{n % 1900}"], "reply": "See this."} for n, one in enumerate(said)]
        for name, lines in (("catalogue", films), ("train", rows), ("valid", rows[:5]), ("test", rows[:5])):
            (given / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        arguments = ["data", "import", "custom", "--from-dir", given, "--out"]
        ended = pressed([*arguments, "out"], folder, lambda _: True, presses=presses, delay=1.2)
        if ended:
            yield from faults_of(ended)
        for out in ("out", "undisturbed"):
            yield from held(harness.usbrec(*arguments, out, cwd=folder, limit=HANG))
        files = ["/".join(path.relative_to(folder / "undisturbed").parts) for path in (folder / "undisturbed").rglob("*") if path.is_file()]
        yield from (f"lost: {n} differs" for n in files if (folder / "out" / n).read_bytes() != (folder / "undisturbed" / n).read_bytes())

    return play


@contextmanager
def trickling() -> Iterator[tuple[str, list[bytes]]]:
    """A server that promises a megabyte and sends some bytes of it every now and then: (its address, the requests)."""
    listening, heard = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve(connection: socket.socket) -> None:
        with connection:
            heard.append(connection.recv(1 << 16))
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 1000000\r\n\r\n")
                while True:
                    connection.sendall(b"x" * 1000)
                    time.sleep(0.05)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard


def getting(*given: str, presses: int) -> Callable[[Path], Iterator[str]]:
    """A download that does not end: pip's, or the data sets'."""

    def play(folder: Path) -> Iterator[str]:
        with trickling() as (url, heard):
            env = {"PIP_INDEX_URL": f"{url}/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_CONFIG_FILE": os.devnull, "USBREC_CACHE": str(folder)}
            arguments = [*given, "--base-url", url, "--out", "data"] if given[0] == "data" else [*given]
            ended = pressed(arguments, folder, lambda _: bool(heard), presses=presses, delay=0.5, env=env)
        yield from faults_of(ended) if ended else ["silent: it ended before it could be interrupted"]
        if given[0] == "data" and not any(path.stat().st_size for path in (folder / "data").glob("*.part")):
            yield "lost: what came of the file is gone"
        if presses == 1 and [path for path in (folder / "models").glob(".*") if path.is_dir()]:
            yield "lost: half a model is left in the cache"

    return play


# ---- chat ---------------------------------------------------------------------------------------------------------------------------


def prepared(folder: Path, url: str) -> Iterator[str]:
    yield from held(harness.usbrec("prepare", recipe(folder, url), "--out", "run", cwd=folder))


def prompting(presses: int) -> Callable[[Path], Iterator[str]]:
    def play(folder: Path) -> Iterator[str]:
        with Loopback(default=Answer(text=REPLY)) as server:
            yield from prepared(folder, server.url)
            keys = [("you> ", "Hello\n"), (REPLY, ""), ("you> ", "half a li"), ("half a li", "\x03" * presses)]
            ended = on_terminal("chat", "run", "--arm", "base", cwd=folder, keys=keys)
        yield from faults_of(ended, "the talk is kept in run/talks/base-1.jsonl")
        if REPLY not in (folder / "run" / "talks" / "base-1.jsonl").read_text():
            yield "lost: the talk is not kept"

    return play


def replying(presses: int) -> Callable[[Path], Iterator[str]]:
    def play(folder: Path) -> Iterator[str]:
        with Loopback(default=Answer(text=REPLY, slow=HANG)) as server:
            yield from prepared(folder, server.url)
            ended = on_terminal("chat", "run", "--arm", "base", cwd=folder, keys=[("you> ", "Hello\n"), ("thinking", "\x03" * presses)])
        yield from faults_of(ended, "nothing was said yet")

    return play


CASES = [
    *(Case(f"real model, every stage x{n}", everywhere(n), fast=False, acts=len(STAGES)) for n in (1, 2)),
    *(
        Case(f"{name} x{n}", play(n), fast=n == 1 and name in ("prepare", "model get", "chat prompt"))
        for n in (1, 2)
        for name, play in (
            ("prepare", preparing),
            ("report", reporting),
            ("data import", importing),
            ("model get", lambda n: getting("model", "get", presses=n)),
            ("data get", lambda n: getting("data", "get", "redial", presses=n)),
            ("evaluate", lambda n: slowly(["evaluate"], "evaluate/base: ", "in evaluate/base at row ", " of 8", presses=n)),
            ("rankings", lambda n: slowly(["evaluate"], "rankings/base: ", "in rankings/base at row ", presses=n)),
            ("calibrate", lambda n: slowly(["judge", "calibrate", "--rows", "8", "--judge", "llm:choose"], "judges/llm", "row", presses=n)),
            ("chat prompt", prompting),
            ("chat reply", replying),
        )
    ),
    Case("SIGTERM in evaluate", slowly(["evaluate"], "evaluate/base: ", "in evaluate/base at row ", number=signal.SIGTERM)),
]
