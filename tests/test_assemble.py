"""What the parts are given: over the toy world with the scripted engine, every prompt that the recommender and the search read is searched
for targets; and the floors, the ceiling and the arms are what a recipe says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from toy import CATALOGUE, COOCCURRENCE, EXAMPLES, LINKER, example
from usbrec import config
from usbrec.assemble import REFERENCES, Assembly, Engines, World
from usbrec.engine import Engine
from usbrec.engines import EngineConfig
from usbrec.engines.scripted import ScriptedEngine
from usbrec.errors import ConfigError, DataError
from usbrec.evaluation.ieval import Evaluation
from usbrec.rows import imitation_rows
from usbrec.types import Dialogue, Example

WORLD = World(
    splits={name: list(EXAMPLES) for name in ("train", "valid", "test")}, catalogue=CATALOGUE, linker=LINKER, cooccurrence=COOCCURRENCE
)


class Fake(Engines):
    """Hands out one scripted engine for everything."""

    def __init__(self, engine: ScriptedEngine) -> None:
        super().__init__()
        self.engine = engine

    def get(self, config: EngineConfig) -> Engine:
        return self.engine


def recipe(**sections: Any) -> config.Recipe:
    return config.Recipe.model_validate({"name": "t", "data": {"kind": "demo"}, **sections})


async def play(arm: str, given: Example, engine: ScriptedEngine, **sections: Any) -> tuple[Any, list[str]]:
    """The outcome of one arm on one example, and every prompt as one text."""
    assembly = Assembly(recipe(**sections), WORLD, Fake(engine))
    recommender = assembly.search(engine) if arm == "ses" else assembly.recommender(engine)
    evaluation = Evaluation(
        arm=arm, recommender_for=lambda _: recommender, seeker_for=assembly.seeker_for(assembly.recipe.evaluate.seeker),
        judges_for=[assembly.judge_for(j) for j in assembly.recipe.evaluate.judges], linker=LINKER, turns=2, seed=0,
    )  # fmt: skip
    outcome = await evaluation(given)
    return outcome, ["\n".join(m.content for m in prompt) for prompt in engine.asked]


@pytest.mark.parametrize("arm", ["plain", "ses"])
@pytest.mark.parametrize("depth", [0, 2])
async def test_no_prompt_holds_a_target_that_the_dialogue_does_not(arm: str, depth: int) -> None:
    secret = example(text="hello there", targets=("gate",))
    engine = ScriptedEngine(("What do you like?", "Have you seen Toy Story (1995)?", "Alien (1979) is good."))
    outcome, prompts = await play(arm, secret, engine, search={"depth": depth, "candidates": 4})
    assert len(prompts) >= 2 and outcome.turns
    for prompt in prompts:
        assert not LINKER.reveals(prompt, ("gate",)), prompt
        assert secret.reply not in prompt


async def test_the_human_reply_reaches_no_prompt_but_is_what_sft_learns() -> None:
    rows = await imitation_rows(recipe(recommender={"hint_share": 0.0}), WORLD, "train")
    assert [row.reply for row in rows] == ["You should see Casino (1995)."] * 4
    assert all("Casino" not in message.content for row in rows for message in row.messages)


async def test_hints_stand_in_their_share_of_the_rows_the_target_among_them() -> None:
    rows = await imitation_rows(recipe(recommender={"hint_share": 1.0, "hint_count": 3}), WORLD, "train")
    counts = [row.messages[-1].content.count(";") + 1 for row in rows]
    assert set(counts) <= {1, 2, 3} and len(set(counts)) > 1
    for row in rows:
        assert "Casino (1995)" in row.messages[-1].content
        assert "Heat (1995)" not in row.messages[-1].content  # the seeker named it


async def test_every_target_stands_once_among_the_hints_of_its_row() -> None:
    """Whether or not it is retrieved; of two both, where there is room; one named already is left to the retriever, which leaves it out."""

    async def hints(targets: tuple[str, ...], count: int) -> list[list[str]]:
        rows = [example(f"d{n}:1", targets=targets) for n in range(12)]
        voice = recipe(recommender={"hint_share": 1.0, "hint_count": count})
        made = await imitation_rows(voice, replace(WORLD, splits={"train": rows}), "train")
        lines = [line for row in made for line in row.messages[-1].content.splitlines() if "suits the" in line]
        return [line.partition(": ")[2].rstrip(".").split("; ") for line in lines]

    for targets, count in ((("casi",), 4), (("gate",), 2), (("toy", "gate"), 5), (("heat", "casi"), 5)):
        given = await hints(targets, count)
        wanted = [CATALOGUE[target].name for target in targets if target != "heat"]
        assert len({len(names) for names in given}) > 1 and all(len(set(names)) == len(names) for names in given)
        assert all(set(wanted) <= set(names) for names in given if len(names) >= len(wanted))
        assert all(set(names) <= set(wanted) for names in given if len(names) < len(wanted))
        assert not any("Heat (1995)" in names for names in given)


async def test_only_replies_that_are_there_and_whole_are_imitated() -> None:
    whole, cut, missing = (example(f"{name}:1") for name in ("whole", "cut", "missing"))
    cut = cut.model_copy(update={"reply": "You should see Cas", "reply_whole": False})
    missing = missing.model_copy(update={"reply": "", "reply_whole": False})
    rows = await imitation_rows(recipe(), replace(WORLD, splits={"train": [cut, whole, missing]}), "train")
    assert [row.key for row in rows] == ["whole:1"]


async def test_a_reply_that_repeats_is_drawn_anew() -> None:
    said = Dialogue().say("seeker", "I liked Heat (1995)").say("recommender", "Alien (1979)?").say("seeker", "No.")
    asked = {"redraws": 2}

    async def reply(*scripted: str, **settings: int) -> str:
        assembly = Assembly(recipe(recommender=settings), WORLD, Fake(ScriptedEngine()))
        return (await assembly.recommender(ScriptedEngine(scripted)).reply(said, seed=1)).text

    assert await reply("Alien (1979) then!", "Heat (1995).", "Casino (1995)?") == "Alien (1979) then!"  # off by default
    assert await reply("Alien (1979) then!", "Heat (1995).", "Casino (1995)?", **asked) == "Casino (1995)?"
    assert await reply("Alien (1979)?", "Heat (1995).", "What else do you like?", **asked) == "What else do you like?"
    assert await reply("Alien (1979) then!", "Heat (1995).", "Alien (1979)!", **asked) == "Alien (1979) then!"
    assert await reply("What else do you like?", "Casino (1995)?", **asked) == "What else do you like?"  # no offer, but not a repeat
    assert await reply("Casino (1995), or Heat (1995)?", "Up (2009)!", **asked) == "Casino (1995), or Heat (1995)?"


async def test_guided_candidates_see_retrieved_items_and_plain_ones_do_not() -> None:
    engine = ScriptedEngine(("Collateral (2004).", "Toy Story (1995)?"))
    _, prompts = await play("ses", example(), engine, search={"depth": 0, "candidates": 2, "guided": 2}, recommender={"hint_count": 2})
    named = [
        line.removeprefix("Among these may be one that suits the seeker: ")
        for p in prompts
        for line in p.splitlines()
        if "suits the" in line
    ]
    assert set(named[:2]) == {"Casino (1995).", "Collateral (2004)."}  # co-liked with Heat; one a prompt
    assert len(named) < len(prompts)


@pytest.mark.parametrize("arm", REFERENCES)
async def test_every_reference_arm_speaks(arm: str) -> None:
    assembly = Assembly(recipe(), WORLD, Fake(ScriptedEngine()))
    reply = await assembly.reference(arm)(EXAMPLES[0]).reply(EXAMPLES[0].dialogue, seed=1)
    expected = {
        "floor:random-reply": "You should see Casino (1995).",
        "floor:repeat": "You should watch Heat (1995).",
        "collaborative": "Have you seen Casino (1995)?",
        "ceiling:human": "You should see Casino (1995).",
    }
    assert reply.text == expected.get(arm, reply.text) and reply.text
    if arm == "floor:most-popular":
        assert LINKER.items(reply.text) and "heat" not in LINKER.items(reply.text)  # Heat is the most liked, but it was named


async def test_the_random_floor_is_drawn_from_training_replies() -> None:
    """Of three splits with replies of their own; a test reply would hold a target of some row under test."""
    said = {"train": "Alien (1979)?", "valid": "Toy Story (1995)?", "test": "Event Horizon (1997)?"}
    splits = {split: [example(f"{split}{n}:1").model_copy(update={"reply": text}) for n in range(3)] for split, text in said.items()}
    splits["train"].append(example("cut:1").model_copy(update={"reply": "You should see Cas", "reply_whole": False}))
    floor = Assembly(recipe(), replace(WORLD, splits=splits), Fake(ScriptedEngine())).reference("floor:random-reply")(EXAMPLES[0])
    assert {(await floor.reply(EXAMPLES[0].dialogue, seed=seed)).text for seed in range(20)} == {"Alien (1979)?"}


async def test_the_ceiling_of_a_row_without_a_reply_is_an_error_not_a_zero() -> None:
    assembly = Assembly(recipe(), WORLD, Fake(ScriptedEngine()))
    cut = EXAMPLES[0].model_copy(update={"reply_whole": False})
    with pytest.raises(DataError, match="missing"):
        await assembly.reference("ceiling:human")(cut).reply(cut.dialogue, seed=1)
    with pytest.raises(ConfigError, match="no reference arm"):
        assembly.reference("floor:nothing")


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("{kind: attributes, least: 10, knows: 0.5, errs: 0.2}", "AttributesSeeker"),
        ("{kind: silent}", "SilentSeeker"),
        ("{kind: paraphrase, least: 3}", "ParaphraseSeeker"),
        ("{kind: llm, checked: true}", "LLMSeeker"),
        ("{kind: silent, patience: 2}", "ImpatientSeeker"),
    ],
)
async def test_every_seeker_can_be_set_on_the_command_line(given: str, made: str) -> None:
    """And what is set reaches it, and the fingerprint of what it plays in."""
    text = "name: t\ndata: {kind: demo}\nevaluate: {protocol: usbrec-1}\n"
    sets = [f"evaluate.seeker={given}", *(["engines.seeker={kind: openai, model: m}"] if "llm" in given else [])]
    settings = config.parse(text, where="t", overrides=sets)
    seeker = Assembly(settings, WORLD, Fake(ScriptedEngine(("Something else.",)))).seeker_for(settings.evaluate.seeker)(("gate",))
    assert type(seeker).__name__ == made
    for key, value in settings.evaluate.seeker.model_dump(exclude={"kind", "patience"}).items():
        assert getattr(seeker, key) == value
    assert await seeker.respond(Dialogue().say("seeker", "hi").say("recommender", "Toy Story (1995)?"), start=1, seed=1)
