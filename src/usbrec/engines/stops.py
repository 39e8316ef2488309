"""Stop strings in a reply: where it ends, and how much of an unfinished one is sure to stay."""

from __future__ import annotations

from collections.abc import Sequence


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """What was said, up to the first stop string; and whether there was one."""
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(ends)], True) if ends else (text, False)


def settled(text: str, stops: Sequence[str]) -> str:
    """The part of an unfinished reply that stays, whatever comes: no half character, no begun stop string."""
    text = text.rstrip("\N{REPLACEMENT CHARACTER}")
    return text[: len(text) - max((overlap(text, stop) for stop in stops), default=0)]


def overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` begin `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
