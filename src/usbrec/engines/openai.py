"""Any OpenAI-compatible endpoint: vLLM, SGLang, Ollama, llama.cpp, a hosted service.

The one place where calls are asked again: 429, 5xx, timeouts and cut connections after a growing, jittered pause (or the server's
`Retry-After`); an answer that is no answer (no choices, HTML, broken JSON) at most twice more; a refusal (400, 401, 404) never.

What a server can do is learnt from its answers: whether it honours `n` (else more calls top up), offers log-probabilities (else `choose`
draws votes, and says so), and wants `max_completion_tokens`.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field

from usbrec.engine import ChatMessage, Choice, Completion, Sampling
from usbrec.engines.stats import EngineStats
from usbrec.errors import EngineError, EngineReply, EngineTimeout, EngineUnavailable
from usbrec.seeds import seed_of
from usbrec.settings import Settings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Answer = TypeVar("Answer")
_TOP = 20
_BAD_REPLIES = 2
_LONGEST_PAUSE = 60.0


class OpenAISettings(Settings):
    """`openai`: an OpenAI-compatible endpoint."""

    kind: Literal["openai"] = "openai"
    model: str = Field(min_length=1)
    """As the endpoint names it; with vLLM also the name of a LoRA adapter."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """Up to and with `/v1`."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; a local server needs none.  The key itself is never written anywhere."""
    concurrency: int = Field(default=64, ge=1)
    """Most requests under way."""
    timeout_seconds: float = Field(default=300, gt=0)
    """Per request."""
    retries: int = Field(default=5, ge=0)
    """Further attempts after 429, 5xx, a timeout or a cut connection."""
    votes: int = Field(default=16, ge=1)
    """Replies that a judge draws where the endpoint offers no log-probabilities to choose by."""
    first_pause: float = Field(default=0.5, ge=0)
    """Seconds before the second attempt; doubled each time, up to a minute."""

    def identity(self) -> dict[str, Any]:
        """What changes what is said: for fingerprints."""
        return self.model_dump(mode="json", include={"kind", "model", "base_url", "votes"})


@dataclass
class OpenAIEngine:
    """An endpoint behind the two verbs."""

    settings: OpenAISettings
    stats: EngineStats = field(default_factory=EngineStats)

    def __post_init__(self) -> None:
        self._client: AsyncOpenAI | None = None
        self._slots = asyncio.Semaphore(self.settings.concurrency)
        self._honours_n = True
        self._offers_logprobs = True
        self._limit = "max_tokens"

    @property
    def name(self) -> str:
        host = self.settings.base_url.split("://")[-1].split("@")[-1].rstrip("/")
        return f"openai:{self.settings.model}@{host}"

    # ---- the verbs -------------------------------------------------------------------------------------------------------------

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        if sampling.temperature == 0:
            completions = (await self._replies(messages, 1, sampling)) * n
        else:
            completions = await self._replies(messages, n if self._honours_n else 1, sampling)
            if len(completions) < n:
                missing = range(len(completions), n)
                seeds = [sampling.model_copy(update={"seed": seed_of(sampling.seed, "sample", index)}) for index in missing]
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._replies(messages, 1, own)) for own in seeds]
                completions += [task.result()[0] for task in tasks]
        self.stats.count(completions)
        return completions[:n]

    async def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> AsyncIterator[str]:
        async with self._slots:
            with self.stats.call():
                chunks = await self._persist(lambda: self._create(messages, sampling, stream=True))
                try:
                    async for chunk in chunks:
                        piece = chunk.choices[0].delta.content if chunk.choices else None
                        if piece:
                            yield piece
                except Exception as fault:
                    raise self._fault(fault) from fault
                finally:
                    await chunks.close()

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        if self._offers_logprobs:
            choice = await self._by_logprobs(messages, options)
            if choice is not None:
                return choice
            self._offers_logprobs = False
        return await self._by_votes(messages, options)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def models(self) -> list[str]:
        """The names that the endpoint serves."""
        listed = await self._persist(lambda: _page(self._open().models.list()))
        data = getattr(listed, "data", None)
        if not isinstance(data, list):
            raise EngineReply("the endpoint's list of models is no list", where=self.settings.base_url)
        return [str(model.id) for model in data]

    # ---- choose ----------------------------------------------------------------------------------------------------------------

    async def _by_logprobs(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice | None:
        sampling = Sampling(temperature=1, max_tokens=1)
        try:
            answer = await self._call(lambda: self._create(messages, sampling, logprobs=True, top_logprobs=_TOP))
        except Refused as refusal:
            if "logprob" in refusal.what.lower():
                return None
            raise
        content = getattr(answer.choices[0].logprobs, "content", None)
        if not content or not content[0].top_logprobs:
            return None
        shares = dict.fromkeys(options, 0.0)
        for entry in content[0].top_logprobs:
            word = entry.token.strip(" \n\u0120\u2581")
            if word in shares:
                shares[word] += math.exp(entry.logprob)
        missing = [option for option, share in shares.items() if share == 0]
        note = f"not among the {len(content[0].top_logprobs)} most probable tokens, counted as 0: {', '.join(missing)}" if missing else ""
        prompt_tokens = answer.usage.prompt_tokens if answer.usage else 0
        return Choice.of([shares[option] for option in options], exact=not missing, note=note, prompt_tokens=prompt_tokens)

    async def _by_votes(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        seed = seed_of("votes", *(f"{m.role}:{m.content}" for m in messages))
        sampling = Sampling(temperature=1, max_tokens=4, seed=seed)
        completions = await self.chat(messages, n=self.settings.votes, sampling=sampling)
        votes = [read_vote(completion.text, options) for completion in completions]
        counts = [votes.count(index) / len(votes) for index in range(len(options))]
        unread = votes.count(None)
        note = f"estimated from {len(votes)} votes, {unread} of them unreadable: the endpoint offers no log-probabilities"
        return Choice.of(counts, exact=False, note=note, prompt_tokens=sum(completion.prompt_tokens for completion in completions))

    # ---- requests --------------------------------------------------------------------------------------------------------------

    async def _replies(self, messages: Sequence[ChatMessage], n: int, sampling: Sampling) -> list[Completion]:
        more: dict[str, Any] = {"n": n} if n > 1 else {}
        if sampling.logprobs and self._offers_logprobs:
            more["logprobs"] = True
        try:
            answer = await self._call(lambda: self._create(messages, sampling, **more))
        except Refused as refusal:
            if "logprobs" in more and "logprob" in refusal.what.lower():
                self._offers_logprobs = False
                return await self._replies(messages, n, sampling)
            if n == 1:
                raise
            self._honours_n = False
            return await self._replies(messages, 1, sampling)
        if len(answer.choices) < n:
            self._honours_n = False
        return _completions(answer)

    async def _create(self, messages: Sequence[ChatMessage], sampling: Sampling, **more: Any) -> Any:
        arguments: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}
        if sampling.stop:
            arguments["stop"] = list(sampling.stop)
        arguments[self._limit] = sampling.max_tokens
        said: Any = [{"role": message.role, "content": message.content} for message in messages]
        return await self._open().chat.completions.create(model=self.settings.model, messages=said, **arguments, **more)

    async def _call(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            answer = await ask()
            _check(answer, self.settings.base_url)
            return answer

        async with self._slots:
            with self.stats.call():
                return await self._persist(whole)

    async def _persist(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Asks until there is an answer, or until hope is gone."""
        attempt, bad = 0, 0
        while True:
            try:
                return await ask()
            except Exception as raised:
                fault = self._fault(raised)
                bad += isinstance(fault, EngineReply)
                if isinstance(fault, Refused) and "max_completion_tokens" in fault.what and self._limit == "max_tokens":
                    self._limit = "max_completion_tokens"
                    continue
                if isinstance(fault, Refused) or attempt >= self.settings.retries or bad > _BAD_REPLIES:
                    raise fault from raised
                pause = _pause(raised, self.settings.first_pause * 2**attempt)
            attempt += 1
            self.stats.retries += 1
            await asyncio.sleep(pause)

    def _open(self) -> AsyncOpenAI:
        if self._client is None:
            from openai import AsyncOpenAI

            key = os.environ.get(self.settings.api_key_env) or "none"
            self._client = AsyncOpenAI(base_url=self.settings.base_url, api_key=key, max_retries=0, timeout=self.settings.timeout_seconds)
        return self._client

    def _fault(self, raised: Exception) -> EngineError:
        """Our error for the SDK's."""
        import httpx
        import openai

        where, settings = self.settings.base_url, self.settings
        if isinstance(raised, EngineError):
            return raised
        if isinstance(raised, openai.APITimeoutError | httpx.TimeoutException):
            fix = "raise timeout_seconds, or lower concurrency"
            return EngineTimeout(f"no answer within {settings.timeout_seconds:g} s", where=where, fix=fix)
        if isinstance(raised, openai.APIConnectionError | httpx.TransportError):
            reason = raised.__cause__ or raised
            return EngineUnavailable(f"cannot be reached ({reason})", where=where, fix="start the server, or correct base_url")
        if isinstance(raised, openai.APIStatusError):
            return self._status_fault(raised.status_code, raised.message)
        what = f"the answer is no chat completion ({type(raised).__name__}: {raised})"
        return EngineReply(what, where=where, fix="check that base_url ends in /v1")

    def _status_fault(self, status: int, message: str) -> EngineError:
        where, settings = self.settings.base_url, self.settings
        if status in (408, 409, 425, 429) or status >= 500:
            fix = "lower concurrency" if status == 429 else "look into the server's log"
            return EngineError(f"HTTP {status}: {message}", where=where, fix=fix)
        fixes = {
            401: f"set the environment variable {settings.api_key_env} to a valid key",
            403: f"the key in {settings.api_key_env} may not use this model",
            404: f"check base_url and the model's name '{settings.model}'; `usbrec doctor --base-url {where}` lists the names",
        }
        fix = fixes.get(status, "the endpoint does not accept this request; its message says why")
        return Refused(f"HTTP {status}: {message}", where=where, fix=fix)


class Refused(EngineError):
    """The endpoint will never accept this request as it stands."""


def read_vote(text: str, options: Sequence[str]) -> int | None:
    """The option that a reply *is*, or begins with before something that is neither letter nor digit; else None."""
    said = text.strip()
    for index, option in enumerate(options):
        if said.startswith(option) and not said[len(option) : len(option) + 1].isalnum():
            return index
    return None


def _check(answer: Any, where: str) -> None:
    fix = "check that base_url is that of an OpenAI-compatible server and ends in /v1"
    if isinstance(answer, str):
        kind = "an HTML page" if answer.lstrip().startswith("<") else "plain text"
        raise EngineReply(f"the answer is {kind}, no chat completion", where=where, fix=fix)
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise EngineReply("the answer has no choices", where=where, fix=fix)
    for choice in choices:
        if choice.message is None or not isinstance(choice.message.content, str):
            raise EngineReply("the answer's message has no text", where=where)


def _completions(answer: Any) -> list[Completion]:
    usage, count = answer.usage, len(answer.choices)
    return [
        Completion(
            text=choice.message.content.strip(),
            finish="length" if choice.finish_reason == "length" else "stop",
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens // count if usage else 0,
            logprob=_mean_logprob(choice),
        )
        for choice in answer.choices
    ]


def _mean_logprob(choice: Any) -> float | None:
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    return sum(token.logprob for token in content) / len(content) if content else None


def _pause(raised: Exception, backoff: float) -> float:
    """Seconds to wait: the server's wish where it has one, else the backoff with up to half of it as jitter; at most a minute."""
    headers = getattr(getattr(raised, "response", None), "headers", {})
    try:
        wish = float(headers.get("retry-after", ""))
    except ValueError:
        wish = 0.0
    jitter = random.Random(time.monotonic_ns()).random()
    return min(max(wish, backoff * (1 + jitter / 2)), _LONGEST_PAUSE)


async def _page(pending: Any) -> Any:
    return await pending
