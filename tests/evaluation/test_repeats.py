"""Differences pooled over seeds and pass^k: against hand values, by exact enumeration, and by coverage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from usbrec.errors import DataError
from usbrec.evaluation.repeats import pass_at, pass_hat, pooled_difference
from usbrec.evaluation.stats import paired_difference


def test_a_pooled_difference_by_hand() -> None:
    """a: x 1 and 1, y 0 and 2; b: x 0 and 1, y 0 and 0.  Row means .5 and 1; seeds .5 and 1, sd .353553."""
    found = pooled_difference([{"x": 1, "y": 0}, {"x": 1, "y": 2}], [{"x": 0, "y": 0}, {"x": 1, "y": 0}], 1)
    assert (found.paired.diff, found.paired.rows, found.by_seed, found.partial) == (0.75, 2, (0.5, 1.0), 0)
    assert found.spread == pytest.approx(0.353553, abs=1e-6)


def test_one_seed_is_a_paired_difference() -> None:
    a, b = {str(i): float(i % 3) for i in range(30)}, {str(i): float(i % 2) for i in range(20)}
    found = pooled_difference([a], [b], 4, limits=(0, 2))
    assert found.paired == paired_difference(a, b, 4, limits=(0, 2))
    assert (found.spread, found.low, found.high, found.paired.only_a) == (None, None, None, 10)


def test_seeds_are_repeats_not_rows() -> None:
    """The same values three times over say no more than once; resampling seeds then adds nothing either."""
    a, b = {str(i): float(i % 3) for i in range(60)}, {str(i): float(i % 2) for i in range(60)}
    once, thrice = pooled_difference([a], [b], 4), pooled_difference([a] * 3, [b] * 3, 4)
    assert thrice.paired == once.paired
    assert thrice.spread == 0.0
    assert thrice.low == pytest.approx(once.paired.low, abs=0.03)
    assert thrice.high == pytest.approx(once.paired.high, abs=0.03)


def test_seeds_that_differ_widen_only_the_interval_that_resamples_them() -> None:
    """Every row +0, +1, +2 by seed: no spread over rows.  Three seeds drawn anew are all +0 with chance 1/27 > 2.5%, and all +2."""
    zero = {str(i): 0.0 for i in range(10)}
    found = pooled_difference([dict.fromkeys(zero, float(seed)) for seed in range(3)], [zero] * 3, 1)
    assert (found.paired.low, found.paired.high) == (1.0, 1.0)
    assert (found.by_seed, found.spread, found.low, found.high) == ((0.0, 1.0, 2.0), 1.0, 0.0, 2.0)


def test_rows_that_a_seed_lacks_are_counted_and_left_out() -> None:
    found = pooled_difference([{"x": 1, "y": 1}, {"x": 1}], [{"x": 0, "z": 0}, {"x": 0, "z": 0}], 1)
    assert (found.paired.rows, found.partial, found.paired.only_b) == (1, 1, 1)
    nothing = pooled_difference([{"x": 1}, {"y": 1}], [{"x": 0}, {"x": 0}], 1)
    assert (nothing.paired.diff, nothing.by_seed, nothing.partial) == (None, (), 2)


def test_sides_with_different_numbers_of_seeds_cannot_be_paired() -> None:
    with pytest.raises(DataError, match="2 seeds cannot be paired with 1"):
        pooled_difference([{}, {}], [{}], 1)
    with pytest.raises(DataError, match="0 seeds"):
        pooled_difference([], [], 1)


def test_only_the_interval_that_resamples_seeds_covers_what_other_seeds_would_give() -> None:
    """40 dialogues of two rows, 8 seeds; truth 0.3, sd .5 between dialogues, .3 between seeds, .5 left over."""
    rng, rows_only, both = np.random.default_rng(3), 0, 0
    keys = [f"{row // 2}:{row % 2}" for row in range(80)]
    for trial in range(100):
        of_seeds = rng.normal(scale=0.3, size=8)
        of_rows = np.repeat(rng.normal(scale=0.5, size=40), 2)
        values = 0.3 + of_rows[:, None] + of_seeds + rng.normal(scale=0.5, size=(80, 8))
        a = [dict(zip(keys, map(float, column), strict=True)) for column in values.T]
        found = pooled_difference(a, [dict.fromkeys(keys, 0.0)] * 8, trial, cluster=lambda key: key.split(":")[0])
        assert found.paired.low is not None and found.paired.high is not None and found.low is not None and found.high is not None
        rows_only += found.paired.low <= 0.3 <= found.paired.high
        both += found.low <= 0.3 <= found.high
    assert 0.86 <= both / 100 <= 1.0
    assert rows_only < both - 5


def test_pass_hat_and_pass_at_by_hand() -> None:
    """2, 4 and 1 successes of 4, k = 2.  All of them: 1/6, 1, 0.  Any of them: 1 - 1/6, 1, 1 - 3/6."""
    rows = {"x": [True, False, True, False], "y": [True] * 4, "z": [False, True, False, False]}
    assert pass_hat(rows, 2, 1).mean == pytest.approx((1 / 6 + 1 + 0) / 3, abs=1e-6)
    assert pass_at(rows, 2, 1).mean == pytest.approx((5 / 6 + 1 + 1 / 2) / 3, abs=1e-6)
    assert pass_hat(rows, 1, 1).mean == pass_at(rows, 1, 1).mean == pytest.approx(7 / 12, abs=1e-6)
    assert pass_hat(rows, 4, 1).mean == pytest.approx(1 / 3, abs=1e-6)


def test_both_estimates_are_unbiased() -> None:
    """Over all 16 equally likely outcomes of four fair repeats: both of two 1/4, any of two 3/4."""
    rows = {str(place): outcome for place, outcome in enumerate(product([False, True], repeat=4))}
    assert pass_hat(rows, 2, 1).mean == pytest.approx(0.25)
    assert pass_at(rows, 2, 1).mean == pytest.approx(0.75)


def test_pass_hat_resamples_dialogues_and_knows_its_range() -> None:
    rows = {f"{i // 2}:{i % 2}": [True, True] for i in range(20)}
    found = pass_hat(rows, 2, 1, cluster=lambda key: key.split(":")[0])
    assert (found.mean, found.rows, found.clusters, found.high) == (1.0, 20, 10, 1.0)
    assert found.low is not None and found.low < 0.75  # 10 dialogues without a failure: the binomial bound, not certainty


def test_more_repeats_than_there_are_cannot_be_asked_for() -> None:
    for measure in (pass_hat, pass_at):
        with pytest.raises(DataError, match="2 repeats for k = 3") as caught:
            measure({"x": [True] * 3, "y": [True] * 2}, 3, 1)
        assert caught.value.where == "row 'y'" and caught.value.fix
        with pytest.raises(DataError, match="k is 0"):
            measure({"x": [True]}, 0, 1)
