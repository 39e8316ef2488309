"""The leakage audit: where a target can be read before it is recommended, and what the scores are without those rows.

| leak                                                              | where it is looked for                                            |
|-------------------------------------------------------------------|-------------------------------------------------------------------|
| the history names a target, either side or the seeker              | each row of each split                                            |
| two splits share dialogues, or the same words                      | each pair of splits                                               |
| the simulated seeker names a target before the recommender does    | each played conversation: must not be                             |
| the simulated seeker's words fit hardly any item but a target      | each simulated saying, see `identifiability`                      |
| a prompt names a target that the dialogue does not                 | rebuilt prompts, see `prompt_leaks`: must not be, unless retrieved |

Named means linked (`usbrec.linking`), so the counts agree with a card's; a target whose words stand in the history but link to nothing is
counted apart.  The results are those of `metrics`, on all rows and without the rows that leak.  No text of any dialogue is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Literal

from usbrec.data.splits import goes_on, passed, shared_chats
from usbrec.evaluation.compare import in_order
from usbrec.evaluation.identifiability import Identified, identified
from usbrec.evaluation.metrics import COUNTED, METRICS, Measure, dialogue_of, keep_new, measure, row_values
from usbrec.evaluation.prompt_leaks import PromptLeaks, secret_targets
from usbrec.linking import Linker, Mention
from usbrec.titles import key_of, keys_of
from usbrec.types import Dialogue, Example, Frozen, Item, Outcome

Form = Literal["dated", "title", "alias", "repaired", "shared"]
FORMS: tuple[Form, ...] = ("dated", "title", "alias", "repaired", "shared")
"""How a target is named, the plainest first: title and right year; the title alone; without its article or with its hyphens closed up;
with a wrong year or a slip of the pen; by a title that several items share."""
Speaker = Literal["recommender", "seeker", "either"]
Subset = Literal["all", "history", "seeker", "neither"]
SUBSETS: tuple[Subset, ...] = ("all", "history", "seeker", "neither")
"""All rows; without those whose history names a target; without those where the seeker does, in the history or played; without both."""
RESULTS = ("ieval", "hit", "hit-any")


class Named(Frozen):
    """Rows in which one side names a target."""

    rows: int
    every: int
    """Of these, rows in which it names all targets."""
    forms: dict[Form, int]
    """The plainest form that occurs in a row; these add up to `rows`."""


class HistoryLeaks(Frozen):
    """What the histories of some rows give away."""

    rows: int
    dialogues: int
    named: dict[Speaker, Named]
    words: int
    """Rows that name no target, but in which a target's words, or those before or after its colon, stand (`Linker.reveals`)."""


class Overlap(Frozen):
    """What two splits have in common."""

    first: str
    second: str
    dialogues: int
    """Of the second, with rows in the first: by their id, or by their words."""
    of: int
    """Dialogues of the second."""
    rows: int
    """Of the second, in those dialogues."""
    answered: int
    """Rows of the second whose dialogue goes on in a row of the first: the human's reply, targets and all, stands in that row's history."""
    contexts: int
    """Rows of the second whose history is, word for word, that of a row of the first."""
    repeated: int
    """Of these, rows that have a target in common with it too."""


class ArmLeaks(Frozen):
    """What was given away while an arm was evaluated."""

    arm: str
    rows: int
    named: int
    """Rows in which the simulated seeker named a target that nobody had named: must be 0."""
    revealed: int
    """The same with `Linker.reveals`, which also sees parts of titles: must be 0."""
    prompts: PromptLeaks | None = None
    """None for arms without a model, and where prompts were not read."""


class Result(Frozen):
    """One metric of one arm on a part of its rows."""

    arm: str
    metric: str
    judge: str
    subset: Subset
    measure: Measure


class LeakAudit(Frozen):
    """Everything that was found."""

    splits: dict[str, HistoryLeaks]
    """By split; `evaluated`: the rows that the arms were given."""
    overlaps: tuple[Overlap, ...]
    arms: tuple[ArmLeaks, ...]
    results: tuple[Result, ...]
    identified: tuple[Identified, ...] = ()

    @property
    def faults(self) -> list[str]:
        """What must not be, in words: a leak that this package's own parts let through."""
        told = []
        for arm in self.arms:
            if arm.named or arm.revealed:
                told.append(
                    f"{arm.arm}: the seeker, simulated or recorded, gave a target away in {max(arm.named, arm.revealed)} of {arm.rows} rows"
                )
            if arm.prompts and arm.prompts.elsewhere:
                told.append(f"{arm.arm}: a prompt named a target that nobody had named in {arm.prompts.elsewhere} of {arm.rows} rows")
        return told


def audit(
    linker: Linker,
    outcomes: Mapping[str, Sequence[Outcome]] | None = None,
    *,
    judges: Sequence[str] = (),
    splits: Mapping[str, Sequence[Example]] | None = None,
    prompts: Mapping[str, PromptLeaks] | None = None,
    seed: int = 0,
) -> LeakAudit:
    """Audits a data set, a run, or both.

    Args:
        outcomes: arm -> its rows.
        judges: one name per score of a turn, in that order; without any there are no judged results.
        splits: split -> its rows.
        prompts: arm -> `prompt_leaks` of it.
        seed: of the intervals; the report's gives the report's numbers for all rows.
    """
    outcomes, splits, prompts = keep_new(outcomes or {}, linker), splits or {}, prompts or {}
    played = {arm: _played(outcomes[arm], linker) for arm in in_order(list(outcomes))}
    found = {name: history_leaks(rows, linker) for name, rows in splits.items()}
    if outcomes:
        found["evaluated"] = history_leaks(_evaluated(outcomes), linker)
    return LeakAudit(
        splits=found,
        overlaps=tuple(overlap((a, splits[a]), (b, splits[b])) for a, b in combinations(splits, 2)),
        arms=tuple(
            ArmLeaks(arm=arm, rows=len(outcomes[arm]), named=len(named), revealed=len(revealed), prompts=prompts.get(arm))
            for arm, (named, revealed) in played.items()
        ),
        results=tuple(_results(outcomes, {arm: named | revealed for arm, (named, revealed) in played.items()}, judges, linker, seed)),
        identified=tuple(identified({arm: outcomes[arm] for arm in played}, linker, judges, seed=seed)),
    )


def _evaluated(outcomes: Mapping[str, Sequence[Outcome]]) -> list[Example]:
    """The rows that the arms were given, each once."""
    return [given(outcome) for outcome in {o.key: o for rows in outcomes.values() for o in rows}.values()]


def given(outcome: Outcome) -> Example:
    """The row that an arm was given, as an example."""
    history = Dialogue(messages=outcome.dialogue.messages[: outcome.start])
    return Example(key=outcome.key, dialogue_id=dialogue_of(outcome.key), turn_id=0, dialogue=history, targets=outcome.targets)


def form_of(mention: Mention, item: Item) -> Form:
    """How a mention names an item that it may mean."""
    if mention.item is None:
        return "shared"
    if mention.repaired:
        return "repaired"
    written, title = key_of(mention.text), keys_of(item.title)[0]
    if written == title:
        return "title"
    return "dated" if written == f"{title} {item.year}" else "alias"


def forms_of(texts: Iterable[str], targets: Sequence[str], linker: Linker) -> dict[str, Form]:
    """Each target that the texts name -> the plainest form in which they do."""
    found: dict[str, Form] = {}
    for mention in (mention for text in texts for mention in linker.mentions(text)):
        for item in mention.candidates if mention.item is None else (mention.item,):
            if item in targets:
                found[item] = _plainest((form_of(mention, linker.catalogue[item]), found.get(item, FORMS[-1])))
    return found


def named_by(example: Example, linker: Linker) -> dict[Speaker, dict[str, Form]]:
    """The targets that the history names, by who said them."""
    said, targets = example.dialogue, example.targets
    sides: dict[Speaker, tuple[str, ...]] = {
        "recommender": said.of("recommender"), "seeker": said.of("seeker"), "either": tuple(m.text for m in said.messages),
    }  # fmt: skip
    return {side: forms_of(texts, targets, linker) for side, texts in sides.items()}


def history_leaks(rows: Sequence[Example], linker: Linker) -> HistoryLeaks:
    """Counts over the histories of some rows."""
    found = [(row, named_by(row, linker)) for row in rows]
    sides: tuple[Speaker, ...] = ("recommender", "seeker", "either")
    return HistoryLeaks(
        rows=len(rows),
        dialogues=len({row.dialogue_id for row in rows}),
        named={side: _named([(row, sides[side]) for row, sides in found if sides[side]]) for side in sides},
        words=sum(any(linker.reveals(m.text, row.targets) for m in row.dialogue.messages) for row, sides in found if not sides["either"]),
    )


def overlap(first: tuple[str, Sequence[Example]], second: tuple[str, Sequence[Example]]) -> Overlap:
    """What the rows of two splits (name, rows) share."""
    dialogues = shared_chats(second[1], first[1])
    targets: dict[Dialogue, set[str]] = {}
    length: dict[str, int] = {}
    for row in first[1]:
        targets.setdefault(row.dialogue, set()).update(row.targets)
        length[row.dialogue_id] = max(length.get(row.dialogue_id, 0), len(row.dialogue))
    said = {end for row in first[1] for end in passed(row)}
    same = [row for row in second[1] if row.dialogue in targets]
    return Overlap(
        first=first[0],
        second=second[0],
        dialogues=len(dialogues),
        of=len({row.dialogue_id for row in second[1]}),
        rows=sum(row.dialogue_id in dialogues for row in second[1]),
        answered=sum(len(row.dialogue) < length.get(row.dialogue_id, 0) or goes_on(row, said) for row in second[1]),
        contexts=len(same),
        repeated=sum(not targets[row.dialogue].isdisjoint(row.targets) for row in same),
    )


def given_away(outcome: Outcome, linker: Linker) -> tuple[bool, bool]:
    """(does the simulated seeker name a target that nobody has named, does it give one away in any words)."""
    named = revealed = False
    messages = outcome.dialogue.messages
    for at in range(outcome.start, len(messages)):
        if messages[at].side == "seeker":
            secret = secret_targets(Dialogue(messages=messages[:at]), outcome.targets, linker)
            named = named or bool(linker.leaks(Dialogue(messages=messages[at : at + 1]), secret))
            revealed = revealed or linker.reveals(messages[at].text, secret)
    return named, revealed


def _played(outcomes: Sequence[Outcome], linker: Linker) -> tuple[set[str], set[str]]:
    """The keys of the rows where `given_away` says yes, for either of its questions."""
    told = {outcome.key: given_away(outcome, linker) for outcome in outcomes}
    return {key for key, (named, _) in told.items() if named}, {key for key, (_, revealed) in told.items() if revealed}


def _named(rows: Sequence[tuple[Example, Mapping[str, Form]]]) -> Named:
    forms = Counter(_plainest(found.values()) for _, found in rows)
    every = sum(len(found) == len(set(row.targets)) for row, found in rows)
    return Named(rows=len(rows), every=every, forms={form: forms[form] for form in FORMS})


def _plainest(forms: Iterable[Form]) -> Form:
    return min(forms, key=FORMS.index)


def _results(
    outcomes: Mapping[str, Sequence[Outcome]], played: Mapping[str, set[str]], judges: Sequence[str], linker: Linker, seed: int
) -> Iterable[Result]:
    history = {row.key: named_by(row, linker) for row in _evaluated(outcomes)}
    leaking = {key for key, sides in history.items() if sides["either"]}
    said = {key for key, sides in history.items() if sides["seeker"]}
    slots = [(METRICS[name], place, judge) for name in RESULTS if METRICS[name].judged for place, judge in enumerate(judges)]
    slots += [(METRICS[name], 0, COUNTED) for name in RESULTS if not METRICS[name].judged]
    for arm, by_seeker in played.items():
        without: dict[Subset, set[str]] = {"all": set(), "history": leaking, "seeker": said | by_seeker, "neither": leaking | by_seeker}
        for metric, place, judge in slots:
            values, known = row_values(outcomes[arm], metric, place), dict[frozenset[str], Measure]()
            for subset in SUBSETS:
                kept = frozenset(values.keys() - without[subset])
                if kept not in known:
                    part = {key: value for key, value in values.items() if key in kept}
                    known[kept] = measure(part, metric.limits, seed)
                yield Result(arm=arm, metric=metric.name, judge=judge, subset=subset, measure=known[kept])
