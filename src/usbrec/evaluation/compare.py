"""Arm against arm, on the rows that both have.

Which differences are taken is fixed before any score is seen (`planned`): first the arm that the method expects to be best against its own
retriever in a fixed sentence, without a language model; then what each training step adds, what the search adds, where each arm stands
against the baselines, and what lies between floors and ceiling, that is, whether the judge can tell anything at all.  `a` is the side
expected to be better; a system that was measured into the run's folder is set against each of its arms.

A difference is *shown* when its 95% interval lies wholly above 0 and its Holm-corrected permutation p-value is below 0.05, and when no
verdict on the unscored rows could take it away (`worst` > 0).

The *family* that Holm corrects over is what one claim is chosen from: the differences of one metric and judge within one `Question`.
"Training helps" may pick any of the training differences, so these share the 5%; whether search helps is another claim with its own.
Metrics and judges are read side by side, not picked from: the report's headline is named before any score is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from usbrec.evaluation.arms import PAPER_SEARCH, SEARCH, model_of, searches
from usbrec.evaluation.metrics import COUNTED, METRICS, Metric, Values, dialogue_of, headline, row_values
from usbrec.evaluation.power import ALPHA, smallest_detectable, standard_error
from usbrec.evaluation.repeats import Pooled, pooled_difference
from usbrec.evaluation.stats import holm
from usbrec.types import Frozen, Outcome

CEILING, COLLABORATIVE, FLOOR = "ceiling:human", "collaborative", "floor:"
SYSTEM = "system:"
FLOORS = ("floor:random-reply", "floor:most-popular", "floor:repeat", "floor:question")
RETRIEVERS = ("retrieval", "retrieval:3", "retrieval+ask")
ORDER = (
    "base", "sft", "rl", "base+ses", "sft+ses", "rl+ses", "base+paper-ses", "sft+paper-ses", "rl+paper-ses",
    *RETRIEVERS, COLLABORATIVE, CEILING, *FLOORS,
)  # fmt: skip
COMPARED = ("ieval-first", "ieval", "hit", "hit-any")
"""Each without the rows that leak, where there are such rows."""

Question = Literal["retrieval", "systems", "training", "search", "baselines", "scale", "runs"]
QUESTIONS: dict[Question, str] = {
    "retrieval": "Against the retriever alone",
    "systems": "A system against the arms of this run",
    "training": "What training adds",
    "search": "What search adds",
    "baselines": "Against the baselines and the ceiling",
    "scale": "Can the judge tell? Ceiling against floors",
    "runs": "Run against run",
}
Standing = Literal["shown", "not shown", "opposite shown", "undecided", "no rows"]


class Comparison(Frozen):
    """One paired difference, a - b."""

    a: str
    b: str
    question: Question
    metric: str
    judge: str
    diff: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None = None
    """`p` corrected over its family; None without rows."""
    error: float | None = None
    """The standard error of `diff`, clustered by dialogue; None where it is unknown."""
    detectable: float | None = None
    """The smallest true difference that these rows show four times in five, at Holm's strictest step in this family."""
    rows: int
    clusters: int
    unpaired: int = 0
    """Rows that only one arm was given: not compared."""
    unscored: int = 0
    """Rows given to both where a side has no number: not in `diff`."""
    worst: float | None = None
    """`diff` if every unscored side of a had the lowest value and every one of b the highest."""
    best: float | None = None
    standing: Standing


def planned(arms: Sequence[str]) -> list[tuple[str, str, Question]]:
    """The pairs (a, b) to compare, among the arms that are there; each pair once."""
    models = [arm for arm in arms if kind_of(arm) == "model"]
    floors = [arm for arm in arms if kind_of(arm) == "floor"]
    top = leading(arms)
    pairs: list[tuple[str, str, Question]] = [(top, retriever, "retrieval") for retriever in RETRIEVERS] if top else []
    pairs += [(arm, RETRIEVERS[0], "retrieval") for arm in reversed(models)]
    systems = [arm for arm in models if arm.startswith(SYSTEM)]
    others = [arm for arm in reversed(models) if arm not in systems]
    pairs += [(system, arm, "systems") for place, system in enumerate(systems) for arm in (*others, *systems[place + 1 :])]
    pairs += [("sft", "base", "training"), ("rl", "sft", "training"), ("rl", "base", "training")]
    pairs += [("sft+ses", "base+ses", "training"), ("rl+ses", "sft+ses", "training"), ("rl+ses", "base+ses", "training")]
    pairs += [(arm, model_of(arm), "search") for arm in models if searches(arm)]
    pairs += [(model_of(arm) + SEARCH, arm, "search") for arm in models if arm.endswith(PAPER_SEARCH)]
    pairs += [(arm, COLLABORATIVE, "baselines") for arm in reversed(models)]
    pairs += [(arm, "floor:most-popular", "baselines") for arm in reversed(models)]
    pairs += [(top, floor, "baselines") for floor in floors] if top else []
    pairs += [(CEILING, top, "baselines")] if top else []
    pairs += [(CEILING, arm, "scale") for arm in (*floors, RETRIEVERS[0], COLLABORATIVE)]
    present: dict[tuple[str, str], Question] = {}
    for a, b, question in pairs:
        if a in arms and b in arms and a != b:
            present.setdefault((a, b), question)
    return [(a, b, question) for (a, b), question in present.items()]


def kind_of(arm: str) -> Literal["model", "baseline", "ceiling", "floor"]:
    """What an arm is there for."""
    if arm.startswith(FLOOR):
        return "floor"
    if arm.startswith("ceiling"):
        return "ceiling"
    return "baseline" if arm in (COLLABORATIVE, *RETRIEVERS) else "model"


def in_order(arms: Sequence[str]) -> list[str]:
    """Arms as every table shows them: models as trained, the baselines, the ceiling, the floors; unknown models after the known."""
    rank = {arm: place for place, arm in enumerate(ORDER)}
    kinds = ("model", "baseline", "ceiling", "floor")
    return sorted(arms, key=lambda arm: (kinds.index(kind_of(arm)), rank.get(arm, len(rank)), arm))


def leading(arms: Sequence[str]) -> str | None:
    """The arm that the method expects to be best: named before any score is seen, so its place is no choice of the luckiest."""
    models = [arm for arm in in_order(arms) if kind_of(arm) == "model"]
    return next((arm for arm in ("rl+ses", "sft+ses", "base+ses", "rl", "sft", "base") if arm in models), models[-1] if models else None)


def compare_all(outcomes: Mapping[str, Sequence[Outcome]], judges: Sequence[str], *, seed: int = 0) -> list[Comparison]:
    """Every planned pair, for every compared metric and judge, each family corrected."""
    metrics = compared_metrics(o for rows in outcomes.values() for o in rows)
    slots = [(m, place, judge) for m in metrics if m.judged for place, judge in enumerate(judges)]
    slots += [(m, 0, COUNTED) for m in metrics if not m.judged]
    pairs = planned(in_order(list(outcomes)))
    found = []
    for metric, place, judge in slots:
        sides = {arm: (arm, [row_values(rows, metric, place)]) for arm, rows in outcomes.items()}
        found += [contrast(sides[a], sides[b], question, metric, judge, seed=seed)[0] for a, b, question in pairs]
    return corrected(found)


def compared_metrics(outcomes: Iterable[Outcome]) -> list[Metric]:
    """The metrics to compare, without leaks where there are any; first-turn and any-turn metrics only where there are later turns."""
    rows = list(outcomes)
    leaks, long = any(o.leaks for o in rows), any(len(o.turns) > 1 for o in rows)
    return [METRICS[headline(name, leaks=leaks)] for name in COMPARED if long or name in ("ieval", "hit")]


def contrast(
    a: tuple[str, Sequence[Values]], b: tuple[str, Sequence[Values]], question: Question, metric: Metric, judge: str, *, seed: int = 0
) -> tuple[Comparison, Pooled]:
    """The paired difference of two sides (name, values of each seed), over the rows that every seed of both has; not `corrected` yet."""
    sides = (*a[1], *b[1])
    common = sorted(set(sides[0]).intersection(*sides[1:]))
    scored = [key for key in common if all(values[key] is not None for values in sides)]
    low, high = metric.limits or (0.0, 0.0)
    left, right = ([{key: _filled(values, low, key) for key in scored} for values in side] for side in (a[1], b[1]))
    pooled = pooled_difference(left, right, seed, cluster=dialogue_of, limits=metric.limits)
    differences = [sum(one[key] - other[key] for one, other in zip(left, right, strict=True)) / len(left) for key in scored]
    error = standard_error(differences, [dialogue_of(key) for key in scored])
    seeds = list(zip(a[1], b[1], strict=True))
    worst = [_filled(one, low, key) - _filled(other, high, key) for key in common for one, other in seeds]
    best = [_filled(one, high, key) - _filled(other, low, key) for key in common for one, other in seeds]
    found = Comparison(
        a=a[0],
        b=b[0],
        question=question,
        metric=metric.name,
        judge=judge,
        **pooled.paired.model_dump(exclude={"only_a", "only_b"}),
        error=None if error is None else round(error, 6),
        unpaired=len(set(common).union(*sides)) - len(common),
        unscored=len(common) - len(scored),
        worst=round(sum(worst) / len(worst), 6) if worst else None,
        best=round(sum(best) / len(best), 6) if best else None,
        standing="no rows",
    )
    return found, pooled


def corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """The same with `p_holm`, `detectable` and `standing`.  A family: the comparisons of one metric, judge and question that have rows."""
    families: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for place, c in enumerate(found):
        if c.p is not None:
            families.setdefault((c.metric, c.judge, c.question), []).append((place, c.p))
    told = list(found)
    for family in families.values():
        for (place, _), p in zip(family, holm([p for _, p in family]), strict=True):
            error = found[place].error
            detectable = None if error is None else round(smallest_detectable(error, alpha=ALPHA / len(family)), 6)
            whole = found[place].model_copy(update={"p_holm": p, "detectable": detectable})
            told[place] = whole.model_copy(update={"standing": _standing(whole)})
    return told


def _filled(values: Values, default: float, key: str) -> float:
    value = values[key]
    return default if value is None else value


def _standing(found: Comparison) -> Standing:
    if found.diff is None or found.worst is None or found.best is None:
        return "no rows"
    if found.low is None or found.high is None or found.p_holm is None:
        return "not shown"
    if found.p_holm >= ALPHA or found.low <= 0 <= found.high:
        return "not shown"
    if found.low > 0:
        return "shown" if found.worst > 0 else "undecided"
    return "opposite shown" if found.best < 0 else "undecided"
