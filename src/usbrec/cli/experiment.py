"""`usbrec experiment`: one recipe in several variants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from usbrec.cli.options import path
from usbrec.cli.run import DataDir, Json, Set, say


def experiment(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment, e.g. recipes/experiments/ses-temperature.yaml.")],
    out: Annotated[Path | None, typer.Option("--out", parser=path, help="Where the runs go; default runs/experiments/NAME.")] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="A finished run of it: what a variant shares is taken over."),
    ] = None,
    publish: Annotated[
        Path | None, typer.Option(parser=path, help="Also write table, plot and JSON to this folder: no dialogue text.")
    ] = None,
    data_dir: DataDir = None,
    set_: Set = None,
    check: Annotated[bool, typer.Option("--check", help="Validate the file and all its recipes, list the variants, and stop.")] = False,
    json_: Json = False,
) -> None:
    """Run a recipe in several variants and hold each against one of them, on the same rows.

    Every variant is a run folder that resumes by itself; the same command goes on where it stopped.
    """
    from usbrec import experiments, interrupts, outputs
    from usbrec.evaluation import variants

    plan = experiments.Plan.of(file, set_ or [])
    if check:
        if json_:
            told = {name: recipe.model_dump(mode="json") for name, recipe in plan.recipes.items()}
            typer.echo(json.dumps({"name": plan.file.name, "variants": told}, indent=2))
            return
        typer.echo(f"{file}: a valid experiment, '{plan.file.name}': {'; '.join(plan.recipes)}")
        return
    folder = outputs.experiment_folder(out, plan.file.name, data_dir, start)
    if publish:
        outputs.apart(publish, data_dir, start)
    found = interrupts.run(plan.run(folder, data_dir, start, say))
    for place in (folder, *([publish] if publish else [])):
        experiments.write(place, found)
    typer.echo(found.model_dump_json(indent=1) if json_ else variants.text(found))
