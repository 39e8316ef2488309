"""What stands behind the scores, as tables: the judges' scales, leaks, failures, variety, judges over the training."""

from __future__ import annotations

from usbrec.evaluation import divergence, failures, leak_tables, ranking
from usbrec.evaluation.calibration import LEAST_AUC
from usbrec.evaluation.compare import FLOORS, kind_of
from usbrec.evaluation.metrics import Measure
from usbrec.evaluation.scale import Scale
from usbrec.evaluation.sight import LEAST_SIGHT
from usbrec.evaluation.summary import Report
from usbrec.evaluation.tables import Sheet, between, label, number, spread


def sheets(report: Report) -> list[Sheet]:
    """Every one of these tables for which the run has figures."""
    seen = [failure for failure in report.failures if kind_of(failure.arm) != "floor"]  # floors fire what they are built for
    found = [_scales(report), failures.sheet(seen), _variety(report)]
    told = (("Rankings, of the dialogue as given", report.rankings), ("Rankings, the best turn", report.rankings_interactive))
    found += [ranking.sheet(measured, title=title) for title, measured in told if measured]
    found += leak_tables.sheets(report.leaks) if report.leaks else []
    found += [divergence.sheet(report.divergence)] if report.divergence else []
    return [sheet for sheet in found if sheet.rows]


def fitness(report: Report) -> list[str]:
    """A sentence for every judge that is not fit, or blind."""
    unfit = [
        f"Judge {judge} is NOT FIT TO JUDGE: {scale.why}. Its scores, and differences in them, show nothing."
        for judge, scale in report.scales.items()
        if scale.fit is False
    ]
    blind = [
        f"Judge {judge} is BLIND to which item is offered: its AUC of hits against misses is {scale.sight}. "
        "That it agrees with another judge shows nothing of hits."
        for judge, scale in report.scales.items()
        if scale.sight and scale.sight.blind
    ]
    return unfit + blind


def _scales(report: Report) -> Sheet:
    rows = [
        (
            judge,
            {True: "yes", False: "NO", None: "not known"}[scale.fit],
            *(_auc(scale, floor) for floor in FLOORS),
            _sight(scale),
            scale.why or "–",
        )
        for judge, scale in report.scales.items()
    ]
    return Sheet(
        title="Can the judges tell? AUC of the human's reply against useless ones",
        columns=("judge", "fit", *(label(floor) for floor in FLOORS), "hits from misses", "why not"),
        rows=tuple(rows),
        note=f"First replies on the rows without leaks, 95% intervals; 0.5 is a coin. Fit: at least {LEAST_AUC:g} against every floor. "
        "Hits from misses: first replies of all arms but the human's, offers of a target against other offers; "
        f"below {LEAST_SIGHT:g} the judge is blind to which item is offered.",
    )


def _sight(scale: Scale) -> str:
    return "–" if scale.sight is None else f"{scale.sight}{', BLIND' if scale.sight.blind else ''}"


def _auc(scale: Scale, floor: str) -> str:
    found = scale.auc.get(floor)
    return "–" if found is None else between(found.value, found.low, found.high)


def _variety(report: Report) -> Sheet:
    rows = [
        (
            label(v.arm), number(v.coverage), _mean(v.popularity), number(v.gini, 2), _mean(v.off_catalogue),
            f"{v.wrong_years} of {v.years}" if v.years else "–", _mean(v.repetition),
            number(v.success.mean), number(v.success_turn.mean, 2),
        )
        for v in report.variety
    ]  # fmt: skip
    columns = (
        "arm", "catalogue covered", "popularity percentile", "Gini", "title of no item", "truth: wrong years", "only named before",
        "success", "turn of success",
    )  # fmt: skip
    note = (
        "Popularity: mean percentile of the offered items by training likes. Gini: over the whole catalogue, 1 where one item is offered "
        "always. Title of no item: replies that write one, in quotes or with a year. Truth: years said in "
        "brackets behind a title of the catalogue that are not the catalogue's. Success: a hit in any turn; its turn, where it comes."
    )
    kinds = tuple(kind_of(v.arm) for v in report.variety)
    return Sheet(title="Variety", columns=columns, rows=tuple(rows), kinds=kinds, note=note, aside=True)


def _mean(measure: Measure) -> str:
    return spread(measure, 2)
