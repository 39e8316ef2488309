"""`usbrec judge calibrate` and `usbrec experiment` over the demo world with scripted engines: run, killed, resumed, published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from run_folders import interrupt
from usbrec import calibrate, config, experiments, pipeline
from usbrec.cli import app
from usbrec.engines import ScriptedSettings
from usbrec.errors import ConfigError, DataError
from usbrec.evaluation.calibration import Calibration

FAKE = {"kind": "scripted", "model": "fake", "replies": ["1"]}


def recipe(**sections: object) -> config.Recipe:
    return config.Recipe.model_validate({"name": "t", "data": {"kind": "demo"}, "engines": {"judge": FAKE}, **sections})


async def run(out: Path, *specs: str, **settings: object) -> Calibration:
    with pipeline.opened(out, lambda _: None) as opened:
        given = {"rows": 12, "thorough": 4, **settings}
        return await calibrate.Calibrating(run=opened, recipe=recipe(), data_dir=None, **given)(specs)  # type: ignore[arg-type]


def test_a_judge_by_name() -> None:
    judge = calibrate.named("grounded:vote@some/model.gguf", recipe())
    assert (judge.settings.kind, judge.settings.method, judge.name) == ("grounded", "vote", "grounded:vote@model")
    assert isinstance(judge.engine, ScriptedSettings) and judge.engine.model == "some/model.gguf"
    assert calibrate.named("llm", recipe()).name == "llm:choose@fake"
    assert calibrate.named("catalogue", recipe()).engine is None
    with pytest.raises(ConfigError, match="'guess' is no judge"):
        calibrate.named("guess", recipe())
    with pytest.raises(ConfigError, match="needs a model"):
        calibrate.named("llm:vote", recipe(engines={}))
    assert calibrate.named("llm:vote@m", recipe(engines={})).engine is not None


async def test_judges_are_calibrated_and_published(tmp_path: Path) -> None:
    found = await run(tmp_path / "run", "llm:choose", "llm:vote", "grounded:vote", rows=40)
    assert list(found.judges) == ["catalogue", "llm:choose@fake", "llm:vote@fake", "grounded:vote@fake"]
    assert found.judges["catalogue"].fit and found.judges["catalogue"].tokens is None
    choose, vote, grounded = (found.judges[name] for name in list(found.judges)[1:])
    assert not choose.fit and "one and the same" in choose.why  # an even menu says 1 of everything
    assert vote.probes["truth"].mean.mean == 1 and vote.tokens is not None
    assert vote.tokens_by_call is not None and vote.tokens_by_call > 5 * vote.tokens
    assert grounded.fit and grounded.probes["truth"].mean.mean == 2  # the rules decide
    assert {change.what for change in vote.changes} >= {"asked again with another seed", "the rubric in other words: short"}
    calibrate.publish(tmp_path / "docs", found)
    summary = json.loads((tmp_path / "docs" / "summary.json").read_text())
    assert summary["demo"]["catalogue"]["auc"]["question"] == 1
    assert summary["choose_tokens_share"] < 0.2
    text = (tmp_path / "docs" / "demo.md").read_text()
    assert "llm:choose@fake: NOT FIT TO JUDGE" in text and (tmp_path / "docs" / "demo.svg").exists()


async def test_without_names_the_recipes_own_judges_are_calibrated(tmp_path: Path) -> None:
    own = {"kind": "llm", "method": "vote", "votes": 3, "wording": "short"}
    with pipeline.opened(tmp_path / "run", lambda _: None) as opened:
        given = recipe(evaluate={"judges": [{"kind": "catalogue"}, own]})
        found = await calibrate.Calibrating(run=opened, recipe=given, data_dir=None, rows=6, thorough=2)([])
        stored = opened.manifest["stages"]["judges/llm-vote-fake"]["parts"]["judge"]
        assert list(found.judges) == ["catalogue", "llm:vote@fake"] and {name: stored[name] for name in own} == own
        two = recipe(evaluate={"judges": [own, own | {"votes": 5}]})
        with pytest.raises(ConfigError, match="two judges would be called 'llm:vote@fake'"):
            await calibrate.Calibrating(run=opened, recipe=two, data_dir=None, rows=6, thorough=2)([])


async def test_two_models_of_one_file_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two judges would be called 'llm:vote@m'"):
        await run(tmp_path, "llm:vote@a/m.gguf", "llm:vote@b/m.gguf")
    assert not (tmp_path / "judges").exists()


async def test_what_was_said_is_not_asked_again(tmp_path: Path) -> None:
    first = await run(tmp_path, "llm:vote")
    path = tmp_path / "judges" / "llm-vote-fake" / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]) + b'{"key": "torn')
    interrupt(tmp_path, "judges/llm-vote-fake")
    assert await run(tmp_path, "llm:vote") == first
    assert path.read_bytes() == whole


async def test_votes_from_what_a_calibration_stored(tmp_path: Path) -> None:
    calibrated = await run(tmp_path / "run", "llm:choose", "llm:vote", "grounded:choose")
    calibrate.publish(tmp_path / "run" / "calibration", calibrated)
    kept = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    docs = tmp_path / "docs"
    calibrate.publish(docs, calibrated)
    ask = ["judge", "votes", str(tmp_path / "run"), "--votes", "3,10,11"]
    told = CliRunner().invoke(app, [*ask, "--publish", str(docs)])
    assert told.exit_code == 0 and told.stdout == (docs / "votes-demo.md").read_text() + "\n"
    assert (docs / "votes-demo.svg").read_text().startswith("<svg")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == kept
    calibrate.publish(docs, calibrated)  # the two share a folder
    assert set(json.loads((docs / "summary.json").read_text())) == {"demo", "choose_tokens_share", "choose_tokens_share_one_request"}
    found = json.loads(CliRunner().invoke(app, [*ask, "--json"]).stdout)
    assert found == json.loads((docs / "votes-demo.json").read_text())
    assert list(found["judges"]) == ["llm:choose@fake", "grounded:choose@fake"]
    tested = found["judges"]["llm:choose@fake"]["tested"]
    assert [(each["votes"], each["source"]) for each in tested[::2]] == [(None, None), (3, "stored"), (10, "stored"), (11, "drawn")]
    assert {each["floors"]["mean"] for each in tested} == {0.5}  # all votes are 1, and the menu is even for every reply
    assert {each["source"] for each in found["judges"]["grounded:choose@fake"]["tested"][1:]} == {"drawn"}  # nobody voted


async def test_votes_without_what_they_need_is_one_clear_error(tmp_path: Path) -> None:
    def fault(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["judge", "votes", *arguments])
        assert isinstance(done.exception, ConfigError)
        return str(done.exception)

    assert "holds no finished calibration" in fault(str(tmp_path))
    calibrate.publish(tmp_path / "calibration", await run(tmp_path, "llm:vote"))
    assert "asked by choose" in fault(str(tmp_path))
    assert "'0,two' are no numbers of votes" in fault(str(tmp_path), "--votes", "0,two")
    interrupt(tmp_path, "judges/llm-vote-fake")  # it is being calibrated anew
    assert "holds no finished calibration" in fault(str(tmp_path))


async def test_labels_by_people(tmp_path: Path) -> None:
    with pipeline.opened(tmp_path / "run", lambda _: None) as opened:
        work = calibrate.Calibrating(run=opened, recipe=recipe(), data_dir=None, rows=3)
        await work(["catalogue"])
        world = calibrate.World.of(tmp_path / "run" / "prepare")
        lines = calibrate.labelling_sheet(work.examples(world), work.probes(world), world, 0)
    assert len(lines) == 6 and all(line["grade"] is None and line["wishes"] for line in lines)
    sheet = tmp_path / "labels.jsonl"
    sheet.write_text("".join(json.dumps({**line, "grade": 2 if n % 2 else None}) + "\n" for n, line in enumerate(lines)))
    labels = calibrate.read_labels(sheet)
    assert sum(map(len, labels.values())) == 3
    found = await run(tmp_path / "run", labels=labels)
    assert found.judges["catalogue"].with_people["human"].replies == 3


def test_bad_labels_are_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"key": "a:1", "reply": "A", "grade": 3}\n')
    with pytest.raises(DataError, match=r"labels.jsonl:1.*\n?.*"):
        calibrate.read_labels(path)
    path.write_text('{"key": "a:1", "reply": "A", "grade": 2}\n{"key": "a:1", "rep')
    with pytest.raises(DataError, match=r"labels.jsonl:2"):
        calibrate.read_labels(path)
    path.write_text('{"key": "a:1", "reply": "A", "grade": null}\n')
    with pytest.raises(DataError, match="not one line has a grade"):
        calibrate.read_labels(path)


async def test_labels_of_other_rows_are_refused(tmp_path: Path) -> None:
    label = calibrate.Label(key="nobody:1", reply="A", grade=1)
    with pytest.raises(DataError, match="1 labelled rows are not among the rows of valid"):
        await run(tmp_path, labels={"nobody:1": [label]})


async def test_a_row_that_broke_off_is_tried_again(tmp_path: Path) -> None:
    first = await run(tmp_path, "llm:vote")
    path = tmp_path / "judges" / "llm-vote-fake" / "ledger.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    broken = json.loads(lines[2]) | {"verdicts": [], "error": "no answer within 300 s"}
    path.write_text("".join((*lines[:2], json.dumps(broken) + "\n", *lines[3:])))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["stages"]["judges/llm-vote-fake"]["broken"] = ["a row"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert await run(tmp_path, "llm:vote") == first


# ---- experiments -------------------------------------------------------------------------------------------------------------------

BASE = """
name: t
data: {kind: demo}
engines: {policy: {kind: scripted, model: fake, replies: ["What do you like?", "Have you seen Heat (1995)?", "Try Alien (1979)."]}}
evaluate: {split: valid, rows: 8, judges: [{kind: catalogue}]}
"""


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    path = tmp_path / "experiment.yaml"
    path.write_text(f"name: e\nabout: Does it matter?\nrecipe: base.yaml\n{text}\n")
    return path


async def test_an_experiment_runs_resumes_and_compares(tmp_path: Path) -> None:
    path = written(tmp_path, "vary: {search.candidates: [1, 4]}\narms: [base, base+ses]")
    plan = experiments.Plan.of(path)
    assert list(plan.recipes) == ["candidates 1", "candidates 4"]
    found = await plan.run(tmp_path / "out", None, None, lambda _: None)
    assert found.reference == "candidates 1" and found.settings["candidates 4"] == {"search.candidates": 4}
    assert [c.diff for c in found.differences["base"]] == [0, 0, 0]  # the plain arm does not search
    assert all(c.a == "candidates 4" and c.rows == 8 for c in found.differences["base+ses"])
    said: list[str] = []
    again = await plan.run(tmp_path / "out", None, None, said.append)
    assert again == found and any("evaluate/base+ses: unchanged" in line for line in said)
    experiments.write(tmp_path / "docs", found)
    assert "| candidates 4 |" in (tmp_path / "docs" / "experiment.md").read_text()
    assert (tmp_path / "docs" / "experiment.svg").read_text().startswith("<svg")


async def test_a_finished_run_lends_its_stages(tmp_path: Path) -> None:
    path = written(tmp_path, "vary: {search.depth: [0, 1]}\narms: [base+ses]")
    plan = experiments.Plan.of(path)
    await plan.run(tmp_path / "out", None, None, lambda _: None)
    start, said = tmp_path / "out" / "depth-0", list[str]()
    await plan.run(tmp_path / "second", None, start, said.append)
    assert sum("prepare: unchanged" in line for line in said) == 2
    assert not any("evaluate/base+ses: unchanged" in line for line in said)  # what is measured is measured anew


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("arms: [base]", "give either `vary` or `variants`"),
        ("vary: {search.depth: [0]}\nreference: depth 7", "there is no variant 'depth 7'"),
        ("vary: {search.dept: [0]}", "did you mean 'depth'"),
        ("vary: {search.depth: [-1]}", "variant 'depth -1'"),
        ("variants: [{name: a}, {name: a}]", "two variants have one name"),
        ("very: {}", "very"),
        (
            "variants: [{name: a}, {name: b, set: {engines.judge: {kind: scripted}, evaluate.judges: [{kind: llm}]}}]",
            "'a' and 'b' have different judges",
        ),
    ],
)
def test_faults_are_found_before_anything_runs(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        experiments.Plan.of(written(tmp_path, text))


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "recipes" / "experiments").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_experiments_are_valid(path: Path) -> None:
    plan = experiments.Plan.of(path)
    assert plan.file.name == path.stem and len(plan.recipes) >= 2
    assert {recipe.evaluate.split for recipe in plan.recipes.values()} == {"valid"}  # nothing is tuned on test
