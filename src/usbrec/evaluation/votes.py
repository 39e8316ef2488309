"""How many votes does an LLM judge need?  v sampled votes (Eq. 1 of the paper) against the exact distribution of `choose`.

It works on what a calibration stored, and asks no model.  The v votes are some of those stored, drawn without replacement, where every
reply has as many; else they are drawn from the distribution that `choose` gave, where what lies off the menu makes a vote that cannot be
read.  Neither draw is simulated: the chance of every outcome is known (multivariate hypergeometric, multinomial), so an AUC here is the
mean over all ways to draw the votes, and its interval is of the dialogues alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from usbrec.evaluation.agreement import area, wins
from usbrec.evaluation.calibration import JudgedRow, Verdict
from usbrec.evaluation.metrics import dialogue_of
from usbrec.evaluation.probes import FLOORS, TRUTH
from usbrec.evaluation.stats import Interval, rounded
from usbrec.roles.llm import tally
from usbrec.types import Frozen, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from usbrec.evaluation.agreement import Table

    Floats = NDArray[np.float64]

VOTES = (0, 1, 2, None)
"""What a vote can be; None: it cannot be read."""
Source = Literal["stored", "drawn"]
"""Votes of the model itself, or votes out of the distribution of `choose`."""
Rule = Literal["majority", "mean"]


def majority(votes: Sequence[int | None]) -> float | None:
    """Eq. 1 of the paper, as a judge that votes counts; None: no verdict."""
    return tally(votes, "").value


def average(votes: Sequence[int | None]) -> float | None:
    """The mean of the readable votes; no verdict where the majority has none."""
    readable = [vote for vote in votes if vote is not None]
    return None if majority(votes) is None else sum(readable) / len(readable)


RULES: dict[Rule, Callable[[Sequence[int | None]], float | None]] = {"majority": majority, "mean": average}


@dataclass(frozen=True)
class Ballot:
    """One reply, as a judge's model weighed it."""

    exact: float
    """The expected grade."""
    shares: tuple[float, ...]
    """The chance of each of `VOTES`."""
    votes: tuple[int | None, ...] = ()
    """Those stored; none where nobody voted."""

    @classmethod
    def of(cls, chosen: Score, voted: Score | None, count: int) -> Ballot:
        """From the verdicts by both methods; a reply that rules decided (a grounded judge) has its grade for every vote.

        Args:
            chosen, voted: with a value.
            count: votes of a reply that the model was asked about.
        """
        mass = 1.0 if chosen.menu_mass is None else min(chosen.menu_mass, 1.0)
        grades = chosen.probabilities or tuple(float(grade == chosen.value) for grade in VOTES[:-1])
        votes = () if voted is None else voted.votes or (int(voted.value or 0),) * count
        return cls(exact=chosen.value or 0.0, shares=(*(share * mass for share in grades), 1 - mass), votes=votes)


class Tested(Frozen):
    """Verdicts of one kind: by so many votes and a rule, or the exact ones."""

    votes: int | None
    """None: the expected grade of the exact distribution."""
    rule: Rule | None = None
    source: Source | None = None
    auc: dict[str, Interval]
    """Of the human's reply against each floor."""
    floors: Interval
    """The mean of these; `rows` are those with a human reply and a floor."""
    lost: Interval | None = None
    """`floors` minus that of the exact verdicts, on the same rows."""
    unscored: float = 0.0
    """Share of draws that give no verdict: fewer than half of the votes can be read.  The AUC is of the others."""
    differ: float | None = None
    """How often two independent verdicts on one reply differ."""
    moved: float | None = None
    """Their mean absolute difference."""
    pairs: Source | None = None
    """Where such two come from."""
    tokens: float | None = None
    """Mean of a verdict, its prompt read once; None where no model was asked."""
    tokens_by_call: float | None = None
    """The same if every vote is a call of its own that reads the prompt again."""


class Counted(Frozen):
    """One judge by number of votes."""

    fit: bool
    """As calibrated, by the exact verdicts."""
    replies: int
    """Human replies and floors with a verdict by every method."""
    left_out: int
    """Those without."""
    estimated: int
    """Replies whose distribution the engine could only estimate by sampling."""
    stored: int
    """Votes that every reply has."""
    tested: tuple[Tested, ...]
    """The exact verdicts first."""


class VoteStudy(Frozen):
    """Judges of one data set by number of votes."""

    data: str
    split: str
    judges: dict[str, Counted]


def count_votes(
    chosen: Sequence[JudgedRow], voted: Sequence[JudgedRow], counts: Sequence[int], *, fit: bool = False, seed: int = 0
) -> Counted:
    """One judge's verdicts by each number of votes, and the exact ones.

    Args:
        chosen: its verdicts by `choose`.
        voted: those by `vote` of the same judge on the same rows; empty: all votes are drawn.
        counts: the numbers of votes.
        fit: is it fit to judge, by the calibration?
        seed: of the bootstrap.
    """
    import numpy as np

    cast = ballots(chosen, voted)
    flat = [ballot for of_probe in cast.values() for ballot in of_probe.values()]
    place = {both: at for at, both in enumerate((probe, key) for probe, of_probe in cast.items() for key in of_probe)}
    keys = {floor: sorted(cast[TRUTH].keys() & cast[floor].keys()) for floor in FLOORS}
    where = {floor: ([place[TRUTH, key] for key in of], [place[floor, key] for key in of]) for floor, of in keys.items()}
    dialogues = {floor: [dialogue_of(key) for key in of] for floor, of in keys.items()}

    def curves(won: Callable[[list[int], list[int]], Floats]) -> dict[str, Table]:
        return {floor: (won(*where[floor]), dialogues[floor]) for floor in FLOORS}

    exact = np.array([ballot.exact for ballot in flat])
    best = curves(lambda right, wrong: wins(exact[right], exact[wrong]))
    stored = min((len(ballot.votes) for ballot in flat), default=0)
    tested = [Tested(votes=None, **_areas(best, seed), **_cost(chosen, 1))]
    for count in counts:
        source: Source = "stored" if count <= stored else "drawn"
        pairs: Source = "stored" if 2 * count <= stored else "drawn"
        for rule in RULES:
            drawn = lottery(flat, count, rule, source)
            found = curves(drawn.wins)
            lost = [(won - best[floor][0], names) for floor, (won, names) in found.items()]
            if pairs == "stored":
                differ, moved = again(flat, count, rule)
            else:
                differ, moved = (drawn if source == "drawn" else lottery(flat, count, rule, "drawn")).again()
            tested.append(
                Tested(
                    votes=count, rule=rule, source=source, lost=area(lost, seed, (-1, 1)), unscored=drawn.unscored, differ=differ,
                    moved=moved, pairs=pairs, **_areas(found, seed), **_cost(voted or chosen, count),
                )
            )  # fmt: skip
    asked = [v for v in _plain(chosen) if v.probe in cast]
    estimated = sum(v.score.reason.startswith("estimated") for v in asked)
    left_out = len(asked) - len(flat)
    return Counted(fit=fit, replies=len(flat), left_out=left_out, estimated=estimated, stored=stored, tested=tuple(tested))


def ballots(chosen: Sequence[JudgedRow], voted: Sequence[JudgedRow]) -> dict[str, dict[str, Ballot]]:
    """Probe -> row key -> ballot, of the human's reply and the floors, where every method that was asked gave a verdict."""
    others = {(row.key, v.probe): v.score for row in voted for v in row.verdicts if not v.variant and v.score.scored}
    count = max((len(score.votes) for score in others.values()), default=0)
    found: dict[str, dict[str, Ballot]] = {probe: {} for probe in (TRUTH, *FLOORS)}
    for row in chosen:
        for v in row.verdicts:
            other = others.get((row.key, v.probe))
            if v.variant or v.probe not in found or not v.score.scored or v.score.menu_mass == 0 or (voted and other is None):
                continue
            found[v.probe][row.key] = Ballot.of(v.score, other, count)
    return found


@dataclass(frozen=True)
class Lottery:
    """The verdicts that a number of votes can give to each of several replies."""

    values: Floats
    """(verdicts): those there can be, ascending."""
    chances: Floats
    """(replies, verdicts): each row sums to 1, over the draws that give a verdict."""
    unscored: float
    """Mean share of the draws that give none."""

    def wins(self, right: list[int], wrong: list[int]) -> Floats:
        """(right, wrong): the chance that the one is scored above the other, ties counting half."""
        won: Floats = self.chances[right] @ wins(self.values, self.values) @ self.chances[wrong].T
        return won

    def again(self) -> tuple[float | None, float | None]:
        """How often two independent verdicts on one reply differ, and their mean absolute difference."""
        import numpy as np

        if not len(self.chances):
            return None, None
        apart = np.abs(np.subtract.outer(self.values, self.values))
        differ = 1 - (self.chances**2).sum(axis=1)
        moved = ((self.chances @ apart) * self.chances).sum(axis=1)
        return rounded(float(differ.mean())), rounded(float(moved.mean()))


def lottery(cast: Sequence[Ballot], count: int, rule: Rule, source: Source) -> Lottery:
    """The chance of each verdict by `count` votes.

    Args:
        source: `stored`: every ballot has at least `count` votes.
    """
    import numpy as np

    splits = np.array(
        [(a, b, c, count - a - b - c) for a in range(count + 1) for b in range(count + 1 - a) for c in range(count + 1 - a - b)]
    )
    verdicts = [RULES[rule]([vote for vote, times in zip(VOTES, split, strict=True) for _ in range(times)]) for split in splits]
    scored = [at for at, value in enumerate(verdicts) if value is not None]
    values, place = np.unique(np.array([value for value in verdicts if value is not None]), return_inverse=True)
    chance = _taken(splits[scored]) if source == "stored" else _drawn(splits[scored])
    found = np.array([np.bincount(place, weights=chance(ballot), minlength=len(values)) for ballot in cast]).reshape(-1, len(values))
    sums = found.sum(axis=1, keepdims=True)
    return Lottery(values=values, chances=found / sums, unscored=rounded(float(1 - sums.mean())) if len(cast) else 0.0)


def _taken(splits: NDArray[np.int_]) -> Callable[[Ballot], Floats]:
    """The chance of each split into `VOTES` when votes are taken from those stored and not put back: multivariate hypergeometric."""
    from scipy import special

    def chance(ballot: Ballot) -> Floats:
        there = Counter(ballot.votes)
        ways: Floats = special.comb([there[vote] for vote in VOTES], splits).prod(axis=1) / special.comb(len(ballot.votes), splits[0].sum())
        return ways

    return chance


def _drawn(splits: NDArray[np.int_]) -> Callable[[Ballot], Floats]:
    """The same when each vote is drawn by the ballot's shares: multinomial."""
    import numpy as np
    from scipy import special

    orders: Floats = special.factorial(splits[0].sum()) / special.factorial(splits).prod(axis=1)

    def chance(ballot: Ballot) -> Floats:
        found: Floats = orders * (np.array(ballot.shares) ** splits).prod(axis=1)
        return found

    return chance


def again(cast: Sequence[Ballot], count: int, rule: Rule) -> tuple[float | None, float | None]:
    """As `Lottery.again`, of stored votes: the first `count` of a reply against the next, and so on; each is a verdict of its own."""
    apart = []
    for ballot in cast:
        lots = [ballot.votes[at : at + count] for at in range(0, len(ballot.votes) - count + 1, count)]
        for one, other in zip(lots[::2], lots[1::2], strict=False):
            a, b = RULES[rule](one), RULES[rule](other)
            if a is not None and b is not None:
                apart.append(abs(a - b))
    if not apart:
        return None, None
    return rounded(sum(change > 0 for change in apart) / len(apart)), rounded(sum(apart) / len(apart))


def _areas(tables: Mapping[str, Table], seed: int) -> dict[str, Any]:
    return {"auc": {floor: area([table], seed) for floor, table in tables.items()}, "floors": area(list(tables.values()), seed)}


def _cost(rows: Sequence[JudgedRow], votes: int) -> dict[str, Any]:
    """Tokens of a verdict by so many votes, its prompt read once and read for each; by what was generated a call."""
    asked = [v for v in _plain(rows) if v.calls]
    if not asked:
        return {}
    prompt = sum(v.prompt_tokens for v in asked) / len(asked)
    said = sum(v.completion_tokens / v.calls for v in asked) / len(asked)
    return {"tokens": rounded(prompt + votes * said), "tokens_by_call": rounded(votes * (prompt + said))}


def _plain(rows: Sequence[JudgedRow]) -> list[Verdict]:
    return [v for row in rows for v in row.verdicts if not v.variant]
