"""A resumable async map from rows to a JSONL file.

Every finished row is on disk before the next is counted; a run that is killed and started again does only what is missing.  Work is
bounded (`limit` rows at once) and never waits for a slow neighbour.  A row that fails *is* a row: `failed` makes it from the error, and it
is tried again by the next run (of a finished stage by what `tally` notes).  A fault that will hit every row (`FATAL`: engine gone, key
refused, disk full) stops the map with that error, and so does the first one where no row at all succeeds.
At the end the file is rewritten in the order of the input, so that an interrupted run leaves the same bytes as an undisturbed one.
Lines that are not as they were appended (`jsonl.proven`) are told, and their rows done again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from usbrec import jsonl
from usbrec.errors import ConfigError, EngineUnavailable, ModelError, PromptError, StorageError, UsbrecError
from usbrec.progress import note, progress
from usbrec.tasks import together

Source = TypeVar("Source")
Row = TypeVar("Row", bound=BaseModel)

FATAL = (EngineUnavailable, ModelError, StorageError, PromptError, ConfigError)


async def map_rows(
    sources: Sequence[Source],
    work: Callable[[Source], Awaitable[Row]],
    *,
    path: Path,
    kind: type[Row],
    key: Callable[[Source], str],
    row_key: Callable[[Row], str],
    failed: Callable[[Source, UsbrecError], Row],
    is_failed: Callable[[Row], bool],
    label: str,
    limit: int = 32,
    gauge: Callable[[], str] = str,
) -> list[Row]:
    """All rows, in the order of `sources`, read from `path` where they are there already.

    Args:
        gauge: told beside the progress, how full the engines are, say.

    Raises:
        UsbrecError: one of `FATAL`, after the rows in flight were cancelled; finished rows stay on disk.  Or every row failed.
    """
    found, others = jsonl.proven(path, kind)
    if others:
        note(f"{label}: {others} lines of {path} are not as they were written; their rows are done again")
    done = {row_key(row): row for row in found if not is_failed(row)}
    todo = [source for source in sources if key(source) not in done]
    if todo:
        faults = await _fill(todo, done, work, path, row_key, failed, label, limit, gauge)
        if len(faults) == len(sources):
            raise UsbrecError(f"every row failed; the first one: {_told(faults[0])}", where=label, fix=faults[0].fix)
        if faults:
            note(f"{label}: {len(faults)} of {len(sources)} rows failed, the first by {_told(faults[0])}")
    rows = [done[key(source)] for source in sources]
    jsonl.rewrite(path, rows)
    return rows


def tally(rows: int, broken: Iterable[str]) -> dict[str, Any]:
    """A finished stage's notes: how many rows, and the keys of those that failed, which the next run tries again (`pipeline.Run.stage`)."""
    keys = sorted(broken)
    return {"rows": rows, "failed": len(keys), "broken": keys}


def _told(fault: UsbrecError) -> str:
    return f"{fault.where}: {fault.what}" if fault.where else fault.what


async def _fill(
    todo: Sequence[Source],
    done: dict[str, Row],
    work: Callable[[Source], Awaitable[Row]],
    path: Path,
    row_key: Callable[[Row], str],
    failed: Callable[[Source, UsbrecError], Row],
    label: str,
    limit: int,
    gauge: Callable[[], str],
) -> list[UsbrecError]:
    """Works through the rows; the faults of those that failed."""
    waiting = iter(todo)
    faults: list[UsbrecError] = []
    with jsonl.Appender(path) as file, progress(label, len(todo) + len(done), done=len(done)) as bar:

        async def worker() -> None:
            for source in waiting:
                try:
                    row = await work(source)
                except FATAL:
                    raise
                except UsbrecError as fault:
                    faults.append(fault)
                    row = failed(source, fault)
                file.append(row)
                done[row_key(row)] = row
                bar.advance(note=", ".join(filter(None, (gauge(), f"{len(faults)} failed" if faults else ""))))

        async with together() as group:
            for _ in range(min(limit, len(todo))):
                group.create_task(worker())
    return faults
