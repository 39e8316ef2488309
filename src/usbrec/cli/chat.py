"""`usbrec chat`: talk with an arm of a run, in a terminal or by lines from a pipe; then stdout has the replies alone.

On a terminal a reply appears as the model writes it, as far as it is certain that it will be said (`LLMRecommender.reply`); one that is
searched for appears at its end.  What is not answered (an engine's fault, a line too long) is told and leaves the talk as it was.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usbrec.cli.options import given
from usbrec.cli.run import say

if TYPE_CHECKING:
    from usbrec.roles import Recommender, Reply
    from usbrec.search.speculate import Speculation
    from usbrec.types import Dialogue, SearchTrace

MOST_LETTERS = 2000
"""Of one message; a dozen of them still fit the window of a small model."""
HELP = """/save [FILE]   keep the talk as JSONL, a row a reply (without FILE: in the run's folder, under talks/)
/quit          end the talk; so does Ctrl-D
/help          this list"""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def chat(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    arm: Annotated[str, typer.Option(help="base, sft or rl, each plain or with +ses; or a floor such as collaborative.")] = "rl+ses",
    show_search: Annotated[bool, typer.Option("--show-search", help="Print the profile and the candidates behind each reply.")] = False,
    seed: Annotated[int, typer.Option(help="Of what is drawn: the search's samples, redrawn replies.")] = 0,
) -> None:
    """Talk with an arm of a run; /help lists what else can be typed, Ctrl-D ends it.  Lines may also be piped in.

    A talk that is interrupted is kept in the run's folder, under talks/.  With a pipe the exit code is 1 if a line had no answer.
    """
    say(f"{arm} of {folder}: loading ...")
    from usbrec import interrupts

    interrupts.say_instead("nothing was said yet")
    if interrupts.run(_talk(folder, arm, show_search, seed, given(context, "seed"))) and not _is_terminal(sys.stdin):
        raise typer.Exit(1)


async def _talk(folder: Path, arm: str, show_search: bool, seed: int, seeded: Sequence[str] = ()) -> int:
    """The number of lines without an answer."""
    from usbrec import config
    from usbrec.assemble import Engines
    from usbrec.errors import ConfigError
    from usbrec.evaluation.arms import model_of
    from usbrec.roles.llm import LLMRecommender
    from usbrec.search import Search
    from usbrec.search.speculate import Speculation
    from usbrec.stages import recommender_of
    from usbrec.types import Dialogue

    recipe = config.stored(folder, f"export/{model_of(arm)}", f"evaluate/{arm}")  # what made its model
    async with Engines() as engines:
        recommender: Recommender = recommender_of(folder, recipe, arm, engines)
        if show_search and not isinstance(recommender, Search):
            raise ConfigError("matters only of an arm that searches", where="--show-search", fix=f"leave it out, or take --arm {arm}+ses")
        if seeded and not isinstance(recommender, Search | LLMRecommender):
            raise ConfigError("matters only of an arm with a model", where="--seed", fix="leave it out")
        ahead = Speculation(recommender) if isinstance(recommender, Search) and recommender.settings.speculate.guesses else None
        talk = Talk(folder, arm, recommender, ahead, Dialogue(), seed=seed, show_search=show_search)
        try:
            await talk()
        finally:
            if ahead:
                await ahead.close()
        if ahead and show_search:
            _show_spent(ahead)
    return talk.unanswered


@dataclass
class Talk:
    """One conversation."""

    folder: Path
    arm: str
    recommender: Recommender
    ahead: Speculation | None
    dialogue: Dialogue
    seed: int = 0
    show_search: bool = False
    file: Path | None = None
    """Where it is kept."""
    unanswered: int = 0

    async def __call__(self) -> None:
        """Until the lines end.  A talk that is interrupted is kept."""
        import asyncio

        say("say what you like; /help lists the commands, Ctrl-D ends the talk")
        try:
            while (line := await _line()) is not None and line != "/quit":
                await self.hear(line)
        except asyncio.CancelledError:
            if len(self.dialogue):
                self.keep()
            raise

    async def hear(self, line: str) -> None:
        """Answers one line; does what a command says."""
        command, _, rest = line.partition(" ")
        if command == "/help":
            say(HELP)
        elif command == "/save":
            self._save_and_say(rest.strip())
        elif command.startswith("/"):
            self._refuse(f"there is no {command}; /help lists the commands")
        elif len(line) > MOST_LETTERS:
            self._refuse(f"that is too long: a message may have {MOST_LETTERS} letters; say it in fewer")
        elif line:
            await self._answer(line)

    def save(self, path: Path) -> None:
        """Writes a row a reply, as `usbrec data import custom` reads them; never over a file that is not this talk's.

        Raises:
            StorageError: something else is there, or it cannot be written.
        """
        from usbrec import jsonl
        from usbrec.errors import StorageError

        if path != self.file and os.path.lexists(path):
            raise StorageError("is there already", where=str(path), fix="name another file")
        messages = [message.model_dump() for message in self.dialogue.messages]
        replies = [at for at, message in enumerate(messages) if message["side"] == "recommender"]
        rows = [{"dialogue_id": path.stem, "turn_id": at, "dialogue": messages[:at], "reply": messages[at]["text"]} for at in replies]
        jsonl.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        self.file = path

    def keep(self) -> None:
        """Saves an interrupted talk, and has the last line say where."""
        from usbrec import interrupts
        from usbrec.errors import StorageError

        try:
            self.save(self._place())
            interrupts.say_instead(f"the talk is kept in {self.file}")
        except StorageError as fault:
            interrupts.say_instead(f"the talk could not be kept: {fault.where} {fault.what}")

    def _place(self) -> Path:
        from usbrec.pipeline import slug

        numbers = iter(range(1, sys.maxsize))
        places = (self.folder / "talks" / f"{slug(self.arm)}-{number}.jsonl" for number in numbers)
        return self.file or next(place for place in places if not os.path.lexists(place))

    def _save_and_say(self, given: str) -> None:
        from usbrec.errors import StorageError

        if not len(self.dialogue):
            return self._refuse("nothing was said yet, so there is nothing to save")
        try:
            self.save(Path(os.path.expanduser(given)) if given else self._place())  # noqa: PTH111 (pathlib's ends in an error)
        except StorageError as fault:
            return self._refuse(f"not saved: {fault.where} {fault.what}; name another file: /save FILE")
        return say(f"saved: {self.file}")

    def _refuse(self, told: str) -> None:
        self.unanswered += 1
        say(told)

    async def _answer(self, text: str) -> None:
        from usbrec.errors import EngineError
        from usbrec.search import Search
        from usbrec.seeds import seed_of

        said = self.dialogue.say("seeker", text)
        voice = Voice(self.arm)
        try:
            with voice.waiting("searching" if isinstance(self.recommender, Search) else "thinking", first=not len(self.dialogue)):
                reply = await self._reply(said, seed_of(self.seed, len(said)), voice.hear)
        except EngineError as fault:
            return self._refuse(f"{voice.broken()}there is no reply: {fault}\nsay it again, or something else")
        self.dialogue = said.say("recommender", reply.text)
        if self.show_search and reply.search:
            _show(reply.search)
        if self.show_search and self.ahead:
            say("searched ahead, while you read and typed" if self.ahead.prefetched else "not searched ahead")
        voice.say(reply.text)
        if self.ahead:
            self.ahead.said(self.dialogue, reply, seed=seed_of(self.seed, len(self.dialogue) + 1))
        return None

    async def _reply(self, dialogue: Dialogue, seed: int, hear: Callable[[str], None]) -> Reply:
        from usbrec.roles.llm import LLMRecommender

        if isinstance(self.recommender, LLMRecommender) and _is_terminal(sys.stdout):
            return await self.recommender.reply(dialogue, seed=seed, hear=hear)
        return await (self.ahead or self.recommender).reply(dialogue, seed=seed)


@dataclass
class Voice:
    """Says one reply on stdout; on a terminal with who speaks, and piece by piece."""

    name: str
    told: str = ""
    _stop: Callable[[], None] = field(default=lambda: None)

    @contextmanager
    def waiting(self, doing: str, *, first: bool) -> Iterator[None]:
        """Shows that a reply is under way, until its first piece."""
        if not _is_terminal(sys.stderr):
            yield
            return
        from usbrec.cli.screen import Screen

        with Screen(stderr=True).status(f"{self.name} is {doing}{', the model is loaded first' if first else ''} ...") as status:
            self._stop = status.stop
            yield

    def hear(self, text: str) -> None:
        """The reply begins so."""
        from usbrec.cli.screen import shown

        if len(text) > len(self.told):
            self._stop()
            sys.stdout.write(("" if self.told else f"{self.name}> ") + shown(text[len(self.told) :]))
            sys.stdout.flush()
            self.told = text

    def say(self, text: str) -> None:
        """The whole reply."""
        from usbrec.cli.screen import shown

        if not _is_terminal(sys.stdout):
            return typer.echo(shown(text))
        if not text.startswith(self.told):
            sys.stdout.write(self.broken())
            self.told = ""
        self.hear(text)
        return typer.echo()

    def broken(self) -> str:
        """What ends the line of a reply that came to no end."""
        return "\n" if self.told else ""


def _is_terminal(stream: object) -> bool:
    return hasattr(stream, "isatty") and stream.isatty()


async def _line() -> str | None:
    """The next line without control characters; None at the end.  It is read in a thread that nobody waits for."""
    import asyncio
    import threading

    loop = asyncio.get_running_loop()
    heard: asyncio.Future[str | None] = loop.create_future()

    def settle(line: str | None, fault: Exception | None) -> None:
        if heard.done():
            return
        if fault is not None:
            heard.set_exception(fault)
        else:
            heard.set_result(line)

    def read() -> None:
        line, fault = None, None
        try:
            line = _read()
        except Exception as raised:
            fault = raised
        with suppress(RuntimeError):  # the loop is closed: nobody listens
            loop.call_soon_threadsafe(settle, line, fault)

    threading.Thread(target=read, name="keyboard", daemon=True).start()
    line = await heard
    return None if line is None else _CONTROL.sub(" ", line).strip()


def _read() -> str | None:
    """A line as it is typed; of one that is too long only so much that this can be seen."""
    from usbrec.engine import whole

    if _is_terminal(sys.stdin) and _is_terminal(sys.stdout):
        with suppress(ImportError):
            import readline  # noqa: F401 (`input` edits lines with it)
        try:
            return whole(input("you> "))
        except EOFError:
            typer.echo()
            return None
    if _is_terminal(sys.stdin):
        sys.stderr.write("you> ")
        sys.stderr.flush()
    line = rest = sys.stdin.readline(MOST_LETTERS + 2)
    while rest and not rest.endswith("\n"):
        rest = sys.stdin.readline(1 << 16)
    return whole(line) if line else None


def _show(trace: SearchTrace) -> None:
    from rich.table import Table

    from usbrec.cli.screen import Screen

    console = Screen(stderr=True)
    console.print(f"profile: {trace.profile.summary}", style="dim")
    table = Table("", "value", "times", "candidate", "played forward")
    for index, candidate in enumerate(trace.candidates):
        value = "-" if candidate.value is None else f"{candidate.value:.2f}"
        line = " / ".join(message.text for message in candidate.continuation)
        table.add_row("*" if index == trace.chosen else "", value, str(candidate.count), candidate.text, line)
    console.print(table)
    console.print(f"{trace.calls} calls, {trace.prompt_tokens} prompt and {trace.completion_tokens} generated tokens", style="dim")
    if trace.note:
        console.print(trace.note, style="yellow")


def _show_spent(ahead: Speculation) -> None:
    spent = ahead.spent
    told = f"searched ahead: {spent.hits} hits, {spent.misses} misses; {spent.calls} calls, {spent.tokens} tokens"
    told += f", of them {spent.wasted_calls} calls, {spent.wasted_tokens} tokens in vain"
    say(f"{told}; {spent.faults} faults{spent.note and ', the latest: '}{spent.note}")
