"""Rankings beside the replies, through the stages into the report; over the demo world with a scripted engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from usbrec import config, jsonl, pipeline, prompts
from usbrec.evaluation.report import read_report
from usbrec.stages import Loop
from usbrec.types import Outcome

REPLIES = ["What do you like?", "Have you seen Heat (1995)?", "Try Alien (1979) or Heat (1995)."]


def recipe(**rankings: int) -> config.Recipe:
    return config.Recipe.model_validate(
        {
            "name": "t",
            "data": {"kind": "demo"},
            "engines": {"policy": {"kind": "scripted", "model": "fake", "replies": REPLIES}},
            "evaluate": {"split": "valid", "rows": 6, "arms": ["base", "base+ses"], "rankings": rankings},
        }
    )


async def run(out: Path, **rankings: int) -> list[str]:
    said: list[str] = []
    with pipeline.opened(out, said.append) as opened:
        await Loop(run=opened, recipe=recipe(**rankings), data_dir=None).through("report")
    return said


async def test_rankings_stand_in_the_report(tmp_path: Path) -> None:
    await run(tmp_path, samples=6, rows=4)
    report = read_report(tmp_path)
    assert set(report.rankings) == {"retrieval", "co-occurrence", "most popular", "base"}
    assert set(report.rankings_interactive) == {"base"}  # the others have no conversations of their own
    assert {measure.rows for measures in report.rankings.values() for measure in measures.values()} == {4}
    best = report.rankings["retrieval"]
    assert best["Recall@50"].mean is not None and best["Recall@1"].mean is not None
    assert best["Recall@50"].mean >= best["Recall@1"].mean
    assert "Rankings, of the dialogue as given" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


async def test_the_papers_search_is_an_arm_beside_the_recipes(tmp_path: Path) -> None:
    """`+ses` searches as the recipe says, here with retrieved items and no look-ahead; `+paper-ses` with three samples, each played on."""
    value = recipe().model_dump(mode="json")
    value["search"] |= {"guided": 4, "candidates": 1, "depth": 0}
    value["evaluate"]["arms"] = ["base", "base+ses", "base+paper-ses"]
    with pipeline.opened(tmp_path, lambda _: None) as opened:
        await Loop(run=opened, recipe=config.Recipe.model_validate(value), data_dir=None).through("report")
    report = read_report(tmp_path)
    assert ("base+ses", "base+paper-ses") in {(c.a, c.b) for c in report.paired}
    own, paper = (jsonl.read(tmp_path / "evaluate" / f"base{name}" / "outcomes.jsonl", Outcome) for name in ("+ses", "+paper-ses"))
    searched = [turn.search for row in paper for turn in row.turns if turn.search]
    assert len(searched) == sum(len(row.turns) for row in paper)
    assert all(sum(c.count for c in trace.candidates) == 4 for trace in searched)  # the greedy reply and three samples
    assert any(c.children for trace in searched for c in trace.candidates)
    assert not any(c.children for row in own for turn in row.turns if turn.search for c in turn.search.candidates)


async def test_arms_are_kept_when_rankings_are_asked_for_later(tmp_path: Path) -> None:
    await run(tmp_path)
    assert read_report(tmp_path).rankings == {}
    said = await run(tmp_path, samples=6)
    assert any(line.startswith("evaluate/base: unchanged") for line in said)
    assert read_report(tmp_path).rankings["base"]["Recall@10"].rows == 6


async def test_a_changed_prompt_touches_only_those_who_are_asked_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's seeker and judge are no LLMs: a new wording of theirs is no reason to play anything again; the recommender's is."""
    await run(tmp_path)
    known = prompts.digests()
    monkeypatch.setattr(prompts, "digests", lambda: known | dict.fromkeys(("seeker", "judge", "judge_short"), "new"))
    assert "evaluate/base: unchanged" in "\n".join(await run(tmp_path))
    monkeypatch.setattr(prompts, "digests", lambda: known | {"recommender": "new"})
    assert "evaluate/base: unchanged" not in "\n".join(await run(tmp_path))


async def test_a_changed_rubric_is_asked_anew_where_an_llm_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = recipe().model_dump(mode="json")
    judged["evaluate"] |= {"judges": [{"kind": "llm", "method": "vote", "votes": 1}], "arms": ["base"]}
    judged["engines"] |= {"judge": {"kind": "scripted", "model": "judge", "replies": ["2"]}}
    said: list[str] = []
    known = prompts.digests()
    for changed in ({}, {"judge_short": "new"}, {"judge": "new"}):
        monkeypatch.setattr(prompts, "digests", lambda changed=changed: known | changed)
        said.append("")
        with pipeline.opened(tmp_path, lambda line: said.append(said.pop() + line + "\n")) as opened:
            await Loop(run=opened, recipe=config.Recipe.model_validate(judged), data_dir=None).through("evaluate")
    assert ["evaluate/base: unchanged" in text for text in said] == [False, True, False]


async def test_another_seed_answers_the_same_rows(tmp_path: Path) -> None:
    """Rows are drawn by a seed of their own, so that runs with other seeds can be pooled."""
    answered = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        with pipeline.opened(folder, lambda _: None) as opened:
            await Loop(run=opened, recipe=recipe().model_copy(update={"seed": seed}), data_dir=None).through("evaluate")
        answered.append([row.key for row in jsonl.read(folder / "evaluate" / "base" / "outcomes.jsonl", Outcome)])
    assert answered[0] == answered[1] and len(answered[0]) == 6


async def test_an_engine_touches_only_those_who_are_played_by_it(tmp_path: Path) -> None:
    """A judge's engine that no judge uses is no reason to play anything again; an LLM in the search touches the searched arm alone."""
    await run(tmp_path)
    other = {"kind": "scripted", "model": "other", "replies": ["1"]}

    async def again(**search: str) -> str:
        given = recipe().model_dump(mode="json")
        given["engines"]["judge"] = other
        given["search"] |= search
        said: list[str] = []
        with pipeline.opened(tmp_path, said.append) as opened:
            await Loop(run=opened, recipe=config.Recipe.model_validate(given), data_dir=None).through("report")
        return "\n".join(said)

    said = await again()
    assert "evaluate/base: unchanged" in said and "evaluate/base+ses: unchanged" in said
    said = await again(profiler="llm")
    assert "evaluate/base: unchanged" in said and "evaluate/base+ses: changed since the last run" in said
    assert set(read_report(tmp_path).arms) >= {"base", "base+ses"}  # both measured alike, whoever searches
