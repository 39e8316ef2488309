"""Agreement and AUC against values computed by hand, and alpha against Krippendorff's own published example."""

from __future__ import annotations

import numpy as np
import pytest

from usbrec.evaluation.agreement import agreement, auc, grade, krippendorff


def test_auc_counts_ties_half() -> None:
    right, wrong = {"a": 2.0, "b": 2.0, "c": 1.0}, {"a": 0.0, "b": 1.0, "c": 1.0}
    found = auc(right, wrong, 0)
    assert found.value == pytest.approx((3 + 3 + 1 + 0.5 + 0.5) / 9)  # each right against each wrong: 2>0,1,1 twice; 1>0, 1=1 twice
    assert found.rows == 3
    assert found.low is not None and found.low <= found.value <= (found.high or 0)


def test_auc_of_a_coin_and_of_a_perfect_judge() -> None:
    rows = {f"d{i}:1": float(i % 3) for i in range(60)}
    assert auc(rows, rows, 0).value == 0.5
    perfect = auc(dict.fromkeys(rows, 2.0), dict.fromkeys(rows, 0.0), 0)
    seen = 0.025 ** (1 / 60)  # so large a share of the dialogues is like these at the least (Clopper and Pearson)
    assert (perfect.value, perfect.low, perfect.high) == (1, pytest.approx(seen**2, abs=1e-6), 1)


def test_the_interval_holds_the_truth_where_few_replies_decide() -> None:
    """One right reply in fifty is graded 0: a percentile interval has no width in a third of the samples, and misses the truth there."""
    held, truth = 0, 0.98 + 0.02 / 2
    for trial in range(60):
        rng = np.random.default_rng(trial)
        right = {str(n): 2.0 * bool(rng.random() < 0.98) for n in range(50)}
        found = auc(right, dict.fromkeys(right, 0.0), trial)
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    assert held >= 54


def test_auc_takes_only_rows_that_have_both() -> None:
    found = auc({"a": 2.0, "b": 0.0}, {"a": 0.0, "c": 2.0}, 0)
    assert (found.value, found.rows, found.low) == (1, 1, None)
    assert auc({"a": 1.0}, {"b": 1.0}, 0).value is None


def test_dialogues_are_resampled_whole() -> None:
    """Ten dialogues of thirty equal rows know as little as ten rows."""
    right = {f"d{d}:{t}": float(d % 2) for d in range(10) for t in range(30)}
    wrong = dict.fromkeys(right, 0.5)
    clustered = auc(right, wrong, 0, clusters={key: key.split(":")[0] for key in right})
    alone = auc(right, wrong, 0)
    assert clustered.value == alone.value == 0.5
    assert clustered.high - clustered.low > 3 * (alone.high - alone.low)  # type: ignore[operator]


def test_kappa_by_hand() -> None:
    """Observed .667; by margins (2,2,2) and (2,2,2) chance is .333: kappa (.667 - .333) / (1 - .333) = .5."""
    found = agreement([0, 1, 2, 2, 0, 1], [0, 1, 2, 1, 0, 2])
    assert found.same == pytest.approx(2 / 3, abs=1e-6)
    assert found.cohen == pytest.approx(0.5)
    assert found.cohen_weighted == pytest.approx(1 - 2 / 8)  # cost 1 twice; by chance (1 x 8 + 4 x 4) x 2 / 6 = 8


def test_expected_grades_are_rounded() -> None:
    assert [grade(value) for value in (0.49, 0.5, 1.49, 1.5, 2.0)] == [0, 1, 1, 2, 2]
    assert agreement([0.4, 1.6], [0, 2]).same == 1


def test_no_variation_has_no_kappa() -> None:
    found = agreement([1, 1, 1], [1, 1, 1])
    assert (found.same, found.cohen, found.krippendorff) == (1, None, None)
    assert agreement([], []).replies == 0


def test_alpha_of_the_published_example() -> None:
    """Krippendorff, "Computing Krippendorff's alpha-reliability" (2011): four observers, twelve units, missing data; ordinal .815."""
    n = None
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, n, n, n],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, n, 3],
        [n, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, n],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, n],
    ]
    assert krippendorff(observers) == pytest.approx(0.815, abs=5e-4)
    assert krippendorff([[1, n], [n, 2]]) is None  # nothing was graded twice
