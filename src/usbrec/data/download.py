"""Fetches a corpus from its official home: resumable, checked, whole or not at all.

A transfer goes to `NAME.part`; a second attempt continues it with a Range request; the file gets its name only when its length and its
SHA-256 fit.  Where no digest is pinned here, the digest found is printed and recorded in `SHA256SUMS`, and later fetches must match it.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx

from usbrec import jsonl
from usbrec.errors import DataError, StorageError
from usbrec.types import Frozen

ATTEMPTS = 3


class Remote(Frozen):
    """One file of a corpus."""

    name: str
    sha256: str = ""
    """Pinned; empty where it is not known."""


class Home(Frozen):
    """Where a corpus officially lives."""

    base_url: str
    files: tuple[Remote, ...]
    licence: str


HOMES = {
    "redial": Home(
        base_url="https://github.com/ReDialData/website/raw/data",
        files=(Remote(name="redial_dataset.zip", sha256="b48756681ec6f84e0af36979c5e9baa21ea8d9e7036b8764ea9b787bb0baf69b"),),
        licence="ReDial is published under CC BY 4.0 (Li et al., NeurIPS 2018): name the authors.",
    ),
    "opendialkg": Home(
        base_url="https://raw.githubusercontent.com/facebookresearch/opendialkg/main/data",
        files=tuple(
            Remote(name=name)
            for name in ("opendialkg.csv", "opendialkg_entities.txt", "opendialkg_relations.txt", "opendialkg_triples.txt")
        ),
        licence="OpenDialKG is published under CC BY-NC 4.0 (Moon et al., ACL 2019): not for commercial use; name the authors.",
    ),
}


def get(kind: str, out: Path, *, base_url: str = "", pinned: bool = True, say: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Fetches all files of a corpus into `out` and unpacks archives; files that are there and whole are not fetched again.

    Args:
        base_url: a mirror instead of the official home.
        pinned: check against the digests pinned here (a mirror may pack its own).
        say: is told what happens, a line at a time.

    Raises:
        DataError: the corpus is unknown, the server does not have a file, or a digest does not fit.
        StorageError: the folder cannot be written.
    """
    home = HOMES.get(kind)
    if home is None:
        raise DataError(f"no official home of '{kind}' is known", fix=f"known: {', '.join(sorted(HOMES))}")
    say(home.licence)
    known = _recorded(out)
    paths = []
    for remote in home.files:
        wanted = (remote.sha256 if pinned else "") or known.get(remote.name, "")
        path, found = fetch(f"{base_url.rstrip('/') or home.base_url}/{remote.name}", out / remote.name, sha256=wanted, say=say)
        known[remote.name] = found
        jsonl.write_text(out / "SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())))
        paths.append(path)
        if path.suffix == ".zip":
            paths.extend(_unpack(path, out))
    return paths


def fetch(url: str, path: Path, *, sha256: str = "", say: Callable[[str], None] = lambda _: None) -> tuple[Path, str]:
    """Fetches one file; (its path, its SHA-256).

    Raises:
        DataError: the server cannot be reached, has no such file, or the digest does not fit (then nothing is kept).
        StorageError: the file cannot be written.
    """
    if path.exists() and sha256 and _digest(path) == sha256:
        say(f"{path.name}: already there")
        return path, sha256
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _transfer(url, part, say)
        found = _digest(part)
        if sha256 and found != sha256:
            part.unlink()
            fix = "try again; if it stays so, the file at its home has changed: compare with the project's page before you use it"
            raise DataError(f"the digest is {found}, expected {sha256}; nothing was kept", where=url, fix=fix)
        part.replace(path)
    except OSError as fault:
        fix = "make room, or choose another folder with --out"
        raise StorageError(f"cannot be written ({fault.strerror or fault})", where=str(path), fix=fix) from fault
    say(f"{path.name}: {path.stat().st_size} bytes, SHA-256 {found}" + ("" if sha256 else " (no digest is pinned: recorded)"))
    return path, found


def _transfer(url: str, part: Path, say: Callable[[str], None]) -> None:
    problem = ""
    for attempt in range(ATTEMPTS):
        try:
            if _continue(url, part):
                return
            problem = "the connection was cut"
        except httpx.TransportError as fault:
            problem = str(fault) or type(fault).__name__
        if attempt + 1 < ATTEMPTS:
            say(f"{part.stem}: {problem}; going on at byte {part.stat().st_size if part.exists() else 0}")
    raise DataError(f"could not be fetched ({problem})", where=url, fix="run the same command again: it goes on where it stopped")


def _continue(url: str, part: Path) -> bool:
    """One request for what is missing; True when the file is complete."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=60) as answer:
        if answer.status_code == 416:
            return True
        if answer.status_code not in (200, 206):
            fix = "check the address (--base-url), or fetch the files by hand and use usbrec data import --from-dir"
            raise DataError(f"the server answers {answer.status_code}", where=url, fix=fix)
        if answer.status_code == 200:
            start = 0
        expected = answer.headers.get("content-length")
        with part.open("ab" if start else "wb") as file:
            for block in answer.iter_raw():
                file.write(block)
    return expected is None or part.stat().st_size == start + int(expected)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recorded(out: Path) -> dict[str, str]:
    path = out / "SHA256SUMS"
    if not path.exists():
        return {}
    pairs = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {name: digest for digest, name in pairs}


def _unpack(path: Path, out: Path) -> list[Path]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            for name in names:
                target = (out / name).resolve()
                if not target.is_relative_to(out.resolve()):
                    raise DataError(f"the archive holds a path that leads out of its folder: {name}", where=str(path))
            archive.extractall(out)
    except zipfile.BadZipFile:
        raise DataError("is no zip archive", where=str(path), fix="remove it and fetch it again") from None
    return [out / name for name in names]
