"""The co-occurrence table against docs/method.md, by hand."""

from __future__ import annotations

from math import log, sqrt
from pathlib import Path

import pytest

from usbrec import jsonl
from usbrec.cooccurrence import Cooccurrence, Likes

LIKES = (("a", "b", "c"), ("a", "b"), ("b",), ("d", "d"))
TABLE = Cooccurrence(LIKES)


def test_popularity_counts_dialogues() -> None:
    assert TABLE.popularity == {"a": 2, "b": 3, "c": 1, "d": 1}


def test_scores_by_hand() -> None:
    """co(a, b) = 2, n_a = 2, n_b = 3; co(a, c) = 1, n_c = 1; d never occurs with a."""
    scores = TABLE.scores(["a"])
    assert scores["b"] == pytest.approx(2 / sqrt(5 * 6) + 0.02 * log(4))
    assert scores["c"] == pytest.approx(1 / sqrt(5 * 4) + 0.02 * log(2))
    assert scores["d"] == pytest.approx(0.02 * log(2))
    assert TABLE.score(["a"], "b") == pytest.approx(scores["b"])


def test_likes_add_up_and_doubles_count_once() -> None:
    both = TABLE.scores(["a", "b"])
    assert both["c"] == pytest.approx(1 / sqrt(5 * 4) + 1 / sqrt(6 * 4) + 0.02 * log(2))
    assert TABLE.scores(["a", "b", "a"]) == both


def test_unknown_items_add_nothing() -> None:
    assert TABLE.scores(["nobody likes this"]) == TABLE.scores([])
    assert TABLE.score(["a"], "nobody likes this") == 0.0


def test_rank_leaves_out_the_liked_and_the_excluded() -> None:
    assert [item for item, _ in TABLE.rank(["a"], set(), 10)] == ["b", "c", "d"]
    assert [item for item, _ in TABLE.rank(["a"], {"b"}, 1)] == ["c"]


def test_most_popular_breaks_ties_by_id() -> None:
    assert TABLE.most_popular((), 3) == ["b", "a", "c"]
    assert TABLE.most_popular({"b"}, 2) == ["a", "c"]


def test_no_likes_at_all() -> None:
    assert Cooccurrence([]).rank(["a"], (), 3) == []


def test_loads_a_prepared_folders_likes(tmp_path: Path) -> None:
    path = tmp_path / "likes.jsonl"
    jsonl.rewrite(path, [Likes(key=str(n), items=items) for n, items in enumerate(LIKES)])
    assert Cooccurrence.load(path).scores(["a"]) == TABLE.scores(["a"])


MANY = (("a", "b", "c"), ("a", "b"), ("b",), ("d", "d"), ("c", "a"), ("e", "b", "a", "c"))


@pytest.mark.parametrize("out", range(len(MANY)))
def test_without_a_dialogue_the_table_is_the_one_that_never_had_it(out: int) -> None:
    """To the last bit, and in the order of equals; d and e are liked by one dialogue each, and go with it."""
    whole, rest = Cooccurrence(MANY), Cooccurrence([*MANY[:out], *MANY[out + 1 :]])
    apart = whole.without(MANY[out])
    assert apart.popularity == rest.popularity
    for liked in ([], ["a"], ["a", "c"], ["e", "b"], ["d"]):
        assert apart.scores(liked) == rest.scores(liked)
        assert apart.rank(liked, ["b"], 10) == rest.rank(liked, ["b"], 10)
        assert [apart.score(liked, item) for item in "abcdef"] == [rest.score(liked, item) for item in "abcdef"]
    assert whole.scores(["a"]) == Cooccurrence(MANY).scores(["a"])  # itself unchanged


def test_two_dialogues_can_be_left_out() -> None:
    apart, rest = Cooccurrence(MANY).without(MANY[0]).without(MANY[5]), Cooccurrence(MANY[1:5])
    assert (apart.popularity, apart.scores(["a", "b"])) == (rest.popularity, rest.scores(["a", "b"]))
