"""The search, as it stands in a recipe: a class a strategy."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, SerializerFunctionWrapHandler, Tag, model_serializer

from usbrec.settings import Settings, by

Player = Literal["catalogue", "llm"]


class BudgetSettings(Settings):
    """The most that one searched reply may cost; null: no limit.  The greedy reply is always had, whatever it costs."""

    seconds: float | None = Field(default=None, gt=0)
    """Wall time; then the best reply so far is said."""
    tokens: int | None = Field(default=None, ge=1)
    """Prompt and generated tokens of all roles; a call that may go beyond (by its `max_tokens`) is not made."""
    calls: int | None = Field(default=None, ge=1)
    """Replies drawn and menus weighed, by all roles; n samples are n calls."""


class SpeculateSettings(Settings):
    """Searching ahead while a person reads and types (`usbrec chat`, a server); the stages of a run never do."""

    guesses: int = Field(default=0, ge=0, le=100)
    """So many of the seeker's likely answers are guessed by the internal seeker and searched ahead, one after the other; 0: off."""
    use: Literal["exact", "profile"] = "exact"
    """Which guess answers a message.  `exact`: one of the same words (case, punctuation and spacing aside) in which the same items, genres
    and people are found; `profile`: also one of other words in which the same of them are found, at least one, and that has the same
    negations and numbers: whatever else the message says is then not answered."""
    budget: BudgetSettings = BudgetSettings()
    """The most that may be spent ahead of one message; the reply's own budget is apart from it.  A search that this one cuts short is never
    used; the first call is made whatever it costs."""


class Inner(NamedTuple):
    """Who plays the search's internal roles, where they are played at all."""

    profiler: Player = "catalogue"
    seeker: Player = "catalogue"
    judge: Player = "catalogue"


class PlainSearch(Settings):
    """What every strategy has."""

    strategy: str
    speculate: SpeculateSettings = SpeculateSettings()
    """Searching ahead of the next message, for people who talk with an arm; off by default."""

    @property
    def inner(self) -> Inner:
        """Its internal roles."""
        return Inner()

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `speculate` where it is off: it changes no result, so the fingerprints of earlier runs stay what they were."""
        values: dict[str, Any] = handler(self)
        if self.speculate == SpeculateSettings():
            values.pop("speculate", None)
        return values


class GreedySearch(PlainSearch):
    """`greedy`: no search."""

    strategy: Literal["greedy"] = "greedy"


class DrawnSearch(PlainSearch):
    """A search among candidates."""

    candidates: int = Field(default=8, ge=0, le=1000)
    """First replies sampled, besides the greedy one."""
    temperature: float = Field(default=0.5, ge=0, le=10)
    """Of the candidates; the paper found 0.5 best."""
    guided: int = Field(default=0, ge=0, le=1000)
    """Further candidates: so many of the retriever's best items are put before the model, one a prompt; 0 is the paper's setting."""
    from_turn: int = Field(default=0, ge=0)
    """Search only once the seeker has spoken so often, counted in the whole dialogue, the given part included; before that the greedy reply
    is said."""
    last_turns: int | None = Field(default=None, ge=1)
    """Search only in the last so many of the recommender turns that an evaluation plays (`evaluate.turns`), as the paper counts: 2 is from
    the second-to-last turn on; null: in all.  Where nobody knows when a conversation ends, in a chat, every turn is searched."""
    budget: BudgetSettings = BudgetSettings()
    """Where the search stops, whatever it has found."""

    @property
    def ahead(self) -> tuple[int, int]:
        """Turns of look-ahead, and replies drawn at each."""
        return 0, 1

    @property
    def rule(self) -> Literal["mean", "max"]:
        """How values travel up the tree."""
        return "mean"

    @property
    def asks_votes(self) -> bool:
        """Does the judge vote?"""
        return False


class MajoritySearch(DrawnSearch):
    """`majority`: the most often sampled offer, no judge (self-consistency over items)."""

    strategy: Literal["majority"] = "majority"


class JudgedSearch(DrawnSearch):
    """A search among candidates that are judged."""

    consensus: float = Field(default=0.0, ge=0)
    """Added to a candidate's value: this times its share of the samples."""
    stop_early: bool = True
    """Stop when the leading candidate cannot be overtaken any more."""
    enough: float | None = Field(default=None, gt=0)
    """Draw the candidates in lots, and stop when the best one so far is judged at least this share of the best offer that the retriever
    knows; null: draw all at once."""
    lot: int = Field(default=1, ge=0)
    """With `enough`: so many guided candidates come with the greedy reply; then, with the samples, twice as many, and so on."""
    profiler: Player = "catalogue"
    """Who reads the preference out of the dialogue."""
    seeker: Player = "catalogue"
    """The internal simulator, which knows the profile only."""
    judge: Player = "catalogue"
    """Who scores a candidate against the profile."""
    method: Literal["choose", "vote"] = "choose"
    """Of an `llm` judge: exact scores, or votes."""
    votes: int = Field(default=10, ge=1, le=1000)
    """Of an `llm` judge that votes; with `halving` they are spread over the rounds."""

    @property
    def inner(self) -> Inner:
        return Inner(self.profiler, self.seeker if self.ahead[0] or self.speculate.guesses else "catalogue", self.judge)

    @property
    def asks_votes(self) -> bool:
        return self.judge == "llm" and self.method == "vote"


class BestOfNSearch(JudgedSearch):
    """`best-of-n`: candidates judged as they are."""

    strategy: Literal["best-of-n"] = "best-of-n"


class PlayedSearch(JudgedSearch):
    """A search that plays candidates on."""

    depth: int = Field(default=1, ge=0, le=1000)
    """Turns of look-ahead after the candidate; 0: none."""
    backup: Literal["mean", "max"] = "mean"
    """How values travel up the tree."""

    @property
    def ahead(self) -> tuple[int, int]:
        return self.depth, 1

    @property
    def rule(self) -> Literal["mean", "max"]:
        return self.backup


class ChainSearch(PlayedSearch):
    """`chain`: each candidate played forward along one line (the paper's flat look-ahead)."""

    strategy: Literal["chain"] = "chain"


class TreeSearch(PlayedSearch):
    """`tree`: `width` replies at each turn of the look-ahead."""

    strategy: Literal["tree"] = "tree"
    width: int = Field(default=1, ge=1, le=100)
    """Replies drawn at each turn of the look-ahead; above 4 hurts, by the paper."""

    @property
    def ahead(self) -> tuple[int, int]:
        return self.depth, self.width


class HalvingSearch(PlayedSearch):
    """`halving`: lines of look-ahead (or votes) go to the better half of the candidates, again and again (sequential halving)."""

    strategy: Literal["halving"] = "halving"


SearchSettings = Annotated[
    Annotated[TreeSearch, Tag("tree")]
    | Annotated[GreedySearch, Tag("greedy")]
    | Annotated[MajoritySearch, Tag("majority")]
    | Annotated[BestOfNSearch, Tag("best-of-n")]
    | Annotated[ChainSearch, Tag("chain")]
    | Annotated[HalvingSearch, Tag("halving")],
    by("strategy", "tree"),
]
"""How the best reply is looked for at inference (docs/method.md, SES)."""
