"""One HTTP endpoint: what is asked again, how long is waited, what the user is told meanwhile, and whose fault a fault is.

A call has one deadline, `timeout_seconds`, for everything: connecting, the last byte, further attempts and the pauses between them.  Asked
again is what may pass: 408, 409, 425, 429, 5xx and cut connections after a growing, jittered pause (or the server's `Retry-After`); an
answer that is no answer (no choices, HTML, broken JSON) at most twice more.  Never asked again is a refusal (400, 413, 422 ...), which is
this call's alone.  `EngineUnavailable`, which ends all calls, is what every other call would meet too: no connection, no such model, a
key that is not accepted, a wish to be left alone for longer than the deadline, an endpoint that hangs.

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
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from usbrec.engines.stats import EngineStats
from usbrec.errors import ConfigError, EngineError, EngineReply, EngineTimeout, EngineUnavailable, UsbrecError, first_line
from usbrec.progress import note
from usbrec.redaction import keep_secret, plain_url, redacted, variable
from usbrec.settings import Settings

if TYPE_CHECKING:
    import httpx

Answer = TypeVar("Answer")
Body = TypeVar("Body", bound=BaseModel)
FIRST_WORD = 30.0
_BAD_REPLIES = 2
_MOST_HUNG = 3
"""So many calls in a row that were never answered: the endpoint hangs, not the call."""
_MAY_PASS = (408, 409, 425, 429)
_FOR_ALL = (401, 402, 403, 404, 405, 407)
_FILTERED = re.compile(r"moderat|flagged|content.{0,3}(filter|policy)", re.IGNORECASE)
"""What a 403 says that is about what was asked, not about the key."""
_ERROR_BYTES = 65_536
_CHECK = "check that base_url is that of an OpenAI-compatible server and ends in /v1"


class OpenAISettings(Settings):
    """`openai`: an OpenAI-compatible endpoint."""

    kind: Literal["openai"] = "openai"
    model: str = Field(min_length=1)
    """As the endpoint names it; with vLLM also the name of a LoRA adapter."""
    base_url: Annotated[str, AfterValidator(plain_url)] = "http://127.0.0.1:8000/v1"
    """Up to and with `/v1`; without a user name and password, which belong into the variable of `api_key_env`."""
    api_key_env: Annotated[str, AfterValidator(variable)] = "OPENAI_API_KEY"
    """The environment variable that holds the key; a local server needs none.  The key itself is never written anywhere.  `Basic
    USER:PASSWORD` (or any scheme and its value) is sent as it stands, for a proxy that asks for that."""
    concurrency: int = Field(default=64, ge=1)
    """Most requests under way."""
    timeout_seconds: float = Field(default=300, gt=0)
    """A call must be answered, to the last byte, within this time; further attempts and pauses included."""
    retries: int = Field(default=5, ge=0)
    """Further attempts after 429, 5xx or a cut connection."""
    votes: int = Field(default=16, ge=1)
    """Replies that a judge draws where the endpoint offers no log-probabilities to choose by."""
    first_pause: float = Field(default=0.5, ge=0)
    """Seconds before the second attempt; doubled each time."""

    def identity(self) -> dict[str, Any]:
        """What changes what is said: for fingerprints."""
        return self.model_dump(mode="json", include={"kind", "model", "base_url", "votes"})


def named(where: str, **settings: Any) -> OpenAISettings:
    """An endpoint that is named on the command line.

    Raises:
        ConfigError: its address cannot be used, or the key itself is given.
    """
    try:
        return OpenAISettings(**settings)
    except ValidationError as fault:
        what, _, fix = fault.errors()[0]["msg"].removeprefix("Value error, ").partition("; ")
        raise ConfigError(what, where=where, fix=fix) from None


class Refused(EngineError):
    """The endpoint will never accept this request as it stands."""


@dataclass
class _Failed(Exception):
    """An attempt that failed."""

    fault: UsbrecError
    again: int = 0
    """How often such a call is asked again at most."""
    wish: float = 0.0
    """Seconds that the server asks to be left alone."""


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
            answer = self._parsed(raw, kind)
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
                    piece = self._parsed(data, kind)
                    ended = ends(piece) or ended
                    yield piece
            except Exception as raised:
                raise self._failed(raised).fault from raised
            if not ended:
                raise EngineReply("the stream of the answer broke off before its end", where=self.settings.base_url, fix=_CHECK)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # ---- one call ----------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[float]:
        """A slot, and the deadline of what is asked in it, by the event loop's clock."""
        async with self._slots:
            loop = asyncio.get_running_loop()
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
                raise await self._refusal(response)
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

    def _parsed(self, raw: bytes, kind: type[Body]) -> Body:
        where = self.settings.base_url
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as fault:
            what = "an HTML page" if raw.lstrip()[:1] == b"<" else f"no JSON ({first_line(fault)})" if raw.strip() else "empty"
            raise EngineReply(f"the answer is {what}", where=where, fix=_CHECK) from None
        try:
            return kind.model_validate(value)
        except ValidationError as fault:
            first = fault.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the whole"
            raise EngineReply(f"the answer breaks the protocol ({place}: {first['msg']})", where=where, fix=_CHECK) from None

    # ---- whose fault -------------------------------------------------------------------------------------------------------------

    def _failed(self, raised: Exception) -> _Failed:
        """What became of an attempt."""
        import httpx

        where, settings = self.settings.base_url, self.settings
        if isinstance(raised, _Failed):
            return raised
        if isinstance(raised, EngineReply):
            return _Failed(raised, min(_BAD_REPLIES, settings.retries))
        if isinstance(raised, UsbrecError):
            return _Failed(raised)
        if isinstance(raised, TimeoutError):
            return _Failed(self._timeout())
        reason = first_line(raised)
        if isinstance(raised, httpx.ConnectError | httpx.ProxyError | httpx.InvalidURL):
            fix = "start the server, or correct base_url" + (" (does it speak plain http?)" if "SSL" in reason else "")
            return _Failed(EngineUnavailable(f"cannot be reached ({reason})", where=where, fix=fix), settings.retries)
        if isinstance(raised, httpx.TransportError):
            what = f"the connection was cut ({reason})"
            return _Failed(EngineError(what, where=where, fix="look into the server's log"), settings.retries)
        return _Failed(EngineReply(f"the answer cannot be read ({reason})", where=where, fix=_CHECK), min(_BAD_REPLIES, settings.retries))

    def _timeout(self) -> EngineError:
        """Of this call; or of all, where nobody is answered."""
        self._hung += 1
        what, fix = f"no whole answer within {self.settings.timeout_seconds:g} s", "raise timeout_seconds, or lower concurrency"
        if not self._answered:
            return EngineUnavailable(f"{what}, and none to any other call so far", where=self.settings.base_url, fix=fix)
        if self._hung >= _MOST_HUNG:
            return EngineUnavailable(f"{what}, {self._hung} times in a row: it hangs", where=self.settings.base_url, fix=fix)
        return EngineTimeout(what, where=self.settings.base_url, fix=fix)

    def _too_long(self, failed: _Failed) -> UsbrecError:
        if not failed.wish:
            return failed.fault
        return EngineUnavailable(
            f"{failed.fault.what}; it asks to be left alone for {failed.wish:.0f} s, longer than timeout_seconds "
            f"({self.settings.timeout_seconds:g}) allows",
            where=self.settings.base_url, fix="run the same command again then (what is finished is kept), or raise timeout_seconds",
        )  # fmt: skip

    async def _refusal(self, response: httpx.Response) -> _Failed:
        """Of an answer that tells of an error."""
        self._answered, self._hung = True, 0
        settings, status, where = self.settings, response.status_code, self.settings.base_url
        message = await _message(response)
        what = f"HTTP {status}: {message}"
        if 300 <= status < 400:
            to = f"it redirects to {response.headers.get('location', 'nowhere')}"
            return _Failed(EngineUnavailable(f"HTTP {status}: {to}", where=where, fix="set base_url to the address that answers itself"))
        if (status in _FOR_ALL and not (status == 403 and _FILTERED.search(message))) or "insufficient_quota" in message:
            return _Failed(EngineUnavailable(what, where=where, fix=self._fix(status)))
        if status in _MAY_PASS or status >= 500:
            fix = "lower concurrency" if status == 429 else "look into the server's log"
            return _Failed(EngineError(what, where=where, fix=fix), settings.retries, _wish(response.headers.get("retry-after", "")))
        return _Failed(Refused(what, where=where, fix="the endpoint does not accept this request; its message says why"))

    def _fix(self, status: int) -> str:
        key = self.settings.api_key_env
        return {
            401: f"set the environment variable {key} to a valid key",
            403: f"the key in {key} may not use this model",
            404: f"check base_url and the model's name; `usbrec doctor --base-url {self.settings.base_url}` lists the names",
        }.get(status, "its message says why")


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


async def _message(response: httpx.Response) -> str:
    """What an error says, on one line, not too long; without any key that it echoes."""
    raw = b""
    async for chunk in response.aiter_bytes():
        raw += chunk
        if len(raw) > _ERROR_BYTES:
            break
    try:
        said: Any = json.loads(raw)
        while isinstance(said, dict):
            said = next((said[key] for key in ("error", "message", "detail", "code") if said.get(key)), str(said))
    except (ValueError, RecursionError):
        said = "an HTML page" if raw.lstrip()[:1] == b"<" else raw.decode("utf-8", "replace")
    line = " ".join(redacted(str(said)).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:300] or "without a word"


def _wish(header: str) -> float:
    """Seconds that `Retry-After` asks for; 0 where it says nothing that can be understood."""
    try:
        wish = float(header)
    except ValueError:
        try:
            wish = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return max(wish, 0.0) if not math.isnan(wish) else 0.0
