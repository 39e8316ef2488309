"""`usbrec data`: import, get, check and show data sets; `leaks` has a file of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from usbrec.cli.leaks import leaks, marked
from usbrec.cli.options import idle, path

app = typer.Typer(no_args_is_help=True, help="Import, fetch, check and show data sets.")


class Kind(StrEnum):
    """Data sets that can be imported."""

    redial = "redial"
    opendialkg = "opendialkg"
    custom = "custom"
    demo = "demo"


class Home(StrEnum):
    """Data sets with an official home."""

    redial = "redial"
    opendialkg = "opendialkg"


class Split(StrEnum):
    """How rows are split."""

    official = "official"
    dialogue = "dialogue"


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("import")
def import_(
    context: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="Which data set.")],
    out: Annotated[Path, typer.Option("--out", parser=path, help="The prepared folder to write.")],
    from_dir: Annotated[Path | None, typer.Option("--from-dir", parser=path, help="The data set's files; default: USBREC_DATA.")] = None,
    split: Annotated[Split, typer.Option(help="As published, or split anew by dialogue.")] = Split.official,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    json_: Json = False,
) -> None:
    """Turn a data set's own files into a prepared folder; every trap met and every row left out is counted."""
    from pydantic import TypeAdapter

    from usbrec import outputs
    from usbrec.data import CARD, FILES, DataConfig, prepare, weak

    if kind is Kind.demo:
        idle(context, "for data that is published: the demo is made and split anew", "from_dir", "split")
    elif split is Split.official:
        idle(context, "with --split dialogue", "seed")
    told = {"kind": kind.value, "seed": seed, **({} if kind is Kind.demo else {"split": split.value})}
    given = from_dir or (Path(os.environ["USBREC_DATA"]) if os.environ.get("USBREC_DATA") else None)
    outputs.vacant(outputs.apart(out, given), FILES, CARD)
    prepared = prepare(TypeAdapter[DataConfig](DataConfig).validate_python(told), given, out)
    card = prepared.card
    _warn(weak(card.linking))
    if json_:
        brief = {reason: len(keys) for reason, keys in _skipped(card.skipped).items()}
        typer.echo(json.dumps(card.model_dump(mode="json") | {"skipped": brief, "out": str(out)}, indent=2))
        return
    typer.echo(f"{out}: {card.items} items; " + ", ".join(f"{name} {count}" for name, count in card.rows.items()) + " rows")
    if card.licence:
        typer.echo(card.licence)
    _table({name: counts for name, counts in card.counts.items() if counts})
    for reason, keys in _skipped(card.skipped).items():
        typer.echo(f"left out, {reason}: {len(keys)} rows (named in card.json)")
    for name, quality in card.linking.items():
        typer.echo(f"linking, {name}: precision {quality['precision']:.3f}, recall {quality['recall']:.3f}")


@app.command()
def get(
    kind: Annotated[Home, typer.Argument(help="Which data set.")],
    out: Annotated[Path, typer.Option("--out", parser=path, help="The folder to fetch into.")],
    base_url: Annotated[str, typer.Option("--base-url", help="A mirror instead of the official home (digests are then not pinned).")] = "",
) -> None:
    """Fetch a data set from its official home: shows its licence, resumes a cut transfer, checks the digest."""
    from usbrec.data import download

    paths = download.get(kind.value, out, base_url=base_url, pinned=not base_url, say=lambda line: typer.echo(line, err=True))
    for each in paths:
        typer.echo(str(each))


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared folder, or a data set's own files.")],
    json_: Json = False,
) -> None:
    """Check a prepared folder, or a data set's own files; exit 1 when there are faults."""
    from usbrec.cli.screen import shown
    from usbrec.data import CARD, checking, opendialkg, opendialkg_raw, redial, weak
    from usbrec.errors import DataError

    if (folder / CARD).exists():
        findings = checking.check_prepared(folder)
    elif (folder / "catalogue.jsonl").exists():
        findings = checking.check_custom(folder)
    elif (folder / opendialkg_raw.FILES[0]).exists():
        findings = checking.check_corpus("opendialkg", opendialkg.read(folder))
    elif (folder / "id2info.json").exists():
        films = "opendialkg" if _has_year(folder / "id2info.json") else "redial"
        findings = checking.check_corpus(films, (opendialkg if films == "opendialkg" else redial).read(folder))
    elif (folder / "train_data.jsonl").exists():
        findings = checking.check_corpus("redial", redial.read(folder))
    else:
        names = "catalogue.jsonl, id2info.json, train_data.jsonl, opendialkg.csv"
        raise DataError(f"there is none of {names}", where=str(folder), fix="give a data folder")
    linking = {name: quality.as_card() for name, quality in findings.linking.items()}
    _warn(weak(linking))
    if json_:
        result = {"kind": findings.kind, "faults": findings.faults, "splits": findings.splits, "linking": linking}
        typer.echo(json.dumps(result, indent=2))
    else:
        _table(findings.splits)
        for name, quality in findings.linking.items():
            typer.echo(
                f"linking, {name}: precision {quality.precision:.3f}, recall {quality.recall:.3f} on {quality.replies} replies "
                f"({quality.extra} linked but not marked, {quality.missed} marked but not linked, {quality.ambiguous} of them ambiguous)"
            )
        for fault in findings.faults[:50]:
            typer.echo(shown(fault))
        typer.echo(f"{len(findings.faults)} faults")
    if findings.faults:
        raise typer.Exit(1)


@app.command()
def show(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared folder.")],
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    key: Annotated[str, typer.Option(help="One row, by its key.")] = "",
    count: Annotated[int, typer.Option("-n", min=1, help="So many rows from the top.")] = 3,
) -> None:
    """Print dialogues with their targets; targets named in a text are highlighted."""
    from usbrec.cli.screen import Screen
    from usbrec.data import load
    from usbrec.errors import DataError
    from usbrec.linking import Linker

    if key:
        idle(context, "without --key", "count")
    prepared = load(folder)
    if split not in prepared.splits:
        raise DataError(f"there is no split '{split}'", where=str(folder), fix="known: train, valid, test")
    rows = [row for row in prepared.splits[split] if not key or row.key == key]
    if not rows:
        raise DataError(f"there is no row '{key}' in {split}", where=str(folder), fix="leave --key out to see the first rows")
    linker, console = Linker(prepared.catalogue), Screen()
    for row in rows[:count]:
        named = f", already named: {len(row.leaks)}" if row.leaks else ""
        console.rule(f"{row.key}{named}", align="left")
        for message in row.dialogue.messages:
            console.print(f"{message.side:>11}:", marked(message.text, row.targets, linker))
        console.print("human reply:", marked(row.reply or "(missing or cut)", row.targets, linker))
        console.print("    targets:", "; ".join(prepared.catalogue[target].name for target in row.targets))


app.command()(leaks)


def _table(counts: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table

    from usbrec.cli.screen import Screen

    names = list(dict.fromkeys(name for each in counts.values() for name in each))
    table = Table("", *counts)
    for name in names:
        table.add_row(name, *(str(each.get(name, "")) for each in counts.values()))
    Screen().print(table)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(f"warning: {line}", err=True)


def _skipped(skipped: dict[str, dict[str, list[str]]]) -> dict[str, list[str]]:
    return {f"{split}: {reason}": keys for split, reasons in skipped.items() for reason, keys in reasons.items()}


def _has_year(path: Path) -> bool:
    """OpenDialKG's catalogue has the field `year`; ReDial's has the year in the title."""
    from usbrec.data.corpus import read_info

    return any("year" in entry or "actor" in entry for entry in read_info(path).values())
