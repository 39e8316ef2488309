"""How long commands take that do no work: what a user waits for before anything begins."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Annotated

import typer

from benchmarks import common

COMMANDS = (("--version",), ("--help",), ("run", "--help"), ("run", "recipes/demo.yaml", "--check"))


def main(
    rounds: Annotated[int, typer.Option(help="How often each command runs; the first time is not counted.")] = 9,
    out: common.Out = common.OUT,
) -> None:
    """The start of the command line, as a process of its own."""
    table = []
    for arguments in COMMANDS:
        seconds = [_seconds(arguments) for _ in range(rounds + 1)][1:]
        table.append({"command": " ".join(("usbrec", *arguments)), **{f"{key}, s": value for key, value in common.spread(seconds).items()}})
    common.write(out, "startup", "Commands that do no work", table, {}, ["A whole process each, from the folder of the project."])


def _seconds(arguments: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "usbrec", *arguments], check=True, capture_output=True)
    return time.perf_counter() - began
