"""Stages: kept when unchanged and undamaged, done again when not, nothing thrown away, one run at a time."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from usbrec import jsonl, manifest, pipeline
from usbrec.errors import DamageError, DataError, StorageError
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


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


async def test_an_interrupted_redo_is_never_taken_for_finished(tmp_path: Path) -> None:
    """Its folder was deleted, or the stage is redone for its broken rows: killed half way, it is entered again."""
    with pipeline.opened(tmp_path / "run", lambda _: None) as run:
        await run.stage("arm", {"k": 2}, Work())
        shutil.rmtree(run.folder / "arm")
        with pytest.raises(RuntimeError):
            await run.stage("arm", {"k": 2}, Work(fail=True))
        assert not run.finished("arm")
        await run.stage("arm", {"k": 2}, work := Work())
        assert work.calls == 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda f: (f / "out.txt").write_text("12"), "out.txt was changed: 1 bytes became 2"),
        (lambda f: (f / "out.txt").write_text("2"), "out.txt was changed"),
        (lambda f: (f / "out.txt").unlink(), "out.txt is gone"),
        (lambda f: ((f / "out.txt").unlink(), (f / "out.txt").mkdir()), "out.txt"),
        (lambda f: shutil.rmtree(f), "out.txt is gone"),
    ],
)
async def test_outputs_that_are_not_as_they_were_left_are_made_anew_and_what_read_them_too(
    spoil: Callable[[Path], Any], told: str, tmp_path: Path
) -> None:
    said: list[str] = []
    first, second = Work(), Work()
    with pipeline.opened(tmp_path / "run", said.append) as run:
        await run.stage("pairs", {"k": 2}, first)
        await run.stage("model", {"k": 2}, second, reads=["pairs/out.txt"])
        spoil(run.folder / "pairs")
        with pytest.raises(DataError, match=re.escape(told)):
            manifest.verify(run.folder, "pairs")
        await run.stage("pairs", {"k": 2}, first)  # the second time it writes something else
        await run.stage("model", {"k": 2}, second, reads=["pairs/out.txt"])
        assert (first.calls, second.calls) == (2, 2) and any(told in line for line in said)
        assert any(line.startswith("model: changed since the last run: pairs/out.txt is not what it was made from") for line in said)
        await run.stage("pairs", {"k": 2}, first)
        await run.stage("model", {"k": 2}, second, reads=["pairs/out.txt"])
        assert (first.calls, second.calls) == (2, 2)


@pytest.mark.parametrize("text", ["", "{", "[]", "\0" * 9, '{"stages": 5}', '{"stages": {"a": {"fingerprint": 3}}}', None])
async def test_a_manifest_that_is_gone_or_damaged_is_put_together_again(text: str | None, tmp_path: Path) -> None:
    work, said = Work(), list[str]()
    with pipeline.opened(tmp_path / "run", lambda _: None) as run:
        await run.stage("a", {"k": 2}, work)
        await run.stage("b/c", {"k": 2}, work)
        whole = run.manifest["stages"]
        with pytest.raises(RuntimeError):
            await run.stage("b/d", {"k": 2}, Work(fail=True))
    path = tmp_path / "run" / "manifest.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    assert manifest.stages_of(tmp_path / "run") == whole  # for those who only read, too
    with pipeline.opened(tmp_path / "run", said.append) as run:
        assert run.manifest["stages"] == whole and len(said) == 1
        await run.stage("a", {"k": 2}, work)
    assert work.calls == 2 and (text is None or len([*(tmp_path / "run" / "earlier").glob("manifest.json-damaged*")]) == 1)


async def test_what_was_set_aside_and_damaged_there_is_not_taken_back(tmp_path: Path) -> None:
    said, work = list[str](), Work()
    with pipeline.opened(tmp_path / "run", said.append) as run:
        await run.stage("a", {"k": 2}, work)
        await run.stage("a", {"k": 3}, work)
        (kept,) = (run.folder / "earlier").iterdir()
        (kept / "out.txt").write_text("9")
        await run.stage("a", {"k": 2}, work)
        assert work.calls == 3 and any("is not taken back" in line for line in said)
        await run.stage("a", {"k": 3}, work)
        assert work.calls == 3 and manifest.stages_of(run.folder)["a"]["rows"] == 3  # taken back, finished as it was


async def test_a_folder_without_a_readable_label_is_set_aside_unless_its_stage_is_finished(tmp_path: Path) -> None:
    with pipeline.opened(tmp_path / "run", lambda _: None) as run:
        work = Work()
        await run.stage("a", {"k": 2}, work)
        (run.folder / "a" / ".fingerprint.json").write_text("{")
        await run.stage("a", {"k": 2}, work)
        assert work.calls == 1 and manifest.label(run.folder / "a") is not None
        with pytest.raises(RuntimeError):
            await run.stage("b", {"k": 2}, Work(fail=True))
        (run.folder / "b" / ".fingerprint.json").unlink()
        await run.stage("b", {"k": 2}, work)
        assert [path.name for path in (run.folder / "earlier").iterdir()] == ["b-unknown"]


async def test_a_finished_stage_of_an_earlier_version_is_kept_and_gets_its_digests(tmp_path: Path) -> None:
    said, work = list[str](), Work()
    with pipeline.opened(tmp_path / "run", said.append) as run:
        await run.stage("a", {"k": 2}, work)
        told = manifest.load(run.folder)
        told["stages"]["a"] = {key: told["stages"]["a"][key] for key in ("fingerprint", "parts", "seconds")}
        jsonl.write_json(run.folder / "manifest.json", told)
        jsonl.write_json(run.folder / "a" / ".fingerprint.json", {key: told["stages"]["a"][key] for key in ("fingerprint", "parts")})
        await run.stage("a", {"k": 2}, work)
        assert work.calls == 1 and any("had no digests yet" in line for line in said)
        (run.folder / "a" / "out.txt").write_text("9")
        await run.stage("a", {"k": 2}, work)
        assert work.calls == 2


async def test_a_stage_that_cannot_go_on_from_its_own_files_begins_anew_once(tmp_path: Path) -> None:
    calls = []

    async def work(folder: Path) -> dict[str, Any]:
        calls.append(names(folder))
        (folder / "half").write_text("x")
        if len(calls) == 1:
            raise DamageError("is not JSON", where="half")
        return {}

    with pipeline.opened(tmp_path / "run", lambda _: None) as run:
        await run.stage("a", {"k": 2}, work)
        assert calls == [[".fingerprint.json"]] * 2 and (run.folder / "earlier" / "a-damaged" / "half").exists()


async def test_a_folder_that_is_removed_while_its_stage_runs_is_an_error(tmp_path: Path) -> None:
    async def work(folder: Path) -> dict[str, Any]:
        shutil.rmtree(folder.parent)
        return {}

    with pipeline.opened(tmp_path / "run", lambda _: None) as run, pytest.raises(StorageError, match="was removed"):
        await run.stage("a", {"k": 2}, work)


async def test_each_stage_keeps_the_recipe_that_made_it(tmp_path: Path) -> None:
    with pipeline.opened(tmp_path / "run", lambda _: None) as run:
        await replace(run, recipe={"seed": 1}).stage("evaluate/a", {"k": 2}, Work())
        with pytest.raises(RuntimeError):
            await replace(run, recipe={"seed": 2}).stage("evaluate/b", {"k": 3}, Work(fail=True))
        assert manifest.recipe(run.folder, "evaluate") == {"seed": 1} and manifest.recipe(run.folder, "evaluate/b") is None
        label = run.folder / "evaluate/a" / ".fingerprint.json"
        label.write_text(label.read_text().replace('"seed": 1', '"seed": 5'))
        with pytest.raises(DataError, match="record of the recipe"):
            manifest.recipe(run.folder, "evaluate")
        await replace(run, recipe={"seed": 1, "arms": 2}).stage("evaluate/a", {"k": 2}, Work())  # as good a record of the same outcome
        assert manifest.recipe(run.folder, "evaluate/a") == {"seed": 1, "arms": 2}


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


def test_the_order_of_parts_is_no_part() -> None:
    assert manifest.fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == manifest.fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert manifest.fingerprint({"a": 1}) != manifest.fingerprint({"a": 2})
