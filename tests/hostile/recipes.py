"""Recipes that are broken, wrong, or strange but right: one clear error with every fault and its place, or a run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

from hostile.harness import Case, held, refused, usbrec
from usbrec import config, experiments
from usbrec.errors import ConfigError
from usbrec.recipe import Recipe

DEMO = "name: t\ndata: {kind: demo}\n"
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(8)
)

BROKEN: list[tuple[str, str, tuple[str, ...]]] = [
    # not YAML, or not a recipe
    ("an empty file", "", ("is empty",)),
    ("comments alone", "# nothing\n", ("is empty",)),
    ("a list at the top", "- name: t\n", ("mapping of sections",)),
    ("a word at the top", "demo", ("mapping of sections",)),
    ("two documents", DEMO + "---\nname: u\n", ("recipe.yaml:3", "another document")),
    ("a tab", "name: t\n\tdata: {kind: demo}\n", ("recipe.yaml:2", "'\\t'")),
    ("an open bracket", "name: [t\ndata: {kind: demo}\n", ("recipe.yaml:",)),
    ("an open quote", "name: 'it's\ndata: {kind: demo}\n", ("recipe.yaml:",)),
    ("a colon in a value", "name: a: b\n", ("recipe.yaml:1",)),
    ("a control character", DEMO + "about: \x07\n", ("special characters",)),
    ("deep nesting", "name: " + "[" * 5000, ("nested too deeply",)),
    ("an alias of nothing", DEMO + "about: *x\n", ("recipe.yaml:3", "'x'")),
    ("an anchor that contains itself", DEMO + "engines: &e {policy: *e}\n", ("recipe.yaml:3", "contains itself")),
    ("a bomb of anchors", DEMO + BOMB, ("anchors stand for more than",)),
    ("a Python object", DEMO + "about: !!python/object/apply:os.system [ls]\n", ("recipe.yaml:3", "python/object")),
    ("a type of its own", DEMO + "seed: !seed 3\n", ("recipe.yaml:3", "!seed")),
    ("a merge of nothing", DEMO + "sft: {<<: 3}\n", ("recipe.yaml:3",)),
    ("a list as a key", DEMO + "? [a, b]\n: 1\n", ("recipe.yaml:3",)),
    ("a number as a key", DEMO + "1: 2\n", ("1: ",)),
    # a key written twice
    ("a section twice", DEMO + "sft: {epochs: 1}\nprefer: {k: 3}\nsft: {epochs: 2}\n",
     ("recipe.yaml:5", "'sft' stands here again", "line 3")),
    ("a key twice", "name: t\nname: u\ndata: {kind: demo}\n", ("recipe.yaml:2", "'name'")),
    ("a key twice, in a section", DEMO + "search:\n  depth: 1\n  depth: 2\n", ("recipe.yaml:5", "'depth'")),
    ("a key twice, in a line", DEMO + "search: {depth: 1, depth: 2}\n", ("recipe.yaml:3", "'depth'")),
    ("a key twice, quoted once", DEMO + "'seed': 1\nseed: 2\n", ("recipe.yaml:4", "'seed'")),
    ("a key twice, in a list", DEMO + "evaluate: {judges: [{kind: catalogue, kind: llm}]}\n", ("'kind' stands here again",)),
    ("two merges", DEMO + "sft: {<<: {epochs: 1}, <<: {epochs: 2}}\n", ("'<<' stands here again",)),
    # wrong names
    ("a misspelt section", DEMO + "serach: {depth: 1}\n", ("serach: unknown key", "'search'")),
    ("a misspelt key", DEMO + "sft: {epoch: 1}\n", ("sft.epoch: unknown key", "'epochs'")),
    ("a misspelt key of a kind", DEMO + "engines: {policy: {modell: x}}\n", ("engines.policy.modell: unknown key", "'model'")),
    ("a misspelt kind", DEMO + "engines: {policy: {kind: opnai}}\n", ("engines.policy.kind: there is no 'opnai'", "'openai'")),
    ("a misspelt strategy", DEMO + "search: {strategy: tre}\n", ("search.strategy: there is no 'tre'", "'tree'")),
    ("an unknown kind of data", "name: t\ndata: {kind: netflix}\n", ("data.kind: there is no 'netflix'", "redial", "custom")),
    ("an unknown judge in a list", DEMO + "evaluate: {judges: [{kind: human}]}\n", ("evaluate.judges.0.kind: there is no 'human'",)),
    ("a kind that is a list", DEMO + "engines: {policy: {kind: [openai]}}\n", ("engines.policy.kind",)),
    ("an unknown arm", DEMO + "evaluate: {arms: [base, rll]}\n", ("evaluate.arms.1",)),
    ("an unknown protocol", DEMO + "evaluate: {protocol: usbrec-9}\n", ("no protocol 'usbrec-9'",)),
    ("all faults at once", DEMO + "sft: {epoch: 1}\nprefer: {k: 1}\nengines: {policy: {kind: x}}\nevaluate: {arms: []}\n",
     ("4 faults", "sft.epoch", "prefer.k", "engines.policy.kind", "evaluate.arms")),
    # missing
    ("no name", "data: {kind: demo}\n", ("name: is missing",)),
    ("no data", "name: t\n", ("data: is missing",)),
    ("an endpoint without a model", DEMO + "engines: {policy: {kind: openai}}\n", ("engines.policy.model: is missing",)),
    ("an LLM seeker without an engine", DEMO + "evaluate: {seeker: {kind: llm}}\n", ("engines.seeker: missing", "evaluate.seeker")),
    ("an LLM seeker that plays on, without an engine", DEMO + "prefer: {played: 1, seeker: {kind: llm}}\n",
     ("engines.seeker: missing", "prefer.seeker")),
    ("an LLM judge without an engine", DEMO + "prefer: {judge: {kind: grounded}}\n", ("engines.judge: missing", "prefer.judge")),
    # wrong values
    ("an empty section", "name: t\ndata:\n", ("data: has to be a section",)),
    ("a word for a section", DEMO + "engines: {policy: openai}\n", ("engines.policy: has to be a section", "'openai'")),
    ("a list for a section", DEMO + "sft: [epochs, 2]\n", ("sft: has to be a section",)),
    ("a word for a protocol's section", DEMO + "evaluate: {protocol: ievalm-free-1, seeker: llm}\n", ("seeker",)),
    ("a seeker of no kind", DEMO + "evaluate: {seeker: {kind: chatty}}\n", ("evaluate.seeker", "paraphrase")),
    ("a share above 1", DEMO + "evaluate: {seeker: {knows: 1.5, errs: -0.1}}\n", ("evaluate.seeker.knows", "evaluate.seeker.errs")),
    ("no patience at all", DEMO + "evaluate: {seeker: {kind: silent, patience: 0}}\n", ("evaluate.seeker.patience",)),
    ("another seeker than the protocol's", DEMO + "evaluate: {protocol: usbrec-2, seeker: {kind: silent}}\n", ("usbrec-2", "seeker.kind")),
    ("a section for a list", DEMO + "evaluate: {judges: {kind: catalogue}}\n", ("evaluate.judges",)),
    ("no arms", DEMO + "evaluate: {arms: []}\n", ("evaluate.arms",)),
    ("an arm twice", DEMO + "evaluate: {arms: [base, sft, base]}\n", ("evaluate.arms.2: stands twice",)),
    ("no judges", DEMO + "evaluate: {judges: []}\n", ("evaluate.judges",)),
    ("a judge twice", DEMO + "evaluate: {judges: [{kind: catalogue}, {kind: catalogue}]}\n", ("evaluate.judges.1: stands twice",)),
    ("infinite", DEMO + "sft: {learning_rate: .inf}\n", ("sft.learning_rate", "finite")),
    ("minus infinite", DEMO + "sft: {weight_decay: -.inf}\n", ("sft.weight_decay", "finite")),
    ("no number", DEMO + "search: {consensus: .nan}\n", ("search.consensus", "finite")),
    ("whole grades of an expectation", DEMO + "engines: {judge: {model: m}}\nprefer: {pairing: paper, judge: {kind: llm}}\n",
     ("prefer: pairing: paper", "method: vote")),
    ("an infinite word", DEMO + "prefer: {temperature: 'inf'}\n", ("prefer.temperature", "finite")),
    ("infinite seconds", DEMO + "search: {budget: {seconds: .inf}}\n", ("search.budget.seconds", "finite")),
    ("infinite rows", DEMO + "evaluate: {rows: .inf}\n", ("evaluate.rows", "finite")),
    ("true for a number", DEMO + "sft: {epochs: true}\n", ("sft.epochs", "true or false")),
    ("false for a number", DEMO + "search: {depth: false}\n", ("search.depth", "true or false")),
    ("true for a kind", DEMO + "engines: {policy: {kind: true}}\n", ("engines.policy.kind",)),
    ("a number for a truth", DEMO + "search: {stop_early: 3}\n", ("search.stop_early",)),
    ("a half for a whole", DEMO + "prefer: {k: 2.5}\n", ("prefer.k",)),
    ("a word for a number", DEMO + "prefer: {k: many}\n", ("prefer.k", "'many'")),
    ("a sexagesimal number", DEMO + "seed: 1:30\n", ("seed", "'1:30'")),
    ("a list for a number", DEMO + "seed: [1, 2]\n", ("seed",)),
    ("a number for a name", "name: 12\ndata: {kind: demo}\n", ("name", "12")),
    ("negative rows", DEMO + "imitation: {rows: -1}\n", ("imitation.rows",)),
    ("no rows", DEMO + "evaluate: {rows: 0}\n", ("evaluate.rows",)),
    ("no turns", DEMO + "evaluate: {turns: 0}\n", ("evaluate.turns",)),
    ("a million turns", DEMO + "evaluate: {turns: 1000000}\n", ("evaluate.turns",)),
    ("a temperature of a million", DEMO + "search: {temperature: 1.0e6}\n", ("search.temperature",)),
    ("negative threads", DEMO + "engines: {policy: {threads: -1}}\n", ("engines.policy.threads",)),
    ("a share above one", DEMO + "prefer: {hinted: 1.5}\n", ("prefer.hinted",)),
    ("a huge seed", DEMO + f"seed: {10**40}\n", ("seed", "beyond any use")),
    ("a number of 5000 digits", DEMO + f"seed: {'9' * 5000}\n", ("recipe.yaml:3", "no number")),
    ("a seed that torch refuses", DEMO + "sft: {seed: -1}\n", ("sft.seed",)),
    ("epochs without end", DEMO + "sft: {epochs: 1.0e300}\n", ("sft.epochs",)),
    ("an empty name", "name: ''\ndata: {kind: demo}\n", ("name",)),
    ("an empty noun", DEMO + "recommender: {noun: ''}\n", ("recommender.noun",)),
    ("no lines to say", DEMO + "engines: {policy: {kind: scripted, replies: []}}\n", ("engines.policy.replies",)),
    ("no URL", DEMO + "engines: {policy: {kind: openai, model: m, base_url: gpu}}\n", ("engines.policy.base_url",)),
    ("what a protocol fixes", DEMO + "evaluate: {protocol: usbrec-1, turns: 3}\n", ("usbrec-1 fixes turns",)),
    ("all modules or none", DEMO + "sft: {lora_targets: some}\n", ("sft.lora_targets",)),
    # the environment
    ("an unknown variable", DEMO + "about: ${HOSTILE_NOWHERE}\n", ("the environment has no HOSTILE_NOWHERE",)),
    ("an empty variable", DEMO + "about: ${HOSTILE_EMPTY}\n", ("the environment has no HOSTILE_EMPTY",)),
    ("two unknown variables", DEMO + "about: ${HOSTILE_A} ${HOSTILE_B}\n", ("no HOSTILE_A", "no HOSTILE_B")),
    ("no variable", DEMO + "about: ${}\n", ("'${}' is no environment variable",)),
    ("a number for a variable", DEMO + "about: ${1X}\n", ("'${1X}' is no environment variable",)),
    ("an open variable", DEMO + "about: ${HOME\n", ("'${HOME' is no environment variable",)),
    ("a variable in the shell's way", DEMO + "about: ${HOME:?unset}\n", ("is no environment variable",)),
    ("a variable that is no number", DEMO + "seed: ${HOSTILE_WORD}\n", ("seed", "'word'")),
]  # fmt: skip
"""(what is wrong, the recipe, what the error says)."""

OVERRIDES: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("no value", ("seed",), ("'seed' is no setting",)),
    ("no key", ("=3",), ("is no setting",)),
    ("an empty key within", ("sft..epochs=3",), ("is no setting",)),
    ("a misspelt key", ("sft.epoch=3",), ("sft.epoch: unknown key",)),
    ("the same key twice", ("seed=1", "seed=2"), ("seed is set twice",)),
    ("a section that undoes a key", ("sft.epochs=2", "sft={batch_size: 4}"), ("sft.epochs is set twice",)),
    ("below a word", ("name.x=3",), ("no keys",)),
    ("a place that is not there", ("evaluate.judges.4.kind=llm",), ("'4' is no place in a list of 1",)),
    ("a name in a list", ("evaluate.judges.first.kind=llm",), ("'first' is no place",)),
    ("broken YAML", ("evaluate.arms=[base",), ("--set evaluate.arms",)),
    ("doubled keys", ("sft={epochs: 1, epochs: 2}",), ("'epochs' stands here again",)),
    ("infinite", ("sft.learning_rate=.inf",), ("sft.learning_rate", "finite")),
    ("no arms", ("evaluate.arms=[]",), ("evaluate.arms",)),
    ("null for a section", ("sft=null",), ("sft: has to be a section",)),
    ("another kind over keys of the first", ("engines.policy.kind=scripted",),
     ("engines.policy.precision: matters only", "--set 'engines={...}'")),
]  # fmt: skip

RIGHT: list[tuple[str, str, Callable[[Recipe], bool]]] = [
    ("as short as can be", DEMO, lambda r: r.seed == 0 and r.engines.policy.kind == "openvino"),
    ("JSON", '{"name": "t", "data": {"kind": "demo"}, "seed": 3}', lambda r: r.seed == 3),
    ("a byte-order mark", "\ufeff" + DEMO, lambda r: r.name == "t"),
    ("Windows line ends", DEMO.replace("\n", "\r\n"), lambda r: r.name == "t"),
    ("a date for a name", "name: 2026-11-26\ndata: {kind: demo}\n", lambda r: r.name == "2026-11-26"),
    ("a name of two words", "name: Film & Fernsehen 北京\ndata: {kind: demo}\n", lambda r: r.name.endswith("北京")),
    ("the word no", "name: no\ndata: {kind: demo}\n", lambda r: r.name == "no"),
    ("yes for a truth", DEMO + "imitation: {new_offers_only: yes}\n", lambda r: r.imitation.new_offers_only),
    ("a number without a point", DEMO + "sft: {learning_rate: 5e-4}\n", lambda r: r.sft.learning_rate == 5e-4),
    ("a number that begins with a nought", DEMO + "seed: 010\n", lambda r: r.seed == 10),
    ("a whole number with a point", DEMO + "prefer: {k: 4.0}\n", lambda r: r.prefer.k == 4),
    ("a whole number for a half", DEMO + "sft: {epochs: 2}\n", lambda r: r.sft.epochs == 2.0),
    ("a variable", DEMO + "seed: ${HOSTILE_NUMBER}\n", lambda r: r.seed == 7),
    ("a variable's default", DEMO + "seed: ${HOSTILE_NOWHERE:-5}\n", lambda r: r.seed == 5),
    ("an empty variable's default", DEMO + "seed: ${HOSTILE_EMPTY:-5}\n", lambda r: r.seed == 5),
    ("a variable's empty default", DEMO + "about: a${HOSTILE_NOWHERE:-}b\n", lambda r: r.about == "ab"),
    ("a dollar", DEMO + "about: $5 and {x}\n", lambda r: r.about == "$5 and {x}"),
    ("an anchor",
     DEMO + "engines: {seeker: &e {kind: openai, model: m}, judge: *e}\nevaluate: {seeker: {kind: llm}, judges: [{kind: llm}]}\n",
     lambda r: r.engines.seeker == r.engines.judge and r.engines.judge is not None),
    ("a merge", DEMO + "sft: &s {epochs: 2, batch_size: 4}\nsimpo: {<<: *s, epochs: 3}\n",
     lambda r: (r.simpo.epochs, r.simpo.batch_size) == (3, 4)),
    ("defaults written out", DEMO + "prefer: {margin: 1.0, hint_pool: 6}\nevaluate: {rankings: {samples: 0, rows: null}}\n",
     lambda r: r.prefer.margin == 1),
    ("an empty section of defaults", DEMO + "sft: {}\n", lambda r: r.sft.epochs == 1),
    ("greedy without a search", DEMO + "search: {strategy: greedy}\n", lambda r: r.search.inner.judge == "catalogue"),
    ("another strategy", DEMO + "search: {strategy: majority, candidates: 3}\n", lambda r: r.search.strategy == "majority"),
    ("one arm", DEMO + "evaluate: {arms: [base]}\n", lambda r: r.evaluate.arms == ("base",)),
    ("two judges of one kind", DEMO + "engines: {judge: {kind: openai, model: m}}\n"
     "evaluate: {judges: [{kind: llm}, {kind: llm, method: vote, votes: 3}]}\n", lambda r: len(r.evaluate.judges) == 2),
    ("a protocol", DEMO + "evaluate: {protocol: ievalm-attributes-1}\n", lambda r: r.evaluate.turns == 5),
    ("a protocol with its seeker", DEMO + "evaluate: {protocol: usbrec-2, seeker: {patience: 3}}\n",
     lambda r: (r.evaluate.turns, r.evaluate.seeker.least, r.evaluate.seeker.patience) == (5, 10, 3)),
    ("a silent seeker", DEMO + "evaluate: {seeker: {kind: silent}}\n", lambda r: r.evaluate.seeker.kind == "silent"),
    ("a seeker that paraphrases, in training too", DEMO + "prefer: {played: 1, seeker: {kind: paraphrase, least: 0}}\n",
     lambda r: r.prefer.seeker.least == 0),
]  # fmt: skip

CERTAIN: list[tuple[str, str, str, tuple[str, ...], bool]] = [
    ("the seeker's model is not here", "run", "engines: {seeker: {model: gone.gguf}}\nevaluate: {seeker: {kind: llm}}\n",
     ("engines.seeker.model", "gone.gguf"), True),
    ("the judge's model is not here", "run", "engines: {judge: {model: smolm2-135m}}\nprefer: {judge: {kind: llm}}\n",
     ("engines.judge.model", "did you mean smollm2-135m-instruct"), False),
    ("the base model is not here", "sft", "engines: {policy: {model: gone.gguf}}\n", ("gone.gguf",), False),
    ("the base model is no GGUF file", "sft", "engines: {policy: {kind: transformers, model: folder}}\n", ("no GGUF file",), False),
    ("the adapter is not here", "evaluate",
     "engines: {policy: {kind: transformers, adapter: gone}}\nevaluate: {arms: [base]}\n", ("engines.policy.adapter", "no adapter"), False),
    ("the key's variable is not set", "evaluate",
     "engines: {policy: {kind: openai, model: m, api_key_env: HOSTILE_NOWHERE}}\nevaluate: {arms: [base]}\n",
     ("engines.policy.api_key_env", "HOSTILE_NOWHERE"), True),
    ("an endpoint's model is to be trained", "run", "engines: {policy: {kind: openai, model: m}}\n", ("engines.sft: missing",), True),
    ("a script is to be trained", "run", "engines: {policy: {kind: scripted}}\nevaluate: {arms: [sft]}\n",
     ("engines.sft: missing",), False),
    ("SimPO has no adapter to go on with", "run", "engines: {sft: {kind: openai, model: m}}\n", ("engines.rl: missing",), False),
    ("PODCS has no model to draw from", "prefer", "evaluate: {arms: [base]}\n", ("PODCS draws from the SFT model",), False),
    ("no arm is trained", "sft", "evaluate: {arms: [base]}\n", ("nothing to train",), False),
    ("no arm is trained by SimPO", "simpo", "evaluate: {arms: [base, sft]}\n", ("nothing to train",), False),
    ("two at once", "run", "engines: {seeker: {model: gone.gguf}, judge: {model: lost.gguf}}\n"
     "evaluate: {seeker: {kind: llm}, judges: [{kind: llm}]}\n", ("2 faults", "gone.gguf", "lost.gguf"), False),
]  # fmt: skip
"""(what is certain to fail, the command, the recipe's sections, what the error says, fast)."""

ENVIRONMENT = {"HOSTILE_EMPTY": "", "HOSTILE_WORD": "word", "HOSTILE_NUMBER": "7"}


def broken(recipe: str, told: Iterable[str], overrides: Iterable[str] = ()) -> Iterable[str]:
    """The faults of a recipe that has to be refused."""
    with mock.patch.dict(os.environ, ENVIRONMENT):
        try:
            config.parse(recipe, where="recipe.yaml", overrides=list(overrides))
        except ConfigError as fault:
            yield from (f"silent: the error does not say {word!r}: {fault}" for word in told if word not in str(fault))
            if not fault.where or not fault.fix:
                yield f"silent: the error lacks its place or its remedy: {fault}"
        else:
            yield "silent: it was accepted"


def right(recipe: str, check: Callable[[Recipe], bool]) -> Iterable[str]:
    """The faults of a recipe that has to be read, and read again as it is written down."""
    with mock.patch.dict(os.environ, ENVIRONMENT):
        found = config.parse(recipe, where="recipe.yaml")
    if not check(found):
        yield f"silent: it was misread: {found}"
    if config.parse(json.dumps(found.model_dump(mode="json")), where="recipe.json") != found:
        yield "lost: written down and read again it is another one"


def certain(command: str, sections: str, told: tuple[str, ...], fast: bool, name: str) -> Case:
    """A run that cannot end well: said before the first stage begins."""

    def play(folder: Path) -> Iterable[str]:
        (folder / "recipe.yaml").write_text(DEMO + sections, encoding="utf-8")
        (folder / "folder").mkdir()
        (folder / "folder" / "config.json").write_text("{}", encoding="utf-8")
        (folder / "folder" / "model.safetensors").write_bytes(b"")
        faults = refused(usbrec(command, "recipe.yaml", "--out", "out", cwd=folder), *told, "fix:")
        begun = [path.name for path in (folder / "out").glob("*") if path.is_dir()]
        return faults + ([f"silent: begun all the same: {begun}"] if begun else [])

    return Case(f"before the first stage: {name}", play, fast=fast)


def by_command(name: str, data: bytes, *told: str, fast: bool = False) -> Case:
    """A file that has to be refused by the command line."""

    def play(folder: Path) -> Iterable[str]:
        (folder / "recipe.yaml").write_bytes(data)
        return refused(usbrec("run", "recipe.yaml", "--check", cwd=folder), "recipe.yaml", "fix:", *told, code=2)

    return Case(f"by command: {name}", play, fast=fast)


def every_shipped_one(folder: Path) -> Iterable[str]:
    """Every recipe and every variant of every experiment is right, and written down and read again it is the same."""
    shipped = Path(__file__).parents[2] / "recipes"
    found = {path.name: config.load(path) for path in sorted(shipped.glob("*.yaml"))}
    for path in sorted((shipped / "experiments").glob("*.yaml")):
        found |= {f"{path.stem}, {name}": recipe for name, recipe in experiments.Plan.of(path).recipes.items()}
    for name, recipe in found.items():
        if config.parse(json.dumps(recipe.model_dump(mode="json")), where="recipe.json") != recipe:
            yield f"lost: {name}: written down and read again it is another one"


EXPERIMENT = "name: e\nabout: a\nrecipe: recipe.yaml\n"


def experiment(name: str, text: str, *told: str, sets: tuple[str, ...] = ()) -> Case:
    """An experiment's file that has to be refused."""

    def play(folder: Path) -> Iterable[str]:
        (folder / "recipe.yaml").write_text(DEMO, encoding="utf-8")
        (folder / "e.yaml").write_text(text, encoding="utf-8")
        try:
            experiments.Plan.of(folder / "e.yaml", sets)
        except ConfigError as fault:
            return [f"silent: the error does not say {word!r}: {fault}" for word in told if word not in str(fault)]
        return ["silent: it was accepted"]

    return Case(f"an experiment: {name}", play)


def written_by_an_earlier_version(folder: Path) -> Iterable[str]:
    """A run folder's recipe with every key of every kind, as 0.1.0 wrote it before the kinds were told apart."""
    value = config.parse(DEMO, where="r").model_dump(mode="json")
    value["data"] |= {"split": "official"}
    value["engines"]["policy"] |= {
        "adapter": None,
        "base_url": "http://127.0.0.1:8000/v1",
        "votes": 16,
        "max_batch": None,
        "replies": ["a"],
    }
    value["simpo"] |= {"lora_rank": 16, "lora_targets": "all-linear"}
    value["search"] |= {"lot": 2}
    for section in ("prefer", "evaluate"):
        value[section]["seeker"] |= {"max_tokens": 60, "temperature": 0.7}
    value["prefer"]["judge"] |= {"method": "choose", "votes": 10}
    (folder / "recipe.json").write_text(json.dumps(value), encoding="utf-8")
    found = config.stored(folder)
    if found.engines.policy != Recipe.model_validate({"name": "t", "data": {}}).engines.policy:
        yield f"silent: it was misread: {found.engines.policy}"
    (folder / "recipe.json").write_text(json.dumps(value | {"sfft": {}}), encoding="utf-8")
    try:
        config.stored(folder)
    except ConfigError as fault:
        yield from (
            f"silent: the error does not say {word!r}: {fault}" for word in ("another version", "sfft", "fix") if word not in str(fault)
        )
    else:
        yield "silent: a strange recipe was accepted"


CASES = [
    *(Case(name, lambda _, recipe=recipe, told=told: broken(recipe, told)) for name, recipe, told in BROKEN),
    *(
        Case(f"--set: {name}", lambda _, sets=sets, told=told: broken(
            DEMO + "engines: {policy: {kind: openvino, precision: exact}}\nevaluate: {judges: [{kind: catalogue}]}\n", told, sets
        ))
        for name, sets, told in OVERRIDES
    ),
    *(Case(f"right: {name}", lambda _, recipe=recipe, check=check: right(recipe, check)) for name, recipe, check in RIGHT),
    Case("right: every one that is shipped", every_shipped_one),
    Case("of an earlier version", written_by_an_earlier_version),
    *(certain(command, sections, told, fast, name) for name, command, sections, told, fast in CERTAIN),
    experiment("a key twice", EXPERIMENT + "vary: {seed: [1]}\nvary: {seed: [2]}\n", "e.yaml:5", "'vary' stands here again"),
    experiment("no arms", EXPERIMENT + "vary: {seed: [1, 2]}\narms: []\n", "arms"),
    experiment("a setting without effect", EXPERIMENT + "vary: {prefer.margin: [0.1, 0.2]}\n", "prefer.margin: matters only", "variant"),
    experiment("what is varied is set", EXPERIMENT + "vary: {seed: [1, 2]}\n", "variants differ in", sets=("seed=3",)),
    experiment("misspelt", EXPERIMENT + "varry: {seed: [1, 2]}\n", "varry: unknown key", "'vary'"),
    by_command("not UTF-8", "name: Amélie\n".encode("latin-1"), "cannot be read", fast=True),
    by_command("a section twice", (DEMO + "sft: {epochs: 1}\nsft: {epochs: 2}\n").encode(), "recipe.yaml:4", "stands here again"),
    by_command("no arms", (DEMO + "evaluate: {arms: []}\n").encode(), "evaluate.arms"),
    by_command("infinite", (DEMO + "sft: {epochs: .inf}\n").encode(), "sft.epochs"),
    by_command("a bomb of anchors", (DEMO + BOMB).encode(), "anchors"),
    by_command("zeros", b"\0" * 100, "recipe.yaml"),
    Case("right: checked by command", lambda folder: [
        *(fault for _ in [(folder / "r.yaml").write_text(DEMO, encoding="utf-8")]
          for fault in held(usbrec("run", "r.yaml", "--check", cwd=folder), "a valid recipe")),
    ], fast=False),
]  # fmt: skip
