"""Table f: what grows, and how fast: rows, candidates, depth, the catalogue.  No model: all of it is this package's own work."""

from __future__ import annotations

import asyncio
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.contest import DEFAULT, play, searching
from usbrec.catalogue import Catalogue
from usbrec.engine import ChatMessage, Choice, Completion, Sampling
from usbrec.engines.scripted import ScriptedEngine
from usbrec.evaluation.ieval import Evaluation
from usbrec.linking import Linker
from usbrec.rowmap import map_rows
from usbrec.seeds import rng_of
from usbrec.types import Example, Item, Outcome

ROWS, CANDIDATES, DEPTHS, TITLES = (100, 1_000, 10_000), (1, 2, 4, 8, 16), (1, 2, 3, 4), (1_000, 10_000, 100_000, 1_000_000)
SEARCHES = 64


@dataclass
class Parrot:
    """An engine that says one of the training replies at once."""

    replies: Sequence[str]
    name: str = "parrot"
    calls: int = 0

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        self.calls += n
        await asyncio.sleep(0)
        rng = rng_of(sampling.seed, messages[-1].content, len(messages))
        return [Completion(text=rng.choice(self.replies), prompt_tokens=200, completion_tokens=20) for _ in range(n)]

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        self.calls += 1
        return Choice(probabilities=(1 / len(options),) * len(options), mass=1.0)

    def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> Any:
        raise NotImplementedError

    async def close(self) -> None: ...


def main(
    run: Annotated[Path, typer.Argument(help="A finished run: its data.")],
    out: common.Out = common.OUT,
    most: Annotated[int, typer.Option(help="The largest catalogue, in titles.")] = TITLES[-1],
) -> None:
    """How the work grows with rows, candidates, depth and the catalogue."""
    trained = common.Trained(run, "base")
    replies = [e.reply for e in trained.world.splits["train"] if e.answered and e.targets][:2000]
    table = asyncio.run(_rows(trained, replies))
    table += asyncio.run(_searches(trained, replies))
    table += [_linking(count, replies) for count in TITLES if count <= most]
    ratios = {f"growth_{name}": _exponent([row for row in table if row["what grows"] == name]) for name in ("rows", "candidates", "titles")}
    ratios["linking_ms"] = next(row["ms each"] for row in table if row["what grows"] == "titles" and row["to"] == min(most, 100_000))
    notes = [
        "No model answers here: an engine that says a training reply at once, so the times are this package's own. Rows: evaluation of one"
        " plain arm through the resumable map, its file read back. Candidates and depth: a searched reply, `depth` turns of `width` 2.",
        "growth: the slope of log time against log size, between the smallest and the largest; 1 is linear. Linking a reply to a catalogue"
        " of made-up titles of two to four words, each size in a process of its own; building is done once.",
    ]
    common.write(out, "growth", "Growth", table, ratios, notes)


def _exponent(rows: Sequence[dict[str, Any]]) -> float:
    first, last = rows[0], rows[-1]
    return math.log(last["s"] / first["s"]) / math.log(last["to"] / first["to"])


async def _rows(trained: common.Trained, replies: Sequence[str]) -> list[dict[str, Any]]:
    recipe = common.with_roles(trained.recipe, {"recommender": {"redraws": 0}})
    engine = ScriptedEngine(tuple(replies[:50]))
    assembly, base = trained.assembly(engine, recipe), trained.rows(1_000, split="train")
    said = assembly.recommender(engine)
    evaluation = Evaluation(
        arm="plain", recommender_for=lambda _: said, seeker_for=assembly.seeker_for(recipe.evaluate.seeker),
        judges_for=[assembly.judge_for(recipe.evaluate.judges[0])], linker=trained.world.linker, turns=2, seed=1,
    )  # fmt: skip
    found = []
    for count in ROWS:
        examples = [_copy(base[index % len(base)], index) for index in range(count)]
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            await map_rows(
                examples, evaluation, path=Path(folder) / "rows.jsonl", kind=Outcome, key=lambda e: e.key, row_key=lambda r: r.key,
                failed=evaluation.failed, is_failed=lambda r: bool(r.error), label=f"{count} rows", limit=64,
            )  # fmt: skip
            seconds = time.perf_counter() - began
        found.append({"what grows": "rows", "to": count, "s": seconds, "ms each": 1000 * seconds / count, "memory, MiB": _memory()})
    return found


def _copy(example: Example, index: int) -> Example:
    return example.model_copy(update={"key": f"{example.dialogue_id}-{index}:{example.turn_id}"})


async def _searches(trained: common.Trained, replies: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    plans = [("candidates", n, {"candidates": n, "depth": 1, "width": 1}) for n in CANDIDATES]
    plans += [("depth", n, {"candidates": 4, "depth": n, "width": 2}) for n in DEPTHS]
    rows = trained.rows(SEARCHES)
    for name, size, settings in plans:
        engine = Parrot(replies)
        changes: dict[str, Any] = {"guided": 0, "enough": None, "stop_early": False, "strategy": "tree", **settings}
        contestant = replace(searching(DEFAULT, trained, engine, 1, **changes), name=f"{name} {size}")
        began = time.perf_counter()
        await play(contestant, trained, rows)
        seconds = time.perf_counter() - began
        each = 1000 * seconds / len(contestant.spent)
        calls = engine.calls / len(contestant.spent)
        found.append({"what grows": name, "to": size, "s": seconds, "ms each": each, "calls each": calls, "ms a call": each / calls})
    return found


def _linking(count: int, replies: Sequence[str]) -> dict[str, Any]:
    """In a process of its own, so that its memory is its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(reply.replace("\n", " ") for reply in replies[:1000]))
        file.flush()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.growth", str(count), file.name], capture_output=True, text=True, check=True
        )
    seconds, build, memory = map(float, done.stdout.split())
    return {
        "what grows": "titles",
        "to": count,
        "s": seconds,
        "ms each": 1000 * seconds / min(len(replies), 1000),
        "build, s": build,
        "memory, MiB": memory,
    }


def _titles(count: int) -> list[Item]:
    rng = random.Random(count)
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "in", "ol", "us")]
    items = []
    for index in range(count):
        words = ["".join(rng.choices(syllables, k=rng.randint(2, 3))).capitalize() for _ in range(rng.randint(2, 4))]
        items.append(Item(id=f"i{index}", title=" ".join(words), year=rng.randint(1930, 2025)))
    return items


def _link(count: int, path: str) -> None:
    items = _titles(count)
    replies = Path(path).read_text(encoding="utf-8").splitlines()
    rng = random.Random(1)
    texts = [f"{reply} And {items[rng.randrange(count)].name}!" for reply in replies]
    began = time.perf_counter()
    linker = Linker(Catalogue(items))
    linker.items("Nothing (1999)")  # the table for misspelt titles is made at its first use
    built = time.perf_counter() - began
    began = time.perf_counter()
    found = sum(bool(linker.items(text)) for text in texts)
    seconds = time.perf_counter() - began
    assert found == len(texts), f"only {found} of {len(texts)} titles were found"
    sys.stdout.write(f"{seconds} {built} {_memory()}\n")


def _memory() -> float:
    """The most that this process held, in MiB; not what the process that started it held."""
    told = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(told.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    _link(int(sys.argv[1]), sys.argv[2])
