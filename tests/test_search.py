"""SES over the toy world."""

from __future__ import annotations

from dataclasses import replace

import pytest

from toy import CATALOGUE, COOCCURRENCE, LINKER, Line, Parrot, dialogue, search_settings
from usbrec.errors import EngineReply
from usbrec.roles.catalogue import Affinity, CatalogueProfileJudge, CatalogueProfiler
from usbrec.search import Search, back_up, merge
from usbrec.types import Dialogue, Profile, Score


def search(recommender: Parrot, seeker: Line | None = None, **settings: object) -> Search:
    return Search(
        recommender=recommender,
        profiler=CatalogueProfiler(CATALOGUE, LINKER),
        seeker_for=lambda _: seeker or Line(),
        judge_for=lambda profile: CatalogueProfileJudge(LINKER, Affinity(CATALOGUE, COOCCURRENCE, profile)),
        linker=LINKER,
        settings=search_settings(**{"depth": 0, **settings}),
    )


SAMPLES = ("Alien (1979) maybe?", "Casino (1995) is great.", "Try Casino (1995)!", "What do you like?")


async def test_the_best_candidate_is_said_and_the_whole_tree_is_kept() -> None:
    reply = await search(Parrot(samples=SAMPLES)).reply(dialogue("I loved Heat (1995)"), seed=1)
    assert reply.text == "Casino (1995) is great."
    trace = reply.search
    assert trace is not None and trace.profile.likes == ("heat",) and not trace.fallback
    assert [c.count for c in trace.candidates] == [1, 1, 2, 1]  # greedy, Alien, Casino twice, the question
    assert all(c.score is not None and c.score.scored for c in trace.candidates)


async def test_the_greedy_reply_is_a_candidate() -> None:
    reply = await search(Parrot(greedy="Casino (1995).", samples=("Toy Story (1995).",))).reply(dialogue("I loved Heat (1995)"), seed=1)
    assert reply.text == "Casino (1995)."


async def test_the_latest_message_is_in_the_summary() -> None:
    trace = await search(Parrot(samples=SAMPLES)).search(dialogue("hi", "Hello!", "I loved Alien (1979)"), seed=1)
    assert trace.profile.likes == ("alien",) and "I loved Alien (1979)" in trace.profile.summary


async def test_without_verdicts_the_greedy_reply_is_said() -> None:
    class Mute:
        name = "mute"

        async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
            return Score(value=None, reason="no vote could be read")

    found = search(Parrot(samples=SAMPLES))
    mute = Search(found.recommender, found.profiler, found.seeker_for, lambda _: Mute(), LINKER, found.settings)
    trace = await mute.search(dialogue("I loved Heat (1995)"), seed=1)
    assert trace.fallback and trace.chosen == 0 and trace.candidates[0].text == "Have you seen Toy Story (1995)?" and trace.note


async def test_never_an_empty_reply() -> None:
    with pytest.raises(EngineReply):
        await search(Parrot(greedy="", samples=("",))).reply(dialogue("hi"), seed=1)
    assert (await search(Parrot(greedy="", samples=("", "Alien (1979)"))).reply(dialogue("hi"), seed=1)).text == "Alien (1979)"


async def test_look_ahead_plays_the_internal_seeker_and_judges_the_later_replies() -> None:
    seeker, parrot = Line("Not that."), Parrot(samples=SAMPLES)
    trace = await search(parrot, seeker, depth=2, width=2).search(dialogue("I loved Heat (1995)"), seed=1)
    assert len(trace.candidates) == 4
    assert [len(c.continuation) for c in trace.candidates] == [4, 4, 4, 4]
    assert trace.candidates[0].continuation[0].text == "Not that."
    assert len(seeker.heard) == 4 * (1 + 2)  # one answer a candidate, then one for each of its two children
    assert all(len(said) in (2, 4) for said in seeker.heard)


async def test_before_its_turn_the_search_is_not_run() -> None:
    reply = await search(Parrot(samples=SAMPLES), from_turn=2).reply(dialogue("I loved Heat (1995)"), seed=1)
    assert reply.text == "Have you seen Toy Story (1995)?" and reply.search is None


async def test_the_last_turns_are_counted_from_the_end_of_the_evaluated_conversation() -> None:
    """Three recommender turns after a given dialogue of three messages: they come after 3, 5 and 7."""
    given = ["I loved Heat (1995)", "Casino (1995)?", "No."]
    told = [dialogue(*given, *["What else?", "No."] * played) for played in range(3)]
    assert [len(said) for said in told] == [3, 5, 7]

    async def searched(start: int, turns: int, **settings: object) -> list[bool]:
        found = search(Parrot(samples=SAMPLES), **settings).within(start, turns)
        return [(await found.reply(said, seed=1)).search is not None for said in told]

    assert await searched(3, 3, last_turns=2) == [False, True, True]
    assert await searched(3, 3, last_turns=1) == [False, False, True]
    assert await searched(3, 3, last_turns=9) == await searched(3, 3) == [True, True, True]
    assert await searched(3, 3, last_turns=2, from_turn=4) == [False, False, True]


async def test_majority_needs_no_judge() -> None:
    reply = await search(Parrot(samples=SAMPLES), strategy="majority").reply(dialogue("I loved Heat (1995)"), seed=1)
    assert reply.text == "Casino (1995) is great."


@pytest.mark.parametrize("strategy", ["tree", "halving", "majority"])
@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (("Alien (1979)?", "Casino (1995)?"), "Have you seen Toy Story (1995)?"),  # each drawn once: the greedy reply came first
        (("Alien (1979)?", "Casino (1995)?", "Casino (1995)!"), "Casino (1995)?"),
        (("Heat (1995)?", "Alien (1979)?", "Alien (1979)!", "Casino (1995)?", "Casino (1995)!"), "Alien (1979)?"),
    ],
)
async def test_ties_go_to_the_one_drawn_more_often_then_to_the_earlier(strategy: str, samples: tuple[str, ...], said: str) -> None:
    class Even:
        name = "even"

        async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
            return Score(value=1.0)

    found = replace(search(Parrot(samples=samples), strategy=strategy), judge_for=lambda _: Even())
    assert (await found.reply(dialogue("hello"), seed=1)).text == said


async def test_consensus_weighs_the_models_own_vote() -> None:
    said = dialogue("I loved Heat (1995)")
    many = Parrot(samples=("Toy Story (1995)",) * 7 + ("Casino (1995)",))
    assert (await search(many).reply(said, seed=1)).text == "Casino (1995)"
    assert "Toy Story" in (await search(many, consensus=5.0).reply(said, seed=1)).text


def test_candidates_merge_by_items_or_by_words() -> None:
    merged = merge(["Heat (1995).", "I'd say Heat (1995)", "Alien (1979)", "What genre?", "what  genre?"], LINKER)
    assert [(c.text, c.count) for c in merged] == [("Heat (1995).", 2), ("Alien (1979)", 1), ("What genre?", 2)]


@pytest.mark.parametrize(
    ("own", "children", "rule", "value"),
    [
        (1.0, [0.0, 2.0], "mean", 1.0),
        (1.0, [0.0, 2.0], "max", 2.0),
        (1.0, [], "mean", 1.0),
        (None, [2.0, None], "mean", 2.0),
        (None, [None], "max", None),
    ],
)
def test_back_up(own: float | None, children: list[float | None], rule: str, value: float | None) -> None:
    assert back_up(own, children, rule) == value  # type: ignore[arg-type]


async def test_the_search_sees_no_target() -> None:
    """`Search` takes a dialogue: there is no parameter through which an example or its targets could enter."""
    import inspect

    assert list(inspect.signature(Search.search).parameters) == ["self", "dialogue", "seed"]
    assert "targets" not in Profile.model_fields


async def test_candidates_are_judged_at_once_not_one_after_the_other() -> None:
    """Fault 9: everything was serial."""
    import asyncio

    now, most = 0, 0

    class Slow:
        name = "slow"

        async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
            return Score(value=1.0)

    found = search(Parrot(samples=SAMPLES))
    await Search(found.recommender, found.profiler, found.seeker_for, lambda _: Slow(), LINKER, found.settings).search(
        dialogue("hi"), seed=1
    )
    assert most == 4
