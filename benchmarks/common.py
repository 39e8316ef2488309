"""What all tables share: the machine's size, medians with their spread, a trained run, one JSON and one Markdown file a table."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from usbrec import config
from usbrec.assemble import Assembly, Engines, World
from usbrec.config import Recipe
from usbrec.engine import Engine
from usbrec.engines import EngineConfig, connect
from usbrec.pipeline import Run
from usbrec.rows import sample_rows
from usbrec.settings import kinds_in
from usbrec.stages import Loop
from usbrec.types import Example

OUT = Path("docs/experiments/benchmarks")
Out = Annotated[Path, typer.Option(help="Where the table goes.")]
_PACKAGES = ("usbrec", "openvino-genai", "torch", "transformers", "peft", "trl", "xllamacpp")
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Trained:
    """A finished run: its recipe, its data, its models."""

    folder: Path
    arm: str

    @cached_property
    def recipe(self) -> Recipe:
        return config.stored(self.folder)

    @cached_property
    def loop(self) -> Loop:
        return Loop(run=Run(folder=self.folder, say=lambda _: None), recipe=self.recipe, data_dir=None)

    @cached_property
    def world(self) -> World:
        return self.loop.world()

    @property
    def engine_config(self) -> EngineConfig:
        return self.loop.engine_of(self.arm)  # type: ignore[arg-type]

    def engine(self) -> Engine:
        """A new engine, with an empty prefix cache and no ledger."""
        return connect(self.engine_config)

    def assembly(self, engine: Engine, recipe: Recipe) -> Assembly:
        """The roles of a recipe, every one that is an LLM played by `engine`."""
        return Assembly(recipe, self.world, Shared(engine))

    def rows(self, count: int, *, split: str = "valid") -> list[Example]:
        """Rows to measure on: not those of the reported split."""
        return sample_rows(self.world.splits[split], count, self.recipe.seed, "benchmark")


class Shared(Engines):
    """One engine for every role."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def get(self, config: EngineConfig) -> Engine:
        return self._engine


def with_roles(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with other settings, an LLM for seeker and judge being allowed."""
    value = recipe.model_dump(mode="json")
    value["engines"] |= {"seeker": value["engines"]["policy"], "judge": value["engines"]["policy"]}
    for section, settings in changes.items():
        merged, kinds = value[section] | settings, kinds_in(Recipe.model_fields[section].annotation)
        known = kinds[merged["strategy"] if len(kinds) > 1 else ""].model_fields
        value[section] = {key: each for key, each in merged.items() if key in known}  # another strategy has other keys
    return Recipe.model_validate(value)


def machine() -> dict[str, Any]:
    """Size and software of this machine; nothing that names it."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text(encoding="utf-8").split() if cpu.exists() else []
    return {
        "cores": len(os.sched_getaffinity(0)), "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "instructions": [name for name in _INSTRUCTIONS if name in flags], "gpu": _gpu(), "python": platform.python_version(),
        "packages": versions, "date": date.today().isoformat(),
    }  # fmt: skip


def _gpu() -> str:
    try:
        import torch
    except ImportError:
        return ""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles (`low`, `high`), 95th percentile, mean, number."""
    ordered = sorted(values)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])

    return {
        "median": statistics.median(ordered), "low": at(0.25), "high": at(0.75), "p95": at(0.95),
        "mean": statistics.fmean(ordered), "n": len(ordered),
    }  # fmt: skip


def write(
    out: Path,
    name: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    ratios: Mapping[str, float],
    notes: Sequence[str],
    details: Any = None,
) -> None:
    """`NAME.json` and `NAME.md` in `out`; then `summary.json`, out of every table that is there."""
    out.mkdir(parents=True, exist_ok=True)
    size, command = machine(), " ".join(["python -m benchmarks", *(_public(part) for part in sys.argv[1:])])
    told = {"title": title, "command": command, "machine": size, "rows": rows, "ratios": ratios, "notes": notes, "details": details}
    (out / f"{name}.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    gpu = f", {size['gpu']}" if size["gpu"] else ""
    lines = [f"# {title}", "", f"`{command}`, {size['date']}: {size['cores']} cores, {size['memory_gib']} GiB{gpu}.", ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows]
    lines += ["", *(f"- **{key}**: {value:.3g}" for key, value in ratios.items()), "", *notes]
    text = "\n".join(lines).rstrip() + "\n"
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    summary: dict[str, float] = {}
    for path in sorted(out.glob("*.json")):
        if path.name != "summary.json":
            summary |= json.loads(path.read_text(encoding="utf-8"))["ratios"]
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(text)


def _public(part: str) -> str:
    """An argument without the folders of this machine."""
    return Path(part).name if part.startswith("/") else part


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
