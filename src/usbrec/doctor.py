"""The doctor: what a run needs, checked one by one.  Nothing is downloaded or changed; each fault names the command that mends it.

A check of the *core* decides the exit code: Python, the core's packages, room on the disk, the embedded engine.  What is merely not
installed (an extra, another known model) is `missing`; what is there and does not work is `broken`.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from usbrec import models
from usbrec.engine import ChatMessage, Sampling
from usbrec.errors import UsbrecError, first_line

CORE = ("pydantic", "yaml", "typer", "rich", "httpx", "openvino_genai", "gguf", "numpy", "ahocorasick", "rapidfuzz", "bm25s",
        "scipy", "matplotlib", "jinja2", "platformdirs")  # fmt: skip
EXTRAS = {
    "train": ("torch", "transformers", "peft", "accelerate", "safetensors"),
    "serve": ("fastapi", "uvicorn"),
    "ray": ("ray",),
}
ROOM = 2 * 10**9
"""Bytes that a first run needs at most: model, its rendition, adapters, exports."""
_SAY_HELLO = (ChatMessage(role="user", content="Say hello."),)


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    state: Literal["ok", "missing", "broken"]
    detail: str
    fix: str = ""
    core: bool = False
    """Without it nothing works."""


def core_works(checks: list[Check]) -> bool:
    """No check of the core failed, and nothing that was asked for by name is broken."""
    return all(check.state == "ok" for check in checks if check.core)


async def examine(*, base_url: str | None = None, api_key_env: str = "OPENAI_API_KEY") -> list[Check]:
    """All checks, in the order in which a person would mend them."""
    checks = [python(), *packages(), room(models.cache())]
    checks += [known(model) for model in models.KNOWN.values()]
    checks.append(await embedded())
    checks.append(in_torch())
    if base_url is not None:
        checks.append(await endpoint(base_url, api_key_env))
    return checks


def python(version: tuple[int, int] = (sys.version_info[0], sys.version_info[1])) -> Check:
    """3.11 to 3.13."""
    text = f"{version[0]}.{version[1]}"
    if (3, 11) <= version <= (3, 13):
        return Check("python", "ok", text, core=True)
    return Check("python", "broken", f"{text}, but usbrec needs 3.11 to 3.13", "make an environment with one of those", core=True)


def packages() -> list[Check]:
    """The core's packages, then each extra's."""
    absent = [name for name in CORE if not _there(name)]
    if absent:
        checks = [Check("core packages", "broken", f"missing: {', '.join(absent)}", "pip install usbrec", core=True)]
    else:
        checks = [Check("core packages", "ok", f"{len(CORE)} found", core=True)]
    for extra, names in EXTRAS.items():
        absent = [name for name in names if not _there(name)]
        if absent:
            checks.append(Check(f"extra [{extra}]", "missing", f"missing: {', '.join(absent)}", f"pip install 'usbrec[{extra}]'"))
        else:
            checks.append(Check(f"extra [{extra}]", "ok", f"{', '.join(names)} found"))
    return checks


def room(folder: Path, needed: int = ROOM) -> Check:
    """Space on the disk of the cache."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    detail = f"{free / 1e9:.1f} GB free for {folder}"
    if free >= needed:
        return Check("disk", "ok", detail, core=True)
    return Check("disk", "broken", detail, f"make room for {needed / 1e9:.0f} GB, or set USBREC_CACHE to a folder with room", core=True)


def known(model: models.KnownModel) -> Check:
    """Is a known model here and whole?"""
    name = f"model {model.name}"
    if not models.path_of(model).exists():
        detail = f"not downloaded ({model.size / 1e6:.0f} MB)" + (", for experiments only" if model.experimental else "")
        return Check(name, "missing", detail, f"usbrec model get {model.name}")
    try:
        files = models.resolve(model.name)
    except UsbrecError as fault:
        return Check(name, "broken", fault.what, fault.fix)
    return Check(name, "ok", str(files.path))


async def embedded() -> Check:
    """A few tokens from the default model in the embedded engine."""
    from usbrec.engines.openvino import OpenVINOEngine, OpenVINOSettings

    if not models.path_of(models.KNOWN[models.DEFAULT]).exists():
        fix = f"usbrec model get {models.DEFAULT}"
        return Check("embedded engine", "missing", "not tried: its model is not downloaded", fix, core=True)
    engine = OpenVINOEngine(OpenVINOSettings(cache_gb=1, timeout_seconds=120, start_seconds=120))
    began = time.monotonic()
    try:
        completion = (await engine.chat(_SAY_HELLO, sampling=Sampling(max_tokens=8)))[0]
    except UsbrecError as fault:
        fix = fault.fix or "pip install --force-reinstall 'openvino-genai==2026.4.*'"
        return Check("embedded engine", "broken", fault.what, fix, core=True)
    finally:
        await engine.close()
    return Check(
        "embedded engine", "ok", f"{completion.completion_tokens} tokens {time.monotonic() - began:.1f} s after the start", core=True
    )


def in_torch() -> Check:
    """Can the transformers engine compute here, and on what?"""
    from usbrec.engines.transformers_model import device_of, dtype_of

    name = "transformers engine"
    try:
        device = device_of("auto")
    except UsbrecError as fault:
        return Check(name, "missing", fault.what, fault.fix)
    import torch
    import transformers

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    try:
        torch.ones(1, device=device).sum().item()
    except RuntimeError as fault:
        return Check(
            name, "broken", f"{versions}: {device} does not compute ({first_line(fault)})", "mend the GPU's driver, or set device: cpu"
        )
    place = torch.cuda.get_device_name() if device == "cuda" else "the CPU (no GPU seen)"
    return Check(name, "ok", f"{versions}, on {place} in {dtype_of('auto', device)}")


async def endpoint(base_url: str, api_key_env: str) -> Check:
    """Does an OpenAI-compatible endpoint list its models?  It was asked for by name, so a failure counts."""
    from usbrec.engines.openai import OpenAIEngine
    from usbrec.engines.openai_settings import named

    try:
        settings = named(base_url, base_url=base_url, model="-", api_key_env=api_key_env, retries=0, timeout_seconds=20)
    except UsbrecError as fault:
        return Check("endpoint", "broken", f"{fault.where}: {fault.what}", fault.fix, core=True)
    engine = OpenAIEngine(settings)
    try:
        names = await engine.models()
    except UsbrecError as fault:
        return Check("endpoint", "broken", f"{base_url}: {fault.what}", fault.fix, core=True)
    finally:
        await engine.close()
    return Check("endpoint", "ok", f"{base_url} serves {', '.join(names) or 'no model'}", core=True)


def _there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
