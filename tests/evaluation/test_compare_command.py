"""`usbrec compare`: run against run, seeds against seeds, and what is said where the runs do not fit."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from outcome_rows import row, rows_of, turn
from typer.testing import CliRunner

from usbrec import jsonl
from usbrec.cli import app
from usbrec.cli.compare import repeated
from usbrec.config import Recipe
from usbrec.errors import ConfigError, DataError
from usbrec.evaluation.latex import latex
from usbrec.evaluation.tables import Sheet, bounds, p_value
from usbrec.types import Outcome

RUN = CliRunner()


def make(folder: Path, values: list[float], *, seed: int = 1, first: int = 0, source: str = "one", **changes: Any) -> Path:
    """A run folder of one arm, `rl`; row i of dialogue i; no two runs take as long."""
    taken = {"seconds": 0.5 + zlib.crc32(folder.name.encode()) / 2**33}
    rows = [row(f"d{place}:1", turn(value).model_copy(update=taken)) for place, value in enumerate(values, start=first)]
    return write(folder, {"rl": rows}, seed=seed, source=source, **changes)


def write(folder: Path, arms: dict[str, list[Outcome]], *, seed: int = 1, source: str = "one", **changes: Any) -> Path:
    recipe = {"name": folder.name, "seed": seed, "data": {"kind": "demo"}, "evaluate": {"judges": [{"kind": "catalogue"}]}} | changes
    jsonl.write_json(folder / "recipe.json", Recipe.model_validate(recipe).model_dump(mode="json"))
    stages = {
        "prepare": {"fingerprint": f"mark of {source}", "parts": {"source": source}},
        "evaluate/rl": {"fingerprint": "f", "parts": {"others": {"seeker": "s", "judge": "j"}}},
    }
    jsonl.write_json(folder / "manifest.json", {"stages": stages})
    for arm, rows in arms.items():
        jsonl.rewrite(folder / "evaluate" / arm / "outcomes.jsonl", rows)
    return folder


def compared(*arguments: object) -> list[dict[str, Any]]:
    done = RUN.invoke(app, ["compare", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def ieval(found: dict[str, Any]) -> dict[str, Any]:
    return next(entry for entry in found["differences"] if entry["comparison"]["metric"] == "ieval")


def test_two_runs_that_differ_in_a_setting(tmp_path: Path) -> None:
    """Rows 0 to 4 are only in a, 20 and 21 only in b; on the 15 others b is 1 and a 2 in 10, so the difference is 10/15."""
    a = make(tmp_path / "a", [0] * 5 + [2] * 10 + [1] * 5)
    b = make(tmp_path / "b", [1] * 17, first=5, search={"candidates": 3})
    [found] = compared(a, b)
    assert (found["a"], found["b"]) == ([str(a)], [str(b)])
    difference = ieval(found)
    assert difference["comparison"] | {"diff": 0.666667, "rows": 15, "unpaired": 7, "standing": "shown"} == difference["comparison"]
    assert (difference["arm"], difference["by_seed"], difference["seeds_low"]) == ("rl", [0.666667], None)
    assert found["warnings"] == [f"15 rows are in all runs; rows that are not, and are left out: {a} 5, {b} 2"]
    assert [text for text in found["settings"] if text.startswith("search.")] == ["search.candidates: 8 -> 3"]


def test_data_judges_seekers_and_turns_that_differ_are_warned_about(tmp_path: Path) -> None:
    played = {"engines": {"seeker": {"kind": "scripted"}, "judge": {"kind": "scripted"}}}
    asked = {"seeker": {"kind": "llm"}, "judges": [{"kind": "grounded", "method": "vote"}]}
    other = {"turns": 3, "seeker": {"kind": "llm", "temperature": 0.1}, "judges": [{"kind": "grounded", "method": "vote", "votes": 3}]}
    a = make(tmp_path / "a", [1, 2, 0], **played, evaluate=asked)
    [found] = compared(a, make(tmp_path / "b", [1, 2, 0], source="two", **played, evaluate=other))
    said = "\n".join(found["warnings"])
    for words in (
        'prepare.parts.source: "one" -> "two"',
        "prepare.fingerprint",
        "turns: 2 -> 3",
        "seeker.temperature: 0.7 -> 0.1",
        "votes",
    ):
        assert words in said
    assert found["settings"] == []


def test_holm_corrects_over_all_arms_and_runs_of_one_call(tmp_path: Path) -> None:
    """Five of five at +1 is p = 1/16; with two arms against two runs, four comparisons: 1/4."""

    def arms(value: float) -> dict[str, list[Outcome]]:
        return {arm: [row(f"d{place}:1", turn(value), arm=arm) for place in range(5)] for arm in ("sft", "rl", "floor:question")}

    a, b, c = (write(tmp_path / name, arms(value)) for name, value in (("a", 1), ("b", 0), ("c", 0)))
    [alone] = compared(a, b, "--arm", "rl")
    assert (ieval(alone)["comparison"]["p"], ieval(alone)["comparison"]["p_holm"]) == (1 / 16, 1 / 16)
    both = compared(a, b, c)
    assert [ieval(found)["comparison"]["p_holm"] for found in both] == [1 / 4, 1 / 4]
    assert {entry["arm"] for entry in both[0]["differences"]} == {"sft", "rl"}


def test_seeds_are_pooled_row_by_row(tmp_path: Path) -> None:
    """a: 2 and 1 on every row, then 0; b: 0.  The seeds' differences are 2, 1 and 0."""
    ones = [make(tmp_path / f"a{seed}", [value] * 8, seed=seed) for seed, value in ((1, 2.0), (2, 1.0), (3, 0.0))]
    others = [make(tmp_path / f"b{seed}", [0.0] * 8, seed=seed, search={"candidates": 3}) for seed in (1, 2, 3)]
    [found] = compared(*ones, "--against", *others)
    difference = ieval(found)
    assert (difference["comparison"]["diff"], difference["comparison"]["rows"]) == (1.0, 8)
    assert (difference["by_seed"], difference["spread"]) == ([2.0, 1.0, 0.0], 1.0)
    assert (difference["seeds_low"], difference["seeds_high"]) == (0.0, 2.0)
    assert found["warnings"] == [] and found["settings"] == ["search.candidates: 8 -> 3"]
    table = RUN.invoke(app, ["compare", *map(str, ones), "--against", *map(str, others), "--markdown"]).stdout
    assert "| iEval, catalogue | RL | +1.000 |" in table and "| [+0.000, +2.000] | 1.000 |" in table


def test_seeds_that_are_none_are_called_so(tmp_path: Path) -> None:
    a1, a2 = make(tmp_path / "a1", [1, 0]), make(tmp_path / "a2", [1, 0])
    b1, b2 = make(tmp_path / "b1", [0, 0]), make(tmp_path / "b2", [0, 0], seed=2, search={"candidates": 4})
    said = "\n".join(compared(a1, a2, "--against", b1, b2)[0]["warnings"])
    assert f"{a1} and {a2} have the same seed: they are no repeats" in said
    assert f"{b1} and {b2} differ in more than the seed: search.candidates: 8 -> 4" in said
    assert f"{a2} is set against {b2}, which has another seed" in said


def test_one_option_takes_several_runs() -> None:
    spread = ["a", "--against", "b", "--against", "c", "--json"]
    assert repeated(["a", "--against", "b", "c", "--json"], "--against") == spread
    assert repeated(spread, "--against") == spread
    assert repeated(["a", "--against"], "--against") == ["a", "--against"]


def test_markdown_and_latex_hold_the_same_rows(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, {"rl": rows_of("rl", 60, seed=seed)}, evaluate=TWO) for seed, name in enumerate("ab"))
    text, paper = (RUN.invoke(app, ["compare", str(a), str(b), form]) for form in ("--markdown", "--latex"))
    assert text.exit_code == paper.exit_code == 0
    for done in (text, paper):
        assert "Hit@reply" in done.stdout and "not shown" in done.stdout and "[" in done.stdout
    assert paper.stdout.startswith(r"\begin{table}") and paper.stdout.count(r"\\") == 1 + text.stdout.count("\n| ")
    assert "−" not in paper.stdout and "$-$" in paper.stdout


TWO = {"judges": [{"kind": "catalogue"}, {"kind": "catalogue"}]}


def test_two_judges_of_one_name_are_both_compared(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, {"rl": rows_of("rl", 12, seed=seed)}, evaluate=TWO) for seed, name in enumerate("ab"))
    judges = {e["comparison"]["judge"] for e in compared(a, b)[0]["differences"] if e["comparison"]["metric"] == "ieval-unleaked"}
    assert judges == {"catalogue (1)", "catalogue (2)"}


def test_the_terminal_shows_a_table_a_metric_in_eighty_columns(tmp_path: Path) -> None:
    def side(name: str) -> list[Path]:
        rows = {seed: {"rl+ses": rows_of("rl+ses", 60, seed=seed + len(name))} for seed in (1, 2)}
        return [write(tmp_path / f"{name}{seed}", found, seed=seed, evaluate=TWO) for seed, found in rows.items()]

    a, b = side("a"), side("bb")
    for arguments in ((a[0], b[0]), (*a, "--against", *b)):
        done = RUN.invoke(app, ["compare", *map(str, arguments)])
        lines = done.stdout.splitlines()
        assert "…" not in done.stdout and max(map(len, lines)) <= 80
        assert sum(line.startswith("Hit@reply") for line in lines) == 2
        for entry in compared(*arguments)[0]["differences"]:
            c = entry["comparison"]
            wanted = ("RL + SES", bounds(c["low"], c["high"]), p_value(c["p_holm"]), f"{c['rows']} ({c['clusters']})")
            [place] = [place for place, line in enumerate(lines) if all(part in line for part in wanted)][:1]
            assert entry["seeds_low"] is None or bounds(entry["seeds_low"], entry["seeds_high"]) in lines[place + 1]


def test_latex_escapes_what_it_would_read_as_a_command() -> None:
    sheet = Sheet(title="runs/a_1 & 50%", columns=("x", "y", "z"), rows=(("a\\b", "{c}", "<0.0001"),), note="n#1")
    text = latex(sheet)
    assert r"\caption{runs/a\_1 \& 50\%}" in text
    assert r"a\textbackslash{}b & \{c\} & $<$0.0001 \\" in text
    assert r"\begin{tabular}{llr}" in text and r"n\#1" in text


def test_a_run_of_another_version_can_be_compared(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", [1, 2, 0]), make(tmp_path / "b", [1, 2, 0])
    recipe = json.loads((a / "recipe.json").read_text())
    jsonl.write_json(a / "recipe.json", recipe | {"imitation": recipe["imitation"] | {"gone": 3}})
    [found] = compared(a, b)
    assert found["settings"] == ["imitation.gone: 3 -> null"]


def refused(*arguments: object) -> BaseException | None:
    return RUN.invoke(app, ["compare", *map(str, arguments)]).exception


def test_what_cannot_be_compared_is_one_clear_error(tmp_path: Path) -> None:
    a, b, far = make(tmp_path / "a", [1, 2]), make(tmp_path / "b", [1, 2]), make(tmp_path / "far", [1, 2], first=50)
    apart = refused(a, far)
    assert isinstance(apart, DataError) and "no row of" in apart.what and apart.fix
    jsonl.write_json(far / "recipe.json", {"evaluate": {"judges": [{"kind": "catalogue"}] * 2}})
    scored = refused(a, far)
    assert isinstance(scored, DataError) and "not by catalogue, catalogue" in scored.what
    for arguments, words in (
        ((a,), "nothing to compare"),
        ((a, b, "--against", far), "2 runs are set against 1"),
        ((a, b, "--arm", "sft"), "arm sft is not in all"),
        ((a, b, "--json", "--latex"), "exclude each other"),
        ((a, tmp_path / "none"), "no run folder"),
    ):
        fault = refused(*arguments)
        assert isinstance(fault, ConfigError) and words in fault.what and fault.fix, arguments


@pytest.mark.parametrize("arms", [("collaborative",), ()])
def test_runs_without_a_common_model_arm_name_what_they_share(tmp_path: Path, arms: tuple[str, ...]) -> None:
    a = write(tmp_path / "a", {arm: [row("d:1", turn(1), arm=arm)] for arm in (*arms, "sft")})
    b = write(tmp_path / "b", {arm: [row("d:1", turn(1), arm=arm)] for arm in (*arms, "rl")})
    fault = refused(a, b)
    assert isinstance(fault, ConfigError) and "no model arm in common" in fault.what
    assert (arms or ("none",))[0] in fault.fix
