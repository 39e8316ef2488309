"""The command line.  Modules that cost time are imported inside the commands, so that `--help` is instant.

Results go to stdout, progress and notes to stderr.  Every `UsbrecError` is printed as one message with its place and its remedy.
"""

from __future__ import annotations

import errno
import io
import os
import sqlite3
import sys
import traceback
from pathlib import Path

import typer

from usbrec.cli import chat, compare, data, doctor, evaluate, experiment, judge, model, power, repeats, rescore, run, status
from usbrec.redaction import redacted

app = typer.Typer(
    name="usbrec",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train an LLM to recommend in conversation with a simulated user, search for its best reply, and measure both.",
)
app.command()(run.run)
for _stage in run.STAGE_COMMANDS:
    app.command(name=_stage.__name__)(_stage)
app.command()(evaluate.evaluate)
app.command()(status.status)
app.command()(run.report)
app.command()(rescore.rescore)
app.command(cls=compare.SeveralAgainst)(compare.compare)
app.command()(repeats.repeats)
app.command()(power.power)
app.command()(experiment.experiment)
app.command()(chat.chat)
app.add_typer(data.app, name="data")
app.add_typer(judge.app, name="judge")
app.add_typer(model.app, name="model")
app.command()(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        from usbrec import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and stop."),
) -> None:
    """Holds the options that stand before a command."""


def main() -> None:
    """Entry point: runs a command and turns every fault into one message and an exit code."""
    from usbrec.errors import UsbrecError, cause_of

    _open_streams()
    try:
        try:
            app()
        except BaseExceptionGroup as faults:
            fault = cause_of(faults)
            raise fault from fault.__cause__
    except UsbrecError as fault:
        _stop(str(fault), fault.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, sqlite3.OperationalError) as fault:
        full = getattr(fault, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(fault)
        remedy = "\n  fix: make room on the disk and run the same command again; what is finished is kept" if full else ""
        _crash(f"{fault}{remedy}", fault)
    except Exception as fault:
        _crash(f"unexpected {type(fault).__name__}: {fault}", fault)


def _open_streams() -> None:
    """Bytes that are no text, letters that a terminal cannot show and closed streams end no command."""
    for name, mode, errors in (("stdin", "r", "replace"), ("stdout", "w", "backslashreplace"), ("stderr", "w", "backslashreplace")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 (to the end of the process)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def _crash(message: str, fault: BaseException) -> None:
    if os.environ.get("USBREC_DEBUG"):
        sys.stderr.write(redacted("".join(traceback.format_exception(fault))))
    else:
        message += "\n  (USBREC_DEBUG=1 before the same command shows where)"
    _stop(message, 1)


def _stop(message: str, code: int) -> None:
    from usbrec.cli.screen import shown

    sys.stderr.write(f"error: {shown(redacted(message))}\n")
    sys.exit(code)
