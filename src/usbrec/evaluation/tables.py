"""The report's tables as plain data, and their two plain forms: Markdown and a terminal table.

A `Sheet` names its judge in its title, and every sheet of scores lists all arms, floors and ceiling included: so no score can be quoted
from it without them.  The HTML page renders the same sheets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from usbrec.evaluation.compare import COMPARED, QUESTIONS, Comparison, kind_of
from usbrec.evaluation.identifiability import CLOSE
from usbrec.evaluation.metrics import COUNTED, METRICS, ArmMetrics, Measure
from usbrec.evaluation.stats import Interval
from usbrec.types import Frozen

if TYPE_CHECKING:
    from rich.table import Table

    from usbrec.evaluation.summary import Report

LABELS = {
    "base": "base",
    "sft": "SFT",
    "rl": "RL",
    "base+ses": "base + SES",
    "sft+ses": "SFT + SES",
    "rl+ses": "RL + SES",
    "base+paper-ses": "base + the paper's SES",
    "sft+paper-ses": "SFT + the paper's SES",
    "rl+paper-ses": "RL + the paper's SES",
    "retrieval": "retriever alone, one title",
    "retrieval:3": "retriever alone, three titles",
    "retrieval+ask": "retriever alone, three titles and a question",
    "collaborative": "collaborative baseline",
    "ceiling:human": "ceiling: the human's reply",
    "floor:random-reply": "floor: random reply",
    "floor:most-popular": "floor: most popular",
    "floor:repeat": "floor: seeker's own item",
    "floor:question": "floor: only a question",
}


class Sheet(Frozen):
    """One table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...] = ()
    """One per row, for its looks: model, baseline, ceiling, floor, or a `Standing`."""
    note: str = ""
    aside: bool = False
    """Detail: folded away where a page can fold."""


def label(arm: str) -> str:
    """An arm's name for people."""
    return LABELS.get(arm, arm)


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number, or a dash for one that does not exist."""
    return "–" if value is None else f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def between(value: float | None, low: float | None, high: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """`0.99 [0.98, 1.00]`; without an interval the value alone, without a value a dash."""
    text = number(value, digits, sign=sign)
    return text if value is None or low is None else f"{text} [{number(low, digits, sign=sign)}, {number(high, digits, sign=sign)}]"


def spread(measure: Measure | None, digits: int = 3) -> str:
    """`0.397 [0.340, 0.457]`, with the bounds that unscored rows leave."""
    if measure is None or measure.mean is None:
        return "–" if measure is None or not measure.unscored else "unscored"
    text = between(measure.mean, measure.low, measure.high, digits)
    return f"{text} [no interval]" if measure.low is None else text


def sheets(report: Report) -> list[Sheet]:
    """Every table of the report, in reading order: the first turn, the only one on a human's own words, stands before the last."""
    found = [_first(report, judge) for judge in report.judges] if report.turns_at_most > 1 else []
    found += [sheet for judge in report.judges for sheet in (_last(report, judge), *_identified(report, judge))]
    found += [_hits(report), _replies(report)]
    slots = list(dict.fromkeys((c.metric, c.judge) for c in report.paired))
    slots.sort(key=lambda slot: (COMPARED.index(slot[0].removesuffix("-unleaked")), slot[1]))
    return found + [_paired(report.paired, metric, judge, _unfit(report, judge)) for metric, judge in slots]


def _unfit(report: Report, judge: str) -> str:
    """Said behind the name of a judge that is not fit."""
    scale = report.scales.get(judge)
    return " (NOT FIT TO JUDGE)" if scale and scale.fit is False else ""


def card_sheets(report: Report) -> list[Sheet]:
    """Data, preference pairs, stages and versions, as far as the run recorded them."""
    return [
        Sheet(title=title, columns=("what", "value"), rows=tuple((key, str(value)) for key, value in card.items()), aside=True)
        for title, card in report.cards.items()
        if card
    ]


def _first(report: Report, judge: str) -> Sheet:
    names = list(dict.fromkeys((report.headline("ieval-first"), "ieval-first", report.headline("hit"), "recall@1")))
    rows = [
        (label(arm.arm), *(spread(arm.measure(name, judge)) for name in names), str(arm.rows), _unscored(arm.judged[judge]["ieval-first"]))
        for arm in report.arms.values()
    ]
    note = "The one reply to words that a human wrote; all later turns answer the simulated seeker."
    columns = ("arm", *(_heading(METRICS[name].label) for name in names), "rows", "unscored")
    return Sheet(
        title=f"First turn, judge: {judge}{_unfit(report, judge)}", columns=columns, rows=tuple(rows), kinds=_kinds(report), note=note
    )


def _last(report: Report, judge: str) -> Sheet:
    names = list(dict.fromkeys((report.headline("ieval"), "ieval", "ieval-best", "comparable")))
    if report.turns_at_most < 2:
        names.remove("ieval-best")
    scale = report.scales.get(judge)
    rows = []
    for arm in report.arms.values():
        measures = [arm.judged[judge][name] for name in names]
        place = scale.normalised.get(arm.arm) if scale else None
        rows.append(
            (
                label(arm.arm),
                spread(measures[0]),
                _place(place, measures[0].rows),
                *map(spread, measures[1:]),
                str(arm.rows),
                _unscored(measures[0]),
            )
        )
    note = "0 to 2, mean of the scored rows with its 95% interval. Unscored rows: the mean if all of them were 0, and if all were 2."
    if scale and scale.normalised:
        note += f" Normalised: (iEval - floor) / (ceiling - floor), the floor being the highest one, {label(scale.floor or '')}."
    headings = [_heading(METRICS[name].label) for name in names]
    columns = ("arm", headings[0], "normalised", *headings[1:], "rows", "unscored")
    return Sheet(
        title=f"iEval (last turn), judge: {judge}{_unfit(report, judge)}",
        columns=columns,
        rows=tuple(rows),
        kinds=_kinds(report),
        note=note,
    )


def _identified(report: Report, judge: str) -> list[Sheet]:
    """The last turn without the rows that the simulated seeker's words identify; none where nobody looked, or nobody simulated spoke."""
    told = {arm.arm: arm for arm in report.leaks.identified} if report.leaks else {}
    if not any(arm.sayings for arm in told.values()):
        return []
    slots = ((report.headline("ieval"), judge), (report.headline("hit-any"), COUNTED))
    rows = []
    for arm in report.arms.values():
        cells = [f"{told[arm.arm].rows_within[CLOSE]} of {arm.rows}"]
        for metric, by in slots:
            part = next(part for part in told[arm.arm].parts if (part.metric, part.judge) == (metric, by))
            cells += [spread(arm.measure(metric, by)), spread(part.without), spread(part.only)]
        rows.append((label(arm.arm), *cells))
    headings = [f"{_heading(METRICS[metric].label)}{part}" for metric, _ in slots for part in ("", ", without these", ", these alone")]
    note = (
        f"Identified: after something that the simulated seeker said, at most {CLOSE} unseen items fitted everything said; a hit after "
        "that is a lookup. Rows that hit in the first turn are never among them: arms with other first turns lose other rows."
    )
    title = f"Last turn, with and without rows that the seeker identifies, judge: {judge}{_unfit(report, judge)}"
    return [Sheet(title=title, columns=("arm", "identified", *headings), rows=tuple(rows), kinds=_kinds(report), note=note)]


def _place(found: Interval | None, rows: int) -> str:
    """A normalised value; with its rows where it rests on fewer than the arm's scores."""
    if found is None:
        return "–"
    return between(found.mean, found.low, found.high) + (f", {found.rows} rows" if found.rows < rows else "")


def _unscored(measure: Measure) -> str:
    if not measure.unscored:
        return "0"
    return f"{measure.unscored} ({number(measure.worst)} to {number(measure.best)})"


def _hits(report: Report) -> Sheet:
    later = (report.headline("hit-any"), report.headline("discounted-hit")) if report.turns_at_most > 1 else ()
    names = list(dict.fromkeys((report.headline("hit"), *later, "hit", *(["hit-any"] if later else []), "recall@1")))
    rows = [(label(arm.arm), *(spread(arm.counted[name]) for name in names), str(arm.rows)) for arm in report.arms.values()]
    note = (
        "A reply hits when the first new item that it names is a target; further titles do not count. Recall@1 wants it to be the first "
        "item of the reply at all: that alone may stand beside published values. Without leaks: only rows whose dialogue names no target "
        "yet. No judge decides these; the ceiling and the floors are the scale."
    )
    if later:
        note += " Discounted: 1 / log2(1 + t) for a first hit in turn t, 0 without one."
    columns = ("arm", *(_heading(METRICS[name].label) for name in names), "rows")
    return Sheet(title=f"Hits, by {COUNTED}", columns=columns, rows=tuple(rows), kinds=_kinds(report), note=note)


def _replies(report: Report) -> Sheet:
    columns: tuple[str, ...] = (
        "arm", "offers a new item", "different items", "questions a turn", "Distinct-2", "commonest reply", "s a turn",
        "search fell back", "errors",
    )  # fmt: skip
    note = "Different items, Distinct-2 and the commonest reply's share depend on the number of replies: compare on the same rows only."
    rows: list[tuple[str, ...]] = [
        (
            label(arm.arm), spread(arm.counted["offers"]), str(arm.different_items), number(arm.counted["questions"].mean, 2),
            number(arm.distinct_2), number(arm.repetition), number(arm.seconds_per_turn, 2), _fallbacks(arm), f"{arm.errors} of {arm.rows}",
        )
        for arm in report.arms.values()
    ]  # fmt: skip
    if any(arm.left for arm in report.arms.values()):
        columns, note = (*columns, "seeker left"), f"{note} A seeker who left, after too many bad offers, is unsatisfied."
        rows = [(*cells, f"{arm.left} of {arm.rows}") for cells, arm in zip(rows, report.arms.values(), strict=True)]
    return Sheet(title="What the replies are like", columns=columns, rows=tuple(rows), kinds=_kinds(report), note=note)


def _fallbacks(arm: ArmMetrics) -> str:
    return f"{arm.fallbacks} of {arm.searched}" if arm.searched else "–"


def p_value(p: float | None) -> str:
    """Four decimals; a dash where there is none."""
    return "–" if p is None else f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def bounds(low: float | None, high: float | None) -> str:
    """The interval of a difference; a dash where there is none."""
    return "–" if low is None else f"[{number(low, sign=True)}, {number(high, sign=True)}]"


def _paired(paired: Sequence[Comparison], metric: str, judge: str, unfit: str) -> Sheet:
    chosen = sorted((c for c in paired if (c.metric, c.judge) == (metric, judge)), key=lambda c: list(QUESTIONS).index(c.question))
    rows = [
        (
            QUESTIONS[c.question], f"{label(c.a)} − {label(c.b)}", number(c.diff, sign=True),
            bounds(c.low, c.high), p_value(c.p), p_value(c.p_holm), number(c.detectable), f"{c.rows} ({c.clusters})", str(c.unscored),
            c.standing,
        )
        for c in chosen
    ]  # fmt: skip
    columns = (
        "question", "a − b", "difference", "95% interval", "p", "Holm p", "detectable", "rows (dialogues)", "unscored", "standing",
    )  # fmt: skip
    return Sheet(
        title=f"Paired differences: {METRICS[metric].label}, {'by' if judge == COUNTED else 'judge:'} {judge}{unfit}",
        columns=columns,
        rows=tuple(rows),
        kinds=tuple(c.standing for c in chosen),
        note=(
            "On the rows that both arms have. p: sign-flip permutation test; Holm p: corrected for the comparisons of the same question. "
            "Detectable: the smallest true difference that these rows show four times in five, so corrected."
        ),
        aside=not metric.startswith("ieval"),
    )


def _heading(text: str) -> str:
    return text if text.startswith("iEval") else text[:1].upper() + text[1:]


def _kinds(report: Report) -> tuple[str, ...]:
    return tuple(kind_of(arm) for arm in report.arms)


def markdown(sheet: Sheet) -> str:
    """The sheet as a GitHub-flavoured Markdown table, its note below."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    lines = [line(sheet.columns), "|" + "---|" * len(sheet.columns), *(line(row) for row in sheet.rows)]
    return "\n".join(lines) + (f"\n\n{sheet.note}" if sheet.note else "")


def arms_table(report: Report) -> Table:
    """The arms for a terminal: iEval by each judge, hit rate, variety, time.  Fits 80 columns with one judge."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    without = ", rows without leaks" if report.headline("hit") != "hit" else ""
    caption = f"95% intervals{without}. Hit@reply: of the first turn, by {COUNTED}. same: the commonest reply's share"
    table = Table(title=report.run, caption=caption, box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("arm", no_wrap=True)
    for heading in (*(f"iEval {judge}" for judge in report.judges), "Hit@reply"):
        table.add_column(Text(heading), justify="right", min_width=11)
    for heading in ("no\nscore", "items", "same", "s"):
        table.add_column(heading, justify="right")
    styles, last = {"model": "", "baseline": "cyan", "ceiling": "green", "floor": "dim"}, ""
    for arm in report.arms.values():
        kind = kind_of(arm.arm)
        if last and kind != last:
            table.add_section()
        last = kind
        measures = [*(arm.judged[judge][report.headline("ieval")] for judge in report.judges), arm.counted[report.headline("hit")]]
        unscored = str(max(m.unscored for m in measures))
        cells = (*(spread(m, 2).replace(", ", ",") for m in measures), unscored, str(arm.different_items), number(arm.repetition, 2))
        table.add_row(*(Text(cell) for cell in (arm.arm, *cells, number(arm.seconds_per_turn, 2))), style=styles[kind])
    return table
