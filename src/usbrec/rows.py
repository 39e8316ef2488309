"""Which rows a stage works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from usbrec.assemble import Assembly, Engines, World
from usbrec.config import Recipe
from usbrec.roles.llm import recommender_messages
from usbrec.seeds import rng_of
from usbrec.types import Example


def sample_rows(rows: Sequence[Example], limit: int | None, seed: int, use: str) -> list[Example]:
    """At most `limit` rows, drawn once by the seed and returned in their own order."""
    if limit is None or limit >= len(rows):
        return list(rows)
    chosen = rng_of(seed, use, limit).sample(range(len(rows)), limit)
    return [rows[index] for index in sorted(chosen)]


async def imitation_rows(recipe: Recipe, world: World, split: str, *, limit: int | None = None) -> list[Any]:
    """SFT rows of a split: (recommender's view of the dialogue, human reply); a share of them with hints, the target among them.

    What is retrieved for a row does not rest on the likes of its own dialogue.
    """
    from usbrec.training import SftRow

    settings, voice = recipe.imitation, recipe.recommender
    usable = [e for e in world.splits[split] if e.answered]
    if settings.new_offers_only:
        usable = [e for e in usable if set(e.targets) - set(e.leaks)]
    chosen = sample_rows(usable, limit or settings.rows, recipe.seed, f"imitate {split}")
    assembly = Assembly(recipe, world, Engines())
    rows = []
    for example in chosen:
        rng = rng_of(recipe.seed, "hints", example.key)
        hints: list[str] = []
        if rng.random() < voice.hint_share:
            found = await assembly.apart_from(example).retriever.items(example.dialogue, k=voice.hint_count)
            fresh = [t for t in example.targets if t not in example.leaks][:2]
            count = rng.randint(1, voice.hint_count)
            listed = [*fresh, *(item for item in found if item not in fresh)][:count]
            rng.shuffle(listed)
            hints = [world.catalogue[item].name for item in listed]
        messages = recommender_messages(example.dialogue, noun=voice.noun, nouns=voice.nouns, history=voice.history, hints=hints)
        rows.append(SftRow(key=example.key, messages=tuple(messages), reply=example.reply))
    return rows
