"""Training runs of a tiny model: what moves, what is logged, what stops them; and the loss against TRL's."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import LORA, chat, pair_rows, sft_config, sft_rows, simpo_config

from usbrec.errors import CollapseError, TrainingError
from usbrec.training import LoraSettings, SftRow, train, train_sft, train_simpo, warn_settings
from usbrec.training.batches import ChatEncoder, collate, encode
from usbrec.training.checkpoints import all_kept
from usbrec.training.collapse import Health, faults, repetition
from usbrec.training.loading import load_tokenizer, load_weights
from usbrec.training.objective import reply_log_probabilities


@pytest.fixture(scope="module")
def sft(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("sft")
    result = train_sft(sft_rows(24), sft_rows(4), sft_config(epochs=4, check_every=10, check_tokens=8), tiny, out)
    return out, result


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def batch_of(tiny, rows):
    tokenizer = load_tokenizer(tiny)
    return collate(0)(encode(rows, ChatEncoder(tokenizer, max_length=128, max_reply=32)))


def test_sft_learns_logs_and_leaves_only_what_is_needed(sft):
    out, result = sft
    assert result.steps == 24
    assert result.last_loss < 0.8 * result.first_loss
    assert result.end.chosen_logp > result.start.chosen_logp
    assert result.tokens_per_second > 0
    assert result.counts["rows"] == 24
    rows = log_of(out)
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 25))
    assert all(math.isfinite(row["loss"]) and row["lr"] >= 0 and row["tokens_per_second"] > 0 for row in rows if "loss" in row)
    assert [row["step"] for row in rows if "held_out_chosen_logp" in row] == [0, 10, 20, 24]
    assert not list(out.glob("checkpoint-*"))
    assert json.loads((out / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "model"


def test_adapters_of_steps_are_kept(tiny, tmp_path):
    result = train_sft(sft_rows(8), [], sft_config(epochs=1, batch_size=2, keep_every=2), tiny, tmp_path)
    kept = all_kept(tmp_path)
    assert result.steps == 4 and list(kept) == [2, 4]
    second, fourth, final = (load_file(folder / "adapter_model.safetensors") for folder in (kept[2], kept[4], result.adapter))
    assert all(torch.equal(fourth[name], final[name]) for name in final)
    assert any(not torch.equal(second[name], final[name]) for name in final)


def test_a_finished_run_is_not_done_again(sft, tiny):
    out, result = sft
    log = (out / "log.jsonl").read_bytes()
    again = train_sft(sft_rows(24), sft_rows(4), sft_config(epochs=4, check_every=10, check_tokens=8), tiny, out)
    assert again == result
    assert (out / "log.jsonl").read_bytes() == log


def test_a_folder_of_another_run_is_refused(sft, tiny):
    with pytest.raises(TrainingError, match=r"another training run \(different: rows, config\)"):
        train_sft(sft_rows(8), sft_rows(4), sft_config(), tiny, sft[0])


@pytest.mark.parametrize("objective", ["nll", "simpo"])
def test_three_steps_move_every_trainable_parameter(tiny, tmp_path, objective):
    rows, config = (sft_rows(24), sft_config(max_steps=3)) if objective == "nll" else (pair_rows(24), simpo_config(max_steps=3))
    one = train(objective, rows, [], config.model_copy(update={"max_steps": 1}), tiny, None, tmp_path / "one")
    three = train(objective, rows, [], config, tiny, None, tmp_path / "three")
    before, after = (load_file(result.adapter / "adapter_model.safetensors") for result in (one, three))
    assert len(after) == 2 * 2 * 7  # two layers, seven linear layers each, A and B
    assert all(not torch.equal(before[name], after[name]) for name in after)
    assert all(value.dtype == torch.float32 for value in after.values())


def test_simpo_goes_on_from_the_sft_adapter(sft, tiny, tmp_path):
    config = simpo_config(epochs=3, check_every=6, check_replies=0)
    result = train_simpo(pair_rows(16), pair_rows(4), config, tiny, sft[1].adapter, tmp_path)
    rows = [row for row in log_of(tmp_path) if "loss" in row]
    assert rows[0]["reward_margin"] == pytest.approx(rows[0]["chosen_reward"] - rows[0]["rejected_reward"], abs=1e-4)
    assert result.end.margin > result.start.margin
    old, new = (load_file(path / "adapter_model.safetensors") for path in (sft[1].adapter, result.adapter))
    assert old.keys() == new.keys()
    assert max(float((old[name] - new[name]).abs().max()) for name in old) < 0.1  # continued, not started anew


def test_shared_prompts_and_reply_logits_give_what_whole_sequences_give(tiny):
    """Each reply's log-probability and the gradient, against one plain forward pass a reply with all logits."""
    from usbrec.training.losses import sequence_log_probabilities

    rows = encode(pair_rows(5), ChatEncoder(load_tokenizer(tiny), max_length=128, max_reply=32))
    model = load_weights(tiny, "fp32").requires_grad_(True)
    sums, counts = reply_log_probabilities(model, collate(0)(rows))
    weights = torch.linspace(-1, 1, len(sums))
    (sums * weights).sum().backward()
    shared = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    alone = []
    for kind, row in itertools.product(range(2), rows):
        ids = torch.tensor([row.prompt + row.replies[kind]])
        labels = ids.clone()
        labels[:, : len(row.prompt)] = -100
        found, count = sequence_log_probabilities(model(input_ids=ids).logits[:, :-1], labels[:, 1:])
        assert count.tolist() == [counts[len(alone)]]
        alone.append(found[0])
    assert torch.allclose(sums, torch.stack(alone), atol=1e-4)
    (torch.stack(alone) * weights).sum().backward()
    assert len(shared) > 10
    assert all(torch.allclose(shared[name], parameter.grad, atol=1e-4) for name, parameter in model.named_parameters() if name in shared)


def test_the_first_sft_loss_equals_transformers_own(tiny, tmp_path):
    """Before the first step the adapter adds nothing: the logged loss is the base model's."""
    rows = sft_rows(4)
    result = train_sft(rows, [], sft_config(max_steps=1), tiny, tmp_path)
    batch = batch_of(tiny, rows)
    expected = load_weights(tiny, "fp32")(**{name: batch[name] for name in ("input_ids", "attention_mask", "labels")}).loss
    assert result.first_loss == pytest.approx(expected.item(), rel=1e-5)


def test_accumulation_gives_the_same_steps_as_one_large_batch(tiny, tmp_path):
    """Tokens weigh the same whichever forward pass they are in; rows sorted by length, so both see the same eight rows a step."""
    rows = sft_rows(8)
    large = train_sft(rows, [], sft_config(batch_size=8, epochs=2), tiny, tmp_path / "large")
    small = train_sft(rows, [], sft_config(batch_size=4, accumulation=2, epochs=2), tiny, tmp_path / "small")
    a, b = (load_file(result.adapter / "adapter_model.safetensors") for result in (large, small))
    assert all(torch.allclose(a[name], b[name], atol=2e-4) for name in a)


def test_the_chosen_loss_is_sft_on_the_chosen_replies(tiny, tmp_path):
    pairs = pair_rows(4)
    alone = [SftRow(key=pair.key, messages=pair.messages, reply=pair.chosen) for pair in pairs]
    chosen = train_simpo(pairs, [], simpo_config(loss="chosen", batch_size=4, epochs=1), tiny, LoraSettings(**LORA), tmp_path / "chosen")
    sft = train_sft(alone, [], sft_config(batch_size=4, epochs=1), tiny, tmp_path / "sft")
    assert chosen.first_loss == pytest.approx(sft.first_loss, abs=1e-4)


def test_simpo_equals_trl(tiny, tmp_path):
    """Our first logged loss and rewards against TRL's SimPO (nll term off) on the same pairs."""
    pytest.importorskip("trl", reason="a dependency of the tests only")
    cpo = pytest.importorskip("trl.experimental.cpo")
    from datasets import Dataset

    rows, tokenizer = pair_rows(4), load_tokenizer(tiny)
    chats = [[m.model_dump() for m in r.messages] for r in rows]
    prompts = [tokenizer.apply_chat_template(each, tokenize=False, add_generation_prompt=True) for each in chats]
    data = Dataset.from_dict({"prompt": prompts, "chosen": [r.chosen for r in rows], "rejected": [r.rejected for r in rows]})
    arguments = cpo.CPOConfig(
        output_dir=str(tmp_path / "trl"), loss_type="simpo", cpo_alpha=0.0, beta=2.5, simpo_gamma=1.25, per_device_train_batch_size=4,
        max_length=128, use_cpu=True, report_to="none", disable_dropout=True, bf16=False, gradient_checkpointing=False,
    )  # fmt: skip
    tokenizer.bos_token = None
    theirs = cpo.CPOTrainer(model=load_weights(tiny, "fp32"), args=arguments, train_dataset=data, processing_class=tokenizer)
    batch = next(iter(theirs.get_train_dataloader()))
    with torch.no_grad():
        loss, metrics = theirs.get_batch_loss_metrics(theirs.model, batch)
    train_simpo(rows, [], simpo_config(max_steps=1, beta=2.5, gamma_beta_ratio=0.5), tiny, LoraSettings(**LORA), tmp_path / "ours")
    ours = log_of(tmp_path / "ours")[0]
    assert ours["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert ours["chosen_reward"] == pytest.approx(float(metrics["rewards/chosen"]), rel=1e-5)
    assert ours["rejected_reward"] == pytest.approx(float(metrics["rewards/rejected"]), rel=1e-5)


def test_the_collapse_check_stops_a_run_and_keeps_the_last_good_checkpoint(tiny, tmp_path):
    """The held-out replies are never trained on, and the learning rate is far too high: their probability falls."""
    odd = [SftRow(key="odd", messages=chat("hello"), reply="the long river tonight")]
    same = [SftRow(key=str(n), messages=chat("hello"), reply="robots") for n in range(8)]
    config = sft_config(epochs=50, learning_rate=0.03, warmup=0.5, check_every=4, save_every=4, max_drop=1.0, check_replies=0)
    with pytest.raises(CollapseError, match=r"stopped at step \d+.* fell from -\d\.\d+ to -\d+\.\d+, by more than max_drop 1") as caught:
        train_sft(same, odd, config, tiny, tmp_path)
    assert "lower learning_rate" in caught.value.fix
    assert not (tmp_path / "adapter").exists()
    stopped = log_of(tmp_path)[-1]["step"]
    assert f"checkpoint-{stopped - 4}" in caught.value.fix
    assert (tmp_path / f"checkpoint-{stopped - 4}" / "adapter_model.safetensors").exists()


def test_repetition_limits():
    start = Health(chosen_logp=-2.0, same_reply=0.2, repetition=0.1)
    config = sft_config(max_same_reply=0.5, max_repetition=0.4)
    assert faults(start, start, config) == []
    assert "60% of the greedy replies are one text" in faults(Health(chosen_logp=-2, same_reply=0.6, repetition=0), start, config)[0]
    assert "trigrams repeat" in faults(Health(chosen_logp=-2, same_reply=0.1, repetition=0.5), start, config)[0]
    assert faults(Health(chosen_logp=math.nan), start, config)
    assert repetition("a b c d e f") == 0
    assert repetition("so good so good so good so good") == pytest.approx(4 / 6)


def test_settings_outside_the_known_region_are_warned_of():
    assert warn_settings(simpo_config(learning_rate=4e-5)) == []
    assert warn_settings(sft_config()) == []
    told = warn_settings(simpo_config(beta=0.5, gamma_beta_ratio=2.0, learning_rate=1e-3))
    assert [text.split()[0] for text in told] == ["beta", "gamma_beta_ratio", "learning_rate"]


def test_dropped_rows_and_settings_are_told_in_the_result(tiny, tmp_path):
    rows = [*sft_rows(4), SftRow(key="empty", messages=chat("hello"), reply="")]
    result = train_sft(rows, [], sft_config(max_steps=1), tiny, tmp_path)
    assert result.counts["empty"] == 1
    assert result.warnings == ("1 rows dropped: a reply is empty",)
    assert result.summary()["counts"]["rows"] == 4


def test_no_rows_and_the_wrong_objective_are_errors(tiny, tmp_path):
    with pytest.raises(TrainingError, match="no rows"):
        train_sft([], [], sft_config(), tiny, tmp_path)
    with pytest.raises(TrainingError, match="does not fit"):
        train("simpo", pair_rows(4), [], sft_config(), tiny, None, tmp_path)
