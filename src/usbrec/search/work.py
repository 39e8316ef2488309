"""The work on one searched reply: what is asked of the engine, when it stops, and what happens to faults.

Everything that does not wait for something else runs at once: the profile, the candidates, and the first look-ahead of the candidates that
have come.  Every line of work lives in a task group, so whatever ends the search (the end, the budget, a decided leader, the caller)
cancels what is still under way, in the engine too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from usbrec.engines.metered import BudgetSpent, Meter
from usbrec.errors import EngineError, EngineReply
from usbrec.roles import Judge, StayingSeeker
from usbrec.search.settings import DrawnSearch, JudgedSearch
from usbrec.search.tree import Branch, Tree
from usbrec.seeds import seed_of
from usbrec.tasks import together
from usbrec.types import Dialogue

if TYPE_CHECKING:
    from usbrec.search import Search

Found = Callable[[asyncio.TaskGroup, Branch], None]


@dataclass(eq=False)
class Work:
    """One search over one dialogue; `run` fills the tree."""

    search: Search
    dialogue: Dialogue
    seed: int
    meter: Meter
    strategy: Callable[[Work], Awaitable[None]]
    """How the work is spent; one of `strategies`."""
    tree: Tree = field(init=False)
    stopped: str = ""
    faults: list[EngineError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = Tree(self.search.linker, self.settings.rule, noisy=self.settings.asks_votes)
        self._over = asyncio.Event()
        self._begun = False

    @property
    def settings(self) -> DrawnSearch:
        settings = self.search.settings
        assert isinstance(settings, DrawnSearch)
        return settings

    # ---- the whole -------------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the strategy ends, the budget is spent, the leader is decided, or a fault comes that is not to be borne.

        Raises:
            EngineError: not even the greedy reply could be had; or any fault, unless `Search.answer_anyway`.
        """
        main = asyncio.ensure_future(self.strategy(self))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({main, over}, timeout=self.settings.budget.seconds, return_when=asyncio.FIRST_COMPLETED)
            if main.done():
                main.result()
            elif not self.stopped:
                self.stopped = "seconds"
            main.cancel()
            await asyncio.wait({main})
            await self.begin()
        finally:
            parts = [self._greedy, main, over, *([self.roles] if "roles" in self.__dict__ else [])]
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        if self.meter.refused and not self.stopped:
            self.stopped = "tokens or calls"
        if self.faults and not (self.search.answer_anyway and self.tree.branches):
            raise self.faults[0]
        if not self.tree.branches:
            raise EngineReply("every candidate and the greedy reply were empty")

    def stop(self, why: str) -> None:
        """Ends the search; the first reason stands."""
        self.stopped = self.stopped or why
        self._over.set()

    def bear(self, fault: EngineError, branch: Branch | None = None) -> None:
        """A spent budget refuses work; any other fault ends the search, unless an answer is wanted anyway."""
        if branch is not None:
            branch.note = fault.what
        if isinstance(fault, BudgetSpent):
            return
        self.faults.append(fault)
        if not self.search.answer_anyway:
            self._over.set()

    # ---- candidates ------------------------------------------------------------------------------------------------------------------

    @cached_property
    def _greedy(self) -> asyncio.Task[list[str]]:
        return asyncio.create_task(self.search.recommender.sample(self.dialogue, n=1, temperature=0.0, seed=self.seed))

    async def begin(self) -> None:
        """The greedy reply is the first candidate, whatever it costs."""
        if not self._begun:
            try:
                texts = await asyncio.shield(self._greedy)
            except EngineError as fault:
                self.bear(fault)
                texts = []
            if not self._begun:
                self._begun = True
                for text in texts:
                    self.tree.add(text)

    async def draw(self, group: asyncio.TaskGroup, found: Found = lambda *_: None) -> None:
        """Greedy reply, samples, guided replies; `found` is told of each new candidate, in this order, as they come.

        With `JudgedSearch.enough` in lots, until one of them is good enough.
        """
        share, told = self._share, 0
        for samples, guided in self._lots():
            async for _ in self._arrivals(group, samples, guided):
                if share is None:
                    told = self._tell(group, found, told)
            if share is not None and await self._enough(share):
                self.stop("enough")
                return
            told = self._tell(group, found, told)
        self.tree.drawing = False
        self.check()

    async def _arrivals(self, group: asyncio.TaskGroup, samples: int, guided: range) -> AsyncIterator[None]:
        """Asks for a lot at once, after the greedy reply; tells whenever some of it has been added."""
        _ = self._greedy
        drawing = [group.create_task(source) for source in self._sources(samples, guided)]
        await self.begin()
        yield
        for source in drawing:
            for text in await source:
                self.tree.add(text)
            yield

    def _tell(self, group: asyncio.TaskGroup, found: Found, told: int) -> int:
        """Of the candidates from number `told` on; how many there are now."""
        for branch in self.tree.candidates[told:]:
            found(group, branch)
        return len(self.tree.branches)

    @property
    def _share(self) -> float | None:
        """Of the best known offer that is enough; None where all candidates are drawn at once."""
        return self.settings.enough if isinstance(self.settings, JudgedSearch) and self.search.best_known else None

    def _lots(self) -> list[tuple[int, range]]:
        """What is drawn at once, one lot after the other: how many samples, which of the retriever's items."""
        settings = self.settings
        guided = settings.guided if self.search.guided else 0
        if self._share is None or not isinstance(settings, JudgedSearch):
            return [(settings.candidates, range(guided))]
        first = min(settings.lot, guided)
        lots, start, size = [(0, range(first))], first, max(2 * first, 1)
        while start < guided:
            lots.append((0, range(start, min(start + size, guided))))
            start, size = start + size, 2 * size
        if settings.candidates:
            lots[1:2] = [(settings.candidates, lots[1][1] if len(lots) > 1 else range(0))]
        return lots

    def _sources(self, samples: int, guided: range) -> list[Coroutine[Any, Any, list[str]]]:
        dialogue, warm, search = self.dialogue, self.settings.temperature, self.search
        sources = []
        if samples:
            sources.append(search.recommender.sample(dialogue, n=samples, temperature=warm, seed=seed_of(self.seed, "candidates")))
        if guided and search.guided:
            seed = seed_of(self.seed, "guided")
            sources.append(search.guided.sample(dialogue, n=len(guided), temperature=warm, seed=seed, skip=guided.start))
        return [self._drawn(source) for source in sources]

    async def _drawn(self, source: Coroutine[Any, Any, list[str]]) -> list[str]:
        try:
            return await source
        except EngineError as fault:
            self.bear(fault)
            return []

    async def _enough(self, share: float) -> bool:
        """Is the best candidate so far nearly as good as the best offer that the retriever knows?"""
        for branch in self.tree.candidates:
            said = self.dialogue.say("recommender", branch.text)
            await self.quietly(branch, self.judge(branch, said, depth=0, seed=seed_of(self.seed, "branch", branch.text)))
        values = [branch.score.value for branch in self.tree.candidates if branch.score and branch.score.value is not None]
        if not values or self.tree.profile is None or self.search.best_known is None:
            return False
        return max(values) >= share * self.search.best_known(self.tree.profile)

    # ---- judging and playing on ------------------------------------------------------------------------------------------------------

    @cached_property
    def roles(self) -> asyncio.Task[tuple[StayingSeeker, Judge]]:
        """The internal seeker and judge, made from the profile; asked for at once and once."""

        async def make() -> tuple[StayingSeeker, Judge]:
            profile = await self.search.profiler.profile(self.dialogue, seed=seed_of(self.seed, "profile"))
            self.tree.profile = profile
            return self.search.seeker_for(profile), self.search.judge_for(profile)

        return asyncio.create_task(make())

    def begin_branch(self, group: asyncio.TaskGroup, branch: Branch, *, depth: int, width: int) -> None:
        """Judges a candidate and plays it on, in the group."""
        branch.hold(awaiting=depth > 0)
        seed = seed_of(self.seed, "branch", branch.text)
        group.create_task(self.evaluate(branch, self.dialogue, depth=depth, width=width, seed=seed))

    async def evaluate(self, branch: Branch, before: Dialogue, *, depth: int, width: int, seed: int) -> None:
        """Judges a reply and, at the same time, plays it on for `depth` turns.  `before`: what was said before it."""
        said = before.say("recommender", branch.text)
        async with together() as group:
            group.create_task(self.quietly(branch, self.judge(branch, said, depth=depth, seed=seed)))
            if depth:
                group.create_task(self.quietly(branch, self.play(branch, said, depth=depth, width=width, seed=seed)))
        branch.settle()
        self.check()

    async def quietly(self, branch: Branch, part: Coroutine[Any, Any, None]) -> None:
        """A part of the work on a branch; its fault is noted there, and ends the search if it must."""
        try:
            await part
        except EngineError as fault:
            self.bear(fault, branch)

    async def judge(self, branch: Branch, said: Dialogue, *, depth: int, seed: int, votes: int | None = None) -> None:
        """Adds a verdict.  `votes`: of a judge that votes, other than its settings say."""
        if branch.verdicts and votes is None:
            return
        _, judge = await asyncio.shield(self.roles)
        if votes is not None:
            judge = replace(judge, votes=votes)  # type: ignore[type-var]
        branch.verdicts.append(await judge.score(said, start=len(self.dialogue), seed=seed_of(seed, "judge", depth)))
        self.check()

    async def play(self, branch: Branch, said: Dialogue, *, depth: int, width: int, seed: int, more: bool = False) -> None:
        """The internal seeker answers, the recommender says `width` things, and so on.  `more`: further lines may follow these."""
        settings = self.settings
        seeker, _ = await asyncio.shield(self.roles)
        answer = await seeker.respond(said, start=len(self.dialogue), seed=seed_of(seed, "seeker", depth))
        heard = said.say("seeker", answer)
        texts = await self.search.recommender.sample(heard, n=width, temperature=settings.temperature, seed=seed_of(seed, "reply", depth))
        async with together() as group:
            branch.awaiting = more
            for place, text in enumerate(texts):
                child = Branch(text=text, items=self.search.linker.items(text), heard=answer, pending=True, awaiting=depth > 1)
                branch.children.append(child)
                group.create_task(self.evaluate(child, heard, depth=depth - 1, width=width, seed=seed_of(seed, depth, place)))

    def check(self) -> None:
        """Stops a search whose leader cannot be overtaken."""
        settings = self.settings
        if isinstance(settings, JudgedSearch) and settings.stop_early and self.tree.decided(settings.consensus):
            self.stop("decided")
