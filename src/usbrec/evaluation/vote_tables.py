"""Judges by number of votes as tables, as a plot and as files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from usbrec import jsonl
from usbrec.evaluation.plots import Bands, Plot, bands_figure, plot
from usbrec.evaluation.probes import FLOORS
from usbrec.evaluation.stats import Interval
from usbrec.evaluation.tables import Sheet, between, markdown, number
from usbrec.evaluation.votes import RULES, Counted, Tested, VoteStudy


def sheets(found: VoteStudy) -> list[Sheet]:
    """Can it tell, and what does a verdict rest on and cost?"""
    return [_told(found), _repeated(found)]


def text(found: VoteStudy) -> str:
    """The study as Markdown."""
    lines = [f"# Judges on {found.data}, {found.split}, by number of votes", "", *map(_sentence, found.judges.items()), ""]
    lines += [f"![AUC by number of votes](votes-{found.data}.svg)", ""]
    for sheet in sheets(found):
        lines += [f"## {sheet.title}", "", markdown(sheet), ""]
    return "\n".join(lines).rstrip() + "\n"


def _sentence(named: tuple[str, Counted]) -> str:
    name, judge = named
    told = f"- {name}{_unfit(judge)}: {judge.replies} replies, {judge.stored or 'no'} stored votes each; {judge.left_out} replies left out"
    guessed = f"; the distribution of {judge.estimated} is itself estimated from votes" if judge.estimated else ""
    return f"{told}, without a verdict{guessed}."


def _told(found: VoteStudy) -> Sheet:
    rows = [
        (
            name + _unfit(judge), *_kind(tested), tested.source or "–", _between(tested.floors),
            "–" if tested.lost is None else _between(tested.lost, sign=True), *(_between(tested.auc[floor]) for floor in FLOORS),
            number(tested.unscored, 2),
        )
        for name, judge in _heard(found)
        for tested in judge.tested
    ]  # fmt: skip
    return Sheet(
        title="AUC of the human's reply by number of votes",
        columns=("judge", "votes", "verdict", "votes are", "mean of the floors", "minus exact", *FLOORS, "no verdict"),
        rows=tuple(rows),
        note="The mean over all ways to draw the votes, 95% interval by dialogue. Stored: some of the model's own votes, not put"
        " back; drawn: out of the exact distribution. Majority: ties go to the lower grade. Exact: the expected grade. No verdict: share of"
        " the draws.",
    )


def _repeated(found: VoteStudy) -> Sheet:
    rows = [
        (
            name + _unfit(judge), *_kind(tested), tested.pairs or "–", number(tested.differ), number(tested.moved),
            number(tested.tokens, 0), number(tested.tokens_by_call, 0),
        )
        for name, judge in _heard(found)
        for tested in judge.tested
    ]  # fmt: skip
    return Sheet(
        title="Two verdicts on one reply, and what one costs",
        columns=("judge", "votes", "verdict", "votes are", "differ", "mean |difference|", "tokens", "with a call for each vote"),
        rows=tuple(rows),
        note="Two independent verdicts, by votes that they do not share; an exact verdict is not drawn. Tokens, prompt and generated: the"
        " prompt read once for all votes, and read anew for each.",
    )


def draw(found: VoteStudy) -> Plot:
    """AUC against votes, the mean over the floors."""
    panels = [(name + _unfit(judge), _bands(judge)) for name, judge in _heard(found)]
    title = (
        f"Judges on {found.data}: AUC of the human's reply, mean over the floors with 95% interval, by number of votes; level: the exact"
        " distribution"
    )
    return plot(f"votes-{found.data}", title, partial(bands_figure, panels, axis="votes"))


def _bands(judge: Counted) -> Bands:
    exact, *others = judge.tested
    counts = sorted({tested.votes for tested in others if tested.votes})
    bands: Bands = {str(rule): [(t.votes, t.floors) for t in others if t.rule == rule and t.votes] for rule in RULES}
    return bands | {"exact": [(count, exact.floors) for count in counts]}


def publish(folder: Path, found: VoteStudy) -> None:
    """`votes-DATA.json`, `.md` and `.svg` in a folder; no text of any dialogue."""
    drawn = draw(found)
    jsonl.write_json(folder / f"votes-{found.data}.json", found.model_dump(mode="json"))
    jsonl.write_text(folder / f"votes-{found.data}.md", text(found))
    jsonl.write_text(folder / f"votes-{found.data}.svg", drawn.file)


def _heard(found: VoteStudy) -> list[tuple[str, Counted]]:
    """The judges that gave verdicts by both methods: of the others there is nothing more to tell.  Where nobody did, all."""
    return [(name, judge) for name, judge in found.judges.items() if judge.replies] or list(found.judges.items())


def _kind(tested: Tested) -> tuple[str, str]:
    return ("–", "exact") if tested.votes is None else (str(tested.votes), str(tested.rule))


def _between(found: Interval, *, sign: bool = False) -> str:
    return between(found.mean, found.low, found.high, 3 if sign else 2, sign=sign)


def _unfit(judge: Counted) -> str:
    return "" if judge.fit else " (not fit)"
