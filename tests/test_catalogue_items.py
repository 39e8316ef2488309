"""Catalogue: lookups, the catalogue judge's likeness, and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from usbrec.catalogue import Catalogue
from usbrec.errors import DataError
from usbrec.types import Item

A = Item(id="a", title="Heat", year=1995, genres=("crime", "drama"), directors=("Mann",), stars=("Pacino", "De Niro", "Kilmer"))
B = Item(id="b", title="Collateral", year=2004, genres=("thriller",), directors=("Mann",), stars=("Cruise",))
C = Item(id="c", title="Ronin", year=1998, genres=("action",), directors=("Frankenheimer",), stars=("De Niro", "Reno"))
D = Item(id="d", title="Duo", genres=("action",), stars=("Pacino", "De Niro"))
E = Item(id="e", title="Bare")
F = Item(id="f", title="Bare Too")
CATALOGUE = Catalogue([A, B, C, D, E, F])


def test_comparable_needs_half_of_the_genres_or_a_director_or_two_stars() -> None:
    assert CATALOGUE.comparable("a", "b"), "the same director"
    assert CATALOGUE.comparable("c", "d"), "all genres"
    assert CATALOGUE.comparable("a", "d"), "two stars"
    assert not CATALOGUE.comparable("a", "c"), "one star only"
    assert not CATALOGUE.comparable("a", "a"), "an item is a hit, not comparable with itself"
    assert not CATALOGUE.comparable("e", "f"), "nothing known is nothing in common"


def test_genre_jaccard_of_exactly_one_half_is_enough() -> None:
    half = Catalogue([Item(id="x", title="X", genres=("crime", "drama")), Item(id="y", title="Y", genres=("crime",))])
    assert half.comparable("x", "y")


def test_likeness_is_symmetric_and_adds_up() -> None:
    assert CATALOGUE.likeness("a", "a") == 1.0
    assert CATALOGUE.likeness("a", "b") == pytest.approx(0.2)
    assert CATALOGUE.likeness("a", "d") == CATALOGUE.likeness("d", "a") == pytest.approx(0.2)
    assert CATALOGUE.likeness("c", "d") == pytest.approx(0.6 + 0.1)


def test_indices() -> None:
    assert CATALOGUE.genres == ("action", "crime", "drama", "thriller")
    assert CATALOGUE.by_genre["action"] == ("c", "d")
    assert CATALOGUE.by_person["Mann"] == ("a", "b")
    assert CATALOGUE.by_person["De Niro"] == ("a", "c", "d")


def test_doubled_ids_are_named() -> None:
    with pytest.raises(DataError, match="more than once: a, b"):
        Catalogue([A, B, C, A, B])


def test_an_unknown_id_is_an_error_and_get_gives_none() -> None:
    assert CATALOGUE.get("zz") is None
    assert "zz" not in CATALOGUE
    with pytest.raises(DataError, match="no item 'zz'"):
        CATALOGUE["zz"]


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    CATALOGUE.save(tmp_path / "catalogue.jsonl")
    again = Catalogue.load(tmp_path / "catalogue.jsonl")
    assert list(again) == list(CATALOGUE)
    assert again.digest == CATALOGUE.digest
    assert Catalogue([A]).digest != CATALOGUE.digest


def test_a_broken_row_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.jsonl"
    path.write_text('{"id": "a", "title": "Heat"}\n{"id": "b"}\n{"id": "c", "title": "Ronin"}\n')
    with pytest.raises(DataError) as fault:
        Catalogue.load(path)
    assert fault.value.where == f"{path}:2"
    assert "title" in fault.value.what
