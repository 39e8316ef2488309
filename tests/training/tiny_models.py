"""A tiny random Llama with a chat template, trained tokenizer and all, made on the spot; and rows for it."""

from __future__ import annotations

from pathlib import Path

from usbrec.engine import ChatMessage
from usbrec.training import PairRow, SftConfig, SftRow, SimpoConfig

SENTENCE = "hello i want a film with robots or love perhaps watch the long river tonight it is good and short you may like that one too"
WORDS = SENTENCE.split()
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def tiny_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|pad|>", "<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([" ".join(WORDS)] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<|pad|>", eos_token="<|end|>", bos_token="<|start|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_tiny_model(folder: Path) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, eos_token_id=2, pad_token_id=0, bos_token_id=1,
        initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def chat(*turns: str, system: str = "you like films") -> tuple[ChatMessage, ...]:
    """System message, then user and assistant in turn; the last turn is the user's."""
    roles = ["user" if (len(turns) - at) % 2 else "assistant" for at in range(len(turns))]
    return (
        ChatMessage(role="system", content=system),
        *(ChatMessage(role=role, content=turn) for role, turn in zip(roles, turns, strict=True)),
    )


def text(seed: int, words: int) -> str:
    return " ".join(WORDS[(seed * 7 + at * (seed % 5 + 1)) % len(WORDS)] for at in range(words))


def sft_rows(count: int) -> list[SftRow]:
    return [SftRow(key=str(at), messages=chat(text(at, 3 + at % 9)), reply=text(at + 3, 2 + at % 4)) for at in range(count)]


def pair_rows(count: int) -> list[PairRow]:
    return [
        PairRow(key=str(at), messages=chat(text(at, 3 + at % 9)), chosen=text(at + 3, 2 + at % 4), rejected=text(at + 11, 2 + at % 6))
        for at in range(count)
    ]


LORA = {"lora_rank": 4, "lora_alpha": 8}
SMALL = {"batch_size": 4, "precision": "fp32", "check_every": 0, "log_every": 1, "max_length": 128}


def sft_config(**changes) -> SftConfig:
    return SftConfig(**{**SMALL, **LORA, "learning_rate": 1e-2, **changes})


def simpo_config(**changes) -> SimpoConfig:
    return SimpoConfig(**{**SMALL, "learning_rate": 1e-3, **changes})
