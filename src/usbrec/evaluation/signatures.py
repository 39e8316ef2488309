"""The failure signatures themselves: what each one counts in an arm's rows.

A signature maps each row to (faults, things that could have been at fault): its rate is a share, its evidence the rows with faults.  A
conversation with a hit is never at fault for its scores or for offering what the seeker named: the seeker has what they came for.
`failures` names them, says where their thresholds come from, and holds the one that sets two arms side by side.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field
from rapidfuzz import fuzz

from usbrec.evaluation.metrics import hit
from usbrec.evaluation.rankers import prefixes
from usbrec.evaluation.variety import writes_unknown_title
from usbrec.linking import Linker
from usbrec.settings import Settings
from usbrec.types import Frozen, Outcome, Turn

Share = Annotated[float, Field(gt=0, le=1)]
T = TypeVar("T", bound=Hashable)


class FailureSettings(Settings):
    """From which rate on a signature fires, and what counts as a fault.  `failures.SIGNATURES` says why."""

    least: int = Field(default=20, ge=1)
    """On fewer rows or turns than this nothing fires."""
    evidence: int = Field(default=5, ge=0)
    """Keys of so many rows are given."""
    stagnant: Share = 0.85
    """Of the conversations."""
    level: float = 0.05
    """Scores that differ by no more than this are level."""
    one_score: Share = 0.9
    """Of the conversations."""
    loops: Share = 0.1
    """Of the conversations."""
    likeness: float = 90.0
    """From this likeness on (rapidfuzz ratio of the words, 0 to 100) a reply says an earlier one again."""
    short: int = 4
    """Replies of fewer words ("You are welcome") may be said again."""
    circles: Share = 0.5
    """A reply of whose word trigrams at least this share repeats an earlier one goes round in circles."""
    again: Share = 0.1
    """Of the conversations."""
    one_reply: Share = 0.2
    """Of the conversations."""
    one_item: Share = 1 / 3
    """Of the conversations."""
    questions: Share = 0.2
    """Of the conversations."""
    off_catalogue: Share = 0.1
    """Of the turns that offer anything."""
    wrong_years: Share = 0.05
    """Of the years said with a title."""
    own_item: Share = 0.1
    """Of the conversations in which anything is offered."""
    silent: Share = 0.05
    """Of the turns."""
    runaway: Share = 0.2
    """Of the turns."""
    cut_words: int = 20
    """A reply of at least so many words without a closing mark was cut off."""
    longest_words: int = 80
    """A reply of more words is too long to be read in a chat."""
    place: Share = 0.1
    """`high iEval, low recall`: of the way from the most popular item to the ceiling, on the judge's scale."""
    recall_gain: float = 0.01
    """`high iEval, low recall`: so much more Hit@reply than the most popular item's is more."""


@dataclass(frozen=True)
class Case:
    """What a signature reads."""

    rows: Sequence[Outcome]
    """One arm's rows that have a turn."""
    judge: int
    """Index into each turn's scores."""
    long: bool
    """Some conversation of the evaluation, of this arm or another, has a second turn."""
    linker: Linker | None
    settings: FailureSettings
    words: Callable[[str], str]
    """`titles.key_of`, remembered: the arms share their histories."""


class Found(Frozen):
    """What a signature counted."""

    flags: dict[str, tuple[int, int]]
    """Row key -> (faults, things that could have been at fault); rows of which nothing can be said are missing."""
    detail: str = ""
    """Goes behind the sentence; without flags: why nothing was counted."""


_SHORT = Found(flags={}, detail="no conversation has a second turn")
_UNLINKED = Found(flags={}, detail="the catalogue's linker is not given")


def stagnant(case: Case) -> Found:
    """Rows: level scores at every turn and no hit; only rows scored at every turn count."""
    if not case.long:
        return _SHORT
    flags = {}
    for row in case.rows:
        values = [turn.scores[case.judge].value for turn in row.turns]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            level = len(known) > 1 and max(known) - min(known) <= case.settings.level
            flags[row.key] = (int(level and not _hits(row)), 1)
    return Found(flags=flags)


def one_score(case: Case) -> Found:
    """Rows: the commonest last score, to a tenth, of those without a hit; only rows with a last score count."""
    last = {row.key: value for row in case.rows if (value := row.turns[-1].scores[case.judge].value) is not None}
    missed = {row.key: round(last[row.key], 1) for row in case.rows if row.key in last and not _hits(row)}
    found, flags = _commonest({key: [value] for key, value in missed.items()}, last)
    return Found(flags=flags, detail="" if found is None else f": {found:g}")


def loops(case: Case) -> Found:
    """Rows with a reply that goes round in circles or says again what the recommender (the human's turns included) said before."""
    return Found(flags={row.key: (int(_loop(row, case)), 1) for row in case.rows})


def _loop(row: Outcome, case: Case) -> bool:
    settings = case.settings
    for turn, before in zip(row.turns, prefixes(row), strict=True):
        reply = case.words(turn.reply)
        if circles(reply) >= settings.circles:
            return True
        earlier = map(case.words, before.of("recommender"))
        if any(min(len(reply.split()), len(e.split())) >= settings.short and fuzz.ratio(reply, e) >= settings.likeness for e in earlier):
            return True
    return False


def circles(words: str) -> float:
    """The share of word trigrams that repeat an earlier one; 0 for fewer than two trigrams.

    >>> circles("no no no no")
    0.5
    """
    each = words.split()
    grams = list(zip(each, each[1:], each[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if len(grams) > 1 else 0.0


def again(case: Case) -> Found:
    """Rows in which two turns name the same item: the conversation went on, so it had not been taken up."""
    if not case.long:
        return _SHORT
    flags = {}
    for row in case.rows:
        offered = [item for turn in row.turns for item in set(turn.titles)]
        flags[row.key] = (int(len(set(offered)) < len(offered)), 1)
    return Found(flags=flags)


def one_reply(case: Case) -> Found:
    """Rows with the commonest reply, by its words."""
    said = {row.key: [case.words(turn.reply) for turn in row.turns] for row in case.rows}
    return Found(flags=_commonest(said, said)[1])


def one_item(case: Case) -> Found:
    """Rows with the commonest item."""
    offered = {row.key: [item for turn in row.turns for item in turn.titles] for row in case.rows}
    item, flags = _commonest(offered, offered)
    return Found(flags=flags, detail="" if item is None else f" ({item})")


def questions(case: Case) -> Found:
    """Rows of two turns and more that ask in each and offer in none; one question may be the right thing to say."""
    if not case.long:
        return _SHORT

    def asks(turn: Turn) -> bool:
        offers = turn.titles or (case.linker is not None and writes_unknown_title(turn.reply, case.linker))
        return not offers and "?" in turn.reply

    return Found(flags={row.key: (int(len(row.turns) > 1 and all(map(asks, row.turns))), 1) for row in case.rows})


def off_catalogue(case: Case) -> Found:
    """Turns that write a title of no item; turns that link or write a title count."""
    if case.linker is None:
        return _UNLINKED
    flags = {}
    for row in case.rows:
        unknown = [writes_unknown_title(turn.reply, case.linker) for turn in row.turns]
        offers = sum(one or bool(turn.titles) for one, turn in zip(unknown, row.turns, strict=True))
        if offers:
            flags[row.key] = (sum(unknown), offers)
    return Found(flags=flags)


def wrong_years(case: Case) -> Found:
    """Years said in brackets behind a title that are not the catalogue's (`Linker.years`)."""
    if case.linker is None:
        return _UNLINKED
    said = {row.key: [right for turn in row.turns for right in case.linker.years(turn.reply)] for row in case.rows}
    return Found(flags={key: (years.count(False), len(years)) for key, years in said.items() if years})


def own_item(case: Case) -> Found:
    """Rows all of whose offers the seeker had named before, without a hit; rows that offer count."""
    if case.linker is None:
        return _UNLINKED
    flags = {}
    for row in case.rows:
        offers = [(set(turn.titles), before) for turn, before in zip(row.turns, prefixes(row), strict=True) if turn.titles]
        if offers:
            own = all(items <= {i for text in before.of("seeker") for i in case.linker.items(text)} for items, before in offers)
            flags[row.key] = (int(own and not _hits(row)), 1)
    return Found(flags=flags)


def silent(case: Case) -> Found:
    """Turns without a score."""
    return Found(flags={row.key: (sum(not t.scores[case.judge].scored for t in row.turns), len(row.turns)) for row in case.rows})


_OPEN = re.compile(r"[\w,;:(&–—-]\s*\Z")
_SPEAKER = re.compile(r"^\W*(?:seeker|user|human|customer|recommender|assistant|system|bot)\W{0,2}:", re.IGNORECASE | re.MULTILINE)


def runaway(case: Case) -> Found:
    """Turns that are cut off, too long, or write a speaker's label."""

    def runs(reply: str) -> bool:
        words = len(reply.split())
        cut = words >= case.settings.cut_words and _OPEN.search(reply) is not None
        return cut or words > case.settings.longest_words or bool(_SPEAKER.search(reply))

    return Found(flags={row.key: (sum(runs(turn.reply) for turn in row.turns), len(row.turns)) for row in case.rows})


def _hits(row: Outcome) -> bool:
    return any(hit(turn, row.targets) for turn in row.turns)


def _commonest(values: Mapping[str, Iterable[T]], keys: Iterable[str]) -> tuple[T | None, dict[str, tuple[int, int]]]:
    """The value that most rows have, of several as common the one seen first; and which of `keys` have it."""
    counts = Counter(value for some in values.values() for value in dict.fromkeys(some))
    if not counts:
        return None, dict.fromkeys(keys, (0, 1))
    commonest = counts.most_common(1)[0][0]
    return commonest, {key: (int(commonest in values.get(key, ())), 1) for key in keys}
