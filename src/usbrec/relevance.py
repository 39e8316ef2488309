"""When a setting matters: one table, and the faults of a recipe that gives one where it does not.

A key that another *kind* has is refused by the kinds themselves (`usbrec.settings`); here stands what depends on the value of another key.
A key at its default is never a fault: a recipe that was written out in full says the same as a short one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

from usbrec.faults import Fault, Path
from usbrec.recipe import Recipe
from usbrec.search import DrawnSearch, JudgedSearch
from usbrec.settings import Settings, tag_of
from usbrec.training.settings import TrainingSettings

When = Callable[[Recipe, Any], bool]
"""From the recipe and the key's section: does it matter?"""


def _checks(_: Recipe, training: TrainingSettings) -> bool:
    return training.check_every > 0


def _reads(_: Recipe, training: TrainingSettings) -> bool:
    return training.check_every > 0 and training.check_replies > 0


def _likens(recipe: Recipe, _: object) -> bool:
    search, voice = recipe.search, recipe.recommender
    judged = isinstance(search, JudgedSearch) and search.judge == "catalogue"
    guided = isinstance(search, DrawnSearch) and search.guided > 0
    return bool(judged or guided or voice.hints or voice.hint_share or recipe.prefer.hinted or recipe.evaluate.rankings.samples)


_LIKENS = "search.judge is catalogue, or items are retrieved: search.guided, recommender.hints, prefer.hinted, evaluate.rankings.samples"
_CHECKS, _READS = "{}.check_every is above 0", "{0}.check_every and {0}.check_replies are above 0"

MATTERS: dict[str, tuple[str, When]] = {
    "data.seed": (
        "data.split is dialogue, or one of data.train_rows, valid_rows, test_rows is set",
        lambda r, s: s.kind == "demo" or s.split == "dialogue" or any(s.limit(name) for name in ("train", "valid", "test")),
    ),
    "engines.seeker": (
        "a seeker is an LLM: evaluate.seeker, prefer.seeker or search.seeker", lambda r, s: bool(users(r)["seeker"]),
    ),
    "engines.judge": (
        "an LLM judges: evaluate.judges, prefer.judge, search.judge, search.profiler, or later the checkpoints that simpo.keep_every keeps",
        lambda r, s: bool(users(r)["judge"]) or r.simpo.keep_every > 0,
    ),
    **{
        f"engines.{role}.votes": ("a judge asks the engine: in engines.judge", lambda r, s: False)
        for role in ("policy", "sft", "rl", "seeker")
    },
    **{
        f"engines.{role}.first_pause": (f"engines.{role}.retries is above 0", lambda r, s: s.retries > 0)
        for role in ("policy", "sft", "rl", "seeker", "judge")
    },
    "recommender.hint_share": ("the SFT model is trained here: engines.sft is null", lambda r, s: r.engines.sft is None),
    "recommender.hint_count": ("recommender.hint_share is above 0", lambda r, s: s.hint_share > 0),
    "affinity.*": (_LIKENS, _likens),
    "imitation.*": ("the SFT model is trained here: engines.sft is null", lambda r, s: r.engines.sft is None),
    "sft.*": ("the SFT model is trained here: engines.sft is null", lambda r, s: r.engines.sft is None),
    "simpo.*": ("the RL model is trained here: engines.rl is null", lambda r, s: r.engines.rl is None),
    "export.*": ("a model is trained here: engines.sft or engines.rl is null", lambda r, s: None in (r.engines.sft, r.engines.rl)),
    **{
        f"{stage}.{key}": (words.format(stage), when)
        for stage in ("sft", "simpo")
        for words, when, keys in (
            (_CHECKS, _checks, ("check_rows", "check_replies", "max_drop")),
            (_READS, _reads, ("check_tokens", "max_same_reply", "max_repetition")),
        )
        for key in keys
    },
    **{
        f"simpo.{key}": ("simpo.loss is sigmoid or hinge", lambda r, s: s.loss != "chosen")
        for key in ("beta", "gamma_beta_ratio", "nll_weight")
    },
    "simpo.label_smoothing": ("simpo.loss is sigmoid", lambda r, s: s.loss == "sigmoid"),
    "prefer.scored": ("prefer.turns is above 0", lambda r, s: s.turns > 0),
    "prefer.hint_pool": ("prefer.hinted is above 0", lambda r, s: s.hinted > 0),
    "prefer.seeker": ("prefer.turns or prefer.played is above 0", lambda r, s: s.turns > 0 or s.played > 0),
    "prefer.margin": ("prefer.pairing is margin", lambda r, s: s.pairing == "margin"),
    "prefer.paper_low": ("prefer.pairing is paper", lambda r, s: s.pairing == "paper"),
    **{
        f"{judge}.{key}": (f"{judge}.method is {method}", lambda r, s, method=method: s.method == method)  # type: ignore[misc]
        for judge in ("prefer.judge", "evaluate.judges.*")
        for key, method in (("votes", "vote"), ("least_mass", "choose"))
    },
    "search.temperature": (
        "anything is drawn: search.candidates, search.guided or search.depth is above 0",
        lambda r, s: s.candidates + s.guided + s.ahead[0] > 0,
    ),
    "search.enough": ("search.judge is catalogue", lambda r, s: s.judge == "catalogue"),
    "search.lot": ("search.enough is set and search.guided is above 0", lambda r, s: s.enough is not None and s.guided > 0),
    "search.method": ("search.judge is llm", lambda r, s: s.judge == "llm"),
    "search.votes": ("search.judge is llm and search.method is vote", lambda r, s: s.asks_votes),
    "search.width": ("search.depth is above 0", lambda r, s: s.depth > 0),
    "search.backup": ("search.depth is above 0", lambda r, s: s.depth > 0),
    "search.seeker": (
        "search.depth or search.speculate.guesses is above 0", lambda r, s: s.ahead[0] + s.speculate.guesses > 0,
    ),
    "search.speculate.use": ("search.speculate.guesses is above 0", lambda r, s: s.guesses > 0),
    "search.speculate.budget": ("search.speculate.guesses is above 0", lambda r, s: s.guesses > 0),
    "evaluate.rows_seed": (
        "evaluate.rows or evaluate.rankings.rows is set", lambda r, s: s.rows is not None or s.rankings.rows is not None,
    ),
    "evaluate.seeker": ("evaluate.turns is above 1", lambda r, s: s.turns > 1),
    "evaluate.rankings.temperature": ("evaluate.rankings.samples is above 0", lambda r, s: s.samples > 0),
    "evaluate.rankings.rows": ("evaluate.rankings.samples is above 0", lambda r, s: s.samples > 0),
}  # fmt: skip
"""Key -> when it matters, in words and as a check.  `*` is every key of a section, or every place of a list."""


def idle(recipe: Recipe, used: Collection[str] = ()) -> list[Fault]:
    """Settings that were given and have no effect; `used`: keys that have one for the caller."""
    found = []
    for key, (words, when) in MATTERS.items():
        for path, section in _places(recipe, key.split(".")):
            name = str(path[-1])
            value, usual = getattr(section, name), type(section).model_fields[name].default
            if key not in used and value != usual and not when(recipe, section):
                told = f"matters only where {words.replace('*', str(path[-2]))}"
                found.append(Fault(path, f"{told} (given: {_shown(value)}; its default, {_shown(usual)}, may stay)"))
    return found + [Fault((*path, number), "stands twice") for path, number in _doubled(recipe)]


def users(recipe: Recipe) -> dict[str, list[str]]:
    """Role -> the keys that have it played by an LLM."""
    prefer, evaluate, inner = recipe.prefer, recipe.evaluate, recipe.search.inner
    asked = {
        "seeker": {
            "prefer.seeker.kind": prefer.seeker.kind == "llm" and (prefer.turns > 0 or prefer.played > 0),
            "evaluate.seeker.kind": evaluate.seeker.kind == "llm" and evaluate.turns > 1,
            "search.seeker": inner.seeker == "llm",
        },
        "judge": {
            "prefer.judge.kind": prefer.judge.kind != "catalogue",
            "evaluate.judges": any(judge.kind != "catalogue" for judge in evaluate.judges),
            "search.judge": inner.judge == "llm",
            "search.profiler": inner.profiler == "llm",
        },
    }
    return {role: [key for key, is_asked in keys.items() if is_asked] for role, keys in asked.items()}


def missing(recipe: Recipe) -> list[Fault]:
    """Engines that a role needs and the recipe does not name."""
    return [
        Fault(("engines", role), f"missing, but {', '.join(keys)} asks for an LLM")
        for role, keys in users(recipe).items()
        if keys and getattr(recipe.engines, role) is None
    ]


def _places(holder: Any, keys: list[str], path: Path = ()) -> Iterator[tuple[Path, Settings]]:
    """The path of every key that a pattern speaks of, with its section; none where the section's kind has no such key."""
    key, *rest = keys
    if isinstance(holder, tuple):
        for number, each in enumerate(holder):
            yield from _places(each, rest, (*path, number))
    elif isinstance(holder, Settings):
        for name in type(holder).model_fields if key == "*" else [key]:
            if name in type(holder).model_fields and rest:
                yield from _places(getattr(holder, name), rest, (*path, name))
            elif name in type(holder).model_fields:
                yield (*path, name), holder


def _shown(value: Any) -> str:
    if isinstance(value, Settings):
        key, kind = tag_of(type(value))
        value = {**({key: kind} if key else {}), **value.model_dump(mode="json", exclude_unset=True)}
    return json.dumps(value, default=str)


def _doubled(recipe: Recipe) -> Iterator[tuple[Path, int]]:
    """Places in lists whose value stands further up already."""
    for name in ("arms", "judges"):
        values = getattr(recipe.evaluate, name)
        for number, value in enumerate(values):
            if value in values[:number]:
                yield ("evaluate", name), number
