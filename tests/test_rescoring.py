"""A stored run graded by another judge: the scores are known by hand, the original is only read."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clock import HANG
from loopback import Answer, Loopback
from run_folders import interrupt
from toy import CATALOGUE, LINKER, dialogue, example
from usbrec import config, jsonl, pipeline
from usbrec.cli.compare import compared, load
from usbrec.data.prepared import Card
from usbrec.data.prepared import write as write_prepared
from usbrec.engines import EngineConfig, OpenAISettings, ScriptedSettings
from usbrec.errors import ConfigError, DataError, UsbrecError
from usbrec.rescoring import FAILED, judge_of, rescore
from usbrec.types import Outcome, Score, Turn

OPENING = "I loved Heat (1995). What else is there?"
SAID = {
    "base": [["Toy Story (1995)?", "Casino (1995)?"], ["Heat (1995)!"], ["Collateral (2004)."]],
    "floor:question": [["What do you like?"], ["What do you like?"], []],
}
"""Replies of each row, targets Casino; the last row of the floor broke off."""
CATALOGUE_SCORES = {"base": [[0, 2], [0], [0]], "floor:question": [[0], [0], []]}
GROUNDED_BY_TWOS = {"base": [[1, 2], [0], [1]], "floor:question": [[0], [0], []]}
"""Where the rules do not decide (something new that is no target), an LLM says 2; a miss is at most 1."""


def outcome(arm: str, number: int, replies: list[str]) -> Outcome:
    said = dialogue(OPENING)
    for index, reply in enumerate(replies):
        said = said.say("recommender", reply)
        said = said.say("seeker", "Something else.") if index + 1 < len(replies) else said
    old = Score(value=0.5, judge="old")
    turns = tuple(Turn(reply=reply, items=LINKER.items(reply)[:3], scores=(old,)) for reply in replies)
    return Outcome(key=f"d{number}:1", arm=arm, dialogue=said, start=1, turns=turns, targets=("casi",), error="" if turns else "broke off")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A run folder with two arms of three rows, judged by one judge `old`."""
    folder = tmp_path / "run"
    for arm, rows in SAID.items():
        jsonl.rewrite(folder / "evaluate" / arm / "outcomes.jsonl", [outcome(arm, n, said) for n, said in enumerate(rows)])
    rows = {name: [example(f"{name}:1")] for name in ("train", "valid", "test")}
    write_prepared(folder / "prepare", CATALOGUE, rows, [], Card(kind="custom"))
    recipe = config.Recipe.model_validate({"name": "t", "data": {"kind": "custom"}})
    jsonl.write_json(folder / "recipe.json", recipe.model_dump(mode="json"))
    return folder


async def again(stored: Path, judge: str, engine: EngineConfig | None = None, out: str = "again") -> Path:
    folder = stored.parent / out
    with pipeline.opened(folder, lambda _: None) as run:
        await rescore(stored, run, judge_of(judge), engine)
    return folder


def rows_of(folder: Path, arm: str) -> list[Outcome]:
    return jsonl.read(folder / "evaluate" / arm / "outcomes.jsonl", Outcome)


def new_values(folder: Path) -> dict[str, Any]:
    return {arm: [[turn.scores[-1].value for turn in row.turns] for row in rows_of(folder, arm)] for arm in SAID}


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


def saying(*replies: str) -> EngineConfig:
    return ScriptedSettings(model="fake", replies=replies)


async def test_the_catalogue_judge_as_known_by_hand(stored: Path) -> None:
    before = digests(stored)
    folder = await again(stored, "catalogue")
    assert digests(stored) == before
    assert new_values(folder) == CATALOGUE_SCORES
    for arm in SAID:
        for old, new in zip(rows_of(stored, arm), rows_of(folder, arm), strict=True):
            assert [turn.scores[:-1] for turn in new.turns] == [turn.scores for turn in old.turns]
            assert new.model_copy(update={"turns": ()}) == old.model_copy(update={"turns": ()})
    assert rows_of(folder, "base")[0].turns[1].scores[-1].hit
    report = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["judges"] == ["old", "catalogue"]
    judged = report["arms"]["base"]["judged"]
    assert judged["old"]["ieval"]["mean"] == 0.5 and judged["catalogue"]["ieval"]["mean"] == 0.666667  # last turns: 2, 0, 0
    assert report["arms"]["floor:question"]["errors"] == 1


async def test_llm_judges_by_both_methods_as_known_by_hand(stored: Path) -> None:
    voted = await again(stored, "llm:vote", saying("1"), out="vote")
    assert new_values(voted) == {"base": [[1, 1], [1], [1]], "floor:question": [[1], [1], []]}
    assert rows_of(voted, "base")[0].turns[0].scores[-1].judge == "llm:vote@fake"
    chosen = await again(stored, "llm", saying("1"), out="choose")  # the scripted menu is even: (0 + 1 + 2) / 3
    assert new_values(chosen)["base"][0] == pytest.approx([1, 1])
    assert rows_of(chosen, "base")[0].turns[0].scores[-1].judge == "llm:choose@fake"
    grounded = await again(stored, "grounded:vote", saying("2"), out="grounded")
    assert new_values(grounded) == GROUNDED_BY_TWOS


async def test_scores_of_two_models_are_not_held_against_each_other(stored: Path) -> None:
    """The same replies, judged by one model that always says 0 and by another that always says 2."""
    folders = []
    for model, word in (("strict", "0"), ("kind", "2")):
        engine = saying(word)
        folders.append(await again(stored, "llm:vote", engine.model_copy(update={"model": model}), out=model))
    a, b = map(load, folders)
    assert (a.judges, b.judges) == (("catalogue", "llm:vote@strict"), ("catalogue", "llm:vote@kind"))
    [found] = compared([a], [[b]], [])
    assert {difference.comparison.judge for difference in found.differences} <= {"catalogue", "linked items"}
    assert any("rescored.engine.model" in text for text in found.warnings)


async def test_a_rescored_run_can_be_rescored(stored: Path) -> None:
    first = await again(stored, "catalogue")
    second = await again(first, "grounded:vote", saying("2"), out="twice")
    assert [len(turn.scores) for turn in rows_of(second, "base")[0].turns] == [3, 3]
    assert json.loads((second / "report" / "report.json").read_text())["judges"] == ["old", "catalogue", "grounded:vote@fake"]


async def test_votes_that_nobody_can_read_are_no_score(stored: Path) -> None:
    folder = await again(stored, "llm:vote", saying("great!"))
    score = rows_of(folder, "base")[0].turns[0].scores[-1]
    assert score.value is None and score.reason == "only 0 of 10 votes could be read" and score.judge == "llm:vote@fake"


async def test_a_failing_judge_costs_its_turn_only_and_is_asked_again_after_an_interruption(stored: Path) -> None:
    with Loopback(default=Answer(text="1", logprobs={"1": 0.0})) as server:
        engine = OpenAISettings(base_url=server.url, model="j", retries=0, concurrency=1)
        server.script(Answer(status=400, message="too long"))
        folder = await again(stored, "llm:choose", engine)
        values = new_values(folder)["base"]
        assert sum(value is None for row in values for value in row) == 1
        failed = next(turn.scores[-1] for row in rows_of(folder, "base") for turn in row.turns if turn.scores[-1].value is None)
        assert failed.reason.startswith(FAILED) and "too long" in failed.reason
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["stages"]["evaluate/base"]["unscored"] == 1
        interrupt(folder, "evaluate/base")
        asked = len(server.requests)
        await again(stored, "llm:choose", engine)
        assert new_values(folder)["base"] == [[1, 1], [1], [1]]
        assert len(server.requests) == asked + 1  # one turn; the ledger has its neighbour


async def test_an_interrupted_rescoring_judges_only_what_is_missing(stored: Path) -> None:
    """Of three rows one is whole, one is torn and one was edited: two are judged again, though the new judge would say otherwise."""
    folder = await again(stored, "llm:vote", saying("1"))
    path = folder / "evaluate" / "base" / "outcomes.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    edited = lines[2].replace(b'"value":1', b'"value":2')
    assert edited != lines[2]
    path.write_bytes(lines[1] + edited + lines[0][:40])
    interrupt(folder, "evaluate/base")
    (folder / "ledger.sqlite").unlink()
    await again(stored, "llm:vote", saying("1"))
    assert path.read_bytes() == b"".join(lines)
    path.write_bytes(lines[1])
    interrupt(folder, "evaluate/base")
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        ledger.execute("delete from calls")
    await again(stored, "llm:vote", saying("1"))
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        assert ledger.execute("select count(*) from calls").fetchone()[0] == 3  # the turns of the two other rows


async def test_when_every_verdict_fails_there_is_one_error(stored: Path) -> None:
    with Loopback(default=Answer(status=400, message="no such model")) as server:
        engine = OpenAISettings(base_url=server.url, model="j", retries=0)
        with pytest.raises(UsbrecError, match=r"every verdict failed; the first one: .*no such model"):
            await again(stored, "llm:vote", engine)


async def test_bad_input_has_one_clear_error_each(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run folder"):
        await again(tmp_path / "nowhere", "catalogue")
    with pytest.raises(ConfigError, match="--judge-model"):
        await again(stored, "llm")
    with pytest.raises(ConfigError, match="another run's folder"):
        await again(stored, "catalogue", out="run")
    other = tmp_path / "other"
    other.mkdir()
    (other / "recipe.json").write_text("{}")
    with pytest.raises(ConfigError, match="another run's folder"):
        await again(stored, "catalogue", out="other")
    for judge in ("nobody", "llm:guess", "catalogue:choose", "llm:", ""):
        with pytest.raises(ConfigError, match=f"no judge '{judge}'"):
            judge_of(judge)


async def test_a_stored_dialogue_without_its_replies_is_no_score(stored: Path) -> None:
    path = stored / "evaluate" / "base" / "outcomes.jsonl"
    first, *others = rows_of(stored, "base")
    jsonl.rewrite(path, [first.model_copy(update={"start": 0}), *others])
    folder = await again(stored, "catalogue")
    score = rows_of(folder, "base")[0].turns[0].scores[-1]
    assert score.value is None and "the stored dialogue does not hold reply 1" in score.reason
    path.unlink()
    (stored / "evaluate" / "floor:question" / "outcomes.jsonl").unlink()
    with pytest.raises(DataError, match="no outcomes"):
        await again(stored, "catalogue", out="none")


def usbrec(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "usbrec", *map(str, arguments)], capture_output=True, text=True, timeout=HANG)


def test_from_the_command_line(stored: Path) -> None:
    with Loopback(default=Answer(text="2")) as server:
        done = usbrec("rescore", stored, "--judge", "grounded:vote", "--judge-url", server.url, "--judge-model", "judge-7b")
    assert done.returncode == 0, done.stderr
    folder = stored.with_name("run-rescored-grounded")
    assert new_values(folder) == GROUNDED_BY_TWOS
    again = usbrec("report", folder, "--json")
    assert json.loads(again.stdout)["judges"] == ["old", "grounded:vote@judge-7b"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--judge", "nobody"], "there is no judge 'nobody'"),
        (["--judge", "catalogue", "--judge-model", "m"], "the catalogue judge has no model"),
        (["--judge", "llm", "--judge-url", "http://127.0.0.1:9/v1"], "needs the name of its model"),
        (["--judge", "catalogue", "--out", "RUN"], "is what is read"),
    ],
)
def test_bad_options_are_one_error(stored: Path, arguments: list[str], told: str) -> None:
    before = digests(stored)
    done = usbrec("rescore", stored, *(str(stored) if a == "RUN" else a for a in arguments))
    assert done.returncode == 2 and "Traceback" not in done.stderr and told in done.stderr
    assert digests(stored) == before
