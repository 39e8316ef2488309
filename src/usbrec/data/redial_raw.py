"""ReDial as its authors publish it (what `usbrec data get redial` fetches): one dialogue a line, items as `@id` in the texts.

A turn of the recommender that names a film becomes a row; messages of one side in a row become one.  The authors publish no validation
split: a tenth of the training dialogues, drawn by id, is taken.  Likes are what the seeker said of each film (`liked: 1`).  The files hold
titles and years only; genres and people come from an `id2info.json` beside them, where there is one (the ids are the same), and without it
the catalogue judge can count hits only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from usbrec import jsonl
from usbrec.catalogue import Catalogue
from usbrec.data.corpus import Corpus, Liked, digests, read_info
from usbrec.data.rows import RawRow, Reading
from usbrec.errors import DataError, first_line
from usbrec.linking import Linker
from usbrec.seeds import seed_of
from usbrec.titles import clean
from usbrec.types import Item

FILES = ("train_data.jsonl", "test_data.jsonl")
VALID_SHARE = 10
"""One training dialogue in so many goes to valid."""

_ID = re.compile(r"@(\d+)")
ItemOf = Callable[[str, str, dict[str, Any]], Item | None]


def read(folder: Path, licence: str, item_of: ItemOf) -> Corpus:
    """The corpus from the two published files.

    Args:
        item_of: (id, name, entry of `id2info.json`) -> the item; None where it has no title.

    Raises:
        DataError: a line lacks a field; with file and line.
    """
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    rows: dict[str, list[RawRow]] = {"train": [], "valid": [], "test": []}
    ratings: list[Liked] = []
    for path in (folder / name for name in FILES):
        for number, value in jsonl.read_objects(path):
            try:
                dialogue = str(value["conversationId"])
                names |= {str(key): clean(name) for key, name in _pairs(value["movieMentions"]) if name}
                held_out = seed_of("redial", dialogue) % VALID_SHARE == 0
                split = "test" if path.name == "test_data.jsonl" else "valid" if held_out else "train"
                rows[split].extend(_rows(value, dialogue, split))
                liked = tuple(str(key) for key, form in _pairs(value["initiatorQuestions"]) if form.get("liked") == 1)
            except (KeyError, TypeError, AttributeError, ValueError) as fault:
                what = f"no dialogue of ReDial ({type(fault).__name__}: {first_line(fault)})"
                raise DataError(what, where=f"{path}:{number}", fix="fetch it again: usbrec data get redial") from None
            ratings.append(Liked(dialogue, liked, split != "train"))
    catalogue = Catalogue(_items(names, folder / "id2info.json", item_of, counts))
    known = tuple(Liked(each.dialogue_id, tuple(i for i in each.items if i in catalogue), each.held_out) for each in ratings)
    named = {split: [_named(row, catalogue) for row in found] for split, found in rows.items()}
    sources = digests(path for path in (*(folder / name for name in FILES), folder / "id2info.json") if path.exists())
    reading = Reading(Linker(catalogue), ids=lambda item: (item,) if item in catalogue else ())
    return Corpus(catalogue, named, reading, licence, sources, ratings=known, counts=counts)


def _pairs(value: Any) -> list[tuple[str, Any]]:
    """The files write an empty object as an empty list."""
    return list(value.items()) if value else []


def _rows(value: dict[str, Any], dialogue: str, split: str) -> list[RawRow]:
    seeker = value["initiatorWorkerId"]
    turns: list[str] = []
    for message in value["messages"]:
        side = 0 if message["senderWorkerId"] == seeker else 1
        if turns and (len(turns) - 1) % 2 == side:
            turns[-1] = f"{turns[-1]} {message['text']}"
            continue
        if not turns and side == 1:
            turns.append("")
        turns.append(message["text"])
    return [
        RawRow(
            dialogue_id=dialogue,
            turn_id=at,
            context=tuple(turns[:at]),
            rec=tuple(dict.fromkeys(_ID.findall(text))),
            resp=text,
            split=split,
        )
        for at, text in enumerate(turns)
        if at % 2 == 1 and _ID.search(text) and any(turns[:at])
    ]


def _named(row: RawRow, catalogue: Catalogue) -> RawRow:
    """The row with its ids spelt out: `@id` -> "Title (Year)"."""

    def name(found: re.Match[str]) -> str:
        item = catalogue.get(found[1])
        return found[0] if item is None else f" {item.name} "

    context = tuple(_ID.sub(name, text) for text in row.context)
    return row.model_copy(update={"context": context, "resp": _ID.sub(name, row.resp)})


def _items(names: dict[str, str], info: Path, item_of: ItemOf, counts: Counter[str]) -> list[Item]:
    known = read_info(info) if info.exists() else {}
    items = []
    for key, name in sorted(names.items()):
        entry = known.get(key, {})
        counts["catalogue entry without attributes"] += not entry
        item = item_of(key, name, entry)
        if item is None:
            counts["catalogue entry without a title dropped"] += 1
        else:
            items.append(item)
    return items
