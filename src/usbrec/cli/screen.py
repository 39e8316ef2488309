"""What people read on a terminal.  Text of models, data and endpoints is shown as it is and never obeyed: neither markup nor escapes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for line ends and tabs, marks that turn the direction of writing, halves of characters."""


def shown(text: str) -> str:
    """The text with everything that a terminal would obey written out.

    >>> shown("\\x1b[31mred [/b]")
    '\\\\x1b[31mred [/b]'
    """
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Screen(Console):
    """A console for text that others wrote."""

    def __init__(self, **others: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **others)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown(segment.text), segment.style)
