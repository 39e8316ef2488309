"""Fetches a corpus from its official home: resumable, checked, whole or not at all.

A transfer goes to `NAME.part`; the file gets its name only when all of it came and it is what it should be.  What a server says is not
believed: a web page, another file, a packed answer that cannot be unpacked, a piece from elsewhere than was asked for, and more than
`LIMIT` bytes are refused.  A cut transfer goes on with a Range request where the end of it can be checked (a digest, or the same ETag as
before), else it starts over.  Where no digest is pinned here, the digest found is printed and recorded in `SHA256SUMS`, and later fetches
must match it.  A file that is there and is not what it should be is never overwritten: somebody may have put it there.
"""

from __future__ import annotations

import fcntl
import re
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from usbrec import jsonl
from usbrec.errors import DataError, StorageError, first_line
from usbrec.types import Frozen

ATTEMPTS = 3
LIMIT = 1 << 30
"""Most bytes of one file, and of what an archive holds: a tenth of it is more than any of them has."""
SLOWEST, PATIENCE = 1024, 60.0
"""Least bytes a second, over so many seconds; also how long a silent server is waited for."""
_CHECK = "check the address (--base-url), or fetch the file by hand and use usbrec data import --from-dir"
_UNPACKED = ("", "identity", "gzip", "x-gzip", "deflate")
_PIECE = 1 << 20
_HTML = re.compile(rb"\s*<(?:!doctype html|html|head|script)", re.IGNORECASE)


class Remote(Frozen):
    """One file of a corpus."""

    name: str
    sha256: str = ""
    """Pinned; empty where it is not known."""
    begins: str = ""
    """A regular expression that its first bytes match."""


class Home(Frozen):
    """Where a corpus officially lives."""

    base_url: str
    files: tuple[Remote, ...]
    licence: str


HOMES = {
    "redial": Home(
        base_url="https://github.com/ReDialData/website/raw/data",
        files=(Remote(name="redial_dataset.zip", begins="PK", sha256="b48756681ec6f84e0af36979c5e9baa21ea8d9e7036b8764ea9b787bb0baf69b"),),
        licence="ReDial is published under CC BY 4.0 (Li et al., NeurIPS 2018): name the authors.",
    ),
    "opendialkg": Home(
        base_url="https://raw.githubusercontent.com/facebookresearch/opendialkg/main/data",
        files=(
            Remote(name="opendialkg.csv", begins=r"[^\n]*Messages"),
            Remote(name="opendialkg_entities.txt", begins=r"[^{<\n]+\n?"),
            Remote(name="opendialkg_relations.txt", begins=r"[^{<\n]+\n?"),
            Remote(name="opendialkg_triples.txt", begins=r"[^\t\n]+\t[^\t\n]+\t"),
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
        DataError: the corpus is unknown, the server does not have a file or sends something else, or a digest does not fit.
        StorageError: the folder cannot be written, another process is fetching into it, or somebody else's file is in the way.
    """
    home = HOMES.get(kind)
    if home is None:
        raise DataError(f"no official home of '{kind}' is known", fix=f"known: {', '.join(sorted(HOMES))}")
    say(home.licence)
    paths = []
    with _alone(out):
        known = _recorded(out)
        for remote in home.files:
            wanted = (remote.sha256 if pinned else "") or known.get(remote.name, "")
            url = f"{base_url.rstrip('/') or home.base_url}/{remote.name}"
            path, found = fetch(url, out / remote.name, sha256=wanted, begins=remote.begins, say=say)
            known[remote.name] = found
            jsonl.write_text(out / "SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())))
            paths.append(path)
            if path.suffix == ".zip":
                paths.extend(_unpack(path, out))
    return paths


def fetch(url: str, path: Path, *, sha256: str = "", begins: str = "", say: Callable[[str], None] = lambda _: None) -> tuple[Path, str]:
    """Fetches one file; (its path, its SHA-256).

    Raises:
        DataError: the server cannot be reached, has no such file or sends something else, or the digest does not fit: nothing is kept.
        StorageError: the file cannot be written, or another one of its name is there.
    """
    where = _shown(url)
    if path.exists():
        if path.is_file() and sha256 and jsonl.sha256(path) == sha256:
            say(f"{path.name}: already there")
            return path, sha256
        what = (
            "is there already, and is not the file that was recorded" if sha256 else "is there already, and nothing tells that it is whole"
        )
        raise StorageError(what, where=str(path), fix="move it away, or choose another folder with --out")
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        say(f"{path.name}: from {where}")
        _Transfer(url, part, sha256).run(say)
        found = jsonl.sha256(part)
        if sha256 and found != sha256:
            _forget(part)
            fix = "try again; if it stays so, the file at its home has changed: compare with the project's page before you use it"
            raise DataError(f"the digest is {found}, expected {sha256}; nothing was kept", where=where, fix=fix)
        with part.open("rb") as file:
            head = file.read(4096)
        if _HTML.match(head) or not re.match(begins.encode(), head.removeprefix(b"\xef\xbb\xbf")):
            _forget(part)
            raise DataError(f"the server sends something else than {path.name} ({head[:40]!r} ...)", where=where, fix=_CHECK)
        part.replace(path)
        _forget(part)
    except OSError as fault:
        fix = "make room, or choose another folder with --out"
        raise StorageError(f"cannot be written ({fault.strerror or fault})", where=str(path), fix=fix) from fault
    say(f"{path.name}: {path.stat().st_size} bytes, SHA-256 {found}" + ("" if sha256 else " (no digest is pinned: recorded)"))
    return path, found


class _Refused(Exception):
    """What a server sends is no use; asking again may help."""


class _Transfer:
    """One file on its way, over several requests."""

    def __init__(self, url: str, part: Path, sha256: str) -> None:
        self._url, self._part, self._sure = url, part, bool(sha256)
        self._tag = part.with_name(part.name + ".tag")

    def run(self, say: Callable[[str], None]) -> None:
        problem = ""
        for attempt in range(ATTEMPTS):
            try:
                if self._continue():
                    return
                problem = "the connection was cut"
            except (httpx.RequestError, httpx.InvalidURL, _Refused) as fault:
                problem = first_line(fault)
            if attempt + 1 < ATTEMPTS:
                say(f"{self._part.stem}: {problem}; going on at byte {self._start()}")
        fix = "run the same command again: it goes on where it stopped"
        raise DataError(f"could not be fetched ({problem})", where=_shown(self._url), fix=fix)

    def _start(self) -> int:
        """From which byte on to ask; 0 where what is there could not be told from a piece of another file."""
        if not self._part.exists() or not (self._sure or self._tag.exists()):
            return 0
        return self._part.stat().st_size

    def _continue(self) -> bool:
        """One request for what is missing; True when the file is complete."""
        start = self._start()
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if self._tag.exists():
                headers["If-Range"] = self._tag.read_text(encoding="ascii")
        with httpx.stream("GET", self._url, headers=headers, follow_redirects=True, timeout=PATIENCE) as answer:
            if answer.status_code == 416:
                return self._is_all(answer, start)
            self._look(answer, start)
            packed = answer.headers.get("content-encoding", "").lower() not in ("", "identity")
            if answer.status_code == 200:
                start = 0
                _forget(self._part)
                if not packed and (tag := answer.headers.get("etag", "")).startswith('"') and tag.isascii():
                    self._tag.write_text(tag, encoding="ascii")
            length = answer.headers.get("content-length", "")
            if not (length or self._sure or "chunked" in answer.headers.get("transfer-encoding", "")):
                raise _Refused("the server does not say how long the file is, and no digest is known")
            length = int(length) if length.isdecimal() and not packed else None
            if start + (length or 0) > LIMIT:
                raise self._too_long()
            self._take(_unpacked(answer.iter_raw()) if packed else answer.iter_raw(), start)
        whole = length is None or self._part.stat().st_size == start + length
        if packed and not whole:
            _forget(self._part)
        return whole

    def _take(self, blocks: Iterator[bytes], size: int) -> None:
        began, mark = time.monotonic(), size
        with self._part.open("ab" if size else "wb") as file:
            for block in blocks:
                size += len(block)
                if size > LIMIT:
                    raise self._too_long()
                file.write(block)
                if (now := time.monotonic()) - began > PATIENCE:
                    if size - mark < SLOWEST * (now - began):
                        raise _Refused(f"it came at less than {SLOWEST} bytes a second")
                    began, mark = now, size

    def _look(self, answer: httpx.Response, start: int) -> None:
        """Refuses what cannot be the file, or not the piece of it that was asked for."""
        where = _shown(self._url)
        if answer.status_code not in (200, 206):
            raise DataError(f"the server answers {answer.status_code}", where=where, fix=_CHECK)
        if "html" in answer.headers.get("content-type", ""):
            raise DataError("the server sends a web page, a login perhaps, and not the file", where=where, fix=_CHECK)
        packed = answer.headers.get("content-encoding", "").lower()
        if packed not in _UNPACKED:
            raise DataError(f"the server packs the file by '{packed}', which cannot be unpacked here", where=where, fix=_CHECK)
        if answer.status_code == 206:
            found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("content-range", ""))
            ends = found is not None and found[3] in ("*", str(int(found[2]) + 1))
            if not start or not found or int(found[1]) != start or not ends or packed not in ("", "identity"):
                _forget(self._part)
                raise _Refused(f"asked for byte {start} on, the server sends '{answer.headers.get('content-range', 'no Content-Range')}'")

    def _is_all(self, answer: httpx.Response, start: int) -> bool:
        """Nothing is left to send: the file is complete, if the server says that it is as long as what is here."""
        if answer.headers.get("content-range", "") == f"bytes */{start}":
            return True
        _forget(self._part)
        raise _Refused("the piece that is here is no piece of the server's file")

    def _too_long(self) -> DataError:
        _forget(self._part)
        return DataError(f"the file is longer than {LIMIT} bytes; nothing was kept", where=_shown(self._url), fix=_CHECK)


def _unpacked(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """What a gzip or deflate stream holds, piece by piece: a cut stream, and one of several members, httpx takes for whole."""
    unpacker = zlib.decompressobj(47)
    try:
        for block in blocks:
            while block:
                yield unpacker.decompress(block, _PIECE)
                block = unpacker.unused_data or unpacker.unconsumed_tail
                if unpacker.eof and block:
                    unpacker = zlib.decompressobj(47)
    except zlib.error as fault:
        raise _Refused(f"it is not packed as the server says ({fault})") from None
    if not unpacker.eof:
        raise _Refused("what the server packed is cut off")


def _forget(part: Path) -> None:
    for path in (part, part.with_name(part.name + ".tag")):
        path.unlink(missing_ok=True)


def _shown(url: str) -> str:
    """The address without user and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """The folder, locked against a second fetch."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".fetch.lock").open("w")
    except OSError as fault:
        raise StorageError(f"cannot be written ({fault.strerror})", where=str(out), fix="choose another folder with --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StorageError("another fetch is writing into this folder", where=str(out), fix="wait for it") from None
        yield
        (out / ".fetch.lock").unlink(missing_ok=True)


def _recorded(out: Path) -> dict[str, str]:
    path = out / "SHA256SUMS"
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            sum_ = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](\S.*)", line)
            if sum_ is None:
                raise DataError("no line of a digest and a name", where=f"{path}:{number}", fix="remove that line")
            found[sum_[2]] = sum_[1].lower()
    return found


def _unpack(path: Path, out: Path) -> list[Path]:
    """The archive's files, each whole or not at all; those that are there and the same are left alone."""
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(dir=out, prefix=".unpacking-") as folder:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for member in members:
                if not (out / member.filename).resolve().is_relative_to(out.resolve()):
                    raise DataError(f"the archive holds a path that leads out of its folder: {member.filename}", where=str(path))
            if sum(member.file_size for member in members) > LIMIT:
                raise DataError(f"the archive holds more than {LIMIT} bytes", where=str(path), fix="fetch it from its official home")
            return [_place(Path(archive.extract(member, folder)), out / member.filename) for member in members]
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, ValueError) as fault:
        raise DataError(f"is no whole zip archive ({first_line(fault)})", where=str(path), fix="remove it and fetch it again") from None
    except OSError as fault:
        raise StorageError(f"cannot be unpacked ({fault.strerror or fault})", where=str(path), fix="make room on that disk") from fault


def _place(new: Path, target: Path) -> Path:
    if target.exists():
        if not target.is_file() or jsonl.sha256(target) != jsonl.sha256(new):
            raise StorageError("is there already, and is not the archive's", where=str(target), fix="move it away, or choose another --out")
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        new.replace(target)
    return target
