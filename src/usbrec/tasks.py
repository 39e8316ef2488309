"""Tasks that belong together: as `asyncio.TaskGroup`, but what fails is one fault with its own cause, never a group of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from usbrec.errors import cause_of


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group; the first fault cancels the rest and is raised itself.

    Raises:
        BaseException: `errors.cause_of` all that failed.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as faults:
        fault = cause_of(faults)
        raise fault from fault.__cause__
