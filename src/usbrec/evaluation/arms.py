"""The arms by name: a model, alone or with a search around it."""

from __future__ import annotations

from typing import Literal

Arm = Literal[
    "base", "sft", "rl", "base+ses", "sft+ses", "rl+ses", "base+paper-ses", "sft+paper-ses", "rl+paper-ses"
]  # fmt: skip
"""`+ses`: with the recipe's search.  `+paper-ses`: with the paper's, whatever the recipe's is (`Recipe.as_searched_by`)."""
ARMS: tuple[Arm, ...] = ("base", "sft", "rl", "base+ses", "sft+ses", "rl+ses")
"""What is measured unless the recipe says otherwise."""
SEARCH, PAPER_SEARCH = "+ses", "+paper-ses"


def model_of(arm: str) -> str:
    """`rl` of `rl`, `rl+ses` and `rl+paper-ses`."""
    return arm.removesuffix(SEARCH).removesuffix(PAPER_SEARCH)


def searches(arm: str) -> bool:
    """Does this arm search for its replies?"""
    return arm.endswith((SEARCH, PAPER_SEARCH))
