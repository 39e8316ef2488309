"""The call ledger: every call of a model as a row of an SQLite file, which doubles as the response cache.

A call with the same engine name, prompt, verb and settings is answered from the file: a run that was killed, or that is repeated, asks the
model only what it has not asked yet.  An answer without a word is recorded, but asked for again.  Every row is written before its answer is
given, each in a transaction of its own, in WAL mode: a kill at any moment loses no answer that anybody was given.  The system writes it to
the disk when it likes (`synchronous=normal`): a power cut may lose the last seconds, never the file.  A full disk raises StorageError at
once.  Prompts are kept as digests, replies whole.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from usbrec.engine import ChatMessage, Choice, Completion, Engine, Sampling, whole
from usbrec.engines.stats import Counted, EngineStats
from usbrec.errors import EngineError, StorageError

_SCHEMA = """
create table if not exists calls (
  id integer primary key, key text not null, at real not null, engine text not null, verb text not null, n integer not null,
  prompt text not null, settings text not null, reply text, prompt_tokens integer not null, completion_tokens integer not null,
  seconds real not null, error text not null
);
create index if not exists calls_by_key on calls(key) where reply is not null;
"""
_COLUMNS = ("key", "at", "engine", "verb", "n", "prompt", "settings", "reply", "prompt_tokens", "completion_tokens", "seconds", "error")
Answer = TypeVar("Answer")
Row = dict[str, Any]


@dataclass(frozen=True)
class Total:
    """What one engine did with one verb, summed over a ledger."""

    engine: str
    verb: str
    calls: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    """Summed over calls: calls that ran at the same time count each."""


def totals(path: Path) -> list[Total]:
    """The sums of a ledger file, by engine and verb; empty where there is no ledger.

    Raises:
        StorageError: the file is no ledger.
    """
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(path, timeout=30)) as store:
            rows = store.execute(
                "select engine, verb, count(*), sum(error != ''), sum(prompt_tokens), sum(completion_tokens), sum(seconds)"
                " from calls group by engine, verb order by engine, verb"
            ).fetchall()
    except sqlite3.Error as fault:
        raise _cannot_use(path, fault) from fault
    return [Total(*row) for row in rows]


@dataclass
class Ledger:
    """An open ledger file: `find` an answer, `add` a row."""

    path: Path

    def __post_init__(self) -> None:
        with self._telling():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._store = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            self._store.execute("pragma journal_mode=wal")
            self._store.execute("pragma synchronous=normal")
            self._store.executescript(_SCHEMA)

    def find(self, key: str) -> str | None:
        """The reply stored under a key.

        Raises:
            StorageError: the file cannot be read.
        """
        with self._telling():
            row = self._store.execute("select reply from calls where key = ? and reply is not null limit 1", (key,)).fetchone()
        return str(row[0]) if row else None

    def add(self, row: Row) -> None:
        """Writes a row.

        Raises:
            StorageError: it cannot be written.
        """
        values = [whole(value) if isinstance(value := row[name], str) else value for name in _COLUMNS]
        with self._telling():
            self._store.execute(f"insert into calls ({', '.join(_COLUMNS)}) values ({', '.join('?' * len(_COLUMNS))})", values)

    def close(self) -> None:
        """Idempotent."""
        self._store.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as fault:
            raise _cannot_use(self.path, fault) from fault


@dataclass
class LedgerEngine:
    """Any engine, with a ledger in front of it."""

    inner: Engine
    path: Path
    owner: bool = True
    """Closes the inner engine with itself; False where others use it too."""
    hits: int = 0
    """Calls answered from the ledger."""

    def __post_init__(self) -> None:
        self._ledger: Ledger | None = None

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def stats(self) -> EngineStats:
        """What reached the model; what was answered from the ledger is not in it."""
        return self.inner.stats if isinstance(self.inner, Counted) else EngineStats()

    @property
    def ledger(self) -> Ledger:
        """Opened at its first use."""
        if self._ledger is None:
            self._ledger = Ledger(self.path)
        return self._ledger

    def totals(self) -> list[Total]:
        """As the module's `totals`, of this ledger."""
        return totals(self.path)

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        row = self._row("chat", n, messages, sampling.model_dump(mode="json"))
        if (found := self.ledger.find(row["key"])) is not None:
            self.hits += 1
            return [Completion.model_validate({**value, "cached": True}) for value in json.loads(found)]
        return await self._ask(row, lambda: self.inner.chat(messages, n=n, sampling=sampling), _completions_text, _tokens)

    async def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> AsyncIterator[str]:
        row = self._row("chat", 1, messages, sampling.model_dump(mode="json"))
        if (found := self.ledger.find(row["key"])) is not None:
            self.hits += 1
            if text := json.loads(found)[0]["text"]:
                yield text
            return
        began, pieces = time.monotonic(), list[str]()
        try:
            async for piece in self.inner.stream(messages, sampling=sampling):
                pieces.append(piece)
                yield piece
        except EngineError as fault:
            self.ledger.add({**row, "seconds": time.monotonic() - began, "error": str(fault)})
            raise
        reply = _completions_text([Completion(text="".join(pieces).strip())])
        self.ledger.add({**row, "verb": "stream", "reply": reply, "seconds": time.monotonic() - began})

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        row = self._row("choose", 1, messages, {"options": list(options)})
        if (found := self.ledger.find(row["key"])) is not None:
            self.hits += 1
            return Choice.model_validate_json(found)
        return await self._ask(
            row, lambda: self.inner.choose(messages, options), Choice.model_dump_json, lambda choice: (choice.prompt_tokens, 0)
        )

    async def close(self) -> None:
        try:
            if self.owner:
                await self.inner.close()
        finally:
            ledger, self._ledger = self._ledger, None
            if ledger is not None:
                ledger.close()

    async def _ask(
        self,
        row: Row,
        ask: Callable[[], Awaitable[Answer]],
        text: Callable[[Answer], str | None],
        tokens: Callable[[Answer], tuple[int, int]],
    ) -> Answer:
        began = time.monotonic()
        try:
            answer = await ask()
        except EngineError as fault:
            self.ledger.add({**row, "seconds": time.monotonic() - began, "error": str(fault)})
            raise
        prompt, completion = tokens(answer)
        self.ledger.add(
            {**row, "reply": text(answer), "seconds": time.monotonic() - began, "prompt_tokens": prompt, "completion_tokens": completion}
        )
        return answer

    def _row(self, verb: str, n: int, messages: Sequence[ChatMessage], settings: dict[str, Any]) -> Row:
        prompt = prompt_digest(messages)
        key = _digest([self.name, verb, n, prompt, settings])
        return {
            "key": key, "at": time.time(), "engine": self.name, "verb": verb, "n": n, "prompt": prompt, "settings": json.dumps(settings),
            "reply": None, "prompt_tokens": 0, "completion_tokens": 0, "seconds": 0.0, "error": "",
        }  # fmt: skip


def prompt_digest(messages: Sequence[ChatMessage]) -> str:
    """What stands for a prompt in the ledger."""
    return _digest([[message.role, message.content] for message in messages])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _completions_text(completions: list[Completion]) -> str | None:
    if not any(completion.text.strip() for completion in completions):
        return None
    return json.dumps([completion.model_dump(exclude={"cached"}) for completion in completions], ensure_ascii=False)


def _tokens(completions: list[Completion]) -> tuple[int, int]:
    return max(c.prompt_tokens for c in completions), sum(c.completion_tokens for c in completions)


def _cannot_use(path: Path, fault: Exception) -> StorageError:
    text = str(fault)
    if "full" in text or "space" in text:
        fix = "make room on that disk and run the same command again: everything recorded so far is kept"
    elif "not a database" in text or "malformed" in text:
        fix = "move that file away and run the same command again: answers are then asked anew"
    else:
        fix = "check that the folder can be written to, then run the same command again"
    return StorageError(f"the ledger cannot be used ({text})", where=str(path), fix=fix)
