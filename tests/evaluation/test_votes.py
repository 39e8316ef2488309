"""Votes by hand: what a number of them can say, how well that tells, and what it costs."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from usbrec.evaluation import vote_tables
from usbrec.evaluation.calibration import JudgedRow, Verdict, calibrate
from usbrec.evaluation.probes import FLOORS, TRUTH
from usbrec.evaluation.votes import RULES, VOTES, Ballot, Rule, VoteStudy, again, average, ballots, count_votes, lottery, majority
from usbrec.types import Score

NONE = None


def voted(key: str, **probes: tuple[int | None, ...]) -> JudgedRow:
    """A row by `vote`: 100 tokens to read, two a vote."""
    verdicts = [
        Verdict(probe=p, score=Score(value=majority(v), votes=v), calls=len(v), prompt_tokens=100, completion_tokens=2 * len(v))
        for p, v in probes.items()
    ]
    return JudgedRow(key=key, verdicts=tuple(verdicts))


def chosen(key: str, **probes: tuple[float, float, float]) -> JudgedRow:
    """The same by `choose`, the whole mass on the menu."""
    verdicts = [
        Verdict(
            probe=p, score=Score(value=s[1] + 2 * s[2], probabilities=s, menu_mass=1.0), calls=1, prompt_tokens=100, completion_tokens=1
        )
        for p, s in probes.items()
    ]  # fmt: skip
    return JudgedRow(key=key, verdicts=tuple(verdicts))


def ballot(*votes: int | None, shares: tuple[float, ...] = (0.0, 1.0, 0.0, 0.0)) -> Ballot:
    return Ballot(exact=1.0, shares=shares, votes=votes)


def test_the_two_rules() -> None:
    assert majority((2, 0, 2)) == 2 and average((2, 0, 2)) == pytest.approx(4 / 3)
    assert (majority((2, 0)), average((2, 0))) == (0, 1)  # a tie: the lower grade
    assert (majority((2, NONE)), average((2, NONE))) == (2, 2)
    assert (majority((2, NONE, NONE)), average((2, NONE, NONE))) == (None, None)  # fewer than half


def test_three_of_four_stored_votes() -> None:
    """0 1 2 2: two of the four triples hold each grade once (a tie: 0; mean 1), the others are 0 2 2 and 1 2 2."""
    found = lottery([ballot(0, 1, 2, 2)], 3, "majority", "stored")
    assert dict(zip(found.values, found.chances[0], strict=True)) == pytest.approx({0: 0.5, 1: 0, 2: 0.5})
    found = lottery([ballot(0, 1, 2, 2)], 3, "mean", "stored")
    chances = {round(value, 6): chance for value, chance in zip(found.values, found.chances[0], strict=True) if chance}
    assert chances == pytest.approx({1: 0.5, 1.333333: 0.25, 1.666667: 0.25})
    assert found.unscored == 0


def test_votes_that_are_drawn() -> None:
    even = ballot(shares=(0.5, 0.0, 0.5, 0.0))
    assert lottery([even], 1, "majority", "drawn").chances[0].tolist() == [0.5, 0, 0.5]
    assert lottery([even], 2, "majority", "drawn").chances[0].tolist() == [0.75, 0, 0.25]  # a tie counts as 0
    off = lottery([ballot(shares=(0.4, 0.0, 0.4, 0.2))], 1, "majority", "drawn")
    assert off.unscored == pytest.approx(0.2) and off.chances[0].tolist() == pytest.approx([0.5, 0, 0.5])


@pytest.mark.parametrize("rule", RULES)
def test_every_outcome_is_weighed(rule: Rule) -> None:
    """Against all subsets of the stored votes, and all sequences of drawn ones."""
    cast = ballot(0, 1, 1, 2, 2, NONE, NONE, shares=(0.1, 0.2, 0.4, 0.3))
    taken = [(RULES[rule](each), 1.0) for each in combinations(cast.votes, 4)]
    share = dict(zip(VOTES, cast.shares, strict=True))
    drawn = [(RULES[rule](each), share[each[0]] * share[each[1]] * share[each[2]] * share[each[3]]) for each in product(VOTES, repeat=4)]
    for outcomes, source in ((taken, "stored"), (drawn, "drawn")):
        found = lottery([cast], 4, rule, source)  # type: ignore[arg-type]
        scored = sum(weight for value, weight in outcomes if value is not None)
        assert found.unscored == pytest.approx(1 - scored / sum(weight for _, weight in outcomes), abs=1e-6)
        expected = [sum(w for v, w in outcomes if v is not None and abs(v - value) < 1e-9) / scored for value in found.values]
        assert found.chances[0].tolist() == pytest.approx(expected)


def test_two_verdicts_on_one_reply() -> None:
    assert again([ballot(0, 0, 2, 2)], 2, "majority") == (1, 2)
    assert again([ballot(0, 0, 2, 2)], 1, "majority") == (0, 0)  # the first against the second, the third against the fourth
    assert again([ballot(NONE, 1)], 1, "mean") == (None, None)
    assert lottery([ballot(shares=(0.5, 0.0, 0.5, 0.0))], 1, "majority", "drawn").again() == (0.5, 1)
    assert lottery([], 1, "majority", "drawn").again() == (None, None)


ROWS = [voted("a:1", truth=(2, 2, 0), question=(0, 0, 0)), voted("b:1", truth=(1, 1, 1), question=(1, 1, 1))]
EXACT = [
    chosen("a:1", truth=(0.5, 0.0, 0.5), question=(1.0, 0.0, 0.0)), chosen("b:1", truth=(0.0, 1.0, 0.0), question=(0.5, 0.5, 0.0)),
]  # fmt: skip


def test_auc_of_known_votes() -> None:
    """One vote: a's truth is 2 in two draws of three, so against a's question (0, 0, 0) it wins 5/6, against b's (1, 1, 1) 2/3; b's truth
    wins 1 and 1/2: 3/4.  Three votes: 1, 1, 1, 1/2: 7/8.  Exact: 1 and 1 against 0 and 0.5: 1."""
    found = count_votes(EXACT, ROWS, [1, 3])
    assert (found.stored, found.replies, found.left_out) == (3, 4, 0)
    exact, one, _, three, mean = found.tested
    assert (exact.votes, exact.floors.mean, exact.lost) == (None, 1, None)
    assert (one.votes, one.rule, one.source, one.auc["question"].mean) == (1, "majority", "stored", 0.75)
    assert (three.votes, three.auc["question"].mean, mean.auc["question"].mean) == (3, 0.875, 0.875)
    assert one.lost is not None and (one.lost.mean, one.lost.rows, one.lost.clusters) == (-0.25, 2, 2)
    assert (one.auc["repeat"].mean, one.floors.mean) == (None, 0.75)  # no row allows that floor: it does not count


def test_votes_beyond_those_stored_are_drawn() -> None:
    """Of the shares: a's truth 0 or 2, b's 1, the questions 0 and (0 or 1).  a's truth wins 3/4 against a's question; against b's 1/2 x 1 +
    1/2 x (1/2 x 1/2) = 5/8; b's truth wins 1 against a's, 3/4 against b's."""
    found = count_votes(EXACT, [], [1])
    assert found.stored == 0 and {tested.source for tested in found.tested} == {None, "drawn"}
    assert found.tested[1].auc["question"].mean == (3 / 4 + 5 / 8 + 1 + 3 / 4) / 4
    one, ten = (count_votes(EXACT, ROWS, [count]).tested[1] for count in (1, 10))
    assert (one.source, one.pairs, one.differ) == ("stored", "stored", 0)  # 2 2, 0 0, 1 1, 1 1
    assert (ten.source, ten.pairs) == ("drawn", "drawn")


def test_tokens() -> None:
    exact, one, _, ten, _ = count_votes(EXACT, ROWS, [1, 10]).tested
    assert (exact.tokens, exact.tokens_by_call) == (101, 101)
    assert (one.tokens, one.tokens_by_call) == (102, 102)
    assert (ten.tokens, ten.tokens_by_call) == (120, 1020)
    assert count_votes(EXACT, [], [10]).tested[1].tokens_by_call == 1010  # a token a vote, where nobody voted


def test_what_has_no_verdict_is_left_out_and_counted() -> None:
    silent = [ROWS[0], voted("b:1", truth=(1, 1, 1), question=(NONE, NONE, 1))]
    found = count_votes(EXACT, silent, [1])
    assert (found.replies, found.left_out, found.tested[0].auc["question"].rows) == (3, 1, 1)
    nothing = count_votes([], [], [1])
    assert (nothing.replies, nothing.tested[1].floors.mean, nothing.tested[1].tokens) == (0, None, None)


def test_a_reply_that_rules_decide_has_its_grade_for_every_vote() -> None:
    """A grounded judge asks no model where a target is named, or nothing new is offered."""
    ruled = Verdict(probe="repeat", score=Score(value=2, reason="a target is named"))
    by_choose, by_vote = ([row.model_copy(update={"verdicts": (*row.verdicts, ruled)}) for row in rows[:1]] for rows in (EXACT, ROWS))
    assert ballots(by_choose, by_vote)["repeat"]["a:1"] == Ballot(exact=2, shares=(0, 0, 1, 0), votes=(2, 2, 2))


def test_the_exact_verdicts_are_those_of_the_calibration() -> None:
    probes = dict.fromkeys((TRUTH, *FLOORS))
    rows = [
        chosen(f"d{n // 2}:{n}", **{probe: (0.5 - n % 3 / 10, 0.2, 0.3 + n % 3 / 10 - at / 20) for at, probe in enumerate(probes)})
        for n in range(12)
    ]
    known, exact = calibrate("j", rows, seed=3).auc, count_votes(rows, [], [1], seed=3).tested[0].auc
    assert {floor: (a.value, a.low, a.high, a.rows) for floor, a in known.items()} == {
        floor: (a.mean, a.low, a.high, a.rows) for floor, a in exact.items()
    }


def test_tables_and_plot() -> None:
    judged = count_votes(EXACT, ROWS, [1, 3, 10])
    found = VoteStudy(data="toy", split="valid", judges={"llm:choose@m": judged})
    told, repeated = vote_tables.sheets(found)
    assert len(told.rows) == len(repeated.rows) == 7
    assert told.rows[1][:5] == ("llm:choose@m (not fit)", "1", "majority", "stored", "0.75 [0.50, 0.83]")  # b twice: 1/2; a twice: 5/6
    assert repeated.rows[0][1:] == ("–", "exact", "–", "–", "–", "101", "101")
    assert "4 replies, 3 stored votes each; 0 replies left out" in vote_tables.text(found)
    assert vote_tables.draw(found).file.startswith("<svg")


def test_a_judge_without_a_verdict_is_named_and_has_no_rows() -> None:
    heard, silent = count_votes(EXACT, ROWS, [1]), count_votes([], [], [1])
    both = VoteStudy(data="toy", split="valid", judges={"silent": silent, "heard": heard})
    assert {row[0] for sheet in vote_tables.sheets(both) for row in sheet.rows} == {"heard (not fit)"}
    assert "- silent (not fit): 0 replies" in vote_tables.text(both)
    assert "silent" not in vote_tables.draw(both).file
    nobody = VoteStudy(data="toy", split="valid", judges={"silent": silent})
    assert vote_tables.draw(nobody).file.startswith("<svg")
    assert {row[4] for row in vote_tables.sheets(nobody)[0].rows} == {"–"}
