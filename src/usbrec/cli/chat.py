"""`usbrec chat`: talk with an arm of a run in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from usbrec.roles import Recommender
    from usbrec.search.speculate import Speculation
    from usbrec.types import SearchTrace


def chat(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    arm: Annotated[str, typer.Option(help="base, sft or rl, each plain or with +ses; or a floor such as collaborative.")] = "rl+ses",
    show_search: Annotated[bool, typer.Option("--show-search", help="Print the profile and the candidates behind each reply.")] = False,
    seed: Annotated[int, typer.Option(help="Of the search's samples.")] = 0,
) -> None:
    """Talk with an arm of a run; an empty line or Ctrl-D ends it.  Lines may also be piped in."""
    import asyncio

    asyncio.run(_talk(folder, arm, show_search, seed))


async def _talk(folder: Path, arm: str, show_search: bool, seed: int) -> None:
    from usbrec import config
    from usbrec.assemble import Engines
    from usbrec.search import Search
    from usbrec.search.speculate import Speculation
    from usbrec.seeds import seed_of
    from usbrec.stages import recommender_of
    from usbrec.types import Dialogue

    recipe = config.stored(folder)
    async with Engines() as engines:
        recommender: Recommender = recommender_of(folder, recipe, arm, engines)
        ahead = Speculation(recommender) if isinstance(recommender, Search) and recommender.settings.speculate.guesses else None
        sys.stderr.write(f"{arm} of {folder}; an empty line ends the talk\n")
        dialogue = Dialogue()
        try:
            while text := await _ask():
                dialogue = dialogue.say("seeker", text)
                reply = await (ahead or recommender).reply(dialogue, seed=seed_of(seed, len(dialogue)))
                dialogue = dialogue.say("recommender", reply.text)
                if show_search and reply.search:
                    _show(reply.search)
                if show_search and ahead:
                    sys.stderr.write(f"{'searched ahead, while you read and typed' if ahead.prefetched else 'not searched ahead'}\n")
                typer.echo(reply.text)
                if ahead:
                    ahead.said(dialogue, reply, seed=seed_of(seed, len(dialogue) + 1))
        finally:
            if ahead:
                await ahead.close()
        if ahead and show_search:
            _show_spent(ahead)


async def _ask() -> str:
    import asyncio

    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()


def _show(trace: SearchTrace) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True)
    console.print(f"profile: {trace.profile.summary}", style="dim", markup=False)
    table = Table("", "value", "times", "candidate", "played forward")
    for index, candidate in enumerate(trace.candidates):
        value = "-" if candidate.value is None else f"{candidate.value:.2f}"
        line = " / ".join(message.text for message in candidate.continuation)
        table.add_row("*" if index == trace.chosen else "", value, str(candidate.count), candidate.text, line)
    console.print(table)
    console.print(f"{trace.calls} calls, {trace.prompt_tokens} prompt and {trace.completion_tokens} generated tokens", style="dim")
    if trace.note:
        console.print(trace.note, style="yellow")


def _show_spent(ahead: Speculation) -> None:
    spent = ahead.spent
    told = f"searched ahead: {spent.hits} hits, {spent.misses} misses; {spent.calls} calls, {spent.tokens} tokens"
    told += f", of them {spent.wasted_calls} calls, {spent.wasted_tokens} tokens in vain"
    sys.stderr.write(f"{told}; {spent.faults} faults{spent.note and ', the latest: '}{spent.note}\n")
