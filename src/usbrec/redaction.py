"""Secrets by value: what is registered here stands in nothing that usbrec says or writes.

Whoever reads a key out of the environment registers it.  Errors redact themselves as they are made, replies and the ledger's rows as they
come in (a server may echo a key), the command line what it says last.  A user name and password inside a URL are hidden wherever they
stand, registered or not.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlsplit

HIDDEN = "***"
_SECRETS: set[str] = set()
_USER_INFO = re.compile(r"(?<=://)[^\s/?#\"'<>]*(?=@)")


def keep_secret(*values: str) -> None:
    """Registers secrets.  One that is too short is a placeholder (`none`, `EMPTY`, `ollama`): hiding it would change what is said."""
    for value in values:
        if len(value) >= (8 if value.isalpha() else 6):
            _SECRETS.update((value, quote(value, safe=""), json.dumps(value)[1:-1]))


def redacted(text: str) -> str:
    """The text with every secret hidden."""
    for secret in sorted(_SECRETS, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _USER_INFO.sub(HIDDEN, text) if "@" in text else text


class Redacting:
    """Redacts a text that comes in pieces: what may be the beginning of a secret waits for the next piece."""

    def __init__(self) -> None:
        self._waits = ""

    def __call__(self, piece: str, *, last: bool = False) -> str:
        text = redacted(self._waits + piece)
        begun = (size for secret in _SECRETS for size in range(1, len(secret)) if text.endswith(secret[:size]))
        cut = len(text) - (0 if last else max(begun, default=0))
        self._waits = text[cut:]
        return text[:cut]


def plain_url(url: str) -> str:
    """The address of an endpoint, which stands in recipes, fingerprints and reports, so it may hold no secret.

    Raises:
        ValueError: it holds a user name or password, or is no address.
    """
    inside, at, _ = url.partition("://")[2].rpartition("@")
    if at:
        keep_secret(inside, inside.partition(":")[2])
    if "@" in (parts := urlsplit(url)).netloc:
        raise ValueError(
            "it holds a user name or a password, which would be kept with the run; leave them out, name a variable in api_key_env "
            "and export it as 'Basic USER:PASSWORD'"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.port == 0:
        raise ValueError("it is no URL of an endpoint; write it as http://host:port/v1")
    return url


def variable(name: str) -> str:
    """The name of the environment variable that holds a key.

    Raises:
        ValueError: it is no such name; most likely the key itself was written there.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        keep_secret(name)
        raise ValueError("it is no name of an environment variable; name the one that holds the key, never the key itself")
    return name
