"""A calibration as tables, as a plot, and as the summary over all data sets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from usbrec.evaluation.agreement import Agreement, Auc
from usbrec.evaluation.calibration import Calibration, JudgeCalibration
from usbrec.evaluation.plots import Plot, dot, dots_figure, plot
from usbrec.evaluation.probes import BEYOND, FLOORS, PROBES, TRUTH
from usbrec.evaluation.stats import Interval
from usbrec.evaluation.tables import Sheet, between, markdown, number, spread


def sheets(found: Calibration) -> list[Sheet]:
    """Every table, in reading order."""
    judges = list(found.judges.values())
    kept = [_fitness(found), _means(judges), _grades(judges), _beyond(judges), _changes(judges), _agreements(judges), _tokens(judges)]
    return [sheet for sheet in kept if sheet.rows]


def text(found: Calibration) -> str:
    """The calibration as Markdown."""
    lines = [f"# Judges on {found.data}, {found.rows} rows of {found.split}", "", *(f"- {line}" for line in verdicts(found)), ""]
    lines += [f"![Scores of replies of known worth]({found.data}.svg)", ""]
    for sheet in sheets(found):
        lines += [f"## {sheet.title}", "", markdown(sheet), ""]
    return "\n".join(lines).rstrip() + "\n"


def verdicts(found: Calibration) -> list[str]:
    """Which judges are fit, and which know anything where no rule decides; a sentence each."""
    told = []
    for judge in found.judges.values():
        told.append(f"{judge.judge}: fit to judge." if judge.fit else f"{judge.judge}: NOT FIT TO JUDGE: {judge.why}.")
        beyond = judge.beyond
        if beyond.value is None or beyond.low is None or beyond.high is None:
            continue
        span = f"AUC {_auc(beyond)} for an item comparable with a target against a random one"
        if beyond.low > 0.5:
            told.append(f"{judge.judge}, among replies that name no target: {span}.")
        else:
            worse = "it prefers the random one" if beyond.high < 0.5 else "a coin: it adds nothing to the rules"
            told.append(f"{judge.judge}, among replies that name no target: {span}: {worse}.")
    return told


def draw(found: Calibration) -> Plot:
    """The mean score of each probe by each judge."""
    kinds = {TRUTH: "ceiling", **dict.fromkeys(FLOORS, "floor"), **dict.fromkeys(BEYOND, "baseline")}
    groups = [
        (f"{judge.judge}{'' if judge.fit else ' (not fit)'}", [dot(p, kinds[p], judge.probes[p].mean) for p in kinds if p in judge.probes])
        for judge in found.judges.values()
    ]
    title = (
        f"Judges on {found.data}: mean score, with 95% interval, of the human's reply (green), of useless replies (grey) and beyond hits"
    )
    return plot(f"calibration-{found.data}", title, partial(dots_figure, groups))


def summary(calibrations: Sequence[Calibration]) -> dict[str, Any]:
    """{data: {judge: {auc, mean, fit, ...}}, "choose_tokens_share": what `choose` takes of the tokens of sampled votes}."""
    value: dict[str, Any] = {}
    shares: dict[str, list[float]] = {"choose_tokens_share": [], "choose_tokens_share_one_request": []}
    for found in calibrations:
        value[found.data] = {name: _brief(judge) for name, judge in found.judges.items()}
        for name, judge in found.judges.items():
            votes = found.judges.get(name.replace(":choose@", ":vote@"))
            if ":choose@" not in name or not votes or not judge.tokens or not votes.tokens or not votes.tokens_by_call:
                continue
            shares["choose_tokens_share"].append(judge.tokens / votes.tokens_by_call)
            shares["choose_tokens_share_one_request"].append(judge.tokens / votes.tokens)
    return value | {name: round(sum(found) / len(found), 4) if found else None for name, found in shares.items()}


def _brief(judge: JudgeCalibration) -> dict[str, Any]:
    return {
        "fit": judge.fit,
        "auc": {floor: curve.value for floor, curve in judge.auc.items()},
        "mean": {probe: scores.mean.mean for probe, scores in judge.probes.items()},
        "beyond_hits": judge.beyond.model_dump(),
    }


def _fitness(found: Calibration) -> Sheet:
    rows = [
        (j.judge, "yes" if j.fit else "NO", *(_auc(j.auc[floor]) for floor in FLOORS), str(sum(p.mean.unscored for p in j.probes.values())))
        for j in found.judges.values()
    ]
    return Sheet(
        title="Can it tell? AUC of the human's reply against useless ones",
        columns=("judge", "fit", *FLOORS, "no verdict"),
        rows=tuple(rows),
        note=f"1: every human reply above every useless one; 0.5: a coin. Fit: {found.least_auc:g} against each, and a verdict on nine"
        " replies in ten. 95% intervals by dialogue.",
    )


def _means(judges: Sequence[JudgeCalibration]) -> Sheet:
    rows = [(j.judge, *(spread(j.probes[p].mean, 2) if p in j.probes else "–" for p in PROBES)) for j in judges]
    return Sheet(
        title="Mean scores, 0 to 2", columns=("judge", *PROBES), rows=tuple(rows), note="Mean of the scored replies, 95% interval."
    )


def _grades(judges: Sequence[JudgeCalibration]) -> Sheet:
    rows = [
        (
            j.judge, probe, "–" if p.grades is None else " / ".join(f"{share:.2f}" for share in p.grades),
            str(p.mean.rows), str(p.mean.unscored), str(p.left_out), number(p.menu_mass, 2),
        )
        for j in judges
        for probe, p in j.probes.items()
    ]  # fmt: skip
    columns = ("judge", "reply", "share of 0 / 1 / 2", "scored", "no verdict", "not possible", "menu mass")
    note = "Expected grades rounded to the nearest. Menu mass: how much of the model's probability falls on 0, 1 and 2 at all."
    return Sheet(title="How the scores spread", columns=columns, rows=tuple(rows), note=note, aside=True)


def _beyond(judges: Sequence[JudgeCalibration]) -> Sheet:
    rows = [(j.judge, _auc(j.beyond), str(j.beyond.rows)) for j in judges]
    return Sheet(
        title="Beyond hits: an item comparable with a target against a random one",
        columns=("judge", "AUC", "rows"),
        rows=tuple(rows),
        note="Neither reply names a target, both in the same words. The catalogue judge defines what is comparable.",
    )


def _changes(judges: Sequence[JudgeCalibration]) -> Sheet:
    rows = [(j.judge, c.what, number(c.same, 2), number(c.moved), _shift(c.shift), str(c.replies)) for j in judges for c in j.changes]
    columns = ("judge", "the same replies,", "same grade", "mean |change|", "mean change", "replies")
    return Sheet(title="The same question put in another way", columns=columns, rows=tuple(rows))


def _agreements(judges: Sequence[JudgeCalibration]) -> Sheet:
    rows = [_agreement(j.judge, "catalogue", j.with_catalogue) for j in judges if j.with_catalogue]
    rows += [_agreement(j.judge, who, found) for j in judges for who, found in j.with_people.items()]
    columns = ("judge", "with", "same grade", "kappa", "weighted kappa", "alpha", "replies")
    note = "Cohen's kappa, plain and with quadratic weights; Krippendorff's alpha, ordinal. 0: chance."
    return Sheet(title="Agreement", columns=columns, rows=tuple(rows), note=note)


def _agreement(judge: str, who: str, found: Agreement) -> tuple[str, ...]:
    numbers = (number(value, 2) for value in (found.same, found.cohen, found.cohen_weighted, found.krippendorff))
    return (judge, who, *numbers, str(found.replies))


def _tokens(judges: Sequence[JudgeCalibration]) -> Sheet:
    rows = [(j.judge, number(j.tokens, 0), number(j.tokens_by_call, 0)) for j in judges if j.tokens is not None]
    columns = ("judge", "tokens a verdict", "with a call for each vote")
    note = "Prompt and generated tokens; the rubric's verdicts only."
    return Sheet(title="What a verdict costs", columns=columns, rows=tuple(rows), note=note)


def _auc(found: Auc) -> str:
    return between(found.value, found.low, found.high)


def _shift(found: Interval) -> str:
    return between(found.mean, found.low, found.high, 3, sign=True)
