"""Table b: the same against an endpoint with fixed latencies, which stands for a GPU server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common
from benchmarks.contest import DEFAULT, alone, plain, play, reference, searching, table
from usbrec import jsonl
from usbrec.engine import Engine
from usbrec.engines import OpenAISettings, connect

IN_FLIGHT = 64


def main(
    run: Annotated[Path, typer.Argument(help="A finished run: its data and recipe.")],
    rows: Annotated[int, typer.Option(help="Rows that we answer.")] = 400,
    reference_rows: Annotated[int, typer.Option(help="Rows that the reference pattern answers.")] = 20,
    single: Annotated[int, typer.Option(help="Replies timed alone.")] = 100,
    reference_single: Annotated[int, typer.Option(help="Replies of the reference pattern timed alone.")] = 20,
    out: common.Out = common.OUT,
) -> None:
    """Searched replies against an endpoint: 40 ms to the first token, 12 ms a token, unlimited parallel."""
    asyncio.run(_main(common.Trained(run, "base"), rows, reference_rows, single, reference_single, out))


async def _main(trained: common.Trained, rows: int, reference_rows: int, single: int, reference_single: int, out: Path) -> None:
    replies = [e.reply for e in trained.world.splits["train"] if e.answered and e.targets][:2000]
    with endpoint(replies, out) as url:

        def engine() -> Engine:
            return connect(OpenAISettings(model="loopback", base_url=url, concurrency=4096))

        ours = [plain(trained, engine(), IN_FLIGHT), searching(DEFAULT, trained, engine(), IN_FLIGHT)]
        theirs = reference(trained, engine())
        examples = trained.rows(max(rows, single))
        try:
            await alone(ours, examples[:single])
            await alone([theirs], examples[:reference_single])
            for contestant in ours:
                await play(contestant, trained, examples[:rows])
            await play(theirs, trained, examples[:reference_rows])
        finally:
            for contestant in (*ours, theirs):
                await contestant.engine.close()
    lines, details = table([*ours, theirs], trained.recipe.seed)
    for line in lines:
        line.pop("iEval", None)
        line.pop("iEval - reference", None)
    plainly, default, pattern = (details[name]["alone"] for name in (ours[0].name, DEFAULT, theirs.name))
    ratios = {
        "ses_server_throughput": ours[1].rows_per_minute / theirs.rows_per_minute,
        "ses_server_latency": default["median"] / pattern["median"],
        "ses_over_plain_server": default["mean"] / plainly["mean"],
        "ses_over_plain_server_p95": default["p95"] / plainly["p95"],
    }
    notes = [
        "An endpoint in a process of its own that answers after 40 ms and 12 ms a token, however many ask; what it says are replies of the"
        f" training dialogues, or an offer of the item in its prompt in nine of ten cases. {IN_FLIGHT} dialogues in flight, the reference"
        " pattern one.",
        "Quality means nothing here and is left out.",
    ]
    common.write(out, "server", "Searched replies by an endpoint with fixed latencies", lines, ratios, notes, details)


@contextmanager
def endpoint(replies: list[str], out: Path) -> Iterator[str]:
    """The endpoint's address, while its process runs."""
    out.mkdir(parents=True, exist_ok=True)
    said = out / ".replies.json"
    jsonl.write_json(said, replies)
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.loopback", str(said)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait(timeout=10)
        said.unlink()
