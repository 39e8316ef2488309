"""`usbrec data leaks`: where targets can be read before they are recommended."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usbrec.cli.options import idle, path

if TYPE_CHECKING:
    from usbrec.assemble import World
    from usbrec.config import Recipe
    from usbrec.evaluation.leaks import LeakAudit
    from usbrec.evaluation.prompt_leaks import PromptLeaks
    from usbrec.types import Example, Outcome


def leaks(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A recipe, a prepared folder, or a run folder.")],
    from_dir: Annotated[
        Path | None, typer.Option("--from-dir", parser=path, help="Of a recipe: the data set's files; default: USBREC_DATA.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Of a recipe: overrides a key.")] = None,
    show: Annotated[int, typer.Option("--show", min=0, help="Also print so many leaking rows of each split, with their text.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Count where targets can be read before they are recommended, and score a run without those rows.

    In the history, between splits, and for a run in what the simulated seeker says and in the prompts.  Exit 1 where the seeker or a prompt
    gives a target away.
    """
    from usbrec import manifest
    from usbrec.assemble import World

    if source.is_dir():
        idle(context, "of a recipe", "from_dir", "set_")
    if json_:
        idle(context, "without --json", "show")
    if (source / "recipe.json").exists() or (source / manifest.MANIFEST).exists():
        manifest.verify(source, "prepare")
        world = World.of(source / "prepare")
        audit = _audit_run(source, world)
    elif source.is_dir():
        world = World.of(source)
        audit = _audit_data(world)
    else:
        from usbrec import config, data

        recipe = config.load(source, set_ or [])
        given = from_dir or (Path(os.environ["USBREC_DATA"]) if os.environ.get("USBREC_DATA") else None)
        with TemporaryDirectory() as folder:
            data.prepare(recipe.data, given, Path(folder))
            world = World.of(Path(folder))
        audit = _audit_data(world)
    if json_:
        typer.echo(audit.model_dump_json(indent=2))
    else:
        _print(audit)
    for split, rows in world.splits.items() if show and not json_ else ():
        _show(split, rows, world, show)
    if audit.faults:
        raise typer.Exit(1)


def _audit_data(world: World) -> LeakAudit:
    from usbrec.evaluation.leaks import audit

    return audit(world.linker, splits=world.splits)


def _audit_run(folder: Path, world: World) -> LeakAudit:
    """Of a run folder; only of its data where nothing is evaluated yet."""
    from usbrec import config, interrupts
    from usbrec.evaluation.leaks import audit
    from usbrec.evaluation.report import read_outcomes

    if not any((folder / "evaluate").rglob("*.jsonl")):
        return _audit_data(world)
    recipe, outcomes = config.stored(folder, "evaluate"), read_outcomes(folder)
    prompts = interrupts.run(prompts_of(folder, recipe, world, outcomes))
    return audit(world.linker, outcomes, judges=recipe.judge_names, splits=world.splits, prompts=prompts)


async def prompts_of(folder: Path, recipe: Recipe, world: World, outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, PromptLeaks]:
    """Every model arm's prompts, rebuilt with the run's recommender and retriever and looked up in its ledger."""
    from usbrec.assemble import Assembly, Engines
    from usbrec.evaluation.compare import kind_of
    from usbrec.evaluation.prompt_leaks import Voice, asked, prompt_leaks

    voice = Voice(recipe.recommender, Assembly(recipe, world, Engines()).retrieve, getattr(recipe.search, "guided", 0))
    sent = asked(folder / "ledger.sqlite")
    return {arm: await prompt_leaks(rows, world.linker, voice, sent) for arm, rows in outcomes.items() if kind_of(arm) == "model"}


def _print(audit: LeakAudit) -> None:
    from rich import box
    from rich.table import Table

    from usbrec.cli.screen import Screen, shown
    from usbrec.evaluation.leak_tables import sheets

    console = Screen()
    for sheet in sheets(audit):
        table = Table(title=sheet.title, caption=sheet.note, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in sheet.columns:
            table.add_column(name)
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
    for fault in audit.faults:
        typer.echo(shown(fault))


def _show(split: str, rows: Sequence[Example], world: World, count: int) -> None:
    """The first leaking rows of a split: who names which target in which form."""
    from usbrec.cli.screen import Screen
    from usbrec.evaluation.leak_tables import FORM_NAMES
    from usbrec.evaluation.leaks import forms_of, named_by

    console = Screen()
    leaking = (row for row in rows if named_by(row, world.linker)["either"])
    for row, _ in zip(leaking, range(count), strict=False):
        console.rule(f"{split}, {row.key}: {'; '.join(world.catalogue[target].name for target in row.targets)}", align="left")
        for message in row.dialogue.messages:
            forms = forms_of([message.text], row.targets, world.linker)
            told = "; ".join(f"{world.catalogue[item].name}: {FORM_NAMES[form]}" for item, form in forms.items())
            console.print(f"{message.side:>11}:", marked(message.text, row.targets, world.linker), f"<- {told}" if told else "")


def marked(text: str, targets: tuple[str, ...], linker: Any) -> Any:
    """The text for a terminal, items underlined and targets highlighted."""
    from rich.text import Text

    found = Text(text)
    for mention in linker.mentions(text):
        found.stylize("bold reverse" if mention.item in targets else "underline", mention.start, mention.end)
    return found
