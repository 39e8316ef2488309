"""A Hugging Face tokenizer's chat template, as training and the transformers engine use it: prompts, and what ends a reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from usbrec.engine import ChatMessage

_PROBE = "usbrec probe"


def tokens(tokenizer: Any, text: str) -> list[int]:
    """The text's tokens, without any that the tokenizer would add."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def prompt(tokenizer: Any, messages: Sequence[ChatMessage]) -> list[int]:
    """A chat's tokens, ready for the assistant to speak."""
    chat = [{"role": message.role, "content": message.content} for message in messages]
    return tokens(tokenizer, tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))


def end_of_turn(tokenizer: Any) -> int | None:
    """The token that closes an assistant's message: the first special token behind it; None where the template has none."""
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": _PROBE}]
    tail = tokenizer.apply_chat_template(chat, tokenize=False).rpartition(_PROBE)[2]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return next((token for token in tokens(tokenizer, tail) if token in special), None)
