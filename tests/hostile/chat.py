"""`usbrec chat` (and `data show`) with what nobody should type, and with text that a terminal or rich would obey."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from clock import HANG
from hostile import harness
from hostile.harness import Case, Ended, crashed, held, left_behind, on_terminal, refused
from loopback import Answer, Loopback

NASTY = "[/INST] [b]Have[/b] :smile: \x1b[31myou \x07seen\x1b[0m \u202eHeat (1995)?"
SHOWN = r"[/INST] [b]Have[/b] :smile: \x1b[31myou \x07seen\x1b[0m \u202eHeat (1995)?"
"""What of it may be shown."""
LIMIT = 2000
DEMO = "data: {kind: demo, train_rows: 20}"
Play = Callable[[Path], Iterator[str]]
TALK = ["chat", "run", "--arm", "base"]


@functools.cache
def made(reply: str) -> Path:
    """The folder of a run that one can talk with; it says this one thing."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-chat-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    engine = f"{{kind: scripted, replies: [{json.dumps(reply)}]}}"
    (folder / "recipe.yaml").write_text(f"name: chat\n{DEMO}\nengines: {{policy: {engine}}}\nsearch: {{depth: 0}}\n")
    assert not held(harness.usbrec("prepare", folder / "recipe.yaml", "--out", "run", cwd=folder, limit=HANG))
    return folder / "run"


def run_in(folder: Path, reply: str = NASTY) -> None:
    shutil.copytree(made(reply), folder / "run")


def talk(folder: Path, given: bytes, *more: str, first: str = "", shell: str = "", env: dict[str, str] | None = None) -> Ended:
    """Pipes bytes into a talk; `first` stands in front of the command in a shell, `shell` (redirections) behind it."""
    mark = f"chat-{os.getpid()}-{time.monotonic_ns()}"
    words = " ".join(f"'{word}'" for word in (sys.executable, "-P", "-m", "usbrec", *TALK, *more))
    process = subprocess.Popen(
        ["bash", "-c", f"{first} {words} {shell}"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **(env or {}), "HOSTILE_MARK": mark}, start_new_session=True,
    )  # fmt: skip
    hung = False
    try:
        out, err = process.communicate(given, timeout=HANG)
    except subprocess.TimeoutExpired:
        hung = True
        harness.end(*harness.marked(mark))
        out, err = process.communicate()
    return Ended(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"), hung, orphans=left_behind(mark))


def piped(given: str | bytes, *told: str, replies: int, code: int = 0, more: tuple[str, ...] = (), **how: str) -> Play:
    """So many replies, each a line of its own that is nothing but the reply."""

    def play(folder: Path) -> Iterator[str]:
        run_in(folder)
        ended = talk(folder, given.encode() if isinstance(given, str) else given, *more, **how)
        yield from judged(ended, *told, code=code)
        if ended.out != (SHOWN + "\n") * replies:
            yield f"silent: not {replies} replies but {ended.out[:300]!r}"

    return play


def judged(ended: Ended, *told: str, code: int = 0) -> Iterator[str]:
    yield from crashed(ended)
    if ended.code != code and not ended.hung:
        yield f"silent: it ended with code {ended.code}, not {code}: {ended.err[-300:]}"
    yield from (f"silent: it does not say {text!r}: {ended.err[-300:]}" for text in told if text not in ended.err)
    if re.search(r"[\x00-\x08\x0b-\x1f\u202e]", ended.err):
        yield f"silent: a terminal would obey {ended.err!r}"


# ---- /save --------------------------------------------------------------------------------------------------------------------------


def saving(name: str, *told: str, before: Callable[[Path], object] = lambda _: None, code: int = 0, rows: int = 0) -> Play:
    """Says two things, saves, says another; so many rows stand in the file afterwards, and what stood there before stands there still."""

    def play(folder: Path) -> Iterator[str]:
        run_in(folder)
        before(folder)
        kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        ended = talk(folder, f"One\nTwo\n/save {name}\nThree\n".encode())
        yield from judged(ended, *told, code=code)
        yield from (f"lost: {path.name} is not what it was" for path, raw in kept.items() if not path.exists() or path.read_bytes() != raw)
        if ended.out.count("\n") != 3:
            yield f"lost: the talk did not go on: {ended.out!r}"
        if rows and len((folder / name).read_text().splitlines()) != rows:
            yield f"lost: not {rows} rows: {(folder / name).read_text()}"

    return play


def imported(folder: Path) -> Iterator[str]:
    """What was saved is a data set of one's own."""
    run_in(folder, "Have you seen Heat (1995)?")
    yield from judged(talk(folder, b"Something with a heist\nAnother\n/save own/train.jsonl\n"), "saved: own/train.jsonl")
    shutil.copy(folder / "run" / "prepare" / "catalogue.jsonl", folder / "own" / "catalogue.jsonl")
    shutil.copy(folder / "own" / "train.jsonl", folder / "own" / "test.jsonl")
    ended = harness.usbrec("data", "import", "custom", "--from-dir", "own", "--out", "out", cwd=folder, limit=HANG)
    yield from held(ended)
    if (folder / "out" / "train.jsonl").exists() and len((folder / "out" / "train.jsonl").read_text().splitlines()) != 2:
        yield "lost: not two rows came in"


def saved_twice(folder: Path) -> Iterator[str]:
    """The second time the talk is longer; without a name it goes where it was."""
    run_in(folder)
    yield from judged(talk(folder, b"One\n/save\nTwo\n/save\n/save talk.jsonl\n"), "saved: run/talks/base-1.jsonl", "saved: talk.jsonl")
    found = {path.name: len(path.read_text().splitlines()) for path in [*folder.glob("run/talks/*"), *folder.glob("*.jsonl")]}
    if found != {"base-1.jsonl": 2, "talk.jsonl": 2}:
        yield f"lost: saved are {found}"


def full_disk(folder: Path) -> Iterator[str]:
    run_in(folder)
    yield from judged(talk(folder, b"One\n/save talk.jsonl\nTwo\n", first="ulimit -f 0;"), "not saved: talk.jsonl", code=1)
    if [*folder.glob("*talk.jsonl*")]:
        yield "silent: half a file is left"


# ---- faults in the middle ------------------------------------------------------------------------------------------------------------


def failing(*answers: Answer, told: str) -> Play:
    """The endpoint fails once between two replies."""

    def play(folder: Path) -> Iterator[str]:
        with Loopback(default=Answer(text="Fine.")) as server:
            engine = f"{{kind: openai, model: m, base_url: '{server.url}', retries: 0}}"
            (folder / "recipe.yaml").write_text(f"name: chat\n{DEMO}\nengines: {{policy: {engine}}}\n")
            yield from held(harness.usbrec("prepare", "recipe.yaml", "--out", "run", cwd=folder, limit=HANG))
            server.script(Answer(text="Fine."), *answers)
            ended = talk(folder, b"One\nTwo\nThree\n")
        yield from judged(ended, told, "say it again", code=1)
        if ended.out != "Fine.\nFine.\n":
            yield f"lost: the talk did not go on: {ended.out!r}"

    return play


def nobody_listens(folder: Path) -> Iterator[str]:
    """Standard output is closed after the first reply."""
    run_in(folder)
    yield from crashed(talk(folder, b"One\n" * 50, shell="| head -n 1"))


def shell(told: str, behind: str, code: int, replies: int = 0) -> Play:
    return piped(b"One\n", *([told] if told else []), replies=replies, code=code, shell=behind)


# ---- on a terminal -------------------------------------------------------------------------------------------------------------------


def typed(*keys: tuple[str, str], told: tuple[str, ...] = (), code: int = 0, reply: str = NASTY, more: tuple[str, ...] = ()) -> Play:
    def play(folder: Path) -> Iterator[str]:
        run_in(folder, reply)
        ended = on_terminal(*TALK, *more, cwd=folder, keys=keys, limit=HANG)
        yield from crashed(ended)
        if ended.code != code:
            yield f"silent: it ended with code {ended.code}, not {code}: {ended.out[-500:]}"
        yield from (f"silent: it does not show {text!r}: {ended.out[-500:]!r}" for text in told if text not in ended.out)
        if "\x1b[31m" in ended.out or "\x07" in ended.out or "\u202e" in ended.out:
            yield f"silent: the terminal obeyed: {ended.out!r}"

    return play


# ---- data show -----------------------------------------------------------------------------------------------------------------------


def titles(*arguments: str, told: str = "") -> Play:
    """A catalogue and dialogues whose titles, genres and keys are markup."""

    def play(folder: Path) -> Iterator[str]:
        own = folder / "own"
        own.mkdir()
        film = {"id": "a[/b]", "title": "[/INST] [b]Heat \x1b[31m", "year": 1995, "genres": ["[/drama]"]}
        said = {
            "dialogue": [{"side": "seeker", "text": NASTY + " [/]"}],
            "targets": ["a[/b]"],
            "reply": "See [/INST] [b]Heat \x1b[31m (1995)",
            "key": "[/k]:1",
        }
        for name, rows in (("catalogue", [film]), ("train", [said]), ("test", [{**said, "key": "[/k]:2"}])):
            (own / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        ended = harness.usbrec("data", "import", "custom", "--from-dir", "own", "--out", "out", cwd=folder, limit=HANG)
        yield from crashed(ended)
        if ended.code:  # refused with a reason: then there is nothing to show
            yield from refused(ended)
            return
        ended = harness.usbrec(*arguments, cwd=folder, limit=HANG)
        yield from held(ended, *([told] if told else []))
        if "\x1b[31m" in ended.out + ended.err:
            yield f"silent: a terminal would obey {ended.out!r}"

    return play


def no_such(*arguments: str) -> Play:
    def play(folder: Path) -> Iterator[str]:
        run_in(folder)
        ended = harness.usbrec(*arguments, cwd=folder, text="One\n", limit=HANG)
        yield from refused(ended)
        if "\x1b[31m" in ended.err:
            yield f"silent: a terminal would obey {ended.err!r}"

    return play


CASES = [
    Case("a reply of markup and escapes", piped("One\n", replies=1)),
    Case("empty lines", piped("\n\nOne\n\n \n\t\nTwo\n\n", replies=2)),
    Case("an end in the middle of a line", piped("One\nTwo", replies=2), fast=False),
    Case("nothing at all", piped("", replies=0), fast=False),
    Case("only empty lines", piped("\n" * 500, replies=0), fast=False),
    Case("carriage returns", piped("One\r\nTwo\r\n", replies=2), fast=False),
    Case("all bytes there are", piped(bytes(range(256)) + b"\nTwo\n", replies=2), fast=False),
    Case("random bytes", piped(b"\xff\xfe\x80\xc3\n\xed\xa0\x80\nTwo\n", replies=3), fast=False),
    Case("zero bytes alone", piped(b"\0\0\0\nTwo\n", replies=1), fast=False),
    Case("escapes in the line", piped("\x1b[31mOne\x1b[0m\x07\n", replies=1), fast=False),
    Case("markup in the line", piped("[/INST] [b] </s> <|im_end|> {{x}} %s\n", replies=1), fast=False),
    Case("half a character", piped("\\ud800 \\\n", replies=1), fast=False),
    Case("a line as long as may be", piped("x" * LIMIT + "\n", replies=1), fast=False),
    Case("a line too long", piped("x" * (LIMIT + 1) + "\nTwo\n", "too long", str(LIMIT), replies=1, code=1)),
    Case("a line of five megabytes", piped("x y" * (5 << 20) + "\nTwo\n", "too long", replies=1, code=1), fast=False),
    Case("five megabytes without an end", piped("x" * (5 << 20), "too long", replies=0, code=1), fast=False),
    Case("a command that is none", piped("/foo [/b]\nTwo\n", "there is no /foo", replies=1, code=1), fast=False),
    Case("a slash alone", piped("/\n//\n/ save\n", "there is no /", replies=0, code=1), fast=False),
    Case("/help", piped("/help\nOne\n", "/save", "/quit", replies=1), fast=False),
    Case("/quit", piped("One\n/quit\nTwo\n", replies=1), fast=False),
    Case("/save before anything", piped("/save\nOne\n", "nothing was said yet", replies=1, code=1), fast=False),
    Case("/save", saving("talk.jsonl", "saved: talk.jsonl", rows=2)),
    Case("/save with a name of spaces", saving("a talk.jsonl", "saved: a talk.jsonl", rows=2), fast=False),
    Case(
        "/save over a file",
        saving("mine.txt", "not saved", "is there already", before=lambda f: (f / "mine.txt").write_text("mine"), code=1),
    ),
    Case("/save over the recipe", saving("run/recipe.json", "is there already", code=1), fast=False),
    Case("/save onto a folder", saving("run", "is there already", code=1), fast=False),
    Case(
        "/save onto a link to nowhere",
        saving("link", "is there already", before=lambda f: (f / "link").symlink_to("no"), code=1),
        fast=False,
    ),
    Case("/save below a file", saving("m/x", "not saved", before=lambda f: (f / "m").write_text("mine"), code=1), fast=False),
    Case("/save with a name too long", saving("x" * 300, "not saved", code=1), fast=False),
    Case("/save ~nobody", saving("~nobody-here/x", "saved", rows=0), fast=False),
    Case("/save of a row set", imported, fast=False),
    Case("/save twice", saved_twice, fast=False),
    Case("standard output closed", nobody_listens, fast=False),
    Case("standard input closed", shell("", "<&-", 0), fast=False),
    Case("standard error closed", shell("", "2>&-", 0, replies=1), fast=False),
    Case("an ASCII terminal", piped("One é 😀\n", replies=1, env={"PYTHONIOENCODING": "ascii"}), fast=False),  # type: ignore[arg-type]
    Case(
        "another arm, with its search",
        piped("I loved Alien (1979)\n", "profile:", replies=1, more=("--arm", "base+ses", "--show-search")),
        fast=False,
    ),
    Case("a reply fails", failing(Answer(status=500, message="[/b]\x1b[31m"), told="there is no reply")),
    Case("a reply is refused", failing(Answer(status=400, message="content filter"), told="content filter"), fast=False),
    Case("a reply is cut", failing(Answer(cut=True), told="there is no reply"), fast=False),
    Case("an arm of markup", no_such("chat", "run", "--arm", "[/b]\x1b[31m"), fast=False),
    Case("a run of markup", no_such("chat", "[/b]\x1b[31m"), fast=False),
    Case("a command of markup", no_such("[/b]\x1b[31m"), fast=False),
    Case("a terminal", typed(("you> ", "One\n"), ("base> ", ""), ("you> ", "\x04"), told=("loading", SHOWN)), fast=False),
    Case(
        "a terminal: empty lines, commands", typed(("you> ", "\n"), ("you> ", "/help\n"), ("you> ", "/quit\n"), told=("/save",)), fast=False
    ),
    Case(
        "a terminal: keys that edit",
        typed(("you> ", "Onx\x7fe\x1b[D\x1b[C\t\n"), ("base> ", ""), ("you> ", "\x04"), told=("Heat",)),
        fast=False,
    ),
    Case("a terminal: too long", typed(("you> ", "x" * 3000 + "\n"), ("too long", ""), ("you> ", "\x04")), fast=False),
    Case(
        "a terminal: the search",
        typed(("you> ", "One\n"), ("profile:", ""), ("you> ", "\x04"), told=(SHOWN[:20],), more=("--arm", "base+ses", "--show-search")),
        fast=False,
    ),
    Case("data show", titles("data", "show", "out", told="[/INST] [b]Heat"), fast=False),
    Case("data show of a key", titles("data", "show", "out", "--key", "[/k]:2", told="[/k]:2"), fast=False),
    Case("data check", titles("data", "check", "out"), fast=False),
    Case("data leaks", titles("data", "leaks", "out", "--show", "3"), fast=False),
]
