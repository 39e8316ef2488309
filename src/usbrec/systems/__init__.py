"""Systems under test: what usbrec did not train, measured on the same rows as every arm.

| kind     | written as                                    | what it is given                                       |
|----------|-----------------------------------------------|--------------------------------------------------------|
| endpoint | `http://host:port/v1`                         | the recipe's recommender prompt, or the bare dialogue  |
| callable | `package.module:name`, `path/to/file.py:name` | the dialogue as chat messages                          |
| record   | `recorded.jsonl`                              | nothing: what it said was recorded                     |

Each becomes a `Recommender` and sees the dialogue only.  A reply that cannot be had (too late, empty, no text, an exception) is a failed
row with its reason.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usbrec.assemble import Assembly, World
from usbrec.engine import Engine, Sampling
from usbrec.engines.openai_settings import named
from usbrec.errors import ConfigError, EngineReply, EngineTimeout
from usbrec.evaluation.ieval import Evaluation
from usbrec.roles import Recommender, RecommenderFor, Reply
from usbrec.systems.functions import bare, load
from usbrec.systems.records import Record, read
from usbrec.types import Dialogue, Example, Frozen, Outcome


class SystemOptions(Frozen):
    """How a system is asked."""

    label: str = ""
    """Names the arm, `system:LABEL`; empty: from the model's, the callable's or the file's name."""
    model: str = ""
    """Of an endpoint: as it names the model."""
    api_key_env: str = "OPENAI_API_KEY"
    """Of an endpoint: the environment variable that holds the key."""
    prompt: bool = True
    """Of an endpoint: say the recipe's recommender prompt first; False for a system that carries its own instructions."""
    timeout: float = 60.0
    """Seconds that one reply may take, an endpoint's retries included."""
    concurrency: int | None = None
    """Replies asked for at once; None: 1 of a plain function, `engines.policy.concurrency` of anything else."""


@dataclass(frozen=True)
class System:
    """A system under test, ready to be an arm."""

    label: str
    identity: dict[str, Any]
    """What decides its replies: for fingerprints."""
    recommender_for: Callable[[Assembly], RecommenderFor]
    at_once: int | None = None
    """Rows played at once; None: as many as the recipe's policy engine would be given."""
    record: Record | None = None

    @property
    def arm(self) -> str:
        return f"system:{self.label}"

    def examples(self, world: World, split: str, drawn: Sequence[Example]) -> list[Example]:
        """The rows of every arm: those drawn from the split, or the dialogues that the record holds.

        Raises:
            DataError: the record does not fit the data.
        """
        return self.record.examples(world, split, drawn) if self.record else list(drawn)

    def played(self, evaluation: Evaluation) -> Callable[[Example], Awaitable[Outcome]]:
        """How an arm, this one or a reference, plays a row."""
        return self.record.played(evaluation, recorded=evaluation.arm == self.arm) if self.record else evaluation


def connect(given: str, options: SystemOptions) -> System:
    """The system that is written as `given`; nothing is asked of it yet.

    Raises:
        ConfigError: it is none of the three kinds, cannot be imported or called, or an option does not belong to it.
        DataError: a record that cannot be read.
    """
    if given.startswith(("http://", "https://")):
        return _endpoint(given, options)
    if options.model or not options.prompt:
        raise ConfigError("--model and --no-prompt belong to an endpoint", where=f"--system {given}", fix="leave them out")
    if given.endswith(".jsonl"):
        record = read(Path(given))
        return System(
            label=_label(options.label or Path(given).stem),
            identity={"record": record.digest},
            recommender_for=lambda _: record.recommender,
            record=record,
        )
    if ":" in given:
        return _function(given, options)
    raise ConfigError(
        "is no system",
        where=f"--system {given}",
        fix="give an endpoint (http://host:port/v1), a Python callable (package.module:name or path/to/file.py:name) or a .jsonl record",
    )


def _endpoint(url: str, options: SystemOptions) -> System:
    where = f"--system {url}"
    if not options.model:
        raise ConfigError("an endpoint needs the name of its model", where=where, fix="write --system http://host:port/v1 --model NAME")
    config = named(where, model=options.model, base_url=url, api_key_env=options.api_key_env, timeout_seconds=options.timeout)

    def recommender_for(assembly: Assembly) -> RecommenderFor:
        settings, at_once = assembly.recipe.recommender, options.concurrency or assembly.recipe.engines.policy.concurrency
        engine = assembly.engines.get(config.model_copy(update={"concurrency": at_once}))
        speaker = assembly.recommender(engine) if options.prompt else Bare(engine, settings.max_tokens, settings.temperature)
        patient = Patient(speaker, url, options.timeout)
        return lambda _: patient

    return System(
        label=_label(options.label or options.model),
        identity={"engine": config.identity(), "prompt": options.prompt},
        recommender_for=recommender_for,
        at_once=options.concurrency,
    )


def _function(given: str, options: SystemOptions) -> System:
    function = load(given)
    patient = Patient(function, given, options.timeout)
    return System(
        label=_label(options.label or given.rpartition("/")[2].replace(".py:", "-")),
        identity={"callable": given, "source": function.digest},
        recommender_for=lambda _: lambda _: patient,
        at_once=options.concurrency or (None if function.is_async else 1),
    )


def _label(name: str) -> str:
    """A name that can be a folder's."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "unnamed"


@dataclass(frozen=True)
class Patient:
    """Any recommender, waited for so long and no longer."""

    recommender: Recommender
    name: str
    seconds: float

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        try:
            async with asyncio.timeout(self.seconds):
                return await self.recommender.reply(dialogue, seed=seed)
        except TimeoutError:
            fix = "raise --timeout, or lower --concurrency"
            raise EngineTimeout(f"no reply within {self.seconds:g} s", where=self.name, fix=fix) from None


@dataclass(frozen=True)
class Bare:
    """An endpoint that carries its own instructions: it is sent what was said and nothing else."""

    engine: Engine
    max_tokens: int
    temperature: float

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens, seed=seed)
        [completion] = await self.engine.chat(bare(dialogue), sampling=sampling)
        if not completion.text:
            raise EngineReply("the reply was empty", where=self.engine.name)
        return Reply(text=completion.text)
