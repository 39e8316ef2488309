"""The report of a synthetic run: the three forms, what they must and must not hold."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from outcome_rows import ARMS, make_run, row, rows_of, turn
from rich.console import Console

from usbrec import jsonl
from usbrec.errors import DataError
from usbrec.evaluation.report import build, read_outcomes, read_report, write
from usbrec.evaluation.summary import Report
from usbrec.evaluation.tables import Sheet, arms_table, markdown, sheets
from usbrec.types import Item, Score, Turn

VOID = {"meta", "br", "img", "link", "hr", "input"}


@pytest.fixture(scope="module")
def report(run_folder: Path) -> Report:
    return build(run_folder)


@pytest.fixture(scope="module")
def written(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("written") / "toy-run")
    write(run, report)
    return run / "report"


class Page(HTMLParser):
    """Collects what a page reaches for, and whether its tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.broken: list[str] = []
        self.reached: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.reached += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data", "srcset")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_report_holds_every_arm_judge_and_planned_difference(report: Report) -> None:
    assert set(report.arms) == set(ARMS)
    assert report.judges == ("catalogue", "llm")
    slots = {(c.a, c.b, c.metric, c.judge) for c in report.paired}
    for judge in report.judges:
        for a, b in (("sft", "base"), ("rl", "sft"), ("rl+ses", "rl"), ("rl+ses", "collaborative"), ("ceiling:human", "rl+ses")):
            assert (a, b, "ieval-unleaked", judge) in slots
    assert ("rl+ses", "collaborative", "hit-any-unleaked", "linked items") in slots


def test_the_figures_are_those_of_the_rows(report: Report) -> None:
    rows = rows_of("rl", 120)
    by_hand = sum(o.turns[-1].scores[0].value or 0 for o in rows) / 120
    assert report.arms["rl"].judged["catalogue"]["ieval"].mean == pytest.approx(by_hand, abs=1e-6)
    assert report.arms["rl"].dialogues == 60
    assert report.arms["base"].errors == 1
    both = [(a, b) for a, b in zip(rows, rows_of("sft", 120), strict=True) if not a.leaks]
    assert len(both) == 105
    gain = sum((a.turns[-1].scores[0].value or 0) - (b.turns[-1].scores[0].value or 0) for a, b in both) / 105
    found = next(c for c in report.paired if (c.a, c.b, c.metric, c.judge) == ("rl", "sft", "ieval-unleaked", "catalogue"))
    assert found.diff == pytest.approx(gain, abs=1e-6)


def test_the_same_run_gives_the_same_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", count=30, arms=("base", "sft"))
    first = build(run)
    write(run, first)
    page = (run / "report" / "report.html").read_bytes()
    write(run, build(run))
    assert (run / "report" / "report.html").read_bytes() == page
    assert build(run) == first


def test_names_that_mean_something_to_a_plot_or_a_page_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = "rl $x^2$ <b>&</b>"
    for place, arm in enumerate(("base", odd)):
        jsonl.rewrite(tmp_path / "evaluate" / f"{place}.jsonl", [row(f"d{i}:1", turn(i % 2), arm=arm) for i in range(6)])
    report = build(tmp_path, ["judge <i>$y$</i>"])
    page = Page(write(tmp_path, report).read_text())
    assert (page.open, page.broken) == ([], [])
    assert "b" not in page.tags and "i" not in page.tags
    words = "".join(ElementTree.parse(tmp_path / "report" / "plots" / "ieval.svg").getroot().itertext())
    assert odd in words


def test_the_json_reads_back_as_the_report(written: Path, report: Report) -> None:
    assert read_report(written.parent) == report
    document = json.loads((written / "report.json").read_text())
    assert {"arms", "paired", "verdicts", "warnings", "judges"} <= document.keys()
    assert {"a", "b", "metric", "judge", "diff", "low", "high", "p", "rows"} <= document["paired"][0].keys()


def test_no_dialogue_text_leaves_through_json_or_markdown(written: Path) -> None:
    for name in ("report.json", "report.md", "report.html"):
        text = (written / name).read_text()
        assert "You could watch" not in text and "I liked Heat" not in text


def test_the_markdown_tables_have_all_arms_beside_floors_and_ceiling(written: Path) -> None:
    text = (written / "report.md").read_text()
    table = text.split("## iEval (last turn), judge: catalogue")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(ARMS)
    assert len({line.count("|") for line in lines}) == 1
    assert "ceiling" in table and "floor: most popular" in table and "[" in lines[2]


def test_markdown_escapes_what_would_break_a_table() -> None:
    text = markdown(Sheet(title="t", columns=("a", "b"), rows=(("x|y", "1\n2"),), note="n"))
    assert text == "| a | b |\n|---|---|\n| x\\|y | 1 2 |\n\nn"


@pytest.mark.parametrize("dialogues", [False, True])
def test_the_page_is_well_formed_and_reaches_for_nothing(tmp_path: Path, report: Report, dialogues: bool) -> None:
    run = make_run(tmp_path / "run", count=8)
    page = Page(write(run, report, include_dialogues=dialogues).read_text())
    assert (page.open, page.broken) == ([], [])
    assert all(target.startswith("#") for target in page.reached)
    assert "script" not in page.tags and "link" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert {target[1:] for target in page.reached} <= set(page.ids)
    assert page.tags.count("svg") >= 10


def test_the_page_imports_nothing_through_its_styles(written: Path) -> None:
    text = (written / "report.html").read_text()
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_dialogues_are_shown_when_asked_for_and_escaped(tmp_path: Path, report: Report) -> None:
    run = make_run(tmp_path / "run", count=8)
    jsonl.rewrite(run / "prepare" / "catalogue.jsonl", [Item(id=f"t{i}", title="Heat & <i>Dust</i>") for i in range(8)])
    text = write(run, report, include_dialogues=True).read_text()
    assert "<script" not in text and "<i>" not in text
    assert "&lt;script&gt;alert(" in text
    assert "Maybe &lt;b&gt;another&lt;/b&gt;?" in text
    shown = "".join(Page(text).text)
    assert "Likes crime films." in shown and "fell back" in shown and "the engine is gone" in shown
    assert "Heat & <i>Dust</i>" in shown
    assert "You could watch" not in (run / "report" / "report.md").read_text()


def test_arms_that_were_measured_otherwise_are_left_out_and_named(tmp_path: Path) -> None:
    """An arm that a recipe has dropped keeps its old seed, turns and judge: it must not be held against arms of today's."""
    run = make_run(tmp_path / "run", count=8)
    for file in (run / "evaluate").glob("*.jsonl"):
        (folder := file.with_suffix("")).mkdir()
        file.rename(folder / "outcomes.jsonl")
    arms = sorted(folder.name for folder in (run / "evaluate").iterdir())
    now: dict[str, Any] = {"prepare": "p", "seed": 1, "evaluate": {"turns": 2}, "engines": {"policy": {"model": "m"}, "judge": None}}
    parts = {arm: now | {"engines": now["engines"] | {"policy": {"model": arm}}} for arm in arms}  # who speaks may differ
    parts["base"] = now | {"seed": 7, "evaluate": {"turns": 1}}
    stages = {f"evaluate/{arm}": {"fingerprint": "f", "seconds": 1.0, "parts": found} for arm, found in parts.items() if arm != "sft"}
    jsonl.write_json(run / "manifest.json", {"stages": stages})
    jsonl.write_json(run / "evaluate" / "sft" / ".fingerprint.json", {"fingerprint": "f", "parts": now | {"prepare": "q"}})  # broken off
    found = build(run)
    assert sorted(found.arms) == [name for name in sorted(build(make_run(tmp_path / "all", count=8)).arms) if name not in ("base", "sft")]
    assert tuple(text for text in found.warnings if "left out" in text) == (
        "base was measured otherwise and is left out (evaluate.turns: 1 -> 2; seed: 7 -> 1): evaluate it again.",
        'sft was measured otherwise and is left out (prepare: "q" -> "p"): evaluate it again.',
    )


def test_the_recipe_is_shown_escaped(written: Path) -> None:
    assert "smollm2  # &lt;tag&gt;" in (written / "report.html").read_text()


def test_the_plots_are_svg_files_that_stand_alone(written: Path) -> None:
    names = {path.name for path in (written / "plots").iterdir()}
    wanted = {"ieval-judge-1.svg", "ieval-judge-2.svg", "differences-judge-1.svg", "hits.svg", "training-sft.svg", "training-simpo.svg"}
    assert wanted <= names
    text = (written / "plots" / "ieval-judge-1.svg").read_text()
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    words = "".join(root.itertext())
    assert "floor: most popular" in words and "collaborative baseline" in words and "prefers-color-scheme" in words
    assert "0.0005" in (written / "plots" / "training-sft.svg").read_text()


def test_cards_are_shown_and_the_stages_settings_are_not(report: Report) -> None:
    assert report.cards["The data"]["licence"] == "CC0"
    assert report.cards["The preference pairs"]["outcomes.pair"] == 310
    assert report.cards["The stages"] == {
        "sft.fingerprint": "0123456789abcdef", "sft.seconds": 480.5, "simpo.fingerprint": "0123456789abcdef", "simpo.seconds": 480.5,
    }  # fmt: skip


def test_curves_hold_every_logged_number(report: Report) -> None:
    assert report.training["SFT"]["loss"][0] == (1.0, pytest.approx(3.2 * 0.99))
    assert set(report.training["SimPO"]) >= {"rewards/chosen", "logps/chosen", "rewards/accuracies"}


def test_a_run_with_outcomes_only_is_reported_with_its_gaps(tmp_path: Path) -> None:
    jsonl.rewrite(tmp_path / "evaluate" / "base.jsonl", [row(f"d{i}:1", turn(i % 2), arm="base") for i in range(6)])
    report = build(tmp_path)
    assert report.paired == () and report.training == {}
    assert any("Not measured: floor:random-reply" in warning and "ceiling:human" in warning for warning in report.warnings)
    assert any("no scale" in verdict for verdict in report.verdicts)
    page = Page(write(tmp_path, report).read_text())
    assert (page.open, page.broken) == ([], [])


def test_an_arm_without_any_score_can_be_shown(tmp_path: Path) -> None:
    arms = {"base": [row("a:1", arm="base", error="gone")], "sft": [row("a:1", turn(None), arm="sft")]}
    for arm, rows in arms.items():
        jsonl.rewrite(tmp_path / "evaluate" / f"{arm}.jsonl", rows)
    report = build(tmp_path)
    text = write(tmp_path, report).read_text()
    assert report.judges == ("catalogue",) and "unscored" in text
    assert any("base: 1 of 1 rows broke off" in warning for warning in report.warnings)


def test_a_collapsed_policy_is_called_so(tmp_path: Path) -> None:
    jsonl.rewrite(tmp_path / "evaluate" / "rl.jsonl", [row(f"d{i}:1", turn(0, reply="Titanic!")) for i in range(12)])
    assert any("collapsed" in warning for warning in build(tmp_path).warnings)


def test_arms_on_different_rows_are_warned_about(tmp_path: Path) -> None:
    for arm, count in (("base", 4), ("sft", 6)):
        jsonl.rewrite(tmp_path / "evaluate" / f"{arm}.jsonl", [row(f"d{i}:1", turn(i % 3), arm=arm) for i in range(count)])
    assert any("not measured on the same rows (base 4, sft 6)" in warning for warning in build(tmp_path).warnings)


def test_a_failed_row_that_was_run_again_counts_once(tmp_path: Path) -> None:
    rows = [row("a:1", error="gone"), row("b:1", turn(1)), row("a:1", turn(2))]
    jsonl.rewrite(tmp_path / "evaluate" / "rl.jsonl", rows)
    found = read_outcomes(tmp_path)["rl"]
    assert [(o.key, o.error) for o in found] == [("a:1", ""), ("b:1", "")]
    jsonl.rewrite(tmp_path / "evaluate" / "rl.jsonl", [*rows, row("b:1", turn(0))])
    with pytest.raises(DataError, match="'b:1' of arm 'rl' is there twice"):
        read_outcomes(tmp_path)


def test_no_outcomes_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no outcomes") as caught:
        build(tmp_path)
    assert caught.value.fix
    with pytest.raises(DataError, match="no report"):
        read_report(tmp_path)


def test_two_judges_of_one_name_are_kept_apart(run_folder: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", count=6, arms=("base", "sft"))
    assert build(run, ["llm", "llm"]).judges == ("llm (1)", "llm (2)")


def test_the_terminal_table_fits_eighty_columns_and_shows_intervals(report: Report) -> None:
    console = Console(file=StringIO(), width=80, color_system=None)
    console.print(arms_table(report))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in text.splitlines())
    assert all(arm in text for arm in ARMS)
    assert "…" not in text
    mean = report.arms["rl"].judged["catalogue"]["ieval-unleaked"]
    assert f"{mean.mean:.2f}" in text and f"[{mean.low:.2f},{mean.high:.2f}]" in text


@pytest.mark.parametrize(("linking", "known"), [({"test": {"recall": 0.125}}, "test 0.12"), ({}, "not known")])
def test_a_low_ceiling_is_told_first_with_linking_recall(tmp_path: Path, linking: dict[str, Any], known: str) -> None:
    run = make_run(tmp_path / "run", count=20, arms=("ceiling:human", "floor:random-reply"))
    verdicts = tuple(Score(value=0.0, judge=judge) for judge in ("catalogue", "llm"))
    outcomes = [row(f"d{n}:0", Turn(reply="That one.", items=(), scores=verdicts), arm="ceiling:human") for n in range(20)]
    jsonl.rewrite(run / "evaluate" / "ceiling-human.jsonl", outcomes)
    jsonl.write_json(run / "prepare" / "card.json", {"linking": linking})
    first = build(run).warnings[0]
    assert first.startswith("The ceiling is low") and known in first, first


def test_a_ceiling_at_its_place_is_not_told(report: Report) -> None:
    assert not any("ceiling is low" in warning for warning in report.warnings)


def test_late_hits_and_seekers_who_left_have_their_columns(report: Report, tmp_path: Path) -> None:
    (hits,) = [sheet for sheet in sheets(report) if sheet.title.startswith("Hits")]
    assert "Discounted hit without leaks" in hits.columns and "1 / log2(1 + t)" in hits.note
    (plain,) = [sheet for sheet in sheets(report) if sheet.title == "What the replies are like"]
    assert "seeker left" not in plain.columns
    rows = [row(f"d{n}:1", turn(0, items=("x",))).model_copy(update={"left": n < 2}) for n in range(5)]
    jsonl.rewrite(tmp_path / "evaluate" / "rl.jsonl", rows)
    found = sheets(build(tmp_path))
    (short,) = [sheet for sheet in found if sheet.title.startswith("Hits")]
    assert "Discounted hit" not in short.columns, "one turn has no late hits"
    (left,) = [sheet for sheet in found if sheet.title == "What the replies are like"]
    assert (left.columns[-1], left.rows[0][-1]) == ("seeker left", "2 of 5")
