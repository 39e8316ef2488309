"""The thread of the transformers engine: takes calls off a queue, keeps one batch under way, answers.

With nothing to do it sleeps on the queue; a first call waits a moment for others that come with it.  Between two steps of the batch new
calls are read and join, and rows leave that are finished or whose caller was cancelled.  A fault of one call answers that call alone; a
fault of the computation answers every row under way.  When memory is full all rows are put back, at most half of them are taken again,
and what they said so far is read again with their prompts: nothing is lost, and the draws go on where they were.  A row that does not fit
even alone is answered with an error.  Once all is done, a whole batch is allowed again.
"""

from __future__ import annotations

import gc
import math
import queue
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from usbrec.engine import Choice, Completion
from usbrec.engines.stops import cut, settled
from usbrec.engines.transformers_batch import Batch, Job, Row, draw, lots, read
from usbrec.engines.transformers_model import TorchModel
from usbrec.errors import EngineError, EngineUnavailable, UsbrecError, first_line

if TYPE_CHECKING:
    from torch import Tensor

_GATHER = 0.005
"""Seconds that a first call waits for others."""


@dataclass
class Worker:
    """The model and the rows under way; `run` is the thread."""

    load: Callable[[], TorchModel]
    """Called when the first calls come; where it raises, they have its error, and the next ones make it try again."""
    max_batch: int
    where: str
    """The model's name, for errors."""
    inbox: queue.SimpleQueue[Job | None] = field(default_factory=queue.SimpleQueue)
    """None ends the thread."""
    ended: bool = False
    """Takes no more calls."""

    def __post_init__(self) -> None:
        self.batch = Batch()
        self.limit = self.max_batch
        self.waiting: list[Row] = []
        self.rows: list[Row] = []
        """Under way: in the batch, or about to be read."""

    def run(self) -> None:
        """Until the engine is closed.  Callers who still wait then are the engine's affair."""
        import torch

        model: TorchModel | None = None
        with torch.inference_mode():
            while (jobs := self.take()) is not None:
                try:
                    model = model or self.load()
                except Exception as fault:
                    told = EngineUnavailable(
                        f"the model cannot be loaded ({first_line(fault)})", where=self.where, fix="run `usbrec doctor`"
                    )
                    for job in jobs:
                        job.fail(fault if isinstance(fault, UsbrecError) else told)
                    continue
                for job in jobs:
                    self.begin(model, job)
                self.work(model)
        self.batch, self.rows, self.waiting = Batch(), [], []
        if model is not None:
            model.free()

    def take(self) -> list[Job] | None:
        """The calls that have come; waits for one where there is nothing to do.  None: the engine was closed."""
        jobs: list[Job | None] = []
        if not self.rows and not self.waiting:
            self.limit = self.max_batch
            jobs.append(self.inbox.get())
            time.sleep(_GATHER)
        while not self.inbox.empty():
            jobs.append(self.inbox.get())
        taken = [job for job in jobs if job is not None]
        return taken if len(taken) == len(jobs) else None

    def begin(self, model: TorchModel, job: Job) -> None:
        """Makes a call's rows; a fault answers it."""
        try:
            prompt = model.prompt(job.messages, 0 if job.options else job.sampling.max_tokens)
            options = tuple(model.option(option) for option in job.options)
        except UsbrecError as fault:
            fault.where = fault.where or self.where
            job.fail(fault)
        except Exception as fault:
            what = f"the chat cannot be made a prompt ({first_line(fault)})"
            job.fail(EngineError(what, where=self.where, fix="send only what the model's chat template allows"))
        else:
            self.waiting += [Row(job, at, prompt, options, random.Random(seed)) for at, seed in enumerate(job.seeds)]

    # ---- the batch -------------------------------------------------------------------------------------------------------------

    def work(self, model: TorchModel) -> None:
        """Takes in the rows that there is room for, then makes one step."""
        try:
            self.batch.drop_finished()
            self.admit(model)
            if self.batch.rows:
                self.advance(model, self.batch, self.batch.step(model))
                self.batch.drop_finished()
            self.rows = [row for row in self.rows if row.live]
            return
        except Exception as fault:
            full, reason = _memory_is_full(fault), first_line(fault)
        rows = [row for row in self.rows if row.live]
        self.batch, self.rows = Batch(), []
        if full:
            self.retreat(model, rows)
            return
        for row in rows:
            fix = "run `usbrec doctor`; a smaller max_batch, or dtype: fp32, may help"
            row.job.fail(EngineError(f"the model failed ({reason})", where=self.where, fix=fix))

    def admit(self, model: TorchModel) -> None:
        """Reads prompts that wait, up to the limit: answers the choices, draws the replies' first tokens."""
        self.rows = [row for row in self.rows if row.live]
        self.waiting = [row for row in self.waiting if row.live]
        room = max(0, self.limit - len(self.rows))
        fresh, self.waiting = self.waiting[:room], self.waiting[room:]
        self.rows += fresh
        for lot in lots(fresh):
            batch, logits = read(model, lot)
            self.advance(model, batch, logits)
            if not lot[0].options:
                batch.drop_finished()
                self.batch.join(batch)

    def retreat(self, model: TorchModel, rows: list[Row]) -> None:
        """After a full memory: all rows wait again, and half as many are allowed at once."""
        import torch

        gc.collect()
        if model.device == "cuda":
            torch.cuda.empty_cache()
        if len(rows) == 1:
            what = f"there is not enough memory for a single prompt of {len(rows[0].prompt)} tokens"
            fix = "shorten the prompt, free memory on the device, or set dtype: bf16"
            rows[0].job.fail(EngineError(what, where=self.where, fix=fix))
            return
        self.limit = max(1, len(rows) // 2)
        self.waiting = [*rows, *self.waiting]

    # ---- what was computed -----------------------------------------------------------------------------------------------------

    def advance(self, model: TorchModel, batch: Batch, logits: Tensor) -> None:
        """One token for every reply, or the answer of every choice."""
        sound = logits.amax(-1).isfinite().tolist()
        for row, well in zip(batch.rows, sound, strict=True):
            if not well:
                row.job.fail(EngineError("the model computed no numbers (NaN)", where=self.where, fix="set dtype: bf16 or fp32"))
        if batch.rows[0].options:
            weigh(batch.rows, logits)
            return
        tokens = draw(logits, batch.rows)
        if any(row.job.sampling.logprobs for row in batch.rows):
            told = logits.float().log_softmax(-1)
            for at, token in enumerate(tokens):
                batch.rows[at].logprob += float(told[at, token])
        for row, token in zip(batch.rows, tokens, strict=True):
            if row.live:
                row.said.append(token)
                collect(model, row)


def weigh(rows: Sequence[Row], logits: Tensor) -> None:
    """Answers choices out of the logits [b, vocabulary] of the reply's first token."""
    logprobs = logits.log_softmax(-1)
    for at, row in enumerate(rows):
        shares = [math.exp(value) for value in logprobs[at, list(row.options)].tolist()]
        row.finished = True
        row.job.succeed(Choice.of(shares, prompt_tokens=len(row.prompt)))


def collect(model: TorchModel, row: Row) -> None:
    """Looks at what a reply says by now: ends it, or tells its listener."""
    job, sampling = row.job, row.job.sampling
    ended, full = row.said[-1] in model.ends, len(row.said) >= sampling.max_tokens
    if not (ended or full or sampling.stop or job.hear):
        return
    text, stopped = cut(model.text(row.said), sampling.stop)
    if not (ended or full or stopped):
        if job.hear:
            job.hear(settled(text, sampling.stop).strip())
        return
    row.finished = True
    job.done[row.index] = Completion(
        text=text.strip(),
        finish="stop" if ended or stopped else "length",
        prompt_tokens=len(row.prompt),
        completion_tokens=len(row.said),
        logprob=row.logprob / len(row.said) if sampling.logprobs else None,
    )
    if len(job.done) == len(job.seeds):
        job.succeed([job.done[at] for at in range(len(job.seeds))])


def _memory_is_full(fault: Exception) -> bool:
    import torch

    return isinstance(fault, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(fault)
