"""What the model is shown: templates, labels, truncation at turns, order."""

from __future__ import annotations

import pytest
from tiny_models import chat, sft_rows, tiny_tokenizer

from usbrec.engine import ChatMessage
from usbrec.errors import TrainingError
from usbrec.training import PairRow, SftRow
from usbrec.training.batches import ChatEncoder, collate, encode, plan


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def encoder_of(tokenizer, max_length=128, max_reply=32):
    return ChatEncoder(tokenizer, max_length=max_length, max_reply=max_reply)


def test_a_row_is_the_rendered_prompt_then_the_reply_and_its_end(tokenizer):
    row = SftRow(key="a", messages=chat("hello", "i like love", "a film"), reply=" watch it ")
    encoded = encoder_of(tokenizer).encode(row)
    assert tokenizer.decode(encoded.prompt) == (
        "<|start|>system\nyou like films<|end|>\n<|start|>user\nhello<|end|>\n<|start|>assistant\ni like love<|end|>\n"
        "<|start|>user\na film<|end|>\n<|start|>assistant\n"
    )
    assert tokenizer.decode(encoded.replies[0]) == "watch it<|end|>"


def test_the_end_of_turn_is_the_templates_not_the_eos(tokenizer):
    other = tiny_tokenizer()
    other.eos_token = "<|pad|>"
    assert other.decode([encoder_of(other).end_of_turn]) == "<|end|>"


def test_labels_mark_the_reply_only(tokenizer):
    rows = encode(sft_rows(3), encoder_of(tokenizer))
    batch = collate(0)(rows)
    for at, row in enumerate(rows):
        length = len(row.prompt) + len(row.replies[0])
        assert batch["labels"][at][batch["labels"][at] != -100].tolist() == list(row.replies[0])
        assert (batch["labels"][at, : len(row.prompt)] == -100).all()
        assert batch["attention_mask"][at].tolist() == [1] * length + [0] * (batch["input_ids"].shape[1] - length)
    assert batch["input_ids"].shape[1] == max(row.length for row in rows)


def test_a_pair_shares_its_prompt(tokenizer):
    """Prompt, chosen and rejected in one row; the rejected reply has the positions of the chosen one and does not see it."""
    pairs = [PairRow(key=str(n), messages=chat("hello"), chosen="a film", rejected="the long river tonight") for n in range(2)]
    rows = encode(pairs, encoder_of(tokenizer))
    batch = collate(0)(rows)
    asked, (chosen, rejected) = len(rows[0].prompt), rows[0].replies
    assert batch["input_ids"][1].tolist() == [*rows[0].prompt, *chosen, *rejected] and int(batch["tokens"]) == 2 * rows[0].length
    assert tokenizer.decode(batch["labels"][0, asked:]) == "a film<|end|>the long river tonight<|end|>"
    ends = [asked + len(chosen), asked + len(rejected)]
    assert batch["position_ids"][0].tolist() == [*range(ends[0]), *range(asked, ends[1])]
    may_look = batch["attention_mask"][0, 0]
    last = may_look[-1].nonzero()[:, 0].tolist()
    assert last == [*range(asked), *range(ends[0], rows[0].length)]
    assert may_look[asked + 1].nonzero()[:, 0].tolist() == [*range(asked + 2)]
    assert batch["counts"].tolist() == [len(chosen)] * 2 + [len(rejected)] * 2
    first = [(batch["places"] % rows[0].length)[batch["owners"] == owner][0].item() for owner in range(4)]
    assert first == [asked - 1] * 4  # both replies' first tokens are said where the prompt ends


def test_the_oldest_turns_go_first_and_whole(tokenizer):
    encoder = encoder_of(tokenizer, max_length=512)
    turns = ["hello " * 6, "i like love " * 4, "tonight", "perhaps robots", "a good film"]
    whole = encoder.encode(SftRow(key="a", messages=chat(*turns), reply="watch it"))
    short = ChatEncoder(tokenizer, max_length=whole.length - 1, max_reply=32)
    shown = tokenizer.decode(short.encode(SftRow(key="a", messages=chat(*turns), reply="watch it")).prompt)
    assert shown.startswith("<|start|>system\nyou like films<|end|>\n<|start|>assistant\ni like love")
    assert "hello" not in shown
    assert shown.endswith("a good film<|end|>\n<|start|>assistant\n")
    assert (short.counts.shortened, short.counts.cut_user) == (1, 0)


@pytest.mark.parametrize("max_length", [48, 56, 64, 90])
def test_no_row_is_longer_than_the_window_and_the_reply_stays_whole(tokenizer, max_length):
    encoder = encoder_of(tokenizer, max_length=max_length)
    row = SftRow(key="a", messages=chat("hello", "hi there", "i want a film with robots " * 9 + "tonight"), reply="watch it")
    encoded = encoder.encode(row)
    assert max_length - 8 < encoded.length <= max_length
    assert tokenizer.decode(encoded.replies[0]) == "watch it<|end|>"
    shown = tokenizer.decode(encoded.prompt)
    assert shown.startswith("<|start|>system\nyou like films<|end|>\n<|start|>user\n")
    assert shown.endswith("robots tonight<|end|>\n<|start|>assistant\n")
    assert encoder.counts.cut_user == 1


def test_a_cut_in_the_middle_of_a_character_leaves_no_broken_one(tokenizer):
    row = SftRow(key="a", messages=chat("é" * 60), reply="watch it")
    for length in range(50, 60):
        shown = tokenizer.decode(encoder_of(tokenizer, max_length=length).encode(row).prompt)
        assert "\N{REPLACEMENT CHARACTER}" not in shown
        assert "é<|end|>" in shown


def test_rows_that_cannot_be_used_are_counted(tokenizer):
    encoder = encoder_of(tokenizer, max_length=48, max_reply=12)
    rows = [
        SftRow(key="empty", messages=chat("hello"), reply=" \n"),
        SftRow(key="system", messages=chat("hello", system="robots " * 60), reply="watch it"),
        SftRow(key="long", messages=chat("hello"), reply="the long river tonight " * 3),
        SftRow(key="good", messages=chat("hello"), reply="a film"),
    ]
    assert len(encode(rows, encoder)) == 2
    assert (encoder.counts.empty, encoder.counts.too_long, encoder.counts.cut_reply, encoder.counts.rows) == (1, 1, 1, 2)


def test_a_pair_with_one_empty_side_is_dropped(tokenizer):
    encoder = encoder_of(tokenizer)
    assert encoder.encode(PairRow(key="a", messages=chat("hello"), chosen="a film", rejected="")) is None
    assert encoder.counts.empty == 1


def test_no_usable_row_at_all_is_an_error(tokenizer):
    with pytest.raises(TrainingError, match="2 with an empty reply"):
        encode([SftRow(key=str(n), messages=chat("hello"), reply="") for n in range(2)], encoder_of(tokenizer))


def test_a_row_must_end_with_the_user():
    with pytest.raises(ValueError, match="user"):
        SftRow(key="a", messages=chat("hello")[:1], reply="a film")


def test_every_epoch_shows_every_row_once():
    lengths = [(7 * n) % 31 + 1 for n in range(103)]
    batches = plan(lengths, batch_size=4, epochs=2, seed=1)
    assert len(batches) == 2 * 26
    for epoch in (batches[:26], batches[26:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(103))
    assert batches[:26] != batches[26:]
    assert batches == plan(lengths, batch_size=4, epochs=2, seed=1)
    assert batches != plan(lengths, batch_size=4, epochs=2, seed=2)
    assert len(plan(lengths, batch_size=4, epochs=0.5, seed=1)) == 13


def test_rows_of_like_length_share_a_batch():
    lengths = [(37 * n) % 200 + 1 for n in range(400)]

    def padding(batches):
        return sum(max(lengths[row] for row in batch) - lengths[row] for batch in batches for row in batch)

    in_order = [list(range(at, at + 8)) for at in range(0, 400, 8)]
    assert padding(plan(lengths, batch_size=8, epochs=1, seed=0)) < padding(in_order) / 5


def test_what_stands_behind_the_last_user_message_stays_too(tokenizer):
    hints = ChatMessage(role="system", content="a good film")
    system, *turns = chat("hello " * 30, "i like love " * 20, "tonight")
    encoder = encoder_of(tokenizer, max_length=110)
    encoded = encoder.encode(SftRow(key="a", messages=(system, *turns, hints), reply="a film"))
    assert encoded is not None and encoder.counts.shortened == 1
    assert list(encoded.prompt) == encoder.prompt([system, turns[-1], hints])
