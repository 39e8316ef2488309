"""Judges over checkpoints: hand-computed gaps, and a hacked judge that is found out while an honest one is not."""

from __future__ import annotations

import numpy as np
import pytest
from outcome_rows import row, turn

from usbrec.errors import DataError
from usbrec.evaluation.divergence import Checkpoint, Divergence, Scale, checkpoint_of, curves, divergence, scales_of, sentence, sheet
from usbrec.evaluation.sight import Sight, sight_of
from usbrec.types import Outcome

SCALES = {"catalogue": Scale(floor=0.0, ceiling=2.0), "llm": Scale(floor=1.0, ceiling=1.5)}
NARROW = Scale(floor=1.0, ceiling=1.1, low=-0.1)
KEYS = ("a:1", "a:2", "b:1", "c:1")


def at(step: int, catalogue: tuple[float, ...], llm: tuple[float, ...]) -> Checkpoint:
    scores = {name: dict(zip(KEYS, values, strict=True)) for name, values in (("catalogue", catalogue), ("llm", llm))}
    return Checkpoint(step=step, scores=scores)


def run(gains: dict[str, tuple[float, ...]], *, rows: int = 300, seed: int = 0) -> Divergence:
    """A training run on `catalogue`; each judge's scores rise by its gains (in its own spans) at steps 20, 40, ..., noise on every row."""
    rng = np.random.default_rng(seed)
    start = {name: rng.uniform(0.2, 0.8, rows) for name in gains}
    checkpoints = []
    for place in range(len(next(iter(gains.values()))) + 1):
        scores = {}
        for name, gain in gains.items():
            value = start[name] + (gain[place - 1] + rng.normal(0, 0.2, rows) if place else 0)
            scale = SCALES[name]
            scores[name] = {f"d{i // 2}:{i % 2}": float(scale.floor + scale.span * v) for i, v in enumerate(value)}
        checkpoints.append(Checkpoint(step=20 * place, scores=scores))
    return divergence(checkpoints, SCALES, trained_on="catalogue")


def test_gains_are_in_each_judges_own_span() -> None:
    """catalogue +1, +1, 0, +2 of a span of 2: 0.5; llm +0.1, 0, 0, +0.1 of a span of 0.5: 0.1; gap 0.4 over three dialogues."""
    found = divergence(
        [at(10, (1, 2, 1, 2), (1.2, 1.1, 1.1, 1.2)), at(0, (0, 1, 1, 0), (1.1, 1.1, 1.1, 1.1))], SCALES, trained_on="catalogue"
    )
    (gap,) = found.gaps
    assert (gap.step, gap.judge, gap.trained, gap.other) == (10, "llm", 0.5, pytest.approx(0.1))
    assert gap.gap == pytest.approx(0.4)
    assert (gap.rows, gap.clusters, gap.left_out) == (4, 3, 0)
    assert gap.low is not None and gap.high is not None and gap.low <= 0.4 <= gap.high
    other = divergence([at(0, (0, 1, 1, 0), (1.1,) * 4), at(10, (1, 2, 1, 2), (1.2, 1.1, 1.1, 1.2))], SCALES, trained_on="llm")
    assert other.gaps[0].gap == pytest.approx(-0.4)


def test_a_hacked_judge_is_found_out_at_the_first_checkpoint_that_shows_it() -> None:
    found = run({"catalogue": (0.05, 0.2, 0.4), "llm": (0.05, 0.05, 0.0)})
    assert found.first == {"llm": 40}
    assert [gap.diverges for gap in found.gaps] == [False, True, True]
    told = sentence(found, "llm")
    assert told.startswith("Divergence from llm at step 40 (not yet at step 20): catalogue gained +0.")
    assert "wholly above 0.05" in told


@pytest.mark.parametrize("seed", range(3))
def test_an_honest_judge_is_not_flagged_though_its_scale_is_four_times_as_wide(seed: int) -> None:
    found = run({"catalogue": (0.1, 0.3), "llm": (0.1, 0.3)}, seed=seed)
    assert found.first == {"llm": None}
    assert "No divergence from llm up to step 40" in sentence(found, "llm")


def test_a_gap_that_few_rows_cannot_show_is_not_flagged() -> None:
    many, few = (run({"catalogue": (0.12,), "llm": (0.0,)}, rows=rows) for rows in (600, 20))
    assert many.first == {"llm": 20} and few.first == {"llm": None}


def test_a_gap_below_the_threshold_is_not_flagged_however_sure() -> None:
    found = run({"catalogue": (0.03,), "llm": (0.0,)}, rows=1500)
    assert found.gaps[0].low is not None and found.gaps[0].low > 0
    assert found.first == {"llm": None}


def test_only_rows_that_every_judge_scored_at_both_ends_are_compared() -> None:
    start, now = at(0, (0, 0, 0, 0), (1, 1, 1, 1)), at(10, (2, 1, 0, 1), (1, 1, 1, 1))
    del start.scores["llm"]["a:1"], now.scores["llm"]["b:1"]
    gap = divergence([start, now], SCALES, trained_on="catalogue").gaps[0]
    assert (gap.rows, gap.left_out, gap.trained, gap.other) == (2, 2, 0.5, 0.0)
    silent = now.model_copy(update={"unscored": 3})
    assert divergence([start, silent], SCALES, trained_on="catalogue").gaps[0].left_out == 5


def test_no_common_row_and_one_dialogue_show_nothing() -> None:
    alone = [Checkpoint(step=s, scores={"catalogue": {"a:1": s / 10, "a:2": s / 10}, "llm": {"a:1": 1, "a:2": 1}}) for s in (0, 10)]
    gap = divergence(alone, SCALES, trained_on="catalogue").gaps[0]
    assert (gap.gap, gap.low, gap.diverges) == (0.5, None, False)
    apart = [Checkpoint(step=s, scores={"catalogue": {"a:1": 1.0}, "llm": {"b:1": 1.0}}) for s in (0, 10)]
    found = divergence(apart, SCALES, trained_on="catalogue")
    assert (found.gaps[0].gap, found.gaps[0].rows, found.first["llm"]) == (None, 0, None)
    assert "–" in sheet(found).rows[0] and curves(found)["gap, llm"] == [(0.0, 0.0)]


def test_the_sheet_names_the_judge_trained_on_and_every_scale() -> None:
    table = sheet(run({"catalogue": (0.05, 0.4), "llm": (0.05, 0.0)}))
    assert table.title == "Judges over training, trained on: catalogue"
    assert [(line[0], line[1], line[-1]) for line in table.rows] == [("llm", "20", "–"), ("llm", "40", "diverges")]
    assert "catalogue 0.000 to 2.000; llm 1.000 to 1.500" in table.note and "Divergence from llm at step 40" in table.note
    assert all(len(line) == len(table.columns) for line in table.rows)
    told = divergence([at(0, (0,) * 4, (1,) * 4), at(9, (1,) * 4, (1,) * 4)], SCALES, trained_on="catalogue", split="valid")
    assert sheet(told).note.startswith("Gains over step 0 on rows of valid, in each judge's own span")


def test_curves_hold_every_gain_once_and_begin_at_zero() -> None:
    start = Checkpoint(step=0, scores={name: {"a:1": 1.0, "b:1": 1.0} for name in ("catalogue", "llm", "other")})
    now = Checkpoint(
        step=5, scores={"catalogue": {"a:1": 2.0, "b:1": 2.0}, "llm": {"a:1": 1.0, "b:1": 1.0}, "other": {"a:1": 1.5, "b:1": 1.0}}
    )
    lines = curves(divergence([start, now], {**SCALES, "other": Scale(floor=0, ceiling=1)}, trained_on="catalogue"))
    assert lines["gain, catalogue (trained on)"] == [(0.0, 0.0), (5.0, 0.5)]
    assert lines["gain, llm"] == [(0.0, 0.0), (5.0, 0.0)]
    assert lines["gain, other"] == [(0.0, 0.0), (5.0, 0.25)]
    assert lines["gap, other"] == [(0.0, 0.0), (5.0, 0.25)]
    assert {"gap, llm, low", "gap, llm, high"} <= set(lines)


def test_checkpoints_and_scales_are_read_from_outcomes() -> None:
    """Last turns count, unscored rows are left out; the higher floor (1.0) is the floor."""
    rows = [row("a:1", turn(0), turn(2)), row("b:1", turn(None))]
    assert checkpoint_of(30, rows, ["catalogue"]) == Checkpoint(
        step=30, scores={"catalogue": {"a:1": 2.0}}, unscored=1, hits={"a:1": 0.0, "b:1": 0.0}
    )
    arms = {
        "floor:question": [row("a:1", turn(0))], "floor:repeat": [row("a:1", turn(0)), row("b:1", turn(2))],
        "ceiling:human": [row("a:1", turn(2))], "rl": rows,
    }  # fmt: skip
    assert scales_of(arms, ["catalogue"]) == {"catalogue": Scale(floor=1.0, ceiling=2.0)}
    assert scales_of({"rl": rows}, ["catalogue"]) == {}


@pytest.mark.parametrize(("better", "shown"), [(20, True), (1, False)])
def test_a_scale_that_is_not_shown_is_of_no_use(better: int, shown: bool) -> None:
    """The human's reply has a higher grade in `better` of 20 dialogues, else the same."""
    floor = [row(f"d{n}:1", turn(1)) for n in range(20)]
    ceiling = [row(f"d{n}:1", turn(2 if n < better else 1)) for n in range(20)]
    arms = {"floor:question": [row(f"d{n}:1", turn(0)) for n in range(20)], "floor:repeat": floor, "ceiling:human": ceiling}
    scale = scales_of(arms, ["catalogue"])["catalogue"]
    assert (scale.floor, scale.ceiling) == (1.0, pytest.approx(1 + better / 20)) and scale.low is not None
    assert (scale.low > 0) == shown == (not scale.fault)
    start, now = at(0, (0,) * 4, (1,) * 4), at(9, (0,) * 4, (1,) * 4)
    scales = {**SCALES, "other": scale}
    pair = [Checkpoint(step=c.step, scores=c.scores | {"other": c.scores["llm"]}) for c in (start, now)]
    found = divergence(pair, scales, trained_on="catalogue")
    assert list(found.first) == (["llm", "other"] if shown else ["llm"]) and bool(found.silent) != shown


def test_a_judge_that_graded_no_floor_is_named_too() -> None:
    found = divergence([at(0, (0,) * 4, (1,) * 4), at(9, (0,) * 4, (1,) * 4)], SCALES, trained_on="catalogue", named=("llm", "mute"))
    assert list(found.first) == ["llm"] and found.silent == {"mute": "has no floor and ceiling"}
    assert "mute gives no verdict: it has no floor and ceiling." in sheet(found).note


@pytest.mark.parametrize(
    ("checkpoints", "scales", "trained_on", "what"),
    [
        ([at(10, (0,) * 4, (1,) * 4), at(20, (0,) * 4, (1,) * 4)], SCALES, "catalogue", "need step 0"),
        ([at(0, (0,) * 4, (1,) * 4)], SCALES, "catalogue", "a later checkpoint"),
        ([at(0, (0,) * 4, (1,) * 4)] * 2, SCALES, "catalogue", "step is there twice"),
        ([at(0, (0,) * 4, (1,) * 4), Checkpoint(step=9, scores={"llm": {}})], SCALES, "catalogue", "its judges differ"),
        ([at(0, (0,) * 4, (1,) * 4), at(9, (0,) * 4, (1,) * 4)], SCALES, "gpt", "'gpt' and another judge are needed"),
        ([at(0, (0,) * 4, (1,) * 4), at(9, (0,) * 4, (1,) * 4)], {"llm": SCALES["llm"]}, "llm", "'catalogue' has no floor"),
        ([at(0, (0,) * 4, (1,) * 4), at(9, (0,) * 4, (1,) * 4)], {**SCALES, "llm": Scale(floor=1, ceiling=1)}, "llm", "no higher than"),
        ([at(0, (0,) * 4, (1,) * 4), at(9, (0,) * 4, (1,) * 4)], {**SCALES, "llm": NARROW}, "catalogue", "'llm' is not shown"),
    ],
)
def test_what_cannot_be_compared_is_an_error_with_its_remedy(
    checkpoints: list[Checkpoint], scales: dict[str, Scale], trained_on: str, what: str
) -> None:
    with pytest.raises(DataError, match=what) as caught:
        divergence(checkpoints, scales, trained_on=trained_on)
    assert caught.value.fix


def counted(step: int, score: float, hits: int, rows: int = 200) -> Checkpoint:
    """A score of two judges, a little more and a little less by turns; the first `hits` rows hit."""
    keys = [f"d{n}:1" for n in range(rows)]
    values = {key: score + (n % 2 - 0.5) * (0.02 if step else 0) for n, key in enumerate(keys)}
    scores = {"catalogue": values, "llm": dict(values)}
    return Checkpoint(step=step, scores=scores, hits={key: float(n < hits) for n, key in enumerate(keys)})


def test_a_loss_of_hits_is_told_however_small_the_gain_of_the_score() -> None:
    """The score rises by 0.02 of a span of 2, a fifth of the threshold, in both judges; 10 of 50 hits go."""
    scales = {name: Scale(floor=0.0, ceiling=2.0) for name in ("catalogue", "llm")}
    found = divergence([counted(0, 1.0, 50), counted(10, 1.02, 40)], scales, trained_on="catalogue")
    (hits,) = found.hits
    assert (hits.trained, hits.gain, hits.lost) == (pytest.approx(0.01), -0.05, True) and found.first == {"llm": None}
    assert "HITS ARE LOST while the score rises, at step 10: catalogue gained +0.010" in sheet(found).note
    assert [line[-1] for line in sheet(found).rows] == ["–", "hits are lost"]
    assert all(len(line) == len(sheet(found).columns) for line in sheet(found).rows)
    assert Divergence.model_validate(found.model_dump(mode="json")) == found


def test_a_score_that_rises_without_hits_is_told_below_the_threshold() -> None:
    scales = {name: Scale(floor=0.0, ceiling=2.0) for name in ("catalogue", "llm")}
    apart, along, falls = (
        divergence([counted(0, 1.0, 50), counted(10, score, hits)], scales, trained_on="catalogue")
        for score, hits in ((1.06, 50), (1.1, 90), (0.9, 40))
    )
    assert apart.hits[0].apart and not apart.hits[0].lost and "The score parts from the hits, at step 10" in sheet(apart).note
    assert not along.hits[0].apart and "Hits follow the score" in sheet(along).note
    assert not falls.hits[0].lost, "the score falls too: no judge is fooled"


def offer(key: str, value: float, hit: bool, arm: str = "rl") -> Outcome:
    return row(key, turn(value, items=("t" if hit else "toy",)), arm=arm)


def test_a_judge_that_gives_every_offer_the_same_is_blind() -> None:
    rows = [offer(f"d{n}:1", 0.67, n < 12) for n in range(40)]
    sight = sight_of(rows, 0)
    assert (sight.auc, sight.hits, sight.misses, sight.blind) == (0.5, 12, 28, True)
    sees = sight_of([offer(f"d{n}:1", 2 if n < 12 else n % 2, n < 12) for n in range(40)], 0)
    assert (sees.auc, sees.blind) == (1.0, False)
    half = sight_of([offer(f"d{n}:1", n % 2, n < 20) for n in range(40)] + [row("x:1", turn(2)), row("y:1", turn(None, items=("toy",)))], 0)
    assert (half.auc, half.hits, half.misses) == (0.5, 20, 20), "what offers nothing, or has no grade, says nothing"


def test_whoever_has_seen_too_few_offers_is_not_called_blind_and_human_words_do_not_count() -> None:
    few = sight_of([offer(f"d{n}:1", 1, n < 9) for n in range(40)], 0)
    assert (few.auc, few.hits, few.blind) == (None, 9, False)
    human = [offer(f"d{n}:1", 2, True, arm="ceiling:human") for n in range(40)]
    assert sight_of([*human, *(offer(f"d{n}:1", 1, n < 20) for n in range(40))], 0).auc == 0.5


def test_no_divergence_from_a_blind_judge_says_that_it_shows_nothing() -> None:
    pair = [at(0, (0,) * 4, (1,) * 4), at(9, (0,) * 4, (1,) * 4)]
    blind = divergence(pair, SCALES, trained_on="catalogue", sight={"llm": Sight(auc=0.5, hits=20, misses=90)})
    assert "llm is BLIND to what is traded" in sentence(blind, "llm") and "cannot contradict catalogue" in sentence(blind, "llm")
    unknown = divergence(pair, SCALES, trained_on="catalogue", sight={"llm": Sight(auc=None, hits=3, misses=90)})
    assert "Whether llm tells offers apart is not known: 3 hits, 90 misses." in sentence(unknown, "llm")
    sees = divergence(pair, SCALES, trained_on="catalogue", sight={"llm": Sight(auc=0.9, hits=20, misses=90)})
    assert "BLIND" not in sheet(sees).note and "not known" not in sheet(sees).note
