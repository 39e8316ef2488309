"""Rankers over the toy world: every order is known by hand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from toy import CATALOGUE, COOCCURRENCE, EXAMPLES, LINKER, Parrot, dialogue, example
from usbrec import jsonl
from usbrec.errors import EngineReply
from usbrec.evaluation.rankers import Cooccurring, Popular, Ranker, RankRows, Retrieved, Sampled, prefixes, rank_samples
from usbrec.evaluation.ranking import SCORERS, Ranking, measure_ranker, row_values
from usbrec.roles.catalogue import Affinity, CatalogueProfiler, Retriever
from usbrec.rowmap import map_rows
from usbrec.types import Dialogue, Example, Outcome, Turn

PROFILER = CatalogueProfiler(CATALOGUE, LINKER)
POPULAR = Popular(COOCCURRENCE, LINKER)
SAID = dialogue("I loved Heat (1995). What else is there?")


def outcome(*replies: str, error: str = "") -> Outcome:
    """The toy example, played on with these replies; targets: Casino."""
    given = example()
    said = given.dialogue
    for turn, reply in enumerate(replies):
        said = (said.say("seeker", "No, something else.") if turn else said).say("recommender", reply)
    turns = tuple(Turn(reply=reply, items=LINKER.items(reply), scores=()) for reply in replies)
    return Outcome(key=given.key, arm="rl", dialogue=said, start=1, turns=turns, targets=given.targets, leaks=given.leaks, error=error)


def test_items_are_ranked_by_the_replies_that_name_them_then_by_first_appearance() -> None:
    texts = ["Toy Story (1995) or Casino (1995)?", "Alien (1979)!", "Alien (1979), or Casino (1995).", "Have you any wishes?"]
    assert rank_samples(texts, None, LINKER) == ("alien", "toy")


def test_log_probabilities_break_ties_by_their_mean_where_they_are_known() -> None:
    """Casino: (-4 - 1) / 2 = -2.5; Alien: (-2 - 2) / 2 = -2.  Without Alien's, Casino comes first; one unknown reply is skipped."""
    texts = ["Casino (1995)", "Alien (1979)", "Casino (1995)", "Alien (1979)"]
    assert rank_samples(texts, [-4, -2, -1, -2], LINKER) == ("alien", "casi")
    assert rank_samples(texts, [-4, None, -1, None], LINKER) == ("casi", "alien")
    assert rank_samples(texts, [None, -2, -1, -2], LINKER) == ("casi", "alien")


def test_more_replies_count_for_more_than_a_surer_one() -> None:
    assert rank_samples(["Casino (1995)", "Alien (1979)", "Alien (1979)"], [-0.1, -9, -9], LINKER) == ("alien", "casi")


def test_only_the_first_item_of_a_reply_that_is_not_excluded_counts() -> None:
    texts = ["Heat (1995), Casino (1995), Alien (1979), Toy Story (1995)"]
    assert rank_samples(texts, None, LINKER, {"heat"}) == ("casi",)
    assert rank_samples(texts, None, LINKER) == ("heat",)


async def test_sampled_offers_only_what_is_new_unless_told() -> None:
    parrot = Parrot(samples=("Casino (1995) or Alien (1979)?", "Alien (1979)!", "Heat (1995), or Toy Story (1995)."))
    assert await Sampled(parrot, LINKER, n=3).rank(SAID, k=10, seed=0) == ("casi", "alien", "toy")
    assert await Sampled(parrot, LINKER, n=3, new_only=False).rank(SAID, k=10, seed=0) == ("casi", "alien", "heat")
    assert await Sampled(parrot, LINKER, n=1).rank(SAID, k=1, seed=0) == ("casi",)


async def test_samples_that_name_nothing_are_an_empty_ranking_and_no_samples_a_failure() -> None:
    assert await Sampled(Parrot(samples=("Tell me more.",)), LINKER).rank(SAID, k=10, seed=0) == ()
    with pytest.raises(EngineReply, match="all of 20 sampled replies were empty"):
        await Sampled(Parrot(), LINKER).rank(SAID, k=10, seed=0)


async def test_cooccurrence_and_popularity() -> None:
    """Likes heat: Casino 2/sqrt(35), Collateral 1/sqrt(28), the others 1/sqrt(35).  By likes: alien, casi, gate, toy 2, coll 1."""
    assert await Cooccurring(COOCCURRENCE, PROFILER).rank(SAID, k=4, seed=0) == ("casi", "coll", "alien", "gate")
    assert await POPULAR.rank(SAID, k=10, seed=0) == ("alien", "casi", "gate", "toy", "coll")
    assert await POPULAR.rank(Dialogue(), k=1, seed=0) == ("heat",)


async def test_retrieval() -> None:
    """Co-occurrence relative to the best, and likeness to Heat: Casino (1 + .7) / 2, Collateral (.56 + .4) / 2, Alien (.53 + 0) / 2."""
    ranker = Retrieved(Retriever(CATALOGUE, COOCCURRENCE, PROFILER, partial(Affinity, CATALOGUE, COOCCURRENCE)))
    assert await ranker.rank(SAID, k=3, seed=0) == ("casi", "coll", "alien")


def test_prefixes_end_before_each_of_the_recommenders_turns() -> None:
    played = outcome("Alien (1979)?", "Casino (1995)?")
    first, second = prefixes(played)
    assert first == example().dialogue
    assert [message.text for message in second.messages[1:]] == ["Alien (1979)?", "No, something else."]
    assert prefixes(outcome(error="gone")) == ()


async def test_an_example_has_a_static_ranking_and_an_outcome_one_a_turn() -> None:
    """At turn 2 Alien is no longer new, so Casino, the target, moves from the second place to the first."""
    rank = RankRows("popular", POPULAR, seed=1)
    still, played = await rank(example()), await rank(outcome("Alien (1979)?", "Casino (1995)?"))
    assert still.static == played.static == ("alien", "casi", "gate", "toy", "coll")
    assert (still.interactive, still.targets, still.key) == (None, ("casi",), "d1:1")
    assert played.interactive == (played.static, ("casi", "gate", "toy", "coll"))
    assert row_values([played], SCORERS["MRR"]) == {"d1:1": 0.5}
    assert row_values([played], SCORERS["MRR"], interactive=True) == {"d1:1": 1}


async def test_the_same_seed_is_used_for_an_example_and_its_outcomes_first_turn() -> None:
    seeds: list[int] = []

    class Noting:
        async def rank(self, dialogue: Dialogue, *, k: int, seed: int) -> tuple[str, ...]:
            seeds.append(seed)
            return ()

    rank = RankRows("noting", Noting(), seed=1)
    await rank(example())
    await rank(outcome("Alien (1979)?", "Casino (1995)?"))
    assert seeds[0] == seeds[1] != seeds[2]


async def test_a_conversation_that_broke_off_still_has_its_static_ranking() -> None:
    found = await RankRows("popular", POPULAR, seed=1)(outcome(error="the engine is gone"))
    assert (found.static is not None, found.interactive) == (True, None)
    assert found.error == "the conversation broke off: the engine is gone"


async def ranked(path: Path, ranker: Ranker, examples: Sequence[Example] = EXAMPLES) -> list[Ranking]:
    rank = RankRows("r", ranker, seed=1)
    return await map_rows(
        examples, rank, path=path, kind=Ranking, key=lambda e: e.key, row_key=lambda r: r.key, failed=rank.failed,
        is_failed=lambda r: bool(r.error), label="rank",
    )  # fmt: skip


async def test_rows_are_kept_and_failed_ones_are_counted_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "rankings.jsonl"
    kept = await ranked(path, POPULAR, EXAMPLES[:3])
    assert jsonl.read(path, Ranking) == kept
    rows = await ranked(path, Sampled(Parrot(), LINKER))
    assert rows[:3] == kept
    assert (rows[3].static, rows[3].error) == (None, "all of 20 sampled replies were empty")
    found = measure_ranker(rows)["MRR"]
    assert (found.mean, found.unscored, found.worst, found.best) == (0.5, 1, 0.375, 0.625)
    assert [row.static for row in await ranked(path, POPULAR)] == [kept[0].static] * 4
