"""The search, as it stands in a recipe."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from usbrec.settings import Settings

Strategy = Literal["greedy", "best-of-n", "majority", "chain", "tree", "halving"]


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

    guesses: int = Field(default=0, ge=0)
    """So many of the seeker's likely answers are guessed by the internal seeker and searched ahead, one after the other; 0: off."""
    use: Literal["exact", "profile"] = "exact"
    """Which guess answers a message.  `exact`: one of the same words (case, punctuation and spacing aside) in which the same items, genres
    and people are found; `profile`: also one of other words in which the same of them are found, at least one, and that has the same
    negations and numbers: whatever else the message says is then not answered."""
    budget: BudgetSettings = BudgetSettings()
    """The most that may be spent ahead of one message; the reply's own budget is apart from it.  A search that this one cuts short is never
    used; the first call is made whatever it costs."""


class SearchSettings(Settings):
    """How the best reply is looked for at inference (docs/method.md, SES)."""

    strategy: Strategy = "tree"
    """`greedy`: no search; `best-of-n`: candidates judged as they are; `majority`: the most often sampled offer, no judge
    (self-consistency over items); `chain`: each candidate played forward along one line (the paper's flat look-ahead); `tree`: `width`
    replies at each turn of the look-ahead; `halving`: lines of look-ahead (or votes) go to the better half of the candidates, again
    and again (sequential halving)."""
    candidates: int = Field(default=8, ge=0)
    """First replies sampled, besides the greedy one."""
    temperature: float = Field(default=0.5, ge=0)
    """Of the candidates; the paper found 0.5 best."""
    guided: int = Field(default=0, ge=0)
    """Further candidates: so many of the retriever's best items are put before the model, one a prompt; 0 is the paper's setting."""
    depth: int = Field(default=1, ge=0)
    """Turns of look-ahead after the candidate; 0: none."""
    width: int = Field(default=1, ge=1)
    """Replies drawn at each turn of the look-ahead of `tree`; above 4 hurts, by the paper."""
    backup: Literal["mean", "max"] = "mean"
    """How values travel up the tree."""
    consensus: float = Field(default=0.0, ge=0)
    """Added to a candidate's value: this times its share of the samples."""
    from_turn: int = Field(default=0, ge=0)
    """Search only once the seeker has spoken so often; before that the greedy reply is said."""
    budget: BudgetSettings = BudgetSettings()
    """Where the search stops, whatever it has found."""
    stop_early: bool = True
    """Stop when the leading candidate cannot be overtaken any more."""
    enough: float | None = Field(default=None, gt=0)
    """Draw the candidates in lots, and stop when the best one so far is judged at least this share of the best offer that the retriever
    knows; null: draw all at once."""
    lot: int = Field(default=1, ge=0)
    """With `enough`: so many guided candidates come with the greedy reply; then, with the samples, twice as many, and so on."""
    profiler: Literal["catalogue", "llm"] = "catalogue"
    """Who reads the preference out of the dialogue."""
    seeker: Literal["catalogue", "llm"] = "catalogue"
    """The internal simulator, which knows the profile only."""
    judge: Literal["catalogue", "llm"] = "catalogue"
    """Who scores a candidate against the profile."""
    method: Literal["choose", "vote"] = "choose"
    """Of an `llm` judge: exact scores, or votes."""
    votes: int = Field(default=10, ge=1)
    """Of an `llm` judge that votes; with `halving` they are spread over the rounds."""
    speculate: SpeculateSettings = SpeculateSettings()
    """Searching ahead of the next message, for people who talk with an arm; off by default."""

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `speculate` where it is off: it changes no result, so the fingerprints of earlier runs stay what they were."""
        values: dict[str, Any] = handler(self)
        if self.speculate == SpeculateSettings():
            values.pop("speculate", None)
        return values
