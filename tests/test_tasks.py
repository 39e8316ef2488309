"""What fails in tasks that belong together is one fault, with its cause."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from clock import HANG
from usbrec.errors import EngineReply, UsbrecError, cause_of
from usbrec.tasks import together


async def failing(fault: BaseException) -> None:
    await asyncio.sleep(0)
    raise fault


async def test_the_first_fault_comes_out_of_tasks_within_tasks_and_ends_the_others() -> None:
    ended = []

    async def patient() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def inner() -> None:
        async with together() as group:
            group.create_task(patient())
            group.create_task(failing(EngineReply("nonsense")))

    with pytest.raises(EngineReply, match="nonsense"):
        async with together() as group:
            group.create_task(inner())
            group.create_task(patient())
    assert ended == [True, True]


async def test_a_fault_of_ours_goes_before_a_mistake_and_keeps_its_cause() -> None:
    fault = EngineReply("nonsense")
    fault.__cause__ = OSError("cut")
    with pytest.raises(EngineReply) as raised:
        async with together() as group:
            group.create_task(failing(ValueError("a mistake")))
            group.create_task(failing(fault))
    assert isinstance(raised.value.__cause__, OSError)


async def test_a_cancelled_group_is_cancelled() -> None:
    async def body() -> None:
        async with together() as group:
            group.create_task(asyncio.sleep(HANG))

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_an_interruption_goes_before_all() -> None:
    class Interrupted(BaseException):
        pass

    faults = BaseExceptionGroup("", [UsbrecError("a"), BaseExceptionGroup("", [Interrupted(), ValueError("b")])])
    assert isinstance(cause_of(faults), Interrupted)


@pytest.mark.parametrize(("fault", "told"), [("UsbrecError('down', fix='start it')", "error: down\n  fix: start it\n"),
                                             ("ValueError('ours')", "error: unexpected ValueError: ours\n")])  # fmt: skip
def test_no_command_ends_with_a_group(fault: str, told: str) -> None:
    code = (
        "import usbrec.cli as cli\nfrom usbrec.errors import UsbrecError\n"
        f"def app(): raise ExceptionGroup('unhandled errors in a TaskGroup', [ExceptionGroup('', [{fault}])])\n"
        "cli.app = app\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 1 and done.stderr.startswith(told) and "TaskGroup" not in done.stderr
