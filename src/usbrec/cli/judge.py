"""`usbrec judge`: is a judge fit to judge?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from usbrec.cli.options import finite, path
from usbrec.cli.run import DataDir, Json, RecipePath, Set, say

app = typer.Typer(help="Judges: hold them against replies of known worth, and against people.", no_args_is_help=True)

Split = Annotated[Literal["train", "valid", "test"], typer.Option(help="The split that the rows come from.")]
Rows = Annotated[int, typer.Option(min=1, help="So many rows, drawn by the recipe's seed.")]
MOST_VOTES = 50
"""The outcomes of a draw are all weighed: some 23,000 for 50 votes."""


@app.command()
def calibrate(
    recipe: RecipePath,
    judge: Annotated[
        list[str] | None,
        typer.Option("--judge", metavar="KIND[:METHOD][@MODEL]", help="catalogue, llm or grounded; choose or vote. May be repeated."),
    ] = None,
    rows: Rows = 300,
    split: Split = "valid",
    thorough: Annotated[
        int, typer.Option(min=0, help="So many of the rows are asked about twice, in another order and in other words.")
    ] = 100,
    labels: Annotated[Path | None, typer.Option(help="Grades by people: a file that `usbrec judge sheet` wrote, filled in.")] = None,
    least_auc: Annotated[float, typer.Option(min=0.5, max=1, callback=finite, help="A judge below it against any floor is not fit.")] = 0.8,
    out: Annotated[
        Path | None, typer.Option("--out", parser=path, help="The run folder; default runs/calibrate-NAME, NAME from the recipe.")
    ] = None,
    publish: Annotated[
        Path | None, typer.Option(parser=path, help="Also write tables, plot and summary.json to this folder: no dialogue text.")
    ] = None,
    data_dir: DataDir = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Score the human's reply and useless ones by each judge: can it tell them apart?

    The recipe gives data, split by dialogue, and models; without --judge the judges of its evaluation are calibrated.  What a judge said is
    kept row by row: the same command goes on where it stopped.
    """
    from usbrec import calibrate as work
    from usbrec import config, interrupts, outputs, pipeline

    loaded = config.load(recipe, set_ or [], used=("engines.judge",))
    if publish:
        outputs.apart(publish, data_dir)
    folder = outputs.run_folder(out, f"calibrate-{loaded.name}", data_dir)
    given = work.read_labels(labels) if labels else {}
    with pipeline.opened(folder, say) as run:
        calibrating = work.Calibrating(
            run=run, recipe=loaded, data_dir=data_dir, split=split, rows=rows, thorough=thorough, labels=given, least_auc=least_auc
        )
        found = interrupts.run(calibrating(judge or []))
        work.publish(folder / "calibration", found)
    if publish:
        work.publish(publish, found)
    typer.echo(found.model_dump_json(indent=1) if json_ else (folder / "calibration" / f"{found.data}.md").read_text(encoding="utf-8"))


@app.command()
def votes(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of `usbrec judge calibrate`; it is only read.")],
    counts: Annotated[str, typer.Option("--votes", metavar="N,N,...", help="Numbers of votes.")] = "1,2,3,5,10,20",
    publish: Annotated[
        Path | None, typer.Option(parser=path, help="Also write votes-DATA.{md,svg,json} to this folder: no dialogue text.")
    ] = None,
    json_: Json = False,
) -> None:
    """How many votes does an LLM judge need?  Their majority and their mean against the exact distribution.

    Of every judge that a calibration asked by `choose`; where it was asked by `vote`, too, its own votes are counted.  No model is asked.
    """
    from usbrec import calibrate as work
    from usbrec.evaluation import vote_tables

    found = work.votes_of(folder, _counts(counts))
    if publish:
        vote_tables.publish(publish, found)
    typer.echo(found.model_dump_json(indent=1) if json_ else vote_tables.text(found))


def _counts(given: str) -> list[int]:
    from usbrec.errors import ConfigError

    words = [word.strip() for word in given.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= MOST_VOTES for word in words):
        raise ConfigError(f"'{given}' are no numbers of votes", where="--votes", fix=f"write 1 to {MOST_VOTES}, with commas: 1,3,10")
    return sorted({int(word) for word in words})


@app.command()
def sheet(
    recipe: RecipePath,
    out: Annotated[Path, typer.Argument(parser=path, help="The JSONL file to write.")],
    rows: Rows = 50,
    split: Split = "valid",
    data_dir: DataDir = None,
    set_: Set = None,
) -> None:
    """Write replies for people to grade: fill in `grade` (0, 1 or 2) and `rater`, then `usbrec judge calibrate --labels FILE`.

    The file holds dialogues of the data: mind its licence.
    """
    import json

    from usbrec import calibrate as work
    from usbrec import config, interrupts, jsonl, outputs, pipeline
    from usbrec.assemble import World
    from usbrec.errors import StorageError
    from usbrec.stages import Loop

    if out.exists():
        raise StorageError("is there already, and may hold grades", where=str(out), fix="name another file")
    loaded = config.load(recipe, set_ or [], used=("engines.judge",))
    with pipeline.opened(outputs.run_folder(None, f"calibrate-{loaded.name}", data_dir), say) as run:
        interrupts.run(Loop(run=run, recipe=loaded, data_dir=data_dir).prepare())
        world = World.of(run.folder / "prepare")
        calibrating = work.Calibrating(run=run, recipe=loaded, data_dir=data_dir, split=split, rows=rows)
        lines = work.labelling_sheet(calibrating.examples(world), calibrating.probes(world), world, loaded.seed)
    jsonl.write_text(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    typer.echo(f"{len(lines)} replies to grade: {out}")


@app.command()
def checkpoints(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run whose recipe set simpo.keep_every.")],
    judge: Annotated[
        list[str],
        typer.Option("--judge", metavar="KIND[:METHOD][@MODEL]", help="A judge that the model was not trained on; may be repeated."),
    ],
    rows: Rows = 150,
    split: Split = "valid",
    json_: Json = False,
) -> None:
    """Score every kept checkpoint by several judges: does the one that it was trained on part ways with the others?

    Name one of another kind and one of another model family.  The run's report shows the curves from then on.
    """
    from usbrec import config, interrupts, pipeline
    from usbrec.drift import Drift
    from usbrec.evaluation import divergence, report, tables

    loaded = config.stored(folder)
    with pipeline.opened(folder, say) as run:
        found = interrupts.run(Drift(run=run, recipe=loaded, specs=judge, rows=rows, split=split)())
        typer.echo(found.model_dump_json(indent=1) if json_ else tables.markdown(divergence.sheet(found)))
        if (folder / "report").exists():
            say(f"report: {report.write(folder, report.build(folder))}")
            run.rewritten("report")
