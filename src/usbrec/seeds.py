"""Randomness is an argument: every draw gets a seed derived from the recipe's seed and the row's key, so that neither the order of rows
nor an interruption changes what is drawn."""

from __future__ import annotations

import hashlib
import random


def seed_of(*parts: object) -> int:
    """A 31-bit seed from any printable parts; the same on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF


def rng_of(*parts: object) -> random.Random:
    """A generator of its own for these parts."""
    return random.Random(seed_of(*parts))
