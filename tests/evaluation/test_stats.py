"""Intervals and paired differences: against hand values, against closed forms, and by coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from usbrec.evaluation.stats import RESAMPLES, by_cluster, holm, mean_interval, paired_difference, resampled, unseen_share
from usbrec.seeds import seed_of


def test_no_row_has_no_mean_and_one_row_no_interval() -> None:
    nothing, one = mean_interval([], 1), mean_interval([2.0], 1, limits=(0, 2))
    assert (nothing.mean, nothing.low, nothing.high, nothing.rows) == (None, None, None, 0)
    assert (one.mean, one.low, one.high, one.rows) == (2.0, None, None, 1)


def test_many_rows_of_one_dialogue_have_no_interval() -> None:
    found = mean_interval([0, 1, 2], 1, clusters=["d", "d", "d"])
    assert (found.mean, found.low, found.clusters, found.rows) == (1.0, None, 1, 3)


def test_equal_rows_get_the_exact_binomial_bound_not_certainty() -> None:
    """0 hits in 300: the two-sided Clopper-Pearson bound is 1 - 0.025^(1/300) = 0.01222."""
    found = mean_interval([0.0] * 300, 1, limits=(0, 1))
    assert (found.mean, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(0.01222, abs=1e-5)
    top = mean_interval([2.0] * 10, 1, limits=(0, 2))
    assert (top.mean, top.high) == (2.0, 2.0)
    assert top.low == pytest.approx(2 - 2 * unseen_share(10), abs=1e-6)
    without = mean_interval([1.0] * 10, 1)
    assert (without.low, without.high) == (1.0, 1.0)


def test_the_interval_is_that_of_the_normal_law_for_many_rows() -> None:
    values = [0.0] * 500 + [1.0] * 500
    found = mean_interval(values, 3)
    assert found.mean == 0.5
    assert found.low == pytest.approx(0.5 - 1.96 * 0.5 / 1000**0.5, abs=0.002)
    assert found.high == pytest.approx(0.5 + 1.96 * 0.5 / 1000**0.5, abs=0.002)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = list(np.random.default_rng(0).normal(size=50))
    assert mean_interval(values, 7) == mean_interval(values, 7)
    assert mean_interval(values, 7) != mean_interval(values, 8)


def test_rows_that_only_repeat_their_dialogue_do_not_narrow_the_interval() -> None:
    values = [float(i % 2) for i in range(60)]
    once = mean_interval(values, 5)
    thrice = mean_interval(values * 3, 5, clusters=[str(i) for i in range(60)] * 3)
    naive = mean_interval(values * 3, 5)
    width = lambda found: found.high - found.low  # noqa: E731
    assert thrice.mean == once.mean
    assert width(thrice) == pytest.approx(width(once), rel=0.05)
    assert width(naive) < 0.65 * width(once)


def test_rows_weigh_equally_whatever_their_dialogue() -> None:
    assert mean_interval([1, 1, 1, 0], 1, clusters=["a", "a", "a", "b"]).mean == 0.75


@pytest.mark.parametrize("clustered", [False, True])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(clustered: bool) -> None:
    """200 samples of 60 draws from {0: 0.6, 1: 0.3, 2: 0.1}, truth 0.5; with clusters each draw counts for two rows."""
    rng, covered = np.random.default_rng(11), 0
    for trial in range(200):
        values = rng.choice([0.0, 1.0, 2.0], 60, p=[0.6, 0.3, 0.1])
        if clustered:
            found = mean_interval(list(np.repeat(values, 2)), trial, clusters=[str(i // 2) for i in range(120)])
        else:
            found = mean_interval(list(values), trial)
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / 200 <= 0.99


@pytest.mark.parametrize("values", [np.random.default_rng(1).exponential(size=90), np.repeat([0.0, 0.0, 0.0, 1.0, 2.0], 18)])
def test_the_interval_is_the_bca_of_a_reference_that_draws_the_same(values: np.ndarray) -> None:
    """Rows of 31 dialogues, skewed; continuous, and with the many ties of grades."""
    clusters = [f"d{(i * i) % 31}" for i in range(90)]
    found = mean_interval(list(values), 3, clusters=clusters)
    reference = scipy_stats.bootstrap(
        by_cluster(values, clusters),
        lambda sums, counts, axis: sums.sum(axis=axis) / counts.sum(axis=axis),
        paired=True, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(seed_of("bootstrap", 3)),
    )  # fmt: skip
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval), abs=1e-6)


def test_a_resample_holds_as_many_clusters_as_there_are() -> None:
    """Ones sum to 3000 whatever is drawn; places 0 to 2999 to 3000 x 1499.5, with the standard deviation sqrt(3000 x 3000^2 / 12)."""
    ones, places = resampled(np.stack([np.ones(3000), np.arange(3000.0)], axis=1), 5).T
    assert (len(ones), set(ones)) == (RESAMPLES, {3000.0})
    assert places.mean() == pytest.approx(3000 * 1499.5, rel=0.001)
    assert places.std() == pytest.approx((3000 * 3000**2 / 12) ** 0.5, rel=0.03)


def test_a_paired_difference_uses_the_common_rows_and_counts_the_others() -> None:
    a = {"d1:1": 2.0, "d2:1": 1.0, "d3:1": 0.0, "only a": 2.0}
    b = {"d1:1": 1.0, "d2:1": 1.0, "d3:1": 1.0, "only b": 0.0, "only b too": 0.0}
    found = paired_difference(a, b, 1)
    assert (found.diff, found.rows, found.only_a, found.only_b) == (0.0, 3, 1, 2)


def test_no_common_row_gives_no_difference() -> None:
    found = paired_difference({"x": 1.0}, {"y": 1.0}, 1)
    assert (found.diff, found.low, found.p, found.rows, found.only_a, found.only_b) == (None, None, None, 0, 1, 1)


def test_one_common_row_gives_a_difference_without_interval() -> None:
    found = paired_difference({"x": 2.0}, {"x": 0.5}, 1, limits=(0, 2))
    assert (found.diff, found.low, found.high, found.p) == (1.5, None, None, 1.0)


def test_equal_arms_differ_by_nothing_with_p_one() -> None:
    side = {str(i): float(i % 3) for i in range(40)}
    found = paired_difference(side, side, 1, limits=(0, 2))
    assert (found.diff, found.p) == (0.0, 1.0)
    assert found.low == pytest.approx(-2 * unseen_share(40), abs=1e-6)
    assert found.high == pytest.approx(2 * unseen_share(40), abs=1e-6)


def test_the_p_value_is_exact_for_few_rows() -> None:
    """Five differences of one sign: only 2 of the 2^5 sign patterns are as extreme, p = 1/16; rows that tie change nothing."""
    a = {str(i): 1.0 for i in range(5)} | {f"tie {i}": 1.0 for i in range(30)}
    b = {str(i): 0.0 for i in range(5)} | {f"tie {i}": 1.0 for i in range(30)}
    assert paired_difference(a, b, 1).p == pytest.approx(1 / 16)


@pytest.mark.parametrize(("up", "down", "p"), [(12, 4, 5034 / 2**16), (12, 2, 212 / 2**14), (180, 0, 2**-179)])
def test_the_p_value_of_whole_numbers_is_exact_however_many(up: int, down: int, p: float) -> None:
    """12 of 16 at +1: p = 2 (1820 + 560 + 120 + 16 + 1) / 2^16; 12 of 14: 2 (91 + 14 + 1) / 2^14; the binomial sign test."""
    a = {str(i): float(i < up) for i in range(up + down)}
    b = {key: 1 - value for key, value in a.items()}
    assert paired_difference(a, b, 1).p == paired_difference(b, a, 2).p == pytest.approx(p)


def test_exact_p_values_are_those_of_every_choice_of_signs() -> None:
    """Means of three turns' scores, in dialogues of one to three rows: multiples of 1/3, of different sizes."""
    rng = np.random.default_rng(3)
    a, b = ({f"{i // 3 if i < 15 else i}:{i}": float(v) / 3 for i, v in enumerate(rng.integers(0, 7, 21))} for _ in range(2))
    sums = [sum(a[key] - b[key] for key in a if key.split(":")[0] == name) for name in {key.split(":")[0] for key in a}]
    sums = [value for value in sums if abs(value) > 1e-9]
    every = [sum(s * v for s, v in zip(signs, sums, strict=True)) for signs in itertools.product((-1, 1), repeat=len(sums))]
    expected = np.mean([abs(total) >= abs(sum(sums)) - 1e-9 for total in every])
    assert 0 < expected < 1
    assert paired_difference(a, b, 1, cluster=lambda key: key.split(":")[0]).p == pytest.approx(expected)


def test_the_p_value_of_many_rows_of_any_size_is_drawn() -> None:
    """Sizes that share no step: near those of 16 equal ones (.0768, above); the drawn one's standard error is .004."""
    a = {str(i): (1 if i < 12 else -1) * (1 + math.pi * 1e-7 * i) for i in range(16)}
    b = dict.fromkeys(a, 0.0)
    assert paired_difference(a, b, 1).p == pytest.approx(0.0768, abs=0.02)
    assert paired_difference(a, b, 1).p == paired_difference(b, a, 1).p
    apart = {key: abs(value) for key, value in a.items()}
    assert paired_difference(apart, b, 1).p == 2 / RESAMPLES  # nothing drawn is as extreme as what was seen


def test_pairing_sees_what_separate_intervals_cannot() -> None:
    rng = np.random.default_rng(2)
    b = {str(i): float(rng.normal(scale=5)) for i in range(100)}
    a = {key: value + float(rng.normal(0.3, 0.1)) for key, value in b.items()}
    paired = paired_difference(a, b, 1)
    alone = [mean_interval(list(side.values()), 1) for side in (a, b)]
    assert paired.low is not None and paired.low > 0.25
    assert paired.p is not None and paired.p < 0.001
    assert alone[0].low is not None and alone[1].high is not None and alone[0].low < alone[1].high


def test_the_permutation_test_rejects_a_true_null_about_one_time_in_twenty() -> None:
    rng = np.random.default_rng(4)
    rejected = 0
    for trial in range(100):
        a, b = ({str(i): float(v) for i, v in enumerate(rng.choice([0.0, 1.0, 2.0], 40))} for _ in range(2))
        p = paired_difference(a, b, trial).p
        rejected += p is not None and p < 0.05
    assert rejected <= 11


def test_holm_by_hand() -> None:
    """Sorted: 4 x .005 = .02, 3 x .01 = .03, 2 x .03 = .06, and .04 may not fall below that .06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_keeps_the_chance_of_any_false_finding_where_single_tests_do_not() -> None:
    """Five true nulls: some p below .05 with chance 1 - .95^5 = .226, some corrected one with 1 - .99^5 = .049."""
    families = np.random.default_rng(5).uniform(size=(4000, 5))
    assert np.mean(families.min(axis=1) < 0.05) == pytest.approx(0.226, abs=0.02)
    assert np.mean([min(holm(list(family))) < 0.05 for family in families]) == pytest.approx(0.049, abs=0.01)
