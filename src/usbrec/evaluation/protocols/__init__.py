"""Evaluation protocols: versioned files that fix how a conversation is played, so that two reports that name one protocol can be compared.

A file is never changed once it was published: a change makes a new version, under a new name.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel

from usbrec.types import Frozen


class Protocol(Frozen):
    """What a protocol fixes."""

    about: str
    source: str
    fixes: dict[str, Any]
    """Keys of `evaluate` and their values."""


def names() -> list[str]:
    """All protocols shipped with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in resources.files(__name__).iterdir() if entry.name.endswith(".yaml"))


@cache
def load(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in names():
        raise ValueError(f"there is no protocol '{name}'; known: {', '.join(names())}")
    return Protocol.model_validate(yaml.safe_load(resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")))


def applied(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of `evaluate` with what the protocol fixes.

    Raises:
        ValueError: there is no such protocol, or it fixes a key that was given another value.
    """
    return _merged(given, load(name).fixes, name)


def _merged(given: dict[str, Any], fixed: dict[str, Any], name: str, place: str = "") -> dict[str, Any]:
    found = dict(given)
    for key, value in fixed.items():
        at = f"{place}.{key}" if place else key
        if isinstance(value, dict):
            inner = found.get(key) or {}
            if isinstance(inner, BaseModel):
                inner = inner.model_dump()
            if not isinstance(inner, dict):
                raise ValueError(f"the protocol {name} fixes a key of {at}, which has to be a section of keys and values")
            found[key] = _merged(inner, value, name, at)
        elif found.get(key, value) != value:
            raise ValueError(f"the protocol {name} fixes {at}: {value}; take '{at}' out, or choose no protocol")
        else:
            found[key] = value
    return found
