"""The search under a budget, with early stops, faults and cancellation: on an engine that takes its time and knows who is in it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from clock import event_loop_policy  # noqa: F401 - time limits hold however busy the machine is
from toy import CATALOGUE, COOCCURRENCE, LINKER, dialogue, search_settings
from usbrec.engine import ChatMessage, Choice, Completion, Sampling
from usbrec.engines.metered import MeteredEngine
from usbrec.errors import EngineError, EngineReply
from usbrec.roles.catalogue import Affinity, CatalogueProfileJudge, CatalogueProfiler
from usbrec.roles.llm import LLMProfileJudge, LLMProfiler, LLMProfileSeeker, LLMRecommender
from usbrec.search import Search, TreeSearch
from usbrec.seeds import rng_of
from usbrec.types import Dialogue, Profile, Score

SAID = dialogue("I loved Heat (1995)")
OFFERS = ("Casino (1995) is great.", "Alien (1979) maybe?", "Try Collateral (2004)!", "What do you like?", "Toy Story (1995).")


@dataclass
class Busy:
    """An engine with few slots: what it says follows from the seed, every token takes `pace` seconds."""

    pace: float = 0.0
    slots: int = 8
    fail_after: int | None = None
    vote: str = "1"
    now: int = 0
    started: int = 0
    cancelled: int = 0
    drawn: list[int] = field(default_factory=list)
    name: str = "busy"

    def __post_init__(self) -> None:
        self.free = asyncio.Semaphore(self.slots)

    async def _work(self, tokens: float) -> None:
        async with self.free:
            self.now += 1
            self.started += 1
            try:
                if self.fail_after is not None and self.started > self.fail_after:
                    raise EngineError("the engine died")
                await asyncio.sleep(self.pace * tokens)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.now -= 1

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        self.drawn.append(n)
        rng = rng_of(sampling.seed, len(messages))
        await self._work(rng.random() if sampling.temperature else 0.2)
        greedy = sampling.temperature == 0
        texts = ["Have you seen Toy Story (1995)?" if greedy else rng.choice(OFFERS) for _ in range(n)]
        if sampling.max_tokens == 4:
            texts = [self.vote] * n
        return [Completion(text=text, prompt_tokens=10, completion_tokens=5) for text in texts]

    async def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> AsyncIterator[str]:
        yield "never asked"

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        await self._work(0.1)
        return Choice(probabilities=(0.2, 0.3, 0.5), mass=0.9)

    async def close(self) -> None: ...


def search(engine: Busy, *, answer_anyway: bool = False, **settings: object) -> Search:
    """All roles that can be are played by the engine if `judge: llm` is asked for; else only the recommender is."""
    chosen = search_settings(**{"depth": 0, "candidates": 6, "stop_early": False, **settings})
    metered = MeteredEngine(engine)
    facts = CatalogueProfiler(CATALOGUE, LINKER)
    llm = settings.get("judge") == "llm"

    def affinity(profile: Profile) -> Affinity:
        return Affinity(CATALOGUE, COOCCURRENCE, profile)

    return Search(
        recommender=LLMRecommender(metered),
        profiler=LLMProfiler(metered, facts) if llm else facts,
        seeker_for=lambda profile: LLMProfileSeeker(metered, profile),
        judge_for=lambda profile: (
            LLMProfileJudge(metered, profile, method=chosen.method, votes=chosen.votes)
            if llm
            else CatalogueProfileJudge(LINKER, affinity(profile))
        ),
        linker=LINKER,
        settings=chosen,
        best_known=lambda profile: 2 * max(affinity(profile)(item) for item in ("casi", "coll")),
        answer_anyway=answer_anyway,
    )


LLM = {"judge": "llm", "profiler": "llm", "seeker": "llm"}


@pytest.mark.parametrize("strategy", ["best-of-n", "majority", "chain", "tree", "halving"])
async def test_every_strategy_says_the_best_it_found_and_counts_what_it_spent(strategy: str) -> None:
    engine = Busy()
    trace = await search(engine, strategy=strategy, depth=1, width=2, candidates=8, **LLM).search(SAID, seed=1)
    assert trace.strategy == strategy and trace.candidates[0].text == "Have you seen Toy Story (1995)?" and not trace.stopped
    played = {"best-of-n": 0, "majority": 0, "chain": 1, "tree": 2}.get(strategy)
    for candidate in trace.candidates:
        assert played is None or len(candidate.children) == played
        assert (candidate.value is None) == (strategy == "majority")
    if strategy == "halving":  # 5 candidates: 5 lines, then 3, then 2
        lines = sorted((len(c.children) for c in trace.candidates), reverse=True)
        assert len(lines) == 5 and lines == [3, 3, 2, 1, 1]
    assert trace.calls == sum(engine.drawn) + (engine.started - len(engine.drawn))  # replies, and menus weighed
    assert trace.prompt_tokens > 0 and trace.completion_tokens >= 5 * sum(engine.drawn)


async def test_the_whole_tree_stands_in_the_trace() -> None:
    trace = await search(Busy(), depth=2, width=2, candidates=1).search(SAID, seed=1)
    for candidate in trace.candidates:
        assert len(candidate.children) == 2 and all(len(child.children) == 2 for child in candidate.children)
        assert all(child.heard and child.text and child.score and child.value is not None for child in candidate.children)
        below = sum(child.value or 0 for child in candidate.children) / 2
        assert candidate.score and candidate.score.value is not None
        assert candidate.value == pytest.approx((candidate.score.value + below) / 2)
        assert candidate.continuation[1].text == candidate.children[0].text


@pytest.mark.parametrize("calls", [1, 2, 3, 5, 9, 20])
async def test_no_more_calls_than_the_budget_allows(calls: int) -> None:
    engine = Busy()
    found = await search(engine, budget={"calls": calls}, depth=1, **LLM).search(SAID, seed=1)
    assert found.calls <= calls and found.stopped == "tokens or calls" and "the budget" in found.note
    assert sum(engine.drawn) + engine.started - len(engine.drawn) <= calls
    if calls == 1:
        assert [c.text for c in found.candidates] == ["Have you seen Toy Story (1995)?"] and "nothing but the greedy reply" in found.note


async def test_a_budget_of_calls_cuts_the_samples_and_keeps_the_greedy_reply() -> None:
    engine = Busy()
    reply = await search(engine, budget={"calls": 4}).reply(SAID, seed=1)
    assert engine.drawn == [1, 3] and reply.search is not None and sum(c.count for c in reply.search.candidates) == 4


async def test_no_call_is_made_that_may_go_beyond_the_tokens() -> None:
    engine = Busy()
    found = await search(engine, budget={"tokens": 15}).search(SAID, seed=1)  # the greedy reply alone may take more
    assert engine.drawn == [1] and found.chosen == 0 and "nothing but the greedy reply" in found.note
    most = 600
    found = await search(engine, budget={"tokens": most}, depth=3, **LLM).search(SAID, seed=1)
    assert found.stopped == "tokens or calls" and len(found.candidates) > 1
    assert found.prompt_tokens + found.completion_tokens <= most


async def test_when_time_is_up_the_best_so_far_is_said_and_the_rest_is_cancelled() -> None:
    engine = Busy(pace=0.02)
    found = await search(engine, budget={"seconds": 0.2}, depth=400, candidates=8).search(SAID, seed=1)  # the whole would take 8 seconds
    assert found.calls < 9 + 100 * len(found.candidates)
    assert found.stopped == "seconds" and len(found.candidates) > 1 and "ended the search" in found.note
    assert found.candidates[found.chosen].value == max(c.value for c in found.candidates if c.value is not None)
    await asyncio.sleep(0)
    assert engine.now == 0 and engine.cancelled > 0


async def test_the_greedy_reply_is_awaited_whatever_it_costs() -> None:
    engine = Busy(pace=0.5)
    found = await search(engine, budget={"seconds": 0.01}).search(SAID, seed=1)
    assert [c.text for c in found.candidates] == ["Have you seen Toy Story (1995)?"] and "nothing but the greedy reply" in found.note


async def test_a_leader_that_cannot_be_overtaken_ends_the_search() -> None:
    class Sharp:
        name = "sharp"

        async def score(self, dialogue: Dialogue, *, start: int, seed: int) -> Score:
            return Score(value=2.0 if "Casino" in dialogue.messages[start].text else 0.0)

    engine = Busy(pace=0.01)
    base = search(engine, depth=30, candidates=8, stop_early=True)
    found = await replace(base, judge_for=lambda _: Sharp()).search(SAID, seed=1)
    assert found.candidates[found.chosen].text.startswith("Casino") and found.stopped == "decided"
    assert found.calls < 9 + 5 * len(found.candidates)  # a few turns of the thirty; two verdicts on every line decide it


async def test_one_candidate_is_not_searched_on() -> None:
    class Same(Busy):
        async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
            await super().chat(messages, n=n, sampling=sampling)
            return [Completion(text="Casino (1995)!")] * n

    engine = Same(pace=0.001)
    found = await search(engine, depth=200, stop_early=True).search(SAID, seed=1)
    assert found.stopped == "decided" and len(found.candidates) == 1 and found.candidates[0].count == 7 and found.calls < 40


async def test_a_greedy_reply_that_is_good_enough_is_said_without_search() -> None:
    class Good(Busy):
        async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
            await super().chat(messages, n=n, sampling=sampling)
            return [Completion(text="Casino (1995)!")] * n

    good, poor = Good(), Busy()
    found = await search(good, enough=0.9).search(SAID, seed=1)
    assert found.stopped == "enough" and good.drawn == [1] and found.chosen == 0 and not found.fallback
    assert found.candidates[0].value is not None
    found = await search(poor, enough=0.9).search(SAID, seed=1)
    assert found.stopped == "enough" and poor.drawn == [1, 6]  # Casino was among the samples
    assert all(c.score is not None and not c.score.reason.startswith("mean of") for c in found.candidates)  # the greedy one judged once


class Shelf:
    """Guided candidates from a list; remembers which were asked for."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.asked = texts, list[tuple[int, int]]()

    async def sample(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int, skip: int = 0) -> list[str]:
        self.asked.append((skip, n))
        return list(self.texts[skip : skip + n])


async def test_guided_candidates_come_in_lots_until_one_is_enough() -> None:
    poor = [f"Alien (1979) {'or so ' * n}" for n in range(9)]
    for place, lots in [
        (0, [(0, 1)]),
        (1, [(0, 1), (1, 2)]),
        (2, [(0, 1), (1, 2)]),
        (3, [(0, 1), (1, 2), (3, 4)]),
        (8, [(0, 1), (1, 2), (3, 4), (7, 2)]),
    ]:
        shelf, engine = Shelf(*poor[:place], "Casino (1995)!", *poor[place:]), Busy()
        found = await replace(search(engine, enough=1.0, guided=9, candidates=0), guided=shelf).search(SAID, seed=1)
        assert shelf.asked == lots and found.stopped == "enough" and engine.drawn == [1]
        assert found.candidates[found.chosen].text == "Casino (1995)!"
    shelf, engine = Shelf(*poor), Busy()
    searching = replace(search(engine, enough=1.0, lot=3, guided=9, candidates=2, depth=1), guided=shelf, best_known=lambda _: 9.9)
    found = await searching.search(SAID, seed=1)
    assert shelf.asked == [(0, 3), (3, 6)] and not found.stopped and engine.drawn[:2] == [1, 2]
    assert all(len(c.children) == 1 for c in found.candidates)  # played on, since nothing was enough
    shelf = Shelf(*poor)
    await replace(search(Busy(), guided=9, candidates=2), guided=shelf).search(SAID, seed=1)
    assert shelf.asked == [(0, 9)]  # all at once


async def test_halving_spreads_the_votes_over_its_rounds() -> None:
    found = await search(Busy(), strategy="halving", method="vote", votes=10, candidates=12, **LLM).search(SAID, seed=1)
    votes = sorted((len(c.score.votes) for c in found.candidates if c.score), reverse=True)
    assert len(found.candidates) == 5 and votes == [10, 10, 7, 4, 4]
    assert len(found.candidates[found.chosen].score.votes) == 10  # type: ignore[union-attr]


@pytest.mark.parametrize("after", [1, 2, 4, 8])
async def test_an_engine_that_dies_in_mid_search(after: int) -> None:
    with pytest.raises(EngineError, match="died"):
        await search(Busy(fail_after=after), depth=2, **LLM).search(SAID, seed=1)
    engine = Busy(fail_after=after)
    found = await search(engine, answer_anyway=True, depth=2, **LLM).search(SAID, seed=1)
    assert found.candidates[found.chosen].text and "a part of the search failed: the engine died" in found.note
    assert engine.now == 0


async def test_an_engine_that_is_dead_from_the_start_is_an_error() -> None:
    with pytest.raises(EngineError, match="died"):
        await search(Busy(fail_after=0), answer_anyway=True).search(SAID, seed=1)


async def test_all_candidates_empty() -> None:
    class Silent(Busy):
        async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
            return [Completion(text="  ")] * n

    with pytest.raises(EngineReply, match="empty"):
        await search(Silent()).search(SAID, seed=1)


@pytest.mark.parametrize(("key", "value"), [("width", 0), ("depth", -1), ("candidates", -1), ("budget", {"calls": 0}), ("enough", 0)])
def test_settings_that_make_no_sense_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        TreeSearch.model_validate({key: value})


async def test_searches_at_once_are_metered_apart() -> None:
    engine = Busy(pace=0.001, slots=64)
    found = await asyncio.gather(*(search(engine, budget={"calls": 1 + n}).search(SAID, seed=n) for n in range(1, 8)))
    assert [trace.calls for trace in found] == [2, 3, 4, 5, 6, 7, 7]


@pytest.mark.parametrize("strategy", ["chain", "tree", "halving"])
async def test_cancelled_at_any_moment_it_leaves_no_task_and_no_slot(strategy: str) -> None:
    """A thousand searches in all, each cancelled somewhere."""
    engine, rng = Busy(pace=0.001, slots=16), random.Random(strategy)
    before = asyncio.all_tasks()
    for lot in range(9):
        looking = [
            asyncio.create_task(
                search(engine, strategy=strategy, depth=2, width=2, stop_early=bool(n % 2), **LLM).search(SAID, seed=lot * 38 + n)
            )
            for n in range(38)
        ]
        for task in rng.sample(looking, len(looking)):
            for _ in range(rng.randrange(12)):
                await asyncio.sleep(rng.choice((0, 0, 0.001)))
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
    assert asyncio.all_tasks() == before
    assert engine.now == 0 and engine.free._value == 16
    assert (await search(engine, strategy=strategy, depth=1, **LLM).search(SAID, seed=1)).candidates  # and it still answers
