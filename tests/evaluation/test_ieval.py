"""One arm's way through an example: what is equal for all arms, and what a turn records."""

from __future__ import annotations

from dataclasses import dataclass, field

from toy import CATALOGUE, LINKER, Line, Parrot, example
from usbrec.evaluation.ieval import Evaluation
from usbrec.roles import Reply
from usbrec.roles.catalogue import CatalogueJudge
from usbrec.types import Dialogue


@dataclass
class Drawn:
    """Remembers the seeds that it is asked with."""

    seeds: list[int] = field(default_factory=list)

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        self.seeds.append(seed)
        return Reply(text="What do you like?")

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        self.seeds.append(seed)
        return "Something else."


def evaluation(arm: str, recommender: Drawn | Parrot, seeker: Drawn | Line | None = None) -> Evaluation:
    return Evaluation(
        arm=arm, recommender_for=lambda _: recommender, seeker_for=lambda _: seeker or Line(),
        judges_for=[lambda targets: CatalogueJudge(CATALOGUE, LINKER, targets)], linker=LINKER, turns=2, seed=3,
    )  # fmt: skip


async def test_every_arm_plays_a_row_with_the_same_seeds() -> None:
    """Differences between arms are paired: neither side may have the luckier draw."""
    sides = {arm: (Drawn(), Drawn()) for arm in ("base", "rl+ses")}
    for arm, (recommender, seeker) in sides.items():
        for key in ("d1:1", "d2:1"):
            await evaluation(arm, recommender, seeker)(example(key))
    assert sides["base"] == sides["rl+ses"]
    assert len(set(sides["base"][0].seeds)) == 4, "rows and turns have seeds of their own"


async def test_a_turn_offers_its_first_new_item_and_names_all() -> None:
    """Heat was named by the seeker; of Collateral and Casino only the first counts, and Casino, the target, is no hit behind it."""
    found = await evaluation("rl", Parrot("Like Heat (1995): Collateral (2004) or Casino (1995)?"))(example())
    first = found.turns[0]
    assert (first.items, first.named, first.scores[0].hit) == (("coll",), ("heat", "coll", "casi"), False)
    assert found.turns[1].items == (), "all of them were named before"
