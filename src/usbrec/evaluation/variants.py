"""The variants of an experiment side by side: how each arm did in each, and what changed against one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from usbrec.evaluation.compare import Comparison, contrast, corrected
from usbrec.evaluation.metrics import COUNTED, METRICS, ArmMetrics, measure_arm, row_values
from usbrec.evaluation.plots import Plot, dot, dots_figure, plot
from usbrec.evaluation.tables import Sheet, bounds, label, markdown, number, p_value, spread
from usbrec.types import Frozen, Outcome

METRICS_COMPARED = ("ieval", "hit", "hit-any")


class Experiment(Frozen):
    """What an experiment showed.  No dialogue text."""

    name: str
    about: str
    data: str
    split: str
    arms: tuple[str, ...]
    judges: tuple[str, ...]
    reference: str
    """The variant that the others are held against."""
    settings: dict[str, dict[str, Any]]
    """Variant -> what it sets."""
    measured: dict[str, dict[str, ArmMetrics]]
    """Variant -> arm -> everything measured."""
    differences: dict[str, tuple[Comparison, ...]]
    """Arm -> variant (`a`) minus reference (`b`), by metric and judge; Holm corrects over the variants and arms of each."""


def compare_variants(
    outcomes: Mapping[str, Mapping[str, Sequence[Outcome]]],
    *,
    name: str,
    about: str,
    data: str,
    split: str,
    arms: Sequence[str],
    judges: Sequence[str],
    reference: str,
    settings: Mapping[str, dict[str, Any]],
    seed: int = 0,
) -> Experiment:
    """Measures every arm of every variant, and compares each with the reference on the same rows.

    Args:
        outcomes: variant -> arm -> rows, with only new items (`report.new_outcomes`).
    """
    slots = [(METRICS[m], place, judge) for m in METRICS_COMPARED if METRICS[m].judged for place, judge in enumerate(judges)]
    slots += [(METRICS[m], 0, COUNTED) for m in METRICS_COMPARED if not METRICS[m].judged]
    wanted = [
        (arm, variant)
        for arm in arms
        for variant in outcomes
        if variant != reference and arm in outcomes[variant] and arm in outcomes[reference]
    ]
    found: list[tuple[str, Comparison]] = []
    for metric, place, judge in slots:
        for arm, variant in wanted:
            a, b = (row_values(outcomes[side][arm], metric, place) for side in (variant, reference))
            found.append((arm, contrast((variant, [a]), (reference, [b]), "runs", metric, judge, seed=seed)[0]))
    told = corrected([comparison for _, comparison in found])
    differences: dict[str, tuple[Comparison, ...]] = dict.fromkeys(arms, ())
    for (arm, _), comparison in zip(found, told, strict=True):
        differences[arm] = (*differences[arm], comparison)
    return Experiment(
        name=name, about=about, data=data, split=split, arms=tuple(arms), judges=tuple(judges), reference=reference,
        settings=dict(settings), differences=differences,
        measured={v: {arm: measure_arm(rows[arm], judges, seed=seed) for arm in arms if arm in rows} for v, rows in outcomes.items()},
    )  # fmt: skip


def sheets(found: Experiment) -> list[Sheet]:
    """One table of results an arm, one of differences."""
    return [_results(found, arm) for arm in found.arms] + [_differences(found)]


def text(found: Experiment) -> str:
    """The experiment as Markdown."""
    rows = max((arm.rows for variant in found.measured.values() for arm in variant.values()), default=0)
    lines = [f"# {found.name}", "", found.about, "", f"{found.data}, {rows} rows of {found.split}; held against: {found.reference}.", ""]
    lines += [f"![{draw(found).title}](experiment.svg)", ""]
    for sheet in sheets(found):
        lines += [f"## {sheet.title}", "", markdown(sheet), ""]
    return "\n".join(lines).rstrip() + "\n"


def draw(found: Experiment) -> Plot:
    """iEval by the first judge of every variant, an arm a group."""
    judge = found.judges[0]
    groups = [
        (
            label(arm),
            [
                dot(variant, "ceiling" if variant == found.reference else "model", measured[arm].judged[judge]["ieval"])
                for variant, measured in found.measured.items()
            ],
        )
        for arm in found.arms
    ]
    title = f"{found.name}: iEval, judge {judge}, mean and 95% interval of each variant; green: the one that the others are held against"
    return plot(f"experiment-{found.name}", title, partial(dots_figure, groups))


def _results(found: Experiment, arm: str) -> Sheet:
    rows = []
    for variant, arms in found.measured.items():
        m = arms[arm]
        scores = (spread(m.judged[judge]["ieval"]) for judge in found.judges)
        hits = (spread(m.counted[name]) for name in ("hit", "hit-any"))
        rows.append((variant, *scores, *hits, str(m.different_items), number(m.repetition, 2), number(m.seconds_per_turn, 2)))
    columns = (
        "variant", *(f"iEval {judge}" for judge in found.judges), "Hit@reply", "in any turn", "items", "same reply", "s a turn",
    )  # fmt: skip
    return Sheet(title=label(arm), columns=columns, rows=tuple(rows), note="95% intervals. Same reply: the commonest one's share.")


def _differences(found: Experiment) -> Sheet:
    rows = [
        (
            label(arm), c.a, METRICS[c.metric].label, c.judge, number(c.diff, sign=True), bounds(c.low, c.high), p_value(c.p_holm),
            number(c.detectable), c.standing,
        )
        for arm, comparisons in found.differences.items() for c in comparisons
    ]  # fmt: skip
    columns = ("arm", "variant", "metric", "judge", "difference", "95% interval", "Holm p", "detectable", "standing")
    note = "Variant minus reference on the same rows. Detectable: the smallest true difference that these rows show four times in five."
    return Sheet(title=f"Against {found.reference}", columns=columns, rows=tuple(rows), note=note)
