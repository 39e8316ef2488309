"""Rankers: from a dialogue to an ordered list of items, for recommenders that speak in sentences and for the tables beside them.

| ranker        | orders                                                    | never offers                                       |
|---------------|-----------------------------------------------------------|----------------------------------------------------|
| `Sampled`     | what n sampled replies name, by how many of them do       | what was named already (unless `new_only` is off)  |
| `Retrieved`   | the retriever's items, by affinity                        | what was named already                             |
| `Cooccurring` | items by co-occurrence with the liked ones (docs/method.md) | that, nor what no training dialogue likes          |
| `Popular`     | items by the number of training dialogues that like them  | the same                                           |

Like every recommender, a ranker knows the dialogue and nothing else.  An offer must be new, so a target that the dialogue has named already
(a leak) is out of reach: on rows with leaks Recall has a ceiling below 1, and the measures without leaks are the fair ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from usbrec.cooccurrence import Cooccurrence
from usbrec.errors import EngineReply, UsbrecError
from usbrec.evaluation.ranking import DEPTH, Ranking
from usbrec.linking import Linker
from usbrec.roles import Profiler, ScoreReplies
from usbrec.roles.catalogue import Retriever, named_items
from usbrec.seeds import seed_of
from usbrec.types import Dialogue, Example, Outcome


class Ranker(Protocol):
    """Orders items for a dialogue."""

    async def rank(self, dialogue: Dialogue, *, k: int, seed: int) -> tuple[str, ...]:
        """At most k distinct item ids, the best first; empty where there is nothing to offer.

        Raises:
            UsbrecError: no ranking could be had.
        """
        ...


def rank_samples(
    texts: Sequence[str], logprobs: Sequence[float | None] | None, linker: Linker, exclude: Collection[str] = ()
) -> tuple[str, ...]:
    """The items that sampled replies to one dialogue name, the surest first.

    A reply counts for its first item that is not excluded, as everywhere (`roles.catalogue.offer`).  Items are
    ordered by the number of replies that name them (self-consistency, Wang et al. 2023), then by the mean log-probability of those replies,
    then by first appearance.

    Args:
        texts: the replies as they were drawn; equal ones each count.
        logprobs: one a reply, on any one scale; None for a reply whose log-probability is unknown, which the mean skips.  An item of which
            none is known comes after its equals.  None for all: nothing is known.
        exclude: ids that are no offers: give what the dialogue has named, so that an offer is new; leave it empty where naming again what
            was named (a leaked target, say) is to count.
    """
    named: dict[str, list[float | None]] = {}
    for text, logprob in zip(texts, [None] * len(texts) if logprobs is None else logprobs, strict=True):
        offered = next((item for item in linker.items(text) if item not in exclude), None)
        if offered is not None:
            named.setdefault(offered, []).append(logprob)

    def order(item: str) -> tuple[int, float]:
        known = [logprob for logprob in named[item] if logprob is not None]
        return -len(named[item]), -sum(known) / len(known) if known else inf

    return tuple(sorted(named, key=order))  # stable: what is equal stays in order of appearance


@dataclass(frozen=True)
class Sampled:
    """A recommender's own ranking: n replies are drawn and `rank_samples` orders what they name."""

    recommender: ScoreReplies
    linker: Linker
    n: int = 20
    """Replies; at most as many items, usually far fewer than k."""
    temperature: float = 0.5
    new_only: bool = True
    """Leave out what the dialogue has named."""

    async def rank(self, dialogue: Dialogue, *, k: int, seed: int) -> tuple[str, ...]:
        drawn = await self.recommender.sample_scored(dialogue, n=self.n, temperature=self.temperature, seed=seed)
        if not drawn:
            raise EngineReply(f"all of {self.n} sampled replies were empty")
        texts, logprobs = zip(*drawn, strict=True)
        return rank_samples(texts, logprobs, self.linker, named_items(dialogue, self.linker) if self.new_only else ())[:k]


@dataclass(frozen=True)
class Retrieved:
    """The retriever's items."""

    retriever: Retriever

    async def rank(self, dialogue: Dialogue, *, k: int, seed: int) -> tuple[str, ...]:
        return tuple(await self.retriever.items(dialogue, k=k))


@dataclass(frozen=True)
class Cooccurring:
    """The collaborative baseline: what co-occurs with the liked items; the most popular where nothing was liked."""

    cooccurrence: Cooccurrence
    profiler: Profiler

    async def rank(self, dialogue: Dialogue, *, k: int, seed: int) -> tuple[str, ...]:
        profile = await self.profiler.profile(dialogue, seed=seed)
        return tuple(item for item, _ in self.cooccurrence.rank(profile.likes, {*profile.mentioned, *profile.dislikes}, k))


@dataclass(frozen=True)
class Popular:
    """The same list for everybody, without what this dialogue has named."""

    cooccurrence: Cooccurrence
    linker: Linker

    async def rank(self, dialogue: Dialogue, *, k: int, seed: int) -> tuple[str, ...]:
        return tuple(self.cooccurrence.most_popular(named_items(dialogue, self.linker), k))


def prefixes(outcome: Outcome) -> tuple[Dialogue, ...]:
    """What the recommender had before it at each of its turns of a played conversation; the first is the example's dialogue.

    One for each of `outcome.turns`: none for a row that broke off.
    """
    messages = outcome.dialogue.messages
    spoke = (index for index in range(outcome.start, len(messages)) if messages[index].side == "recommender")
    return tuple(Dialogue(messages=messages[:index]) for index in spoke)


@dataclass(frozen=True)
class RankRows:
    """One ranker's way through rows: of examples, the static ranking; of an arm's outcomes, one at every turn of the conversation too."""

    name: str
    ranker: Ranker
    seed: int
    k: int = DEPTH

    async def __call__(self, row: Example | Outcome) -> Ranking:
        seed = seed_of(self.seed, "rank", row.key)  # the same for every ranker: differences are paired
        broken = row.error if isinstance(row, Outcome) else ""
        played = prefixes(row) if isinstance(row, Outcome) and not broken else ()
        start = row.start if isinstance(row, Outcome) else len(row.dialogue)
        heard = (Dialogue(messages=row.dialogue.messages[:start]), *played[1:])
        found = [await self.ranker.rank(each, k=self.k, seed=seed_of(seed, turn)) for turn, each in enumerate(heard)]
        return Ranking(
            key=row.key, ranker=self.name, static=found[0], interactive=tuple(found) if played else None,
            targets=row.targets, leaks=row.leaks, error=f"the conversation broke off: {broken}" if broken else "",
        )  # fmt: skip

    def failed(self, row: Example | Outcome, fault: UsbrecError) -> Ranking:
        """The row of a dialogue that could not be ranked."""
        return Ranking(key=row.key, ranker=self.name, static=None, targets=row.targets, leaks=row.leaks, error=str(fault))
