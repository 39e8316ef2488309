"""The batch of the transformers engine: rows that are computed together, with their keys and values.

Rows come and go between steps: a new prompt is read apart and joins, a finished row leaves.  Tokens stand at the right, padding at the
left, so that every row's next token has the same place; positions are counted without padding.  A token is drawn with a number of the
row's own generator, by the inverse of the cumulative distribution in the vocabulary's order: a reply depends on its prompt, its seed and
its settings, and on the rest of the batch by no more than the rounding of its floats.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from usbrec.engine import ChatMessage, Choice, Completion, Sampling
from usbrec.engines.transformers_model import TorchModel
from usbrec.errors import UsbrecError

if TYPE_CHECKING:
    from torch import Tensor

Answer = list[Completion] | Choice
_READ = 16384
"""Most tokens of prompts, padding included, that are read at once; a longer prompt is read alone."""
_SHORTEST = 0.75
"""Prompts are read together where the shortest has at least this share of the longest's length."""
_FIRST_TOP = 256
_COLDEST = 1e-6


@dataclass(eq=False)
class Job:
    """One call: a chat with a row for each seed, or a choice with one row."""

    messages: Sequence[ChatMessage]
    sampling: Sampling
    """Of a chat."""
    seeds: tuple[int, ...] = (0,)
    options: tuple[str, ...] = ()
    """Of a choice; empty for a chat."""
    hear: Callable[[str], None] | None = None
    """A stream's listener: gets the text so far, which only ever grows."""
    answer: Future[Answer] = field(default_factory=Future)
    """Cancelled by a caller who no longer waits."""
    done: dict[int, Completion] = field(default_factory=dict)

    def succeed(self, answer: Answer) -> None:
        with suppress(InvalidStateError):
            self.answer.set_result(answer)

    def fail(self, fault: UsbrecError) -> None:
        with suppress(InvalidStateError):
            self.answer.set_exception(fault)


@dataclass(eq=False)
class Row:
    """One reply in the making, or one choice."""

    job: Job
    index: int
    prompt: tuple[int, ...]
    options: tuple[int, ...]
    """The options' tokens, of a choice."""
    rng: random.Random
    said: list[int] = field(default_factory=list)
    logprob: float = 0.0
    """Of all that is said, where it was asked for."""
    finished: bool = False

    @property
    def live(self) -> bool:
        return not self.finished and not self.job.answer.done()

    @property
    def tokens(self) -> tuple[int, ...]:
        return (*self.prompt, *self.said)


@dataclass
class Batch:
    """Rows with one cache."""

    rows: list[Row] = field(default_factory=list)
    cache: Any = None
    """A DynamicCache: in every layer, keys and values [b, heads, l, d] of all of a row's tokens but its last."""
    mask: Any = None
    """[b, l]: 1 where the cache holds a token, 0 where it holds padding."""

    def step(self, model: TorchModel) -> Tensor:
        """Reads every row's last token; gives the logits [b, vocabulary] of the next."""
        import torch

        last = torch.tensor([[row.said[-1]] for row in self.rows], device=model.device)
        places = self.mask.sum(-1, keepdim=True)
        self.mask = torch.cat([self.mask, torch.ones_like(last)], dim=-1)
        return model.forward(last, self.mask, places, self.cache)

    def keep(self, kept: Sequence[int]) -> None:
        """Only these of the rows, in this order."""
        self.rows = [self.rows[at] for at in kept]
        if kept:
            self.select(kept)
        else:
            self.cache = self.mask = None

    def select(self, kept: Sequence[int]) -> None:
        """Only these of the sequences in the cache, as often as they are named; padding that all of them share goes."""
        import torch

        index = torch.tensor(kept, device=self.mask.device)
        mask = self.mask[index]
        lead = int(mask.any(0).long().argmax())
        self.mask = mask[:, lead:]
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[index, :, lead:], layer.values[index, :, lead:]

    def drop_finished(self) -> None:
        """Rows that have their answer, or whose caller is gone, leave."""
        live = [at for at, row in enumerate(self.rows) if row.live]
        if len(live) < len(self.rows):
            self.keep(live)

    def join(self, other: Batch) -> None:
        """Takes the rows of another batch in; the shorter of the two is padded."""
        import torch

        if not self.rows or not other.rows:
            self.rows, self.cache, self.mask = (self.rows, self.cache, self.mask) if self.rows else (other.rows, other.cache, other.mask)
            return
        longest = max(self.mask.shape[1], other.mask.shape[1])
        self.rows = [*self.rows, *other.rows]
        for mine, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            mine.keys = torch.cat([_pad(mine.keys, longest, 2), _pad(theirs.keys, longest, 2)])
            mine.values = torch.cat([_pad(mine.values, longest, 2), _pad(theirs.values, longest, 2)])
            theirs.keys = theirs.values = None
        self.mask = torch.cat([_pad(self.mask, longest, 1), _pad(other.mask, longest, 1)])


def _pad(tensor: Tensor, length: int, dim: int) -> Tensor:
    """Zeros at the beginning of a dimension, up to a length."""
    import torch

    missing = length - tensor.shape[dim]
    if not missing:
        return tensor
    zeros = tensor.new_zeros([missing if at == dim else size for at, size in enumerate(tensor.shape)])
    return torch.cat([zeros, tensor], dim=dim)


def read(model: TorchModel, rows: Sequence[Row]) -> tuple[Batch, Tensor]:
    """Reads all tokens of some rows, the same sequence once: their batch, and the logits [b, vocabulary] of their next tokens.

    Choices get no cache: nothing follows them.
    """
    import torch
    from transformers import DynamicCache

    different = list(dict.fromkeys(row.tokens for row in rows))
    longest = max(len(tokens) for tokens in different)
    padded = [[0] * (longest - len(tokens)) + list(tokens) for tokens in different]
    known = [[0] * (longest - len(tokens)) + [1] * len(tokens) for tokens in different]
    ids, mask = torch.tensor(padded, device=model.device), torch.tensor(known, device=model.device)
    cache = None if rows[0].options else DynamicCache()
    logits = model.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), cache)
    owner = {tokens: at for at, tokens in enumerate(different)}
    owners = [owner[row.tokens] for row in rows]
    batch = Batch(list(rows), cache, mask)
    if cache is not None and owners != list(range(len(different))):
        batch.select(owners)
    return batch, logits[owners]


def lots(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that are read together: choices and chats apart, equal prompts together, and of like length, so that padding stays small."""
    for kind in (True, False):
        lot: list[Row] = []
        longest, different = 0, 0
        last: tuple[int, ...] = ()
        for tokens, row in sorted(((row.tokens, row) for row in rows if bool(row.options) is kind), key=lambda one: (-len(one[0]), one[0])):
            more = different + (tokens != last)
            if lot and (len(tokens) < _SHORTEST * longest or more * longest > _READ):
                yield lot
                lot, more = [], 1
            longest = longest if lot else len(tokens)
            different, last = more, tokens
            lot.append(row)
        if lot:
            yield lot


def draw(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    """The next token of every row: the likeliest where the temperature is 0, else drawn with the row's generator."""
    import torch

    tokens = logits.argmax(-1)
    warm = [at for at, row in enumerate(rows) if row.job.sampling.temperature > 0]
    if warm:
        how = [rows[at].job.sampling for at in warm]
        heat = torch.tensor([max(sampling.temperature, _COLDEST) for sampling in how], device=logits.device)
        probabilities = (logits[warm] / heat[:, None]).softmax(-1)
        if any(sampling.top_p < 1 for sampling in how):
            probabilities = _nucleus(probabilities, torch.tensor([sampling.top_p for sampling in how], device=logits.device))
        sums = probabilities.double().cumsum(-1)
        numbers = torch.tensor([[rows[at].rng.random()] for at in warm], dtype=torch.float64, device=logits.device)
        drawn = torch.searchsorted(sums, numbers * sums[:, -1:], right=True).clamp(max=logits.shape[-1] - 1)
        tokens[warm] = drawn[:, 0]
    return [int(token) for token in tokens.tolist()]


def _nucleus(probabilities: Tensor, shares: Tensor) -> Tensor:
    """Each row's likeliest tokens that together reach its share; the others get probability 0.  [b, vocabulary], [b]."""
    size, count = probabilities.shape[-1], _FIRST_TOP
    wanted = shares[:, None]
    while True:
        top = probabilities.topk(min(count, size)).values
        sums = top.cumsum(-1)
        if count >= size or bool((sums[:, -1:] >= wanted).all()):
            break
        count *= 8
    enough = (sums < wanted).sum(-1, keepdim=True).clamp(max=top.shape[-1] - 1)
    least = top.gather(-1, enough)
    return probabilities * ((probabilities >= least) | (wanted >= 1))
