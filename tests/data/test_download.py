"""Fetching: a loopback server that can cut a transfer, ignore a Range or hand out another file."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from usbrec.data import download
from usbrec.errors import DataError

BODY = bytes(range(256)) * 2000
TOY = {
    "opendialkg.csv": b"Messages,User Rating,Assistant Rating\n",
    "opendialkg_entities.txt": b"Heat\n",
    "opendialkg_relations.txt": b"starred_actors\n",
    "opendialkg_triples.txt": b"Heat\tstarred_actors\tAl Pacino\n",
}
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`; cuts the first `cuts` transfers in half."""

    files: dict[str, bytes]
    cuts = 0
    ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = {}, []  # type: ignore[var-annotated]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.asked.append(asked)
        body = self.server.files.get(self.path.strip("/"))
        if body is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        part = body[start:]
        if self.server.cuts > 0:
            self.server.cuts -= 1
            part = part[: len(part) // 2]
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.files["a.bin"] = BODY
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_cut_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts = 2
    path, digest = download.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=DIGEST)
    assert path.read_bytes() == BODY
    assert digest == DIGEST
    half = len(BODY) // 2
    assert server.asked == ["", f"bytes={half}-", f"bytes={half + half // 2}-"]
    assert not (tmp_path / "a.bin.part").exists()


def test_a_later_command_goes_on_too(server: Server, tmp_path: Path) -> None:
    server.cuts = download.ATTEMPTS
    with pytest.raises(DataError, match="could not be fetched"):
        download.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=DIGEST)
    assert not (tmp_path / "a.bin").exists(), "half a file never gets the file's name"
    left = (tmp_path / "a.bin.part").stat().st_size
    download.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=DIGEST)
    assert server.asked[-1] == f"bytes={left}-"
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.cuts, server.ranges = 1, False
    path, _ = download.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=DIGEST)
    assert path.read_bytes() == BODY


def test_a_wrong_digest_keeps_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError) as fault:
        download.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256="0" * 64)
    assert DIGEST in fault.value.what
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_a_dead_server_are_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="answers 404"):
        download.fetch(f"{server.url}/b.bin", tmp_path / "b.bin")
    with pytest.raises(DataError, match="could not be fetched"):
        download.fetch("http://127.0.0.1:9/a.bin", tmp_path / "a.bin")


def test_what_is_there_and_whole_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    download.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=DIGEST)
    download.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256=DIGEST)
    assert len(server.asked) == 1


def test_get_shows_the_licence_unpacks_and_records_the_digests(server: Server, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("test_data.jsonl", "{}\n")
    server.files["redial_dataset.zip"] = packed.getvalue()
    said: list[str] = []
    paths = download.get("redial", tmp_path, base_url=server.url, pinned=False, say=said.append)
    assert [path.name for path in paths] == ["redial_dataset.zip", "test_data.jsonl"]
    assert "CC BY 4.0" in said[0]
    assert hashlib.sha256(packed.getvalue()).hexdigest() in (tmp_path / "SHA256SUMS").read_text()
    with pytest.raises(DataError, match="expected b48756681"):
        download.get("redial", tmp_path / "pinned", base_url=server.url)


def test_a_recorded_digest_must_fit_later(server: Server, tmp_path: Path) -> None:
    for remote in download.HOMES["opendialkg"].files:
        server.files[remote.name] = TOY[remote.name]
    download.get("opendialkg", tmp_path, base_url=server.url)
    server.files["opendialkg.csv"] = TOY["opendialkg.csv"] + b"something else"
    (tmp_path / "opendialkg.csv").unlink()
    with pytest.raises(DataError, match="nothing was kept"):
        download.get("opendialkg", tmp_path, base_url=server.url)


def test_an_archive_cannot_write_outside_its_folder(server: Server, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../evil.txt", "x")
    server.files["redial_dataset.zip"] = packed.getvalue()
    with pytest.raises(DataError, match="leads out of its folder"):
        download.get("redial", tmp_path / "in", base_url=server.url, pinned=False)
    assert not (tmp_path / "evil.txt").exists()
