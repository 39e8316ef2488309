"""The seeker that paraphrases says no title of a target, no genre and nobody's name, and still says something of use."""

from __future__ import annotations

import pytest

from toy import CATALOGUE, dialogue
from usbrec.catalogue import Catalogue
from usbrec.linking import Linker
from usbrec.roles.catalogue import CatalogueProfiler
from usbrec.roles.paraphrase import ERAS, FEELS, ParaphraseSeeker, Phrasebook, difference
from usbrec.roles.seekers import ACCEPT
from usbrec.roles.unsaid import Unsaid, strings_of
from usbrec.types import Dialogue, Item

PLOT = "A smuggler and a pianist, Ann Lee, meet in a casino; the smuggler sings in a western comedy about the lonely mountain."
BOTH = ("comedy", "sci-fi")
PLOTTED = Catalogue(
    [
        Item(
            id="want",
            title="The Lonely Pianist",
            year=1984,
            genres=BOTH,
            directors=("Max Power",),
            stars=("Ann Lee",),
            plot=PLOT,
        ),
        Item(id="near", title="Robot Waltz", year=1999, genres=BOTH, plot="A smuggler and a pianist sing in a casino."),
        Item(id="next", title="The Lonely Pianist Returns", year=1986, genres=BOTH, directors=("Max Power",)),
        Item(id="fame", title="Max Power and the Moon", year=1990, genres=BOTH),
        Item(id="kind", title="Comedy Robots", year=1990, genres=BOTH),
        Item(id="grim", title="Dark Machines", year=1985, genres=("comedy", "sci-fi", "horror"), plot="A smuggler, a pianist, a casino."),
        Item(id="far", title="Dusty Trail", year=1950, genres=("western",), plot="One smuggler, one casino, one lonely mountain."),
    ]
)
PLOTTED_LINKER = Linker(PLOTTED)


def seeker(*targets: str, least: int = 1) -> ParaphraseSeeker:
    return ParaphraseSeeker(Phrasebook(PLOTTED, PLOTTED_LINKER, {"near": 9}), targets, least)


async def lines(speaker: ParaphraseSeeker, *, talks: int = 40, turns: int = 4, last: str = "Go on.") -> list[str]:
    """What it says in some conversations."""
    found = []
    for seed in range(talks):
        talk = dialogue("hi", last)
        for turn in range(turns):
            found.append(await speaker.respond(talk, start=1, seed=100 * seed + turn))
            talk = talk.say("seeker", found[-1]).say("recommender", last)
    return found


@pytest.mark.parametrize("last", ["Go on.", "Who do you like, any actor or director?", "What genre?", "Old or new?", "Dusty Trail (1950)?"])
async def test_neither_a_title_nor_a_catalogues_word_is_said(last: str) -> None:
    said = await lines(seeker("want"), last=last)
    unsaid = Unsaid(PLOTTED_LINKER, ("want",), strings_of([PLOTTED["want"]], PLOTTED.genres))
    assert not [text for text in said if unsaid.told(text)]
    genres = ("comedy", "sci-fi", "western", "horror")
    assert not [text for text in said for word in (*genres, "power", "ann lee", "1980", "1984") if word.lower() in text.lower()]


async def test_it_says_how_it_feels_when_it_was_made_what_is_in_it_and_what_it_is_like() -> None:
    said = "\n".join(await lines(seeker("want")))
    assert "from the eighties" in said and "smuggler" in said and "pianist" not in said, "a word of the title is none of the plot's"
    assert any(text in said for text in FEELS["comedy"]) and any(text in said for text in FEELS["sci-fi"])
    assert "Robot Waltz (1999)" in said and "older" in said
    assert "Dark Machines (1985)" in said and "lighter" in said
    for other in ("The Lonely Pianist", "Max Power and the Moon", "Comedy Robots", "Dusty Trail"):
        assert other not in said, "a sequel, a maker's name, a genre's name, and what is not comparable"


async def test_a_plots_rare_word_is_not_said() -> None:
    """Three other plots hold "smuggler"."""
    assert "smuggler" in "\n".join(await lines(seeker("want", least=3)))
    assert "smuggler" not in "\n".join(await lines(seeker("want", least=4)))


async def test_what_was_named_is_no_example_any_more_and_nothing_is_told_twice() -> None:
    speaker, talk = seeker("want"), Dialogue().say("seeker", "hi").say("recommender", "Robot Waltz (1999)?")
    for turn in range(12):
        text = await speaker.respond(talk, start=1, seed=turn)
        assert "Robot Waltz" not in text
        talk = talk.say("seeker", text).say("recommender", "Go on.")
    said = "\n".join(talk.of("seeker"))
    assert said.count("from the eighties") == 1 and sum(said.count(text) for text in FEELS["comedy"]) == 1


async def test_it_accepts_a_target_and_is_the_same_by_seed() -> None:
    assert await seeker("want").respond(dialogue("hi", "The Lonely Pianist (1984)?"), start=1, seed=1) in ACCEPT
    assert await lines(seeker("want")) == await lines(seeker("want"))


async def test_an_item_that_nothing_is_known_of_gets_a_vague_seeker() -> None:
    bare = Catalogue([Item(id="bare", title="Nothing Known")])
    text = await ParaphraseSeeker(Phrasebook(bare, Linker(bare)), ("bare",)).respond(dialogue("hi", "Go on."), start=1, seed=1)
    assert text


def test_the_descriptions_are_no_catalogues_words_nor_our_profilers() -> None:
    """Checked against every genre that has a description, in its plural too, and the words that stand for it in `CatalogueProfiler`."""
    world = Catalogue([Item(id=genre, title=f"No {number}", genres=(genre,)) for number, genre in enumerate((*FEELS, "short", "news"))])
    profiler, strings = CatalogueProfiler(world, Linker(world)), strings_of((), world.genres)
    said = [text for texts in FEELS.values() for text in texts] + [*ERAS.values()]
    assert not [text for text in said if strings.search(text) or profiler.wanted(text) != ([], [])]


def test_the_strings_of_an_item() -> None:
    strings = strings_of([Item(id="a", title="A", genres=("sci-fi", "comedy"), directors=("Ridley Scott",), stars=("Ann Lee",))])
    for text in ("Sci-Fi", "some sci fi", "comedies", "a comedy", "ridley scott", "by Scott", "with Ann Lee"):
        assert strings.search(text), text
    for text in ("scott free", "a science", "comic", "Lee side", "Scottish"):
        assert not strings.search(text), text
    assert not strings_of(()).search("anything at all")


@pytest.mark.parametrize(("item", "other", "says"), [("toy", "alien", "lighter"), ("alien", "toy", "darker"), ("coll", "heat", "darker")])
def test_how_items_differ(item: str, other: str, says: str) -> None:
    assert difference(CATALOGUE[item], CATALOGUE[other]) == says


def test_how_old_they_are() -> None:
    new, old = (Item(id=str(year), title="A", year=year) for year in (1990, 1982))
    assert (difference(new, old), difference(old, new)) == ("newer", "older")
    assert difference(old, old) == "a little different" == difference(old, Item(id="x", title="X"))
