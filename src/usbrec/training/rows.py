"""What training reads: chats in a model's own terms, with the reply (SFT) or the two replies (SimPO) that follow.

Whoever makes the rows decides what the model sees; training adds nothing to a prompt and knows no targets.
"""

from __future__ import annotations

from pydantic import model_validator

from usbrec.engine import ChatMessage
from usbrec.types import Frozen


def _check(messages: tuple[ChatMessage, ...]) -> None:
    said = [message.role for message in messages if message.role != "system"]
    if not said or said[-1] != "user":
        raise ValueError("the last to speak in messages must be the user")


class SftRow(Frozen):
    """One reply to imitate (docs/method.md, SFT).  An empty reply is dropped by training, and counted."""

    key: str
    messages: tuple[ChatMessage, ...]
    """System message first if there is one; the last message is the user's."""
    reply: str

    @model_validator(mode="after")
    def _ends_with_user(self) -> SftRow:
        _check(self.messages)
        return self


class PairRow(Frozen):
    """A better and a worse reply to the same messages (docs/method.md, SimPO).  An empty one drops the pair, and is counted."""

    key: str
    messages: tuple[ChatMessage, ...]
    chosen: str
    rejected: str

    @model_validator(mode="after")
    def _ends_with_user(self) -> PairRow:
        _check(self.messages)
        return self
