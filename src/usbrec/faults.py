"""What is wrong with settings, in a user's words: every fault with its place, and what was probably meant.

A key that belongs to another kind is told apart from one that nobody knows: the first would have no effect, and the message says when it
would have one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from usbrec.redaction import redacted
from usbrec.settings import Settings, kinds_in, tag_of

Path = tuple[str | int, ...]
_SECTION = "has to be a section of keys and values"
_WORDS = {"missing": "is missing", "model_type": _SECTION, "union_tag_not_found": _SECTION}


@dataclass(frozen=True)
class Fault:
    """One of them."""

    path: Path
    """The keys that lead to it."""
    told: str
    idle: bool = False
    """The key is known, but has no effect there."""

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path)) or 'the whole'}: {self.told}"


def faults_of(model: type[Settings], error: ValidationError) -> list[Fault]:
    """All faults that pydantic found."""
    found = error.errors(include_url=False)
    deeper = {each["loc"][:size] for each in found for size in range(len(each["loc"]))}
    return [_fault(model, dict(each)) for each in found if each["type"] != "too_short" or each["loc"] not in deeper]  # its items are wrong


def listed(faults: Iterable[object], what: str) -> str:
    """They as the text of one error."""
    lines = list(dict.fromkeys(map(str, faults)))
    return "\n".join([f"{len(lines)} fault{'s' if len(lines) > 1 else ''} in {what}:", *(f"  {line}" for line in lines)])


def near(word: str, known: Sequence[str]) -> str:
    """What was probably meant, or all that is known."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{found[0]}'?" if found else f"known here: {', '.join(known)}"


@dataclass(frozen=True)
class _Section:
    """Where a key stands: the classes that may stand there, and which of them does."""

    path: Path
    kinds: Mapping[str, type[Settings]]
    kind: str


def _fault(model: type[Settings], error: Mapping[str, Any]) -> Fault:
    path, section, inner = _followed(model, error["loc"])
    given = error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown(path, section)
    if error["type"] == "union_tag_invalid":
        key = tag_of(next(iter(inner.values())))[0]
        return Fault((*path, key), f"there is no '{error['ctx']['tag']}'; {near(error['ctx']['tag'], list(inner))}")
    told = _WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(given, dict) or error["type"] == "missing" else f" (given: {_brief(given)})"
    return Fault(path, told + shown, idle=given is None)


def _unknown(path: Path, section: _Section) -> Fault:
    key, known = str(path[-1]), section.kinds.get(section.kind)
    others = [kind for kind, each in section.kinds.items() if key in each.model_fields]
    if others:
        named = ".".join(map(str, (*section.path, tag_of(section.kinds[others[0]])[0])))
        return Fault(path, f"matters only where {named} is {' or '.join(others)} (here: {section.kind})", idle=True)
    if known and (why := known.ELSEWHERE.get(key)):
        return Fault(path, why, idle=True)
    return Fault(path, f"unknown key; {near(key, list(known.model_fields) if known else [])}")


def _followed(model: type[Settings], place: Sequence[str | int]) -> tuple[Path, _Section, Mapping[str, type[Settings]]]:
    """From pydantic's place, which also names the class chosen in a union: the keys, the section of the last, and what it may hold."""
    path: Path = ()
    here = section = _Section((), {"": model}, "")
    for part in place:
        if len(here.kinds) > 1 and not here.kind and part in here.kinds:
            here = _Section(path, here.kinds, str(part))
            continue
        if path and not here.kinds and isinstance(part, str):
            continue  # which of several types of a value it was held against
        path, section = (*path, part), here
        if not isinstance(part, int):
            holder = here.kinds.get(here.kind)
            field = holder.model_fields.get(part) if holder else None
            here = _Section(path, kinds_in(field.annotation) if field else {}, "")
    return path, section, here.kinds


def _brief(given: Any) -> str:
    text = redacted(repr(given))
    return text if len(text) <= 80 else f"{text[:77]}..."
