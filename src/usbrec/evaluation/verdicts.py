"""What a report says in words: which differences are shown and which are not, and what the reader must know before quoting a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from usbrec.evaluation.arms import SEARCH
from usbrec.evaluation.compare import CEILING, COLLABORATIVE, FLOORS, RETRIEVERS, Comparison, kind_of
from usbrec.evaluation.metrics import COUNTED, METRICS, ArmMetrics
from usbrec.evaluation.tables import p_value
from usbrec.types import Outcome

_LEAST_CEILING = 0.9  # a ceiling:human below it is told first: on ReDial and OpenDialKG it is 0.96 and more
_SAME_REPLY = 0.2  # from this share of one and the same reply on, a model arm is called collapsed


def verdicts(paired: Sequence[Comparison], judges: Sequence[str], leading: str | None) -> list[str]:
    """Plain sentences: for each judge first whether it can tell at all, then what it shows; what the linked items show comes last."""
    told: list[str] = []
    for metric, judge in (*(("ieval", judge) for judge in judges), ("hit", COUNTED)):
        own = [c for c in paired if c.metric.removesuffix("-unleaked") == metric and c.judge == judge]
        told += [scale(own, own[0].metric if own else metric, judge), *(sentence(c) for c in _headline(own, leading))]
    return told


def _headline(own: Sequence[Comparison], leading: str | None) -> list[Comparison]:
    """The comparisons that a summary needs: the leading arm against its retriever, against baselines and ceiling, then each step."""
    order = {"retrieval": 0, "systems": 1, "baselines": 2, "training": 3, "search": 4}
    against = (*RETRIEVERS, COLLABORATIVE, "floor:most-popular", leading)
    kept = [c for c in own if c.question in ("training", "search") or (leading in (c.a, c.b) and c.question in order and c.b in against)]
    return sorted(kept, key=lambda c: (order[c.question], c.b != COLLABORATIVE))


def scale(own: Sequence[Comparison], metric: str, judge: str) -> str:
    """Can this judge tell the human's reply from useless ones?  The weakest of ceiling - floor decides.

    Args:
        own: the comparisons of this metric by this judge.
    """
    who = f"{METRICS[metric].label} by {judge}" if judge == COUNTED else f"Judge {judge}"
    against = [c for c in own if c.question == "scale" and c.a == CEILING and kind_of(c.b) == "floor" and c.diff is not None]
    if not against:
        return f"{who}: no ceiling or no floor was measured, so its scores have no scale and show nothing by themselves."
    weakest = min(against, key=lambda c: c.diff or 0.0)
    most = (METRICS[metric].limits or (0.0, 1.0))[1]
    room = f"the ceiling stands {_span(weakest)} above the highest floor ({weakest.b}), out of {most:g}"
    blind = [c.b for c in against if c.standing != "shown"]
    if blind:
        return f"{who} does not tell the human's reply from {', '.join(blind)}: {room}. Scores on such a scale show nothing by themselves."
    little = " That is little room: read every score as a place between those two." if (weakest.diff or 0.0) < most / 4 else ""
    return f"{who} tells the human's reply from every floor: {room}.{little}"


def sentence(found: Comparison) -> str:
    """`rl - sft: +0.133 [+0.070, +0.197], Holm-corrected p = 0.0004 on 600 rows: shown`, with everything that limits the claim."""
    label = f"{METRICS[found.metric].label}, {'by' if found.judge == COUNTED else 'judge'} {found.judge}: {found.a} - {found.b}"
    if found.diff is None or found.p is None:
        return f"{label}: no row has a number on both sides, nothing is shown."
    room = "" if found.detectable is None else f"; to be found four times in five it would have to be {found.detectable:.3f}"
    words = {
        "shown": "shown",
        "not shown": f"not shown{room}",
        "opposite shown": f"the opposite is shown: {found.b} is better",
        "undecided": "undecided: the unscored rows could turn it",
        "no rows": "nothing is shown",
    }
    bounds = f" {found.unscored} unscored: over all rows between {found.worst:+.3f} and {found.best:+.3f}." if found.unscored else ""
    p = f"{_equal(found.p)}, not corrected," if found.p_holm is None else f"Holm-corrected {_equal(found.p_holm)}"
    return f"{label}: {_span(found)}, {p} on {found.rows} rows: {words[found.standing]}.{bounds}"


def _equal(p: float) -> str:
    return f"p = {p_value(p)}".replace("= <", "< ")


def _span(found: Comparison) -> str:
    diff = round(found.diff or 0.0, 3) + 0.0
    if found.low is None or found.high is None:
        return f"{diff:+.3f} (no interval)"
    return f"{diff:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def warnings(arms: Mapping[str, ArmMetrics], judges: Sequence[str], outcomes: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """What must be known before a score is quoted; empty when all is well."""
    missing = [arm for arm in (*FLOORS, CEILING, *RETRIEVERS, COLLABORATIVE) if arm not in arms]
    told = [f"Not measured: {', '.join(missing)}. Scores without them have no full scale."] if missing else []
    keys = {arm: {o.key for o in rows} for arm, rows in outcomes.items()}
    if len({frozenset(found) for found in keys.values()}) > 1:
        counts = ", ".join(f"{arm} {len(found)}" for arm, found in keys.items())
        told.append(f"The arms were not measured on the same rows ({counts}): compare the paired differences only.")
    told += [text for judge in judges if (text := _silent(arms, judge))]
    for arm in arms.values():
        told += _of_arm(arm)
    return told


def searched(arms: Mapping[str, ArmMetrics], search: Mapping[str, Any]) -> list[str]:
    """Says what the `+ses` arms do where retrieved items stand in their prompts: that is not the paper's search.

    Args:
        search: the section of the recipe that made the run.
    """
    if not any(arm.endswith(SEARCH) for arm in arms) or not search.get("guided"):
        return []
    ahead = f"{search['depth']} turns of look-ahead" if search.get("depth") else "no look-ahead"
    return [
        f"The search of the arms with {SEARCH} is guided: up to {search['guided']} retrieved items, one a prompt, worded by the model, and "
        f"{ahead}. What it adds to the retriever alone is the first comparison; the paper's own search draws from the model only."
    ]


def low_ceiling(arms: Mapping[str, ArmMetrics], linking: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Says that the human's own replies, which name the targets, miss them: then the scale is short, for every arm.

    Args:
        linking: split -> how well the linker finds what the replies name (`card.json`); empty where nothing says so.
    """
    if CEILING not in arms:
        return []
    counted = arms[CEILING].counted
    found = counted["hit-unleaked"]
    if found.mean is None or found.mean >= _LEAST_CEILING:
        return []
    known = ", ".join(f"{split} {told['recall']:.2f}" for split, told in linking.items() if isinstance(told.get("recall"), int | float))
    return [
        f"The ceiling is low: the human's replies hit a target on {found.mean:.0%} of {found.rows} rows, where nearly all should. No arm "
        f"can score what is not linked. Linking recall in the data: {known or 'not known'}; `usbrec data check` on the data says more."
    ]


def _silent(arms: Mapping[str, ArmMetrics], judge: str) -> str:
    """Rows that were played to the end and yet got no score from this judge; empty when there are none."""
    missed = {arm: found.judged[judge]["ieval"].unscored - found.errors for arm, found in arms.items()}
    total, most = sum(missed.values()), max(missed, key=lambda arm: missed[arm] / arms[arm].rows)
    if not total:
        return ""
    rows = sum(found.rows for found in arms.values())
    return (
        f"Judge {judge} gave no score on {total} of {rows} rows (at most {missed[most]} of {arms[most].rows}, {most});"
        " the tables give the mean that those rows could make of it at worst and at best."
    )


def _of_arm(arm: ArmMetrics) -> list[str]:
    told = [f"{arm.arm}: {arm.errors} of {arm.rows} rows broke off with an error."] if arm.errors else []
    if kind_of(arm.arm) == "model" and arm.turns >= 10 and arm.repetition is not None and arm.repetition >= _SAME_REPLY:
        told.append(f"{arm.arm}: one and the same reply makes up {arm.repetition:.0%} of its turns: the policy has collapsed or nearly so.")
    if arm.fallbacks:
        told.append(f"{arm.arm}: {arm.fallbacks} of {arm.searched} searched turns fell back on the greedy reply.")
    return told
