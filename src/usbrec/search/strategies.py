"""The strategies by name: each is given the work on one reply and spends it its own way.

To add one: write an async function of `Work` that draws candidates and has them judged, put it under its name here, and its settings, a
class, into `SearchSettings`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from usbrec.search.settings import JudgedSearch
from usbrec.search.tree import Branch
from usbrec.search.work import Work
from usbrec.seeds import seed_of
from usbrec.tasks import together


async def majority(work: Work) -> None:
    """Candidates only; how often each was drawn decides."""
    async with together() as group:
        await work.draw(group)


async def judged(work: Work) -> None:
    """Every candidate judged, and played forward where the settings look ahead."""
    depth, width = work.settings.ahead

    def found(group: asyncio.TaskGroup, branch: Branch) -> None:
        work.begin_branch(group, branch, depth=depth, width=width)

    async with together() as group:
        _ = work.roles  # asked for at once
        await work.draw(group, found)


async def halving(work: Work) -> None:
    """Sequential halving: each round gives every candidate left one more line of look-ahead, and one more share of the votes where the
    judge votes; the better half stays.  Without look-ahead and votes one round says all."""
    settings, (depth, _), _ = work.settings, work.settings.ahead, work.roles
    assert isinstance(settings, JudgedSearch)
    async with together() as group:
        await work.draw(group, lambda _, branch: branch.hold())
    left = work.tree.candidates
    rounds = max(1, math.ceil(math.log2(max(len(left), 1))))
    voting = work.tree.noisy
    for number in range(rounds):
        votes = _share(settings.votes, rounds, number) if voting else None
        async with together() as group:
            for branch in left:
                group.create_task(_round(work, branch, number, votes))
        left = work.tree.ranked(left, settings.consensus)
        keep = -(-len(left) // 2)
        for branch in left[keep:]:
            branch.settle()
            branch.out = True
        left = left[:keep]
        work.check()
        if len(left) == 1 or not (depth or voting):
            break
    for branch in left:
        branch.settle()
    work.check()


def _share(votes: int, rounds: int, number: int) -> int | None:
    """Votes of a round: equal shares, at least one, what does not divide first."""
    return max(1, votes // rounds + (number < votes % rounds))


async def _round(work: Work, branch: Branch, number: int, votes: int | None) -> None:
    seed = seed_of(work.seed, "branch", branch.text, "round", number)
    said = work.dialogue.say("recommender", branch.text)
    async with together() as group:
        if number == 0 or votes is not None:
            group.create_task(work.quietly(branch, work.judge(branch, said, depth=0, seed=seed, votes=votes)))
        if depth := work.settings.ahead[0]:
            group.create_task(work.quietly(branch, work.play(branch, said, depth=depth, width=1, seed=seed, more=True)))


STRATEGIES: dict[str, Callable[[Work], Awaitable[None]]] = {
    "best-of-n": judged, "majority": majority, "chain": judged, "tree": judged, "halving": halving,
}  # fmt: skip
