"""What one arm scored: figures read out of its `Outcome` rows.

A metric maps a row to a number, or to None where the row has none: it was not scored, or it broke off before the turn that counts.  Such
rows are never dropped silently: `Measure.unscored` counts them, and `worst` and `best` say what the mean would be had they all got the
lowest or the highest value.  The interval and the mean are over the rows that have a number.

Judged metrics exist once per judge.  Counted metrics (hits, offers) rest on the linked items alone; their judge is `COUNTED`.  A turn
hits when a judge says so or when its offer (`Turn.items`) is a target: that is Hit@reply.  `recall@1` is the strict one, which alone may
stand beside published values: the very first item that the first reply names is a target, and nobody had named it.  A discounted hit is
1 / log2(1 + t), t being the first turn that hits, counted from 1; 0 without a hit: a target found late is worth less.

The headline leaves out the rows whose dialogue names a target already (`unleaked`): what is repeated there is no recommendation.

Distinct-2, repetition and the number of different items belong to the arm as a whole and depend on how many replies it has: compare them
between arms on the same rows only.  They have no interval.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import log2

from usbrec.errors import DataError
from usbrec.evaluation.stats import Limits, mean_interval
from usbrec.linking import Linker
from usbrec.roles.catalogue import target_hit
from usbrec.types import Dialogue, Frozen, Outcome, Turn

Values = Mapping[str, float | None]
"""Row key -> the row's value in one metric, None where it has none."""
COUNTED = "linked items"
"""Stands where a judge's name stands, for metrics that no judge decides."""

Reading = Callable[[Outcome, int], float | None]
"""(outcome, index of the judge) -> the row's value, or None."""


class Metric(Frozen):
    """One number a row."""

    name: str
    label: str
    limits: Limits | None
    judged: bool
    """False: the same for every judge."""
    read: Reading
    unleaked: bool = False
    """Only rows whose dialogue names no target yet."""


class Measure(Frozen):
    """The mean of a metric over one arm's rows."""

    mean: float | None
    low: float | None
    high: float | None
    rows: int
    """Rows that have a number."""
    clusters: int
    """Dialogues they come from."""
    unscored: int = 0
    worst: float | None = None
    """The mean over all rows if every unscored one had the lowest value."""
    """Both None where the metric has no limits."""
    best: float | None = None


class ArmMetrics(Frozen):
    """Everything measured on one arm."""

    arm: str
    rows: int
    dialogues: int
    leaked: int
    """Rows whose dialogue names a target already."""
    errors: int
    """Rows that broke off with an error; each is unscored wherever the missing turns would have counted."""
    turns: int
    left: int = 0
    """Rows whose seeker lost patience and left, unsatisfied."""
    judged: dict[str, dict[str, Measure]]
    """judge -> metric -> measure."""
    counted: dict[str, Measure]
    different_items: int
    distinct_2: float | None
    """Different word pairs per word pair, over all replies; None without any."""
    repetition: float | None
    """The share of the commonest reply."""
    seconds_per_turn: float | None
    searched: int
    """Turns that were searched (docs/method.md, SES)."""
    fallbacks: int
    """Searched turns that fell back on the greedy reply, because no candidate could be scored."""

    def measure(self, metric: str, judge: str) -> Measure | None:
        """The measure, wherever it is kept; None if this arm has none."""
        return self.judged.get(judge, {}).get(metric) or self.counted.get(metric)


def dialogue_of(key: str) -> str:
    """The dialogue a row's key belongs to: `<dialogue id>:<turn id>`."""
    return key.rpartition(":")[0] or key


def hit(turn: Turn, targets: Sequence[str]) -> bool:
    """A target is among the items of this turn that count."""
    return any(score.hit for score in turn.scores) or bool(set(turn.items) & set(targets))


def success_turn(outcome: Outcome) -> int | None:
    """The number, from 1, of the first turn that hits; None where none does."""
    return next((number for number, turn in enumerate(outcome.turns, start=1) if hit(turn, outcome.targets)), None)


def headline(metric: str, *, leaks: bool) -> str:
    """The form of a metric for the headline: where there are rows whose dialogue names a target already, without them."""
    return f"{metric}-unleaked" if leaks else metric


def linking_judge(arms: Mapping[str, Sequence[Outcome]]) -> int | None:
    """The place of the first judge that lists items at all; LLM judges do not."""
    turns = (turn for rows in arms.values() for outcome in rows for turn in outcome.turns)
    return min((place for turn in turns for place, score in enumerate(turn.scores) if score.items), default=None)


def keep_new(arms: Mapping[str, Sequence[Outcome]], linker: Linker | None = None) -> dict[str, list[Outcome]]:
    """The same outcomes with only *new* items in `Turn.items`: those that the `linking_judge` counted.

    Where there is none, the linker tells which of them nobody had named; without one they stay as they are.
    """
    linking = linking_judge(arms)
    if linking is None:
        return {arm: [_linked(outcome, linker) if linker else outcome for outcome in rows] for arm, rows in arms.items()}

    def renewed(outcome: Outcome) -> Outcome:
        if all(turn.items == turn.scores[linking].items for turn in outcome.turns):
            return outcome
        turns = tuple(turn.model_copy(update={"items": turn.scores[linking].items}) for turn in outcome.turns)
        return outcome.model_copy(update={"turns": turns})

    return {arm: [renewed(outcome) for outcome in rows] for arm, rows in arms.items()}


def _linked(outcome: Outcome, linker: Linker) -> Outcome:
    """The outcome with only the new items of each turn, and hits marked in its scores, as a judge that lists items does."""
    said = [place for place, message in enumerate(outcome.dialogue.messages) if place >= outcome.start and message.side == "recommender"]
    turns = []
    for turn, place in zip(outcome.turns, said, strict=False):
        found, fresh = target_hit(Dialogue(messages=outcome.dialogue.messages[: place + 1]), outcome.targets, linker)
        scores = tuple(score.model_copy(update={"hit": found}) for score in turn.scores)
        turns.append(turn.model_copy(update={"items": fresh, "scores": scores}))
    return outcome.model_copy(update={"turns": tuple(turns)})


def _value(turn: Turn, judge: int) -> float | None:
    return turn.scores[judge].value


def _last(outcome: Outcome, judge: int) -> float | None:
    return None if outcome.error or not outcome.turns else _value(outcome.turns[-1], judge)


def _first(outcome: Outcome, judge: int) -> float | None:
    return _value(outcome.turns[0], judge) if outcome.turns else None


def _best(outcome: Outcome, judge: int) -> float | None:
    values = [_value(turn, judge) for turn in outcome.turns]
    known = [value for value in values if value is not None]
    if 2 in known:
        return 2.0
    return None if outcome.error or len(known) < len(values) or not known else max(known)


def _comparable(outcome: Outcome, judge: int) -> float | None:
    value = _last(outcome, judge)
    return None if value is None else float(0.5 <= value < 1.5)


def _static(outcome: Outcome, _: int) -> float | None:
    return float(hit(outcome.turns[0], outcome.targets)) if outcome.turns else None


def _discounted(outcome: Outcome, _: int) -> float | None:
    if turn := success_turn(outcome):
        return 1 / log2(1 + turn)
    return None if outcome.error or not outcome.turns else 0.0


def _interactive(outcome: Outcome, judge: int) -> float | None:
    value = _discounted(outcome, judge)
    return None if value is None else float(value > 0)


def _first_item(outcome: Outcome, _: int) -> float | None:
    if not outcome.turns:
        return None
    turn = outcome.turns[0]
    first = turn.titles[:1]
    return float(bool(set(first) & set(turn.items) & set(outcome.targets)))


def _offers(outcome: Outcome, _: int) -> float | None:
    return sum(bool(turn.items) for turn in outcome.turns) / len(outcome.turns) if outcome.turns else None


def _questions(outcome: Outcome, _: int) -> float | None:
    if not outcome.turns:
        return None
    return sum(len(re.findall(r"[?？]+", turn.reply)) for turn in outcome.turns) / len(outcome.turns)


def _metric(name: str, label: str, read: Reading, limits: Limits | None, *, judged: bool = False, unleaked: bool = False) -> Metric:
    return Metric(name=name, label=label, read=read, limits=limits, judged=judged, unleaked=unleaked)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric("ieval", "iEval", _last, (0, 2), judged=True),
        _metric("ieval-first", "iEval of the first turn", _first, (0, 2), judged=True),
        _metric("ieval-first-unleaked", "iEval of the first turn without leaks", _first, (0, 2), judged=True, unleaked=True),
        _metric("ieval-best", "iEval of the best turn", _best, (0, 2), judged=True),
        _metric("ieval-unleaked", "iEval without leaks", _last, (0, 2), judged=True, unleaked=True),
        _metric("comparable", "share judged comparable", _comparable, (0, 1), judged=True),
        _metric("hit", "Hit@reply", _static, (0, 1)),
        _metric("hit-any", "Hit@reply in any turn", _interactive, (0, 1)),
        _metric("hit-unleaked", "Hit@reply without leaks", _static, (0, 1), unleaked=True),
        _metric("hit-any-unleaked", "Hit@reply in any turn without leaks", _interactive, (0, 1), unleaked=True),
        _metric("discounted-hit", "discounted hit", _discounted, (0, 1)),
        _metric("discounted-hit-unleaked", "discounted hit without leaks", _discounted, (0, 1), unleaked=True),
        _metric("recall@1", "Recall@1 (first item, new)", _first_item, (0, 1)),
        _metric("offers", "offers a new item", _offers, (0, 1)),
        _metric("questions", "questions a turn", _questions, None),
    )
}


def row_values(outcomes: Sequence[Outcome], metric: Metric, judge: int = 0) -> dict[str, float | None]:
    """Row key -> value, None where the row has none; rows with leaks are left out for an `unleaked` metric.

    Args:
        judge: index into each turn's scores; of no effect for a metric that is not judged.
    """
    return {o.key: metric.read(o, judge) for o in outcomes if not (metric.unleaked and o.leaks)}


def measure(values: Mapping[str, float | None], limits: Limits | None, seed: int) -> Measure:
    """The mean over the rows with a value, its interval by dialogue, and the bounds that the unscored rows leave."""
    known = {key: value for key, value in values.items() if value is not None}
    interval = mean_interval(list(known.values()), seed, clusters=[dialogue_of(key) for key in known], limits=limits)
    unscored = len(values) - len(known)
    if not values or limits is None:
        return Measure(**interval.model_dump(), unscored=unscored)
    worst, best = (round((sum(known.values()) + unscored * limit) / len(values), 6) for limit in limits)
    return Measure(**interval.model_dump(), unscored=unscored, worst=worst, best=best)


def measure_arm(outcomes: Sequence[Outcome], judges: Sequence[str], *, seed: int = 0) -> ArmMetrics:
    """All metrics of one arm.

    Args:
        outcomes: the arm's rows, one per key.
        judges: one name per score of each turn, in that order.

    Raises:
        DataError: there are no rows, rows of several arms, or a turn whose scores are not one per judge.
    """
    arm = _check(outcomes, judges)
    turns = [turn for outcome in outcomes for turn in outcome.turns]
    searches = [turn.search for turn in turns if turn.search is not None]
    replies = [turn.reply for turn in turns]
    plain = {name: m for name, m in METRICS.items() if not m.judged}
    judged = {name: m for name, m in METRICS.items() if m.judged}
    return ArmMetrics(
        arm=arm,
        rows=len(outcomes),
        dialogues=len({dialogue_of(o.key) for o in outcomes}),
        leaked=sum(bool(o.leaks) for o in outcomes),
        errors=sum(bool(o.error) for o in outcomes),
        turns=len(turns),
        left=sum(o.left for o in outcomes),
        judged={
            judge: {name: measure(row_values(outcomes, m, place), m.limits, seed) for name, m in judged.items()}
            for place, judge in enumerate(judges)
        },
        counted={name: measure(row_values(outcomes, m), m.limits, seed) for name, m in plain.items()},
        different_items=len({item for turn in turns for item in turn.items}),
        distinct_2=distinct(replies, 2),
        repetition=round(Counter(replies).most_common(1)[0][1] / len(replies), 6) if replies else None,
        seconds_per_turn=round(sum(turn.seconds for turn in turns) / len(turns), 6) if turns else None,
        searched=len(searches),
        fallbacks=sum(search.fallback for search in searches),
    )


def distinct(replies: Sequence[str], n: int) -> float | None:
    """Distinct-n (Li et al. 2016) over all replies together, on lower-cased words; None where no reply has n words."""
    grams: Counter[tuple[str, ...]] = Counter()
    for reply in replies:
        words = re.findall(r"\w+", reply.lower())
        grams.update(zip(*(words[i:] for i in range(n)), strict=False))
    return round(len(grams) / grams.total(), 6) if grams else None


def _check(outcomes: Sequence[Outcome], judges: Sequence[str]) -> str:
    if not outcomes:
        raise DataError("an arm without any outcome cannot be measured")
    arms = sorted({outcome.arm for outcome in outcomes})
    if len(arms) > 1:
        raise DataError(f"outcomes of several arms in one list: {', '.join(arms)}")
    for outcome in outcomes:
        for number, turn in enumerate(outcome.turns, start=1):
            if len(turn.scores) != len(judges):
                raise DataError(
                    f"turn {number} has {len(turn.scores)} scores for {len(judges)} judges ({', '.join(judges)})",
                    where=f"arm '{arms[0]}', row '{outcome.key}'",
                    fix="evaluate the arm again with the judges of this recipe",
                )
    return arms[0]
