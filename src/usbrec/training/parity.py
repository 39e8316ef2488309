"""Does an engine say what the trained model says?  Tested, never assumed.

The reference is torch in fp32 on the merged weights (METHOD 5); the engine renders and tokenises the prompt itself, so a chat template or
a tokenizer that was copied wrongly shows as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def parity(
    merged: Path,
    prompts: Sequence[Sequence[ChatMessage]],
    first_tokens: FirstTokens,
    greedy: Greedy | None = None,
    *,
    greedy_tokens: int = 16,
) -> Parity:
    """Compares an engine with torch in fp32.

    Args:
        merged: what `merge_safetensors` wrote.
        greedy: None compares first tokens only; must draw `greedy_tokens` tokens at most.

    Raises:
        TrainingError: no prompt, or not one of the engine's tokens is among the reference's.
    """
    import torch

    from usbrec.training.batches import ChatEncoder
    from usbrec.training.loading import load_tokenizer, load_weights

    model, tokenizer = load_weights(merged, "fp32").eval(), load_tokenizer(merged)
    encoder = ChatEncoder(tokenizer, max_length=1 << 20, max_reply=1 << 20)
    differences: list[float] = []
    same_first = same_greedy = 0
    for messages in prompts:
        ids = torch.tensor([encoder.prompt(messages)])
        with torch.no_grad():
            logits = model(input_ids=ids, logits_to_keep=1).logits[0, -1]
        wanted = _by_text(tokenizer, torch.log_softmax(logits, -1))
        told = first_tokens(messages)
        differences += [abs(value - wanted[text]) for text, value in told.items() if text in wanted]
        same_first += bool(told) and max(told, key=lambda text: told[text]) == next(iter(wanted))
        if greedy is not None:
            same_greedy += greedy(messages).strip() == _greedy(model, tokenizer, encoder, ids, greedy_tokens).strip()
    if not differences:
        raise TrainingError("nothing to compare: the engine's first tokens are not among the reference's", where=str(merged))
    return Parity(
        prompts=len(prompts),
        compared=len(differences),
        mean_difference=sum(differences) / len(differences),
        max_difference=max(differences),
        same_first=same_first / len(prompts),
        same_greedy=same_greedy / len(prompts) if greedy is not None else None,
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
