"""The leakage audit as tables: without any text of a dialogue."""

from __future__ import annotations

from collections.abc import Mapping

from usbrec.evaluation.compare import kind_of
from usbrec.evaluation.identifiability import WITHIN
from usbrec.evaluation.leaks import FORMS, SUBSETS, ArmLeaks, Form, LeakAudit, Subset
from usbrec.evaluation.metrics import COUNTED, METRICS, Measure
from usbrec.evaluation.tables import Sheet, label, spread

FORM_NAMES: dict[Form, str] = {
    "dated": "title and year", "title": "title alone", "alias": "alias", "repaired": "repaired", "shared": "shared title",
}  # fmt: skip
SUBSET_NAMES: dict[Subset, str] = {
    "all": "all rows", "history": "no leak in the history", "seeker": "no leak by the seeker", "neither": "neither",
}  # fmt: skip
SPEAKER_NAMES = {"recommender": "the recommender", "seeker": "the seeker", "either": "either side"}


def sheets(audit: LeakAudit) -> list[Sheet]:
    """Every table of the audit, in reading order; those without rows are left out."""
    slots = dict.fromkeys((result.metric, result.judge) for result in audit.results)
    found = [
        _histories(audit),
        _overlaps(audit),
        _arms(audit),
        _identified(audit),
        *(_results(audit, metric, judge) for metric, judge in slots),
    ]
    return [sheet for sheet in found if sheet.rows]


def _histories(audit: LeakAudit) -> Sheet:
    rows = [
        (
            split, SPEAKER_NAMES[side], _share(named.rows, found.rows), str(named.every),
            *(str(named.forms[form]) for form in FORMS), str(found.words) if side == "either" else "",
        )
        for split, found in audit.splits.items()
        for side, named in found.named.items()
    ]  # fmt: skip
    note = (
        "Rows whose history names a target; a row counts once, in the plainest form that occurs. Repaired: a wrong year or a slip "
        "of the pen; shared: a title of several items, a target among them. Words only: no target links, but a target's words stand there."
    )
    columns = ("split", "named by", "rows", "all targets", *(FORM_NAMES[form] for form in FORMS), "words only")
    return Sheet(title="Targets that the history names", columns=columns, rows=tuple(rows), note=note)


def _overlaps(audit: LeakAudit) -> Sheet:
    rows = [
        (
            f"{found.first}, {found.second}", f"{found.dialogues} of {found.of}",
            *(str(count) for count in (found.rows, found.answered, found.contexts, found.repeated)),
        )
        for found in audit.overlaps
    ]  # fmt: skip
    columns = ("splits", "dialogues in both", "rows of these", "reply stands in the first", "same history", "and a target in common")
    note = (
        "Dialogues and rows are the second split's. Reply: the dialogue goes on in a row of the first split, whose history holds the reply."
    )
    return Sheet(title="Between splits", columns=columns, rows=tuple(rows), note=note)


def _arms(audit: LeakAudit) -> Sheet:
    rows = [(label(arm.arm), str(arm.rows), str(arm.named), str(arm.revealed), *_prompts(arm)) for arm in audit.arms]
    columns = (
        "arm", "rows", "seeker names a target first", "or gives it away", "prompts", "in the ledger", "with one item each",
        "target offered by the retriever", "target elsewhere in a prompt", "imagined by the search",
    )  # fmt: skip
    note = (
        "Rows, but for the three columns of prompts. Must be 0: what the simulated seeker gives away, and targets elsewhere in a prompt. "
        "What the retriever offers it has found without labels."
    )
    return Sheet(title="Conversations and prompts", columns=columns, rows=tuple(rows), kinds=_kinds(audit), note=note, aside=True)


def _identified(audit: LeakAudit) -> Sheet:
    spoken = [arm for arm in audit.identified if arm.sayings]
    rows = [
        (
            label(arm.arm), str(arm.rows), *(_share(arm.rows_within[k], arm.rows) for k in WITHIN),
            str(arm.sayings), str(arm.telling), *(_share(arm.sayings_within[k], arm.sayings) for k in WITHIN),
        )
        for arm in spoken
    ]  # fmt: skip
    limits = [f"k <= {k}" for k in WITHIN]
    columns = ("arm", "rows", *(f"rows, {limit}" for limit in limits), "sayings", "telling", *(f"sayings, {limit}" for limit in limits))
    note = (
        "k: the items named by nobody that fit all that the seeker has said of a target (genres, people, decades), counted after each "
        "simulated saying that tells something new; a row counts by its smallest. k = 1 is a leak in all but name."
    )
    kinds = tuple(kind_of(arm.arm) for arm in spoken)
    return Sheet(title="How far the seeker's words identify a target", columns=columns, rows=tuple(rows), kinds=kinds, note=note)


def _prompts(arm: ArmLeaks) -> tuple[str, ...]:
    found = arm.prompts
    if found is None:
        return ("–",) * 6
    confirmed = "–" if found.confirmed is None else str(found.confirmed)
    return str(found.prompts), confirmed, str(found.guided), _share(found.offered, arm.rows), str(found.elsewhere), str(found.imagined)


def _results(audit: LeakAudit, metric: str, judge: str) -> Sheet:
    arms: dict[str, dict[Subset, Measure]] = {}
    for result in audit.results:
        if (result.metric, result.judge) == (metric, judge):
            arms.setdefault(result.arm, {})[result.subset] = result.measure
    rows = tuple((label(arm), *(spread(found[subset]) for subset in SUBSETS), _rows(found)) for arm, found in arms.items())
    title = f"{METRICS[metric].label}, {'by' if judge == COUNTED else 'judge:'} {judge}, with and without leaks"
    columns = ("arm", *(SUBSET_NAMES[subset] for subset in SUBSETS), "rows")
    note = "By the seeker: in the history, or when played. Means with their 95% intervals; rows: scored, in the order of the columns."
    return Sheet(title=title, columns=columns, rows=rows, kinds=_kinds(audit), note=note, aside=metric != "ieval")


def _rows(found: Mapping[Subset, Measure]) -> str:
    return " / ".join(str(found[subset].rows) for subset in SUBSETS)


def _share(count: int, rows: int) -> str:
    return f"{count} ({count / rows:.1%})" if rows else "0"


def _kinds(audit: LeakAudit) -> tuple[str, ...]:
    return tuple(kind_of(arm.arm) for arm in audit.arms)
