"""What tests do to a run folder: leave it as a kill would, or as if its stages had been made otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usbrec import jsonl, manifest
from usbrec.pipeline import Run


def interrupt(run: Path, stage: str) -> None:
    """A finished stage becomes one that was begun and killed before its end."""
    told = manifest.load(run)
    del told["stages"][stage]
    jsonl.write_json(run / manifest.MANIFEST, told)
    begun = {key: value for key, value in (manifest.label(run / stage) or {}).items() if key in ("fingerprint", "parts", "reads", "recipe")}
    jsonl.write_json(run / stage / manifest.LABEL, begun)


def remake(run: Path, stage: str, **parts: Any) -> None:
    """A finished stage becomes one that was made with other parts, and what its folder holds what it left; who named it, names it anew."""
    told = manifest.load(run)
    old = told["stages"][stage]["fingerprint"]
    told["stages"][stage]["parts"] |= parts
    new = manifest.fingerprint(told["stages"][stage]["parts"])
    for entry in told["stages"].values():
        if entry is not told["stages"][stage]:
            entry["parts"] = {key: new if value == old and parts else value for key, value in entry["parts"].items()}
        entry["fingerprint"] = manifest.fingerprint(entry["parts"])
    jsonl.write_json(run / manifest.MANIFEST, told)
    Run(run, lambda _: None).rewritten(stage)
