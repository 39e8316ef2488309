"""What the machine allows: memory bandwidth, matrix products, and how near the engine and the training come to them."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from usbrec import models
from usbrec.engine import ChatMessage, Engine, Sampling
from usbrec.engines.scripted import ScriptedEngine
from usbrec.weights import folder_of

TOKENS, AT_ONCE, POSITIONS = 40, 64, 1024


def main(
    run: Annotated[Path, typer.Argument(help="A finished run: its prompts, and its RL model.")],
    rounds: Annotated[int, typer.Option(help="How often each figure is taken; the median counts.")] = 5,
    out: common.Out = common.OUT,
) -> None:
    """Bandwidth and matrix products of this machine; the engine against both."""
    trained = common.Trained(run, "rl")
    file = models.resolve(trained.engine_config.model)
    assert file.gguf is not None
    stored, linear = file.gguf.stat().st_size, _linear_weights(file.gguf)
    engine = asyncio.run(_engine(trained, rounds))
    bandwidth, product = _bandwidth(rounds), _products(linear, rounds)
    single, reading = bandwidth / stored, {name: rate / (2 * sum(a * b for a, b in linear)) for name, rate in product.items()}
    table = [
        {"what": "one reply alone, tok/s", "measured": engine["alone"], "limit": single, "share": engine["alone"] / single,
         "the limit": f"every weight is read for every token: {bandwidth / 1e9:.1f} GB/s over {stored / 1e6:.0f} MB"},
        *(
            {"what": "reading prompts, tok/s", "measured": engine["reading"], "limit": limit, "share": engine["reading"] / limit,
             "the limit": f"two operations a weight and token: {product[name] / 1e9:,.0f} G/s in {name}"}
            for name, limit in reading.items()
        ),
        {"what": f"{AT_ONCE} replies at once, tok/s", "measured": engine["together"], "limit": max(reading.values()),
         "share": engine["together"] / max(reading.values()), "the limit": "as reading, were a token's attention and sampling free"},
    ]  # fmt: skip
    notes = [
        f"The run's RL model. Alone and at once: {TOKENS} tokens after a prompt that is in the cache already. Reading: prompts that share"
        f" nothing. Products: the model's own linear layers on {POSITIONS} positions, by torch, all cores. Bandwidth: the maximum of 1 GiB,"
        " all cores."
    ]
    details = {"bandwidth": bandwidth, "products": product, "engine": engine}
    common.write(out, "limits", "What the machine allows", table, {}, notes, details)


def _linear_weights(gguf: Path) -> list[tuple[int, int]]:
    """(in, out) of every linear layer inside the blocks."""
    from safetensors import safe_open

    found = []
    with safe_open(folder_of(gguf) / "model.safetensors", "pt") as file:
        for name in file.keys():  # noqa: SIM118
            shape = file.get_slice(name).get_shape()
            if ".layers." in name and len(shape) == 2:
                found.append((shape[1], shape[0]))
    return found


def _median(work: Callable[[], Any], rounds: int) -> float:
    """Seconds."""
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _bandwidth(rounds: int) -> float:
    """Bytes read a second."""
    import numpy as np

    cores = len(os.sched_getaffinity(0))
    parts = [np.ones((1 << 27) // cores, dtype=np.int64) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        return sum(part.nbytes for part in parts) / _median(lambda: list(pool.map(np.max, parts)), rounds)


def _products(shapes: Sequence[tuple[int, int]], rounds: int) -> dict[str, float]:
    """Operations a second over the shapes, in 8 bits and in bfloat16."""
    import torch

    some = shapes[:28]  # four layers: enough to leave the cache
    operations, found = 2 * POSITIONS * sum(a * b for a, b in some), {}
    floats = [(torch.randn(POSITIONS, a, dtype=torch.bfloat16), torch.randn(a, b, dtype=torch.bfloat16)) for a, b in some]
    found["bfloat16"] = operations / _median(lambda: [x @ w for x, w in floats], rounds)
    whole = [
        (torch.randint(-99, 99, (POSITIONS, a), dtype=torch.int8), torch.randint(-99, 99, (b, a), dtype=torch.int8).t()) for a, b in some
    ]
    found["8 bits"] = operations / _median(lambda: [torch._int_mm(x, w) for x, w in whole], rounds)
    return found


async def _engine(trained: common.Trained, rounds: int) -> dict[str, float]:
    """Tokens a second of the embedded engine."""
    speaker = trained.assembly(silent := ScriptedEngine(), trained.recipe).recommender(silent)  # asked for its prompts only
    chats = [speaker.messages(row.dialogue) for row in trained.rows(AT_ONCE * (rounds + 1))]
    engine = trained.engine()
    try:
        alone, together, reading = [], [], []
        for number in range(rounds):
            part = chats[number * AT_ONCE : (number + 1) * AT_ONCE]
            alone.append((await _rates(engine, part[:1], True))["generated"])
            together.append((await _rates(engine, part, True))["generated"])
        for number in range(rounds):
            strange = [_unlike(chat, f"{number}.{index}") for index, chat in enumerate(chats[:16])]
            reading.append((await _rates(engine, strange, False))["prompt"])
    finally:
        await engine.close()
    return {"alone": statistics.median(alone), "together": statistics.median(together), "reading": statistics.median(reading)}


def _unlike(chat: Sequence[ChatMessage], mark: str) -> list[ChatMessage]:
    """The same chat with another beginning, so that no prefix of it is in the cache."""
    return [chat[0].model_copy(update={"content": f"{mark} {chat[0].content}"}), *chat[1:]]


async def _rates(engine: Engine, chats: Sequence[Sequence[ChatMessage]], warm: bool) -> dict[str, float]:
    """Tokens a second, of prompts and of replies; `warm`: the prompts have been read before."""
    tokens = TOKENS if warm else 1
    if warm:
        await asyncio.gather(*(engine.chat(chat, sampling=Sampling(max_tokens=1)) for chat in chats))
    began = time.perf_counter()
    drawn = await asyncio.gather(*(engine.chat(chat, sampling=Sampling(max_tokens=tokens)) for chat in chats))
    seconds = time.perf_counter() - began
    completions = [completion for reply in drawn for completion in reply]
    return {
        "prompt": sum(completion.prompt_tokens for completion in completions) / seconds,
        "generated": sum(completion.completion_tokens for completion in completions) / seconds,
    }
