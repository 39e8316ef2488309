"""The embedded engine: OpenVINO GenAI on the CPU, in a supervised child process.

This is the parent's side.  It starts the child at the first call, sends requests as JSON lines, matches the answers by number, and starts
the child again when it dies, asking again whatever was under way: a native crash costs a restart, not the run.  A sample depends only on
prompt, settings and its own seed, so what is asked again comes out the same.  `stats` counts what was done.

A caller who is cancelled cancels the generation.  A child that says nothing for `timeout_seconds` while it has work is killed and started
again.  After three deaths in a row without a single answer the engine gives up.  A child that dies or stops while it loads for the first
time is not started again: all who wait have the same error, within `start_seconds`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from usbrec import models
from usbrec.engine import ChatMessage, Choice, Completion, Sampling
from usbrec.engines.child import Child
from usbrec.engines.stats import EngineStats
from usbrec.errors import EngineError, EngineUnavailable, ModelError, Unsupported, UsbrecError
from usbrec.seeds import seed_of
from usbrec.settings import Settings

_DEATHS = 3
_OTHER_MODEL = (
    "give a GGUF file of a supported architecture (Llama, Qwen2, Qwen3, SmolLM), or serve it and use kind: openai; "
    "if memory is short, free some, or set a smaller cache_gb"
)
_WORKER = "usbrec.engines.openvino_worker"


class OpenVINOSettings(Settings):
    """`openvino`, the embedded engine: on the CPU, in a child process."""

    kind: Literal["openvino"] = "openvino"
    model: str = models.DEFAULT
    """A known model, or the path of a GGUF file or of a folder with OpenVINO IR."""
    precision: Literal["fast", "bf16", "exact"] = "fast"
    """`fast`: dynamic 8-bit activations, and a reply may change with what else is in the batch; `bf16`: no such rounding; `exact`: float32
    throughout, and a reply depends on its prompt and seed alone, to the last bit.  It takes about twice as long for one reply to a prompt,
    five times as long for four, since each reads the prompt anew (docs/log.md gives the differences)."""
    weights: Literal["q8_0", "as-is"] = "q8_0"
    """`q8_0`: 4-bit GGUF types that OpenVINO would round coarsely are first turned into 8-bit ones, once."""
    cache_gb: int = Field(default=2, ge=1)
    """Memory for attention keys and values, in GB; prefixes of earlier prompts stay in it."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; null for all cores."""
    max_batch: int = Field(default=256, ge=1)
    """Most replies computed at once."""
    max_batched_tokens: int = Field(default=1024, ge=1)
    """Most tokens in one step: prompts longer than this are read in several steps."""
    concurrency: int = Field(default=64, ge=1)
    """Most calls under way; further callers wait."""
    timeout_seconds: float = Field(default=300, gt=0)
    """A child silent for so long while it has work is restarted."""
    start_seconds: float = Field(default=300, gt=0)
    """A child silent for so long while it loads the model is given up.  A rewriting of the weights (see `weights`) is not silent."""

    def identity(self) -> dict[str, Any]:
        """What changes what is said: for fingerprints."""
        return self.model_dump(mode="json", include={"kind", "model", "precision", "weights"}) | models.contents(self.model)

    def properties(self) -> dict[str, Any]:
        """The plugin's properties."""
        exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
        half = {"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "bf16", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
        chosen: dict[str, Any] = {"fast": {}, "bf16": half, "exact": exact}[self.precision]
        return chosen | ({"INFERENCE_NUM_THREADS": self.threads} if self.threads else {})


@dataclass
class _Call:
    line: dict[str, Any]
    answer: asyncio.Future[dict[str, Any]]
    pieces: asyncio.Queue[str | None] | None = None
    heard: str = ""


@dataclass
class OpenVINOEngine:
    """A GGUF file or an OpenVINO IR folder, behind the two verbs.  Belongs to the event loop of its first call."""

    settings: OpenVINOSettings = field(default_factory=OpenVINOSettings)
    stats: EngineStats = field(default_factory=EngineStats)

    def __post_init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._next, self._deaths, self._closed = 0, 0, False
        self._child: Child | None = None
        self._start: asyncio.Task[None] | None = None
        """The start under way or the one that succeeded; None: there is no child, the next call starts one."""
        self._reader: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(self.settings.concurrency)

    @cached_property
    def files(self) -> models.ModelFiles:
        """Raises ModelError where the model is not there."""
        return models.resolve(self.settings.model)

    @property
    def name(self) -> str:
        how = self.settings.precision if self.settings.weights == "q8_0" else f"{self.settings.precision}:as-is"
        return f"openvino:{self.files.name}@{self.files.digest[:12]}:{how}"

    @property
    def pid(self) -> int | None:
        """Of the child, while it runs."""
        return self._child.process.pid if self._child and self._child.alive else None

    # ---- the verbs -------------------------------------------------------------------------------------------------------------

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        answer = await self._ask(_chat_line(messages, n, sampling))
        completions = [Completion(**sample) for sample in answer["samples"]]
        if sampling.temperature == 0:
            completions *= n
        self.stats.count(completions)
        return completions

    async def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> AsyncIterator[str]:
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        task = asyncio.ensure_future(self._ask({**_chat_line(messages, 1, sampling), "stream": True}, pieces))
        task.add_done_callback(lambda _: pieces.put_nowait(None))
        said = ""
        try:
            while (heard := await pieces.get()) is not None:
                if len(heard) > len(said):
                    piece, said = _more(said, heard), heard
                    yield piece
            sample = (await task)["samples"][0]
            if piece := _more(said, sample["text"]):
                yield piece
            self.stats.count([Completion(**sample)])
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, UsbrecError):
                await task

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        answer = await self._ask({"op": "choose", "messages": _plain(messages), "options": list(options)})
        choice = answer["choice"]
        self.stats.prompt_tokens += choice["prompt_tokens"]
        shares = [math.exp(value) for value in choice["logprobs"]]
        note = "" if choice["exact"] else "an option is not among the most probable tokens: its probability is an upper bound"
        return Choice.of(shares, exact=choice["exact"], note=note, prompt_tokens=choice["prompt_tokens"])

    async def close(self) -> None:
        """Ends the child at once, whatever it does: it has nothing to save."""
        self._closed = True
        under_way = [task for task in (self._start, self._reader) if task]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._child is not None:
            await self._child.end()
        self._child = self._start = self._reader = None
        self._fail(EngineError("the engine was closed"))

    # ---- calls -----------------------------------------------------------------------------------------------------------------

    async def _ask(self, line: dict[str, Any], pieces: asyncio.Queue[str | None] | None = None) -> dict[str, Any]:
        async with self._slots:
            await self._started()
            self._next += 1
            number = self._next
            call = _Call({**line, "id": number}, asyncio.get_running_loop().create_future(), pieces)
            self._calls[number] = call
            try:
                with self.stats.call(len(line.get("seeds") or line["options"])):
                    self._send(call.line)
                    answer = await call.answer
            except asyncio.CancelledError:
                self._send({"op": "cancel", "id": number})
                raise
            finally:
                self._calls.pop(number, None)
        if "error" in answer:
            kind = Unsupported if "one token" in answer["error"] else EngineError
            raise kind(answer["error"], where=self.files.name)
        return answer

    def _send(self, line: dict[str, Any]) -> None:
        if self._child is not None:
            self._child.send(line)

    def _fail(self, fault: EngineError) -> None:
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(fault)

    # ---- the child -------------------------------------------------------------------------------------------------------------

    async def _started(self) -> None:
        """Waits for the child; all who wait share one start, and its error."""
        while (start := self._start) is None or not start.done():
            if self._closed:
                raise EngineError("the engine was closed")
            if start is None:
                start = self._start = asyncio.create_task(self._first())
                start.add_done_callback(lambda task: task.cancelled() or task.exception())  # all who wait may have left
            await asyncio.wait([start])
            if not start.cancelled():
                start.result()

    async def _first(self) -> None:
        try:
            await self._spawn()
        except BaseException:
            self._start = None
            raise
        self._reader = asyncio.create_task(self._supervise())

    async def _spawn(self) -> None:
        """Starts a child, up to its model.

        Raises:
            ModelError: it says that it cannot load it.
            EngineUnavailable: it died or fell silent before.
        """
        settings = self.settings
        try:
            files = await asyncio.to_thread(lambda: self.files)
            child = self._child = await Child.of(_WORKER)
        except OSError as fault:
            what = f"the embedded engine's process could not be started ({fault.strerror or fault})"
            raise EngineUnavailable(what, fix="free memory, processes or open files") from fault
        child.send({
            "path": str(files.path), "digest": files.digest, "weights": settings.weights, "cache_gb": settings.cache_gb,
            "max_batch": settings.max_batch, "max_batched_tokens": settings.max_batched_tokens, "properties": settings.properties(),
            "exact": settings.precision == "exact",
        })  # fmt: skip
        if (refusal := await self._loaded(child)) is not None:
            self._child = None
            raise refusal

    async def _loaded(self, child: Child) -> UsbrecError | None:
        """Waits until the child has its model; else ends it and says why."""
        where, limit = str(self.files.path), self.settings.start_seconds
        try:
            line: dict[str, Any] | None = {"alive": True}
            while line and "alive" in line:
                line = await child.line(limit)
        except TimeoutError:
            await child.end()
            what = f"the embedded engine did not start within {limit:g} seconds; {child.last_words()}"
            fix = "if this machine is only slow, set start_seconds of this engine higher; else run `usbrec doctor`"
            return EngineUnavailable(what, where=where, fix=fix)
        if line and "ready" in line:
            return None
        await child.end()
        if line:
            return self._refusal(line)
        fix = "free memory, or set a smaller cache_gb; `usbrec doctor` tries the engine with the default model"
        return EngineUnavailable(f"the embedded engine could not start: {child.fate()}", where=where, fix=fix)

    def _refusal(self, line: dict[str, Any]) -> UsbrecError:
        fatal = line.get("fatal", "")
        if "openvino" in fatal and "module" in fatal:
            return EngineUnavailable("the package openvino-genai is missing", fix="pip install openvino-genai==2026.4.*")
        fix = line.get("fix") or _OTHER_MODEL
        return ModelError(f"the embedded engine cannot load this model: {fatal}", where=str(self.files.path), fix=fix)

    async def _supervise(self) -> None:
        """Reads the child's answers; starts it again when it dies, or falls silent, with work to do."""
        while (child := self._child) is not None:
            why = await self._hear(child)
            await child.end()
            self._child = None
            if not self._calls:
                break
            self._start = asyncio.create_task(self._restart(why or child.fate()))
            try:
                await asyncio.shield(self._start)
            except EngineError as fault:
                self._fail(fault)
                break
        self._start = None

    async def _hear(self, child: Child) -> str:
        """Until the child's output ends, or, which is the answer then, it falls silent with work to do."""
        limit = self.settings.timeout_seconds
        try:
            while line := await child.line(limit, lambda: bool(self._calls)):
                self._hear_line(line)
        except TimeoutError:
            return f"it said nothing for {limit:g} seconds"
        return ""

    async def _restart(self, why: str) -> None:
        """Starts the child again, and asks again what was under way; one that dies while it starts is one death more.

        Raises:
            EngineError: given up, after so many deaths or `start_seconds`.
        """
        began = time.monotonic()
        while self._deaths < _DEATHS and time.monotonic() - began < self.settings.start_seconds:
            self._deaths += 1
            self.stats.restarts += 1
            try:
                await self._spawn()
            except ModelError as error:
                raise EngineUnavailable(error.what, where=error.where, fix=error.fix) from error
            except EngineError as error:
                why = error.what
                continue
            for call in list(self._calls.values()):
                self._send(call.line)
            return
        what = f"the embedded engine died {self._deaths + 1} times in a row without an answer (last: {why})"
        self._deaths = 0
        raise EngineError(what, where=self.files.name, fix="run `usbrec doctor`; a smaller cache_gb helps where memory is short")

    def _hear_line(self, line: dict[str, Any]) -> None:
        call = self._calls.get(line.get("id", -1))
        if call is None:
            return
        if "text" in line:
            if call.pieces is not None:
                call.pieces.put_nowait(line["text"])
            return
        self._deaths = 0
        if not call.answer.done():
            call.answer.set_result(line)


def _chat_line(messages: Sequence[ChatMessage], n: int, sampling: Sampling) -> dict[str, Any]:
    greedy = sampling.temperature == 0
    seeds = [seed_of(sampling.seed, "sample", index) for index in range(1 if greedy else n)]
    return {
        "op": "chat", "messages": _plain(messages), "temperature": sampling.temperature, "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens, "stop": list(sampling.stop), "seeds": seeds, "logprobs": sampling.logprobs,
    }  # fmt: skip


def _plain(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _more(said: str, heard: str) -> str:
    """What `heard` adds to `said`: a restarted generation must repeat what was already passed on."""
    if not heard.startswith(said[: len(heard)]):
        raise EngineError("a streamed reply changed after the embedded engine was restarted", fix="ask again")
    return heard[len(said) :]
