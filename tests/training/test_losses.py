"""Losses against values derived by hand, and against TRL's."""

from __future__ import annotations

import math

import pytest
import torch

from usbrec.training import losses


def logits_of(rows):
    """Logits whose softmax is exactly the given probabilities."""
    return torch.tensor(rows).log()


def test_nll_by_hand():
    """Two sequences; targets' probabilities 1/2 and 1/4 in the first (its last position is ignored), 1/8 in the second.

    nll = (ln 2 + ln 4 + ln 8) / 3 = 6 ln 2 / 3 = 2 ln 2.
    """
    half, quarter, eighth = [0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.125, 0.375, 0.5]
    logits = logits_of([[half, quarter, eighth], [eighth, half, half]])
    labels = torch.tensor([[0, 1, -100], [0, -100, -100]])
    assert losses.nll(logits, labels).item() == pytest.approx(2 * math.log(2), rel=1e-6)
    sums, counts = losses.sequence_log_probabilities(logits, labels)
    assert sums.tolist() == pytest.approx([-3 * math.log(2), -3 * math.log(2)], rel=1e-6)
    assert counts.tolist() == [2, 1]


def test_nll_equals_the_cross_entropy_that_sft_trainers_use():
    torch.manual_seed(0)
    logits = torch.randn(3, 7, 11)
    labels = torch.randint(0, 11, (3, 7)).masked_fill(torch.rand(3, 7) < 0.4, -100)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    assert losses.nll(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_sums_by_row_agree_with_whole_sequences():
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5, 7), torch.tensor([[1, 2, -100, 3, 4], [-100, -100, 6, -100, 0], [5, 5, 5, 5, 5]])
    wanted = labels != -100
    flat = losses.token_log_probabilities(logits[wanted], labels[wanted])
    sums, counts = losses.sums_by_row(flat, wanted.nonzero()[:, 0], 3)
    expected, expected_counts = losses.sequence_log_probabilities(logits, labels)
    assert torch.allclose(sums, expected)
    assert torch.equal(counts, expected_counts)


def test_simpo_by_hand():
    """beta 2, gamma 1, chosen -1, rejected -2: the margin is 2 x (-1 + 2) - 1 = 1, the loss ln(1 + e^-1) = 0.313262.

    A second pair the other way round: margin 2 x (-2 + 1) - 1 = -3, loss ln(1 + e^3) = 3.048587.  Rewards are beta times the means.
    """
    each, good, bad = losses.simpo(torch.tensor([-1.0, -2.0]), torch.tensor([-2.0, -1.0]), beta=2, gamma=1)
    assert each.tolist() == pytest.approx([0.3132617, 3.0485874], rel=1e-5)
    assert good.tolist() == [-2, -4]
    assert bad.tolist() == [-4, -2]


def test_simpo_smoothing_and_hinge_by_hand():
    """Margin 1 as above.  Smoothing 0.1: 0.9 x 0.313262 + 0.1 x ln(1 + e) = 0.9 x 0.313262 + 0.1 x 1.313262 = 0.413262.

    Hinge: max(0, 1 - 1) = 0; for a margin of -3: 4.
    """
    chosen, rejected = torch.tensor([-1.0, -2.0]), torch.tensor([-2.0, -1.0])
    smooth, _, _ = losses.simpo(chosen, rejected, beta=2, gamma=1, label_smoothing=0.1)
    assert smooth[0].item() == pytest.approx(0.4132617, rel=1e-5)
    hinge, _, _ = losses.simpo(chosen, rejected, beta=2, gamma=1, kind="hinge")
    assert hinge.tolist() == [0, 4]


def test_simpo_gradient_by_hand():
    """d loss / d chosen = -beta x sigmoid(-margin); margin 1, beta 2: -2 x 0.268941 = -0.537883; for the rejected its negative."""
    chosen, rejected = torch.tensor([-1.0], requires_grad=True), torch.tensor([-2.0], requires_grad=True)
    losses.simpo(chosen, rejected, beta=2, gamma=1)[0].sum().backward()
    assert chosen.grad.item() == pytest.approx(-0.5378828, rel=1e-5)
    assert rejected.grad.item() == pytest.approx(0.5378828, rel=1e-5)
