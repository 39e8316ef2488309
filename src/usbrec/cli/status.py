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
    """Show which stages of a run are finished, how long they took, how many rows a running one has, and which files were changed since."""
    from usbrec import manifest
    from usbrec.errors import DataError

    if not (folder / "recipe.json").exists() and not (folder / manifest.MANIFEST).exists():
        raise DataError("is no run folder", where=str(folder), fix="give the folder that `usbrec run` wrote, e.g. runs/demo")
    rows = stages_of(folder)
    if json_:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    from usbrec.cli.screen import Screen

    table = Table("stage", "state", "seconds", "rows", "notes")
    for row in rows:
        table.add_row(*(Text(str(row[column])) for column in ("stage", "state", "seconds", "rows", "notes")))
    Screen().print(table)


def stages_of(folder: Path) -> list[dict[str, Any]]:
    """One entry a stage that was begun: name, state (begun, finished or damaged), seconds, rows on disk, notes."""
    from usbrec import manifest

    finished = manifest.stages_of(folder)
    found = []
    for name in dict.fromkeys((*manifest.begun(folder), *finished)):
        entry, stage = finished.get(name, {}), folder / name
        faults = manifest.faults(stage, entry)
        if not entry and manifest.label(stage) is None:
            faults = ["nothing says what made it"]
        counted = next((stage / f for f in ("outcomes.jsonl", "candidates.jsonl") if (stage / f).is_file()), None)
        told = {key: value for key, value in entry.items() if key not in _RECORDS and value != []}
        found.append({
            "stage": name, "state": "damaged" if faults else "finished" if entry else "begun", "seconds": entry.get("seconds", ""),
            "rows": _lines(counted) if counted else "", "notes": "; ".join((*faults, *(f"{k}: {v}" for k, v in told.items()))),
        })  # fmt: skip
    return found


_RECORDS = ("fingerprint", "parts", "seconds", "reads", "recipe", "files")


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)
