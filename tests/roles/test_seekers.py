"""The seekers without a model: no title ever leaks, the agenda moves on, an offer is answered."""

from __future__ import annotations

import pytest

from toy import CATALOGUE, LINKER, dialogue
from usbrec.catalogue import Catalogue
from usbrec.linking import Linker
from usbrec.roles.seekers import FORGOTTEN, AttributesSeeker, ProfileSeeker, wishes_of
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


SHARED = Catalogue(
    [
        Item(
            id="only",
            title="The Lonely Mountain",
            year=1985,
            genres=("western",),
            directors=("Ada Single",),
            stars=("Bo Famous", "Cy Rare"),
        ),
        *(Item(id=f"bo{n}", title=f"Bo Number {n}", year=1986, genres=("western", "drama"), stars=("Bo Famous",)) for n in range(10)),
        *(Item(id=f"cy{n}", title=f"Cy Number {n}", year=2001, genres=("comedy",), stars=("Cy Rare",)) for n in range(9)),
    ]
)
SHARED_LINKER = Linker(SHARED)


async def told(seeker: AttributesSeeker, *, seeds: int = 30, turns: int = 5, first: str = "hi") -> str:
    """All that a seeker says in some conversations, to questions and to offers."""
    said = []
    for seed in range(seeds):
        talk = dialogue(first, "Which actor or director do you like?")
        for turn in range(turns):
            said.append(await seeker.respond(talk, start=1, seed=seed * 10 + turn) or "")
            talk = talk.say("seeker", said[-1]).say("recommender", ("Which director?", "What kind of film?", "Old or new?")[turn % 3])
    return "\n".join(said)


async def test_a_wish_that_few_items_share_is_not_said() -> None:
    """Western and the 1980s are shared by ten others, as is Bo Famous; Cy Rare by nine, Ada Single by none."""
    everything = await told(AttributesSeeker(SHARED, SHARED_LINKER, ("only",)))
    assert all(value in everything for value in ("Ada Single", "Bo Famous", "Cy Rare", "western", "1980"))
    careful = await told(AttributesSeeker(SHARED, SHARED_LINKER, ("only",), least=10))
    assert all(value in careful for value in ("Bo Famous", "western", "1980"))
    assert "Ada Single" not in careful and "Cy Rare" not in careful
    looser = await told(AttributesSeeker(SHARED, SHARED_LINKER, ("only",), least=9))
    assert "Cy Rare" in looser and "Ada Single" not in looser


async def test_praise_names_no_genre_that_few_items_share() -> None:
    seeker = AttributesSeeker(CATALOGUE, LINKER, ("alien",), least=3)
    said = [await seeker.respond(dialogue("hi", "Event Horizon (1997)?"), start=1, seed=seed) for seed in range(40)]
    assert not any(genre in text for text in said for genre in ("horror", "sci-fi"))


async def test_what_is_known_is_a_share_and_stays_the_same_for_a_conversation() -> None:
    """A wish that cannot be named in one turn cannot be named in any; over many conversations about half can be."""
    known = 0
    for talk in range(40):
        seeker = AttributesSeeker(SHARED, SHARED_LINKER, ("only",), knows=0.5)
        said = await told(seeker, seeds=6, turns=6, first=f"hello, number {talk}")
        known += sum(value in said for value in ("Ada Single", "Bo Famous", "Cy Rare", "western", "1980"))
    assert 70 <= known <= 130  # of 200; five standard errors are 35
    nothing = await told(AttributesSeeker(SHARED, SHARED_LINKER, ("only",), knows=0.0))
    assert not any(value in nothing for value in ("Ada Single", "Bo Famous", "Cy Rare", "western", "1980"))


async def test_a_seeker_that_errs_says_something_else_or_forgets_and_says_it_once() -> None:
    seeker = AttributesSeeker(SHARED, SHARED_LINKER, ("only",), errs=1.0)
    said = await told(seeker)
    assert not any(value in said for value in ("Ada Single", "Bo Famous", "Cy Rare", "western", "1980"))
    many = "\n".join([await told(seeker, seeds=2, first=f"hello {number}") for number in range(30)])
    assert any(text in many for text in FORGOTTEN.values()) and any(other in many for other in ("comedy", "drama", "2000"))
    talk = dialogue("hi", "Hello.")
    for turn in range(8):
        talk = talk.say("seeker", await seeker.respond(talk, start=1, seed=turn)).say("recommender", "Go on.")
    lines = "\n".join(talk.of("seeker"))
    assert all(lines.count(text) <= 1 for text in FORGOTTEN.values()), lines
