"""SES, the Self-Enhancement Strategy (docs/method.md, SES): search for the best reply at inference.

The search takes a `Dialogue`, not an `Example`: it cannot see a target.  It is itself a `Recommender`.

1. A profiler summarises the seeker's preference, the latest message included; meanwhile the greedy reply and n samples are drawn.  With
   `enough` few are drawn at first, and more only where none of them is good enough.
2. Samples that offer the same items are merged; how many were merged is kept as a vote of the model for itself.
3. Each candidate is judged against the profile, and with look-ahead played on: the internal seeker answers, the recommender replies, each
   reply judged in turn.  Values are backed up: a node's value is the mean (or the maximum) of its own score and of its children's.
4. The best candidate is said; ties go to the one sampled more often, then to the greedy reply.  Where nothing can be scored, the greedy
   reply is said and the trace says so: never an empty reply.

How the work is spent is a strategy's matter (`strategies`); when it ends, the budget's (`settings.BudgetSettings`); what was found stands
in the `tree`, whole, and in the trace of every reply.  The search is anytime: whatever ends it, the best candidate so far is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from usbrec.engines.metered import Meter, metering
from usbrec.linking import Linker
from usbrec.roles import GuidedSampler, ProfileJudgeFor, Profiler, ProfileSeekerFor, Reply, SampleReplies, SamplingRecommender
from usbrec.search.settings import BudgetSettings, DrawnSearch, GreedySearch, JudgedSearch, SearchSettings, SpeculateSettings, TreeSearch
from usbrec.search.strategies import STRATEGIES
from usbrec.search.tree import back_up, merge, trace
from usbrec.search.work import Work
from usbrec.types import Dialogue, Profile, SearchTrace

__all__ = [
    "BudgetSettings", "DrawnSearch", "JudgedSearch", "Search", "SearchSettings", "SpeculateSettings", "TreeSearch", "back_up", "merge",
]  # fmt: skip


@dataclass(frozen=True)
class Search:
    """The searching recommender."""

    recommender: SamplingRecommender
    profiler: Profiler
    seeker_for: ProfileSeekerFor
    judge_for: ProfileJudgeFor
    linker: Linker
    settings: SearchSettings
    guided: GuidedSampler | None = None
    """Draws replies with retrieved items in the prompt (see `DrawnSearch.guided`); None where there is no retriever."""
    best_known: Callable[[Profile], float] | None = None
    """The judge's value of the best single item that the retriever knows, for `JudgedSearch.enough`."""
    answer_anyway: bool = False
    """Bear an engine's faults as long as there is any candidate (a server's way); else they are raised, and the row is asked again."""
    facts: Profiler | None = None
    """Reads a profile without a model; `speculate` compares messages by it, and without it uses a guess only word for word."""
    reader: SampleReplies | None = None
    """The recommender, saying one token only: has a dialogue read into the engine's prefix cache, for `speculate`."""
    meter: Meter | None = None
    """Counts and bounds the one reply that is asked for, in place of a meter by the settings' budget; `speculate` sets it."""
    begins: int = 0
    """Messages that stand before the first reply that is searched; `within` sets it."""

    def within(self, start: int, turns: int) -> Search:
        """For a conversation of so many recommender turns, the first after `start` messages: `last_turns` counts from its end."""
        last = self.settings.last_turns if isinstance(self.settings, DrawnSearch) else None
        return self if last is None else replace(self, begins=start + 2 * (turns - last))

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        greedy = isinstance(self.settings, GreedySearch) or len(dialogue.of("seeker")) < self.settings.from_turn
        if greedy or len(dialogue) < self.begins:
            return await self.recommender.reply(dialogue, seed=seed)
        found = await self.search(dialogue, seed=seed)
        return Reply(text=found.candidates[found.chosen].text, search=found)

    @property
    def budget(self) -> BudgetSettings:
        """Of a reply; without a search there is no limit."""
        return self.settings.budget if isinstance(self.settings, DrawnSearch) else BudgetSettings()

    async def search(self, dialogue: Dialogue, *, seed: int) -> SearchTrace:
        """The whole tree over one dialogue.

        Raises:
            EngineError: no candidate could be had; or, unless `answer_anyway`, any fault of an engine.
        """
        budget = self.budget
        meter = self.meter or Meter(most_calls=budget.calls, most_tokens=budget.tokens)
        work = Work(self, dialogue, seed, meter, STRATEGIES[self.settings.strategy])
        with metering(work.meter):
            await work.run()
        return self._trace(work)

    def _trace(self, work: Work) -> SearchTrace:
        tree, settings, meter = work.tree, self.settings, work.meter
        if isinstance(settings, JudgedSearch):
            chosen = tree.best(settings.consensus)
        else:
            chosen = max(range(len(tree.branches)), key=lambda index: (tree.candidates[index].count, -index))
        fallback = chosen is None and len(tree.branches) > 1
        notes = ["no candidate could be scored: the greedy reply is said"] if fallback else []
        if work.stopped in ("seconds", "tokens or calls"):
            only = "allowed nothing but the greedy reply" if sum(b.count for b in tree.candidates) == 1 else "ended the search"
            notes.append(f"the budget ({work.stopped}) {only}")
        notes += [f"a part of the search failed: {fault.what}" for fault in work.faults[:1]]
        return trace(
            tree, chosen or 0, settings.strategy, fallback=fallback, stopped=work.stopped, calls=meter.calls,
            prompt_tokens=meter.prompt_tokens, completion_tokens=meter.completion_tokens, note="; ".join(notes),
        )  # fmt: skip
