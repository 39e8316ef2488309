"""The seekers without a model: no title ever leaks, the agenda moves on, an offer is answered."""

from __future__ import annotations

import pytest

from toy import CATALOGUE, LINKER, dialogue
from usbrec.catalogue import Catalogue
from usbrec.linking import Linker
from usbrec.roles.seekers import AttributesSeeker, ProfileSeeker, wishes_of
from usbrec.types import Item, Profile

TRICKY = Catalogue(
    [
        Item(id="it", title="It", year=2017, genres=("horror",), directors=("Andy Muschietti",), stars=("Bill Skarsgård",)),
        Item(id="drama", title="Drama", year=2012, genres=("drama",), stars=("Ann Lee",)),
        Item(id="war", title="War", year=2007, genres=("action", "war"), directors=("Philip Atwell",)),
        Item(id="perfect", title="Perfect", year=1985, genres=("drama", "romance"), stars=("John Travolta",)),
        Item(id="surprise", title="Surprise Me", year=2019, genres=()),
        Item(id="jackie", title="Jackie Brown", year=1997, genres=("crime",), stars=("Jackie Brown", "Pam Grier")),
        Item(id="bare", title="Nothing Known", year=None),
    ]
)
TRICKY_LINKER = Linker(TRICKY)


@pytest.mark.parametrize("target", [item.id for item in TRICKY])
@pytest.mark.parametrize("last", ["Hello!", "What genre do you like?", "Have you seen Jackie Brown (1997)?", "Any actor you like?"])
async def test_no_title_leaks_whatever_the_target_and_the_seed(target: str, last: str) -> None:
    seeker = AttributesSeeker(TRICKY, TRICKY_LINKER, (target,))
    if target in TRICKY_LINKER.items(last):
        return
    for seed in range(40):
        said = dialogue("hi", last)
        for turn in range(3):
            text = await seeker.respond(said, start=1, seed=seed * 10 + turn)
            assert text.strip() and not TRICKY_LINKER.reveals(text, (target,)), text
            said = said.say("seeker", text).say("recommender", "Something else?")


async def test_a_named_target_is_accepted_and_another_offer_declined() -> None:
    seeker = AttributesSeeker(CATALOGUE, LINKER, ("casi",))
    accepted = await seeker.respond(dialogue("hi", "Casino (1995)?"), start=1, seed=1)
    declined = await seeker.respond(dialogue("hi", "Toy Story (1995)?"), start=1, seed=1)
    assert any(word in accepted.lower() for word in ("thank", "great", "perfect", "go for"))
    assert not any(word in declined.lower() for word in ("thank", "perfect"))
    wishes = {w.value.lower() for w in wishes_of(CATALOGUE["casi"])}
    assert any(wish in declined.lower() for wish in wishes)


async def test_a_question_gets_the_kind_of_attribute_it_asks_for() -> None:
    seeker = AttributesSeeker(CATALOGUE, LINKER, ("alien",))
    for seed in range(10):
        said = (await seeker.respond(dialogue("hi", "Which actor do you like?"), start=1, seed=seed)).lower()
        assert "sigourney weaver" in said
        said = (await seeker.respond(dialogue("hi", "What genre are you in the mood for?"), start=1, seed=seed)).lower()
        assert "horror" in said or "sci-fi" in said


async def test_the_agenda_does_not_repeat_itself_and_ends() -> None:
    seeker, said = AttributesSeeker(CATALOGUE, LINKER, ("alien",)), dialogue("hi", "Hello.")
    texts = []
    for turn in range(7):
        texts.append(await seeker.respond(said, start=1, seed=turn))
        said = said.say("seeker", texts[-1]).say("recommender", "Toy Story (1995)?")
    for value in ("Ridley Scott", "Sigourney Weaver", "1970"):
        assert sum(value in text for text in texts) == 1, texts


async def test_the_same_seed_says_the_same() -> None:
    seeker = AttributesSeeker(CATALOGUE, LINKER, ("alien", "gate"))
    said = dialogue("hi", "Toy Story (1995)?")
    assert len({await seeker.respond(said, start=1, seed=5) for _ in range(3)}) == 1
    assert len({await seeker.respond(said, start=1, seed=seed) for seed in range(12)}) > 3


async def test_the_internal_seeker_knows_the_profile_only() -> None:
    profile = Profile(summary="", likes=("heat",), genres=("crime",), mentioned=("heat",))
    seeker = ProfileSeeker(CATALOGUE, LINKER, profile)
    welcome = await seeker.respond(dialogue("I liked Heat (1995)", "Casino (1995)?"), start=1, seed=1)
    declined = await seeker.respond(dialogue("I liked Heat (1995)", "Toy Story (1995)?"), start=1, seed=1)
    assert "could be" in welcome or "good" in welcome.lower()
    assert "crime" in declined
    assert set(ProfileSeeker.__dataclass_fields__) == {"catalogue", "linker", "profile", "name", "enough"}
