"""`usbrec run`, each stage as a command of its own, and `usbrec report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usbrec.cli.options import path
from usbrec.progress import note

if TYPE_CHECKING:
    from usbrec.stages import StageName

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe file, e.g. recipes/demo.yaml.")]
Out = Annotated[Path | None, typer.Option("--out", parser=path, help="The run folder; default runs/NAME, NAME from the recipe.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", parser=path, envvar="USBREC_DATA", help="Where the data lies: a folder with redial/ or opendialkg/ in it."),
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key of the recipe; may be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def say(text: str) -> None:
    """A note for people, on stderr."""
    from usbrec.cli.screen import shown

    note(shown(text))


def run(
    recipe: RecipePath,
    out: Out = None,
    data_dir: DataDir = None,
    set_: Set = None,
    check: Annotated[bool, typer.Option("--check", help="Validate the recipe and stop.")] = False,
    json_: Json = False,
) -> None:
    """Run the whole loop: prepare, sft, prefer, simpo, export, evaluate, report.

    What is finished and unchanged is kept; a run that was killed goes on where it stopped.
    """
    from usbrec import config

    loaded = config.load(recipe, set_ or [])
    if check:
        typer.echo(loaded.model_dump_json(indent=2) if json_ else f"{recipe}: a valid recipe, '{loaded.name}'")
        return
    folder = go(recipe, "report", out, data_dir, set_)
    print_report(folder, json_)


def go(recipe: Path, last: StageName, out: Path | None, data_dir: Path | None, set_: list[str] | None) -> Path:
    """Runs a recipe up to a stage; returns the run folder."""
    from usbrec import config, interrupts, outputs, pipeline
    from usbrec.stages import Loop

    loaded = config.load(recipe, set_ or [])
    folder = outputs.run_folder(out, loaded.name, data_dir)
    with pipeline.opened(folder, say) as opened:
        interrupts.run(Loop(run=opened, recipe=loaded, data_dir=data_dir).through(last))
    return folder


def print_report(folder: Path, as_json: bool) -> None:
    """The table of the arms and where the page lies, or the report as JSON."""
    from usbrec.cli.screen import Screen
    from usbrec.evaluation import report, tables

    if as_json:
        typer.echo((folder / "report" / "report.json").read_text(encoding="utf-8"))
        return
    found = report.read_report(folder)
    for warning in found.warnings:
        say(f"warning: {warning}")
    Screen().print(tables.arms_table(found))
    typer.echo(f"report: {folder / 'report' / 'report.html'}")


def _stage_command(stage: StageName, about: str) -> Callable[..., None]:
    def command(recipe: RecipePath, out: Out = None, data_dir: DataDir = None, set_: Set = None) -> None:
        folder = go(recipe, stage, out, data_dir, set_)
        typer.echo(str(folder))

    command.__name__, command.__doc__ = stage, about
    return command


STAGE_COMMANDS = [
    _stage_command("prepare", "Import and split the data of a recipe."),
    _stage_command("sft", "Fine-tune a LoRA adapter on the human replies (and prepare, where that is not done)."),
    _stage_command("prefer", "Build the preference dataset, PODCS (and what it needs)."),
    _stage_command("simpo", "Train on the preferences with SimPO (and what it needs)."),
    _stage_command("export", "Merge the trained adapter into the base model's GGUF (and what it needs)."),
]


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder with finished evaluations.")],
    dialogues: Annotated[
        bool, typer.Option("--dialogues", help="Put a sample of dialogues with their search trees into the HTML.")
    ] = False,
    json_: Json = False,
) -> None:
    """Write the report of a run folder anew and print its table."""
    from usbrec import config, pipeline
    from usbrec.evaluation import report as reports

    config.stored(folder, "evaluate")  # or it is no run folder
    with pipeline.opened(folder, say) as opened:
        built = reports.build(folder)
        reports.write(folder, built, include_dialogues=dialogues)
        opened.rewritten("report")
        for note in (*reports.missing(folder, list(built.arms)), *reports.incomplete(folder)):
            say(f"warning: {note}")
    print_report(folder, json_)
