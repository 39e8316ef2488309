"""The demo: films with facts, generated dialogues, and what must hold of every row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from usbrec import jsonl
from usbrec.cooccurrence import Likes
from usbrec.data import DemoSettings, load, prepare
from usbrec.data.demo import build_demo, demo_catalogue
from usbrec.data.demo_words import Phrases, neat, read_phrases
from usbrec.data.prepared import SPLITS, Prepared
from usbrec.linking import Linker
from usbrec.seeds import rng_of
from usbrec.types import Example


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("demo")
    build_demo(folder)
    return load(folder)


@pytest.fixture(scope="module")
def rows(demo: Prepared) -> list[Example]:
    return [row for split in SPLITS for row in demo.splits[split]]


def test_the_films_are_many_and_some_share_a_title() -> None:
    catalogue = demo_catalogue()
    titles = Counter(item.title for item in catalogue)
    assert len(catalogue) >= 280
    assert len({(item.title, item.year) for item in catalogue}) == len(catalogue)
    assert sum(count > 1 for count in titles.values()) >= 5
    assert all(item.year and item.genres and item.directors and item.stars for item in catalogue)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_rows(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        build_demo(tmp_path / name, seed, dialogues=40)
    files = {name: {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc"}
    assert files["a"] == files["b"]
    assert files["a"]["catalogue.jsonl"] == files["c"]["catalogue.jsonl"]
    assert files["a"]["train.jsonl"] != files["c"]["train.jsonl"]


def test_splits_are_by_dialogue_and_likes_are_of_training_dialogues_only(demo: Prepared, rows: list[Example]) -> None:
    dialogues = {split: {row.dialogue_id for row in demo.splits[split]} for split in SPLITS}
    whole = set().union(*dialogues.values())
    assert sum(map(len, dialogues.values())) == len(whole) > 600
    assert [round(len(dialogues[split]) / len(whole), 2) for split in SPLITS] == [0.8, 0.1, 0.1]
    assert len({row.key for row in rows}) == len(rows)
    likes = jsonl.read(demo.folder / "likes.jsonl", Likes)
    assert {each.key for each in likes}.isdisjoint(dialogues["valid"] | dialogues["test"])
    assert all(item in demo.catalogue for each in likes for item in each.items)
    assert sum(len(each.items) > 1 for each in likes) > 300


def test_targets_and_leaks_are_what_the_linker_says(demo: Prepared, rows: list[Example]) -> None:
    linker = Linker(demo.catalogue)
    for row in rows:
        assert row.targets and linker.items(row.reply) == row.targets, row.key
        assert row.leaks == linker.leaks(row.dialogue, row.targets), row.key
        assert row.dialogue.messages[-1].side == "seeker"
    assert 0.03 < sum(row.leaked for row in rows) / len(rows) < 0.25
    assert 2 < len(rows) / len({row.dialogue_id for row in rows}) < 3.2


def test_seekers_rarely_say_the_same(rows: list[Example]) -> None:
    longest = {row.dialogue_id: row.dialogue for row in sorted(rows, key=lambda row: row.turn_id)}
    said = Counter(text for dialogue in longest.values() for text in dialogue.of("seeker") if len(text) > 25)
    assert sum(count for count in said.values() if count > 1) / said.total() < 0.05


def test_most_offers_fit_what_was_liked_and_some_contexts_say_nothing(demo: Prepared, rows: list[Example]) -> None:
    linker = Linker(demo.catalogue)
    fits = []
    for row in rows:
        named = {item for text in row.dialogue.of("seeker") for item in linker.items(text)} - set(row.targets)
        if named:
            fits.append(any(demo.catalogue.comparable(row.targets[-1], item) for item in named))
    chance = [demo.catalogue.comparable(a.id, b.id) for a in demo.catalogue for b in demo.catalogue if a.id < b.id]
    assert sum(fits) / len(fits) > 2 * sum(chance) / len(chance)
    assert any(len(row.dialogue) <= 2 and len(row.dialogue.messages[-1].text) < 12 for row in rows)


def test_prepare_gives_the_demo_and_load_the_same(tmp_path: Path) -> None:
    made = prepare(DemoSettings(), None, tmp_path)
    again = load(tmp_path)
    assert made.splits == again.splits and made.likes == again.likes and made.card == again.card
    assert made.card.kind == "demo" and made.card.items == len(made.catalogue)
    assert made.card.rows == {split: len(made.splits[split]) for split in SPLITS}
    assert made.card.counts["test"]["rows with a target named before"] == sum(row.leaked for row in made.splits["test"])


def test_a_phrase_is_filled_and_a_value_is_never_expanded() -> None:
    phrases = Phrases({"a": ["[x|x] {b} {film}"], "b": ["y"]})
    assert phrases.write(rng_of(0), "a", {"film": "[Rec] {b}"}) == "x y [Rec] {b}"
    assert neat("hi.  you there? yes") == "Hi. You there? Yes"


def test_every_phrase_ends_in_words() -> None:
    lists = read_phrases()
    values = dict.fromkeys(("film", "other", "named", "films", "value", "genre", "a_genre", "reason", "director", "star", "decade"), "W")
    for name in lists:
        for seed in range(20):
            text = Phrases(lists).write(rng_of(seed, name), name, values)
            assert name == "ask_lead" or text.strip()
            assert not set("[]{}|") & set(text), (name, text)
