"""What the stages are given: training, rows of the training split alone, with retrieved items that no dialogue put there itself; the
search, where the evaluated conversation ends.

Over a toy world with three splits that share no dialogue.  Only one dialogue likes Event Horizon and Toy Story: what is retrieved for that
one must not name them, though its own likes would put them first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toy import FILMS
from usbrec import config, jsonl, pipeline, preferences
from usbrec.cooccurrence import Likes
from usbrec.stages import Loop
from usbrec.types import Outcome

REPLIES = {"train": "You should see Casino (1995).", "valid": "What about Collateral (2004)?", "test": "Go for Alien (1979)!"}
NAMED = {"train": "casi", "valid": "coll", "test": "alien"}
OWN = ("heat", "gate", "toy")
LIKES = (Likes(key="train-0", items=OWN), *(Likes(key=f"train-{n}", items=("heat", "coll", "alien")) for n in (1, 2)))


def rows_of(split: str) -> list[dict[str, Any]]:
    said = [{"side": "seeker", "text": "I loved Heat (1995). What else is there?"}]
    return [{"dialogue_id": f"{split}-{n}", "dialogue": said, "reply": REPLIES[split], "targets": [NAMED[split]]} for n in range(3)]


@contextmanager
def loop(tmp_path: Path, train: Sequence[dict[str, Any]] = (), **sections: Any) -> Iterator[Loop]:
    """A run over that world; the SFT model says one hit, one offer and one question."""
    data = tmp_path / "data"
    jsonl.rewrite(data / "catalogue.jsonl", FILMS)
    jsonl.rewrite(data / "likes.jsonl", LIKES)
    for split in REPLIES:
        jsonl.write_text(
            data / f"{split}.jsonl",
            "".join(preferences.as_json(row) + "\n" for row in [*rows_of(split), *(train if split == "train" else ())]),
        )
    replies = ["Casino (1995).", "Toy Story (1995)?", "What do you like?"]
    engines = {"policy": {"kind": "scripted", "replies": replies}, "sft": {"kind": "scripted", "model": "s", "replies": replies}}
    recipe = config.Recipe.model_validate({"name": "t", "data": {"kind": "custom"}, "engines": engines, **sections})
    with pipeline.opened(tmp_path / "run", lambda _: None) as run:
        yield Loop(run=run, recipe=recipe, data_dir=data)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Rows and held-out rows of every training, which takes no step."""
    given: list[Any] = []

    def train(rows: Any, held_out: Any, *_: Any) -> SimpleNamespace:
        given.extend([rows, held_out])
        return SimpleNamespace(summary=dict)

    monkeypatch.setattr("usbrec.training.train_sft", train)
    monkeypatch.setattr("usbrec.training.train_simpo", train)
    monkeypatch.setattr("usbrec.models.resolve", lambda _: SimpleNamespace(path=Path("none"), digest="none"))
    return given


def retrieved(row: Any) -> set[str]:
    """The films behind the dialogue in a row's prompt."""
    (told,) = [line for line in row.messages[-1].content.splitlines() if "suits the seeker" in line]
    return {film.name for film in FILMS if film.name in told}


async def test_sft_learns_from_the_training_split_and_is_checked_on_the_validation_split(tmp_path: Path, trained: list[Any]) -> None:
    with loop(tmp_path) as found:
        await found.sft({"prepare": await found.prepare()})
    assert [{row.reply for row in rows} for rows in trained] == [{REPLIES["train"]}, {REPLIES["valid"]}]
    assert {row.key.split("-")[0] for row in trained[0]} == {"train"} and len(trained[0]) == 3


async def test_sft_leaves_out_replies_that_are_cut(tmp_path: Path, trained: list[Any]) -> None:
    cut = rows_of("train")[0] | {"dialogue_id": "train-9", "reply": "You should see Cas", "reply_whole": False}
    with loop(tmp_path, train=[cut]) as found:
        await found.sft({"prepare": await found.prepare()})
    assert {row.reply for row in trained[0]} == {REPLIES["train"]} and len(trained[0]) == 3


async def test_no_training_row_is_shown_items_that_its_own_dialogue_put_there(tmp_path: Path, trained: list[Any]) -> None:
    """The others are: to them these are films that somebody liked with Heat."""
    with loop(tmp_path, recommender={"hint_share": 1.0, "hint_count": 6}, seed=3) as found:
        await found.sft({"prepare": await found.prepare()})
    own, *others = trained[0]
    assert own.key.startswith("train-0") and not retrieved(own) & {"Event Horizon (1997)", "Toy Story (1995)"}
    assert set.union(*map(retrieved, others)) >= {"Event Horizon (1997)", "Toy Story (1995)"}


async def test_podcs_draws_for_training_rows_with_items_that_others_put_there(tmp_path: Path) -> None:
    with loop(tmp_path, prefer={"hinted": 1.0, "hint_pool": 6, "k": 8}, seed=1) as found:
        await found.prefer({"prepare": await found.prepare()})
        sets = jsonl.read(found.run.folder / "prefer" / "candidates.jsonl", preferences.CandidateSet)
    hints = {row.key: row.hints for row in sets}
    assert {key.split(":")[0] for key in hints} == {"train-0", "train-1", "train-2"}
    assert hints["train-0:1"][0] in ("Collateral (2004)", "Alien (1979)")
    assert {hints[f"train-{n}:1"][0] for n in (1, 2)} & {"Event Horizon (1997)", "Toy Story (1995)"}


async def test_podcs_leaves_the_row_out_of_the_policys_own_items_too(tmp_path: Path) -> None:
    with loop(tmp_path, prefer={"k": 2}, recommender={"hints": 6}) as found:
        await found.prefer({"prepare": await found.prepare()})
        own, other, _ = jsonl.read(found.run.folder / "prefer" / "candidates.jsonl", preferences.CandidateSet)
    assert set(own.hints) == {"Collateral (2004)", "Alien (1979)"}
    assert "Event Horizon (1997)" in other.hints


async def test_pairs_are_trained_on_and_exported_with_the_prompt_that_was_answered(tmp_path: Path, trained: list[Any]) -> None:
    with loop(tmp_path, prefer={"hinted": 1.0, "k": 8, "pairing": "paper"}) as found:
        marks = {"prepare": await found.prepare(), "sft": "-"}
        await found.simpo(marks | {"prefer": await found.prefer(marks)})
        exported = (found.run.folder / "prefer" / "pairs.trl.jsonl").read_text(encoding="utf-8").splitlines()
    rows = trained[0]
    assert rows and len(exported) == len(rows)
    assert all(len(retrieved(row)) == 1 for row in rows) and all("suits the seeker" in line for line in exported)


async def test_the_last_turns_of_every_evaluated_conversation_are_searched(tmp_path: Path) -> None:
    said = [{"side": "seeker", "text": "Hello!"}, {"side": "recommender", "text": "What do you like?"}]
    search, evaluate = {"candidates": 1, "depth": 0, "last_turns": 2}, {"turns": 3, "arms": ["base+ses"], "split": "test"}
    with loop(tmp_path, search=search, evaluate=evaluate) as found:
        rows = rows_of("test")
        rows[1]["dialogue"] = [*said, *rows[1]["dialogue"]]
        jsonl.write_text(tmp_path / "data" / "test.jsonl", "".join(preferences.as_json(row) + "\n" for row in rows))
        await found.evaluate({"prepare": await found.prepare()})
        outcomes = jsonl.read(found.run.folder / "evaluate" / "base+ses" / "outcomes.jsonl", Outcome)
    assert [row.start for row in outcomes] == [1, 3, 1]
    assert [[turn.search is not None for turn in row.turns] for row in outcomes] == [[False, True, True]] * 3
