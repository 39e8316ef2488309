"""A Python callable under test: imported by its name, called with the dialogue, its answer checked.

A plain function runs in a thread of its own, so it blocks neither the event loop nor, if it never returns, the end of the program
(`asyncio.to_thread` would wait for it at exit).
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from usbrec.engine import ChatMessage, whole
from usbrec.errors import ConfigError, EngineError, EngineReply, EngineUnavailable, cause_of, first_line
from usbrec.roles import Reply
from usbrec.roles.llm import as_seen_by
from usbrec.types import Dialogue

MOST_HUNG = 8
"""So many calls that were given up and have still not come back end the evaluation: each holds a thread."""

Call = Callable[[list[dict[str, str]]], Any]
"""Chat messages -> the reply's text, {"text": ...}, or a promise (awaitable) of one of them."""


def bare(dialogue: Dialogue) -> list[ChatMessage]:
    """The dialogue as the recommender's chat without instructions; one that has not begun, or waits for the seeker, is opened with "Hi"."""
    chat = as_seen_by("recommender", dialogue, "")[1:]
    return chat if chat and chat[-1].role == "user" else [*chat, ChatMessage(role="user", content="Hi")]


@dataclass
class Function:
    """The callable as a recommender.  It is not given the seed."""

    call: Call
    name: str
    digest: str = ""
    """Of the source file."""
    _hung: list[threading.Thread] = field(default_factory=list)

    @property
    def is_async(self) -> bool:
        return any(inspect.iscoroutinefunction(call) for call in (self.call, getattr(self.call, "__call__", None)))  # noqa: B004

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        messages = [message.model_dump() for message in bare(dialogue)]
        self._check_hung()
        try:
            said = self.call(messages) if self.is_async else await self._in_thread(messages)
            if inspect.isawaitable(said):
                said = await said
        except (Exception, SystemExit, asyncio.CancelledError) as raised:
            fault, task = cause_of(raised), asyncio.current_task()
            if isinstance(fault, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # we are cancelled, not something inside the callable
            kind, told = type(fault).__name__, first_line(fault)
            raise EngineError(f"raised {kind}{f': {told}' if told != kind else ''}", where=self.name) from fault
        return Reply(text=_text(said, self.name))

    def _check_hung(self) -> None:
        self._hung = [thread for thread in self._hung if thread.is_alive()]
        if len(self._hung) >= MOST_HUNG:
            what = f"hangs: {len(self._hung)} calls that were too late have still not come back"
            raise EngineUnavailable(what, where=self.name, fix="mend it, or raise --timeout")

    async def _in_thread(self, messages: list[dict[str, str]]) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

        def settle(value: Any, fault: BaseException | None) -> None:
            if not done.done():
                done.set_result((value, fault))

        def work() -> None:
            value, fault = None, None
            try:
                value = self.call(messages)
            except BaseException as raised:
                fault = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, value, fault)

        thread = threading.Thread(target=work, name=self.name, daemon=True)
        thread.start()
        try:
            value, fault = await done
        except asyncio.CancelledError:
            self._hung.append(thread)
            raise
        if fault is not None:
            raise fault
        return value


def _text(said: object, name: str) -> str:
    if isinstance(said, dict):
        if "text" not in said:
            raise EngineReply('returned a dict without "text"', where=name)
        said = said["text"]
    if not isinstance(said, str):
        raise EngineReply(f"returned no text but {type(said).__name__}", where=name, fix='return a str, or {"text": str}')
    if not said.strip():
        raise EngineReply("returned an empty text", where=name)
    return whole(said).strip()


def load(given: str) -> Function:
    """The callable of `package.module:name` or `path/to/file.py:name`.

    Raises:
        ConfigError: it cannot be imported, or not be called with the dialogue.
    """
    where = f"--system {given}"
    place, _, name = given.rpartition(":")
    module = _module(place, where)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{place} has no '{part}'", where=where, fix=f"define it there: def {part}(dialogue): ...")
        found = getattr(found, part)
    if inspect.isclass(found):
        raise ConfigError(f"'{name}' is a class", where=where, fix=f"name an instance of it: write {name.lower()} = {name}(...) there")
    call = getattr(found, "reply", found)
    if not callable(call):
        raise ConfigError(f"'{name}' is neither a function nor has it a `reply` method", where=where, fix=f"def {name}(dialogue): ...")
    try:
        inspect.signature(call).bind([])
    except TypeError as fault:
        raise ConfigError(f"'{name}' cannot be called with one argument, the dialogue ({fault})", where=where,
                          fix='take one list of {"role": ..., "content": ...} and return the text') from None  # fmt: skip
    except ValueError:
        pass  # built in: it has no signature to look at
    source = Path(module.__file__) if module.__file__ else None
    return Function(call, given, hashlib.sha256(source.read_bytes()).hexdigest()[:16] if source else "")


def _module(place: str, where: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            sys.path.insert(0, str(Path.cwd()))
            return importlib.import_module(place)
        path = Path(place).resolve()
        sys.path.insert(0, str(path.parent))  # its neighbours can be imported as if it were run
        spec = importlib.util.spec_from_file_location(f"system_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit) as fault:
        what = f"cannot be imported ({type(fault).__name__}: {first_line(fault)})"
        raise ConfigError(what, where=where, fix="package.module must be importable from here, path/to/file.py must be there") from fault
