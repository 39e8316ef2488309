"""`usbrec rescore`: grade the stored conversations of a run by another judge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usbrec.cli.options import idle, path
from usbrec.cli.run import Json, print_report, say


def rescore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder with finished evaluations; it is only read.")],
    judge: Annotated[
        str, typer.Option("--judge", metavar="KIND[:METHOD]", help="catalogue, llm or grounded; an LLM is asked by choose or vote.")
    ],
    judge_model: Annotated[
        str, typer.Option("--judge-model", help="Of an llm or grounded judge: its model; default: the engines.judge of the run's recipe.")
    ] = "",
    judge_url: Annotated[str, typer.Option("--judge-url", help="The OpenAI-compatible endpoint that serves the judge's model.")] = "",
    api_key_env: Annotated[str, typer.Option("--api-key-env", help="The environment variable with the endpoint's key.")] = "OPENAI_API_KEY",
    out: Annotated[Path | None, typer.Option("--out", parser=path, help="The new run folder; default RUN-rescored-KIND.")] = None,
    json_: Json = False,
) -> None:
    """Grade the stored conversations of a run by another judge: no reply is asked for again.

    Writes a new run folder with the same conversations, the old scores and the new one beside them, and its report.
    """
    from usbrec import config, interrupts, outputs, pipeline
    from usbrec.engines import EngineConfig, OpenVINOSettings
    from usbrec.engines.openai_settings import named
    from usbrec.errors import ConfigError
    from usbrec.rescoring import judge_of
    from usbrec.rescoring import rescore as rescored

    settings = judge_of(judge)
    config.stored(folder, "evaluate")
    if settings.kind == "catalogue":
        idle(context, "of --judge llm or grounded: the catalogue judge has no model", "judge_model", "judge_url", "api_key_env")
    if not judge_url:
        idle(context, "with --judge-url", "api_key_env")
    if judge_url and not judge_model:
        raise ConfigError("an endpoint needs the name of its model", where=f"--judge-url {judge_url}", fix="add --judge-model NAME")
    engine: EngineConfig | None = None
    if judge_url:
        engine = named(f"--judge-url {judge_url}", base_url=judge_url, model=judge_model, api_key_env=api_key_env)
    elif judge_model:
        engine = OpenVINOSettings(model=judge_model)
    target = outputs.run_folder(out or Path(f"{folder}-rescored-{settings.kind}"), "", folder)
    with pipeline.opened(target, say) as run:
        interrupts.run(rescored(folder, run, settings, engine))
    print_report(target, json_)
