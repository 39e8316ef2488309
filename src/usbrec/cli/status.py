"""`usbrec status`: how far a run has come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def status(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show which stages of a run are finished, how long they took, and how many rows a running one has."""
    from usbrec.errors import DataError

    if not (folder / "recipe.json").exists():
        raise DataError("is no run folder", where=str(folder), fix="give the folder that `usbrec run` wrote, e.g. runs/demo")
    rows = stages_of(folder)
    if json_:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.table import Table

    from usbrec.cli.screen import Screen

    table = Table("stage", "state", "seconds", "rows", "notes")
    for row in rows:
        table.add_row(row["stage"], row["state"], str(row["seconds"]), str(row["rows"]), row["notes"])
    Screen().print(table)


def stages_of(folder: Path) -> list[dict[str, Any]]:
    """One entry a stage that was begun: name, state, seconds, rows on disk, notes."""
    path = folder / "manifest.json"
    finished = json.loads(path.read_text(encoding="utf-8"))["stages"] if path.exists() else {}
    begun = sorted(folder.glob("**/.fingerprint.json"), key=lambda p: p.stat().st_mtime)
    found = []
    for mark in begun:
        name = str(mark.parent.relative_to(folder))
        if name.startswith("earlier"):
            continue
        entry = finished.get(name, {})
        counted = next((mark.parent / f for f in ("outcomes.jsonl", "candidates.jsonl") if (mark.parent / f).exists()), None)
        notes = "; ".join(f"{k}: {v}" for k, v in entry.items() if k not in ("fingerprint", "parts", "seconds") and v != [])
        found.append({
            "stage": name, "state": "finished" if entry else "begun", "seconds": entry.get("seconds", ""),
            "rows": _lines(counted) if counted else "", "notes": notes,
        })  # fmt: skip
    return found


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)
