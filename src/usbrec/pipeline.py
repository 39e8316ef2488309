"""Stages with fingerprints and digests: what is done, unchanged and undamaged is not done again.

A stage's fingerprint covers its section of the recipe, the fingerprints of the stages it reads from, the digests of the prompts it uses,
and the package version.  `manifest.json` in the run folder holds one entry a finished stage, with a digest of every file that it left
(`manifest`).  The entry is forgotten before a stage's work begins: what was interrupted is never taken for finished, and resumes inside.
When a fingerprint changes, or what a stage read is no longer what it was made from, the old outputs are set aside under `earlier/`, not
deleted, and taken back when the recipe changes back.  Outputs that are not as they were left are set aside, too, and never taken back.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from usbrec import __version__, interrupts, jsonl, manifest
from usbrec.errors import DamageError, StorageError
from usbrec.manifest import LABEL, MANIFEST, fingerprint

Say = Callable[[str], None]
Work = Callable[[Path], Awaitable[dict[str, Any] | None]]


def slug(name: str) -> str:
    """A name as a folder's."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-")


def _with_broken(mark: str, notes: Mapping[str, Any]) -> str:
    return fingerprint([mark, notes["broken"]]) if notes.get("broken") else mark


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path
    say: Say
    recipe: Mapping[str, Any] | None = None
    """What its stages are made with from now on: each keeps it beside its outputs."""

    @property
    def manifest(self) -> dict[str, Any]:
        return {"usbrec": __version__, "machine": machine(), **manifest.load(self.folder)}

    def finished(self, stage: str) -> bool:
        return stage in self.manifest["stages"]

    async def stage(
        self,
        name: str,
        parts: dict[str, Any],
        work: Work,
        *,
        label: str = "",
        retry: bool = False,
        reads: Sequence[str] = (),
    ) -> str:
        """Runs a stage unless it is finished with the same fingerprint; returns the fingerprint.

        Args:
            parts: everything that decides the outcome.
            work: fills the stage's folder; resumes by itself on what it finds there.  Returns notes for the manifest.
            retry: where the notes of a finished stage name `broken` rows, these are tried again.  While there are any, their keys are
                part of what is returned, so that a stage which reads this one notices when others, or none, are.
            reads: stages, or files or folders of stages (`sft/adapter`), that `work` reads: when they hold anything else than what this
                stage was made from (because a damaged one was done anew, say), it is done again.

        Raises:
            StorageError: the folder was removed while the stage was running.
        """
        parts = json.loads(json.dumps({"usbrec": __version__, **parts}, default=str))
        stages, mark = self.manifest["stages"], fingerprint(parts)
        begun = {"fingerprint": mark, "parts": parts, "reads": {read: manifest.contents(stages, read) for read in reads}}
        known, told, folder = self._found(name, begun), label or "running", self.folder / name
        if known and "seconds" in known:
            again = known.get("broken") if retry else None
            if not again:
                files = known["files"] if "files" in known else manifest.digests(folder)
                self._record(name, {**known, "reads": begun["reads"], "files": files})
                note = "" if "files" in known else "; it had no digests yet: its files are taken as they are"
                self.say(f"{name}: unchanged, kept ({known['seconds']:.0f} s saved){note}")
                return _with_broken(mark, known)
            told += f", the {len(again)} that failed again"
        began = time.monotonic()
        with interrupts.within(lambda: f"in {name}"):
            notes = await self._worked(name, begun, work, told)
        spent = time.monotonic() - began
        if not (folder / LABEL).exists():
            raise StorageError("the folder was removed while the stage ran", where=str(folder), fix="run the same command again")
        self._record(name, {**begun, "seconds": round(spent, 1), **notes, "files": manifest.digests(folder)})
        self.say(f"{name}: done in {spent:.0f} s")
        return _with_broken(mark, notes)

    def rewritten(self, name: str) -> None:
        """Records the files of a finished stage anew, after a command wrote them again; nothing where it is not finished."""
        if entry := self.manifest["stages"].get(name):
            made = (manifest.label(self.folder / name) or {}).get("recipe")
            replace(self, recipe=made)._record(name, entry | {"files": manifest.digests(self.folder / name)})

    def adopt(self, source: Path, name: str) -> None:
        """Copies a stage out of another run folder, with what that one says of it."""
        target, entry = self.folder / name, manifest.stages_of(source).get(name)
        self._forget(name)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source / name, target)
        if entry is not None:
            self._write({**self.manifest["stages"], name: entry})

    async def _worked(self, name: str, begun: dict[str, Any], work: Work, told: str) -> dict[str, Any]:
        """The notes of a stage's work; where that cannot go on from what it left itself, it is begun anew, once."""
        self._begin(name, begun)
        self.say(f"{name}: {told}")
        try:
            return await work(self.folder / name) or {}
        except DamageError as fault:
            self._set_aside(name, "damaged", f"{fault.where}: {fault.what}")
        self._begin(name, begun)
        return await work(self.folder / name) or {}

    def _found(self, name: str, begun: dict[str, Any]) -> dict[str, Any] | None:
        """What is there and can be built on: with `seconds` where it is finished; anything else is set aside."""
        folder, entry = self.folder / name, self.manifest["stages"].get(name)
        if (held := entry or manifest.label(folder)) is None:
            if not _holds(folder):
                return self._taken_back(name, begun)
            self._set_aside(name, "unknown", "nothing says what made the files that are there")
        elif found := manifest.faults(folder, held):
            self._set_aside(name, "damaged", found[0] + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""))
        elif changed := _changed(held, begun):
            self._set_aside(name, held["fingerprint"], f"changed since the last run: {changed}")
            return self._taken_back(name, begun)
        else:
            return entry or {key: value for key, value in held.items() if key != "seconds"}
        return None

    def _taken_back(self, name: str, begun: dict[str, Any]) -> dict[str, Any] | None:
        """What was set aside earlier with this fingerprint, in its place again; None where there is nothing that can be built on."""
        aside = self._earlier(name, begun["fingerprint"])
        if not aside.exists():
            return None
        held = manifest.label(aside)
        if held is None or manifest.faults(aside, held) or _changed(held, begun):
            self.say(f"{name}: {aside.relative_to(self.folder)} is not as it was left, and is not taken back")
            return None
        self._move(aside, self.folder / name)
        self.say(f"{name}: taken back from {aside.relative_to(self.folder)}")
        return held

    def _set_aside(self, name: str, suffix: str, why: str) -> None:
        self._forget(name)
        if not (self.folder / name).exists():
            self.say(f"{name}: {why}")
            return
        wanted = self._earlier(name, suffix)
        numbered = (wanted.with_name(f"{wanted.name}-{number}") for number in count(2))
        aside = next(free for free in chain([wanted], numbered) if not free.exists())
        self.say(f"{name}: {why}; what is there is kept in {aside.relative_to(self.folder)}")
        self._move(self.folder / name, aside)

    def _earlier(self, name: str, suffix: str) -> Path:
        return self.folder / "earlier" / f"{name.replace('/', '~')}-{suffix}"

    @staticmethod
    def _move(source: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                target.rmdir()  # it is empty
            source.rename(target)
        except OSError as fault:
            raise StorageError(
                f"cannot be moved to {target} ({fault.strerror})", where=str(source), fix="make that folder writable"
            ) from None

    def _begin(self, name: str, begun: dict[str, Any]) -> None:
        self._forget(name)
        jsonl.write_json(self.folder / name / LABEL, {**begun, "recipe": self.recipe})

    def _record(self, name: str, entry: dict[str, Any]) -> None:
        """Seals a finished stage: its label first, so that whoever reads the manifest finds both."""
        told = {**entry, "recipe": self.recipe}
        if manifest.label(self.folder / name) != told:
            jsonl.write_json(self.folder / name / LABEL, told)
        self._write({**self.manifest["stages"], name: manifest.entry_of(told)})

    def _forget(self, name: str) -> None:
        if name in (stages := self.manifest["stages"]):
            self._write({other: entry for other, entry in stages.items() if other != name})

    def _write(self, stages: dict[str, Any]) -> None:
        if manifest.damage(self.folder) or stages != self.manifest["stages"]:
            jsonl.write_json(self.folder / MANIFEST, {**self.manifest, "stages": stages})

    def mend(self) -> None:
        """Puts a manifest that is gone or damaged together again from the labels of the stages; the damaged one is set aside."""
        what, path = manifest.damage(self.folder), self.folder / MANIFEST
        if what and (path.exists() or self.manifest["stages"]):
            found = self.manifest
            self._set_aside(MANIFEST, "damaged", f"{what}: put together again from what its {len(found['stages'])} finished stages say")
            jsonl.write_json(path, found)


def _holds(folder: Path) -> bool:
    """Is there anything?"""
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _changed(held: dict[str, Any], begun: dict[str, Any]) -> str:
    """In what an earlier stage differs from the one that is asked for; empty where it does not."""
    if held["fingerprint"] != begun["fingerprint"]:
        found = jsonl.differences(held["parts"], begun["parts"]) or ["its fingerprint"]
        return "; ".join(found[:6]) + (" ..." if len(found) > 6 else "")
    known = held.get("reads", {})
    others = [read for read, now in begun["reads"].items() if None not in (now, known.get(read)) and now != known[read]]
    return f"{', '.join(others)} is not what it was made from" if others else ""


@contextmanager
def opened(folder: Path, say: Say) -> Iterator[Run]:
    """The run folder, locked against a second run.

    Raises:
        StorageError: the folder cannot be made, or another run is using it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as fault:
        raise StorageError(
            f"cannot be used as a run folder ({fault.strerror})", where=str(folder), fix="choose another with --out"
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StorageError(
                "another run is using this folder", where=str(folder), fix="wait for it, or choose another with --out"
            ) from None
        run = Run(folder=folder, say=say)
        run.mend()
        yield run
    finally:
        lock.close()


def machine() -> dict[str, Any]:
    """Size and kind of the machine, for reports."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0.0
    return {"cores": os.cpu_count(), "memory_gib": round(memory, 1), "system": platform.system(), "processor": platform.machine(),
            "python": platform.python_version()}  # fmt: skip
