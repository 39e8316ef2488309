"""Stages: kept when unchanged, done again when changed, nothing thrown away, one run at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from usbrec import jsonl, pipeline
from usbrec.errors import StorageError
from usbrec.rowmap import tally


class Work:
    def __init__(self, fail: bool = False) -> None:
        self.calls, self.fail = 0, fail

    async def __call__(self, folder: Path) -> dict[str, Any]:
        self.calls += 1
        (folder / "out.txt").write_text(str(self.calls))
        if self.fail:
            raise RuntimeError("killed")
        return {"rows": 3}


async def test_an_unchanged_stage_is_kept(tmp_path: Path) -> None:
    said: list[str] = []
    work = Work()
    with pipeline.opened(tmp_path / "run", said.append) as run:
        first = await run.stage("prefer", {"k": 2}, work)
        again = await run.stage("prefer", {"k": 2}, work)
    assert first == again and work.calls == 1
    assert any("unchanged" in line for line in said)
    assert run.manifest["stages"]["prefer"]["rows"] == 3


async def test_a_changed_stage_names_the_keys_sets_the_old_aside_and_takes_it_back(tmp_path: Path) -> None:
    said: list[str] = []
    work = Work()
    with pipeline.opened(tmp_path / "run", said.append) as run:
        first = await run.stage("prefer", {"settings": {"k": 2, "t": 0.5}}, work)
        second = await run.stage("prefer", {"settings": {"k": 8, "t": 0.5}}, work)
        assert first != second and work.calls == 2
        assert any("settings.k: 2 -> 8" in line for line in said)
        (kept,) = (run.folder / "earlier").iterdir()
        assert (kept / "out.txt").read_text() == "1"
        await run.stage("prefer", {"settings": {"k": 2, "t": 0.5}}, work)
        assert any("taken back" in line for line in said)


async def test_an_interrupted_stage_is_entered_again_with_its_files(tmp_path: Path) -> None:
    with pipeline.opened(tmp_path / "run", lambda _: None) as run:
        with pytest.raises(RuntimeError):
            await run.stage("sft", {"lr": 1}, Work(fail=True))
        assert not run.finished("sft") and (run.folder / "sft" / "out.txt").exists()
        work = Work()
        await run.stage("sft", {"lr": 1}, work)
        assert work.calls == 1 and run.finished("sft")


async def test_a_finished_stage_with_broken_rows_is_entered_again_and_its_readers_notice_which(tmp_path: Path) -> None:
    said: list[str] = []
    broken = [["a", "b"], ["b"], []]
    marks = []

    async def work(folder: Path) -> dict[str, Any]:
        return tally(3, broken.pop(0))

    with pipeline.opened(tmp_path / "run", said.append) as run:
        for _ in range(4):
            marks.append(await run.stage("arm", {"k": 2}, work, retry=True))
        kept = await run.stage("arm", {"k": 2}, work)
    assert len(set(marks)) == 3 and marks[2] == marks[3] == kept and not broken
    assert [line for line in said if "failed again" in line] == [
        "arm: running, the 2 that failed again",
        "arm: running, the 1 that failed again",
    ]
    assert run.manifest["stages"]["arm"]["failed"] == 0


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with (
        pipeline.opened(tmp_path / "run", lambda _: None),
        pytest.raises(StorageError, match="another run"),
        pipeline.opened(tmp_path / "run", lambda _: None),
    ):
        pass
    with pipeline.opened(tmp_path / "run", lambda _: None):
        pass


def test_differences_name_nested_keys() -> None:
    assert jsonl.differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}) == ["a.c: 2 -> 3", "d: null -> 4"]
