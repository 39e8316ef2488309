"""The call ledger: every call of a model as a row of an SQLite file, which doubles as the response cache.

A call with the same engine name, prompt, verb and settings is answered from the file: a run that was killed, or that is repeated, asks the
model only what it has not asked yet.  An answer without a word is recorded, but asked for again.  Rows are written by a thread of their own
in batches (at most 0.2 s apart), in WAL mode: a kill at any moment loses at most the last batch, and those calls are simply asked again.
When the disk is full, rows stay in memory and are tried again; the next call, or `close`, raises StorageError.  Prompts are kept as
digests, replies whole.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
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
_EVERY = 0.2
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
    _waiting: list[Row] = field(default_factory=list)
    _fault: Exception | None = None
    _closing: bool = False

    def __post_init__(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._store = sqlite3.connect(self.path, timeout=30, check_same_thread=False, isolation_level=None)
            self._store.execute("pragma journal_mode=wal")
            self._store.execute("pragma synchronous=normal")
            self._store.executescript(_SCHEMA)
            self._eyes = sqlite3.connect(self.path, timeout=30, check_same_thread=False, isolation_level=None)
        except (sqlite3.Error, OSError) as fault:
            raise _cannot_use(self.path, fault) from fault
        self._change = threading.Condition()
        self._fresh: dict[str, str] = {}
        self._writer = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._writer.start()

    def find(self, key: str) -> str | None:
        """The reply stored under a key.

        Raises:
            StorageError: also for a row that could not be written earlier.
        """
        self._complain()
        with self._change:
            if key in self._fresh:
                return self._fresh[key]
        try:
            row = self._eyes.execute("select reply from calls where key = ? and reply is not null limit 1", (key,)).fetchone()
        except sqlite3.Error as fault:
            raise _cannot_use(self.path, fault) from fault
        return str(row[0]) if row else None

    def add(self, row: Row) -> None:
        """Takes a row; it is on disk soon after."""
        row = {name: whole(value) if isinstance(value, str) else value for name, value in row.items()}
        with self._change:
            self._waiting.append(row)
            if row["reply"] is not None:
                self._fresh[row["key"]] = row["reply"]
            self._change.notify()

    def close(self) -> None:
        """Writes what waits; idempotent.

        Raises:
            StorageError: rows could not be written.
        """
        with self._change:
            if self._closing:
                return
            self._closing = True
            self._change.notify()
        self._writer.join()
        self._eyes.close()
        self._store.close()
        self._complain()

    def _complain(self) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            raise _cannot_use(self.path, fault) from fault

    def _write(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._closing:
                    self._change.wait()
                last = self._closing
            if not last:
                time.sleep(_EVERY)
            with self._change:
                batch = list(self._waiting)
            if batch:
                self._commit(batch)
            with self._change:
                if last and (not self._waiting or self._fault):
                    return

    def _commit(self, batch: list[Row]) -> None:
        try:
            self._store.execute("begin immediate")
            try:
                marks = ", ".join("?" * len(_COLUMNS))
                self._store.executemany(
                    f"insert into calls ({', '.join(_COLUMNS)}) values ({marks})", [tuple(row[c] for c in _COLUMNS) for row in batch]
                )
                self._store.execute("commit")
            except Exception:
                if self._store.in_transaction:
                    self._store.execute("rollback")
                raise
        except Exception as fault:  # whatever it is, the writer lives: `find` and `close` tell it
            self._fault = fault
            return
        with self._change:
            del self._waiting[: len(batch)]
            for row in batch:
                self._fresh.pop(row["key"], None)
            self._fault = None


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
        """As the module's `totals`, of this ledger; the last 0.2 s may be missing."""
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
