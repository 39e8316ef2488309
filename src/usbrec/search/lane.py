"""Who comes first on an engine: replies that somebody waits for, then what is searched ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any


class Lane:
    """Lets speculation run one guess at a time, only while nobody waits for a reply.

    Conversations that share an engine share a lane; whoever asks for a reply in another way does it within `first`.
    """

    def __init__(self) -> None:
        self.running: asyncio.Task[None] | None = None
        """The guess under way, while it is nobody's reply."""
        self._waited_for = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._one = asyncio.Lock()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Within it somebody waits for a reply: the guess under way is given up, and none begins."""
        self._waited_for += 1
        self._quiet.clear()
        if self.running is not None:
            cancel(self.running)
        try:
            yield
        finally:
            self._waited_for -= 1
            if not self._waited_for:
                self._quiet.set()

    @asynccontextmanager
    async def lull(self) -> AsyncIterator[None]:
        """Entered once nobody waits for a reply and no other guess is under way."""
        async with self._one:
            while self._waited_for:
                await self._quiet.wait()
            yield


def cancel(task: asyncio.Task[Any]) -> None:
    """Once: a second time would break off the tidying up after the first."""
    if not task.cancelling():
        task.cancel()
