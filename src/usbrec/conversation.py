"""The rollout loop: a recommender and a seeker take turns.  PODCS, the search and iEval all call this; there is no second copy.

The dialogue holds only what the two sides said.  A conversation ends after `turns` recommender turns, or earlier when `done` says so (a
target was named: the seeker has what they came for) or when the seeker leaves, unsatisfied.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from usbrec.roles import Judge, Recommender, Reply, Seeker
from usbrec.seeds import seed_of
from usbrec.types import Dialogue, Frozen, Score


class Played(Frozen):
    """A conversation that was played on from `start`, and the recommender's replies in it."""

    dialogue: Dialogue
    start: int
    replies: tuple[Reply, ...]
    seconds: tuple[float, ...] = ()
    """Wall time of each reply."""
    left: bool = False
    """The seeker did not wait for another reply."""

    def until_reply(self, index: int) -> Dialogue:
        """The dialogue up to and including reply number `index` (from 0)."""
        return Dialogue(messages=self.dialogue.messages[: self.start + 2 * index + 1])


async def converse(
    dialogue: Dialogue,
    *,
    recommender: Recommender,
    seeker: Seeker,
    turns: int,
    seed: int,
    first: str | None = None,
    done: Callable[[Dialogue], bool] = lambda _: False,
) -> Played:
    """Plays `turns` recommender turns, the seeker answering in between.

    Args:
        dialogue: ends with the seeker (or is empty).
        turns: recommender turns, at least 1.
        first: the first reply, given instead of asked for (a candidate that is to be played forward).
        done: ends the conversation early, asked after each reply.

    Raises:
        EngineError: a side could not speak.
    """
    start, replies, seconds, left = len(dialogue), [], [], False
    for turn in range(turns):
        if turn:
            text = await seeker.respond(dialogue, start=start, seed=seed_of(seed, "seeker", turn))
            if left := text is None:
                break
            dialogue = dialogue.say("seeker", text)
        began = time.monotonic()
        if turn == 0 and first is not None:
            reply = Reply(text=first)
        else:
            reply = await recommender.reply(dialogue, seed=seed_of(seed, "recommender", turn))
        seconds.append(time.monotonic() - began)
        dialogue = dialogue.say("recommender", reply.text)
        replies.append(reply)
        if done(dialogue):
            break
    return Played(dialogue=dialogue, start=start, replies=tuple(replies), seconds=tuple(seconds), left=left)


async def judge_replies(played: Played, judges: Sequence[Judge], *, seed: int) -> list[tuple[Score, ...]]:
    """The verdicts on every reply of a played conversation: one tuple a reply, one score a judge."""

    async def one(index: int, judge: Judge) -> Score:
        return await judge.score(played.until_reply(index), start=played.start, seed=seed_of(seed, judge.name, index))

    rows = [asyncio.gather(*(one(index, judge) for judge in judges)) for index in range(len(played.replies))]
    return [tuple(scores) for scores in await asyncio.gather(*rows)]
