"""Ranking metrics: by hand, and against trec_eval."""

from __future__ import annotations

import random
from math import log2

import pytest

from usbrec.errors import DataError
from usbrec.evaluation.ranking import SCORERS, Ranking, hit, measure_ranker, ndcg, recall, reciprocal_rank, row_values, sheet
from usbrec.evaluation.tables import markdown

LONG = tuple(f"i{place}" for place in range(1, 61))  # i1 stands at place 1, i60 at 60


def ranked(key: str, static: tuple[str, ...] | None, *turns: tuple[str, ...], ranker: str = "r", leaks: tuple[str, ...] = ()) -> Ranking:
    """A row with the targets a and b; `turns` follow the static ranking of a played conversation."""
    return Ranking(
        key=key, ranker=ranker, static=static, interactive=(static, *turns) if turns and static is not None else None,
        targets=("a", "b"), leaks=leaks, error="" if static is not None else "the engine is gone",
    )  # fmt: skip


ROWS = (
    ranked("d1:1", ("a", "x", "b")),
    ranked("d1:2", ("x", "b"), leaks=("a",)),
    ranked("d2:1", ()),
    ranked("d3:1", None),
)
"""Recall@10: 1, 1/2, 0, missing.  MRR: 1, 1/2, 0, missing."""


def test_recall_is_the_share_of_the_targets_among_the_first_k() -> None:
    targets = ("i1", "i10", "i11", "elsewhere")
    assert [recall(LONG, targets, k) for k in (1, 9, 10, 11, 50)] == [0.25, 0.25, 0.5, 0.75, 0.75]


def test_hit_is_yes_or_no() -> None:
    assert [hit(LONG, ("i10", "i12"), k) for k in (1, 9, 10, 50)] == [0, 0, 1, 1]


def test_mrr_looks_at_the_first_target_only() -> None:
    assert reciprocal_rank(LONG, ("i8", "i4")) == 0.25
    assert reciprocal_rank(LONG, ("elsewhere",)) == 0


def test_ndcg_by_hand() -> None:
    """Targets at places 2 and 4: (1/log2(3) + 1/log2(5)) / (1/log2(2) + 1/log2(3)) = 1.06161 / 1.63093."""
    assert ndcg(("x", "a", "y", "b"), ("a", "b"), 10) == pytest.approx((1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3)))
    assert ndcg(("x", "a", "y", "b"), ("a", "b"), 10) == pytest.approx(0.650921, abs=1e-6)
    assert ndcg(LONG, ("i3",), 10) == pytest.approx(0.5)
    assert ndcg(LONG, ("i11",), 10) == 0


def test_the_ideal_ranking_has_no_more_targets_than_places() -> None:
    assert ndcg(LONG, LONG[:12], 10) == pytest.approx(1.0)


def test_an_empty_or_short_ranking_scores_what_it_holds() -> None:
    assert [scorer((), ("a",)) for scorer in SCORERS.values()] == [0.0] * len(SCORERS)
    assert recall(("a",), ("a", "b"), 50) == 0.5


def test_a_target_given_twice_is_one_target() -> None:
    assert recall(("a",), ("a", "a"), 1) == ndcg(("a",), ("a", "a"), 10) == 1


@pytest.mark.parametrize("name", SCORERS)
def test_doubled_items_and_missing_targets_are_errors(name: str) -> None:
    with pytest.raises(DataError, match="lists an item twice: x"):
        SCORERS[name](("x", "a", "x"), ("a",))
    with pytest.raises(DataError, match="without targets"):
        SCORERS[name](("a",), ())


def test_all_metrics_agree_with_trec_eval_on_random_rankings() -> None:
    """200 rankings of 1 to 60 of 100 items, 1 to 15 targets: deeper than every cut-off, and more targets than NDCG has places."""
    trec = pytest.importorskip("pytrec_eval", reason="pytrec-eval-terrier is not installed: pip install 'usbrec[dev]'")
    rng, items = random.Random(5), [f"item {n}" for n in range(100)]
    rankings = {f"row {n}": rng.sample(items, rng.randint(1, 60)) for n in range(200)}
    targets = {key: rng.sample(items, rng.randint(1, 15)) for key in rankings}
    judged = {key: dict.fromkeys(wanted, 1) for key, wanted in targets.items()}
    scored = {key: {item: float(-place) for place, item in enumerate(ranking)} for key, ranking in rankings.items()}
    names = {
        "Recall@1": "recall_1", "Recall@10": "recall_10", "Recall@50": "recall_50", "Hit@1": "success_1", "Hit@10": "success_10",
        "Hit@50": "success_50", "MRR": "recip_rank", "NDCG@10": "ndcg_cut_10",
    }  # fmt: skip
    measures = {"recall.1,10,50", "success.1,10,50", "recip_rank", "ndcg_cut.10"}
    theirs = trec.RelevanceEvaluator(judged, measures).evaluate(scored)
    assert len(theirs) == 200 and names.keys() == SCORERS.keys()
    for key, ranking in rankings.items():
        for ours, name in names.items():
            assert SCORERS[ours](ranking, targets[key]) == pytest.approx(theirs[key][name], abs=1e-9, rel=0), (key, ours)
    assert len({row["ndcg_cut_10"] for row in theirs.values()}) > 50  # the agreement is not one over zeros


def test_missing_rankings_are_unscored_and_bounded_and_empty_ones_score_zero() -> None:
    """Recall@10: 1, 1/2, 0 and one missing: mean 0.5 of three rows in two dialogues, 1.5/4 with it at 0, 2.5/4 with it at 1."""
    found = measure_ranker(ROWS)["Recall@10"]
    assert (found.mean, found.rows, found.clusters, found.unscored, found.worst, found.best) == (0.5, 3, 2, 1, 0.375, 0.625)
    assert measure_ranker(ROWS)["MRR"].mean == 0.5


def test_rows_with_leaks_can_be_left_out() -> None:
    assert row_values(ROWS, SCORERS["MRR"], unleaked=True) == {"d1:1": 1, "d2:1": 0, "d3:1": None}


def test_interactive_takes_the_best_turn_of_each_metric() -> None:
    """The second turn is better for recall, the first for the first target's place."""
    rows = [ranked("d1:1", ("a",), ("x", "a", "b"), ()), ranked("d2:1", ("a",))]
    assert row_values(rows, SCORERS["Recall@10"], interactive=True) == {"d1:1": 1, "d2:1": None}
    assert row_values(rows, SCORERS["MRR"], interactive=True)["d1:1"] == 1
    assert row_values(rows, SCORERS["Recall@10"])["d1:1"] == 0.5
    assert measure_ranker(rows, interactive=True)["Recall@10"].unscored == 1


def test_faults_name_ranker_and_row() -> None:
    with pytest.raises(DataError, match="twice: x") as caught:
        measure_ranker([ranked("d1:1", ("x", "x"))])
    assert caught.value.where == "ranker 'r', row 'd1:1'" and caught.value.fix
    with pytest.raises(DataError, match="the row is there twice"):
        measure_ranker([ROWS[0], ROWS[0]])
    with pytest.raises(DataError, match="several rankers"):
        measure_ranker([ROWS[0], ranked("d9:1", (), ranker="s")])
    with pytest.raises(DataError, match="no rankings"):
        measure_ranker([])


def test_the_sheet_shows_means_intervals_and_what_was_not_scored() -> None:
    table = sheet({"samples": measure_ranker(ROWS), "popular": measure_ranker(ROWS[:3])}, title="Static", kinds=("model", "floor"))
    assert table.columns == ("ranker", *SCORERS, "rows", "unscored")
    assert [row[0] for row in table.rows] == ["samples", "popular"]
    assert table.rows[0][2].startswith("0.500 [")
    assert [row[-2:] for row in table.rows] == [("4", "1 (0.375 to 0.625)"), ("3", "0")]
    assert (table.kinds, len(markdown(table).splitlines())) == (("model", "floor"), 6)
