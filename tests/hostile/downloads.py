"""`data get` against servers that do what servers do: the file is there whole and right, or there is one error and no file.

Each case is a small HTTP server on loopback with one fault, and the command `usbrec data get opendialkg --base-url` of a toy corpus (of
which nothing is pinned, as of a mirror); in the end the files are those of the corpus, byte for byte, or are not there.
"""

from __future__ import annotations

import gzip
import io
import shutil
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hostile.harness import Case, Ended, crashed, held, refused, usbrec

CORPUS = {
    "opendialkg.csv": b"Messages,User Rating,Assistant Rating\n" + b'"[]",5,5\n' * 20_000,
    "opendialkg_entities.txt": b"Heat\nAl Pacino\n",
    "opendialkg_relations.txt": b"starred_actors\n",
    "opendialkg_triples.txt": b"Heat\tstarred_actors\tAl Pacino\n" * 5_000,
}
BIG = CORPUS["opendialkg.csv"]
HTML = b"<!DOCTYPE html><html><title>Log in</title></html>"


@dataclass
class Server:
    """What a faulty server knows of one request, and what it answers with."""

    files: dict[str, bytes]
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(file, Range) of every request."""
    url: str = ""


class Reply(BaseHTTPRequestHandler):
    """One request; `whole`, `piece` and `send` are what faults are made of."""

    def log_message(self, *_: object) -> None:
        return

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def start(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def send(self, status: int, body: bytes, *, length: int | None = None, cut: int | None = None, **headers: str) -> None:
        """A response; `length`: another Content-Length, -1 for none; `cut`: close after so many bytes."""
        self.send_response(status)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        for header, value in headers.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.close_connection = True

    def whole(self, body: bytes, **headers: str) -> None:
        """As a good server: the rest where a rest is asked for."""
        start = self.start
        if start >= len(body) > 0:
            self.send(416, b"", Content_Range=f"bytes */{len(body)}")
        elif start:
            self.send(206, body[start:], Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}", **headers)
        else:
            self.send(200, body, **headers)


Answer = Callable[[Reply, bytes, int], None]
"""(request, the file asked for, how many requests for it came before)."""


@contextmanager
def serving(answer: Answer, files: dict[str, bytes] | None = None) -> Iterator[Server]:
    """A server of these files that answers so."""
    told = Server(CORPUS if files is None else files)

    class Handler(Reply):
        def do_GET(self) -> None:
            before = sum(name == self.name for name, _ in told.asked)
            told.asked.append((self.name, self.headers.get("Range", "")))
            if self.name not in told.files:
                self.send(404, b"")
                return
            try:
                answer(self, told.files[self.name], before)
            except OSError:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


def get(server: Server, folder: Path, kind: str = "opendialkg") -> Ended:
    return usbrec("data", "get", kind, "--out", "data", "--base-url", server.url, cwd=folder, limit=240)


def stored(folder: Path) -> list[str]:
    """Faults of the files that have the corpus's names: each has its bytes, or is not there."""
    return [
        f"silent: {name} is stored with other bytes"
        for name, body in CORPUS.items()
        if (folder / "data" / name).exists() and (folder / "data" / name).read_bytes() != body
    ]


def all_there(folder: Path) -> list[str]:
    missing = [name for name in CORPUS if not (folder / "data" / name).exists()]
    return [*stored(folder), *([f"silent: code 0, and {', '.join(missing)} is not there"] if missing else [])]


def mended(answer: Answer) -> Callable[[Path], Iterable[str]]:
    """The transfer ends well in spite of it."""

    def play(folder: Path) -> list[str]:
        with serving(answer) as server:
            return [*held(get(server, folder)), *all_there(folder)]

    return play


def told(answer: Answer, *words: str) -> Callable[[Path], Iterable[str]]:
    """One error that says so, and no file with wrong bytes."""

    def play(folder: Path) -> list[str]:
        with serving(answer) as server:
            return [*refused(get(server, folder), *words, code=1), *stored(folder)]

    return play


def first(fault: Answer) -> Answer:
    """The fault at the first request for each file, then as a good server."""
    return lambda reply, body, before: fault(reply, body, before) if not before else reply.whole(body)


def trickle(reply: Reply, body: bytes, before: int) -> None:
    reply.send(200, b"", length=len(body))
    for at in range(0, 2000):
        reply.wfile.write(body[at : at + 1])
        reply.wfile.flush()
        time.sleep(0.5)


def chunked(reply: Reply, body: bytes, *, ends: bool) -> None:
    reply.protocol_version = "HTTP/1.1"
    reply.send(200, b"", length=-1, Transfer_Encoding="chunked")
    for at in range(0, len(body), 65536):
        piece = body[at : at + 65536]
        reply.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    if ends:
        reply.wfile.write(b"0\r\n\r\n")


def redirected(reply: Reply, body: bytes, before: int) -> None:
    reply.send(302, b"", Location=f"/again/{reply.name}")


def shifted(reply: Reply, body: bytes, before: int) -> None:
    """A piece from elsewhere than was asked for."""
    if not before:
        reply.send(200, body, cut=len(body) // 2, ETag='"a"')
    elif reply.start:
        reply.send(206, body[reply.start - 7 :], Content_Range=f"bytes {reply.start - 7}-{len(body) - 1}/{len(body)}")
    else:
        reply.whole(body)


def lying(reply: Reply, body: bytes, before: int) -> None:
    """A Content-Range that is right, of another file."""
    if not before:
        reply.send(200, body, cut=len(body) // 2, ETag='"a"')
    elif reply.start and reply.headers.get("If-Range") == '"a"':
        reply.send(200, body, ETag='"b"')
    else:
        reply.whole(body)


def no_range(reply: Reply, body: bytes, before: int) -> None:
    if not before:
        reply.send(200, body, cut=len(body) // 2, ETag='"a"')
    elif reply.start:
        reply.send(206, body[reply.start :])
    else:
        reply.whole(body)


def packed(how: str, packer: Callable[[bytes], bytes]) -> Answer:
    return lambda reply, body, before: reply.send(200, packer(body), Content_Encoding=how)


def deflated(body: bytes) -> bytes:
    return zlib.compress(body)


def members(body: bytes) -> bytes:
    """As several gzip files after each other."""
    return b"".join(gzip.compress(body[at : at + 50_000]) for at in range(0, len(body), 50_000))


def bomb(folder: Path) -> list[str]:
    """A few packed bytes are more than the limit: in process, with a lower limit than the command has."""
    from usbrec.data import download
    from usbrec.errors import DataError

    limit, download.LIMIT = download.LIMIT, 10_000_000
    try:
        with serving(packed("gzip", lambda body: gzip.compress(b"Messages" * 10_000_000))) as server:
            download.get("opendialkg", folder / "data", base_url=server.url)
    except DataError as fault:
        left = [path.name for path in (folder / "data").iterdir() if path.stat().st_size]
        return [] if "longer than" in fault.what and not left else [f"silent: {fault.what}; {left} is left"]
    finally:
        download.LIMIT = limit
    return ["silent: it stored more than its limit"]


def user_file(folder: Path) -> list[str]:
    """A file of the user's own lies where a file of the corpus would go."""
    (folder / "data").mkdir()
    (folder / "data" / "opendialkg.csv").write_text("my notes\n")
    with serving(lambda reply, body, before: reply.whole(body)) as server:
        faults = refused(get(server, folder), "is there already", "opendialkg.csv", code=1)
    lost = (folder / "data" / "opendialkg.csv").read_text() != "my notes\n"
    return [*faults, *(["lost: the user's file was overwritten"] if lost else [])]


def twice(folder: Path) -> list[str]:
    """What is whole is not fetched again; what was damaged afterwards is told and not overwritten."""
    with serving(lambda reply, body, before: reply.whole(body)) as server:
        faults = [*held(get(server, folder)), *held(get(server, folder), "already there")]
        if len(server.asked) != len(CORPUS):
            faults.append("silent: it fetched again what was there")
        (folder / "data" / "opendialkg.csv").write_bytes(BIG[:-5])
        faults += refused(get(server, folder), "is not the file that was recorded", code=1)
    return faults


def resumed(folder: Path) -> list[str]:
    """Cut three times in one command; the next command goes on at the byte where it stopped, with an ETag to know the file by."""

    def answer(reply: Reply, body: bytes, before: int) -> None:
        if before < 3:
            start = reply.start
            half = start + (len(body) - start) // 2
            headers = {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
            reply.send(206 if start else 200, body[start:], cut=half - start, ETag='"a"', **headers)
        else:
            reply.whole(body, ETag='"a"')

    with serving(answer) as server:
        faults = refused(get(server, folder), "goes on where it stopped", code=1)
        left = (folder / "data" / "opendialkg.csv.part").stat().st_size
        ended = get(server, folder)
        asked = [range_ for name, range_ in server.asked if name == "opendialkg.csv"]
    faults += refused(ended, "goes on where it stopped", code=1)  # the next file is cut three times, too
    if asked[3] != f"bytes={left}-":
        faults.append(f"lost: asked for {asked[3]!r}, not for what is missing from byte {left}")
    return [*faults, *stored(folder)]


def broken_sums(folder: Path) -> list[str]:
    (folder / "data").mkdir()
    (folder / "data" / "SHA256SUMS").write_bytes(b"\xff\xfe nonsense\n")
    with serving(lambda reply, body, before: reply.whole(body)) as server:
        return refused(get(server, folder), "SHA256SUMS:1", code=1)


def archive(make: Callable[[zipfile.ZipFile], None], *words: str, spoil: Callable[[bytes], bytes] = bytes) -> Callable[[Path], list[str]]:
    """A zip archive as a mirror might serve it."""

    def play(folder: Path) -> list[str]:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as packed:
            make(packed)
        with serving(lambda reply, body, before: reply.whole(body), {"redial_dataset.zip": spoil(body.getvalue())}) as server:
            faults = refused(get(server, folder, "redial"), *words, code=1)
        outside = [path for path in folder.rglob("*") if path.is_file() and (folder / "data") not in path.parents]
        return [*faults, *(f"silent: {path.name} was written outside of its folder" for path in outside)]

    return play


def unpacks_over_nothing(folder: Path) -> list[str]:
    """The archive holds a file of which the user has another of that name."""
    (folder / "data").mkdir()
    (folder / "data" / "train_data.jsonl").write_text("my own\n")
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as packed:
        packed.writestr("train_data.jsonl", "{}\n")
    with serving(lambda reply, body, before: reply.whole(body), {"redial_dataset.zip": body.getvalue()}) as server:
        faults = refused(get(server, folder, "redial"), "train_data.jsonl", "is there already", code=1)
    lost = (folder / "data" / "train_data.jsonl").read_text() != "my own\n"
    return [*faults, *(["lost: the user's file was overwritten"] if lost else [])]


def spoilt(body: bytes) -> bytes:
    at = len(body) // 3
    return body[:at] + bytes([body[at] ^ 255]) + body[at + 1 :]


def encrypted(body: bytes) -> bytes:
    """The flag bit of an encrypted member, in both headers."""
    body = body.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
    return body.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")


def refuses_connections(folder: Path) -> list[str]:
    with serving(lambda reply, body, before: None) as server:
        pass
    return refused(get(server, folder), "could not be fetched", code=1)


def slow(folder: Path) -> list[str]:
    """A byte every half second: told after a while, in process, with less patience than the command has."""
    from usbrec.data import download
    from usbrec.errors import DataError

    patience, download.PATIENCE = download.PATIENCE, 1.0
    try:
        with serving(trickle) as server:
            download.get("opendialkg", folder / "data", base_url=server.url)
    except DataError as fault:
        return [] if "bytes a second" in fault.what else [f"silent: {fault.what}"]
    finally:
        download.PATIENCE = patience
    return ["hang: it took the trickle for a file"]


def full_disk(folder: Path) -> list[str]:
    """The folder cannot be written."""
    (folder / "data").write_text("a file, no folder")
    with serving(lambda reply, body, before: reply.whole(body)) as server:
        return refused(get(server, folder), "data", code=1)


def password(folder: Path) -> list[str]:
    with serving(lambda reply, body, before: reply.send(403, b"")) as server:
        server.url = server.url.replace("://", "://me:hunter2@")
        ended = get(server, folder)
    return [*refused(ended, "403", code=1), *(["secret: the password stands in the error"] if "hunter2" in ended.err + ended.out else [])]


def interrupted(folder: Path) -> list[str]:
    """Killed in the middle: no file has the name of a whole one, and the same command goes on."""

    def answer(reply: Reply, body: bytes, before: int) -> None:
        if before:
            reply.whole(body, ETag='"a"')
            return
        reply.send(200, b"", length=len(body), ETag='"a"')
        for at in range(0, len(body), 4096):
            reply.wfile.write(body[at : at + 4096])
            reply.wfile.flush()
            time.sleep(0.05)

    def kill(process: object) -> None:
        part = folder / "data" / "opendialkg.csv.part"
        for _ in range(2400):
            if part.exists() and part.stat().st_size > 8192:
                break
            time.sleep(0.05)
        process.kill()  # type: ignore[attr-defined]

    with serving(answer) as server:
        usbrec("data", "get", "opendialkg", "--out", "data", "--base-url", server.url, cwd=folder, interrupt=kill)
        faults = [*stored(folder), *held(get(server, folder)), *all_there(folder)]
        asked = [range_ for name, range_ in server.asked if name == "opendialkg.csv"]
    return [*faults, *(["lost: what had come was fetched again"] if not asked[1] else [])]


def too_long(folder: Path) -> list[str]:
    """A Content-Length above the limit is refused before anything is written."""
    answer: Answer = lambda reply, body, before: reply.send(200, body, length=1 << 40)  # noqa: E731
    with serving(answer) as server:
        faults = refused(get(server, folder), "longer than", code=1)
    return [*faults, *(["silent: a part was kept"] if (folder / "data" / "opendialkg.csv.part").exists() else [])]


def gone_on(folder: Path) -> list[str]:
    """A part of unknown origin lies there: without a digest or an ETag it may be anybody's, so the transfer starts over."""
    (folder / "data").mkdir()
    (folder / "data" / "opendialkg.csv.part").write_bytes(b"Messages of somebody else\n" * 40)
    with serving(lambda reply, body, before: reply.whole(body)) as server:
        return [*held(get(server, folder)), *all_there(folder)]


def leftovers(folder: Path) -> list[str]:
    """After a fetch nothing but the corpus and its digests is in the folder."""
    with serving(lambda reply, body, before: reply.whole(body, ETag='"a"')) as server:
        ended = get(server, folder)
    extra = {path.name for path in (folder / "data").iterdir()} - {*CORPUS, "SHA256SUMS"}
    shutil.rmtree(folder / "data")
    return [*crashed(ended), *([f"silent: {', '.join(sorted(extra))} was left behind"] if extra else [])]


def jsonl_of(archive_: zipfile.ZipFile) -> None:
    archive_.writestr("train_data.jsonl", "{}\n" * 2000)


CASES: list[Case] = [
    Case("gzip though none was asked for", mended(packed("gzip", gzip.compress)), fast=True),
    Case("deflate though none was asked for", mended(packed("deflate", deflated)), fast=False),
    Case("brotli", told(packed("br", lambda body: body[::-1]), "br", "cannot be unpacked"), fast=False),
    Case("says gzip and is not", told(packed("gzip", bytes), "could not be fetched"), fast=False),
    Case("gzip cut off by the server", told(lambda r, b, n: r.send(200, gzip.compress(b), cut=50, Content_Encoding="gzip")), fast=False),
    Case("gzip in several members", mended(packed("gzip", members)), fast=False),
    Case("gzip that ends too early", told(packed("gzip", lambda body: gzip.compress(body)[:-20]), "cut off"), fast=False),
    Case("a gzip bomb", bomb, fast=False),
    Case("a login page with code 200", told(lambda r, b, n: r.send(200, HTML, Content_Type="text/html"), "web page"), fast=True),
    Case("a login page sent as text", told(lambda r, b, n: r.send(200, HTML, Content_Type="text/plain"), "something else"), fast=False),
    Case("a JSON error with code 200", told(lambda r, b, n: r.send(200, b'{"error": "quota"}'), "something else"), fast=False),
    Case(
        "a pointer instead of the file",
        told(lambda r, b, n: r.send(200, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "something else"),
        fast=False,
    ),
    Case("an empty file", told(lambda r, b, n: r.send(200, b""), "something else"), fast=False),
    Case("404", told(lambda r, b, n: r.send(404, b""), "404", "--base-url"), fast=False),
    Case("500 always", told(lambda r, b, n: r.send(500, b""), "500"), fast=False),
    Case("a redirect that ends well", mended(lambda r, b, n: r.whole(b) if "again" in r.path else redirected(r, b, n)), fast=False),
    Case("a redirect in a circle", told(redirected, "could not be fetched"), fast=False),
    Case("a redirect to a file", told(lambda r, b, n: r.send(302, b"", Location="file:///etc/passwd"), "could not be fetched"), fast=False),
    Case("cut once", mended(first(lambda r, b, n: r.send(200, b, cut=len(b) // 2, ETag='"a"'))), fast=False),
    Case("cut once without an ETag", mended(first(lambda r, b, n: r.send(200, b, cut=len(b) // 2))), fast=False),
    Case("cut always", told(lambda r, b, n: r.send(200, b, cut=10), "could not be fetched"), fast=False),
    Case("a piece from elsewhere", mended(shifted), fast=False),
    Case("a piece without Content-Range", mended(no_range), fast=False),
    Case("another file after the cut", mended(lying), fast=False),
    Case("206 though all was asked for", told(lambda r, b, n: r.send(206, b[:99], Content_Range="bytes 0-98/9999")), fast=False),
    Case("no length, and the connection just ends", told(lambda r, b, n: r.send(200, b, length=-1), "how long"), fast=False),
    Case("chunked", mended(lambda r, b, n: chunked(r, b, ends=True)), fast=False),
    Case("chunked and never ended", told(lambda r, b, n: chunked(r, b, ends=False), "could not be fetched"), fast=False),
    Case("shorter than it says", told(lambda r, b, n: r.send(200, b, length=len(b) + 9), "could not be fetched"), fast=False),
    Case("a length above the limit", too_long, fast=False),
    Case("a part of unknown origin", gone_on, fast=False),
    Case("goes on in the next command", resumed, fast=False),
    Case("killed in the middle", interrupted, fast=False),
    Case("nothing listens", refuses_connections, fast=False),
    Case("a byte every half second", slow, fast=False),
    Case("the folder is a file", full_disk, fast=False),
    Case("the user's own file is in the way", user_file, fast=True),
    Case("twice, and damaged in between", twice, fast=False),
    Case("the record of digests is broken", broken_sums, fast=False),
    Case("a password in the address", password, fast=False),
    Case("nothing is left behind", leftovers, fast=False),
    Case("an archive that leads out", archive(lambda z: z.writestr("../evil.txt", "x"), "leads out"), fast=False),
    Case("an archive cut off", archive(jsonl_of, "no whole zip", spoil=lambda body: body[: len(body) // 2]), fast=False),
    Case("an archive with a flipped byte", archive(jsonl_of, "no whole zip", spoil=spoilt), fast=False),
    Case("an archive with a password", archive(jsonl_of, "no whole zip", spoil=encrypted), fast=False),
    Case("an archive over the user's own file", unpacks_over_nothing, fast=False),
]
