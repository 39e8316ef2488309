"""The two objectives as pure functions on tensors.

Labels are *aligned*: labels[..., t] is the token that logits[..., t] predict; -100 marks a position that does not count.

SimPO (Meng et al., 2024, Eq. 6): with r = beta x mean log-probability per token,
    loss = -log sigmoid(r_chosen - r_rejected - gamma).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100


def token_log_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    """[n, vocabulary] and [n] -> [n]: the log-probability of each target, in fp32 nats."""
    return -functional.cross_entropy(logits.float(), targets, reduction="none")


def sequence_log_probabilities(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """[b, t, vocabulary] and [b, t] -> sum of log-probabilities [b] and number of tokens that count [b]."""
    count = labels != IGNORED
    values = token_log_probabilities(logits.flatten(0, 1), labels.clamp(min=0).flatten()).view_as(labels)
    return (values * count).sum(-1), count.sum(-1)


def sums_by_row(values: Tensor, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Values [n] that belong to rows [n] -> sum [size] and count [size] of each row."""
    sums = torch.zeros(size, dtype=values.dtype, device=values.device).index_add(0, rows, values)
    return sums, torch.bincount(rows, minlength=size)


def nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood over all tokens that count, in nats; shapes as `sequence_log_probabilities`."""
    sums, counts = sequence_log_probabilities(logits, labels)
    return -sums.sum() / counts.sum()


def simpo(
    chosen: Tensor,
    rejected: Tensor,
    *,
    beta: float,
    gamma: float,
    label_smoothing: float = 0.0,
    kind: Literal["sigmoid", "hinge"] = "sigmoid",
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of each pair, and both rewards.

    Args:
        chosen, rejected: mean log-probability per token of each reply [b].
        gamma: the target margin itself, not its ratio to beta.
        label_smoothing: assumed share of pairs that are the wrong way round; not for the hinge.

    Returns:
        losses [b]; chosen rewards [b] and rejected rewards [b], without gradient.
    """
    margin = beta * (chosen - rejected) - gamma
    if kind == "hinge":
        losses = torch.relu(1 - margin)
    else:
        losses = -functional.logsigmoid(margin) * (1 - label_smoothing) - functional.logsigmoid(-margin) * label_smoothing
    return losses, beta * chosen.detach(), beta * rejected.detach()
