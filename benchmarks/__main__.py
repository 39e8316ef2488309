"""`python -m benchmarks TABLE`: the commands."""

from __future__ import annotations

import typer

from benchmarks import engines, growth, limits, podcs, ruler, search, server, startup, training

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command("search")(search.main)
app.command("server")(server.main)
app.command("podcs")(podcs.main)
app.command("engines")(engines.main)
app.command("training")(training.main)
app.command("growth")(growth.main)
app.command("limits")(limits.main)
app.command("startup")(startup.main)
app.command("ruler")(ruler.main)

if __name__ == "__main__":
    app()
