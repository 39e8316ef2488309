"""Engines: what implements `usbrec.engine.Engine`, and `connect`, the only place that chooses among them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from usbrec import models
from usbrec.engine import Engine
from usbrec.errors import ModelError
from usbrec.types import Frozen


class EngineConfig(Frozen):
    """One engine of a recipe."""

    kind: Literal["openvino", "openai", "transformers", "scripted"] = "openvino"
    """`openvino`: the embedded engine; `openai`: an OpenAI-compatible endpoint; `transformers`: torch in this process, on a GPU or the CPU
    (needs usbrec[train]); `scripted`: a fake for tests and demos."""
    model: str = "smollm2-135m-instruct"
    """A known model, a path or the id of a fetched hub model; for `openai`, the name that the endpoint knows."""
    adapter: str | None = None
    """Of `transformers`: the folder of a LoRA adapter in peft's format, trained on this model; null for none."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Of `transformers`: `auto` is the GPU where torch sees one."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of `transformers`: `auto` is bf16 on a GPU that computes in it, else fp32.  In 16 bits a reply may change with what else is in the
    batch."""
    max_batch: int | None = Field(default=None, ge=1)
    """Most replies computed at once: of `transformers` (null: 64) and of the embedded engine (null: 256)."""
    precision: Literal["fast", "bf16", "exact"] = "fast"
    """Of the embedded engine.  `fast`: a reply may change with what else is in the batch; `exact`: float32, and a reply depends on its
    prompt and seed alone, to the last bit.  It takes about twice as long for one reply to a prompt, five times as long for four,
    since each reads the prompt anew."""
    weights: Literal["q8_0", "as-is"] = "q8_0"
    """Of the embedded engine.  `q8_0`: 4-bit GGUF types that OpenVINO would round coarsely are first turned into 8-bit ones, once."""
    cache_gb: int = Field(default=2, ge=1)
    """Of the embedded engine: memory for attention keys and values, prefix cache included."""
    threads: int | None = Field(default=None, ge=1)
    """Of the embedded engine (null: all cores) and of `transformers` (null: torch's own choice, for the whole process)."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """Of an endpoint."""
    api_key_env: str = "OPENAI_API_KEY"
    """Of an endpoint: the environment variable that holds the key.  The key itself is never written anywhere."""
    concurrency: int = Field(default=64, ge=1)
    """Most calls under way at once."""
    timeout_seconds: float = Field(default=300, gt=0)
    """An endpoint's answer, or a sign of life of the embedded engine, must come within this time."""
    retries: int = Field(default=5, ge=0)
    """Of an endpoint: how often a call is asked again after 429, 5xx, a timeout or a cut connection."""
    votes: int = Field(default=16, ge=1)
    """Of an endpoint without log-probabilities: `choose` draws so many replies instead."""
    replies: tuple[str, ...] = ("Have you seen Heat (1995)?",)
    """Of `scripted`: its lines; greedily the first, else one drawn by the seed."""

    def identity(self) -> dict[str, Any]:
        """The settings that change what is said: for fingerprints."""
        keys = {
            "openvino": ("kind", "model", "precision", "weights"),
            "openai": ("kind", "model", "base_url", "votes"),
            "transformers": ("kind", "model", "adapter", "dtype"),
            "scripted": ("kind", "model", "replies"),
        }[self.kind]
        return self.model_dump(mode="json", include=set(keys)) | self._contents()

    def _contents(self) -> dict[str, str]:
        """Digests of weights that lie under a name of the user's: others may lie there tomorrow.  Known models are pinned already."""
        if self.kind not in ("openvino", "transformers") or self.model in models.KNOWN:
            return {}
        found = {}
        with suppress(ModelError):  # not here (yet): who starts it says so
            found["digest"] = models.resolve(self.model).digest
        if self.kind == "transformers" and self.adapter:
            from usbrec.engines.transformers_model import adapter_digest

            with suppress(ModelError):
                found["adapter_digest"] = adapter_digest(Path(self.adapter))
        return found


def connect(config: EngineConfig, ledger: Path | None = None) -> Engine:
    """The engine of a config, not yet started: it starts at its first call.

    Args:
        config: which engine, and how.
        ledger: an SQLite file that records every call and answers repeated ones; None for neither.
    """
    engine = _engine(config)
    return engine if ledger is None else recorded(engine, ledger)


def recorded(engine: Engine, ledger: Path, *, owner: bool = True) -> Engine:
    """An engine behind a ledger; `owner`: closing the one closes the other."""
    from usbrec.engines.ledger import LedgerEngine

    return LedgerEngine(engine, ledger, owner)


def _engine(config: EngineConfig) -> Engine:
    if config.kind == "scripted":
        from usbrec.engines.scripted import ScriptedEngine

        return ScriptedEngine(config.replies)
    if config.kind == "openai":
        from usbrec.engines.openai import OpenAIEngine, OpenAISettings

        return OpenAIEngine(OpenAISettings(**_shared(config, OpenAISettings)))
    if config.kind == "transformers":
        from usbrec.engines.transformers import TransformersEngine, TransformersSettings

        return TransformersEngine(config.model, TransformersSettings(**_shared(config, TransformersSettings)))
    from usbrec.engines.openvino import OpenVINOEngine, OpenVINOSettings

    return OpenVINOEngine(config.model, OpenVINOSettings(**_shared(config, OpenVINOSettings)))


def _shared(config: EngineConfig, settings: type[Frozen]) -> dict[str, Any]:
    """The fields that a config and an engine's settings have in common; null leaves the engine's default."""
    return {key: value for key, value in config.model_dump(exclude_none=True).items() if key in settings.model_fields}
