"""Is the policy degenerating?  Measured on held-out rows while it trains (docs/log.md: a wrong pairing rule collapsed it unnoticed).

Two signs: the (chosen) replies of held-out rows become far less likely than at the start, and the greedy replies become all the same, or
repeat themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from usbrec.training.settings import TrainingSettings
from usbrec.types import Frozen


class Health(Frozen):
    """One measurement on the held-out rows."""

    chosen_logp: float
    """Mean log-probability per token of the (chosen) replies, in nats."""
    margin: float | None = None
    """SimPO: mean of chosen minus rejected log-probability per token."""
    accuracy: float | None = None
    """SimPO: share of pairs whose chosen reply is the likelier, per token."""
    same_reply: float | None = None
    """Share of the greedy replies that are the commonest one."""
    repetition: float | None = None
    """Mean over the greedy replies of the share of word trigrams that repeat an earlier one."""
    empty_replies: int = 0
    """Greedy replies without text."""


def same_reply(replies: Sequence[str]) -> float:
    """The commonest reply's share.

    >>> same_reply(["a", "a", "b", "a"])
    0.75
    """
    return Counter(reply.strip().lower() for reply in replies).most_common(1)[0][1] / len(replies)


def repetition(reply: str) -> float:
    """The share of a reply's word trigrams that repeat an earlier one; 0 for fewer than two trigrams.

    >>> repetition("no no no no no")
    0.6666666666666666
    """
    words = reply.lower().split()
    grams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if len(grams) > 1 else 0.0


def faults(now: Health, start: Health, settings: TrainingSettings) -> list[str]:
    """Every limit that is broken, with its numbers; empty for a healthy policy."""
    found = []
    drop = start.chosen_logp - now.chosen_logp
    if not drop <= settings.max_drop:  # also when it is not a number
        found.append(
            f"the held-out replies' log-probability per token fell from {start.chosen_logp:.3f} to {now.chosen_logp:.3f}, "
            f"by more than max_drop {settings.max_drop:g}"
        )
    if now.same_reply is not None and now.same_reply > max(settings.max_same_reply, start.same_reply or 0):
        found.append(f"{now.same_reply:.0%} of the greedy replies are one text, more than max_same_reply {settings.max_same_reply:.0%}")
    if now.repetition is not None and now.repetition > max(settings.max_repetition, start.repetition or 0):
        found.append(f"{now.repetition:.0%} of the greedy replies' trigrams repeat, more than max_repetition {settings.max_repetition:.0%}")
    return found
