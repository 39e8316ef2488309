"""What a search has found so far: branches, their values, and what the unknown could still make of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from usbrec.linking import Linker
from usbrec.types import Candidate, Message, Profile, Score, SearchNode, SearchTrace

Rule = Literal["mean", "max"]
BEST = 2.0
"""The highest grade."""


@dataclass(eq=False)
class Branch:
    """A reply under search: a candidate, or one that was played after a candidate."""

    text: str
    items: tuple[str, ...] = ()
    heard: str = ""
    """What the internal seeker said before it; of a candidate nothing."""
    count: int = 1
    """Samples that offered the same."""
    verdicts: list[Score] = field(default_factory=list)
    """One, or with votes spread over rounds, one a round."""
    children: list[Branch] = field(default_factory=list)
    pending: bool = False
    """The work on this reply, or below it, is not finished."""
    awaiting: bool = False
    """Replies may still be played after this one."""
    out: bool = False
    """Eliminated: judged by less evidence than those that stayed."""
    note: str = ""

    def hold(self, *, awaiting: bool = True) -> None:
        """Work on it begins."""
        self.pending, self.awaiting = True, awaiting

    def settle(self) -> None:
        """The work on it is over."""
        self.pending = self.awaiting = False

    @property
    def score(self) -> Score | None:
        """The verdict; of several the mean, with all votes."""
        if len(self.verdicts) < 2:
            return self.verdicts[0] if self.verdicts else None
        values = [verdict.value for verdict in self.verdicts if verdict.value is not None]
        votes = tuple(vote for verdict in self.verdicts for vote in verdict.votes)
        reason = f"mean of {len(values)} rounds of votes"
        return self.verdicts[0].model_copy(update={"value": _mean(values), "votes": votes, "reason": reason})

    def value(self, rule: Rule) -> float | None:
        """Backed up: see `back_up`."""
        return back_up(self.score.value if self.score else None, [child.value(rule) for child in self.children], rule)

    def bounds(self, rule: Rule, *, noisy: bool) -> tuple[float, float]:
        """The least and the most that `value` can still become; a reply that gets no verdict is worth less than any other.

        Args:
            noisy: a second verdict may differ from the first.
        """
        if not self.pending:
            value = self.value(rule)
            return (-math.inf, -math.inf) if value is None else (value, value)
        own = self.score.value if self.score and not noisy else None
        low, high = (0.0, BEST) if own is None else (own, own)
        if self.awaiting:
            below = [(0.0, BEST)]
        else:
            below = [bounds for child in self.children if (bounds := child.bounds(rule, noisy=noisy))[1] >= 0]
        if not below:
            return low, high
        lows, highs = [least for least, _ in below], [most for _, most in below]
        if rule == "max":
            return max(low, *lows), max(high, *highs)
        return (low + sum(lows) / len(lows)) / 2, (high + sum(highs) / len(highs)) / 2

    def node(self, rule: Rule) -> SearchNode:
        """For the record."""
        below = tuple(child.node(rule) for child in self.children)
        return SearchNode(heard=self.heard, text=self.text, score=self.score, value=self.value(rule), children=below)

    def line(self) -> tuple[Message, ...]:
        """What was played after this reply, along the first children."""
        if not self.children:
            return ()
        child = self.children[0]
        return (Message(side="seeker", text=child.heard), Message(side="recommender", text=child.text), *child.line())


@dataclass
class Tree:
    """All candidates of one searched reply, in the order in which they were asked for."""

    linker: Linker
    rule: Rule
    branches: dict[tuple[str, ...], Branch] = field(default_factory=dict)
    profile: Profile | None = None
    noisy: bool = False
    """The judge votes: more verdicts may change a score."""
    drawing: bool = True
    """More candidates may come."""

    def add(self, text: str) -> Branch | None:
        """A new candidate; None where one that offers the same is there: then that one counts once more."""
        items = self.linker.items(text)
        name = items or ("", " ".join(text.lower().split()))
        if name in self.branches:
            self.branches[name].count += 1
            return None
        branch = self.branches[name] = Branch(text=text, items=items)
        return branch

    @property
    def candidates(self) -> list[Branch]:
        return list(self.branches.values())

    def vote(self, branch: Branch, consensus: float) -> float:
        """The model's own vote: the candidate's share of the samples."""
        return consensus * branch.count / sum(b.count for b in self.candidates)

    def worth(self, branch: Branch, consensus: float) -> float | None:
        """Value and the model's own vote."""
        value = branch.value(self.rule)
        return None if value is None else value + self.vote(branch, consensus)

    def decided(self, consensus: float) -> bool:
        """Can no candidate overtake the leader, whatever is still to come?"""
        if self.drawing or not self.branches:
            return False
        if len(self.branches) == 1:
            return True
        shares = [self.vote(b, consensus) for b in self.candidates]
        bounds = [b.bounds(self.rule, noisy=self.noisy) for b in self.candidates]
        lows = [low + share for (low, _), share in zip(bounds, shares, strict=True)]
        leader = max(range(len(lows)), key=lambda index: lows[index])
        return all(
            high + share < lows[leader] for index, ((_, high), share) in enumerate(zip(bounds, shares, strict=True)) if index != leader
        )

    def best(self, consensus: float) -> int | None:
        """The candidate to be said; ties go to the one sampled more often, then to the earlier one; None where nothing has a value."""
        ranked = self.ranked([branch for branch in self.candidates if not branch.out], consensus)
        found = next((branch for branch in ranked if branch.value(self.rule) is not None), None)
        return None if found is None else self.candidates.index(found)

    def ranked(self, branches: Sequence[Branch], consensus: float) -> list[Branch]:
        """The best first, those without a value last."""

        def key(branch: Branch) -> tuple[float, int]:
            worth = self.worth(branch, consensus)
            return (-math.inf if worth is None else worth, branch.count)

        return sorted(branches, key=key, reverse=True)  # stable: equals stay in their order

    def record(self, branch: Branch) -> Candidate:
        return Candidate(
            text=branch.text, items=branch.items, score=branch.score, value=branch.value(self.rule), count=branch.count,
            continuation=branch.line(), children=tuple(child.node(self.rule) for child in branch.children), note=branch.note,
        )  # fmt: skip


def trace(tree: Tree, chosen: int, strategy: str, **others: object) -> SearchTrace:
    """The tree for the record."""
    profile = tree.profile or Profile(summary="")
    candidates = tuple(tree.record(branch) for branch in tree.candidates)
    return SearchTrace.model_validate({"profile": profile, "candidates": candidates, "chosen": chosen, "strategy": strategy, **others})


def merge(texts: Sequence[str], linker: Linker) -> list[Candidate]:
    """Candidates by what they offer: the same items in the same order are one (the first wording stays), without items the same words."""
    tree = Tree(linker, "mean")
    for text in texts:
        tree.add(text)
    return [tree.record(branch) for branch in tree.candidates]


def back_up(own: float | None, children: Sequence[float | None], rule: Rule) -> float | None:
    """A node's value: its own score and its children's values, by `rule`.

    With `mean` the children count as one: (own + mean(children)) / 2.  Unscored nodes drop out; None where nothing was scored.

    >>> back_up(1.0, [0.0, 2.0], "mean"), back_up(1.0, [0.0, 2.0], "max"), back_up(None, [None], "mean")
    (1.0, 2.0, None)
    """
    known = [value for value in children if value is not None]
    below = [max(known) if rule == "max" else sum(known) / len(known)] if known else []
    values = below if own is None else [own, *below]
    if not values:
        return None
    return max(values) if rule == "max" else sum(values) / len(values)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
