"""`usbrec doctor`: is everything here that a run needs?"""

from __future__ import annotations

from typing import Annotated

import typer

from usbrec.cli.options import idle

_MARKS = {"ok": "ok     ", "missing": "missing", "broken": "BROKEN "}


def doctor(
    context: typer.Context,
    base_url: Annotated[str | None, typer.Option(help="Also ask this OpenAI-compatible endpoint for its models.")] = None,
    api_key_env: Annotated[str, typer.Option(help="Environment variable with the endpoint's key.")] = "OPENAI_API_KEY",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check Python, packages, disk, models and engines; each fault names what mends it.  Exit code 0 if the core works."""
    import json
    from dataclasses import asdict

    from usbrec import doctor as checks
    from usbrec import interrupts

    if base_url is None:
        idle(context, "with --base-url", "api_key_env")
    found = interrupts.run(checks.examine(base_url=base_url, api_key_env=api_key_env))
    well = checks.core_works(found)
    if as_json:
        typer.echo(json.dumps({"core_works": well, "checks": [asdict(check) for check in found]}, indent=2))
    else:
        for check in found:
            typer.echo(f"{_MARKS[check.state]} {check.name}: {check.detail}")
            if check.fix:
                typer.echo(f"        fix: {check.fix}")
        typer.echo("the core works" if well else "the core does not work yet")
    raise typer.Exit(0 if well else 1)
