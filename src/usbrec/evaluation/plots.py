"""The report's figures as SVG: text stays text, and colours follow the reader's light or dark theme.

Every plot is drawn wide (for a page or a paper) and narrow (for a phone).  The file form carries its own style sheet; the inline form
takes the colour of the text around it.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from usbrec.evaluation.compare import QUESTIONS, Comparison, kind_of
from usbrec.evaluation.divergence import curves as divergence_curves
from usbrec.evaluation.metrics import METRICS, Measure
from usbrec.evaluation.stats import Interval
from usbrec.evaluation.summary import Curves, Report
from usbrec.evaluation.tables import between, label, number, spread
from usbrec.types import Frozen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WIDE, NARROW = 8.0, 4.1  # inches
_INK = "#010203"  # becomes the colour of the surrounding text
_FAINT = "#040506"  # the same, fainter: grid and frame
COLOURS = {"model": "#3a7fc8", "baseline": "#c77a1b", "ceiling": "#2f9563", "floor": "#8a8f98"}
_STANDING = {"shown": "#2f9563", "opposite shown": "#cf4457", "not shown": "#8a8f98", "undecided": "#c77a1b", "no rows": "#8a8f98"}
_FILE_STYLE = (
    "<style>svg{color:#1d2127;background:#fff;font-family:system-ui,sans-serif}"
    "@media (prefers-color-scheme:dark){svg{color:#e4e7eb;background:#14171b}}</style>"
)


class Plot(Frozen):
    """One figure."""

    title: str
    """What it shows, in words: the caption, and the text for those who cannot see it."""
    wide: str
    """SVG to set into a page."""
    narrow: str
    file: str
    """SVG that stands alone."""


def draw(report: Report) -> dict[str, Plot]:
    """All figures for which the run has numbers: file name without suffix -> plot."""
    plots: dict[str, Plot] = {}
    for place, judge in enumerate(report.judges, start=1):
        tag = f"-judge-{place}" if len(report.judges) > 1 else ""
        plots[f"ieval{tag}"] = plot(
            f"ieval{tag}",
            f"iEval, judge {judge}: mean and 95% interval; the band reaches from the highest floor to the ceiling; an arrow: off the axis",
            partial(arms_figure, report, report.headline("ieval"), judge),
        )
        differences = [c for c in report.paired if (c.metric, c.judge) == (report.headline("ieval"), judge) and _in_forest(c)]
        if differences:
            plots[f"differences{tag}"] = plot(
                f"differences{tag}",
                f"Paired differences in iEval, judge {judge}, with 95% intervals: green is shown, red the opposite, grey not shown",
                partial(differences_figure, differences),
            )
    title = "Hit@reply of the first turn, by linked items: mean and 95% interval (an arrow: off the axis)"
    plots["hits"] = plot("hits", title, partial(arms_figure, report, report.headline("hit"), ""))
    scaled = [
        (judge, [Dot(name=label(floor), kind="floor", value=a.value, low=a.low, high=a.high) for floor, a in scale.auc.items()])
        for judge, scale in report.scales.items()
    ]
    if any(dots for _, dots in scaled):
        title = "AUC of the human's reply against each floor, by judge, with 95% intervals: 1 tells them apart, 0.5 is a coin"
        plots["scale"] = plot("scale", title, partial(dots_figure, scaled, end=1.0, axis="AUC"))
    if report.divergence:
        title = "Gain of each judge's score over the training, in its own span from floor to ceiling, against the optimiser step"
        gains = {name: points for name, points in divergence_curves(report.divergence).items() if name.startswith("gain")}
        plots["judges"] = plot("judges", title, partial(curves_figure, [("gain", gains)]))
    for stage, curves in report.training.items():
        if panels := _panels(curves):
            name = f"training-{stage.lower()}"
            title = f"Training, {stage}: {', '.join(panel for panel, _ in panels)} against the optimiser step"
            plots[name] = plot(name, title, partial(curves_figure, panels))
    return plots


def _in_forest(found: Comparison) -> bool:
    """Not the differences from the ceiling: so large that they would squeeze the rest; the tables have them."""
    return found.diff is not None and kind_of(found.a) != "ceiling"


def arms_figure(report: Report, metric: str, judge: str, width: float) -> Figure:
    """A dot and its interval for each arm, floors and ceiling included."""
    shown = [(arm, m) for arm, found in report.arms.items() if (m := found.measure(metric, judge)) and m.mean is not None]
    figure, axes = _canvas(width, 0.30 * len(shown) + 0.75)
    end = _end(shown, METRICS[metric].limits or (0.0, 1.0))
    for place, (arm, m) in enumerate(shown):
        colour = COLOURS[kind_of(arm)]
        if m.mean is not None and m.mean > end:
            axes.plot([end], [place], marker=">", markersize=7, color=colour, zorder=4, clip_on=False)
        else:
            _bar(axes, place, m.mean, m.low, m.high, colour)
    _band(axes, shown)
    _label_rows(axes, [label(arm) for arm, _ in shown], [spread(m) if width > 6 else number(m.mean) for _, m in shown])
    axes.set_xlim(-0.015 * end, end * 1.015)
    axes.set_xlabel(METRICS[metric].label, color=_INK)
    return figure


def differences_figure(found: Sequence[Comparison], width: float) -> Figure:
    """A forest plot, grouped by question; zero is the line to clear."""
    rows: list[Comparison | str] = []
    for question, heading in QUESTIONS.items():
        group = [c for c in found if c.question == question]
        rows += [heading, *group] if group else []
    figure, axes = _canvas(width, 0.27 * len(rows) + 0.75)
    axes.axvline(0, color=_INK, linewidth=1, zorder=1)
    names, values = [], []
    for place, row in enumerate(rows):
        if isinstance(row, str):
            names.append(row)
            values.append("")
            continue
        _bar(axes, place, row.diff, row.low, row.high, _STANDING[row.standing])
        names.append(f"{_brief(row.a)} − {_brief(row.b)}")
        values.append(_difference(row, width))
    _label_rows(axes, names, values, headings=[isinstance(row, str) for row in rows])
    axes.margins(x=0.04)
    axes.set_xlabel("difference in iEval", color=_INK)
    return figure


def curves_figure(panels: Sequence[tuple[str, Curves]], width: float) -> Figure:
    """One panel a kind of number, one line a name."""
    figure, grid = _panes([title for title, _ in panels], width)
    for axes, (_, curves) in zip(grid, panels, strict=True):
        for (name, points), colour in zip(curves.items(), _cycle(), strict=False):
            steps, values = zip(*points, strict=True)
            marker = "o" if len(points) < 25 else ""
            axes.plot(steps, values, color=colour, linewidth=1.5, marker=marker, markersize=3, label=name)
        if len(curves) > 1:
            axes.legend(frameon=False, labelcolor=_INK, fontsize=8)
        axes.margins(x=0.02)
    figure.axes[-1].set_xlabel("step", color=_INK)
    return figure


Bands = dict[str, list[tuple[int, Interval]]]
"""Name -> points with their intervals."""


def bands_figure(panels: Sequence[tuple[str, Bands]], width: float, *, axis: str) -> Figure:
    """One panel a group, one line with its interval a name; equal steps are equal factors."""
    import numpy as np

    figure, grid = _panes([title for title, _ in panels], width)
    for axes, (_, bands) in zip(grid, panels, strict=True):
        for (name, points), colour in zip(bands.items(), _cycle(), strict=False):
            places, means, lows, highs = np.array([(x, found.mean, found.low, found.high) for x, found in points], dtype=float).T
            axes.plot(places, means, color=colour, linewidth=1.5, marker="o", markersize=3, label=name)
            axes.fill_between(places, lows, highs, color=colour, alpha=0.12, linewidth=0)
        ticks = sorted({x for points in bands.values() for x, _ in points})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [str(x) for x in ticks])
        axes.minorticks_off()
        axes.legend(frameon=False, labelcolor=_INK, fontsize=8)
    figure.axes[-1].set_xlabel(axis, color=_INK)
    return figure


def _panes(titles: Sequence[str], width: float) -> tuple[Figure, list[Axes]]:
    """Panels in as many columns as there is room for."""
    across = 2 if width > 6 and len(titles) > 1 else 1
    down = -(-len(titles) // across)
    figure, grid = _figure(width, 2.3 * down + 0.2), []
    for place, title in enumerate(titles, start=1):
        axes = figure.add_subplot(down, across, place)
        _style(axes)
        axes.grid(axis="y", color=_FAINT, linewidth=0.7)
        axes.set_title(title, color=_INK, fontsize=10, loc="left")
        grid.append(axes)
    return figure, grid


class Dot(Frozen):
    """A value with its interval."""

    name: str
    kind: str
    """As in `COLOURS`."""
    value: float | None
    low: float | None
    high: float | None


def dot(name: str, kind: str, found: Measure | Interval) -> Dot:
    """The dot of a mean."""
    return Dot(name=name, kind=kind, value=found.mean, low=found.low, high=found.high)


def dots_figure(groups: Sequence[tuple[str, Sequence[Dot]]], width: float, *, end: float = 2.0, axis: str = "score") -> Figure:
    """Dots under headings; the axis goes from 0 to `end`."""
    rows: list[str | Dot] = []
    for heading, dots in groups:
        rows += [heading, *dots]
    figure, axes = _canvas(width, 0.25 * len(rows) + 0.75)
    names, values = [], []
    for place, row in enumerate(rows):
        if isinstance(row, str):
            names.append(row)
            values.append("")
            continue
        _bar(axes, place, row.value, row.low, row.high, COLOURS[row.kind])
        names.append(row.name)
        values.append(between(row.value, row.low, row.high) if width > 6 else number(row.value, 2))
    _label_rows(axes, names, values, headings=[isinstance(row, str) for row in rows])
    axes.set_xlim(-0.015 * end, 1.015 * end)
    axes.set_xlabel(axis, color=_INK)
    return figure


def _panels(curves: Curves) -> list[tuple[str, Curves]]:
    """The kinds of numbers worth a panel, by the words their names hold."""
    kinds: dict[str, Callable[[str], bool]] = {
        "loss": lambda name: "loss" in name,
        "rewards": lambda name: "reward" in name and "accura" not in name,
        "log-probability": lambda name: "logp" in name.replace("_", "") or "logprob" in name.replace("_", "").replace("-", ""),
        "accuracy": lambda name: "accura" in name,
        "learning rate": lambda name: name in ("learning_rate", "lr"),
    }
    found = [(kind, {n: points for n, points in curves.items() if fits(n) and len(points) > 1}) for kind, fits in kinds.items()]
    return [(kind, chosen) for kind, chosen in found if chosen]


def _bar(axes: Axes, place: int, middle: float | None, low: float | None, high: float | None, colour: str) -> None:
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, linewidth=3, solid_capstyle="butt", zorder=3)
    if middle is not None:
        axes.plot([middle], [place], marker="o", markersize=6, color=colour, zorder=4)


def _band(axes: Axes, shown: Sequence[tuple[str, Measure]]) -> None:
    floors = [m.mean for arm, m in shown if kind_of(arm) == "floor" and m.mean is not None]
    ceilings = [m.mean for arm, m in shown if kind_of(arm) == "ceiling" and m.mean is not None]
    if floors and ceilings and max(floors) < max(ceilings):
        axes.axvspan(max(floors), max(ceilings), color=COLOURS["ceiling"], alpha=0.10, linewidth=0, zorder=0)


def _end(shown: Sequence[tuple[str, Measure]], limits: tuple[float, float]) -> float:
    """Where the axis ends: the metric's limit, or nearer where only the ceiling lies beyond a quarter of it (as an arrow)."""
    others = [value for arm, m in shown if kind_of(arm) != "ceiling" for value in (m.mean, m.high) if value is not None]
    highest = max(others, default=limits[1])
    return limits[1] if highest > limits[1] / 4 or highest <= 0 else 1.3 * highest


def _label_rows(axes: Axes, names: Sequence[str], values: Sequence[str], headings: Sequence[bool] = ()) -> None:
    """Names on the left, numbers on the right, first row on top; headings bold."""
    places = range(len(names))
    axes.set_yticks(places, names, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for heading, tick in zip(headings, axes.get_yticklabels(), strict=False):
        tick.set_fontweight("bold" if heading else "normal")
    right = axes.secondary_yaxis("right")
    right.set_yticks(places, values, parse_math=False)
    right.tick_params(length=0, labelsize=9, labelcolor=_INK)
    right.spines["right"].set_visible(False)


def _difference(row: Comparison, width: float) -> str:
    return between(row.diff, row.low, row.high, 3, sign=True) if width > 6 else number(row.diff, sign=True)


def _brief(arm: str) -> str:
    return label(arm).removesuffix(" baseline").removeprefix("floor: ").replace("ceiling: the human's reply", "ceiling").replace(" + ", "+")


def _cycle() -> list[str]:
    return [COLOURS["model"], COLOURS["baseline"], COLOURS["ceiling"], "#cf4457", "#8a63c9", COLOURS["floor"]]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = _figure(width, height)
    axes = figure.add_subplot()
    _style(axes)
    return figure, axes


def _style(axes: Axes) -> None:
    axes.set_facecolor("none")
    axes.grid(axis="x", color=_FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_FAINT)
    axes.tick_params(colors=_FAINT, labelcolor=_INK, length=0, labelsize=9)


def plot(name: str, title: str, make: Callable[[float], Figure]) -> Plot:
    """A figure in all its forms; `make` draws it at a width in inches."""
    wide, narrow = _svg(make, WIDE, f"{name}-wide", title), _svg(make, NARROW, f"{name}-narrow", title)
    opening = wide.index(">") + 1
    return Plot(title=title, wide=wide, narrow=narrow, file=wide[:opening] + _FILE_STYLE + wide[opening:])


def _svg(make: Callable[[float], Figure], width: float, name: str, title: str) -> str:
    """The figure as an SVG element: no prologue, no metadata, ids of its own, theme colours."""
    import matplotlib

    settings = {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "axes.unicode_minus": True}
    with matplotlib.rc_context(settings):
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        make(width).savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r">\s+<", "><", text)
    text = re.sub(r'="[^"]*"', lambda attribute: re.sub(r"(\d\.\d\d)\d{2,}", r"\1", attribute[0]), text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: ([^;\"]*?)px [^;\"]*", r"font: \1px system-ui, 'DejaVu Sans', sans-serif", text)
    text = text.replace(f"stroke: {_FAINT}", "stroke: currentColor; stroke-opacity: 0.22")
    text = text.replace(_INK, "currentColor").replace(_FAINT, "currentColor")
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
