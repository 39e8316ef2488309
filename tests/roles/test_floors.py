"""The retriever alone, and what a list of titles is worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from toy import CATALOGUE, COOCCURRENCE, LINKER, dialogue
from usbrec import config, data
from usbrec.assemble import RETRIEVAL, Assembly, Engines, World
from usbrec.evaluation.ieval import Evaluation
from usbrec.evaluation.metrics import Measure, measure_arm
from usbrec.roles.catalogue import Affinity, CatalogueProfiler, Retriever
from usbrec.roles.floors import QUESTION, WHO, Retrieval
from usbrec.types import Dialogue

RETRIEVER = Retriever(CATALOGUE, COOCCURRENCE, CatalogueProfiler(CATALOGUE, LINKER), lambda p: Affinity(CATALOGUE, COOCCURRENCE, p))


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("retrieval", "Have you seen Casino (1995)?"),
        ("retrieval:3", "Have you seen Casino (1995), Collateral (2004) or Alien (1979)?"),
        ("retrieval+ask", f"Have you seen Casino (1995), Collateral (2004) or Alien (1979)? {WHO}"),
    ],
)
async def test_the_retriever_speaks_in_a_fixed_sentence(arm: str, said: str) -> None:
    assert (await Retrieval(RETRIEVER, *RETRIEVAL[arm]).reply(dialogue("I liked Heat (1995)"), seed=0)).text == said


async def test_without_an_item_it_asks() -> None:
    everything = " ".join(item.name for item in CATALOGUE)
    for question in ("", WHO):
        assert (await Retrieval(RETRIEVER, 1, question).reply(dialogue(everything), seed=0)).text == (question or QUESTION)
    assert LINKER.items((await Retrieval(RETRIEVER).reply(Dialogue(), seed=0)).text)  # the most popular


async def test_three_titles_do_not_beat_one_under_the_default_judge(tmp_path: Path) -> None:
    """When up to three items counted, a list of three bought .23 of iEval on this world, and .24 on ReDial."""
    recipe = config.load(Path(__file__).parents[2] / "recipes" / "demo.yaml")
    data.prepare(recipe.data, None, tmp_path)
    world = World.of(tmp_path)
    assembly = Assembly(recipe, world, Engines())

    async def score(arm: str) -> Measure:
        evaluation = Evaluation(
            arm=arm, recommender_for=assembly.reference(arm), seeker_for=assembly.seeker_for(recipe.evaluate.seeker),
            judges_for=[assembly.judge_for(recipe.evaluate.judges[0])], linker=world.linker, turns=2, seed=1,
        )  # fmt: skip
        return measure_arm([await evaluation(example) for example in world.splits["test"]], ["catalogue"]).judged["catalogue"]["ieval"]

    one, three = await score("retrieval"), await score("retrieval:3")
    assert one.mean is not None and three.mean is not None
    assert one.rows == three.rows > 100 and three.mean <= one.mean
