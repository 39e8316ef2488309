"""The programmatic roles: every score here is known by hand (see `toy`)."""

from __future__ import annotations

import pytest

from toy import CATALOGUE, COOCCURRENCE, LINKER, dialogue
from usbrec.catalogue import Catalogue
from usbrec.linking import Linker
from usbrec.roles.catalogue import Affinity, CatalogueJudge, CatalogueProfileJudge, CatalogueProfiler, Retriever
from usbrec.types import Item, Profile


@pytest.mark.parametrize(
    ("targets", "reply", "value", "hit"),
    [
        (("casi",), "See Casino (1995).", 2, True),
        (("casi",), "Alien (1979) or Casino (1995)?", 0, False),  # the second title does not count
        (("alien",), "Toy Story (1995) or Event Horizon (1997)?", 0, False),  # nor is it compared
        (("casi",), "If you liked Heat (1995), then Casino (1995).", 2, True),  # the first new one does
        (("casi",), "Have you seen Heat (1995)?", 0, False),  # the seeker named it: nothing new
        (("heat",), "Have you seen Heat (1995)?", 0, False),  # nor is a target that was named before a hit
        (("coll",), "What do you like?", 0, False),
        (("alien",), "Event Horizon (1997) is scary", 1, False),  # same genres
        (("toy",), "Event Horizon (1997) is scary", 0, False),
    ],
)
async def test_judge(targets: tuple[str, ...], reply: str, value: float, hit: bool) -> None:
    said = dialogue("I liked Heat (1995)", reply)
    score = await CatalogueJudge(CATALOGUE, LINKER, targets).score(said, start=1, seed=0)
    assert (score.value, score.hit) == (value, hit)
    assert score.reason


async def test_profile_reads_the_latest_message_and_dislikes() -> None:
    said = dialogue("I loved Heat (1995) but I hated Alien (1979).", "Casino (1995)?", "Seen it. Something funny or scary with Tom Cruise?")
    profile = await CatalogueProfiler(CATALOGUE, LINKER).profile(said, seed=0)
    assert profile.likes == ("heat",) and profile.dislikes == ("alien",)
    assert profile.genres == ("horror",)  # no film of this catalogue is a comedy
    assert profile.people == ("Tom Cruise",)
    assert set(profile.mentioned) == {"heat", "alien", "casi"}
    assert "Something funny or scary" in profile.summary


async def test_a_profile_says_a_repaired_title_by_its_right_name() -> None:
    profile = await CatalogueProfiler(CATALOGUE, LINKER).profile(dialogue("I liked Heat (1996)."), seed=0)
    assert profile.summary == 'Likes Heat (1995). Last said: "I liked Heat (1995)."'


async def test_profile_of_an_empty_context_says_so() -> None:
    profile = await CatalogueProfiler(CATALOGUE, LINKER).profile(dialogue(), seed=0)
    assert profile.summary == "Nothing is known yet." and not profile.likes


def test_affinity_prefers_what_was_liked_together() -> None:
    profile = Profile(summary="", likes=("heat",), mentioned=("heat",))
    affinity = Affinity(CATALOGUE, COOCCURRENCE, profile)
    assert affinity("casi") > affinity("coll") > affinity("alien") > 0  # Casino shares genres and two dialogues with Heat
    assert 0 <= affinity("toy") <= 1


def test_a_disliked_item_is_worth_half() -> None:
    plain = Profile(summary="", likes=("heat",), mentioned=("heat",))
    averse = plain.model_copy(update={"dislikes": ("casi",)})
    assert Affinity(CATALOGUE, COOCCURRENCE, averse)("casi") == pytest.approx(Affinity(CATALOGUE, COOCCURRENCE, plain)("casi") / 2)


async def test_profile_judge_gives_nothing_for_nothing_new() -> None:
    profile = Profile(summary="", likes=("heat",), mentioned=("heat",))
    judge = CatalogueProfileJudge(LINKER, Affinity(CATALOGUE, COOCCURRENCE, profile))
    values = [
        (await judge.score(dialogue("I liked Heat (1995)", reply), start=1, seed=0)).value
        for reply in ("What else do you like?", "Heat (1995)!", "Casino (1995).", "Toy Story (1995).")
    ]
    assert values[0] == values[1] == 0
    assert values[2] is not None and values[3] is not None and values[2] > values[3]


async def test_a_further_title_buys_nothing_from_the_searchs_judge() -> None:
    profile = Profile(summary="", likes=("heat",), mentioned=("heat",))
    affinity = Affinity(CATALOGUE, COOCCURRENCE, profile)
    judge = CatalogueProfileJudge(LINKER, affinity)

    async def value(reply: str) -> float | None:
        return (await judge.score(dialogue("I liked Heat (1995)", reply), start=1, seed=0)).value

    assert await value("Toy Story (1995)?") == pytest.approx(2 * affinity("toy"))
    assert await value("Toy Story (1995), Casino (1995), Alien (1979)?") == await value("Toy Story (1995)?")
    assert await value("As good as Heat (1995)? Casino (1995) or Toy Story (1995).") == pytest.approx(2 * affinity("casi"))


async def test_retriever_never_returns_what_was_named() -> None:
    profiler = CatalogueProfiler(CATALOGUE, LINKER)
    retriever = Retriever(CATALOGUE, COOCCURRENCE, profiler, lambda p: Affinity(CATALOGUE, COOCCURRENCE, p))
    items = await retriever.items(dialogue("I liked Heat (1995) and Casino (1995)"), k=3)
    assert items[0] == "coll" and not {"heat", "casi"} & set(items) and len(items) == 3


async def test_retriever_knows_what_the_people_asked_for_have_made() -> None:
    world = Catalogue([*CATALOGUE, Item(id="rare", title="Rarely Seen", writers=("Ann Writer",)), Item(id="other", title="Others Seen")])
    profiler = CatalogueProfiler(world, Linker(world))
    retriever = Retriever(world, COOCCURRENCE, profiler, lambda p: Affinity(world, COOCCURRENCE, p), pool=2)
    assert (await retriever.items(dialogue("Anything written by Ann Writer?"), k=3))[0] == "rare"
    assert "rare" not in await retriever.items(dialogue("Rarely Seen by Ann Writer was good"), k=9)
    assert "rare" not in await retriever.items(dialogue("I liked Heat (1995)"), k=9)


async def test_a_wanted_genre_reaches_every_item_of_that_genre() -> None:
    """Asking for a documentary reached none of ReDial's 271: few talk about them, so none is among the items that co-occur most."""
    rare = [Item(id=f"doc{n}", title=f"Rarely Seen {n}", genres=("documentary",)) for n in range(5)]
    world = Catalogue([*CATALOGUE, *rare])
    profiler = CatalogueProfiler(world, Linker(world))
    retriever = Retriever(world, COOCCURRENCE, profiler, lambda p: Affinity(world, COOCCURRENCE, p), pool=2)
    assert set(await retriever.items(dialogue("A documentary, please."), k=5)) == {item.id for item in rare}
    assert set(await retriever.items(dialogue("I liked Heat (1995). A documentary?"), k=5)) == {item.id for item in rare}
    assert not {item.id for item in rare} & set(await retriever.items(dialogue("A comedy, please."), k=9))
    assert len(retriever.for_profile(Profile(summary="", genres=("no such genre",)), k=9)) == 2
