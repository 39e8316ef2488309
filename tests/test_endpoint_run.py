"""The paper's recipes against an endpoint on the loopback interface: PODCS and the evaluation run; a bad endpoint is one clear error."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clock import HANG
from loopback import Answer, Loopback
from usbrec import config, readiness

RECIPES = Path(__file__).parents[1] / "recipes"
PAPER = ("paper-llama3.1-8b", "paper-chatglm3-6b", "paper-qwen2.5-7b")
TRAINED = "paper-train"
ROLES = {"policy": "base", "sft": "usbrec-sft", "rl": "usbrec-rl", "seeker": "base", "judge": "base"}
SERVED = (
    *(f"{section}={{}}" for section in ("imitation", "sft", "simpo")),
    *(f"engines.{role}={{kind: openai, model: {name}, base_url: '${{USBREC_BASE_URL}}'}}" for role, name in ROLES.items()),
)
"""The engines of a recipe that trains, all by an endpoint, which trains nothing."""
SMALL = ("data={kind: demo}", "prefer.rows=4", "evaluate.rows=3")


class Crowd(Loopback):
    """Answers as whoever is asked: a grade to a judge, an offer to a seeker's chat, a wish to a recommender's."""

    def _next(self, request: dict[str, Any], key: str) -> tuple[Answer, int]:
        _, number = super()._next(request, key)
        rng = random.Random(number)
        asked = request["messages"][-1]["content"]
        if "single digit" in asked:
            return Answer(text=rng.choice("0002")), number
        if "The seeker wants:" in asked:
            return Answer(text="Wants a crime film."), number
        if "You play a person" in request["messages"][0]["content"]:
            return Answer(text="Something darker, please."), number
        return Answer(text=rng.choice(["Have you seen Alien (1979)?", "Try Toy Story (1995).", "What do you like?"])), number


def usbrec(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "usbrec", *arguments],
        capture_output=True,
        text=True,
        timeout=HANG,
        env={**_environment(), "USBREC_BASE_URL": url},
    )


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "OPENAI_API_KEY": "none"}


@pytest.mark.parametrize("name", [*PAPER, TRAINED])
def test_the_papers_recipes_run_against_an_endpoint(name: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with Crowd() as server:
        served = [text.replace("${USBREC_BASE_URL}", server.url) for text in SERVED if name == TRAINED]
        sets = [part for text in (*SMALL, *served) for part in ("--set", text)]
        podcs = usbrec("prefer", str(RECIPES / f"{name}.yaml"), "--out", str(out), *sets, url=server.url)
        assert podcs.returncode == 0, podcs.stderr
        rows = [json.loads(line) for line in (out / "prefer" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
        assert len(rows) == 4
        votes = [c["score"]["votes"] for row in rows for c in row["candidates"]]
        assert votes and all(len(v) == 10 and set(v) <= {0, 2} for v in votes)
        done = usbrec("run", str(RECIPES / f"{name}.yaml"), "--out", str(out), *sets, url=server.url)
        assert done.returncode == 0, done.stderr
        asked = {request["model"] for request in server.requests}
    report = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    assert {"base", "sft", "rl", "base+ses", "sft+ses", "rl+ses"} <= set(report["arms"])
    assert report["judges"] == ["llm", "catalogue"]
    assert {"usbrec-sft", "usbrec-rl"} < asked


def test_what_the_papers_recipes_train_is_what_they_say() -> None:
    """Those of an endpoint train nothing, and say so; the one that trains is ready to, with the default model."""
    for name in PAPER:
        recipe = config.load(RECIPES / f"{name}.yaml")
        assert recipe.engines.sft and recipe.engines.rl and "trains nothing" in recipe.about
    recipe = config.load(RECIPES / f"{TRAINED}.yaml")
    assert recipe.engines.sft is None and recipe.engines.rl is None
    readiness.check(recipe, trained=("sft", "rl"), prefer=True, arms=recipe.evaluate.arms, judged=True)
    prefer, search = recipe.prefer, recipe.search
    assert (prefer.k, prefer.temperature, prefer.pairing, prefer.judge.method, prefer.judge.votes) == (2, 0.5, "paper", "vote", 10)
    assert (recipe.simpo.beta, search.depth, search.guided, search.inner.seeker, search.inner.judge) == (0.5, 1, 0, "llm", "llm")


def test_an_endpoint_that_is_down_is_one_clear_error(tmp_path: Path) -> None:
    once = [f"engines.{engine}.retries=0" for engine in ("policy", "seeker", "judge")]
    sets = [part for text in (*SMALL, *once) for part in ("--set", text)]
    done = usbrec("run", str(RECIPES / "paper-qwen2.5-7b.yaml"), "--out", str(tmp_path / "run"), *sets, url="http://127.0.0.1:9/v1")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "127.0.0.1:9" in done.stderr and "error: " in done.stderr


def test_an_endpoint_that_answers_html_is_no_score_of_zero(tmp_path: Path) -> None:
    sets = [part for text in (*SMALL, "engines.policy.retries=0", "evaluate.arms=[base]") for part in ("--set", text)]
    with Loopback(default=Answer(body="<html>It works!</html>", content_type="text/html")) as server:
        done = usbrec("run", str(RECIPES / "paper-qwen2.5-7b.yaml"), "--out", str(tmp_path / "run"), *sets, url=server.url)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "every row failed" in done.stderr
