"""The search, as it stands in a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from usbrec.roles.settings import Settings

Strategy = Literal["greedy", "best-of-n", "majority", "chain", "tree", "halving"]


class BudgetSettings(Settings):
    """The most that one searched reply may cost; null: no limit.  The greedy reply is always had, whatever it costs."""

    seconds: float | None = Field(default=None, gt=0)
    """Wall time; then the best reply so far is said."""
    tokens: int | None = Field(default=None, ge=1)
    """Prompt and generated tokens of all roles; a call that may go beyond (by its `max_tokens`) is not made."""
    calls: int | None = Field(default=None, ge=1)
    """Replies drawn and menus weighed, by all roles; n samples are n calls."""


class SearchSettings(Settings):
    """How the best reply is looked for at inference (METHOD 1.4)."""

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
