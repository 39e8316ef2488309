"""What a set of rows can show: against hand values, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from usbrec.evaluation.power import rows_needed, smallest_detectable, standard_error
from usbrec.evaluation.stats import paired_difference


def test_the_standard_error_of_single_rows_is_the_textbook_one() -> None:
    """0, 1, 2, 3: sd 1.29099 over the root of 4."""
    assert standard_error([0, 1, 2, 3]) == pytest.approx(0.645497, abs=1e-6)


def test_the_clustered_standard_error_by_hand() -> None:
    """Two equal dialogues with means 1 and 3: that of two numbers, 1.  Sizes 2 and 1, sums 3 and 6, mean 3: residuals -3 and 3,
    root of 2/1 x 18, over 3 rows: 2."""
    assert standard_error([1, 1, 3, 3], ["a", "a", "b", "b"]) == pytest.approx(1.0)
    assert standard_error([1, 2, 6], ["a", "a", "b"]) == pytest.approx(2.0)


def test_no_spread_and_no_second_cluster_are_not_certainty() -> None:
    assert standard_error([]) is None
    assert standard_error([1.0]) is None
    assert standard_error([1.0, 2.0], ["a", "a"]) is None
    assert standard_error([0.1, 0.1, 0.1]) is None


def test_the_smallest_detectable_difference_by_hand() -> None:
    """z(.975) = 1.959964, z(.8) = .841621, z(.9) = 1.281552, z(.995) = 2.575829."""
    assert smallest_detectable(0.1) == pytest.approx(0.2801585, abs=1e-6)
    assert smallest_detectable(0.1, power=0.9) == pytest.approx(0.3241516, abs=1e-6)
    assert smallest_detectable(0.1, alpha=0.01) == pytest.approx(0.3417451, abs=1e-6)


def test_half_the_difference_needs_four_times_the_rows() -> None:
    assert rows_needed(0.5, 0.1, 100) == 32  # 100 x (.2801585 / .5)^2 = 31.395
    assert rows_needed(0.25, 0.1, 100) == 126  # 125.58
    assert rows_needed(-0.25, 0.1, 100) == 126


def test_a_difference_of_that_size_is_found_about_four_times_in_five() -> None:
    """60 dialogues of two rows that share a part of their difference: variance of a dialogue's mean 1 + .5 / 2, so the error is known."""
    rng = np.random.default_rng(8)
    true = smallest_detectable((1.25 / 60) ** 0.5)
    dialogues = [str(row // 2) for row in range(120)]
    found = 0
    for _ in range(1000):
        values = true + np.repeat(rng.normal(size=60), 2) + rng.normal(scale=0.5**0.5, size=120)
        error = standard_error(list(values), dialogues)
        assert error is not None
        found += abs(values.mean()) > 1.96 * error
    assert 0.76 <= found / 1000 <= 0.84


def test_the_permutation_test_has_that_power_too() -> None:
    rng = np.random.default_rng(9)
    true, found = smallest_detectable(40**-0.5), 0
    for trial in range(100):
        a = {str(row): float(value) for row, value in enumerate(true + rng.normal(size=40))}
        p = paired_difference(a, dict.fromkeys(a, 0.0), trial).p
        found += p is not None and p < 0.05
    assert 0.70 <= found / 100 <= 0.90
