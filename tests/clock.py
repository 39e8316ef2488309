"""Tests assert no wall-clock time: `HANG` ends what hangs, and tests of time limits have a time that passes only when everybody waits.

    from clock import event_loop_policy  # noqa: F401 - every test of the module runs in virtual time

A sleep of an hour takes no time and ends after whatever was due before it; the order of events is that of an idle machine.
"""

from __future__ import annotations

import asyncio
import selectors

import pytest

HANG = 1500.0
"""Seconds after which a process or a call hangs: it only ends what would never end, however busy the machine is."""
STEP = 1e-5
"""Seconds that a round of the loop takes, so that whoever asks again and again sees time pass."""


class _Patient(selectors.DefaultSelector):
    """Never waits for time: what would have been waited for is told instead."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)  # no timer: another thread or a file is awaited
        if not (ready := super().select(0)):
            self.waited += max(timeout, STEP)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while anything runs."""

    def __init__(self) -> None:
        self._patient = _Patient()
        super().__init__(self._patient)

    def time(self) -> float:
        return self._patient.waited


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return VirtualLoop()


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """Virtual time for the module that imports this."""
    return _Policy()
