"""`usbrec evaluate`: the arms of a recipe, or a system that usbrec did not train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usbrec.cli.options import finite, idle, path
from usbrec.cli.run import DataDir, Json, RecipePath, Set, go, print_report, say

NOT_ASKED = ("evaluate.arms", "engines.sft", "engines.rl", "imitation", "sft", "prefer", "simpo", "export", "search")
"""Keys of a recipe that say nothing about a system under test."""


def evaluate(
    context: typer.Context,
    recipe: RecipePath,
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            help="Measure this system instead of the recipe's arms: an endpoint (http://host:port/v1), a Python callable "
            "(package.module:name or path/to/file.py:name) or a record (a .jsonl file).",
        ),
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Of an endpoint: the name of its model.")] = "",
    api_key_env: Annotated[
        str, typer.Option("--api-key-env", help="Of an endpoint: the environment variable with its key.")
    ] = "OPENAI_API_KEY",
    no_prompt: Annotated[
        bool, typer.Option("--no-prompt", help="Of an endpoint: send the bare dialogue, without the recipe's recommender prompt.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.001, callback=finite, help="Seconds for one reply of the system; then the row fails.")
    ] = 60.0,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, help="Replies at once; default 1 of a plain function, else engines.policy.concurrency."),
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Names the arm, system:LABEL; default: from the system's name.")] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", parser=path, help="The run folder; default runs/NAME, NAME from the recipe; of a system runs/NAME-LABEL."),
    ] = None,
    data_dir: DataDir = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Play and judge the arms of a recipe (and what they need), or a system that was not trained here.

    With --system the recipe gives the data, the rows, the turns, the seeker, the judges and the seed; nothing is trained.  The system and
    all reference arms are played on the same rows, and the report is written.  The same command again goes on where it stopped.
    """
    import json

    from usbrec import config, interrupts, outputs, pipeline
    from usbrec.errors import ConfigError
    from usbrec.stages import Loop
    from usbrec.systems import SystemOptions, connect

    if system is None:
        theirs = ("model", "api_key_env", "no_prompt", "timeout", "concurrency", "label")
        idle(context, "with a system: such options belong to --system", *theirs)
        folder = go(recipe, "evaluate", out, data_dir, set_)
        typer.echo(json.dumps({"run": str(folder)}) if json_ else str(folder))
        return
    if not system.startswith(("http://", "https://")):
        idle(context, "of an endpoint: --system http://host:port/v1", "model", "api_key_env", "no_prompt")
    if system.endswith(".jsonl"):
        idle(context, "of a system that is asked: a record holds what was said", "timeout", "concurrency")
    for override in set_ or []:
        if any(f"{override.partition('=')[0]}.".startswith(f"{key}.") for key in NOT_ASKED):
            raise ConfigError("matters only without --system", where=f"--set {override}", fix="leave it out")
    loaded = config.load(recipe, set_ or [])
    options = SystemOptions(
        label=label, model=model, api_key_env=api_key_env, prompt=not no_prompt, timeout=timeout, concurrency=concurrency
    )
    measured = connect(system, options)
    folder = outputs.run_folder(out, f"{loaded.name}-{measured.label}", data_dir)
    with pipeline.opened(folder, say) as opened:
        interrupts.run(Loop(run=opened, recipe=loaded, data_dir=data_dir, system=measured).through("report"))
    print_report(folder, json_)
