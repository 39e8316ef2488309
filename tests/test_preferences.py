"""PODCS over the toy world: pairs known by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from toy import CATALOGUE, LINKER, Line, Parrot, example
from usbrec import preferences
from usbrec.engine import ChatMessage
from usbrec.preferences import CandidateMaker, CandidateSet, PreferenceSettings, data_card, make_pairs
from usbrec.roles.catalogue import CatalogueJudge
from usbrec.types import Dialogue

HIT, LIKE, MISS = "Casino (1995).", "Collateral (2004)!", "Toy Story (1995)"


def maker(samples: tuple[str, ...], **settings: object) -> CandidateMaker:
    return CandidateMaker(
        policy=Parrot(samples=samples),
        seeker_for=lambda _: Line(),
        judge_for=lambda targets: CatalogueJudge(CATALOGUE, LINKER, targets),
        linker=LINKER,
        settings=PreferenceSettings.model_validate({"k": 4, **settings}),
        seed=0,
    )


async def rows_for(samples: tuple[str, ...], targets: tuple[str, ...] = ("casi",), **settings: object) -> list[preferences.PreferenceRow]:
    make = maker(samples, **settings)
    given = [example(targets=targets)]
    return make_pairs(given, [await make(given[0])], make.settings)


async def test_all_candidates_compete_not_only_the_last() -> None:
    """Fault 1 of the released scripts: the list was emptied inside the sampling loop."""
    (row,) = await rows_for((HIT, MISS, "Alien (1979)", "What?"))
    assert row.pair is not None and row.pair.chosen == HIT and row.pair.rejected == MISS
    assert {c.text for c in row.candidates} == {HIT, MISS, "Alien (1979)", "What?"}
    assert [c.score.value for c in row.candidates if c.score] == [2, 0, 0, 0]


async def test_paper_rule_chooses_the_human_where_no_candidate_hits() -> None:
    (row,) = await rows_for((LIKE, MISS), targets=("casi",), pairing="paper")
    assert row.pair is not None
    assert (row.pair.chosen, row.pair.chosen_from) == ("You should see Casino (1995).", "human")
    assert (row.pair.rejected, row.pair.rejected_from) == (LIKE, "policy")  # both score 0: the first is the worst


async def test_paper_rule_rejects_the_human_where_no_candidate_is_bad() -> None:
    (row,) = await rows_for((HIT,), pairing="paper")
    assert row.pair is not None and (row.pair.chosen_from, row.pair.rejected_from) == ("policy", "human")


async def test_paper_rule_same_sides_give_no_pair() -> None:
    (row,) = await rows_for(("You should see Casino (1995).",), pairing="paper")
    assert row.pair is None and row.outcome == "chosen and rejected are the same"


async def test_paper_rule_takes_a_score_of_2_and_rejects_up_to_the_low_one() -> None:
    """Likeness (1) is neither good enough to be chosen nor bad enough to be rejected; `paper_low` moves the second bound alone."""
    (row,) = await rows_for((LIKE,), targets=("heat", "casi"), pairing="paper")
    assert row.pair is None and row.outcome == "chosen and rejected are the same"  # the human on both sides
    (row,) = await rows_for((LIKE,), targets=("heat", "casi"), pairing="paper", paper_low=1)
    assert row.pair is not None and (row.pair.chosen_from, row.pair.rejected, row.pair.rejected_score) == ("human", LIKE, 1)
    (row,) = await rows_for((HIT, LIKE), targets=("heat", "casi"), pairing="paper")
    assert row.pair is not None and (row.pair.chosen, row.pair.rejected_from) == (HIT, "human")


async def test_paper_rule_takes_the_human_reply_of_its_own_dialogue() -> None:
    make = maker((LIKE, MISS), pairing="paper")
    given = [example(f"d{n}:1").model_copy(update={"reply": f"You should see Casino (1995), {n} of 3."}) for n in range(3)]
    rows = make_pairs(given, [await make(each) for each in given], make.settings)
    assert [row.pair and (row.pair.key, row.pair.chosen) for row in rows] == [(each.key, each.reply) for each in given]


async def test_paper_rule_has_no_human_side_where_the_reply_is_cut() -> None:
    cut = example().model_copy(update={"reply": "You should see Cas", "reply_whole": False})
    make = maker((LIKE, MISS), pairing="paper")
    (row,) = make_pairs([cut], [await make(cut)], make.settings)
    assert row.human is None and (row.pair, row.outcome) == (None, "the human reply is missing")


async def test_paper_rule_keeps_the_prompt_that_was_answered() -> None:
    """The chosen reply names a retrieved item: without it in the prompt the model would learn to say what it was not told."""

    async def retrieve(_: Dialogue, count: int) -> Sequence[str]:
        return ["Casino (1995)"]

    make = replace(maker((HIT, MISS), hinted=1.0, pairing="paper"), policy_with=lambda _: Parrot(samples=(HIT, MISS)), retrieve=retrieve)
    (row,) = make_pairs([example()], [await make(example())], make.settings)
    assert row.pair is not None and (row.pair.chosen, row.pair.hints) == (HIT, ("Casino (1995)",))


async def test_paper_rule_leaves_out_a_human_reply_that_repeats_a_target() -> None:
    (row,) = await rows_for((LIKE, MISS), targets=("heat",), pairing="paper")
    assert row.pair is None and row.outcome == "the human reply names no new target"


def test_paper_rule_needs_whole_grades() -> None:
    """An expectation is never exactly 2 or 0: no dialogue would ever give a pair."""
    for kind in ("llm", "grounded"):
        with pytest.raises(ValueError, match="method: vote"):
            PreferenceSettings.model_validate({"pairing": "paper", "judge": {"kind": kind, "method": "choose"}})
        PreferenceSettings.model_validate({"pairing": "paper", "judge": {"kind": kind, "method": "vote"}})
        PreferenceSettings.model_validate({"pairing": "margin", "judge": {"kind": kind, "method": "choose"}})


async def test_a_target_named_before_earns_nothing() -> None:
    """Else RL learns to repeat: Heat is a target, and the seeker has just said it."""
    leaked = example(targets=("heat", "casi"))
    assert leaked.leaks == ("heat",)
    found = await maker(("Heat (1995)!", "Heat (1995), or Casino (1995).", HIT), hits=1.5)(leaked)
    assert [(c.score.value, c.score.hit) for c in found.candidates if c.score] == [(0, False), (2, True), (2, True)]
    (row,) = await rows_for(("Heat (1995)!", "What else?"), targets=("heat",), hits=1.5, offers=0.5)
    assert row.pair is None and row.outcome == "all candidates score alike"


async def test_a_hit_is_worth_its_bonus() -> None:
    """2 + 1.5 against the likeness's 1; the kept scores stay the judge's."""
    (row,) = await rows_for((HIT, LIKE), targets=("heat", "casi"), hits=1.5)
    assert row.pair is not None and (row.pair.chosen_score, row.pair.rejected_score) == (3.5, 1.0)
    assert [c.score.value for c in row.candidates if c.score] == [2, 1]


async def test_equal_scores_give_no_pair() -> None:
    (row,) = await rows_for((MISS, "Alien (1979)"))
    assert row.pair is None and row.outcome == "all candidates score alike"


async def test_margin() -> None:
    samples, targets = (LIKE, MISS), ("heat",)  # Heat is in the context; Collateral is comparable with it: 1 against 0
    (row,) = await rows_for(samples, targets=targets, pairing="margin", margin=1.5)
    assert row.outcome == "difference below the margin"
    (row,) = await rows_for(samples, targets=targets, pairing="margin", margin=1.0)
    assert row.pair is not None and row.pair.chosen_score - row.pair.rejected_score == 1


async def test_look_ahead_means_over_the_turns() -> None:
    make = maker((LIKE,), turns=1)
    found = await make(example(targets=("heat",)))
    (candidate,) = found.candidates
    assert candidate.score is not None and candidate.score.value == 0.5  # 1 now, then the greedy Toy Story: 0
    assert [m.side for m in candidate.continuation] == ["seeker", "recommender"]


async def test_the_end_of_the_look_ahead_alone_scores_where_asked() -> None:
    found = await maker((LIKE,), turns=1, scored="last")(example(targets=("heat",)))
    (candidate,) = found.candidates
    assert candidate.score is not None and candidate.score.value == 0  # the greedy Toy Story
    assert [m.text for m in candidate.continuation][-1] == "Have you seen Toy Story (1995)?"


async def test_a_hit_ends_the_look_ahead() -> None:
    """The greedy reply would be another film, and score 0: a reply that names the target must not pay for what nobody needs to say."""
    for scored in ("every", "last"):
        found = await maker((HIT,), turns=2, scored=scored)(example())
        (candidate,) = found.candidates
        assert candidate.score is not None and (candidate.score.value, candidate.score.hit) == (2, True)
        assert candidate.continuation == ()
        (row,) = await rows_for((HIT, MISS), turns=1, scored=scored)
        assert row.pair is not None and (row.pair.chosen, row.pair.rejected) == (HIT, MISS)


async def test_a_hit_in_the_look_ahead_ends_it_too() -> None:
    """Likeness 1, then the target 2; the third turn is not played."""
    for scored, value in (("every", 1.5), ("last", 2)):
        make = replace(maker((LIKE,), turns=2, scored=scored), policy=Parrot(greedy=HIT, samples=(LIKE,)))
        (candidate,) = (await make(example(targets=("heat", "casi")))).candidates
        assert candidate.score is not None and candidate.score.value == value
        assert [m.text for m in candidate.continuation][1:] == [HIT]


async def test_the_human_reply_is_judged_as_it_stands() -> None:
    found = await maker((LIKE,), turns=1)(example(targets=("casi",)))
    assert found.human is not None and found.human.score is not None
    assert (found.human.continuation, found.human.score.value) == ((), 2)


async def test_the_human_reply_need_not_be_judged_for_a_pair() -> None:
    (row,) = await rows_for((LIKE, MISS), targets=("casi",), pairing="paper", judge_human=False)
    assert row.human is not None and row.human.score is None
    assert row.pair is not None and (row.pair.chosen, row.pair.chosen_from) == ("You should see Casino (1995).", "human")


async def test_novelty_breaks_ties_against_the_usual_item() -> None:
    make = maker((LIKE, MISS), novelty=0.5)
    given = [example(f"d{i}:1", targets=("heat",)) for i in range(3)]
    sets = [await make(e) for e in given]
    sets[2] = await maker((LIKE, "Casino (1995)", MISS), novelty=0.5)(given[2])
    rows = make_pairs(given, sets, make.settings)
    assert rows[2].pair is not None and rows[2].pair.chosen == "Casino (1995)"  # comparable too, and rarer


async def test_an_offer_is_worth_more_than_chat_where_asked() -> None:
    (row,) = await rows_for(("How are you?", MISS))
    assert row.outcome == "all candidates score alike"
    (row,) = await rows_for(("How are you?", MISS), offers=0.5)
    assert row.pair is not None and (row.pair.chosen, row.pair.chosen_score, row.pair.rejected_score) == (MISS, 0.5, 0.0)
    (row,) = await rows_for(("Heat (1995) again!", "How are you?"), offers=0.5)  # named already: nothing new
    assert row.outcome == "all candidates score alike"


async def test_a_share_of_the_dialogues_has_a_retrieved_item_in_the_prompt() -> None:
    asked: list[tuple[str, ...]] = []

    def policy_with(hints: Sequence[str]) -> Parrot:
        asked.append(tuple(hints))
        return Parrot(samples=(LIKE, MISS))

    async def retrieve(_: Dialogue, count: int) -> Sequence[str]:
        return ["Collateral (2004)", "Casino (1995)", "Alien (1979)"][:count]

    plain = maker((HIT, MISS), hinted=0.5, hint_pool=2)
    make = replace(plain, policy_with=policy_with, retrieve=retrieve)
    given = [example(f"d{i}:1", targets=("heat",)) for i in range(40)]
    sets = [await make(e) for e in given]
    hinted = [row for row in sets if row.hints]
    assert 12 <= len(hinted) <= 28 and [row.hints for row in hinted] == asked
    assert set(asked) == {("Collateral (2004)",), ("Casino (1995)",)}  # one of the two best
    assert all({c.text for c in row.candidates} == ({LIKE, MISS} if row.hints else {HIT, MISS}) for row in sets)
    rows = make_pairs(given, sets, make.settings)
    assert [row.pair.hints for row in rows if row.pair] == [row.hints for row in sets]
    assert data_card(rows, make.settings)["pairs_hinted"] == len(hinted)
    assert not (await plain(given[0])).hints


def test_failed_dialogues_are_counted() -> None:
    settings = PreferenceSettings()
    rows = make_pairs([example()], [CandidateSet(key="d1:1", error="the engine died")], settings)
    card = data_card(rows, settings)
    assert rows[0].outcome == "failed" and card["outcomes"] == {"failed": 1} and card["pairs"] == 0


def test_a_real_temperature_is_required() -> None:
    """Fault 2: candidates at temperature 0.1 are near duplicates; at 0 they are one."""
    with pytest.raises(ValueError, match="greater than 0"):
        PreferenceSettings(temperature=0)
    assert PreferenceSettings().temperature >= 0.3


async def test_exports() -> None:
    (row,) = await rows_for((HIT, MISS))
    assert row.pair is not None
    messages = [ChatMessage(role="system", content="S"), ChatMessage(role="user", content="U")]
    assert preferences.to_trl(row.pair, messages) == {
        "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        "chosen": [{"role": "assistant", "content": HIT}],
        "rejected": [{"role": "assistant", "content": MISS}],
    }
    assert preferences.to_llama_factory(row.pair, messages) == {
        "system": "S",
        "conversations": [{"from": "human", "value": "U"}],
        "chosen": {"from": "gpt", "value": HIT},
        "rejected": {"from": "gpt", "value": MISS},
    }


async def test_rows_keep_everything_that_is_needed_to_train_or_to_score_again() -> None:
    """Fault 8: rows kept neither the dialogue nor all candidates nor all votes."""
    (row,) = await rows_for((HIT, MISS), turns=1)
    again = preferences.PreferenceRow.model_validate_json(row.model_dump_json())
    assert again == row and again.pair is not None and again.pair.dialogue == example().dialogue
    assert all(c.score is not None and c.score.reason and bool(c.continuation) != c.score.hit for c in again.candidates)
    assert again.human is not None and again.human.score is not None and again.human.score.value is not None


async def test_dialogues_are_played_on_before_candidates_are_drawn() -> None:
    make = maker((HIT, MISS), played=2)
    given = [example(f"d{i}:1") for i in range(12)]
    sets = [await make(e) for e in given]
    lengths = {len(row.dialogue) for row in sets}
    assert lengths == {1, 3, 5}  # 0, 1 or 2 turns of recommender and seeker
    assert all(row.dialogue.messages[-1].side == "seeker" for row in sets)
    assert all((row.human is None) == (len(row.dialogue) > 1) for row in sets)  # the human answered the given dialogue only
    rows = make_pairs(given, sets, make.settings)
    assert all(row.pair is not None and row.pair.dialogue == found.dialogue for row, found in zip(rows, sets, strict=True))
    assert [await make(e) for e in given] == sets


async def test_a_dialogue_is_not_played_past_a_named_target() -> None:
    make = CandidateMaker(
        policy=Parrot(greedy=HIT, samples=(HIT, MISS)), seeker_for=lambda _: Line(), linker=LINKER, seed=0,
        judge_for=lambda targets: CatalogueJudge(CATALOGUE, LINKER, targets), settings=PreferenceSettings(k=2, played=3),
    )  # fmt: skip
    assert {len((await make(example(f"d{i}:1"))).dialogue) for i in range(8)} == {1}
