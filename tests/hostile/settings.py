"""Settings and options without effect: each is refused, by an error that names the key and says when it matters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from hostile.harness import Case, refused, usbrec
from usbrec import config, data
from usbrec.errors import ConfigError

DEMO = "name: t\ndata: {kind: demo}\n"
REDIAL = "name: t\ndata: {kind: redial}\n"
SERVED = DEMO + "engines: {policy: {kind: openai, model: m}, sft: {kind: openai, model: s}, rl: {kind: openai, model: r}}\n"
SEARCHED = (
    DEMO + "engines: {seeker: {kind: openai, model: m}, judge: {kind: openai, model: m}}\n"
    "evaluate: {seeker: {kind: llm}, judges: [{kind: llm}]}\nsearch: "
)
LLM = "profiler: llm, seeker: llm"
JUDGED = DEMO + "engines: {judge: {kind: openai, model: m}}\n"


def engine(kind: str, role: str = "policy") -> str:
    own = f"{{kind: {kind}, model: m}}"
    others = "" if role == "policy" else f", seeker: {own}, judge: {own}"
    users = "" if role == "policy" else "evaluate: {seeker: {kind: llm}, judges: [{kind: llm}]}\n"
    return DEMO + f"engines: {{{role if role == 'policy' else 'sft'}: {own}{others}}}\n{users}"


ENGINES = {
    "openvino": ("adapter=x", "device=cpu", "dtype=bf16", "base_url=http://127.0.0.1:8000/v1", "api_key_env=OPENAI_API_KEY", "retries=3",
                 "votes=4", "first_pause=1", "replies=[hi]"),
    "openai": ("precision=exact", "weights=as-is", "cache_gb=4", "threads=2", "max_batch=8", "max_batched_tokens=512", "adapter=x",
               "device=cpu", "dtype=bf16", "replies=[hi]"),
    "transformers": ("precision=exact", "weights=as-is", "cache_gb=4", "timeout_seconds=9", "base_url=http://127.0.0.1:8000/v1",
                     "api_key_env=KEY", "retries=3", "votes=4", "replies=[hi]", "max_batched_tokens=512", "start_seconds=60"),
    "scripted": ("precision=exact", "weights=as-is", "cache_gb=4", "threads=2", "max_batch=8", "base_url=http://127.0.0.1:8000/v1",
                 "api_key_env=KEY", "adapter=x", "device=cpu", "timeout_seconds=9"),
}  # fmt: skip
"""Kind -> keys of other kinds."""

TABLE: list[tuple[str, str, str]] = [
    # data
    ("the demo has one split", DEMO, "data.split=official"),
    ("the demo, split by dialogue", DEMO, "data.split=dialogue"),
    *((f"nothing of {kind} is drawn", f"name: t\ndata: {{kind: {kind}}}\n", "data.seed=3") for kind in ("redial", "opendialkg", "custom")),
    # engines
    *((f"{kind} has no such key", engine(kind), f"engines.policy.{text}") for kind, keys in ENGINES.items() for text in keys),
    ("the default kind is embedded", DEMO, "engines.policy.base_url=http://gpu:8000/v1"),
    ("the judge without a kind is embedded", JUDGED.replace("kind: openai, ", "") + "evaluate: {judges: [{kind: llm}]}\n", "engines.judge.base_url=http://gpu:8000/v1"),
    ("no seeker is an LLM", DEMO, "engines.seeker={kind: openai, model: m}"),
    ("no judge is an LLM", DEMO, "engines.judge={kind: openai, model: m}"),
    ("the seeker is asked for one turn only", DEMO + "evaluate: {turns: 1}\n", "engines.seeker={kind: openai, model: m}"),
    *((f"the {role} votes on nothing", SERVED, f"engines.{role}.votes=3") for role in ("policy", "sft", "rl")),
    ("nothing is asked again", SERVED.replace("model: m", "model: m, retries: 0"), "engines.policy.first_pause=3"),
    # training that is not done here
    *((f"the SFT model is served: {text}", SERVED, text) for text in (
        "sft.epochs=2", "sft.lora_rank=8", "sft.check_every=3", "imitation.rows=9", "imitation.new_offers_only=true",
        "recommender.hint_share=0.5",
    )),
    *((f"the RL model is served: {text}", SERVED, text) for text in ("simpo.beta=3", "simpo.epochs=2", "simpo.keep_every=5")),
    ("nothing is trained here", SERVED, "export.quantisation=F16"),
    *((f"SimPO keeps the SFT adapter: {text}", DEMO, f"simpo.{text}") for text in (
        "lora_rank=8", "lora_alpha=16", "lora_dropout=0.1", "lora_targets=[q_proj]",
    )),
    *((f"no check, {stage}: {text}", DEMO + f"{stage}: {{check_every: 0}}\n", f"{stage}.{text}") for stage in ("sft", "simpo") for text in (
        "check_rows=9", "check_replies=9", "check_tokens=9", "max_drop=2", "max_same_reply=0.5", "max_repetition=0.4",
    )),
    *((f"no replies are read, {stage}: {text}", DEMO + f"{stage}: {{check_replies: 0}}\n", f"{stage}.{text}")
      for stage in ("sft", "simpo") for text in ("check_tokens=9", "max_same_reply=0.5", "max_repetition=0.4")),
    *((f"no preference loss: {text}", DEMO + "simpo: {loss: chosen}\n", f"simpo.{text}") for text in (
        "beta=3", "gamma_beta_ratio=0.4", "nll_weight=0.1", "label_smoothing=0.1",
    )),
    ("the hinge smooths nothing", DEMO + "simpo: {loss: hinge}\n", "simpo.label_smoothing=0.1"),
    # the recommender
    ("no rows with hints", DEMO, "recommender.hint_count=4"),
    *((f"nothing is likened: {key}", SEARCHED + "{strategy: greedy}\n",
       f"affinity.{key}=3") for key in ("together", "likeness", "genres", "people")),
    ("an LLM judges the search", SEARCHED + f"{{judge: llm, {LLM}}}\n", "affinity.genres=3"),
    # preferences
    ("no look-ahead", DEMO, "prefer.scored=last"),
    ("nothing is hinted", DEMO, "prefer.hint_pool=3"),
    ("the seeker says nothing", DEMO, "prefer.seeker={kind: llm}"),
    ("best against worst has no margin", DEMO, "prefer.margin=0.5"),
    ("best against worst has no low", DEMO, "prefer.paper_low=1"),
    ("a margin has no low", DEMO + "prefer: {pairing: margin}\n", "prefer.paper_low=1"),
    ("the paper's rule has no margin", DEMO + "prefer: {pairing: paper}\n", "prefer.margin=0.5"),
    # judges and seekers
    *((f"a catalogue judge asks nobody: {place}.{text}", DEMO + "evaluate: {judges: [{kind: catalogue}]}\n", f"{place}.{text}")
      for place in ("prefer.judge", "evaluate.judges.0") for text in ("method=vote", "votes=5", "least_mass=0.4", "wording=short")),
    *((f"{kind} chooses: {place}",
       JUDGED + f"prefer: {{judge: {{kind: {kind}}}}}\nevaluate: {{judges: [{{kind: {kind}}}]}}\n",
       f"{place}.votes=5") for kind in ("llm", "grounded") for place in ("prefer.judge", "evaluate.judges.0")),
    *((f"{kind} votes: {place}",
       JUDGED + f"prefer: {{judge: {{kind: {kind}, method: vote}}}}\nevaluate: {{judges: [{{kind: {kind}, method: vote}}]}}\n",
       f"{place}.least_mass=0.3") for kind in ("llm", "grounded") for place in ("prefer.judge", "evaluate.judges.0")),
    *((f"an agenda draws nothing: {place}.{text}", DEMO + "prefer: {played: 1}\n", f"{place}.seeker.{text}")
      for place in ("prefer", "evaluate") for text in ("max_tokens=30", "temperature=0.2", "checked=true")),
    *((f"{kind} has no such key: {text}", DEMO + f"evaluate: {{seeker: {{kind: {kind}}}}}\n", f"evaluate.seeker.{text}")
      for kind, texts in (("silent", ("least=3", "knows=0.5", "errs=0.1", "checked=true", "temperature=0.2")),
                          ("paraphrase", ("knows=0.5", "errs=0.1", "checked=true", "temperature=0.2"))) for text in texts),
    ("one turn tries nobody's patience", DEMO + "evaluate: {turns: 1}\n", "evaluate.seeker={kind: silent, patience: 2}"),
    # the search
    *((f"greedy does not search: {text}", DEMO + "search: {strategy: greedy}\n", f"search.{text}") for text in (
        "candidates=4", "temperature=0.3", "guided=2", "from_turn=2", "last_turns=2", "budget={calls: 5}", "depth=2", "width=2",
        "backup=max", "consensus=0.5", "stop_early=false", "enough=1", "lot=2", "profiler=llm", "seeker=llm", "judge=llm", "method=vote",
        "votes=3",
    )),
    *((f"a majority asks no judge: {text}", DEMO + "search: {strategy: majority}\n", f"search.{text}") for text in (
        "depth=2", "width=2", "backup=max", "consensus=0.5", "stop_early=false", "enough=1", "lot=2", "profiler=llm", "seeker=llm",
        "judge=llm", "method=vote", "votes=3",
    )),
    *((f"best-of-n looks at no turn: {text}", DEMO + "search: {strategy: best-of-n}\n", f"search.{text}") for text in (
        "depth=2", "width=2", "backup=max",
    )),
    ("the internal seeker of best-of-n says nothing", SEARCHED + "{strategy: best-of-n, judge: llm}\n", "search.seeker=llm"),
    ("a chain is one line", DEMO + "search: {strategy: chain}\n", "search.width=2"),
    ("halving plays lines", DEMO + "search: {strategy: halving}\n", "search.width=2"),
    *((f"no depth: {text}", SEARCHED + "{depth: 0, judge: llm}\n", f"search.{text}") for text in ("width=2", "backup=max", "seeker=llm")),
    ("the catalogue judge has no method", DEMO, "search.method=vote"),
    ("the catalogue judge has no votes", DEMO, "search.votes=3"),
    ("an exact judge has no votes", SEARCHED + "{judge: llm}\n", "search.votes=3"),
    ("enough with an LLM judge", SEARCHED + "{judge: llm}\n", "search.enough=1"),
    ("a lot without enough", DEMO + "search: {guided: 4}\n", "search.lot=3"),
    ("a lot without guided candidates", DEMO + "search: {enough: 1}\n", "search.lot=3"),
    ("nothing is drawn", DEMO + "search: {candidates: 0, depth: 0}\n", "search.temperature=0.3"),
    ("nothing is guessed: use", DEMO, "search.speculate.use=profile"),
    ("nothing is guessed: budget", DEMO, "search.speculate.budget={calls: 9}"),
    # the evaluation
    ("all rows are played", DEMO, "evaluate.rows_seed=3"),
    ("one turn needs no seeker", JUDGED.replace("judge", "seeker") + "prefer: {played: 1, seeker: {kind: llm}}\nevaluate: {turns: 1}\n",
     "evaluate.seeker={kind: llm}"),
    ("nothing is ranked: temperature", DEMO, "evaluate.rankings.temperature=0.3"),
    ("nothing is ranked: rows", DEMO, "evaluate.rankings.rows=9"),
]  # fmt: skip
"""(what is so, the recipe, a key with a value that then has no effect)."""


def idle(recipe: str, override: str) -> Iterable[str]:
    """The faults of a recipe to which a key without effect is added."""
    key = override.partition("=")[0]
    try:
        config.parse(recipe, where="recipe.yaml")
    except ConfigError as fault:
        yield f"traceback: the case itself: the recipe without {key} is refused: {fault}"
        return
    try:
        config.parse(recipe, where="recipe.yaml", overrides=[override])
    except ConfigError as fault:
        told = str(fault)
        yield from (f"silent: the error does not say {word!r}: {told}" for word in (f"{key}", "matters only") if word not in told)
    else:
        yield f"silent: {override} was accepted"


def checked(recipe: str, *overrides: str, told: str) -> Case:
    """The same by the command line."""

    def play(folder: Path) -> Iterable[str]:
        (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
        sets = [part for override in overrides for part in ("--set", override)]
        return refused(usbrec("run", "recipe.yaml", "--check", *sets, cwd=folder), told, "matters only", "fix:", code=2)

    return Case(f"run --check: {', '.join(overrides)}", play, fast=overrides[0].startswith("engines"))


def command(*arguments: str, told: str, fast: bool = False) -> Case:
    """An option of a command that has no effect beside the others."""

    def play(folder: Path) -> Iterable[str]:
        (folder / "recipe.yaml").write_text(DEMO, encoding="utf-8")
        (folder / "prepared").mkdir()
        (folder / "run").mkdir()
        (folder / "run" / "recipe.json").write_text(json.dumps({"name": "t", "data": {"kind": "demo"}}), encoding="utf-8")
        (folder / "talk.jsonl").write_text('{"key": "a:1", "reply": "Try Heat (1995)."}\n', encoding="utf-8")
        (folder / "mine.py").write_text("def reply(messages):\n    return 'Try Heat (1995).'\n", encoding="utf-8")
        if arguments[0] == "chat":
            data.prepare(data.DemoSettings(), None, folder / "run" / "prepare")
        faults = refused(usbrec(*arguments, cwd=folder, env={"USBREC_DATA": ""}), told, "matter", "fix:", code=2)
        left = [] if not (folder / "runs").exists() else ["silent: a run folder was made all the same"]
        return [*faults, *left]

    return Case(f"usbrec {' '.join(arguments)}", play, fast=fast)


URL = "http://127.0.0.1:9/v1"
COMMANDS = [
    command("evaluate", "recipe.yaml", "--timeout", "5", told="--timeout", fast=True),
    command("evaluate", "recipe.yaml", "--api-key-env", "KEY", told="--api-key-env"),
    command("evaluate", "recipe.yaml", "--model", "m", told="--model"),
    command("evaluate", "recipe.yaml", "--no-prompt", told="--no-prompt"),
    command("evaluate", "recipe.yaml", "--label", "x", "--concurrency", "2", told="--concurrency and --label"),
    command("evaluate", "recipe.yaml", "--system", "mine.py:reply", "--api-key-env", "KEY", told="--api-key-env"),
    command("evaluate", "recipe.yaml", "--system", "mine.py:reply", "--model", "m", told="--model"),
    command("evaluate", "recipe.yaml", "--system", "talk.jsonl", "--timeout", "5", told="--timeout"),
    command("evaluate", "recipe.yaml", "--system", "talk.jsonl", "--concurrency", "2", told="--concurrency"),
    command("evaluate", "recipe.yaml", "--system", "talk.jsonl", "--no-prompt", told="--no-prompt"),
    command("evaluate", "recipe.yaml", "--system", URL, "--model", "m", "--set", "sft.epochs=2", told="sft.epochs"),
    command("evaluate", "recipe.yaml", "--system", URL, "--model", "m", "--set", "evaluate.arms=[base]", told="evaluate.arms"),
    command("data", "import", "demo", "--out", "x", "--split", "dialogue", told="--split"),
    command("data", "import", "demo", "--out", "x", "--from-dir", "prepared", told="--from-dir", fast=True),
    command("data", "import", "redial", "--out", "x", "--from-dir", "prepared", "--seed", "3", told="--seed"),
    command("data", "import", "custom", "--out", "x", "--from-dir", "prepared", "--split", "official", "--seed", "3", told="--seed"),
    command("data", "leaks", "prepared", "--set", "data.seed=3", told="--set"),
    command("data", "leaks", "run", "--from-dir", "prepared", told="--from-dir"),
    command("data", "leaks", "recipe.yaml", "--json", "--show", "3", told="--show"),
    command("data", "show", "prepared", "--key", "a", "-n", "3", told="-n"),
    command("rescore", "run", "--judge", "catalogue", "--judge-model", "m", told="--judge-model"),
    command("rescore", "run", "--judge", "catalogue", "--api-key-env", "KEY", told="--api-key-env"),
    command("rescore", "run", "--judge", "llm", "--judge-model", "m", "--api-key-env", "KEY", told="--api-key-env"),
    command("chat", "run", "--arm", "collaborative", "--show-search", told="--show-search"),
    command("chat", "run", "--arm", "floor:question", "--seed", "3", told="--seed"),
    command("doctor", "--api-key-env", "KEY", told="--api-key-env"),
]

CASES = [
    *(Case(f"{what} / {override}", lambda _, recipe=recipe, override=override: idle(recipe, override)) for what, recipe, override in TABLE),
    checked(DEMO, "engines.policy.base_url=http://gpu:8000/v1", told="engines.policy.kind is openai"),
    checked(DEMO, "simpo.lora_rank=8", told="simpo.lora_rank: matters only in sft"),
    checked(SEARCHED + "{judge: llm}\n", "search.enough=1", told="search.enough: matters only where search.judge is catalogue"),
    checked(DEMO, "prefer.margin=0.2", "evaluate.rows_seed=4", told="2 faults"),
    *COMMANDS,
]
