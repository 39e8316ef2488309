"""Engines: what implements `usbrec.engine.Engine`, and `connect`, the only place that chooses among them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Tag

from usbrec.engine import Engine
from usbrec.engines.openai import OpenAIEngine, OpenAISettings
from usbrec.engines.openvino import OpenVINOEngine, OpenVINOSettings
from usbrec.engines.scripted import ScriptedEngine, ScriptedSettings
from usbrec.engines.transformers import TransformersEngine, TransformersSettings
from usbrec.manifest import fingerprint
from usbrec.settings import by

__all__ = [
    "EngineConfig", "OpenAISettings", "OpenVINOSettings", "ScriptedSettings", "TransformersSettings", "connect", "recorded", "serving",
]  # fmt: skip

EngineConfig = Annotated[
    Annotated[OpenVINOSettings, Tag("openvino")]
    | Annotated[OpenAISettings, Tag("openai")]
    | Annotated[TransformersSettings, Tag("transformers")]
    | Annotated[ScriptedSettings, Tag("scripted")],
    by("kind", "openvino"),
]
"""One engine of a recipe; without a `kind` the embedded one."""


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


def serving(config: EngineConfig, model: str) -> EngineConfig:
    """The same engine with another model, and then without an adapter."""
    return config.model_copy(update={"model": model, **({"adapter": None} if isinstance(config, TransformersSettings) else {})})


def _engine(config: EngineConfig) -> Engine:
    match config:
        case OpenVINOSettings():
            return OpenVINOEngine(config)
        case OpenAISettings():
            return OpenAIEngine(config)
        case TransformersSettings():
            return TransformersEngine(config)
        case ScriptedSettings():
            return ScriptedEngine(config.replies, name=f"{config.model}-{fingerprint(config.replies)}")  # the ledger keeps them apart
