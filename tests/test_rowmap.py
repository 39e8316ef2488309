"""The resumable map: bounded, resumed by key, a failed row is a row, a fatal fault stops without losing rows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from usbrec import jsonl
from usbrec.errors import DataError, EngineReply, EngineUnavailable, UsbrecError
from usbrec.rowmap import map_rows
from usbrec.types import Frozen


class Row(Frozen):
    key: str
    square: int = 0
    error: str = ""


async def run(path: Path, work, sources=range(10), limit: int = 4, gauge=str) -> list[Row]:  # type: ignore[no-untyped-def]
    return await map_rows(
        list(sources), work, path=path, kind=Row, key=str, row_key=lambda r: r.key,
        failed=lambda s, fault: Row(key=str(s), error=str(fault)), is_failed=lambda r: bool(r.error), label="t", limit=limit, gauge=gauge,
    )  # fmt: skip


async def square(n: int) -> Row:
    await asyncio.sleep(0.001 * (n % 3))
    return Row(key=str(n), square=n * n)


async def test_rows_come_back_in_order_whoever_was_first(tmp_path: Path) -> None:
    rows = await run(tmp_path / "r.jsonl", square)
    assert [r.square for r in rows] == [n * n for n in range(10)]
    assert jsonl.read(tmp_path / "r.jsonl", Row) == rows


async def test_never_more_than_the_limit_at_once(tmp_path: Path) -> None:
    now, most = 0, 0

    async def work(n: int) -> Row:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        return Row(key=str(n))

    await run(tmp_path / "r.jsonl", work, range(20), limit=3)
    assert most == 3


async def test_an_interrupted_run_does_only_the_rest_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    await run(whole, square)
    lines = whole.read_bytes().split(b"\n")
    cut.write_bytes(b"\n".join([lines[7], lines[2], lines[5][:9]]))  # out of order, the last line torn
    asked: list[int] = []

    async def work(n: int) -> Row:
        asked.append(n)
        return await square(n)

    await run(cut, work)
    assert sorted(asked) == [0, 1, 3, 4, 5, 6, 8, 9]
    assert cut.read_bytes() == whole.read_bytes()


async def test_a_failed_row_is_a_row_and_is_tried_again(tmp_path: Path) -> None:
    async def moody(n: int) -> Row:
        if n == 3:
            raise EngineReply("nonsense")
        return await square(n)

    rows = await run(tmp_path / "r.jsonl", moody)
    assert rows[3].error == "nonsense" and rows[4].square == 16
    assert (await run(tmp_path / "r.jsonl", square))[3].square == 9


async def test_a_fatal_fault_stops_and_keeps_what_is_finished(tmp_path: Path) -> None:
    async def dying(n: int) -> Row:
        if n == 5:
            raise EngineUnavailable("the endpoint is down", fix="start it")
        return await square(n)

    with pytest.raises(EngineUnavailable, match="down"):
        await run(tmp_path / "r.jsonl", dying, limit=1)
    assert [r.key for r in jsonl.read(tmp_path / "r.jsonl", Row)] == ["0", "1", "2", "3", "4"]


def test_a_broken_line_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"key": "a"}\nnot json\n{"key": "b"}\n')
    with pytest.raises(DataError) as fault:
        jsonl.read(path, Row)
    assert f"{path}:2" in str(fault.value)
    path.write_text('{"key": "a"}\n{"kee": "b"}\n')
    with pytest.raises(DataError) as fault:
        jsonl.read(path, Row)
    assert f"{path}:2" in str(fault.value)


async def test_the_gauge_is_told_beside_the_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def work(n: int) -> Row:
        if n == 3:
            raise EngineReply("no")
        return await square(n)

    await run(tmp_path / "r.jsonl", work, gauge=lambda: "42 tok/s")
    assert "10/10" in (told := capsys.readouterr().err) and "left, 42 tok/s, 1 failed\n" in told
    assert told.endswith("t: 1 of 10 rows failed, the first by no\n")


async def test_where_every_row_fails_the_map_ends_with_the_first_fault(tmp_path: Path) -> None:
    async def refused(n: int) -> Row:
        raise EngineReply(f"filtered {n}", where="http://x/v1", fix="ask for something else")

    for _ in range(2):  # the same command again asks again
        with pytest.raises(UsbrecError, match=r"every row failed; the first one: http://x/v1: filtered 0") as fault:
            await run(tmp_path / "r.jsonl", refused)
        assert fault.value.fix == "ask for something else"
    assert (await run(tmp_path / "r.jsonl", square))[3].square == 9


async def test_several_faults_at_once_are_one_fault_with_its_cause(tmp_path: Path) -> None:
    together = asyncio.Barrier(2)

    async def dying(n: int) -> Row:
        await together.wait()
        try:
            raise OSError("no route")
        except OSError as cause:
            raise (EngineUnavailable("down") if n else ValueError("a mistake of ours")) from cause

    with pytest.raises(EngineUnavailable, match="down") as fault:
        await run(tmp_path / "r.jsonl", dying, range(2))
    assert isinstance(fault.value.__cause__, OSError)

    async def broken(n: int) -> Row:
        raise ValueError("a mistake of ours")

    with pytest.raises(ValueError, match="a mistake of ours"):
        await run(tmp_path / "r.jsonl", broken)


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        (b'"square":4,', b'"square":5,', [2]),
        (b'"square":4,', b'"square"\0\0,', [2]),
        (b'{"key":"2"', b"not even JSON", [2]),
        (b'{"key":"2"', b'{"key":"3","square":7,"error":""}\n{"key":"2"', []),  # a row of another run: the true one stands beside it
        (b'"square":4,"error":""}\n', b"", [2]),  # runs into the next line
    ],
)
async def test_lines_that_are_not_as_they_were_written_are_done_again(
    old: bytes, new: bytes, again: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, path = tmp_path / "whole.jsonl", tmp_path / "r.jsonl"
    await run(whole, square)
    await run(path, square)
    damaged = path.read_bytes().replace(old, new)
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    asked: list[int] = []

    async def work(n: int) -> Row:
        asked.append(n)
        return await square(n)

    await run(path, work)
    assert path.read_bytes() == whole.read_bytes() and set(again) <= set(asked) and len(asked) <= 2
    assert "1 lines of" in capsys.readouterr().err


async def test_rows_without_digests_are_of_an_earlier_version_and_believed_and_get_theirs(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"key":"1","square":99}\n')
    rows = await run(path, square, range(3))
    assert [row.square for row in rows] == [0, 99, 4]
    path.write_bytes(path.read_bytes().replace(b"99", b"98"))
    assert [row.square for row in await run(path, square, range(3))] == [0, 1, 4]
