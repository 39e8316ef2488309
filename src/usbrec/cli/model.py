"""`usbrec model`: get and list models."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(help="Models: get one, list those known.", no_args_is_help=True)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="A known model (`usbrec model list`), or a hub id, org/name.")] = "smollm2-135m-instruct",
) -> None:
    """Download a model into the cache and check it; prints its path.  Does nothing where it is there already."""
    from usbrec import models

    files = models.fetch(name, lambda line: _note(line))
    typer.echo(str(files.path))


@app.command(name="list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the known models, and which of them are here."""
    import json

    from usbrec import models

    rows = [
        {
            "name": model.name, "here": models.path_of(model).exists(), "path": str(models.path_of(model)), "bytes": model.size,
            "licence": model.licence, "about": model.about, "experimental": model.experimental,
        }
        for model in models.KNOWN.values()
    ]  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['name']}  ({row['about']}; {int(str(row['bytes'])) / 1e6:.0f} MB, {row['licence']})")
        typer.echo(f"  {row['path']}" if row["here"] else f"  not here: usbrec model get {row['name']}")


def _note(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
