"""The child process of the embedded engine: JSON lines in on stdin, JSON lines out on stdout.

It exists because a step of OpenVINO GenAI holds the interpreter lock and a native fault kills the process (docs/log.md).  The parent
(`usbrec.engines.openvino`) supervises it.  A reader thread fills a queue; the main thread takes requests off the queue, steps the batch and
writes what is ready; with nothing to do it sleeps on the queue.  It ends with its parent, and at the end of stdin.

`import openvino` would count its uses in `~/intel` and fork a process that reports each to www.google-analytics.com; beside the reader
thread that process waited for ever for the lock on stdin, with the worker's pipes open.  So the package that does so is hidden from it.

In, one object a line (the first is the start):
    {"path", "digest", "weights", "cache_gb", "max_batch", "max_batched_tokens", "properties", "exact"}
    {"op": "chat", "id", "messages", "temperature", "top_p", "max_tokens", "stop", "seeds", "stream"}     one sample per seed
    {"op": "choose", "id", "messages", "options"}
    {"op": "cancel", "id"}
Out:
    {"alive": true} for each tensor that is rewritten; {"ready": {"context"}} or {"fatal", "fix"}, once; then
    {"id", "text"} the whole text so far of a streamed sample; {"id", "samples": [...]}, {"id", "choice": {...}} or {"id", "error"}
    {"alive": true} at least every second while it works.

`choose` reads the exact log-probability of each option.  The log-probability that OpenVINO GenAI reports for a token is taken from the
whole distribution, *before* a grammar narrows it down; so one greedy token under a grammar that admits only the option gives its
probability, without drawing anything.  An option of several characters may come out as a shorter token that begins it; then
beams of one token (docs/log.md) are asked, and an option that is not even among the 256 most probable tokens counts as the least of them
(`exact` is then false).
"""

from __future__ import annotations

import json
import math
import os
import queue
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

from usbrec import gguf_header
from usbrec.engines.child import follow_parent
from usbrec.engines.openvino_exact import Company, Room
from usbrec.engines.openvino_jobs import Job, Line, Sample, reason_of, small, window_of
from usbrec.engines.rendition import rendition
from usbrec.engines.stops import cut, settled
from usbrec.errors import UsbrecError

BEAMS = (32, 256)
SHARED = 0.5
"""A prompt waits for another one that begins alike for this share of its length: read once instead of twice."""


def genai() -> Any:
    """The package openvino_genai, without telemetry: hidden, its own stub stands in for it."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino_genai

    return openvino_genai


class Worker:
    """The pipeline and the jobs in it."""

    def __init__(self, start: Line, out: int) -> None:
        self.out, self.serial, self.spoke = out, 0, 0.0
        path = Path(start["path"])
        if path.is_file():
            header = gguf_header.read(path)
            self.context = header.context
            if start["weights"] == "q8_0":
                path = rendition(path, header, start["digest"], lambda: self.say({"alive": True}))
        else:
            self.context = window_of(path)
        self.ov = ov = genai()
        scheduler = ov.SchedulerConfig()
        scheduler.cache_size = start["cache_gb"]
        scheduler.max_num_seqs = start["max_batch"]
        longest = max(self.context or 0, start["max_batched_tokens"])
        scheduler.max_num_batched_tokens = 2 * longest + start["max_batch"] if start["exact"] else start["max_batched_tokens"]
        scheduler.enable_prefix_caching = not start["exact"]
        scheduler.dynamic_split_fuse = True
        self.pipe = ov.ContinuousBatchingPipeline(str(path), scheduler, "CPU", start["properties"])
        self.tokenizer = self.pipe.get_tokenizer()
        self.jobs: dict[int, Job] = {}
        self.room: Room | None = None
        if start["exact"]:
            self.room = Room(Company(ov, self.pipe), self.pipe, samples=start["max_batch"], tokens=start["max_batched_tokens"])
        self.leaving: list[Sample] = []
        """Cancelled, and in the batch until its next step."""
        self.held: list[tuple[Job, Job]] = []
        """Jobs that wait, none of their samples added, until another one's prompt has been read: theirs begins alike."""

    # ---- lines in --------------------------------------------------------------------------------------------------------------

    def take(self, line: Line) -> None:
        """One request of the parent; a fault of the request answers it, and only it."""
        if line["op"] == "cancel":
            self.cancel(line["id"])
            return
        try:
            job = self.job(line)
        except Exception as fault:
            self.fail(line["id"], fault)
            return
        self.jobs[line["id"]] = job
        if self.room:
            self.admit(self.room)
        elif leader := self.leader(job):
            self.held.append((job, leader))
        else:
            self.begin(job)

    def job(self, line: Line) -> Job:
        """The request as a job, its prompt in tokens.

        Raises:
            ValueError: its prompt, or the longest reply that it allows, is too long.
        """
        text: str = self.tokenizer.apply_chat_template(line["messages"], add_generation_prompt=True)
        ids = self.tokenizer.encode(text, add_special_tokens=False).input_ids
        count = len(line["seeds"] if line["op"] == "chat" else line["options"])
        job = Job(line, text, ids, waiting=list(range(count)))
        if self.context and job.length + job.most > self.context:
            raise ValueError(f"the prompt has {job.length} tokens and the reply may have {job.most}: more than the model's {self.context}")
        if self.room and not self.room.ever(job.length, job.most):
            raise ValueError(small(job.length))
        return job

    def leader(self, job: Job) -> Job | None:
        """A job whose prompt is being read and begins as this one's does, for at least `SHARED` of its length."""
        share = round(len(job.prompt) * SHARED)
        begin = job.prompt[:share]
        return next((other for other in self.jobs.values() if other.running and not other.read and other.prompt[:share] == begin), None)

    def release(self) -> None:
        """Adds the jobs whose leader's prompt is read, or is gone."""
        held, self.held = self.held, []
        for job, leader in held:
            if self.jobs.get(job.line["id"]) is not job:
                continue
            if not leader.read and self.jobs.get(leader.line["id"]) is leader:
                self.held.append((job, leader))
                continue
            self.begin(job)

    def begin(self, job: Job) -> None:
        """Adds the next sample; the first fills the prefix cache for the others."""
        try:
            self.add(job, job.waiting.pop(0))
        except Exception as fault:
            self.fail(job.line["id"], fault)

    def admit(self, room: Room) -> None:
        """Adds the samples for which there is room, in their order."""
        for job in [job for job in self.jobs.values() if job.waiting]:
            while job.waiting and job.line["id"] in self.jobs:
                running = [sample for other in self.jobs.values() for sample in other.running.values()]
                if not room.now(job.length, job.most, running + self.leaving):
                    return
                self.begin(job)

    def fail(self, number: int, fault: Exception) -> None:
        """Answers a request with its fault, and forgets it."""
        self.cancel(number)
        self.say({"id": number, "error": reason_of(fault)})

    def add(self, job: Job, index: int) -> None:
        config = self.sampled(job.line, index) if job.line["op"] == "chat" else self.scored(job.line["options"][index])
        handle = self.pipe.add_request(self.number(), job.ids, config)
        job.running[index] = Sample(handle, job.length, job.most, tuple(job.line.get("stop", ())))

    def number(self) -> int:
        """Of the next request; 0 is the company's."""
        self.serial += 1
        return self.serial

    def sampled(self, line: Line, index: int) -> Any:
        config = self.pipe.get_config()
        config.max_new_tokens = line["max_tokens"]
        config.apply_chat_template = False
        if line["stop"]:
            config.stop_strings = set(line["stop"])
            config.include_stop_str_in_output = True
        config.logprobs = int(line.get("logprobs", False))
        config.do_sample = line["temperature"] > 0
        if config.do_sample:
            config.temperature, config.top_p, config.rng_seed = line["temperature"], line["top_p"], line["seeds"][index]
        return config

    def scored(self, option: str) -> Any:
        ids = self.tokenizer.encode(option, add_special_tokens=False).input_ids.data.tolist()[0]
        if len(ids) != 1:
            raise ValueError(f"the option {option!r} is {len(ids)} tokens for this model; each option must be one token")
        config = self.pipe.get_config()
        config.max_new_tokens, config.logprobs, config.do_sample, config.apply_chat_template = 1, 1, False, False
        config.structured_output_config = self.ov.StructuredOutputConfig(regex=re.escape(option))
        return config

    def cancel(self, number: int) -> None:
        job = self.jobs.pop(number, None)
        for sample in job.running.values() if job else ():
            sample.handle.cancel()
            self.leaving.append(sample)

    # ---- the batch -------------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One step of the batch, then everything that it made ready."""
        self.advance()
        for job in list(self.jobs.values()):
            try:
                self.collect(job)
            except Exception as fault:
                self.fail(job.line["id"], fault)
        if self.room:
            self.admit(self.room)
            if not self.jobs:
                self.room.company.go()
        elif self.held:
            self.release()
        if time.monotonic() - self.spoke > 1:
            self.say({"alive": True})

    def advance(self) -> None:
        """One token more for all who read or write."""
        if self.room and self.jobs:
            self.room.company.keep()
        if self.pipe.has_non_finished_requests():
            self.pipe.step()
        self.leaving = []

    def collect(self, job: Job) -> None:
        finished = []
        for index, sample in job.running.items():
            while sample.handle.can_read():
                for piece in sample.handle.read().values():
                    sample.ids += piece.generated_ids
                    sample.logprobs += piece.generated_log_probs
                    sample.cut = piece.finish_reason == self.ov.GenerationFinishReason.LENGTH
            if sample.handle.get_status() != self.ov.GenerationStatus.RUNNING:
                finished.append(index)
        job.read = job.read or bool(finished) or any(sample.ids for sample in job.running.values())
        if job.waiting and job.running and job.read and not self.room:
            for index in job.waiting:
                self.add(job, index)
            job.waiting = []
        if job.line.get("stream"):
            self.speak(job)
        for index in finished:
            job.done[index] = self.finish(job, index, job.running.pop(index))
        if not job.running and not job.waiting:
            self.answer(job)
            del self.jobs[job.line["id"]]

    def finish(self, job: Job, index: int, sample: Sample) -> Line:
        status = sample.handle.get_status()
        if status == self.ov.GenerationStatus.IGNORED or not sample.ids:
            raise ValueError(small(sample.prompt_tokens))
        if job.line["op"] == "choose":
            return {"id": sample.ids[0], "logprob": sample.logprobs[0], "prompt_tokens": sample.prompt_tokens}
        text, stopped = self.text_of(sample)
        return {
            "text": text.strip(),
            "finish": "length" if sample.cut and not stopped else "stop",
            "prompt_tokens": sample.prompt_tokens,
            "completion_tokens": len(sample.ids),
            "logprob": sum(sample.logprobs) / len(sample.logprobs) if job.line.get("logprobs") and sample.logprobs else None,
        }

    def text_of(self, sample: Sample) -> tuple[str, bool]:
        """What was said, up to the first stop string; and whether there was one."""
        return cut(self.tokenizer.decode(sample.ids), sample.stop)

    def speak(self, job: Job) -> None:
        sample = job.running.get(0)
        if sample is None or not sample.ids:
            return
        safe = settled(self.text_of(sample)[0], sample.stop).lstrip()
        if len(safe) > len(job.said):
            job.said = safe
            self.say({"id": job.line["id"], "text": safe})

    # ---- lines out -------------------------------------------------------------------------------------------------------------

    def answer(self, job: Job) -> None:
        number, ordered = job.line["id"], [job.done[index] for index in sorted(job.done)]
        if job.line["op"] == "chat":
            self.say({"id": number, "samples": ordered})
        else:
            self.say({"id": number, "choice": self.choice(job, ordered)})

    def choice(self, job: Job, scored: list[Line]) -> Line:
        options = [self.tokenizer.encode(o, add_special_tokens=False).input_ids.data.tolist()[0][0] for o in job.line["options"]]
        logprobs: list[float | None] = [s["logprob"] if s["id"] == o else None for s, o in zip(scored, options, strict=True)]
        bound = 0.0
        for beams in BEAMS:
            if None in logprobs:
                table = self.beams(job.ids, beams)
                logprobs = [known if known is not None else table.get(o) for known, o in zip(logprobs, options, strict=True)]
                bound = min(table.values())
        exact = None not in logprobs
        return {
            "logprobs": [bound if value is None else value for value in logprobs],
            "exact": exact,
            "prompt_tokens": scored[0]["prompt_tokens"],
        }

    def beams(self, ids: Any, count: int) -> dict[int, float]:
        """The log-probabilities of the `count` most probable first tokens after a prompt, by token."""
        config = self.pipe.get_config()
        config.num_beams = config.num_return_sequences = count
        config.max_new_tokens, config.apply_chat_template = 1, False
        handle = self.pipe.add_request(self.number(), ids, config)
        while handle.get_status() == self.ov.GenerationStatus.RUNNING:
            self.advance()
        table = {output.generated_ids[0]: output.score for output in handle.read_all() if math.isfinite(output.score)}
        if not table:
            raise ValueError("the model's memory is too small to rank first tokens; give it more cache_gb")
        return table

    def say(self, line: Line) -> None:
        self.spoke = time.monotonic()
        write(self.out, line)


def write(out: int, line: Line) -> None:
    data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
    try:
        while data:
            data = data[os.write(out, data) :]
    except OSError:
        os._exit(0)


def read(lines: queue.SimpleQueue[Line]) -> None:
    """The reader thread: ends the process with the parent."""
    for raw in sys.stdin.buffer:
        lines.put(json.loads(raw))
    os._exit(0)


def main() -> None:
    """Serves one parent, whose process id is the argument, until stdin ends."""
    follow_parent(int(sys.argv[1]))
    out = os.dup(1)
    os.dup2(2, 1)
    lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
    threading.Thread(target=read, args=(lines,), daemon=True).start()
    start = lines.get()
    try:
        worker = Worker(start, out)
    except UsbrecError as fault:
        write(out, {"fatal": fault.what, "fix": fault.fix})
        return
    except Exception as fault:
        write(out, {"fatal": reason_of(fault)})
        return
    write(out, {"ready": {"context": worker.context}})
    while True:
        if not worker.jobs and not worker.pipe.has_non_finished_requests():
            worker.take(lines.get())
        while not lines.empty():
            worker.take(lines.get())
        worker.step()


if __name__ == "__main__":
    main()
