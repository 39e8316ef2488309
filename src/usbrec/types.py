"""The glossary: the nouns of conversational recommendation as this package uses them.  Read this file first.

A **seeker** wants a film (or any other item); a **recommender** talks with them and offers items.  A **dialogue** is what the two
sides said, and nothing else: no scores, no instructions, no targets.  An **example** is a dialogue that stops right before a
recommender's turn, together with what a human recommender said there and which items that reply named: the **targets**.  Only
simulated seekers and judges may see targets; a recommender and the search see a `Dialogue`, so they cannot.

Everything here is frozen data without I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Side = Literal["seeker", "recommender"]
LONGEST_NAME = 1_000
"""Characters of an id, a title, a genre or a person's name: longer ones are a broken file."""
LONGEST_TEXT = 100_000
"""Characters of a plot, or of what one side says in a data set."""


class Frozen(BaseModel):
    """Immutable, strict about unknown fields, hashable."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    """As written but for spaces around; no blank one, none twice."""
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME, strip_whitespace=True)]
Names = Annotated[tuple[Annotated[str, Field(max_length=LONGEST_NAME)], ...], Field(max_length=LONGEST_NAME), AfterValidator(_each_once)]
Genres = Annotated[Names, AfterValidator(lambda names: _each_once(name.lower() for name in names))]


class Message(Frozen):
    """One turn of one side.  `text` is never empty."""

    side: Side
    text: str = Field(min_length=1)


class Dialogue(Frozen):
    """What the two sides said so far, oldest first.  May begin with either side; may be empty."""

    messages: tuple[Message, ...] = ()

    def say(self, side: Side, text: str) -> Dialogue:
        """A new dialogue with one more message."""
        return Dialogue(messages=(*self.messages, Message(side=side, text=text)))

    def of(self, side: Side) -> tuple[str, ...]:
        """All texts of one side, oldest first."""
        return tuple(m.text for m in self.messages if m.side == side)

    def since(self, start: int) -> tuple[Message, ...]:
        """The messages from index `start` on."""
        return self.messages[start:]

    def __len__(self) -> int:
        return len(self.messages)


class Item(Frozen):
    """One entry of a catalogue.  Attributes are lower-cased for genres and kept as written for people."""

    id: Name
    title: Name
    """Without the year."""
    year: int | None = Field(default=None, ge=1, le=9999)
    genres: Genres = ()
    directors: Names = ()
    stars: Names = ()
    writers: Names = ()
    plot: str = Field(default="", max_length=LONGEST_TEXT)

    @property
    def decade(self) -> str:
        """The first year of its decade, as in "the 1990s"; empty where the year is unknown."""
        return "" if self.year is None else str(self.year // 10 * 10)

    @property
    def name(self) -> str:
        """The title as it is said in a dialogue: with the year where it is known."""
        return f"{self.title} ({self.year})" if self.year is not None else self.title


class Example(Frozen):
    """A dialogue that waits for the recommender's reply, with the human's own reply and the items it names."""

    key: str
    """Unique in its data set: `<dialogue id>:<turn id>`."""
    dialogue_id: str
    turn_id: int
    dialogue: Dialogue
    targets: tuple[str, ...]
    """Catalogue ids named by the human recommender in `reply`; must never reach a prompt of the recommender or of the search."""
    reply: str = ""
    """The human's reply; empty where it is missing or cut (`reply_whole` is then false)."""
    reply_whole: bool = True
    language: str = "en"

    leaks: tuple[str, ...] = ()
    """The targets that the dialogue already names."""

    @property
    def answered(self) -> bool:
        """Is the human's reply there, and whole?"""
        return bool(self.reply) and self.reply_whole

    @property
    def leaked(self) -> bool:
        """Is a target named in the dialogue already?"""
        return bool(self.leaks)


class Profile(Frozen):
    """What a profiler believes of a seeker from the dialogue alone (docs/method.md, SES): the search's only idea of what is wanted."""

    summary: str
    """In words, for an LLM."""
    likes: tuple[str, ...] = ()
    """Catalogue ids that the seeker spoke well of, or just named."""
    dislikes: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    """Genres the seeker asked for in words."""
    people: tuple[str, ...] = ()
    """Directors, stars and writers the seeker asked for in words."""
    mentioned: tuple[str, ...] = ()
    """Every catalogue id named so far by either side: none of these is a new offer."""


class Score(Frozen):
    """A judge's verdict.  `value` is None when there is no verdict: the reason says why, and every report counts it."""

    value: float | None
    """0 (worse), 1 (comparable) or 2 (hit or better); a mean over votes or an expectation in between."""
    reason: str = ""
    judge: str = ""
    votes: tuple[int | None, ...] = ()
    """Each vote; None for one that could not be read."""
    probabilities: tuple[float, ...] = ()
    """From `choose`: the probability of 0, 1 and 2, normalised over the menu."""
    menu_mass: float | None = None
    """From `choose`: how much of the model's probability fell on the menu at all."""
    hit: bool = False
    """A target is among the items that count."""
    items: tuple[str, ...] = ()
    """The new items offered, in order, that were counted."""

    @property
    def scored(self) -> bool:
        return self.value is not None


class SearchNode(Frozen):
    """A reply that a search played after a candidate: what the internal seeker said before it, and all that came after."""

    heard: str
    text: str
    score: Score | None = None
    """Its own verdict."""
    value: float | None = None
    """Backed up: its own verdict and its children's values."""
    children: tuple[SearchNode, ...] = ()


class Candidate(Frozen):
    """One sampled reply with everything that was learnt about it; kept whether or not it was used."""

    text: str
    items: tuple[str, ...] = ()
    score: Score | None = None
    value: float | None = None
    """Of a search: backed up, from its own score and from what was played after it."""
    continuation: tuple[Message, ...] = ()
    """What was played forward after the reply; of several lines the first."""
    children: tuple[SearchNode, ...] = ()
    """Of a search: everything that was played after it."""
    count: int = 1
    """How many samples were merged into this one."""
    note: str = ""


class PreferencePair(Frozen):
    """Chosen and rejected reply to one dialogue, with all evidence (docs/method.md, PODCS)."""

    key: str
    dialogue: Dialogue
    chosen: str
    rejected: str
    chosen_from: Literal["policy", "human"]
    rejected_from: Literal["policy", "human"]
    chosen_score: float
    rejected_score: float
    hints: tuple[str, ...] = ()
    """Names of retrieved items that stood in the prompt."""


class SearchTrace(Frozen):
    """The whole tree of one searched reply, for the record and for `--show-search`."""

    profile: Profile
    candidates: tuple[Candidate, ...]
    chosen: int
    """Index into `candidates`."""
    strategy: str
    fallback: bool = False
    """True when the greedy reply was said because no candidate could be scored."""
    stopped: str = ""
    """What ended the search before its end: `seconds`, `tokens or calls`, `decided` (no candidate could overtake), `enough`."""
    calls: int = 0
    """Replies drawn and menus weighed, by all roles."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    note: str = ""


class Turn(Frozen):
    """One evaluated turn: the reply, its score, and the search behind it if there was one."""

    reply: str
    items: tuple[str, ...]
    """What the reply offers: its first new item (`roles.catalogue.offer`), or nothing.  In earlier runs up to three items."""
    named: tuple[str, ...] = ()
    """All items of the reply in order, named before or not.  Empty in earlier runs."""
    scores: tuple[Score, ...]
    """One per judge, in the order of the recipe."""
    search: SearchTrace | None = None
    seconds: float = 0.0

    @property
    def titles(self) -> tuple[str, ...]:
        """All items of the reply, as far as the run recorded them."""
        return self.named or self.items


class Outcome(Frozen):
    """What one arm did with one example: the dialogue that was played, and every turn's verdicts."""

    key: str
    arm: str
    dialogue: Dialogue
    """The whole conversation, the given context included."""
    start: int
    """Index of the first message that was played here."""
    turns: tuple[Turn, ...]
    targets: tuple[str, ...]
    leaks: tuple[str, ...] = ()
    left: bool = False
    """The simulated seeker lost patience and left: unsatisfied, with the last turn's score."""
    error: str = ""
    """Why the row has no result; `turns` is then empty and the row is counted as failed."""
