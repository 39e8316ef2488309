"""OpenDialKG as its authors publish it (what `usbrec data get opendialkg` fetches): dialogues in a CSV file, the graph as triples.

`opendialkg.csv` has the columns Messages, User Rating and Assistant Rating, and one dialogue a row: Messages is a JSON list of what was
said ("chat") and of the paths through the graph that a side chose before it wrote ("action", the triples in `metadata.path`).  A path
leads from something just said to what the side says next.  So a turn of the assistant becomes a row when its path leads to a work and the
reply names it (`Linker.reveals`: a path may also be hinted at only); those works are the targets.  Thus a target is what a person marked,
never a string match, and never the item that the path set out from, which was named before.  Titles in a reply that no path leads to are
no targets.  Messages of one side in a row become one; actions without a path (notes to the other annotator) are no part of the dialogue.

`opendialkg_triples.txt` has subject, relation and object, with tabs between; a "~" before a relation turns it round.  The catalogue is
every work (of which the graph says who directed, wrote or starred in it: films, series and books) that a path of some dialogue visits, by
its name in the graph.  A name may end in what tells it from its namesakes, "Zodiac (Crime Fiction Film)", "Carnival of Souls (Horror
Film) #14": that is no part of the title.

The authors publish no split: a tenth of the dialogues, drawn by their number, is taken for valid and another for test.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from usbrec.catalogue import Catalogue
from usbrec.data.corpus import Corpus, digests
from usbrec.data.rows import RawRow, Reading
from usbrec.errors import DataError, first_line
from usbrec.linking import Linker
from usbrec.seeds import seed_of
from usbrec.types import Frozen, Item

FILES = ("opendialkg.csv", "opendialkg_triples.txt")
FACTS = {
    "directed_by": "director", "starred_actors": "actor", "written_by": "writer", "has_genre": "genre", "release_year": "year",
}  # fmt: skip
"""Relation -> the field of iEvaLM's `id2info.json` that holds it."""
MAKERS = ("director", "actor", "writer")
"""What has one of these is a work."""
SHARE = 10
"""One dialogue in so many goes to valid, one to test."""
SIDES = ("user", "assistant")

_NAMESAKE = re.compile(r"(?<=\S)\s*\([^()]*\)(?:\s*#\d+)?$")
_FIX = "fetch it again: usbrec data get opendialkg --out DIR"
ItemOf = Callable[[str, dict[str, Any], Counter[str]], Item | None]


class Talk(Frozen):
    """One dialogue: its texts, the user's and the assistant's in turn (the first empty where the assistant begins)."""

    number: int
    """Of its row in the file, from 0."""
    turns: tuple[str, ...]
    ends: dict[int, tuple[str, ...]]
    """Turn of the assistant -> the entities that its path leads to."""
    visited: tuple[str, ...]
    """Every entity on a path of either side."""

    @property
    def split(self) -> str:
        """Drawn by the number alone."""
        return {0: "test", 1: "valid"}.get(seed_of("opendialkg", self.number) % SHARE, "train")


def read(folder: Path, licence: str, item_of: ItemOf) -> Corpus:
    """The corpus from the two published files.

    Args:
        item_of: (id, entry as in `id2info.json`, counts) -> the item; None where it has no title.

    Raises:
        DataError: a file is missing, a row is no dialogue (with file and line), or the triples know none of the dialogues' works.
    """
    counts: Counter[str] = Counter()
    talks = list(_talks(folder / FILES[0]))
    visited = {entity for talk in talks for entity in talk.visited}
    facts = _facts(folder / FILES[1], visited, counts)
    works = {name: facts[name] for name in sorted(facts) if any(facts[name][maker] for maker in MAKERS)}
    if not works:
        raise DataError("the triples know no work that a dialogue's path visits", where=str(folder / FILES[1]), fix=_FIX)
    catalogue = Catalogue(filter(None, (item_of(name, _entry(name, entry), counts) for name, entry in works.items())))
    linker = Linker(catalogue)
    rows: dict[str, list[RawRow]] = {"train": [], "valid": [], "test": []}
    for talk in talks:
        rows[talk.split].extend(_rows(talk, linker, counts))
    counts["entity of a path dropped: no work"] = len(visited) - len(works)
    counts["dialogue dropped: no path visits a work"] = sum(works.keys().isdisjoint(talk.visited) for talk in talks)
    reading = Reading(linker, ids=lambda item: (item,) if item in catalogue else ())
    return Corpus(catalogue, rows, reading, licence, digests(folder / name for name in FILES), counts=counts)


def title_of(entity: str) -> str:
    """The title of a work without what tells it from its namesakes."""
    return _NAMESAKE.sub("", entity)


def _talks(path: Path) -> Iterator[Talk]:
    with _open(path) as file:
        lines = csv.DictReader(file)
        number = 0
        while True:
            try:
                row = next(lines)
                yield _talk(number, json.loads(row["Messages"]))
            except StopIteration:
                return
            except (csv.Error, KeyError, TypeError, ValueError, AttributeError, RecursionError) as fault:
                what = f"no dialogue of OpenDialKG ({type(fault).__name__}: {first_line(fault)})"
                raise DataError(what, where=f"{path}:{lines.line_num}", fix=_FIX) from None
            number += 1


def _talk(number: int, messages: list[dict[str, Any]]) -> Talk:
    turns: list[str] = []
    ends: dict[int, dict[str, None]] = defaultdict(dict)
    visited: dict[str, None] = {}
    chosen: tuple[str, ...] = ()
    for message in messages:
        side = SIDES.index(message["sender"])
        if message["type"] != "chat":
            entities = _path(message)
            visited |= dict.fromkeys(entities)
            chosen = entities[1:] if side and entities else chosen
            continue
        text = " ".join(message["message"].split())
        if not text:
            continue
        if turns and (len(turns) - 1) % 2 == side:
            turns[-1] = f"{turns[-1]} {text}"
        else:
            turns.extend(["", text] if not turns and side else [text])
        if side and chosen:
            ends[len(turns) - 1] |= dict.fromkeys(chosen)
        chosen = ()
    return Talk(number=number, turns=tuple(turns), ends={at: tuple(found) for at, found in ends.items()}, visited=tuple(visited))


def _path(action: dict[str, Any]) -> tuple[str, ...]:
    """The entities of a path, in order: the one it sets out from first; none where the action has no path."""
    metadata = action.get("metadata")
    path = metadata.get("path") if isinstance(metadata, dict) else None
    return tuple(dict.fromkeys(str(entity) for subject, _, object_ in (path[1] if path else ()) for entity in (subject, object_)))


def _rows(talk: Talk, linker: Linker, counts: Counter[str]) -> Iterator[RawRow]:
    """A row for each of the assistant's turns that names a work to which its path leads."""
    for at, text in enumerate(talk.turns):
        if at % 2 == 0 or not any(talk.turns[:at]):
            continue
        works = tuple(entity for entity in talk.ends.get(at, ()) if entity in linker.catalogue)
        named = tuple(work for work in works if linker.reveals(text, (work,)))
        counts["reply dropped: no path"] += at not in talk.ends
        counts["reply dropped: its path leads to no work"] += at in talk.ends and not works
        counts["reply dropped: names no work of its path"] += bool(works) and not named
        counts["work of a path dropped: not in the reply"] += len(works) - len(named)
        if named:
            yield RawRow(dialogue_id=str(talk.number), turn_id=at, context=talk.turns[:at], rec=named, resp=text, split=talk.split)


def _facts(path: Path, wanted: set[str], counts: Counter[str]) -> dict[str, dict[str, list[str]]]:
    """Entity -> field -> values, for the wanted entities of which the graph tells any of `FACTS`."""
    found: dict[str, dict[str, list[str]]] = {}
    with _open(path) as file:
        for line in file:
            parts = line.rstrip("\r\n").split("\t")
            if len(parts) != 3:
                counts["line of the triples dropped: not three parts"] += 1
                continue
            subject, relation, object_ = parts
            if relation.startswith("~"):
                subject, relation, object_ = object_, relation[1:], subject
            if relation in FACTS and subject in wanted:
                values = found.setdefault(subject, {field: [] for field in FACTS.values()})[FACTS[relation]]
                if object_ not in values:
                    values.append(object_)
    return found


def _entry(name: str, facts: dict[str, list[str]]) -> dict[str, Any]:
    """As in iEvaLM's `id2info.json`; of several years the first."""
    return {**facts, "name": title_of(name), "year": min(filter(str.isdigit, facts["year"]), default="")}


def _open(path: Path) -> TextIO:
    """The file, its lines as they stand; bytes that are no UTF-8 are replaced."""
    try:
        return path.open(encoding="utf-8-sig", errors="replace", newline="\n")
    except FileNotFoundError:
        raise DataError("there is no such file", where=str(path), fix=_FIX) from None
