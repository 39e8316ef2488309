"""The demo's words: a grammar read from `world/phrases.txt`, with the phrases of the attributes seeker added to it.

== list name
a phrase: "[a|b]" is a choice, "{name}" a value or a phrase of another list
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from usbrec.roles.seekers import ACCEPT, DECLINE, KNOWN, WISHES

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE = re.compile(r"(^|[.!?] )([a-z])")


@dataclass(frozen=True)
class Phrases:
    """A grammar.  Values are never expanded, whatever signs they hold."""

    lists: Mapping[str, Sequence[str]]

    def write(self, rng: random.Random, name: str, values: Mapping[str, str]) -> str:
        """A phrase of that list with everything filled in."""
        text = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), rng.choice(self.lists[name]))
        return _SLOT.sub(lambda found: values[found[1]] if found[1] in values else self.write(rng, found[1], values), text)


def world_files(start: str, end: str) -> dict[str, str]:
    """Name -> text of the bundled files with that beginning and end, by name."""
    folder = resources.files("usbrec.data").joinpath("world")
    files = sorted((each for each in folder.iterdir() if each.name.startswith(start) and each.name.endswith(end)), key=lambda f: f.name)
    return {each.name: each.read_text(encoding="utf-8") for each in files}


def read_phrases() -> dict[str, list[str]]:
    """List name -> phrases."""
    lists: dict[str, list[str]] = {}
    name = ""
    for line in world_files("phrases", ".txt")["phrases.txt"].splitlines():
        if line.startswith("== "):
            lists[name := line[3:].strip()] = []
        elif line.strip():
            lists[name].append(line)
    for kind, phrases in WISHES.items():
        lists[f"wish_{kind}"] += [phrase.replace("{0}", "{value}") for phrase in phrases]
    lists["thanks"] += ACCEPT
    lists["decline"] += DECLINE
    lists["known"] = [phrase[:-1] + end for phrase in KNOWN for end in (".", ", {detail}.", ", {who} showed it to me.")]
    return lists


def neat(text: str) -> str:
    """Single spaces, and capitals where sentences begin."""
    return _SENTENCE.sub(lambda found: found[1] + found[2].upper(), " ".join(text.split()))
