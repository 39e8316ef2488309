"""ReDial (Li et al., NeurIPS 2018; CC BY 4.0) in the processed form of iEvaLM-CRS (MIT), or as published (`redial_raw`).

Titles carry their years, as "Title (Year)".  The catalogue lists some films twice, as "Moana" and as "Moana (2016)", with one IMDb id:
such twins become one item.  A few metadata are wrong (one IMDb id under different titles): they are kept, and counted.

Likes come from `train_ratings.jsonl` (dialogue, title, liked or not); the dialogues it marks as `in_ievalm_valid` are held out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from usbrec import jsonl
from usbrec.catalogue import Catalogue
from usbrec.data import redial_raw
from usbrec.data.corpus import Corpus, Liked, as_item, digests, find_folder, places, read_info, strings
from usbrec.data.rows import Reading, read_rows
from usbrec.errors import DataError
from usbrec.linking import Linker
from usbrec.titles import clean, keys_of, split_name
from usbrec.types import Item

LICENCE = "ReDial: CC BY 4.0 (Li et al., NeurIPS 2018); processed splits: iEvaLM-CRS, MIT"
RATINGS = "train_ratings.jsonl"
TRAIN = ("train.jsonl", "train_partial.jsonl")
"""The whole training split, or the part of it that could be recovered."""


def read(data_dir: Path | None) -> Corpus:
    """The corpus from its folder (or the folder that holds `redial/`).

    Raises:
        DataError: a file is missing or broken.
    """
    for each in places("redial", data_dir):
        if all((each / name).exists() for name in redial_raw.FILES):
            return redial_raw.read(each, LICENCE, item_of)
    folder = find_folder("redial", data_dir, ("valid.jsonl", "test.jsonl", "id2info.json"))
    train = next((folder / name for name in TRAIN if (folder / name).exists()), None)
    if train is None:
        fix = "fetch it: usbrec data get redial --out DIR"
        raise DataError(f"there is neither {TRAIN[0]} nor {TRAIN[1]}", where=str(folder), fix=fix)
    files = {"train": train, "valid": folder / "valid.jsonl", "test": folder / "test.jsonl"}
    counts: Counter[str] = Counter()
    catalogue, by_name = _catalogue(folder / "id2info.json", counts)
    linker = Linker(catalogue)
    ratings = _ratings(folder / RATINGS, by_name, counts) if (folder / RATINGS).exists() else None
    sources = [*files.values(), folder / "id2info.json", *([folder / RATINGS] if ratings is not None else [])]
    return Corpus(
        catalogue=catalogue,
        rows={split: read_rows(path, split) for split, path in files.items()},
        reading=Reading(linker, ids=lambda name: by_name.get(name) or linker.names(clean(name))),
        licence=LICENCE,
        sources=digests(sources),
        ratings=ratings,
        counts=counts,
    )


def _catalogue(path: Path, counts: Counter[str]) -> tuple[Catalogue, dict[str, tuple[str, ...]]]:
    """The items, and each written title -> the id it means (its twin's, where it became one with it)."""
    twins: dict[tuple[str, str], list[tuple[Item, str]]] = defaultdict(list)
    films: dict[str, set[str]] = defaultdict(set)
    for key, entry in read_info(path).items():
        item = item_of(key, entry["name"], entry)
        if item is None:
            counts["catalogue entry without a title dropped"] += 1
            continue
        words = keys_of(item.title)[-1]
        imdb = str(entry.get("imdb_id") or key)
        films[imdb].add(words)
        twins[(words, imdb)].append((item, entry["name"]))
    counts["metadata shared by different titles"] = sum(len(titles) > 1 for titles in films.values())
    items: list[Item] = []
    by_name: dict[str, dict[str, None]] = defaultdict(dict)
    for group in twins.values():
        years = sorted({item.year for item, _ in group if item.year is not None})
        kept: dict[int | None, Item] = {}
        for item, _ in group:
            if item.year is not None or not years:
                kept.setdefault(item.year, item)
        counts["twin entries made one"] += len(group) - len(kept)
        items.extend(kept.values())
        for item, name in group:
            meant = [kept[item.year]] if item.year in kept else kept.values()
            by_name[name].update(dict.fromkeys(each.id for each in meant))
    return Catalogue(items), {name: tuple(ids) for name, ids in by_name.items()}


def item_of(key: str, name: str, entry: dict[str, Any]) -> Item | None:
    """The item of a catalogue's entry; None where it has no title."""
    title, year = split_name(clean(name))
    return as_item(
        key,
        title,
        year=year or None,
        genres=strings(entry, "genre"),
        directors=strings(entry, "director"),
        stars=strings(entry, "star"),
        writers=strings(entry, "writer"),
        plot=clean(entry.get("plot") or ""),
    )


def _ratings(path: Path, by_name: dict[str, tuple[str, ...]], counts: Counter[str]) -> tuple[Liked, ...]:
    found = []
    for number, value in jsonl.read_objects(path):
        try:
            liked = [str(title) for title, rating in value["rated"] if rating == 1]
            dialogue, held_out = str(value["dialog_id"]), bool(value["in_ievalm_valid"])
        except (KeyError, TypeError, ValueError):
            raise DataError("the row needs dialog_id, in_ievalm_valid and rated", where=f"{path}:{number}", fix="fetch it again") from None
        ids = [by_name.get(title, ()) for title in liked]
        counts["liked titles not in the catalogue"] += sum(not each for each in ids)
        counts["liked titles ambiguous"] += sum(len(each) > 1 for each in ids)
        found.append(Liked(dialogue, tuple(dict.fromkeys(each[0] for each in ids if len(each) == 1)), held_out))
    return tuple(found)
