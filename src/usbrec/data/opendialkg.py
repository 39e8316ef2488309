"""OpenDialKG (Moon et al., ACL 2019; CC BY-NC 4.0: not for commercial use) in the processed form of iEvaLM-CRS (MIT), or as published
(`opendialkg_raw`).

In the processed form titles carry no year, and targets are string matches: "Drama" and "War" come from genre words, "2012" from years,
"Up" from "look it up".  A target that is a genre word or a number is dropped; so is a one-word title of common words that the reply does
not write as a title (the rules of `usbrec.linking`).  Genres are free tags in both forms, among them countries, languages, persons and
ids: they are mapped to plain genres, and what is no genre is dropped.

Its split is by row, so that half of the test dialogues have rows in train: `split: dialogue` splits anew.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from usbrec.catalogue import Catalogue
from usbrec.data import opendialkg_raw
from usbrec.data.corpus import Corpus, as_item, digests, find_folder, places, read_info, strings
from usbrec.data.rows import Reading, read_rows
from usbrec.linking import COMMON, GENERIC, Linker
from usbrec.titles import clean, key_of
from usbrec.types import Item

AUTHORS = "OpenDialKG: CC BY-NC 4.0, not for commercial use (Moon et al., ACL 2019)"
LICENCE = f"{AUTHORS}; processed splits: iEvaLM-CRS, MIT"
FILES = ("train.jsonl", "valid.jsonl", "test.jsonl", "id2info.json")

_GENRES = {
    "action": "action film|action|action-adventure|martial arts film|martial arts",
    "adventure": "adventure film|adventure|adventure fiction|treasure hunting|swashbuckler films",
    "animation": "animation|computer animation|anime|animated cartoon|cartoon|stop motion|animated series",
    "biography": "biography|biographical film|autobiography|memoir|autobiographical novel",
    "comedy": "comedy|black comedy|parody|satire|slapstick|farce|screwball comedy|sitcom|humour|mockumentary|political satire|absurdism",
    "comedy|drama": "comedy-drama|tragicomedy",
    "comedy|horror": "horror comedy",
    "comedy|romance": "romantic comedy|comedy of manners|chick lit",
    "crime": "crime|crime fiction|heist film|detective fiction|gangster film|sicilian mafia|serial killer|true crime|police procedural",
    "crime|film-noir": "film noir|neo-noir|future noir",
    "documentary": "documentary|documentary film|docudrama",
    "drama": "drama|melodrama|tragedy|teen drama|legal drama|coming of age|bildungsroman",
    "drama|history": "historical period drama|costume drama",
    "family": "family|children's literature|fairy tale|children's television series|picture book|christmas",
    "fantasy": "fantasy|high fantasy|urban fantasy|dark fantasy|contemporary fantasy|mythology|folklore|witchcraft|sword and sorcery",
    "fantasy|romance": "paranormal romance|romantic fantasy",
    "history": "history|historical fiction|historical novel|epic film|alternate history",
    "horror": "horror|slasher|gothic fiction|vampire|zombie film|werewolf|psychological horror|supernatural|vampire literature",
    "music": "music|musical|backstage musical|dance film|concert film",
    "mystery": "mystery|whodunit",
    "romance": "romance|romance film|romance novel|chivalric romance|erotic romance novels|love",
    "sci-fi": "science fiction|sci-fi|speculative fiction|time travel|dystopia|cyberpunk|steampunk|utopian and dystopian fiction"
    "|post-apocalyptic fiction|alien invasion|first contact|scientific romance",
    "sport": "sport|boxing|basketball|baseball|football|american football|auto racing|motorsport|golf|wrestling|surf film",
    "superhero": "superhero movie|superhero|comics",
    "thriller": "thriller|suspense|psychological thriller|political thriller|spy film|espionage|disaster film|terrorism",
    "war": "war|war film|war novel|world war ii|world war i|vietnam war|american civil war|cold war|iraq war",
    "western": "western|spaghetti western|revisionist western",
    "young adult": "young adult|young-adult fiction|teen film|adolescence",
}
GENRE_OF = {tag: tuple(genre.split("|")) for genre, tags in _GENRES.items() for tag in tags.split("|")}


def read(data_dir: Path | None) -> Corpus:
    """The corpus from its folder (or the folder that holds `opendialkg/`).

    Raises:
        DataError: a file is missing or broken.
    """
    for each in places("opendialkg", data_dir):
        if (each / opendialkg_raw.FILES[0]).exists():
            return opendialkg_raw.read(each, AUTHORS, _item)
    folder = find_folder("opendialkg", data_dir, FILES)
    counts: Counter[str] = Counter()
    items = [_item(key, entry, counts) for key, entry in read_info(folder / "id2info.json").items()]
    catalogue = Catalogue(filter(None, items))
    by_name = {item.title: (item.id,) for item in catalogue}
    linker = Linker(catalogue)
    return Corpus(
        catalogue=catalogue,
        rows={split: read_rows(folder / f"{split}.jsonl", split) for split in ("train", "valid", "test")},
        reading=Reading(linker, ids=lambda name: by_name.get(clean(name)) or linker.names(clean(name)), refuses=_Refusal(linker)),
        licence=LICENCE,
        sources=digests(folder / name for name in FILES),
        counts=counts,
    )


class _Refusal:
    """Why a string match is no target."""

    def __init__(self, linker: Linker) -> None:
        self._linker = linker

    def __call__(self, name: str, reply: str) -> str:
        key = key_of(name)
        if key in GENERIC or key in GENRE_OF:
            return "a genre word"
        if key.isdigit():
            return "a number"
        if " " in key or key not in COMMON:
            return ""
        named = {i for mention in self._linker.mentions(reply) for i in (mention.candidates if mention.item is None else (mention.item,))}
        return "" if named & set(self._linker.names(name)) else "a common word, not written as a title"


def _item(key: str, entry: dict[str, Any], counts: Counter[str]) -> Item | None:
    genres = dict.fromkeys(genre for tag in entry.get("genre") or () for genre in _genres(str(tag), counts))
    year, title = str(entry.get("year") or ""), clean(entry["name"])
    good = re.fullmatch(r"(?:18|19|20)\d\d", year) is not None
    counts["year dropped: no year of a film"] += bool(year) and not good
    return as_item(
        key,
        title,
        year=int(year) if good else None,
        genres=tuple(genres),
        directors=strings(entry, "director"),
        stars=strings(entry, "actor"),
        writers=strings(entry, "writer"),
        plot=clean(entry.get("plot") or ""),
    )


def _genres(tag: str, counts: Counter[str]) -> tuple[str, ...]:
    plain = re.sub(r"\s*(?:\([^)]*\)|#\d+)", "", clean(tag)).strip().lower()
    found = GENRE_OF.get(plain, ())
    counts["genre tag kept" if found else "genre tag dropped"] += 1
    return found
