"""Table d: the engines against each other on the same file and the same prompts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from usbrec import models
from usbrec.engine import ChatMessage, Sampling
from usbrec.engines import EngineConfig, OpenVINOSettings, TransformersSettings, connect
from usbrec.engines.scripted import ScriptedEngine
from usbrec.progress import progress

TOKENS = 40


@dataclass(frozen=True)
class Contestant:
    """One engine: how it answers a prompt with at most so many tokens."""

    name: str
    ask: Callable[[Sequence[ChatMessage], int], Awaitable[tuple[int, int]]]
    """-> (prompt tokens, generated tokens)"""
    close: Callable[[], Awaitable[None]]


def main(
    run: Annotated[Path, typer.Argument(help="A finished run: its prompts, and its RL model.")],
    prompts: Annotated[int, typer.Option(help="Different prompts, asked all at once.")] = 32,
    single: Annotated[int, typer.Option(help="Prompts asked one after the other.")] = 8,
    out: common.Out = common.OUT,
) -> None:
    """The embedded engine, transformers and llama.cpp on one GGUF file: tokens a second, alone and together."""
    asyncio.run(_main(common.Trained(run, "rl"), prompts, single, out))


async def _main(trained: common.Trained, prompts: int, single: int, out: Path) -> None:
    model = trained.engine_config.model
    speaker = trained.assembly(silent := ScriptedEngine(), trained.recipe).recommender(silent)  # asked for its prompts only
    rows = trained.rows(prompts + 2 * single + 1)
    chats = [speaker.messages(row.dialogue) for row in rows]
    table = []
    makers: tuple[Callable[[], Contestant], ...] = (
        lambda: _ours("openvino", OpenVINOSettings(model=model)),
        lambda: _ours("transformers, bf16", TransformersSettings(model=model, dtype="bf16")),
        lambda: _llama(model),
    )
    for make in makers:
        contestant = make()
        with progress(contestant.name, 3) as bar:
            await contestant.ask(chats[-1], 2)  # it starts
            alone = await _serial(contestant, chats[:single], TOKENS)
            bar.advance()
            reading = await _serial(contestant, chats[single : 2 * single], 1)
            bar.advance()
            together = await _together(contestant, chats[2 * single : 2 * single + prompts])
            bar.advance()
        await contestant.close()
        table.append({"engine": contestant.name, "alone, tok/s": alone["generated"], "reading, tok/s": reading["prompt"],
                      f"{prompts} at once, tok/s": together["generated"], "replies/min": together["replies"]})  # fmt: skip
    letters = sum(len(message.content) for chat in chats for message in chat) // len(chats)
    notes = [
        f"The run's RL model, real prompts of about {letters} characters, greedy, at most {TOKENS} tokens. Alone: one prompt after the"
        " other, generated tokens by the whole time. Reading: prompt tokens by the time of a reply of one token. No prompt is asked twice."
    ]
    common.write(out, "engines", "Engines on the same file", table, {}, notes)


async def _serial(contestant: Contestant, chats: Sequence[Sequence[ChatMessage]], tokens: int) -> dict[str, float]:
    began = time.perf_counter()
    counts = [await contestant.ask(chat, tokens) for chat in chats]
    return _rates(counts, time.perf_counter() - began)


async def _together(contestant: Contestant, chats: Sequence[Sequence[ChatMessage]]) -> dict[str, float]:
    began = time.perf_counter()
    counts = await asyncio.gather(*(contestant.ask(chat, TOKENS) for chat in chats))
    return _rates(counts, time.perf_counter() - began)


def _rates(counts: Sequence[tuple[int, int]], seconds: float) -> dict[str, float]:
    prompt, generated = (sum(column) for column in zip(*counts, strict=True))
    return {"prompt": prompt / seconds, "generated": generated / seconds, "replies": 60 * len(counts) / seconds}


def _ours(name: str, config: EngineConfig) -> Contestant:
    engine = connect(config)

    async def ask(chat: Sequence[ChatMessage], tokens: int) -> tuple[int, int]:
        (completion,) = await engine.chat(chat, sampling=Sampling(max_tokens=tokens))
        return completion.prompt_tokens, completion.completion_tokens

    return Contestant(name, ask, engine.close)


def _llama(model: str) -> Contestant:
    """llama.cpp's own server, in this process, as `xllamacpp` brings it."""
    import xllamacpp

    params: Any = xllamacpp.CommonParams()
    params.model.path = str(models.resolve(model).gguf)
    params.n_parallel, params.n_ctx, params.cpuparams.n_threads = 32, 32 * 1024, common.machine()["cores"]
    params.cpuparams_batch.n_threads = params.cpuparams.n_threads
    server = xllamacpp.Server(params)

    async def ask(chat: Sequence[ChatMessage], tokens: int) -> tuple[int, int]:
        request = {"messages": [{"role": m.role, "content": m.content} for m in chat], "max_tokens": tokens, "temperature": 0}
        usage = (await asyncio.to_thread(server.handle_chat_completions, request))["usage"]
        return usage["prompt_tokens"], usage["completion_tokens"]

    async def close() -> None:
        nonlocal server
        del server

    return Contestant("llama.cpp (xllamacpp)", ask, close)
