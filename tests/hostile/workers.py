"""The embedded engine's worker killed, stopped, or short of memory; damaged models; a parent that dies; what lies in the current folder.

A moment of a load is told by what the worker has in its memory, not by a clock, so it is the same on a busy machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from hostile.harness import Case, end, held, refused, usbrec
from usbrec import gguf_header, models
from usbrec.engine import ChatMessage, Sampling
from usbrec.engines.openvino import OpenVINOEngine, OpenVINOSettings
from usbrec.engines.rendition import rendition
from usbrec.errors import ModelError, UsbrecError

HELLO = (ChatMessage(role="user", content="I loved Heat. What should I watch tonight?"),)
SHORT, LONG = Sampling(max_tokens=4), Sampling(max_tokens=400)
LIMIT = 500.0
"""Seconds after which a call hangs; the engine's own limits are far below."""
MOMENTS = {"python starts": "", "the libraries load": "libopenvino.so", "the model is read": "model.gguf", "it compiles": "intel_cpu"}
"""What the worker's memory shows at moments of its load."""
WORKER = "usbrec.engines.openvino_worker"
RECIPE = """
name: t
data: {kind: demo}
engines: {policy: {kind: openvino, model: MODEL, cache_gb: 1, start_seconds: 20}}
evaluate: {arms: [base], rows: 1, turns: 1}
"""


def settings(**changed: object) -> OpenVINOSettings:
    return OpenVINOSettings.model_validate({"cache_gb": 1, "precision": "exact", "start_seconds": 200, "timeout_seconds": 200, **changed})


# ---- what is done to a worker --------------------------------------------------------------------------------------------------------


def kill(number: int) -> Callable[[int], None]:
    return lambda pid: os.kill(pid, number)


def starve(more: float) -> Callable[[int], None]:
    """So many GB above what it has are all the memory that it will get."""

    def act(pid: int) -> None:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        most = int(pages * resource.getpagesize() + more * 2**30)
        resource.prlimit(pid, resource.RLIMIT_AS, (most, most))

    return act


def struck(moment: str, act: Callable[[int], None], told: str, **changed: object) -> Callable[[Path], Iterator[str]]:
    """The act at a moment of the first load: one error that says `told`, and no process is left."""

    def play(folder: Path) -> Iterator[str]:
        answer, pids = asyncio.run(asked(settings(**changed), SHORT, functools.partial(at_load, moment, act)))
        yield from judged(answer, told)
        if not pids:
            yield "silent: the moment never came"
        yield from outlived(pids)

    return play


def answering(act: Callable[[int], None], told: str = "", *, always: bool = False, **changed: object) -> Callable[[Path], Iterator[str]]:
    """The act while it answers: the answer that an undisturbed worker gives, or, where every worker is struck, one error."""

    def play(folder: Path) -> Iterator[str]:
        answer, pids = asyncio.run(asked(settings(**changed), LONG, functools.partial(at_work, act, always)))
        if always:
            yield from judged(answer, told)
        elif answer != undisturbed():
            yield f"silent: it answered {answer!r:.200}"
        yield from outlived(pids)

    return play


async def asked(
    how: OpenVINOSettings, sampling: Sampling, beside: Callable[[OpenVINOEngine, set[int]], Awaitable[None]], model: str = models.DEFAULT
) -> tuple[str | UsbrecError | None, set[int]]:
    """What a call came to while something happened beside it (None: nothing, ever), and all workers that there were."""
    engine, pids = OpenVINOEngine(how.model_copy(update={"model": model})), set[int]()
    call = asyncio.create_task(engine.chat(HELLO, sampling=sampling))
    acting = asyncio.create_task(beside(engine, pids))
    await asyncio.wait([call], timeout=LIMIT)
    acting.cancel()
    answer: str | UsbrecError | None = None
    if call.done():
        fault = call.exception()
        assert fault is None or isinstance(fault, UsbrecError), fault
        answer = fault or call.result()[0].text
    await engine.close()
    return answer, pids


async def at_load(moment: str, act: Callable[[int], None], engine: OpenVINOEngine, pids: set[int]) -> None:
    while engine.pid is None or not shows(engine.pid, MOMENTS[moment]):  # noqa: ASYNC110 (of another process)
        await asyncio.sleep(0.002)
    pids.add(engine.pid)
    act(engine.pid)


async def at_work(act: Callable[[int], None], always: bool, engine: OpenVINOEngine, pids: set[int]) -> None:
    while not pids or always:
        if engine.pid is not None and engine.pid not in pids and engine.stats.calls:
            await asyncio.sleep(0.5)
            if engine.pid is not None:
                pids.add(engine.pid)
                act(engine.pid)
        await asyncio.sleep(0.01)


async def nothing(engine: OpenVINOEngine, pids: set[int]) -> None:
    pass


def shows(pid: int, part: str) -> bool:
    """Is a file of such a name in its memory, or open?"""
    try:
        return part in Path(f"/proc/{pid}/maps").read_text() or any(
            part in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()
        )
    except OSError:
        return False


def judged(answer: str | UsbrecError | None, *told: str) -> Iterator[str]:
    """The faults of a call that should have ended with an error."""
    if answer is None:
        yield "hang: the call did not end"
    elif isinstance(answer, str):
        yield f"silent: it answered {answer[:100]!r}"
    else:
        yield from (f"silent: the error does not say {part!r}: {answer}" for part in told if part not in str(answer))
        if not answer.fix or not answer.where:
            yield f"silent: the error says no place or no remedy: {answer}"


def outlived(pids: set[int]) -> Iterator[str]:
    """Processes of the workers' sessions that are still there."""
    deadline = time.monotonic() + 20
    while (left := list(sessions(pids))) and time.monotonic() < deadline:
        time.sleep(0.05)
    end(*left)
    if left:
        yield f"hang: {len(left)} processes outlived their engine"


def sessions(pids: set[int]) -> Iterator[int]:
    """All processes of these sessions that run."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, _, session = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
                if int(session) in pids and state != "Z":
                    yield int(folder.name)


@functools.cache
def undisturbed() -> str:
    """The answer of a worker that is left alone."""
    answer, _ = asyncio.run(asked(settings(), LONG, nothing))
    assert isinstance(answer, str), answer
    return answer


# ---- a parent that dies --------------------------------------------------------------------------------------------------------------

PARENT = f"""
import asyncio, sys
sys.path[:0] = {sys.path!r}
from hostile.workers import HELLO, LONG, settings
from usbrec.engines.openvino import OpenVINOEngine
async def main():
    engine = OpenVINOEngine(settings(model=sys.argv[1]))
    await engine.chat(HELLO, n=8, sampling=LONG.model_copy(update={{"max_tokens": 4000}}))
asyncio.run(main())
"""


def orphaned(moment: str, number: int, *, stopped: bool = False) -> Callable[[Path], Iterator[str]]:
    """The parent is ended by a signal at a moment of the load; `stopped`: its worker stands still then."""

    def play(folder: Path) -> Iterator[str]:
        parent = subprocess.Popen([sys.executable, "-P", "-c", PARENT, models.DEFAULT], stderr=subprocess.DEVNULL, cwd=folder)
        pid = awaited(lambda: next((p for p in children(parent.pid) if shows(p, MOMENTS[moment])), None))
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        parent.send_signal(number)
        parent.wait(LIMIT)
        yield from outlived({pid})

    return play


def children(parent: int) -> list[int]:
    """The workers among a process's children."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if int((folder / "stat").read_text().rpartition(") ")[2].split()[1]) == parent:
                    found += [int(folder.name)] if WORKER.encode() in (folder / "cmdline").read_bytes() else []
    return found


def awaited(found: Callable[[], int | None]) -> int:
    deadline = time.monotonic() + LIMIT
    while (value := found()) is None:
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)
    return value


# ---- damaged models ------------------------------------------------------------------------------------------------------------------


def real() -> Path:
    return models.resolve(models.DEFAULT).path


def tiny(path: Path) -> Path:
    """A whole GGUF file of two tensors."""
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_token_list(["a", "b", "c"])
    writer.add_token_scores([0.0, 1.0, 2.0])
    writer.add_tensor("one", np.ones(32, dtype=np.float32))
    writer.add_tensor("two", np.ones(32, dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def cut_anywhere(folder: Path) -> Iterator[str]:
    """Every prefix of a file is refused by its head alone."""
    whole = tiny(folder / "whole.gguf").read_bytes()
    part = folder / "part.gguf"
    for length in range(len(whole)):
        part.write_bytes(whole[:length])
        yield from refused_head(part, f"the first {length} of {len(whole)} bytes")


def flipped_anywhere(folder: Path) -> list[str]:
    """A flipped byte in the head is refused or changes a value; it never hangs, nor ends in another exception."""
    whole = tiny(folder / "whole.gguf").read_bytes()
    part = folder / "part.gguf"
    for place in range(len(whole) - 192):  # its tensors take 192 bytes
        for mask in (0xFF, 0x01):
            part.write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :])
            with contextlib.suppress(ModelError):
                gguf_header.read(part)
    return []


def refused_head(path: Path, what: str) -> Iterator[str]:
    try:
        gguf_header.read(path)
    except ModelError as fault:
        if not fault.fix:
            yield f"silent: no remedy for {what}"
    else:
        yield f"silent: {what} pass for a whole file"


def damaged(harm: Callable[[Path], object], *told: str) -> Callable[[Path], Iterator[str]]:
    """A harmed copy of the real model, or whatever else `harm` puts at the path: one error, by the engine itself."""

    def play(folder: Path) -> Iterator[str]:
        path = folder / "harmed.gguf"
        harm(path)
        answer, _ = asyncio.run(asked(settings(start_seconds=100), SHORT, nothing, str(path)))
        yield from judged(answer, *told)

    return play


def cut(share: float) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        size = real().stat().st_size
        with real().open("rb") as file:
            path.write_bytes(file.read(size - 1 if share == 1 else int(size * share)))

    return harm


def patched(place: int, form: str, value: int) -> Callable[[Path], None]:
    """The real model with one number of its head changed."""

    def harm(path: Path) -> None:
        shutil.copyfile(real(), path)
        with path.open("r+b") as file:
            file.seek(place)
            file.write(struct.pack(form, value))

    return harm


def renamed(old: bytes, new: bytes) -> Callable[[Path], None]:
    """The real model with a name in its head changed: whole, by its head, and yet no model."""

    def harm(path: Path) -> None:
        raw = real().read_bytes()
        assert old in raw[: 4 << 20] and len(old) == len(new)
        path.write_bytes(raw.replace(old, new, 1))

    return harm


def written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


# ---- copies in the cache -------------------------------------------------------------------------------------------------------------


def copies(folder: Path) -> Iterator[str]:
    """A copy that is harmed in one way after another is made anew each time, the same to the last byte."""
    with cache_in(folder):
        source, digest = tiny_q4(folder / "source.gguf"), "d" * 64
        made = functools.partial(rendition, source, gguf_header.read(source), digest, lambda: None)
        path = made()
        whole, sums = path.read_bytes(), path.parent / "SHA256SUMS"

        def unnoticed() -> None:
            status = path.stat()
            path.write_bytes(whole[:-40] + bytes(40))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

        harms: dict[str, Callable[[], object]] = {
            "cut": lambda: path.write_bytes(whole[:-1]), "emptied": lambda: path.write_bytes(b""), "deleted": path.unlink,
            "flipped": lambda: path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]), "flipped at the same time": unnoticed,
            "without sums": sums.unlink, "sums emptied": lambda: sums.write_bytes(b""), "sums of nothing": lambda: sums.write_text("x"),
            "a folder instead": lambda: (path.unlink(), path.mkdir()), "another file beside": lambda: (path.parent / "more").touch(),
            "no folder": lambda: shutil.rmtree(path.parent),
        }  # fmt: skip
        for name, harm in harms.items():
            harm()
            if made().read_bytes() != whole:
                yield f"silent: a copy that was {name} was used"


def tiny_q4(path: Path) -> Path:
    """A GGUF file of a type that is rewritten; large enough for its digest to be remembered."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    writer = GGUFWriter(path, "llama")
    writer.add_file_type(3)
    values = np.random.default_rng(1).normal(size=(512, 4096)).astype(np.float32)
    writer.add_tensor("one", quants.quantize(values, GGMLQuantizationType.Q4_1), raw_dtype=GGMLQuantizationType.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@contextlib.contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    before = os.environ.get("USBREC_CACHE")
    os.environ["USBREC_CACHE"] = str(folder / "cache")
    try:
        yield
    finally:
        os.environ.pop("USBREC_CACHE")
        if before is not None:
            os.environ["USBREC_CACHE"] = before


def own_cache(folder: Path) -> Path:
    """A cache of its own with the default model in it."""
    cache = folder / "cache"
    (cache / "models").mkdir(parents=True)
    shutil.copyfile(real(), cache / "models" / real().name)
    return cache


def harmed_copy(folder: Path) -> Iterator[str]:
    """The real model's copy is changed in 4 MB: the engine works as before."""
    env = {"USBREC_CACHE": str(own_cache(folder))}
    yield from held(usbrec("doctor", cwd=folder, env=env, limit=LIMIT), "8 tokens")
    [copy] = (folder / "cache").rglob("renditions/*/model.gguf")
    whole = copy.read_bytes()
    copy.write_bytes(whole[: 50 << 20] + random.Random(1).randbytes(4 << 20) + whole[54 << 20 :])
    yield from held(usbrec("doctor", cwd=folder, env=env, limit=LIMIT), "8 tokens")
    if copy.read_bytes() != whole:
        yield "silent: the harmed copy is still there"


def unwritable_cache(folder: Path) -> Iterator[str]:
    cache = own_cache(folder)
    (cache / "models" / "renditions").write_text("in the way")
    ended = usbrec("doctor", cwd=folder, env={"USBREC_CACHE": str(cache)}, limit=LIMIT)
    yield from refused(ended, code=1)
    if "cannot be stored" not in ended.out or "USBREC_CACHE" not in ended.out:
        yield f"silent: {ended.out[-600:]}"


# ---- the command line ----------------------------------------------------------------------------------------------------------------


def in_a_folder_of_traps(folder: Path) -> Iterator[str]:
    """Modules of the current folder are not run in place of packages, and nothing is left in a home folder."""
    home, work = folder / "home", folder / "work"
    for place in (home, work):
        place.mkdir()
    for name in ("gguf.py", "openvino.py", "openvino_genai.py", "numpy.py", "json.py", "usbrec.py"):
        (work / name).write_text(f"open({str(folder / 'sprung')!r}, 'a').write({name!r})\nraise RuntimeError('a trap')\n")
    env = {"HOME": str(home), "USBREC_CACHE": str(models.cache().parent), "MPLCONFIGDIR": str(folder)}
    yield from held(usbrec("doctor", cwd=work, env=env, limit=LIMIT), "8 tokens")
    if (folder / "sprung").exists():
        yield f"silent: it ran {(folder / 'sprung').read_text()} of the current folder"
    yield from (f"secret: it wrote {path.relative_to(home)} into the home folder" for path in home.rglob("*") if path.is_file())


def without_a_home(folder: Path) -> Iterator[str]:
    """A home folder in which nothing can be written (not by root either)."""
    env = {"HOME": "/proc/no", "USBREC_CACHE": str(models.cache().parent), "MPLCONFIGDIR": str(folder)}
    yield from held(usbrec("doctor", cwd=folder, env=env, limit=LIMIT), "8 tokens")


def at_the_command(moment: str, number: int, told: str) -> Callable[[Path], Iterator[str]]:
    """`usbrec chat`, its worker struck at a moment of the load."""

    def play(folder: Path) -> Iterator[str]:
        out = prepared(folder, models.DEFAULT)
        strike: Callable[[subprocess.Popen[str]], object] = lambda process: threading.Thread(  # noqa: E731
            target=strike_child, args=(process.pid, moment, number), daemon=True
        ).start()
        yield from refused(usbrec("chat", out, "--arm", "base", cwd=folder, text="hello\n", limit=LIMIT, interrupt=strike), told, code=1)

    return play


def strike_child(parent: int, moment: str, number: int) -> None:
    pid = awaited(lambda: next((p for p in children(parent) if shows(p, MOMENTS[moment])), None))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def interrupted(moment: str, *, stopped: bool = False) -> Callable[[Path], Iterator[str]]:
    """Ctrl-C in `usbrec chat` at a moment of the load, also where its worker stands still."""

    def press(process: subprocess.Popen[str]) -> None:
        if stopped:
            strike_child(process.pid, moment, signal.SIGSTOP)
        else:
            awaited(lambda: next((p for p in children(process.pid) if shows(p, MOMENTS[moment])), None))
        process.send_signal(signal.SIGINT)

    def play(folder: Path) -> Iterator[str]:
        out = prepared(folder, models.DEFAULT)
        strike: Callable[[subprocess.Popen[str]], object] = lambda process: threading.Thread(  # noqa: E731
            target=press, args=(process,), daemon=True
        ).start()
        yield from refused(usbrec("chat", out, "--arm", "base", cwd=folder, text="hello\n", limit=LIMIT, interrupt=strike), code=130)

    return play


def prepared(folder: Path, model: str) -> Path:
    """A run folder with data, whose policy is this model."""
    (folder / "recipe.yaml").write_text(RECIPE.replace("MODEL", model))
    ended = usbrec("prepare", folder / "recipe.yaml", "--out", folder / "run", cwd=folder, limit=LIMIT)
    assert ended.code == 0, ended.err
    return folder / "run"


def chat_with(harm: Callable[[Path], object], *told: str) -> Callable[[Path], Iterator[str]]:
    """`usbrec chat` with a harmed model."""

    def play(folder: Path) -> Iterator[str]:
        out = prepared(folder, str(folder / "harmed.gguf"))
        harm(folder / "harmed.gguf")
        yield from refused(usbrec("chat", out, "--arm", "base", cwd=folder, text="hello\n", limit=LIMIT), *told, code=1)

    return play


def run_with(harm: Callable[[Path], object], *told: str) -> Callable[[Path], Iterator[str]]:
    """`usbrec run` with a harmed model: it ends at its first use, training's."""

    def play(folder: Path) -> Iterator[str]:
        harm(folder / "harmed.gguf")
        (folder / "recipe.yaml").write_text(RECIPE.replace("MODEL", str(folder / "harmed.gguf")))
        yield from refused(usbrec("run", folder / "recipe.yaml", "--out", folder / "run", cwd=folder, limit=LIMIT), *told, code=1)

    return play


# ---- the table -----------------------------------------------------------------------------------------------------------------------

KILLED, STOPPED = "signal 9 (Killed)", "did not start within"
LOADS = [
    *((m, "killed", struck(m, kill(signal.SIGKILL), KILLED)) for m in MOMENTS),
    *((m, "stopped", struck(m, kill(signal.SIGSTOP), STOPPED, start_seconds=30 if m == "it compiles" else 6)) for m in MOMENTS),
    *((m, "a segmentation fault", struck(m, kill(signal.SIGSEGV), "signal 11")) for m in MOMENTS),
    *((m, "out of memory", struck(m, starve(0.02), "memory")) for m in MOMENTS),
    ("the model is read", "aborted", struck("the model is read", kill(signal.SIGABRT), "signal 6")),
    ("the model is read", "a bus error", struck("the model is read", kill(signal.SIGBUS), "signal 7")),
    ("the libraries load", "terminated", struck("the libraries load", kill(signal.SIGTERM), "signal 15")),
    ("it compiles", "at its limit of CPU time", struck("it compiles", kill(signal.SIGXCPU), "signal 24")),
]
FAST = {"killed when the model is read", "stopped when the libraries load", "a segmentation fault when it compiles"}
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut after 1%": (cut(0.01), "damaged"), "cut after half": (cut(0.5), "its tensors end at byte 98,362,432"),
    "without its last byte": (cut(1), "damaged"), "of a billion tensors": (patched(8, "<Q", 10**9), "damaged"),
    "of a billion entries": (patched(16, "<Q", 10**9), "damaged"), "of another version": (patched(4, "<I", 77), "version is 77"),
    "with a key of a terabyte": (patched(24, "<Q", 10**12), "damaged"),
    "whose tensors have other names": (renamed(b"blk.7.attn_q.weight", b"blk.7.attn_x.weight"), "cannot load"),
    "of an unknown architecture": (renamed(b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0lamma"), "cannot load"),
}  # fmt: skip

CASES = [
    *(Case(f"{what} when {moment}", play, fast=f"{what} when {moment}" in FAST) for moment, what, play in LOADS),
    Case("killed while it answers", answering(kill(signal.SIGKILL)), fast=False),
    Case("a segmentation fault while it answers", answering(kill(signal.SIGSEGV)), fast=False),
    Case("out of memory while it answers", answering(starve(0)), fast=False),
    Case("stopped while it answers", answering(kill(signal.SIGSTOP), timeout_seconds=20), fast=False),
    Case("every worker killed while it answers", answering(kill(signal.SIGKILL), "4 times in a row", always=True), fast=False),
    *(Case(f"the parent killed when {moment}", orphaned(moment, signal.SIGKILL), fast=moment == "the model is read") for moment in MOMENTS),
    Case("the parent killed, the worker stopped", orphaned("the model is read", signal.SIGKILL, stopped=True), fast=False),
    Case("the parent terminated", orphaned("it compiles", signal.SIGTERM), fast=False),
    Case("a model cut at every byte", cut_anywhere),
    Case("a model with every byte of its head flipped", flipped_anywhere),
    *(Case(f"a model {name}", damaged(*harm), fast=False) for name, harm in DAMAGE.items()),
    Case("a model without tensors", damaged(written(b"GGUF" + struct.pack("<IQQ", 3, 0, 0)), "cannot load"), fast=False),
    Case("an empty model", damaged(written(b""), "no GGUF file"), fast=False),
    Case("a page instead of a model", damaged(written(b"<html>not found</html>"), "no GGUF file"), fast=False),
    Case("a model of its first four bytes", damaged(written(b"GGUF"), "damaged"), fast=False),
    Case("a folder instead of a model", damaged(Path.mkdir, "holds no model"), fast=False),
    Case("a link to nothing", damaged(lambda path: path.symlink_to("nowhere"), "no such model"), fast=False),
    Case("copies harmed in eleven ways", copies),
    Case("the real model's copy harmed", harmed_copy, fast=False),
    Case("a cache that cannot be written", unwritable_cache, fast=False),
    Case("modules of the current folder, a bare home", in_a_folder_of_traps, fast=False),
    Case("a home that cannot be written", without_a_home, fast=False),
    Case("chat, the worker killed", at_the_command("it compiles", signal.SIGKILL, KILLED), fast=False),
    Case("chat, the worker stopped", at_the_command("the model is read", signal.SIGSTOP, STOPPED), fast=False),
    Case("chat, Ctrl-C while the worker loads", interrupted("the model is read"), fast=False),
    Case("chat, Ctrl-C while the worker stands still", interrupted("the libraries load", stopped=True), fast=False),
    Case("chat with a cut model", chat_with(cut(0.5), "damaged", "harmed.gguf"), fast=False),
    Case("chat with a model of other tensors", chat_with(*DAMAGE["whose tensors have other names"]), fast=False),
    Case("run with a cut model", run_with(cut(0.5), "damaged", "harmed.gguf"), fast=False),
    Case("run with a folder as its model", run_with(Path.mkdir, "holds no model"), fast=False),
]
