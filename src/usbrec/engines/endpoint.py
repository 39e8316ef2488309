"""One HTTP endpoint: what is asked again, how long is waited, and what the user is told meanwhile; whose fault a fault is: `whose_fault`.

A call has one deadline, `timeout_seconds`, for everything: connecting, the last byte, further attempts and the pauses between them.  Asked
again is what may pass, after a growing, jittered pause (or the server's `Retry-After`).  An endpoint that answers nobody, or wants to be
left alone for longer than the deadline, ends all calls.

Nobody waits in silence: a call that has no answer after `FIRST_WORD` seconds is told, and so is what is asked again, each at most every
`FIRST_WORD` seconds.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from usbrec.engines.openai_settings import OpenAISettings
from usbrec.engines.stats import EngineStats
from usbrec.engines.whose_fault import CHECK, Failed, failed_by, parsed, refusal
from usbrec.errors import ConfigError, EngineError, EngineReply, EngineTimeout, EngineUnavailable, UsbrecError, first_line
from usbrec.progress import note
from usbrec.redaction import keep_secret

if TYPE_CHECKING:
    import httpx

Answer = TypeVar("Answer")
Body = TypeVar("Body", bound=BaseModel)
FIRST_WORD = 30.0
_MOST_HUNG = 3
"""So many calls in a row that were never answered: the endpoint hangs, not the call."""


@dataclass
class Endpoint:
    """An endpoint, asked by whoever has a slot."""

    settings: OpenAISettings
    stats: EngineStats = field(default_factory=EngineStats)

    def __post_init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(self.settings.concurrency)
        self._answered = False
        self._hung = 0
        self._under_way = 0
        self._told: dict[str, float] = {}

    async def ask(self, path: str, body: dict[str, Any] | None, kind: type[Body], check: Callable[[Body], object], most: int) -> Body:
        """One call, asked until it is answered, is refused, or its time is over.

        Args:
            path: behind `base_url`; asked by GET where there is no body.
            check: raises EngineReply where the answer is none.
            most: bytes that an answer may have.

        Raises:
            EngineUnavailable: every other call would fail too.
            EngineError: this one did.
        """

        async def once() -> Body:
            async with self._sent(path, body) as response:
                raw = b"".join([chunk async for chunk in self._bounded(response, most)])
            answer = parsed(raw, kind, self.settings.base_url)
            check(answer)
            return answer

        async with self._call() as deadline:
            return await self._persist(once, deadline)

    async def stream(
        self, path: str, body: dict[str, Any], kind: type[Body], ends: Callable[[Body], bool], most: int
    ) -> AsyncGenerator[Body]:
        """One call whose answer comes in pieces, as server-sent events; asked again only as long as none has come.

        Args:
            ends: tells the last piece, raises EngineReply for one that is none; a stream that stops before it has broken off.

        Raises:
            EngineError: as `ask`; also after some pieces.
        """
        async with self._call() as deadline, AsyncExitStack() as stack:
            response = await self._persist(lambda: stack.enter_async_context(self._sent(path, body)), deadline)
            events, ended = self._events(response, most), False
            try:
                while True:
                    async with asyncio.timeout_at(deadline):
                        data = await anext(events, None)
                    if data is None:
                        break
                    piece = parsed(data, kind, self.settings.base_url)
                    ended = ends(piece) or ended
                    yield piece
            except Exception as raised:
                raise self._failed(raised).fault from raised
            if not ended:
                raise EngineReply("the stream of the answer broke off before its end", where=self.settings.base_url, fix=CHECK)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # ---- one call ----------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[float]:
        """A slot, and the deadline of what is asked in it, by the event loop's clock."""
        async with self._slots:
            loop, _ = asyncio.get_running_loop(), self._open()  # what it takes to begin is not the endpoint's time
            with self.stats.call(), self._watched(loop, deadline := loop.time() + self.settings.timeout_seconds):
                yield deadline

    @contextmanager
    def _watched(self, loop: asyncio.AbstractEventLoop, deadline: float) -> Iterator[None]:
        """Tells of a call that is waited for long."""
        began, until = loop.time(), time.localtime(time.time() + self.settings.timeout_seconds)

        def tell() -> None:
            waited = f"no answer yet after {loop.time() - began:.0f} s, {self._under_way} calls under way"
            self._tell("waiting", f"{waited}; given up at {time.strftime('%H:%M:%S', until)} (timeout_seconds)")
            timers.append(loop.call_later(FIRST_WORD, tell))

        timers = [loop.call_later(FIRST_WORD, tell)]
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            timers[-1].cancel()

    async def _persist(self, once: Callable[[], Awaitable[Answer]], deadline: float) -> Answer:
        loop, attempt = asyncio.get_running_loop(), 0
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await once()
            except Exception as raised:
                failed = self._failed(raised)
                if attempt >= failed.again:
                    raise failed.fault from raised
                jitter = random.Random(time.monotonic_ns()).random()
                pause = max(failed.wish, self.settings.first_pause * 2**attempt * (1 + jitter / 2))
                if loop.time() + pause >= deadline:
                    raise self._too_long(failed) from raised
            else:
                self._answered, self._hung = True, 0
                return answer
            attempt += 1
            self.stats.retries += 1
            self._tell("again", f"{failed.fault.what}; asked again in {pause:.1f} s, {attempt} of {failed.again}")
            await asyncio.sleep(pause)

    def _tell(self, kind: str, what: str) -> None:
        now = time.monotonic()
        if now - self._told.get(kind, -math.inf) >= FIRST_WORD:
            self._told[kind] = now
            note(f"{self.settings.base_url}: {what}")

    # ---- one request -------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _sent(self, path: str, body: dict[str, Any] | None) -> AsyncIterator[httpx.Response]:
        content = None if body is None else json.dumps(body).encode()
        url = f"{self.settings.base_url.rstrip('/')}/{path}"
        async with self._open().stream("GET" if body is None else "POST", url, content=content) as response:
            if not response.is_success:
                self._answered, self._hung = True, 0
                raise await refusal(response, self.settings)
            yield response

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            headers = {"Content-Type": "application/json", **authorization(self.settings.api_key_env)}
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=self.settings.concurrency)
            try:  # no redirects: they would carry prompts, and turn them into GETs
                self._client = httpx.AsyncClient(headers=headers, timeout=None, limits=limits, follow_redirects=False)
            except (ValueError, ImportError, OSError) as fault:  # what the environment says of proxies and certificates
                raise EngineUnavailable(f"cannot be asked ({first_line(fault)})", where=self.settings.base_url,
                                        fix="check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE") from fault  # fmt: skip
        return self._client

    async def _bounded(self, response: httpx.Response, most: int) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in response.aiter_bytes():
            read += len(chunk)
            if read > most:
                raise EngineReply(f"the answer is longer than {most:,} bytes, far more than was asked for", where=self.settings.base_url)
            yield chunk

    async def _events(self, response: httpx.Response, most: int) -> AsyncIterator[bytes]:
        """The data of each server-sent event."""
        rest = b""
        async for chunk in self._bounded(response, most):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                data = line.removeprefix(b"data:").strip()
                if data == b"[DONE]":
                    return
                if data and line.startswith(b"data:"):
                    yield data

    def _failed(self, raised: Exception) -> Failed:
        return Failed(self._timeout()) if isinstance(raised, TimeoutError) else failed_by(raised, self.settings)

    def _timeout(self) -> EngineError:
        """Of this call; or of all, where nobody is answered."""
        self._hung += 1
        what, fix = f"no whole answer within {self.settings.timeout_seconds:g} s", "raise timeout_seconds, or lower concurrency"
        if not self._answered:
            return EngineUnavailable(f"{what}, and none to any other call so far", where=self.settings.base_url, fix=fix)
        if self._hung >= _MOST_HUNG:
            return EngineUnavailable(f"{what}, {self._hung} times in a row: it hangs", where=self.settings.base_url, fix=fix)
        return EngineTimeout(what, where=self.settings.base_url, fix=fix)

    def _too_long(self, failed: Failed) -> UsbrecError:
        if not failed.wish:
            return failed.fault
        return EngineUnavailable(
            f"{failed.fault.what}; it asks to be left alone for {failed.wish:.0f} s, longer than timeout_seconds "
            f"({self.settings.timeout_seconds:g}) allows",
            where=self.settings.base_url, fix="run the same command again then (what is finished is kept), or raise timeout_seconds",
        )  # fmt: skip


def authorization(name: str) -> dict[str, str]:
    """The header with the key that an environment variable holds; none where there is no key.

    Raises:
        ConfigError: what it holds fits into no header.
    """
    key = os.environ.get(name, "").strip()
    if not key:
        return {}
    scheme, value = key.split(" ", 1) if " " in key else ("Bearer", key)
    keep_secret(key, value, value.partition(":")[2])
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the environment variable {name} holds a line break or a letter that no key has", fix="set it to the key alone")
    if scheme.lower() == "basic" and ":" in value:
        value = base64.b64encode(value.encode()).decode()
        keep_secret(value)
    return {"Authorization": f"{scheme} {value}"}
