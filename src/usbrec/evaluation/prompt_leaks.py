"""What an arm's model was asked: every prompt of the recommender and of its search, rebuilt and read for targets.

The ledger keeps prompts as digests only, so they are built again from the outcomes, by the function that built them
(`roles.llm.recommender_messages`) and the same retriever; the ledger then says whether exactly these words were sent.  Of a target that the
dialogue has not named when the prompt is made ("secret"), a prompt may hold the name in one place:

| where                                             | what it is                                                                    |
|---------------------------------------------------|-------------------------------------------------------------------------------|
| among the names that the retriever proposes       | *offered*: it was found without labels, by the dialogue and the training likes |
| anywhere else: instructions, examples, other turns | *elsewhere*: a leak                                                           |

The search's own summary and its internal seeker's lines are made from the dialogue without labels; they are counted apart.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from usbrec.engine import ChatMessage
from usbrec.engines.ledger import prompt_digest
from usbrec.errors import StorageError
from usbrec.evaluation.rankers import prefixes
from usbrec.linking import Linker
from usbrec.roles.llm import recommender_messages
from usbrec.roles.settings import RecommenderSettings
from usbrec.types import Candidate, Dialogue, Frozen, Outcome, SearchNode, SearchTrace, Turn

Retrieve = Callable[[Dialogue, int], Awaitable[Sequence[str]]]
"""(dialogue, count) -> the names of the retriever's best items."""


@dataclass(frozen=True)
class Voice:
    """How the arms of a run asked their model."""

    settings: RecommenderSettings
    retrieve: Retrieve
    guided: int = 0
    """`DrawnSearch.guided`."""


class PromptLeaks(Frozen):
    """The prompts of one arm."""

    prompts: int
    """Rebuilt, one for each turn."""
    confirmed: int | None
    """Of these, found in the ledger by their digest; None without a ledger."""
    guided: int
    """Further prompts, of the search, each with one retrieved item: those in the ledger; without one, all that may have been."""
    offered: int
    """Rows in which the retriever put a secret target's name into a prompt."""
    elsewhere: int
    """Rows with a secret target anywhere else in a prompt: must be 0."""
    imagined: int
    """Rows in which the search's summary, or its internal seeker, names a secret target."""


def asked(ledger: Path) -> frozenset[str] | None:
    """The digests of all prompts in a ledger; None where there is no ledger.

    Raises:
        StorageError: the file is no ledger.
    """
    if not ledger.exists():
        return None
    try:
        with closing(sqlite3.connect(ledger, timeout=30)) as store:
            return frozenset(row[0] for row in store.execute("select distinct prompt from calls where verb in ('chat', 'stream')"))
    except sqlite3.Error as fault:
        fix = "move it away: the prompts are then read without its word"
        raise StorageError(f"the ledger cannot be read ({fault})", where=str(ledger), fix=fix) from None


async def prompt_leaks(outcomes: Sequence[Outcome], linker: Linker, voice: Voice, sent: frozenset[str] | None) -> PromptLeaks:
    """Rebuilds and reads the prompts of one arm.

    Args:
        sent: `asked` of the run's ledger.
    """
    prompts = confirmed = guided = 0
    rows: dict[str, set[str]] = {"offered": set(), "elsewhere": set(), "imagined": set()}
    for outcome in outcomes:
        for before, turn in zip(prefixes(outcome), outcome.turns, strict=True):
            secret = secret_targets(before, outcome.targets, linker)
            for names, plain in await _names(before, turn, voice):
                chat = _chat(before, voice.settings, names)
                known = sent is None or prompt_digest(chat) in sent
                if plain:
                    prompts += 1
                    confirmed += known
                elif known:
                    guided += 1
                else:
                    continue
                if any(linker.catalogue[target].name in names for target in secret):
                    rows["offered"].add(outcome.key)
                if any(_names_one(text, secret, linker) for text in _beyond(chat, before, names)):
                    rows["elsewhere"].add(outcome.key)
            if turn.search is not None and any(_names_one(text, secret, linker) for text in _made_up(turn.search)):
                rows["imagined"].add(outcome.key)
    counts = {name: len(keys) for name, keys in rows.items()}
    return PromptLeaks(prompts=prompts, confirmed=None if sent is None else confirmed, guided=guided, **counts)


def secret_targets(dialogue: Dialogue, targets: Sequence[str], linker: Linker) -> tuple[str, ...]:
    """The targets that nobody has named in the dialogue."""
    named = linker.leaks(dialogue, targets)
    return tuple(target for target in targets if target not in named)


async def _names(before: Dialogue, turn: Turn, voice: Voice) -> list[tuple[tuple[str, ...], bool]]:
    """(the retrieved names in it, is it the plain one) of each prompt of a turn."""
    hints = tuple(await voice.retrieve(before, voice.settings.hints)) if voice.settings.hints else ()
    single = await voice.retrieve(before, voice.guided) if voice.guided and turn.search is not None else ()
    return [(hints, True), *(((name,), False) for name in single)]


def _chat(before: Dialogue, settings: RecommenderSettings, names: Sequence[str]) -> list[ChatMessage]:
    return recommender_messages(before, noun=settings.noun, nouns=settings.nouns, history=settings.history, hints=names)


def _beyond(chat: Sequence[ChatMessage], before: Dialogue, names: Sequence[str]) -> Iterator[str]:
    """What a prompt says beside the dialogue's own lines and the retrieved names."""
    said = {line for message in before.messages for line in message.text.split("\n")}
    for message in chat:
        text = "\n".join(line for line in message.content.split("\n") if line not in said)
        for name in names if message.role == "system" else ():
            text = text.replace(name, "")
        if text:
            yield text


def _made_up(search: SearchTrace) -> Iterator[str]:
    """What the search read that nobody said: its summary, and its internal seeker's lines."""
    yield search.profile.summary
    nodes: list[Candidate | SearchNode] = list(search.candidates)
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children)
        if isinstance(node, SearchNode):
            yield node.heard


def _names_one(text: str, targets: Sequence[str], linker: Linker) -> bool:
    """Does a text name one of these?"""
    return bool(targets) and bool(linker.leaks(Dialogue().say("seeker", text), targets)) if text else False
