"""Prompts: one text file a voice, in our own words.

A prompt file holds `$variables` (string.Template).  A variable that is missing, or one that is given but not used, is an error: a prompt
that silently drops its evidence is the worst bug of this field.  `digests` goes into every manifest and fingerprint.
"""

from __future__ import annotations

import hashlib
import string
from functools import cache
from importlib import resources

from usbrec.errors import PromptError


def render(name: str, /, **variables: str) -> str:
    """The prompt `prompts/<name>.txt` with its variables filled in.

    Raises:
        PromptError: no such prompt, a variable is missing, or one is given that the file does not use.
    """
    text = _text(name)
    wanted = set(string.Template(text).get_identifiers())
    missing, unused = sorted(wanted - set(variables)), sorted(set(variables) - wanted)
    if missing or unused:
        parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unused {', '.join(unused)}"] * bool(unused)
        raise PromptError(f"variables do not fit: {'; '.join(parts)}", where=f"prompt '{name}'")
    return string.Template(text).substitute(variables).strip()


def digests() -> dict[str, str]:
    """SHA-256 (first 16 hex digits) of every prompt file, by name."""
    return {name: hashlib.sha256(_text(name).encode()).hexdigest()[:16] for name in names()}


def digests_of(*names: str) -> dict[str, str]:
    """Digests of prompts, for fingerprints."""
    known = digests()
    return {name: known[name] for name in names}


def names() -> list[str]:
    """All prompts shipped with the package."""
    folder = resources.files(__name__)
    return sorted(entry.name.removesuffix(".txt") for entry in folder.iterdir() if entry.name.endswith(".txt"))


@cache
def _text(name: str) -> str:
    try:
        return resources.files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PromptError(f"there is no prompt '{name}'", fix=f"known prompts: {', '.join(names())}") from None
