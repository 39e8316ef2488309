"""Where results go: never onto what they are made from, and never among files that somebody else put there."""

from __future__ import annotations

from pathlib import Path

from usbrec.errors import ConfigError

_MARKS = {".lock", "manifest.json", "recipe.json"}
_LEFT = {
    "prepare",
    "sft",
    "prefer",
    "simpo",
    "export",
    "evaluate",
    "rankings",
    "report",
    "ledger.sqlite",
    "ledger.sqlite-wal",
    "ledger.sqlite-shm",
}
"""All that may be left where a run folder was removed under a command: it is one still (`pipeline` sets aside what it does not know)."""


def apart(out: Path, *inputs: Path | None) -> Path:
    """The folder or file to write, when it is no input and holds none; links are followed.

    Raises:
        ConfigError: it is one of the inputs, or one of them lies in it.
    """
    for given in inputs:
        if given is not None and given.resolve().is_relative_to(out.resolve()):
            what = "is what is read" if given.resolve() == out.resolve() else f"holds what is read ({given})"
            raise ConfigError(f"{what}: it would be overwritten", where=f"--out {out}", fix="choose another folder")
    return out


def vacant(out: Path, names: tuple[str, ...], mark: str) -> Path:
    """The folder to write, when none of these files lies there, or the one that marks them as written by usbrec does.

    Raises:
        ConfigError: somebody's file would be overwritten, or this is no folder.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError("is no folder", where=f"--out {out}", fix="choose another")
    there = [] if (out / mark).exists() else [name for name in names if (out / name).exists()]
    if there:
        what = f"holds {', '.join(there)} already, which would be overwritten"
        raise ConfigError(what, where=f"--out {out}", fix="choose another folder, or move these files away")
    return out


def run_folder(out: Path | None, name: str, *inputs: Path | None) -> Path:
    """The run folder: the one asked for, or `runs/NAME`.

    Raises:
        ConfigError: the name leads out of `runs`, or the folder is an input, holds one, or holds files of something else.
    """
    folder = apart(_below(Path("runs"), name) if out is None else out, *inputs)
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not (there & _MARKS or there <= _LEFT):
        what = "holds other files and is no run folder"
        raise ConfigError(what, where=f"--out {folder}", fix="choose a new or an empty folder")
    return folder


def experiment_folder(out: Path | None, name: str, *inputs: Path | None) -> Path:
    """Where an experiment's runs go: the folder asked for, or `runs/experiments/NAME`.

    Raises:
        ConfigError: as `run_folder`, but the folder may hold anything: each run has a folder of its own in it.
    """
    return apart(_below(Path("runs") / "experiments", name) if out is None else out, *inputs)


def _below(folder: Path, name: str) -> Path:
    if Path(name).name != name or name in ("", ".", "..") or not name.isprintable():
        raise ConfigError(f"'{name}' names no folder below {folder}/", where="name", fix="write a plain name without '/', or give --out")
    return folder / name
