"""Is a judge fit to judge?  What it says of replies whose worth is known (docs/judges.md): the method's first experiment.

A judge is *fit* when it gives a verdict on nearly all replies and tells the human's reply from every floor with an AUC of at least
`LEAST_AUC`.  Everything else here says what its scores rest on: how they spread, how they change when the same question is put again, with
the titles in another order or in other words, how far they agree with the catalogue judge and with people, and whether they know anything
about replies that name no target, where no rule decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from usbrec.evaluation.agreement import Agreement, Auc, agreement, auc, grade, krippendorff
from usbrec.evaluation.metrics import Measure, dialogue_of, measure
from usbrec.evaluation.probes import BEYOND, FLOORS, PROBES, SWAPPED, TRUTH
from usbrec.evaluation.stats import Interval, mean_interval
from usbrec.types import Frozen, Score

LEAST_AUC = 0.8
"""Against every floor.  A coin has 0.5; 0.8 is where Hosmer and Lemeshow (2000) begin to call discrimination excellent."""
COIN = 0.5
MOST_UNSCORED = 0.1
"""Share of the replies without a verdict."""

Variant = Literal["", "retest", "reversed", "short", "steps"]
CHANGES: dict[Variant, str] = {
    "retest": "asked again with another seed",
    "reversed": "the wished-for titles in reverse order",
    "short": "the rubric in other words: short",
    "steps": "the rubric in other words: step by step",
}


class Verdict(Frozen):
    """What a judge said of one probe of one row."""

    probe: str
    """One of `probes.PROBES`, or `label:N` for the N-th graded reply of the row."""
    variant: Variant = ""
    score: Score
    calls: int = 0
    prompt_tokens: int = 0
    """Of one reading of the prompt; n sampled votes share it."""
    completion_tokens: int = 0


class JudgedRow(Frozen):
    """One row's verdicts; no text."""

    key: str
    verdicts: tuple[Verdict, ...] = ()
    left_out: tuple[str, ...] = ()
    """Probes that the row does not allow."""
    error: str = ""


class Label(Frozen):
    """A grade that a person gave to a reply."""

    key: str
    reply: str
    grade: Literal[0, 1, 2]
    rater: str = "human"


class ProbeScores(Frozen):
    """A judge's scores of one probe."""

    mean: Measure
    grades: tuple[float, float, float] | None
    """Share of each grade among the scored, rounded to the nearest; None where nothing was scored."""
    left_out: int
    """Rows that do not allow the probe."""
    menu_mass: float | None
    """Mean share of the model's probability on the menu; None for a judge that does not choose."""


class Change(Frozen):
    """What became of the scores when the same replies were judged in another way."""

    what: str
    replies: int
    same: float | None
    """Share of equal grades."""
    moved: float | None
    """Mean absolute change of the score."""
    shift: Interval
    """Mean change of the score: the other way minus the first."""


class JudgeCalibration(Frozen):
    """All about one judge on one data set."""

    judge: str
    fit: bool
    why: str
    """Why it is not fit; empty when it is."""
    probes: dict[str, ProbeScores]
    auc: dict[str, Auc]
    """Of the human's reply against each floor."""
    beyond: Auc
    """Of an item comparable with a target against a random one, neither a target."""
    changes: tuple[Change, ...]
    with_catalogue: Agreement | None
    """With the catalogue judge, over all probes."""
    with_people: dict[str, Agreement]
    """Rater -> agreement; `all`: Krippendorff's alpha of all raters and the judge together."""
    tokens: float | None
    """Mean tokens of a verdict, its prompt read once; None for a judge that asks no model."""
    tokens_by_call: float | None
    """The same if every vote is a call of its own that reads the prompt again, as the released scripts ask."""


class Calibration(Frozen):
    """Judges on one data set."""

    data: str
    split: str
    rows: int
    least_auc: float
    judges: dict[str, JudgeCalibration]


def calibrate(
    judge: str,
    rows: Sequence[JudgedRow],
    *,
    catalogue: Sequence[JudgedRow] = (),
    labels: Mapping[str, Sequence[Label]] | None = None,
    least_auc: float = LEAST_AUC,
    seed: int = 0,
) -> JudgeCalibration:
    """Everything about one judge.

    Args:
        rows: its verdicts.
        catalogue: the catalogue judge's verdicts on the same rows; empty: no agreement is computed.
        labels: row key -> what people said of replies to that row, in the order of the row's `label:N` probes.
    """
    scored = {probe: _scores(rows, probe) for probe in PROBES}
    known = {probe: {k: v for k, v in values.items() if v is not None} for probe, values in scored.items()}
    clusters = {row.key: dialogue_of(row.key) for row in rows}
    curves = {floor: auc(known[TRUTH], known[floor], seed, clusters=clusters) for floor in FLOORS}
    plain = [v for row in rows for v in row.verdicts if not v.variant]
    asked = [v for v in plain if v.calls]
    failed = sum(bool(row.error) for row in rows)
    why = _unfit(curves, [v for v in plain if v.probe in (TRUTH, *FLOORS)], failed, least_auc)
    return JudgeCalibration(
        judge=judge,
        fit=not why,
        why=why,
        probes={probe: _probe(rows, probe, scored[probe], seed) for probe in PROBES if scored[probe]},
        auc=curves,
        beyond=auc(known[BEYOND[0]], known[BEYOND[1]], seed, clusters=clusters),
        changes=tuple(found for found in _changes(rows, seed) if found.replies),
        with_catalogue=_beside(rows, catalogue) if catalogue else None,
        with_people=_with_people(rows, labels or {}),
        tokens=_mean([v.prompt_tokens + v.completion_tokens for v in asked]),
        tokens_by_call=_mean([v.prompt_tokens * v.calls + v.completion_tokens for v in asked]),
    )


def _unfit(curves: Mapping[str, Auc], verdicts: Sequence[Verdict], failed: int, least: float) -> str:
    if failed:
        return f"{failed} rows broke off with an error"
    unscored = sum(v.score.value is None for v in verdicts)
    if not verdicts or unscored > MOST_UNSCORED * len(verdicts):
        return f"no verdict on {unscored} of {len(verdicts)} replies"
    missing = [floor for floor, curve in curves.items() if curve.value is None]
    if missing:
        return f"no row allowed the floor {missing[0]}"
    if len({v.score.value for v in verdicts}) == 1:
        return "it gives every reply one and the same score"
    told = weak(curves, least)
    return f"AUC of the human's reply below {least:g} against: {told}" if told else unproven(curves, min(COIN, least))


def unproven(curves: Mapping[str, Auc], coin: float = COIN) -> str:
    """Says so where the rows are too few to tell the judge from a coin; empty where they are not."""
    floor, curve = min(curves.items(), key=lambda entry: entry[1].low or 0.0)
    if curve.low is not None and curve.low >= coin:
        return ""
    bounds = "no interval" if curve.low is None else f"[{curve.low:.2f}, {curve.high:.2f}]"
    return f"its {curve.rows} rows are too few to tell it from a coin against {floor}: AUC {curve.value:.2f} {bounds}"


def weak(curves: Mapping[str, Auc], least: float) -> str:
    """The floors against which the AUC is below `least`, the weakest first; empty where there is none."""
    below = {floor: curve.value for floor, curve in curves.items() if curve.value is not None and curve.value < least}
    return ", ".join(f"{floor} {value:.2f}" for floor, value in sorted(below.items(), key=lambda pair: pair[1]))


def _scores(rows: Sequence[JudgedRow], probe: str, variant: Variant = "") -> dict[str, float | None]:
    """Row key -> score, None where there is no verdict; rows that do not allow the probe are not there."""
    return {row.key: v.score.value for row in rows for v in row.verdicts if (v.probe, v.variant) == (probe, variant)}


def _probe(rows: Sequence[JudgedRow], probe: str, values: Mapping[str, float | None], seed: int) -> ProbeScores:
    grades = [grade(value) for value in values.values() if value is not None]
    masses = [v.score.menu_mass for row in rows for v in row.verdicts if v.probe == probe and not v.variant]
    weighed = [mass for mass in masses if mass is not None]
    return ProbeScores(
        mean=measure(values, (0, 2), seed),
        grades=tuple(round(grades.count(g) / len(grades), 6) for g in range(3)) if grades else None,
        left_out=sum(probe in row.left_out for row in rows),
        menu_mass=_mean(weighed),
    )


def _changes(rows: Sequence[JudgedRow], seed: int) -> list[Change]:
    pairs = {what: _pairs(rows, variant) for variant, what in CHANGES.items()}
    first, last = (_scores(rows, probe) for probe in SWAPPED)
    pairs["the reply's two titles swapped: target last"] = {k: (first[k], last[k]) for k in first.keys() & last.keys()}
    return [_change(what, found, seed) for what, found in pairs.items()]


def _pairs(rows: Sequence[JudgedRow], variant: Variant) -> dict[str, tuple[float | None, float | None]]:
    found: dict[str, tuple[float | None, float | None]] = {}
    for row in rows:
        other = {v.probe: v.score.value for v in row.verdicts if v.variant == variant}
        found |= {f"{row.key}\t{v.probe}": (v.score.value, other[v.probe]) for v in row.verdicts if not v.variant and v.probe in other}
    return found


def _change(what: str, pairs: Mapping[str, tuple[float | None, float | None]], seed: int) -> Change:
    both = {key: (a, b) for key, (a, b) in sorted(pairs.items()) if a is not None and b is not None}
    moved = [b - a for a, b in both.values()]
    return Change(
        what=what,
        replies=len(pairs),
        same=_mean([float(grade(a) == grade(b)) for a, b in both.values()]),
        moved=_mean([abs(change) for change in moved]),
        shift=mean_interval(moved, seed, clusters=[dialogue_of(key.split("\t")[0]) for key in both]),
    )


def _beside(rows: Sequence[JudgedRow], others: Sequence[JudgedRow]) -> Agreement:
    mine, theirs = _by_probe(rows), _by_probe(others)
    keys = sorted(mine.keys() & theirs.keys())
    return agreement([mine[key] for key in keys], [theirs[key] for key in keys])


def _by_probe(rows: Sequence[JudgedRow]) -> dict[tuple[str, str], float]:
    return {(row.key, v.probe): v.score.value for row in rows for v in row.verdicts if not v.variant and v.score.value is not None}


def _with_people(rows: Sequence[JudgedRow], labels: Mapping[str, Sequence[Label]]) -> dict[str, Agreement]:
    """Agreement with each rater on the replies that they graded, and of everybody with everybody."""
    mine = _by_probe(rows)
    graded: dict[str, dict[tuple[str, str], int]] = {}
    for key, given in labels.items():
        for reply, found in _by_reply(given).items():
            for label in found:
                graded.setdefault(label.rater, {})[key, reply] = label.grade
    found_all: dict[str, Agreement] = {}
    for rater, grades in sorted(graded.items()):
        keys = sorted(grades.keys() & mine.keys())
        found_all[rater] = agreement([mine[key] for key in keys], [grades[key] for key in keys])
    if len(graded) > 1:
        keys = sorted(set().union(*graded.values()) & mine.keys())
        raters = [[grades.get(key) for key in keys] for grades in graded.values()]
        alpha = krippendorff([*raters, [grade(mine[key]) for key in keys]])
        found_all["all"] = Agreement(replies=len(keys), same=None, cohen=None, cohen_weighted=None, krippendorff=alpha)
    return found_all


def _by_reply(labels: Sequence[Label]) -> dict[str, list[Label]]:
    """`label:N` -> the labels of the N-th different reply."""
    found: dict[str, list[Label]] = {}
    for label in labels:
        found.setdefault(label.reply, []).append(label)
    return {f"label:{number}": given for number, given in enumerate(found.values())}


def labelled_replies(labels: Sequence[Label]) -> dict[str, str]:
    """The probes that a row's labels ask for: `label:N` -> reply."""
    return {probe: given[0].reply for probe, given in _by_reply(labels).items()}


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None
