"""An OpenAI-compatible endpoint with fixed latencies and no model: `python -m benchmarks.loopback REPLIES.json` prints its port.

The first token comes after 40 ms, each further one after 12 ms, however many requests are under way.  What is said follows from the
request alone: from its seed and messages one of the replies; with a hint in the prompt, an offer of that item in nine of ten cases; where
a vote is asked for, a grade.  A token is 0.75 words.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import sys
from pathlib import Path
from typing import Any

FIRST, EACH, WORDS = 0.040, 0.012, 0.75
TAKEN_UP = 0.9
_OFFERS = ("Have you seen {}?", "I think you would like {}, it is a good one.", "You should try {} then!", "How about {}? I loved it.")


def text_of(request: dict[str, Any], replies: list[str], index: int) -> str:
    """One sample's text."""
    warm = request.get("temperature", 1.0) > 0
    last = request["messages"][-1]["content"]
    rng = random.Random(f"{json.dumps(request['messages'])} {request.get('seed') if warm else ''} {index if warm else ''}")
    if request.get("max_tokens", 99) <= 4:
        return rng.choice("012")
    hint = re.search(r":\s*(.+?\(\d{4}\))\.?\s*$", last) if request["messages"][-1]["role"] == "system" else None
    if hint and rng.random() < TAKEN_UP:
        return rng.choice(_OFFERS).format(hint[1])
    return rng.choice(replies)


def tokens_of(text: str) -> int:
    return max(1, round(len(text.split()) / WORDS))


def seconds_of(tokens: int) -> float:
    """How long the answer takes that has so many tokens."""
    return FIRST + EACH * (tokens - 1)


async def application(replies: list[str]) -> Any:
    """The ASGI application."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def completions(request: Request) -> JSONResponse:
        asked = await request.json()
        texts = [text_of(asked, replies, index) for index in range(asked.get("n") or 1)]
        limit = asked.get("max_tokens") or asked.get("max_completion_tokens") or 64
        counts = [min(tokens_of(text), limit) for text in texts]
        await asyncio.sleep(seconds_of(max(counts)))
        choices = [
            {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, "logprobs": _grades(asked)}
            for index, text in enumerate(texts)
        ]
        prompt = sum(tokens_of(message["content"]) for message in asked["messages"])
        usage = {"prompt_tokens": prompt, "completion_tokens": sum(counts), "total_tokens": prompt + sum(counts)}
        return JSONResponse({"id": "0", "object": "chat.completion", "created": 0, "model": "loopback", "choices": choices, "usage": usage})

    async def models(_: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": [{"id": "loopback", "object": "model", "created": 0, "owned_by": "benchmarks"}]})

    return Starlette(routes=[Route("/v1/chat/completions", completions, methods=["POST"]), Route("/v1/models", models)])


def _grades(asked: dict[str, Any]) -> dict[str, Any] | None:
    if not asked.get("logprobs"):
        return None
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in (("1", -0.7), ("2", -1.2), ("0", -1.6))]
    return {"content": [{**top[0], "top_logprobs": top}]}


async def serve(replies: list[str]) -> None:
    """Until it is terminated."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(await application(replies), log_level="error", access_log=False)
    await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
