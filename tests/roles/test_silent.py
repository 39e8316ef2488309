"""The silent seeker tells nothing about what it wants."""

from __future__ import annotations

from toy import CATALOGUE, LINKER, dialogue
from usbrec.roles.catalogue import CatalogueProfiler
from usbrec.roles.seekers import ACCEPT, DECLINE, KNOWN
from usbrec.roles.silent import SHRUGS, SilentSeeker


async def test_it_accepts_declines_and_shrugs_and_nothing_more() -> None:
    seeker, profiler = SilentSeeker(LINKER, ("casi",)), CatalogueProfiler(CATALOGUE, LINKER)
    for seed in range(20):
        for last, said in (
            ("Casino (1995)?", ACCEPT),
            ("Toy Story (1995)?", DECLINE),
            ("You know Heat (1995).", KNOWN),
            ("What genre do you like?", SHRUGS),
        ):
            talk = dialogue("I loved Heat (1995).", last)
            text = await seeker.respond(talk, start=1, seed=seed)
            assert text in said
            before, after = await profiler.profile(talk, seed=0), await profiler.profile(talk.say("seeker", text), seed=0)
            assert (after.likes, after.genres, after.people) == (before.likes, before.genres, before.people)
