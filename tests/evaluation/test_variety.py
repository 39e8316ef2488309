"""What an arm's offers are like: every figure by hand, over the toy catalogue of six films."""

from __future__ import annotations

import pytest
from outcome_rows import row, turn

from toy import CATALOGUE, COOCCURRENCE, LINKER
from usbrec.catalogue import Catalogue
from usbrec.errors import DataError
from usbrec.evaluation.metrics import success_turn
from usbrec.evaluation.variety import (
    coverage,
    gini,
    measure_variety,
    off_catalogue,
    percentiles,
    popularity_of,
    repetition,
    writes_unknown_title,
)
from usbrec.linking import Linker
from usbrec.types import Dialogue, Item, Message

PERCENTILES = percentiles(CATALOGUE, COOCCURRENCE.popularity)
ROWS = (
    row("d1:1", turn(1, items=("heat",)), turn(2, items=("casi",), hit=True)),
    row("d1:2", turn(2, items=("heat", "toy"), hit=True)),
    row("d2:1", turn(0), turn(0, items=("heat",))),
    row("d3:1", error="the engine is gone"),
)
"""Offers: Heat three times, Casino and Toy Story once each; hits at turn 2, at turn 1, never, unknown."""


def test_coverage_is_the_share_of_the_catalogue_that_is_offered() -> None:
    assert coverage(ROWS, CATALOGUE) == 0.5
    assert coverage([row("a:1", turn(0))], CATALOGUE) == 0
    assert coverage(ROWS[3:], CATALOGUE) is None


def test_gini_counts_what_is_never_offered() -> None:
    """Counts 0 0 0 1 1 3 at places 1 to 6: (1 * 1 + 3 * 1 + 5 * 3) / (5 * 5) = 0.76."""
    assert gini(ROWS, CATALOGUE) == 0.76
    assert gini([row("a:1", turn(1, items=("heat",)))] * 4, CATALOGUE) == 1
    assert gini([row("a:1", *(turn(1, items=(item.id,)) for item in CATALOGUE))], CATALOGUE) == 0
    assert gini([row("a:1", turn(0))], CATALOGUE) is None


def test_an_offer_outside_the_catalogue_is_an_error() -> None:
    with pytest.raises(DataError, match="1 offered items are not in the catalogue: nowhere"):
        coverage([row("a:1", turn(1, items=("nowhere",)))], CATALOGUE)


def test_popularity_percentiles_by_hand() -> None:
    """Likes: Collateral 1, four films 2, Heat 4.  Shares below plus half of the equal: 0.5/6, (1 + 2)/6, (5 + 0.5)/6."""
    assert PERCENTILES["coll"] == pytest.approx(0.5 / 6)
    assert PERCENTILES["casi"] == PERCENTILES["toy"] == 0.5
    assert PERCENTILES["heat"] == pytest.approx(5.5 / 6)
    assert sum(PERCENTILES.values()) / 6 == pytest.approx(0.5)
    assert percentiles(CATALOGUE, {"heat": 3})["toy"] == pytest.approx(2.5 / 6)


def test_popularity_is_the_mean_over_the_offers_of_a_row() -> None:
    assert popularity_of(ROWS[1], PERCENTILES) == pytest.approx((5.5 / 6 + 0.5) / 2)
    assert popularity_of(row("a:1", turn(0)), PERCENTILES) is None


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Have you seen Heat (1995)?", False),
        ("Have you seen Blue Nine (2011)?", True),
        ("Heat (1995) is like Blue Nine! (2011).", True),
        ("Have you seen Heat (1996)?", False),  # repaired
        ('I love "Blue Nine".', True),
        ("I love “Blue Nine”.", True),
        ('I love "Blue Nine" (2011).', True),
        ('I love "Toy Story".', False),
        ('I love "Toy Story: The Lost Chapter".', False),  # touched by a mention
        ("I love 'Blue Nine' and Blue Nine.", False),
        ('It was "so funny", a real "Comedy".', False),
        ("I saw it last year (2016).", False),
        ("Call (1234) Rooms (1600).", False),
        ('She said "I Never Thought That We Would See A Film Like That".', False),
    ],
)
def test_a_title_of_no_item_is_told_by_its_form(text: str, unknown: bool) -> None:
    assert writes_unknown_title(text, LINKER) is unknown


def test_a_title_that_several_items_share_is_in_the_catalogue() -> None:
    films = [Item(id=str(year), title="Ghostbusters", year=year) for year in (1984, 2016)]
    assert not writes_unknown_title("Have you seen Ghostbusters (1999)?", Linker(Catalogue(films)))


def test_off_catalogue_is_a_share_of_replies() -> None:
    assert off_catalogue(row("a:1", turn(0, reply="Blue Nine (2011)"), turn(0, reply="Heat (1995)")), LINKER) == 0.5
    assert off_catalogue(ROWS[3], LINKER) is None


def test_repetition_is_the_share_of_turns_that_offer_only_what_was_named() -> None:
    """Turn 1 names Heat, turn 2 adds Alien, turns 3 and 4 repeat, turn 5 names nothing; had the seeker named Heat, turn 1 repeats too."""
    texts = ("Heat (1995)!", "Heat (1995), Alien (1979)", "Alien (1979), Heat (1995)", "Alien (1979)?", "Why?")
    said = row("a:1", *(turn(0, reply=text) for text in texts))
    assert repetition(said, LINKER) == 0.4
    first = Message(side="seeker", text="I loved Heat (1995).")
    asked = said.model_copy(update={"dialogue": Dialogue(messages=(first, *said.dialogue.messages[1:]))})
    assert repetition(asked, LINKER) == 0.6
    assert repetition(ROWS[3], LINKER) is None


def test_success_turn_counts_from_one() -> None:
    assert [success_turn(each) for each in ROWS] == [2, 1, None, None]


def test_one_arm_together() -> None:
    found = measure_variety(ROWS, CATALOGUE, COOCCURRENCE.popularity, LINKER)
    assert (found.arm, found.rows, found.offers, found.coverage, found.gini) == ("rl", 4, 5, 0.5, 0.76)
    assert (found.popularity.rows, found.popularity.unscored) == (3, 1)
    assert found.popularity.mean == pytest.approx(((5.5 / 6 + 0.5) / 2 * 2 + 5.5 / 6) / 3, abs=1e-6)
    assert (found.success_turn.mean, found.success_turn.rows) == (1.5, 2)
    assert (found.success.mean, found.success.unscored) == (pytest.approx(2 / 3, abs=1e-6), 1)
    assert (found.success.worst, found.success.best) == (0.5, 0.75)
    assert (found.off_catalogue.mean, found.repetition.mean, found.repetition.unscored) == (0, 0, 1)


def test_wrong_years_are_counted_though_linking_repairs_them() -> None:
    """Two of three years are wrong, and every title links: no other figure tells."""
    said = ("Heat (1996) or Casino (1995)?", "Toy Story (1999) it is.", "Alien!")
    rows = [row(f"d{n}:1", turn(1, reply=reply, items=LINKER.items(reply)[:1])) for n, reply in enumerate(said)]
    found = measure_variety(rows, CATALOGUE, {}, LINKER)
    assert (found.wrong_years, found.years, found.off_catalogue.mean) == (2, 3, 0)


def test_rows_of_two_arms_are_not_one_arm() -> None:
    with pytest.raises(DataError, match="several arms"):
        measure_variety([*ROWS, row("x:1", turn(0), arm="sft")], CATALOGUE, {}, LINKER)
    with pytest.raises(DataError, match="no outcomes"):
        measure_variety([], CATALOGUE, {}, LINKER)
