"""The transformers engine: any Hugging Face causal model in this process, on a GPU or the CPU, with a LoRA adapter as training wrote it.

For one GPU without a server, and for looking at a checkpoint without merging it; on a CPU the embedded engine is several times faster, and
for many GPUs there is vLLM.  This is the side of the event loop; one thread of its own (`transformers_worker`) holds the model and computes
all calls in one batch.  A caller who is cancelled leaves the batch.  Importing this module imports no torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from usbrec import models
from usbrec.engine import ChatMessage, Choice, Completion, Sampling
from usbrec.engines.stats import EngineStats
from usbrec.engines.transformers_batch import Answer, Job
from usbrec.engines.transformers_model import Device, Dtype, TorchModel, adapter_digest, device_of, dtype_of, load
from usbrec.engines.transformers_worker import Worker
from usbrec.errors import EngineError, ModelError, UsbrecError, first_line
from usbrec.seeds import seed_of
from usbrec.settings import Settings


class TransformersSettings(Settings):
    """`transformers`: torch in this process, on a GPU or the CPU (needs usbrec[train])."""

    kind: Literal["transformers"] = "transformers"
    model: str = models.DEFAULT
    """A known model, a path, or the id of a hub model that was fetched."""
    adapter: str | None = None
    """The folder of a LoRA adapter in peft's format, trained on this model; null for none."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: the first GPU where torch sees one."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 on a GPU that computes in it, else fp32.  In 16 bits a reply may change with what else is in the batch."""
    max_batch: int = Field(default=64, ge=1)
    """Most replies and choices computed at once; halved for a while when the GPU's memory is full."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of torch, in the whole process; null for torch's own choice."""
    concurrency: int = Field(default=64, ge=1)
    """Most calls under way; further callers wait."""

    def identity(self) -> dict[str, Any]:
        """What changes what is said: for fingerprints."""
        found = self.model_dump(mode="json", include={"kind", "model", "adapter", "dtype"}) | models.contents(self.model)
        if self.adapter:
            with contextlib.suppress(ModelError):  # not there (yet): who starts it says so
                found["adapter_digest"] = adapter_digest(Path(self.adapter))
        return found


@dataclass
class TransformersEngine:
    """A GGUF file, a folder with safetensors or a model of the hub, behind the two verbs."""

    settings: TransformersSettings = field(default_factory=TransformersSettings)
    stats: EngineStats = field(default_factory=EngineStats)

    def __post_init__(self) -> None:
        self._jobs: set[Job] = set()
        self._closed = False
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None
        self._starting = asyncio.Lock()
        self._slots = asyncio.Semaphore(self.settings.concurrency)

    @cached_property
    def files(self) -> models.ModelFiles:
        """Raises ModelError where the model is not there."""
        return models.resolve(self.settings.model)

    @cached_property
    def adapter(self) -> Path | None:
        """The adapter's folder."""
        return Path(self.settings.adapter).expanduser() if self.settings.adapter else None

    @cached_property
    def device(self) -> Device:
        """Raises ConfigError where it, or the extra, is not there."""
        return device_of(self.settings.device)

    @cached_property
    def dtype(self) -> Dtype:
        """What is computed in."""
        return dtype_of(self.settings.dtype, self.device)

    @cached_property
    def name(self) -> str:
        adapter = f"+{adapter_digest(self.adapter)[:12]}" if self.adapter else ""
        return f"transformers:{self.files.name}@{self.files.digest[:12]}{adapter}:{self.dtype}"

    # ---- the verbs -------------------------------------------------------------------------------------------------------------

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        greedy = sampling.temperature == 0
        completions = await self._replies(_chat(messages, 1 if greedy else n, sampling))
        if greedy:
            completions *= n
        self.stats.count(completions)
        return completions

    async def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> AsyncIterator[str]:
        loop, heard = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def hear(text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(heard.put_nowait, text)

        task = asyncio.ensure_future(self._replies(_chat(messages, 1, sampling, hear)))
        task.add_done_callback(lambda _: heard.put_nowait(None))
        said = 0
        try:
            while (text := await heard.get()) is not None:
                if len(text) > said:
                    yield text[said:]
                    said = len(text)
            [completion] = await task
            if len(completion.text) > said:
                yield completion.text[said:]
            self.stats.count([completion])
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, UsbrecError):
                await task

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        if not options:
            raise EngineError("a choice needs at least one option", where=self.name)
        answer = await self._ask(Job(messages, Sampling(), options=tuple(options)))
        assert isinstance(answer, Choice)
        self.stats.prompt_tokens += answer.prompt_tokens
        return answer

    async def close(self) -> None:
        self._closed = True
        for job in list(self._jobs):
            job.fail(EngineError("the engine was closed"))
        async with self._starting:
            worker, self._worker = self._worker, None
            thread, self._thread = self._thread, None
        if worker is not None and thread is not None:
            worker.inbox.put(None)
            await asyncio.to_thread(thread.join)

    # ---- calls -----------------------------------------------------------------------------------------------------------------

    async def _replies(self, job: Job) -> list[Completion]:
        answer = await self._ask(job)
        assert isinstance(answer, list)
        return answer

    async def _ask(self, job: Job) -> Answer:
        async with self._slots:
            worker = await self._start()
            self._jobs.add(job)
            try:
                with self.stats.call(len(job.seeds)):
                    worker.inbox.put(job)
                    if worker.ended:
                        job.fail(self._ended())
                    return await asyncio.wrap_future(job.answer)
            finally:
                job.answer.cancel()
                self._jobs.discard(job)

    async def _start(self) -> Worker:
        async with self._starting:
            if self._closed:
                raise EngineError("the engine was closed")
            if self._worker is None or self._worker.ended:
                self._worker = Worker(self._load, self.settings.max_batch, await asyncio.to_thread(lambda: self.name))
                self._thread = threading.Thread(target=self._run, args=(self._worker,), name="transformers engine", daemon=True)
                self._thread.start()
            return self._worker

    def _run(self, worker: Worker) -> None:
        """The thread.  Should it ever end by a fault, nobody waits for it: those who do get an error, and the next call starts another."""
        reason = ""
        try:
            worker.run()
        except Exception as fault:
            reason = first_line(fault)
        finally:
            worker.ended = True
            for job in list(self._jobs):
                job.fail(self._ended(reason))

    def _ended(self, reason: str = "") -> EngineError:
        return EngineError(f"the engine's thread ended ({reason or 'no reason known'})", where=self.name, fix="ask again; else start anew")

    def _load(self) -> TorchModel:
        import torch

        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        return load(self.files, self.adapter, self.device, self.dtype)


def _chat(messages: Sequence[ChatMessage], n: int, sampling: Sampling, hear: Callable[[str], None] | None = None) -> Job:
    return Job(messages, sampling, seeds=tuple(seed_of(sampling.seed, "sample", index) for index in range(n)), hear=hear)
