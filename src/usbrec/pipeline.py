"""Stages with fingerprints: what is done and unchanged is not done again.

A stage's fingerprint covers its section of the recipe, the fingerprints of the stages it reads from, the digests of the prompts it uses,
and the package version.  `manifest.json` in the run folder holds one entry a finished stage.  A stage that was interrupted has its
fingerprint in `<stage>/.fingerprint.json` and resumes inside.  When a fingerprint changes, the old outputs are set aside under
`earlier/`, not deleted, and taken back when the recipe changes back.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usbrec import __version__, interrupts, jsonl
from usbrec.errors import StorageError, UsbrecError

Say = Callable[[str], None]


def slug(name: str) -> str:
    """A name as a folder's."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-")


def fingerprint(parts: object) -> str:
    """16 hex digits over the canonical JSON of the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _with_broken(mark: str, notes: dict[str, Any]) -> str:
    return fingerprint([mark, notes["broken"]]) if notes.get("broken") else mark


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path
    say: Say

    @property
    def manifest(self) -> dict[str, Any]:
        path = self.folder / "manifest.json"
        if not path.exists():
            return {"usbrec": __version__, "machine": machine(), "stages": {}}
        try:
            value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise UsbrecError("is not JSON", where=str(path), fix="remove it: finished stages are then checked again") from None
        return value

    def finished(self, stage: str) -> bool:
        return stage in self.manifest["stages"]

    async def stage(
        self,
        name: str,
        parts: dict[str, Any],
        work: Callable[[Path], Awaitable[dict[str, Any] | None]],
        *,
        label: str = "",
        retry: bool = False,
    ) -> str:
        """Runs a stage unless it is finished with the same fingerprint; returns the fingerprint.

        Args:
            parts: everything that decides the outcome.
            work: fills the stage's folder; resumes by itself on what it finds there.  Returns notes for the manifest.
            retry: where the notes of a finished stage name `broken` rows, these are tried again.  While there are any, their keys are
                part of what is returned, so that a stage which reads this one notices when others, or none, are.
        """
        parts = {"usbrec": __version__, **parts}
        mark = fingerprint(parts)
        folder = self.folder / name
        known = self.manifest["stages"].get(name)
        told = label or "running"
        if known and known["fingerprint"] == mark and folder.exists():
            if not (retry and known.get("broken")):
                self.say(f"{name}: unchanged, kept ({known['seconds']:.0f} s saved)")
                return _with_broken(mark, known)
            told += f", the {len(known['broken'])} that failed again"
        self._make_room(name, mark, parts)
        self.say(f"{name}: {told}")
        began = time.monotonic()
        with interrupts.within(lambda: f"in {name}"):
            notes = await work(folder) or {}
        spent = time.monotonic() - began
        self._record(name, {"fingerprint": mark, "parts": json.loads(json.dumps(parts, default=str)), "seconds": round(spent, 1), **notes})
        self.say(f"{name}: done in {spent:.0f} s")
        return _with_broken(mark, notes)

    def _make_room(self, name: str, mark: str, parts: dict[str, Any]) -> None:
        """Sets outputs of another fingerprint aside, and takes back those of this one if they are there."""
        folder, label = self.folder / name, self.folder / name / ".fingerprint.json"
        if label.exists():
            old = json.loads(label.read_text(encoding="utf-8"))
            if old["fingerprint"] != mark:
                changed = jsonl.differences(old["parts"], json.loads(json.dumps(parts, default=str)))
                self.say(f"{name}: changed since the last run: {'; '.join(changed[:6])}{' ...' if len(changed) > 6 else ''}")
                aside = self.folder / "earlier" / f"{name.replace('/', '~')}-{old['fingerprint']}"
                aside.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
                self._forget(name)
        aside = self.folder / "earlier" / f"{name.replace('/', '~')}-{mark}"
        if aside.exists() and not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            aside.rename(folder)
            self.say(f"{name}: taken back from {aside.relative_to(self.folder)}")
        jsonl.write_json(label, {"fingerprint": mark, "parts": parts})

    def _record(self, name: str, entry: dict[str, Any]) -> None:
        manifest = self.manifest
        manifest["stages"][name] = entry
        jsonl.write_json(self.folder / "manifest.json", manifest)

    def _forget(self, name: str) -> None:
        manifest = self.manifest
        if manifest["stages"].pop(name, None) is not None:
            jsonl.write_json(self.folder / "manifest.json", manifest)


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
        yield Run(folder=folder, say=say)
    finally:
        lock.close()


def machine() -> dict[str, Any]:
    """Size and kind of the machine, for reports."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0.0
    return {"cores": os.cpu_count(), "memory_gib": round(memory, 1), "system": platform.system(), "processor": platform.machine(),
            "python": platform.python_version()}  # fmt: skip
