"""From rows to batches: the model's chat template, reply-only labels, truncation at turn boundaries, a fixed order.

A prompt is rendered exactly as an engine renders it; the reply is tokenised apart from it, since that is how it is generated, and ends
with the template's end-of-turn token.  A chat that is too long loses its oldest turns first; the system message and the last user message
always stay; only when these alone are too long is the last user message cut, at its left.  The order of the batches is planned for the
whole run from the seed alone, so an interrupted run can go on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from usbrec import chat_template
from usbrec.engine import ChatMessage
from usbrec.errors import TrainingError
from usbrec.seeds import rng_of
from usbrec.training.rows import PairRow, SftRow

if TYPE_CHECKING:
    from torch import Tensor

_WINDOW = 16  # batches that are sorted by length together: little padding, still a random order


@dataclass(frozen=True)
class Encoded:
    """One row as token ids: one prompt, and one reply (SFT) or chosen and rejected (SimPO)."""

    prompt: tuple[int, ...]
    replies: tuple[tuple[int, ...], ...]

    @property
    def length(self) -> int:
        """Tokens that are computed: the prompt once, and every reply."""
        return len(self.prompt) + sum(len(reply) for reply in self.replies)


@dataclass
class Counts:
    """What happened to the rows on their way into batches."""

    rows: int = 0
    """Rows that are used."""
    empty: int = 0
    """Dropped: a reply is empty."""
    too_long: int = 0
    """Dropped: system message and reply alone fill the window."""
    shortened: int = 0
    """Lost some of their oldest turns."""
    cut_user: int = 0
    """Their last user message was cut at its left."""
    cut_reply: int = 0
    """Their reply was cut at `max_reply`."""


@dataclass
class ChatEncoder:
    """Encodes rows with one model's tokenizer and chat template."""

    tokenizer: Any
    max_length: int
    max_reply: int
    counts: Counts = field(default_factory=Counts)
    end_of_turn: int = field(init=False)

    def __post_init__(self) -> None:
        if not self.tokenizer.chat_template:
            raise TrainingError("the model has no chat template", fix="use an instruction-tuned model")
        self.end_of_turn = self._end_of_turn()

    def _end_of_turn(self) -> int:
        """The token that closes an assistant's message, else the end of sequence."""
        closing = chat_template.end_of_turn(self.tokenizer)
        found = self.tokenizer.eos_token_id if closing is None else closing
        if found is None:
            raise TrainingError("the model's chat template has no end-of-turn token", fix="use an instruction-tuned model")
        return int(found)

    def _ids(self, text: str) -> list[int]:
        return chat_template.tokens(self.tokenizer, text)

    def prompt(self, messages: Sequence[ChatMessage]) -> list[int]:
        """The prompt's tokens, ready for the assistant to speak."""
        return chat_template.prompt(self.tokenizer, messages)

    def encode(self, row: SftRow | PairRow) -> Encoded | None:
        """The row's tokens; None for a row that must be dropped, which `counts` tells."""
        texts = (row.reply,) if isinstance(row, SftRow) else (row.chosen, row.rejected)
        if not all(text.strip() for text in texts):
            self.counts.empty += 1
            return None
        replies = tuple(self._reply(text) for text in texts)
        prompt = self._fit(list(row.messages), self.max_length - max(len(reply) for reply in replies))
        if prompt is None:
            self.counts.too_long += 1
            return None
        self.counts.rows += 1
        return Encoded(prompt=tuple(prompt), replies=replies)

    def _reply(self, text: str) -> tuple[int, ...]:
        ids = [*self._ids(text.strip()), self.end_of_turn]
        self.counts.cut_reply += len(ids) > self.max_reply
        return tuple(ids[: self.max_reply])

    def _fit(self, messages: list[ChatMessage], room: int) -> list[int] | None:
        """The prompt in at most `room` tokens; None where even the system message does not fit."""
        ids = self.prompt(messages)
        if len(ids) <= room:
            return ids
        first = 1 if messages[0].role == "system" else 0
        asked = max((place for place, message in enumerate(messages) if message.role == "user"), default=len(messages) - 1)
        behind = messages[asked + 1 :]  # hints, say
        while len(ids) > room and len(messages) > first + 1 + len(behind):
            del messages[first]
            ids = self.prompt(messages)
        if len(ids) <= room:
            self.counts.shortened += 1
            return ids
        words = self._ids(messages[first].content)
        keep = len(words) - (len(ids) - room)
        while keep > 0:
            text = self.tokenizer.decode(words[-keep:]).lstrip("\N{REPLACEMENT CHARACTER}")
            ids = self.prompt([*messages[:first], ChatMessage(role="user", content=text), *behind])
            if len(ids) <= room:
                self.counts.cut_user += 1
                return ids
            keep -= len(ids) - room
        return None


def encode(rows: Sequence[SftRow] | Sequence[PairRow], encoder: ChatEncoder) -> list[Encoded]:
    """All usable rows.

    Raises:
        TrainingError: not one row can be used.
    """
    found = [encoded for row in rows if (encoded := encoder.encode(row))]
    if rows and not found:
        counts = encoder.counts
        raise TrainingError(
            f"none of the {len(rows)} rows can be trained on: {counts.empty} with an empty reply, {counts.too_long} too long",
            fix="look at the rows, or raise max_length",
        )
    return found


def plan(lengths: Sequence[int], *, batch_size: int, epochs: float, seed: int) -> list[list[int]]:
    """Row numbers of every batch of the whole run, in order.

    Within an epoch every row comes once; rows of like length share a batch (less padding), and the batches come in random order.
    """
    batches: list[list[int]] = []
    wanted = math.ceil(epochs * math.ceil(len(lengths) / batch_size) - 1e-9)
    for epoch in range(math.ceil(epochs)):
        rng = rng_of(seed, "order", epoch)
        order = list(range(len(lengths)))
        rng.shuffle(order)
        window = batch_size * _WINDOW
        one: list[list[int]] = []
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=lambda row: lengths[row])
            one += [near[at : at + batch_size] for at in range(0, len(near), batch_size)]
        rng.shuffle(one)
        batches += one
    return batches[:wanted]


def collate(padding: int) -> Callable[[Sequence[Encoded]], dict[str, Tensor]]:
    """Makes a batch of b rows with r replies each (r = 1 for SFT, 2 for SimPO), padded at the right to l tokens.

    A prompt stands once, its replies behind it, one after the other: every reply has the positions that follow the prompt and sees the
    prompt and itself alone, so the model gives what it would give to r whole sequences, for little more than half of the work.

    - input_ids, labels [b, l]: labels are -100 but on the replies (not yet aligned: labels[:, t] is input_ids[:, t]).
    - attention_mask: [b, l] for r = 1, else [b, 1, l, l], true where a token may look; position_ids [b, l].
    - places, targets, owners [n]: the token at `places` (in the flattened batch) must predict `targets`; `owners` says which reply
      that is, of r x b: first all first replies, then all second ones.
    - counts [r x b]: tokens of each reply; tokens []: all that are no padding.
    """

    def pad(rows: Sequence[Encoded]) -> dict[str, Tensor]:
        import torch

        longest = max(row.length for row in rows)
        ids = torch.full((len(rows), longest), padding, dtype=torch.long)
        part = torch.full_like(ids, -1)  # 0: the prompt, 1..r: that reply, -1: padding
        labels, positions = torch.full_like(ids, -100), torch.zeros_like(ids)
        places: list[int] = []
        targets: list[int] = []
        owners: list[int] = []
        for at, row in enumerate(rows):
            asked = len(row.prompt)
            ids[at, :asked] = torch.tensor(row.prompt)
            part[at, :asked] = 0
            positions[at, :asked] = torch.arange(asked)
            start, offset = asked, at * longest
            for kind, reply in enumerate(row.replies):
                end = start + len(reply)
                ids[at, start:end] = labels[at, start:end] = torch.tensor(reply)
                part[at, start:end] = kind + 1
                positions[at, start:end] = torch.arange(asked, asked + len(reply))
                places += [offset + asked - 1, *range(offset + start, offset + end - 1)]
                targets += reply
                owners += [kind * len(rows) + at] * len(reply)
                start = end
        kinds = len(rows[0].replies)
        return {
            "input_ids": ids, "labels": labels, "position_ids": positions,
            "attention_mask": (part >= 0).long() if kinds == 1 else _may_look(part),
            "places": torch.tensor(places), "targets": torch.tensor(targets), "owners": torch.tensor(owners),
            "counts": torch.tensor([len(row.replies[kind]) for kind in range(kinds) for row in rows]), "tokens": (part >= 0).sum(),
        }  # fmt: skip

    return pad


def _may_look(part: Tensor) -> Tensor:
    """[b, l] parts -> [b, 1, l, l]: backwards, at the prompt and at the own reply; padding looks at itself, so that no row is empty."""
    import torch

    length = part.shape[1]
    backwards = torch.ones(length, length, dtype=torch.bool).tril()
    asker, asked = part[:, :, None], part[:, None, :]
    seen = ((asked == 0) | (asked == asker)) & (asked >= 0) & (asker >= 0)
    return ((backwards & seen) | torch.eye(length, dtype=torch.bool))[:, None]
