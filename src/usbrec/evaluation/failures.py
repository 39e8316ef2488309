"""Failure signatures: what goes wrong with a conversational recommender, found by name, with the rows that show it.

Each signature (`signatures`) gives a rate on one arm, the threshold it is held against, and the keys of a few rows to look at.  It *fires*
when the rate reaches the threshold on enough rows.  A mean score tells none of this: an arm that offers one film to everybody, or goes
round in circles, can stand well above a floor.

The thresholds are set so that the human's replies fire nothing and every floor fires what it was built to do (docs/failures.md has the
rates).  What cannot be measured (no second turn, no linker, no floor) has no rate, says why, and never fires.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from usbrec.errors import DataError
from usbrec.evaluation import signatures
from usbrec.evaluation.compare import CEILING, in_order, kind_of
from usbrec.evaluation.metrics import COUNTED, METRICS, Metric, dialogue_of, row_values
from usbrec.evaluation.signatures import Case, FailureSettings, Found
from usbrec.evaluation.stats import paired_difference
from usbrec.evaluation.tables import Sheet, label, number
from usbrec.linking import Linker
from usbrec.titles import key_of
from usbrec.types import Frozen, Outcome

POPULAR = "floor:most-popular"
PRAISED = "high iEval, low recall"


class Signature(Frozen):
    """A named failure."""

    name: str
    setting: str
    """The field of `FailureSettings` that holds its threshold."""
    unit: str
    """What it counts."""
    says: str
    """Goes on after "3 of 20 conversations"."""
    why: str
    """Why the threshold lies where it does."""
    read: Callable[[Case], Found]
    judged: bool = False
    """It reads a judge's scores."""


class Failure(Frozen):
    """One signature on one arm."""

    name: str
    arm: str
    judge: str
    """Whose scores it reads; `metrics.COUNTED` where it reads none."""
    fires: bool
    rate: float | None
    """`count` / `of`; for `high iEval, low recall` the arm's place on the judge's scale from the most popular item (0) to the ceiling (1).
    None: not measured, `explanation` says why."""
    threshold: float
    why: str
    """Why the threshold lies there."""
    count: int
    of: int
    unit: str
    """What `count` and `of` count."""
    explanation: str
    """One sentence."""
    evidence: tuple[str, ...]
    """Keys of rows that show it, the worst first; no text of a dialogue."""


SIGNATURES: tuple[Signature, ...] = (
    Signature(
        name="stagnant scores",
        setting="stagnant",
        unit="conversations",
        says="have one and the same score at every turn, without a hit: the judge sees no turn do better than another",
        why="three grades over two turns are level in 0.4 to 0.8 of the conversations of arms that work, in 0.7 to 1 of a floor's",
        read=signatures.stagnant,
        judged=True,
    ),
    Signature(
        name="one score for all",
        setting="one_score",
        unit="conversations",
        says="end without a hit on one and the same score",
        why="arms that work stay below 0.85; beyond, the judge cannot tell or the arm does one thing: too little is left to compare by",
        read=signatures.one_score,
        judged=True,
    ),
    Signature(
        name="judge silent",
        setting="silent",
        unit="turns",
        says="have no score",
        why="twice this share is how far unscored turns can move a mean of 0 to 2: further than most differences worth a report",
        read=signatures.silent,
        judged=True,
    ),
    Signature(
        name="repetitive loops",
        setting="loops",
        unit="conversations",
        says="hold a reply that says an earlier one again or goes round in circles",
        why="one conversation in ten is worth a look; the human's replies stay below 0.04",
        read=signatures.loops,
    ),
    Signature(
        name="declined item offered again",
        setting="again",
        unit="conversations",
        says="hold an offer that the seeker had already not taken up in an earlier turn",
        why="one conversation in ten is worth a look; the human's replies stay at or below 0.02",
        read=signatures.again,
    ),
    Signature(
        name="one reply for everybody",
        setting="one_reply",
        unit="conversations",
        says="hold one and the same reply, word for word",
        why="from this share on the report calls a policy collapsed; models that work stay at 0.07 or below",
        read=signatures.one_reply,
    ),
    Signature(
        name="one item for everybody",
        setting="one_item",
        unit="conversations",
        says="are offered one and the same item",
        why="popular items are right more often than others, but the human's commonest is offered in 0.03 of the conversations",
        read=signatures.one_item,
    ),
    Signature(
        name="questions without offers",
        setting="questions",
        unit="conversations",
        says="are nothing but questions from the first turn to the last",
        why="a question is often the right reply, a conversation of nothing else is not: the human has at most 0.01 of them",
        read=signatures.questions,
    ),
    Signature(
        name="off-catalogue offers",
        setting="off_catalogue",
        unit="turns with an offer",
        says="write a title that the catalogue does not hold",
        why="one offer in ten cannot be had; the human's replies stay below 0.01",
        read=signatures.off_catalogue,
    ),
    Signature(
        name="wrong years",
        setting="wrong_years",
        unit="years said with a title",
        says="are not the catalogue's: linking repairs them, so no score tells",
        why="one year in twenty misleads whoever looks the title up; of 12,212 years that people said in ReDial 4 are wrong",
        read=signatures.wrong_years,
    ),
    Signature(
        name="ends in the seeker's own item",
        setting="own_item",
        unit="conversations with an offer",
        says="offer nothing but what the seeker had named, and no target",
        why="arms that work stay at or below 0.01",
        read=signatures.own_item,
    ),
    Signature(
        name="runaway replies",
        setting="runaway",
        unit="turns",
        says="are cut off in the middle, too long, or speak for the seeker as well",
        why="people leave out the closing mark of a long reply, too: up to 0.08 of the human's replies",
        read=signatures.runaway,
    ),
)


def failures(
    arms: Mapping[str, Sequence[Outcome]],
    judges: Sequence[str],
    *,
    linker: Linker | None = None,
    settings: FailureSettings | None = None,
    seed: int = 0,
) -> list[Failure]:
    """Every signature on every arm, fired or not, arms in the order of the tables.

    Args:
        arms: the outcomes as they are stored, with items that were named before (not through `metrics.keep_new`).
        judges: one name per score of each turn, in that order.
        linker: of the evaluation's catalogue; without it three signatures are not measured (off the catalogue, wrong years, own item).
        seed: of the bootstrap behind `high iEval, low recall`.

    Raises:
        DataError: a turn whose scores are not one per judge.
    """
    settings = settings or FailureSettings()
    played = {arm: [row for row in arms[arm] if row.turns] for arm in in_order(list(arms))}
    _check(played, judges)
    long = any(len(row.turns) > 1 for rows in played.values() for row in rows)
    words, found = cache(key_of), list[Failure]()
    for arm, rows in played.items():
        cases = [Case(rows, place, long, linker, settings, words) for place in range(max(1, len(judges)))]
        for judge, case in zip(judges, cases, strict=False):
            found += [_failure(signature, case, arm, judge) for signature in SIGNATURES if signature.judged]
            if kind_of(arm) != "ceiling" and arm != POPULAR:
                found.append(_praised(played, arm, judge, case.judge, settings, seed))
        found += [_failure(signature, cases[0], arm, COUNTED) for signature in SIGNATURES if not signature.judged]
    return found


def sheet(found: Sequence[Failure]) -> Sheet:
    """What fired, arm by arm; an arm on which nothing fired has a row that says so."""
    rows: list[tuple[str, ...]] = []
    kinds: list[str] = []
    for arm in dict.fromkeys(f.arm for f in found):
        fired = [f for f in found if f.arm == arm and f.fires]
        lines = [(f.name, f.judge, number(f.rate, 2), number(f.threshold, 2), f.explanation, ", ".join(f.evidence)) for f in fired]
        rows += [(label(arm), *line) for line in lines or [("none", "–", "–", "–", "–", "–")]]
        kinds += [kind_of(arm)] * max(1, len(fired))
    looked_for = "; ".join(dict.fromkeys(f.name for f in found))
    note = f"Looked for: {looked_for}."
    if any(kind_of(f.arm) == "floor" for f in found):
        note += " The floors are built to fail: what fires there shows that it works."
    missing = dict.fromkeys(f"{f.name} ({f.explanation.removeprefix('not measured: ').removesuffix('.')})" for f in found if f.rate is None)
    return Sheet(
        title="Failure signatures",
        columns=("arm", "signature", "by", "rate", "fires from", "what was seen", "rows"),
        rows=tuple(rows),
        kinds=tuple(kinds),
        note=note + (f" Not measured everywhere: {'; '.join(missing)}." if missing else ""),
    )


def _check(arms: Mapping[str, Sequence[Outcome]], judges: Sequence[str]) -> None:
    for arm, rows in arms.items():
        for row in rows:
            if any(len(turn.scores) != len(judges) for turn in row.turns):
                raise DataError(
                    f"a turn's scores are not one per judge ({', '.join(judges)})",
                    where=f"arm '{arm}', row '{row.key}'",
                    fix="evaluate the arm again with the judges of this recipe",
                )


def _failure(signature: Signature, case: Case, arm: str, judge: str) -> Failure:
    result, settings = signature.read(case), case.settings
    threshold: float = getattr(settings, signature.setting)
    count = sum(faults for faults, _ in result.flags.values())
    of = sum(things for _, things in result.flags.values())
    rate = count / of if of else None
    if rate is None:
        told = f"not measured: {result.detail or f'there are no {signature.unit}'}"
    else:
        told = f"{count} of {of} {signature.unit} {signature.says}{result.detail}"
        told += f"; fewer than {settings.least} {signature.unit} say nothing" if of < settings.least else ""
    at_fault = sorted((key for key, (faults, _) in result.flags.items() if faults), key=lambda key: -result.flags[key][0])
    return Failure(
        name=signature.name, arm=arm, judge=judge, fires=rate is not None and of >= settings.least and rate >= threshold,
        rate=None if rate is None else round(rate, 6), threshold=threshold, why=signature.why, count=count, of=of, unit=signature.unit,
        explanation=f"{told}.", evidence=tuple(at_fault[: settings.evidence]),
    )  # fmt: skip


def _praised(arms: Mapping[str, Sequence[Outcome]], arm: str, judge: str, place: int, settings: FailureSettings, seed: int) -> Failure:
    """Does the judge put the arm above the most popular item, although it finds no more targets than that item does?

    On rows whose dialogue names no target yet, paired; Hit@reply in any turn, as iEval is of the last.  The lead in iEval must be shown:
    its 95% interval lies above 0.
    """
    ieval, recall = METRICS["ieval-unleaked"], METRICS["hit-any-unleaked"]

    def values(name: str, metric: Metric) -> dict[str, float]:
        return {key: value for key, value in row_values(arms.get(name, ()), metric, place).items() if value is not None}

    scores, floor = values(arm, ieval), values(POPULAR, ieval)
    hits = values(arm, recall)
    lead, span = _difference(scores, floor), _difference(values(CEILING, ieval), floor)
    found = _difference(hits, values(POPULAR, recall))
    praised = sorted(
        (key for key in scores.keys() & floor.keys() if scores[key] > floor[key] and not hits.get(key)), key=lambda key: (-scores[key], key)
    )
    of, rate, fires = len(scores.keys() & floor.keys()), None, False
    if lead is None or span is None or found is None:
        told = f"not measured: {POPULAR} or {CEILING} is not there, or has no common row with a score and no leak"
    elif span <= 0:
        told = f"not measured: {judge} puts the ceiling no higher than the most popular item, so its scores have no scale"
    else:
        rate = round(lead / span, 6)
        told = (
            f"{judge} puts the arm {rate:.2f} of the way from the most popular item to the ceiling ({lead:+.3f} on {of} conversations "
            f"without leaks), while its share of hits differs from that item's by {found:+.3f}"
        )
        if of >= settings.least and rate >= settings.place and found < settings.recall_gain:
            low = paired_difference(scores, floor, seed, cluster=dialogue_of, limits=ieval.limits).low
            fires = low is not None and low > 0
    return Failure(
        name=PRAISED, arm=arm, judge=judge, fires=fires, rate=rate, threshold=settings.place,
        why="a tenth of the scale is worth an explanation, and hits do not give it: one hit more in a hundred conversations would",
        count=len(praised), of=of, unit="conversations without leaks", explanation=f"{told}.", evidence=tuple(praised[: settings.evidence]),
    )  # fmt: skip


def _difference(a: Mapping[str, float], b: Mapping[str, float]) -> float | None:
    """The mean of a - b over the keys of both; None where there is none."""
    common = a.keys() & b.keys()
    return math.fsum(a[key] - b[key] for key in common) / len(common) if common else None
