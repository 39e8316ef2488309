"""The report as a page and as Markdown: templates filled with the same sheets, sentences and plots.

Everything that comes from data or models is escaped by the template engine; only our own SVG is set in as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from usbrec.evaluation import trust
from usbrec.evaluation.compare import in_order
from usbrec.evaluation.plots import Plot
from usbrec.evaluation.summary import Report
from usbrec.evaluation.tables import card_sheets, label, markdown, sheets
from usbrec.seeds import seed_of
from usbrec.types import Frozen, Message, Outcome, Turn

if TYPE_CHECKING:
    from jinja2 import Environment

SAMPLES = 6
"""Rows shown on the page, each with every model arm's conversation."""


class Played(Frozen):
    """One arm's conversation on a sampled row."""

    arm: str
    said: tuple[tuple[Message, Turn | None], ...]
    """Each message that was played, with the verdicts on it if it is the recommender's."""
    error: str


class Sample(Frozen):
    """One row and what the arms made of it."""

    key: str
    given: tuple[Message, ...]
    targets: tuple[str, ...]
    leaks: tuple[str, ...]
    played: tuple[Played, ...]


def page(
    report: Report, plots: Mapping[str, Plot], *, recipe: str, samples: Mapping[str, Sequence[Outcome]], names: Mapping[str, str]
) -> str:
    """The whole HTML page.

    Args:
        recipe: the resolved recipe's text, shown folded.
        samples: arm -> outcomes to draw dialogues from; empty: no dialogue is shown.
        names: item id -> title.
    """
    template = _environment(html=True).get_template("report.html.j2")
    return template.render(
        report=report, plots=plots, sheets=sheets(report), trust=trust.sheets(report), cards=card_sheets(report), recipe=recipe,
        samples=draw_samples(samples), name=lambda item: names.get(item, item), label=label,
        groups=_groups(report.verdicts),
    )  # fmt: skip


def _groups(verdicts: Sequence[str]) -> list[list[str]]:
    """The sentences, a new group at each that speaks of a scale (`verdicts.scale`); the others drop what that one has said already."""
    groups: list[list[str]] = []
    for verdict in verdicts:
        if not groups or " - " not in verdict:
            groups.append([verdict])
        else:
            groups[-1].append(verdict.split(": ", 1)[-1])
    return groups


def text(report: Report, plots: Mapping[str, Plot]) -> str:
    """The whole report as Markdown; no dialogue text."""
    template = _environment(html=False).get_template("report.md.j2")
    tables = [*sheets(report), *trust.sheets(report)]
    return template.render(report=report, plots=plots, sheets=tables, cards=card_sheets(report), markdown=markdown, label=label)


def draw_samples(arms: Mapping[str, Sequence[Outcome]], count: int = SAMPLES) -> list[Sample]:
    """The rows to show: drawn by their keys' hashes, so without looking at how they turned out; the same for every arm."""
    by_key: dict[str, dict[str, Outcome]] = {}
    for arm, outcomes in arms.items():
        for outcome in outcomes:
            by_key.setdefault(outcome.key, {})[arm] = outcome
    complete = sorted(by_key, key=lambda key: (-len(by_key[key]), seed_of("sample", key)))[:count]
    return [_sample(key, by_key[key]) for key in complete]


def _sample(key: str, rows: Mapping[str, Outcome]) -> Sample:
    first = next(iter(rows.values()))
    shown = [arm for arm in in_order(list(rows)) if not arm.startswith("floor:")]
    return Sample(
        key=key,
        given=first.dialogue.messages[: first.start],
        targets=first.targets,
        leaks=first.leaks,
        played=tuple(_played(rows[arm]) for arm in shown),
    )


def _played(outcome: Outcome) -> Played:
    turns = iter(outcome.turns)
    said = [(m, next(turns, None) if m.side == "recommender" else None) for m in outcome.dialogue.since(outcome.start)]
    return Played(arm=outcome.arm, said=tuple(said), error=outcome.error)


@cache
def _environment(*, html: bool) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("usbrec.evaluation", "templates"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["drawing"] = _drawing(Markup)
    return environment


def _drawing(markup: Any) -> Any:
    """Marks our own SVG as safe."""
    return lambda svg: markup(svg)
