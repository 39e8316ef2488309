"""Does an engine say what the trained model says?  Tested, never assumed.

The reference is torch in fp32 on the merged weights; the engine renders and tokenises the prompt itself, so a chat template or
a tokenizer that was copied wrongly shows as well.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usbrec.engine import ChatMessage
from usbrec.errors import TrainingError
from usbrec.types import Frozen

FirstTokens = Callable[[Sequence[ChatMessage]], Mapping[str, float]]
"""From a chat to the engine's likeliest first tokens of the reply: token text -> log-probability in nats."""
Greedy = Callable[[Sequence[ChatMessage]], str]
"""From a chat to the engine's greedy reply."""


class Parity(Frozen):
    """How near an engine is to the reference, over all prompts."""

    prompts: int
    compared: int
    """First tokens compared, over all prompts."""
    mean_difference: float
    """Mean of |engine - reference| over these tokens' log-probabilities, in nats."""
    max_difference: float
    same_first: float
    """Share of prompts whose likeliest first token is the same."""
    same_greedy: float | None
    """Share of prompts whose greedy reply is the same, as far as it was drawn."""


@dataclass(frozen=True)
class Reference:
    """What torch says to some prompts in fp32: computed once, compared with any number of engines."""

    where: Path
    prompts: Sequence[Sequence[ChatMessage]]
    first: Sequence[Mapping[str, float]]
    """Of each prompt: the reply's likeliest first tokens, likeliest first, with their log-probabilities in nats."""
    replies: Sequence[str]
    """Greedy ones of the first prompts, as many as were asked for."""

    @classmethod
    def of(cls, merged: Path, prompts: Sequence[Sequence[ChatMessage]], *, greedy: int = 0, greedy_tokens: int = 16) -> Reference:
        """Asks torch.

        Args:
            merged: what `merge_safetensors` wrote.
            greedy: so many of the prompts get a greedy reply too.
            greedy_tokens: of so many tokens at most.
        """
        import torch

        from usbrec.training.batches import ChatEncoder
        from usbrec.training.loading import load_tokenizer, load_weights

        model, tokenizer = load_weights(merged, "fp32").eval(), load_tokenizer(merged)
        encoder = ChatEncoder(tokenizer, max_length=1 << 20, max_reply=1 << 20)
        first, replies = [], []
        for number, messages in enumerate(prompts):
            ids = torch.tensor([encoder.prompt(messages)])
            with torch.no_grad():
                logits = model(input_ids=ids, logits_to_keep=1).logits[0, -1]
            first.append(_by_text(tokenizer, torch.log_softmax(logits, -1)))
            if number < greedy:
                replies.append(_greedy(model, tokenizer, encoder, ids, greedy_tokens).strip())
        return cls(merged, prompts, first, replies)

    def parity(self, first_tokens: FirstTokens, greedy: Greedy | None = None) -> Parity:
        """Compares an engine.

        Args:
            greedy: None compares first tokens only; must draw as many tokens at most as the reference did.

        Raises:
            TrainingError: no prompt, or not one of the engine's tokens is among the reference's.
        """
        differences: list[float] = []
        same_first = 0
        for messages, wanted in zip(self.prompts, self.first, strict=True):
            told = first_tokens(messages)
            differences += [abs(value - wanted[text]) for text, value in told.items() if text in wanted]
            same_first += bool(told) and max(told, key=lambda text: told[text]) == next(iter(wanted))
        if not differences:
            raise TrainingError("nothing to compare: the engine's first tokens are not among the reference's", where=str(self.where))
        said = [greedy(messages).strip() for messages, _ in zip(self.prompts, self.replies, strict=False)] if greedy else []
        return Parity(
            prompts=len(self.prompts),
            compared=len(differences),
            mean_difference=sum(differences) / len(differences),
            max_difference=max(differences),
            same_first=same_first / len(self.prompts),
            same_greedy=sum(map(operator.eq, said, self.replies)) / len(said) if said else None,
        )


def _by_text(tokenizer: Any, log_probabilities: Any, count: int = 50) -> dict[str, float]:
    """The likeliest tokens' texts with their log-probabilities, likeliest first."""
    values, ids = log_probabilities.topk(min(count, log_probabilities.numel()))
    found: dict[str, float] = {}
    for value, token in zip(values.tolist(), ids.tolist(), strict=True):
        found.setdefault(tokenizer.decode([token]), value)
    return found


def _greedy(model: Any, tokenizer: Any, encoder: Any, ids: Any, count: int) -> str:
    import torch

    drawn = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, use_cache=True,
        eos_token_id=encoder.end_of_turn, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return str(tokenizer.decode(drawn[0, ids.shape[1] :], skip_special_tokens=True))
