"""`usbrec power` and `usbrec repeats`: what a run's rows can show, and how reliable an arm is over seeds, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from outcome_rows import row, rows_of, turn
from test_compare_command import TWO, write
from typer.testing import CliRunner

from usbrec.cli import app
from usbrec.errors import ConfigError, DataError
from usbrec.evaluation.compare import compare_all
from usbrec.types import Outcome

RUN = CliRunner()


def asked(*arguments: object) -> dict[str, Any]:
    done = RUN.invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def scored(arm: str, values: list[float | None], keys: list[str] | None = None) -> list[Outcome]:
    """Row i of dialogue i, or of these keys; 2 is a hit."""
    keys = keys or [f"d{place}:1" for place in range(len(values))]
    return [row(key, turn(value, hit=value == 2), arm=arm) for key, value in zip(keys, values, strict=True)]


def test_power_of_one_pair_by_hand(tmp_path: Path) -> None:
    """Differences 0, 1, 2, 1: sd root of 2/3, error root of 1/6.  z(.975) + z(.8) = 2.801585; 4 x 2.801585^2 / 6 / .5^2 = 20.93."""
    run = write(tmp_path / "run", {"sft": scored("sft", [0, 1, 2, 1]), "base": scored("base", [0, 0, 0, 0])})
    found = asked("power", run, "--difference", 0.5)
    assert found | {"metric": "ieval", "judge": "catalogue", "power": 0.8, "alpha": 0.05, "alone": False} == found
    [pair] = found["pairs"]
    known = {"a": "sft", "b": "base", "question": "training", "rows": 4, "clusters": 4, "unscored": 0, "tests": 1, "needed": 21}
    assert pair | known == pair
    assert (pair["error"], pair["detectable"]) == pytest.approx((0.408248, 1.143742), abs=2e-6)
    # z(.995) + z(.9) = 3.857381; 4 x 3.857381^2 / 6 / 1^2 = 9.92
    [strict] = asked("power", run, "--difference", 1, "--alpha", 0.01, "--power", 0.9, "--metric", "ieval:catalogue")["pairs"]
    assert (strict["detectable"], strict["needed"]) == (pytest.approx(1.574769, abs=2e-6), 10)


def test_rows_of_one_dialogue_are_one_cluster(tmp_path: Path) -> None:
    """Dialogue means 0 and 2: the error of two numbers is 1; 4 x 2.801585^2 / 2^2 = 7.85 rows.  The fifth row has no score."""
    keys = ["d0:1", "d0:2", "d1:1", "d1:2", "d2:1"]
    arms = {"sft": scored("sft", [0, 0, 2, 2, None], keys), "base": scored("base", [0] * 5, keys)}
    [pair] = asked("power", write(tmp_path / "run", arms), "--difference", 2)["pairs"]
    assert (pair["rows"], pair["clusters"], pair["unscored"], pair["error"], pair["needed"]) == (4, 2, 1, 1.0, 8)
    assert pair["detectable"] == pytest.approx(2.801585, abs=1e-6)


def test_pairs_of_a_question_share_alpha_unless_alone(tmp_path: Path) -> None:
    """Three training pairs: z(1 - .05 / 6) + z(.8) = 2.393980 + .841621; rl and base never differ: unknown, no certainty."""
    arms = {"base": scored("base", [0] * 4), "sft": scored("sft", [0, 1, 2, 1]), "rl": scored("rl", [0] * 4)}
    run = write(tmp_path / "run", arms)
    shared, alone = ({(pair["a"], pair["b"]): pair for pair in asked("power", run, *options)["pairs"]} for options in ((), ("--alone",)))
    assert (shared["sft", "base"]["tests"], alone["sft", "base"]["tests"]) == (3, 1)
    assert shared["sft", "base"]["detectable"] == pytest.approx(3.235601 * 6**-0.5, abs=2e-6)
    assert alone["sft", "base"]["detectable"] == pytest.approx(1.143742, abs=2e-6)
    assert {shared["rl", "base"][key] for key in ("error", "detectable", "needed")} == {None}
    table = RUN.invoke(app, ["power", str(run)]).stdout
    assert "| SFT − base | 1.321 |" in table and "| RL − base | – | – | – | 3 | 4 (4) | 0 |" in table
    assert "alpha 0.05 divided by" in table and "alpha 0.05 each" in RUN.invoke(app, ["power", str(run), "--alone"]).stdout


@pytest.mark.parametrize(
    ("metric", "judge"), [("ieval-unleaked", "catalogue (1)"), ("ieval-first-unleaked", "catalogue (2)"), ("hit-unleaked", "linked items")]
)
def test_detectable_is_what_the_report_says(tmp_path: Path, metric: str, judge: str) -> None:
    arms = {arm: rows_of(arm, 20) for arm in ("base", "sft", "collaborative", "ceiling:human", "floor:question")}
    reported = compare_all(arms, ["catalogue (1)", "catalogue (2)"])
    wanted = {(c.a, c.b): (c.rows, c.clusters, c.unscored, c.detectable) for c in reported if (c.metric, c.judge) == (metric, judge)}
    found = asked(
        "power", write(tmp_path / "run", arms, evaluate=TWO), "--metric", metric if metric.startswith("hit") else f"{metric}:{judge}"
    )
    assert found["judge"] == judge
    for pair in found["pairs"]:
        *counts, detectable = wanted.pop((pair["a"], pair["b"]))
        assert (pair["rows"], pair["clusters"], pair["unscored"]) == tuple(counts)
        assert pair["detectable"] == detectable
    assert wanted == {}


def test_what_power_cannot_tell_is_one_clear_error(tmp_path: Path) -> None:
    run = write(tmp_path / "run", {"sft": scored("sft", [0, 1]), "base": scored("base", [0, 0])})
    for metric in ("ieval:llm", "bleu", "recall@1:catalogue"):
        fault = RUN.invoke(app, ["power", str(run), "--metric", metric]).exception
        assert isinstance(fault, ConfigError) and metric in fault.where
        assert "ieval:catalogue, " in fault.fix and "hit-any, " in fault.fix
    nothing = RUN.invoke(app, ["power", str(write(tmp_path / "begun", {}))]).exception
    assert isinstance(nothing, DataError) and "no outcomes" in nothing.what and nothing.fix
    single = RUN.invoke(app, ["power", str(write(tmp_path / "single", {"sft": scored("sft", [0, 1])}))]).exception
    assert isinstance(single, DataError) and "sft" in single.what and single.fix
    elsewhere = RUN.invoke(app, ["power", str(tmp_path)]).exception
    assert isinstance(elsewhere, ConfigError) and "no run folder" in elsewhere.what
    assert RUN.invoke(app, ["power", str(run), "--difference", "0"]).exit_code == 2


def seeds(folder: Path, *runs: list[Outcome]) -> list[Path]:
    """A run a list, with seeds 1, 2, ..."""
    return [write(folder / f"r{seed}", {"rl": rows}, seed=seed) for seed, rows in enumerate(runs, start=1)]


def test_pass_hat_and_pass_at_of_three_seeds_by_hand(tmp_path: Path) -> None:
    """2, 3, 0 and 1 hits of 3.  k = 2: all of them 1/3, 1, 0, 0; any of them 1, 1, 0, 2/3."""
    hits = ([2, 2, 0, 2], [2, 2, 0, 0], [0, 2, 1, 0])
    found = asked("repeats", *seeds(tmp_path, *(scored("rl", list(values)) for values in hits)))
    assert found["rows"] == 4 and found["warnings"] == []
    assert [(one["arm"], one["k"], one["unscored"]) for one in found["arms"]] == [("rl", 1, 0), ("rl", 2, 0), ("rl", 3, 0)]
    means = [(one["pass_hat"]["mean"], one["pass_at"]["mean"]) for one in found["arms"]]
    assert means == [(0.5, 0.5), (0.333333, 0.666667), (0.25, 0.75)]
    for one in found["arms"]:
        for value in (one["pass_hat"], one["pass_at"]):
            assert value["low"] <= value["mean"] <= value["high"] and (value["rows"], value["clusters"]) == (4, 4)


def test_a_target_in_any_turn_is_a_success_and_a_row_without_verdict_is_counted(tmp_path: Path) -> None:
    """Row 0 hits late in one run and early in the other; row 1 broke off after its hit; row 2 broke off before any: left out."""
    late = row("d0:1", turn(0), turn(2, hit=True))
    one = [late, row("d1:1", turn(2, hit=True), error="gone"), row("d2:1", turn(0), error="gone")]
    other = scored("rl", [2, 2, 2])
    found = asked("repeats", *seeds(tmp_path, one, other))
    assert found["rows"] == 3
    twice = found["arms"][1]
    assert (twice["k"], twice["pass_hat"]["mean"], twice["pass_hat"]["rows"], twice["unscored"]) == (2, 1.0, 2, 1)
    assert twice["pass_hat"]["low"] < 0.5  # two rows without a failure are no certainty


def test_rows_and_arms_that_not_all_runs_have_are_left_out(tmp_path: Path) -> None:
    a = write(tmp_path / "a", {"rl": scored("rl", [2, 0, 2]), "sft": scored("sft", [2, 0, 2])}, seed=1)
    b = write(tmp_path / "b", {"rl": scored("rl", [0, 0], ["d1:1", "d2:1"])}, seed=2)
    found = asked("repeats", a, b)
    assert found["warnings"] == [f"2 rows are in all runs; rows that are not, and are left out: {a} 1"]
    assert {one["arm"] for one in found["arms"]} == {"rl"}
    assert [one["pass_at"]["mean"] for one in found["arms"]] == [0.25, 0.5]
    done = RUN.invoke(app, ["repeats", str(a), str(b)])
    assert "2 rows are in all runs" in done.stdout and "| RL | 2 | 0.000 [0.000, " in done.stdout
    assert "warning: 2 rows" in done.stderr


def test_runs_that_are_no_repeats_are_called_so(tmp_path: Path) -> None:
    same = [write(tmp_path / name, {"rl": scored("rl", [2, 0])}) for name in "ab"]
    assert asked("repeats", *same)["warnings"] == [
        f"{same[0]} and {same[1]} have the same seed: they are no repeats",
        f"{same[0]} and {same[1]} hold the same outcomes of rl, wall times included: a copy",
    ]
    other = write(tmp_path / "c", {"rl": scored("rl", [2, 0])}, seed=2, search={"candidates": 3})
    [warning, copy] = asked("repeats", same[0], other)["warnings"]
    assert warning.endswith("differ in more than the seed: search.candidates: 8 -> 3") and copy.endswith("wall times included: a copy")


def test_what_is_not_repeated_is_refused(tmp_path: Path) -> None:
    a, b = seeds(tmp_path, scored("rl", [2, 0]), scored("rl", [2, 0], ["e0:1", "e1:1"]))
    apart = RUN.invoke(app, ["repeats", str(a), str(b)]).exception
    assert isinstance(apart, DataError) and f"no row is in all of {a}, {b}" in apart.what and "evaluate.rows: null" in apart.fix
    alone = RUN.invoke(app, ["repeats", str(a)]).exception
    assert isinstance(alone, ConfigError) and "one run" in alone.what and alone.fix
