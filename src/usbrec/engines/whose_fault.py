"""Whose fault a fault of an endpoint is: the moment's (asked again), this call's, or everybody's (`EngineUnavailable`: all calls end).

| what                                                                     | asked again            | then it is         |
|--------------------------------------------------------------------------|------------------------|--------------------|
| 408, 409, 425, 429, 5xx; a connection that is cut                        | `retries` times        | this call's        |
| an answer that is none: no choices, HTML, broken JSON, far too long      | twice                  | this call's        |
| 400, 413, 422 ...; a filter's 403                                        | no                     | this call's        |
| no connection at all                                                     | `retries` times        | everybody's        |
| 401, 402, 403, 404, 405, 407, a redirect, a spent quota                  | no                     | everybody's        |
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from usbrec.engines.openai_settings import OpenAISettings
from usbrec.errors import EngineError, EngineReply, EngineUnavailable, UsbrecError, cause_of, first_line
from usbrec.redaction import redacted

if TYPE_CHECKING:
    import httpx


Body = TypeVar("Body", bound=BaseModel)
CHECK = "check that base_url is that of an OpenAI-compatible server and ends in /v1"
_BAD_REPLIES = 2
_MAY_PASS = (408, 409, 425, 429)
_FOR_ALL = (401, 402, 403, 404, 405, 407)
_FILTERED = re.compile(r"moderat|flagged|content.{0,3}(filter|policy)", re.IGNORECASE)
"""What a 403 says that is about what was asked, not about the key."""
_ERROR_BYTES = 65_536


class Refused(EngineError):
    """The endpoint will never accept this request as it stands."""


@dataclass
class Failed(Exception):
    """An attempt that failed."""

    fault: UsbrecError
    again: int = 0
    """How often such a call is asked again at most."""
    wish: float = 0.0
    """Seconds that the server asks to be left alone."""


def failed_by(raised: Exception, settings: OpenAISettings) -> Failed:
    """What an exception means for the call."""
    import httpx

    where, reason = settings.base_url, first_line(_root(raised))
    if isinstance(raised, Failed):
        return raised
    if isinstance(raised, UsbrecError):
        return Failed(raised, min(_BAD_REPLIES, settings.retries) if isinstance(raised, EngineReply) else 0)
    if isinstance(raised, httpx.ConnectError | httpx.ProxyError | httpx.InvalidURL):
        fix = "start the server, or correct base_url" + (" (does it speak plain http?)" if "SSL" in reason else "")
        return Failed(EngineUnavailable(f"cannot be reached ({reason})", where=where, fix=fix), settings.retries)
    if isinstance(raised, httpx.TransportError):
        return Failed(EngineError(f"the connection was cut ({reason})", where=where, fix="look into the server's log"), settings.retries)
    return Failed(EngineReply(f"the answer cannot be read ({reason})", where=where, fix=CHECK), min(_BAD_REPLIES, settings.retries))


def _root(fault: BaseException) -> BaseException:
    """The system's own error under the libraries' ones."""
    return _root(cause_of(fault.__cause__)) if fault.__cause__ else fault


async def refusal(response: httpx.Response, settings: OpenAISettings) -> Failed:
    """What an answer that tells of an error means for the call."""
    status, where, message = response.status_code, settings.base_url, await _message(response)
    what = f"HTTP {status}: {message}"
    if 300 <= status < 400:
        to = f"it redirects to {response.headers.get('location', 'nowhere')}"
        return Failed(EngineUnavailable(f"HTTP {status}: {to}", where=where, fix="set base_url to the address that answers itself"))
    if (status in _FOR_ALL and not (status == 403 and _FILTERED.search(message))) or "insufficient_quota" in message:
        fixes = {
            401: f"set the environment variable {settings.api_key_env} to a valid key",
            403: f"the key in {settings.api_key_env} may not use this model",
            404: f"check base_url and the model's name '{settings.model}'; `usbrec doctor --base-url {where}` lists the names",
        }
        return Failed(EngineUnavailable(what, where=where, fix=fixes.get(status, "its message says why")))
    if status in _MAY_PASS or status >= 500:
        fix = "lower concurrency" if status == 429 else "look into the server's log"
        return Failed(EngineError(what, where=where, fix=fix), settings.retries, _wish(response.headers.get("retry-after", "")))
    return Failed(Refused(what, where=where, fix="the endpoint does not accept this request; its message says why"))


def parsed(raw: bytes, kind: type[Body], where: str) -> Body:
    """The answer that these bytes are.

    Raises:
        EngineReply: they are none.
    """
    try:
        return kind.model_validate(json.loads(raw))
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise EngineReply(f"the answer breaks the protocol ({place}: {first['msg']})", where=where, fix=CHECK) from None
    except (ValueError, RecursionError) as fault:
        what = "an HTML page" if raw.lstrip()[:1] == b"<" else f"no JSON ({first_line(fault)})" if raw.strip() else "empty"
        raise EngineReply(f"the answer is {what}", where=where, fix=CHECK) from None


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
