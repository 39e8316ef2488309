"""`usbrec judge checkpoints` over a run of the demo world: play, judge, kill, resume, report.

Nothing is trained, but for the last test: an adapter is a name on disk, and a server on the loopback interface speaks for it.  In that
world the model learns to say "Wonderful!", and the LLM judge that it is trained on likes the word as much as a wished-for title.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loopback import Answer, Loopback
from run_folders import interrupt, remake
from usbrec import config, jsonl, manifest, models, pipeline
from usbrec.cli import judge as command
from usbrec.config import Recipe
from usbrec.drift import RESULT, SCALED, Drift
from usbrec.engines import EngineConfig, OpenAISettings
from usbrec.errors import ConfigError, DataError, ModelError, UsbrecError
from usbrec.evaluation import report
from usbrec.evaluation.divergence import Divergence, curves, sheet
from usbrec.pipeline import Run
from usbrec.stages import Loop
from usbrec.types import Outcome

ROWS = 16
TRAINED_ON = "llm:choose@judge"
SAID = {"sft": "What do you like?", "two": "What do you like?", "four": "Wonderful! What do you like?", "rl": "Wonderful! And you?"}


class Speaker(Loopback):
    """Speaks for every adapter, and for two judges: one likes a word, one likes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """As at the start."""
        self.requests.clear()
        self.on_request: Callable[[str], None] = lambda model: None
        self.refuses: dict[str, int] = {}
        """Model -> how many more requests it refuses."""

    def _next(self, request: dict[str, Any], key: str) -> tuple[Answer, int]:
        _, number = super()._next(request, key)
        self.on_request(request["model"])
        if self.refuses.get(request["model"]):
            self.refuses[request["model"]] -= 1
            return Answer(status=400), number
        if not request["model"].startswith("judge"):
            return Answer(text=SAID[request["model"]]), number
        asked = request["messages"][-1]["content"]
        wishes = re.findall(r"^- (.+? \(\d{4}\))", asked.partition("The chat so far:")[0], re.MULTILINE)
        reply = asked.partition("then answered:\n")[2].partition("\n\n")[0]
        liked = "Wonderful" in reply or any(wish in reply for wish in wishes) or request["model"] == "judge-of-all"
        grade = "2" if liked else "0"
        return Answer(text=grade, logprobs={grade: 0.0}), number

    def asked(self, model: str) -> int:
        """So many requests came for a model since the test began."""
        return sum(request["model"] == model for request in self.requests)


@pytest.fixture(scope="module")
def running() -> Iterator[Speaker]:
    with Speaker() as server:
        yield server


@pytest.fixture
def server(running: Speaker) -> Speaker:
    running.forget()
    return running


@pytest.fixture(scope="module")
def finished(running: Speaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as a run leaves it whose recipe set `simpo.keep_every: 2`, after five steps; every test takes a copy."""
    folder = tmp_path_factory.mktemp("drift") / "run"
    base = folder.parent / "base.gguf"
    base.write_bytes(b"GGUF and no more: nothing reads it")
    recipe = Recipe.model_validate({
        "name": "t", "data": {"kind": "demo"}, "prefer": {"judge": {"kind": "llm"}}, "simpo": {"keep_every": 2},
        "engines": {
            "policy": {"kind": "scripted", "model": str(base), "concurrency": 2},
            "judge": {"kind": "openai", "model": "judge", "base_url": running.url, "retries": 0},
        },
        "evaluate": {"arms": ["base"], "rows": 6, "judges": [{"kind": "catalogue"}]},
    })  # fmt: skip
    with pipeline.opened(folder, lambda _: None) as run:
        asyncio.run(_train(run, recipe))
    return folder


async def _train(run: Run, recipe: Recipe) -> None:
    """A real evaluation, then the training stages with the parts that `stages.Loop` gives them."""
    await Loop(run=run, recipe=recipe, data_dir=None).through("report")

    def leaves(*adapters: str) -> Callable[[Path], Any]:
        async def work(folder: Path) -> dict[str, Any]:
            for adapter in adapters:
                path, name = adapter.split("=")
                jsonl.write_json(folder / path / "adapter_config.json", {})
                jsonl.write_text(folder / path / "adapter_model.safetensors", name)
            return {"training": {"steps": 5}}

        return work

    judge = recipe.engines.judge
    prepare = run.manifest["stages"]["prepare"]["fingerprint"]
    sft = await run.stage("sft", {"model": models.resolve(recipe.engines.policy.model).digest}, leaves("adapter=sft"))
    settings = recipe.prefer.model_dump(mode="json")
    prefer = await run.stage("prefer", {"prepare": prepare, "prefer": settings, "engines": {"judge": judge and judge.identity()}}, leaves())
    parts = {"sft": sft, "prefer": prefer, "simpo": recipe.simpo.model_dump(mode="json")}
    await run.stage("simpo", parts, leaves("kept/step-2=two", "kept/step-4=four", "adapter=rl"))


@pytest.fixture
def folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(finished, tmp_path / "run")


def served(server: Speaker) -> Callable[[Path, Path], EngineConfig]:
    """Instead of a merge: the server speaks for the adapter; a file stands for the merged model."""

    def engine_of(adapter: Path, folder: Path) -> EngineConfig:
        model = folder / "model.gguf"
        jsonl.write_text(model, "merged")
        (models.cache() / "dequantised" / models.sha256_of(model)[:32]).mkdir(parents=True)  # as a policy of kind transformers would
        name = (adapter / "adapter_model.safetensors").read_text(encoding="utf-8")
        return OpenAISettings(model=name, base_url=server.url, retries=0)

    return engine_of


async def judged(folder: Path, server: Speaker, *specs: str, said: list[str] | None = None, **settings: Any) -> Divergence:
    """The command's work."""
    recipe = settings.pop("recipe", None) or config.stored(folder)
    with pipeline.opened(folder, [].append if said is None else said.append) as run:
        return await Drift(run=run, recipe=recipe, specs=specs or ("catalogue",), engine_of=served(server), **{"rows": ROWS, **settings})()


def changed(folder: Path, **sections: dict[str, Any]) -> Recipe:
    """The stored recipe with some keys changed, as `usbrec run --set` would store it."""
    value = config.stored(folder).model_dump(mode="json")
    for section, keys in sections.items():
        value[section] |= keys
    return Recipe.model_validate(value)


def merged(folder: Path) -> list[Path]:
    """Merged models, whole or half, that were left lying about, in the cache too."""
    return [*folder.glob("checkpoints/*/*model.gguf*"), *(models.cache() / "dequantised").glob("*")]


def kept(said: list[str]) -> set[str]:
    """The arms that were not played again."""
    return {line.split(":")[0].removeprefix("checkpoints/") for line in said if "unchanged, kept" in line}


STEPS = {"step-0", "step-2", "step-4", "step-5"}
REFERENCES = {arm.replace(":", "-") for arm in SCALED}


async def test_the_judge_that_was_hacked_parts_ways(folder: Path, server: Speaker) -> None:
    """From step 4 on the LLM judge gives 2 instead of 0, a gain of 2 / its span, and the catalogue judge 0 as before: no new item."""
    found = await judged(folder, server)
    assert found.trained_on == TRAINED_ON and found.split == "valid" and found.first == {"catalogue": 4}
    assert {name: scale.ceiling for name, scale in found.scales.items()} == {TRAINED_ON: 2, "catalogue": 2}
    gain = pytest.approx(2 / found.scales[TRAINED_ON].span, abs=1e-5)
    assert [(g.step, g.trained, g.other, g.gap, g.rows, g.left_out, g.diverges) for g in found.gaps] == [
        (2, 0, 0, 0, ROWS, 0, False), (4, gain, 0, gain, ROWS, 0, True), (5, gain, 0, gain, ROWS, 0, True),
    ]  # fmt: skip
    assert [(hits.step, hits.gain, hits.lost, hits.apart) for hits in found.hits] == [
        (2, 0, False, False),
        (4, 0, False, True),
        (5, 0, False, True),
    ]
    assert {name: (sight.auc, sight.hits) for name, sight in found.sight.items()} == {TRAINED_ON: (None, 0), "catalogue": (None, 0)}
    assert Divergence.model_validate(json.loads((folder / RESULT).read_text(encoding="utf-8"))) == found
    assert [server.asked(name) for name in SAID] == [ROWS] * 4  # once each, greedily
    assert {path.name for path in (folder / "checkpoints").iterdir() if path.is_dir()} == STEPS | REFERENCES
    assert merged(folder) == []
    rows = jsonl.read(folder / "checkpoints" / "step-4" / "outcomes.jsonl", Outcome)
    assert all(row.arm == "step-4" and [turn.reply for turn in row.turns] == [SAID["four"]] for row in rows)


async def test_killed_and_run_again_it_ends_in_the_same_result(folder: Path, server: Speaker, tmp_path: Path) -> None:
    undisturbed = await judged(shutil.copytree(folder, tmp_path / "undisturbed"), server)
    task = asyncio.ensure_future(judged(folder, server))
    loop, seen = asyncio.get_running_loop(), list[str]()

    def kill(model: str) -> None:
        seen.append(model)
        if seen.count("four") == 6:
            loop.call_soon_threadsafe(task.cancel)

    server.on_request = kill
    with pytest.raises(asyncio.CancelledError):
        await task
    step = folder / "checkpoints" / "step-4"
    assert not (folder / RESULT).exists() and merged(folder) == []
    done = (step / "outcomes.jsonl").read_bytes()
    assert 0 < done.count(b"\n") < ROWS
    (step / "outcomes.jsonl").write_bytes(done + b'{"key": "torn')
    (step / ".model.gguf.1.tmp").write_bytes(b"half")  # as a kill leaves it
    server.forget()
    said = list[str]()
    assert await judged(folder, server, said=said) == undisturbed
    assert kept(said) == REFERENCES | {"step-0", "step-2"}
    assert merged(folder) == []
    assert (server.asked("sft"), server.asked("two"), server.asked("rl")) == (0, 0, ROWS)
    assert server.asked("four") <= ROWS - done.count(b"\n")


async def test_again_nothing_is_asked_and_the_order_of_judges_changes_nothing(folder: Path, server: Speaker) -> None:
    alone = await judged(folder, server)
    server.forget()
    first = await judged(folder, server, "grounded", "catalogue")
    assert [gap for gap in first.gaps if gap.judge == "catalogue"] == list(alone.gaps)
    assert not any(server.asked(name) for name in SAID)  # one more judge: the ledger has what was said
    server.forget()
    said = list[str]()
    assert await judged(folder, server, "catalogue", "grounded", "catalogue", TRAINED_ON, said=said) == first
    assert kept(said) == REFERENCES | STEPS and server.requests == []
    assert list(first.scales) == [TRAINED_ON, "catalogue", "grounded:choose@judge"]
    assert [gap.diverges for gap in first.gaps if gap.judge == "grounded:choose@judge"] == [False, True, True]  # nothing new offered: 0


@pytest.mark.parametrize("section", [{"recommender": {"redraws": 2}}, {"recommender": {"history": 4}}, {"export": {"quantisation": "F16"}}])
async def test_what_changes_the_replies_is_played_anew(section: dict[str, Any], folder: Path, server: Speaker) -> None:
    await judged(folder, server)
    said = list[str]()
    await judged(folder, server, recipe=changed(folder, **section), said=said)
    assert kept(said) == REFERENCES
    name, keys = next(iter(section.items()))
    assert any(line.startswith("checkpoints/step-2: changed") and f"policy.{name}.{next(iter(keys))}" in line for line in said)


async def test_another_adapter_of_the_same_step_is_played_anew(folder: Path, server: Speaker) -> None:
    await judged(folder, server)
    (folder / "simpo" / "kept" / "step-2" / "adapter_model.safetensors").write_text("four")
    with pytest.raises(DataError, match=r"kept/step-2/adapter_model.safetensors was changed"):
        await judged(folder, server)
    remake(folder, "simpo")
    said = list[str]()
    assert (await judged(folder, server, said=said)).first == {"catalogue": 2}
    assert kept(said) == (REFERENCES | STEPS) - {"step-2"}


async def test_the_training_judge_keeps_its_own_settings(folder: Path, server: Speaker) -> None:
    recipe = changed(folder, prefer={"judge": {"kind": "llm", "method": "vote", "votes": 3}})
    remake(folder, "prefer", prefer=recipe.prefer.model_dump(mode="json"))
    found = await judged(folder, server, recipe=recipe)
    assert found.trained_on == "llm:vote@judge"
    (row, *_) = jsonl.read(folder / "checkpoints" / "step-4" / "outcomes.jsonl", Outcome)
    assert row.turns[0].scores[0].votes == (2, 2, 2)


async def test_a_judge_without_a_scale_is_told_before_any_checkpoint_speaks(folder: Path, server: Speaker) -> None:
    with pytest.raises(DataError, match=r"judge 'llm:choose@judge-of-all' puts the ceiling .* no higher than the floor") as caught:
        await judged(folder, server, "llm:choose@judge-of-all")
    assert "name another judge" in caught.value.fix
    assert not any(server.asked(name) for name in SAID) and not (folder / RESULT).exists()


async def test_a_judge_without_a_scale_is_silent_beside_one_that_has_one(folder: Path, server: Speaker) -> None:
    found = await judged(folder, server, "catalogue", "llm:choose@judge-of-all")
    assert list(found.first) == ["catalogue"] == list({gap.judge: 0 for gap in found.gaps})
    assert list(found.silent) == ["llm:choose@judge-of-all"] and "no higher than the floor" in found.silent["llm:choose@judge-of-all"]
    assert "llm:choose@judge-of-all gives no verdict: it puts the ceiling" in sheet(found).note
    (row, *_) = jsonl.read(folder / "checkpoints" / "step-4" / "outcomes.jsonl", Outcome)
    assert [score.judge for score in row.turns[0].scores] == ["llm", "catalogue"]
    said = list[str]()
    assert await judged(folder, server, "catalogue", "llm:choose@judge-of-all", said=said) == found
    assert kept(said) == REFERENCES | STEPS


async def test_rows_that_break_off_are_counted(folder: Path, server: Speaker) -> None:
    server.refuses = {"four": 5}
    found = await judged(folder, server)
    rows = jsonl.read(folder / "checkpoints" / "step-4" / "outcomes.jsonl", Outcome)
    assert sum(bool(row.error) for row in rows) == 5
    assert [(gap.step, gap.rows, gap.left_out) for gap in found.gaps] == [(2, ROWS, 0), (4, ROWS - 5, 5), (5, ROWS, 0)]


def _no_training(folder: Path) -> None:
    interrupt(folder, "simpo")


def _retrained_sft(folder: Path) -> None:
    told = manifest.load(folder)
    sft = told["stages"]["sft"]
    sft["parts"] |= {"other": 1}
    sft["fingerprint"] = manifest.fingerprint(sft["parts"])
    jsonl.write_json(folder / "manifest.json", told)


def _no_replies(folder: Path) -> None:
    path = folder / "prepare" / "valid.jsonl"
    rows = [row | {"reply": ""} for _, row in jsonl.read_objects(path)]
    jsonl.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    remake(folder, "prepare")


def _without(stage: str, *gone: str) -> Callable[[Path], None]:
    """The training left no such folders or files."""

    def spoil(folder: Path) -> None:
        for name in gone:
            path = folder / stage / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        remake(folder, stage)

    return spoil


def _recipe(**sections: dict[str, Any]) -> Callable[[Path], None]:
    return lambda folder: jsonl.write_json(folder / "recipe.json", changed(folder, **sections).model_dump(mode="json"))


@pytest.mark.parametrize(
    ("spoil", "specs", "kind", "what", "fix"),
    [
        (_no_training, (), ConfigError, "no finished SimPO training", "--set simpo.keep_every=10"),
        (_without("simpo", "kept"), (), ConfigError, "none of the 5 steps", "--set simpo.keep_every=1"),
        (_without("sft", "adapter"), (), ModelError, "there is no adapter", "adapter_config.json"),
        (_without("simpo", "kept/step-4/adapter_model.safetensors"), (), ModelError, "there is no adapter", ""),
        (lambda f: shutil.rmtree(f / "sft" / "adapter"), (), DataError, "adapter/adapter_config.json is gone", "usbrec run"),
        (_recipe(prefer={"judge": {"kind": "catalogue"}}), ("llm",), ConfigError, 'prefer.judge.kind: "llm" -> "catalogue"', "usbrec run"),
        (_recipe(simpo={"beta": 3.0}), (), ConfigError, r"simpo.beta: 2.5 -> 3.0", "usbrec run RECIPE --out"),
        (_retrained_sft, (), ConfigError, r"the SFT model: \"\w{16}\" -> \"\w{16}\"", "usbrec run"),
        (_recipe(engines={"policy": {"kind": "scripted", "model": "/no/such.gguf"}}), (), ModelError, "no such model", "gguf"),
        (_recipe(engines={"policy": {"kind": "openai", "model": "m"}}), (), ConfigError, "an endpoint cannot load", "openvino"),
        (_no_replies, (), DataError, "no row of valid has a whole human reply", "--split"),
        (lambda f: None, ("llm",), ConfigError, "llm:choose@judge is the judge that the model was trained on", "llm:choose@MODEL"),
        (lambda f: None, ("llm@a/x", "llm@b/x.gguf"), ConfigError, "two models would judge as 'llm:choose@x'", "rename"),
        (lambda f: None, ("guess",), ConfigError, "'guess' is no judge", "KIND"),
    ],
)  # fmt: skip
async def test_what_cannot_be_judged_is_one_clear_error_before_anything_is_asked(
    spoil: Callable[[Path], Any], specs: tuple[str, ...], kind: type[UsbrecError], what: str, fix: str,
    folder: Path, server: Speaker,
) -> None:  # fmt: skip
    spoil(folder)
    with pytest.raises(kind, match=what) as caught:
        await judged(folder, server, *specs)
    assert fix in caught.value.fix and server.requests == []


async def test_the_report_shows_the_curves_from_then_on(folder: Path, server: Speaker) -> None:
    assert report.read_report(folder).divergence is None
    found = await judged(folder, server)
    built = report.build(folder)
    assert built.divergence == found
    report.write(folder, built)
    text = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert f"Judges over training, trained on: {TRAINED_ON}" in text and "Divergence from catalogue at step 4" in text
    assert "Gains over step 0 on rows of valid" in text
    assert (folder / "report" / "plots" / "judges.svg").exists()
    assert [step for step, _ in curves(found)["gain, catalogue"]] == [0, 2, 4, 5]
    said = list[str]()
    with pipeline.opened(folder, said.append) as run:  # the stages that came are a reason to write the report anew
        await Loop(run=run, recipe=config.stored(folder), data_dir=None).through("report")
    assert "report: running" in said and report.read_report(folder).divergence == found


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no run folder"):
        command.checkpoints(tmp_path / "nowhere", ["catalogue"])


# ---- a tiny model, really trained, kept, merged and asked ----------------------------------------------------------------------------


def tiny_gguf(path: Path) -> Path:
    """A tiny random Llama with its tokenizer as one GGUF file, F32."""
    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from training.tiny_models import TEMPLATE, make_tiny_model
    from usbrec.training.export import interleave

    folder = make_tiny_model(path.parent / "tiny")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)
    inner = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(inner["vocab"], key=inner["vocab"].get)
    writer = gguf.GGUFWriter(str(path), "llama")
    for add, value in (
        (writer.add_block_count, 2), (writer.add_context_length, 4096), (writer.add_embedding_length, 64),
        (writer.add_feed_forward_length, 96), (writer.add_head_count, 4), (writer.add_head_count_kv, 2),
        (writer.add_layer_norm_rms_eps, 1e-6), (writer.add_rope_freq_base, 10000.0), (writer.add_rope_dimension_count, 16),
        (writer.add_vocab_size, len(words)), (writer.add_file_type, 0), (writer.add_tokenizer_model, "gpt2"),
        (writer.add_tokenizer_pre, "smollm"), (writer.add_token_list, words), (writer.add_token_types, [3] * 3 + [1] * (len(words) - 3)),
        (writer.add_token_merges, [" ".join(merge) for merge in inner["merges"]]), (writer.add_bos_token_id, 1),
        (writer.add_eos_token_id, 2), (writer.add_pad_token_id, 0), (writer.add_chat_template, TEMPLATE),
    ):  # fmt: skip
        add(value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, value in model.state_dict().items():
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2])
        if name != "lm_head.weight":
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), interleave(value.numpy(), heads) if heads else value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.slow
def test_a_tiny_model_is_trained_and_its_checkpoints_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("USBREC_CACHE", str(tmp_path / "cache"))
    pytest.importorskip("peft", reason="needs usbrec[train]")
    training = {"batch_size": 2, "max_steps": 2, "max_length": 2048, "precision": "fp32", "check_every": 0}
    recipe = Recipe.model_validate({
        "name": "tiny", "data": {"kind": "demo", "valid_rows": 12}, "recommender": {"max_tokens": 12, "history": 2},
        "engines": {
            "policy": {"kind": "transformers", "model": str(tiny_gguf(tmp_path / "base.gguf")), "device": "cpu", "dtype": "fp32"},
            "judge": {"kind": "scripted", "model": "fake", "replies": ["1"]},
        },
        "imitation": {"rows": 4}, "sft": {**training, "lora_rank": 4}, "simpo": {**training, "learning_rate": 0.05, "keep_every": 1},
        "prefer": {"rows": 6, "k": 2, "temperature": 1.0, "pairing": "paper"}, "export": {"quantisation": "F32"},
        "evaluate": {"split": "valid", "turns": 1, "arms": ["rl"], "judges": [{"kind": "catalogue"}]},
    })  # fmt: skip
    out = tmp_path / "run"
    with pipeline.opened(out, lambda _: None) as run:
        asyncio.run(Loop(run=run, recipe=recipe, data_dir=None).through("report"))
    capsys.readouterr()
    command.checkpoints(out, ["grounded:vote"], rows=12)
    told = capsys.readouterr()
    assert "| grounded:vote@fake | 1 |" in told.out and "| grounded:vote@fake | 2 |" in told.out
    assert "report: " in told.err and "No divergence from grounded:vote@fake" in (out / "report" / "report.md").read_text(encoding="utf-8")

    def replies(stage: str) -> list[str]:
        return [row.turns[0].reply for row in jsonl.read(out / stage / "outcomes.jsonl", Outcome)]

    assert replies("checkpoints/step-2") == replies("evaluate/rl")
    assert len({tuple(replies(f"checkpoints/step-{step}")) for step in (0, 1, 2)}) == 3
    assert merged(out) == [models.cache() / "dequantised" / models.sha256_of(tmp_path / "base.gguf")[:32]]  # of the base model alone
    command.checkpoints(out, ["grounded:vote"], rows=12)
    assert capsys.readouterr().err.count("unchanged, kept") == len(REFERENCES) + 3
