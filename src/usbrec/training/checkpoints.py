"""Which checkpoints can be trusted after a kill at any moment.

A checkpoint is *sealed* when everything in it is written: the seal lists each file with its SHA-256.  Only a sealed checkpoint whose files
still match is resumed from; all others are removed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from usbrec import jsonl

SEAL = "sealed.json"


def seal(folder: Path) -> None:
    """Marks a checkpoint as complete; call it when the last file is written."""
    jsonl.write_json(
        folder / SEAL, {path.name: jsonl.sha256(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != SEAL}
    )


def is_whole(folder: Path) -> bool:
    """Is it sealed, and is every file as it was then?"""
    try:
        listed: dict[str, str] = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return all(jsonl.sha256(folder / name) == digest for name, digest in listed.items())
    except (OSError, ValueError, AttributeError):
        return False


def step_of(folder: Path) -> int:
    """The optimiser step of `checkpoint-<step>` or `step-<step>`."""
    return int(folder.name.rpartition("-")[2])


def kept(out: Path, step: int) -> Path:
    """Where the adapter of a step is kept (`keep_every`)."""
    return out / "kept" / f"step-{step}"


def all_kept(out: Path) -> dict[int, Path]:
    """Step -> its adapter, in order, for the steps that were kept."""
    return {step_of(path): path for path in sorted((out / "kept").glob("step-*"), key=step_of)}


def latest(out: Path) -> Path | None:
    """The newest whole checkpoint under `out`; every half-written one, and every newer one, is removed."""
    folders = sorted((path for path in out.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()), key=step_of, reverse=True)
    for folder in folders:
        if is_whole(folder):
            return folder
        shutil.rmtree(folder)
    return None
