"""Any OpenAI-compatible endpoint: vLLM, SGLang, Ollama, llama.cpp, a hosted service.  How it is reached, and for how long: `endpoint`.

What a server can do is learnt from its answers: whether it honours `n` (else more calls top up), offers log-probabilities (else `choose`
draws votes, and says so), and wants `max_completion_tokens`.  What it says is not believed: a reply is cut to what `max_tokens` can hold.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, Field

from usbrec.engine import ChatMessage, Choice, Completion, Sampling, whole
from usbrec.engines.endpoint import Endpoint
from usbrec.engines.openai_settings import OpenAISettings
from usbrec.engines.stats import EngineStats
from usbrec.engines.whose_fault import Refused
from usbrec.errors import EngineReply
from usbrec.redaction import Redacting, redacted
from usbrec.seeds import seed_of
from usbrec.tasks import together

__all__ = ["OpenAIEngine", "OpenAISettings", "read_vote"]
_TOP = 20
_PATH = "chat/completions"
LETTERS = 128
"""Of the longest tokens that vocabularies have."""


class _Token(BaseModel):
    token: str
    logprob: Annotated[float, Field(le=0.1)]
    """Refuses NaN too; a little above 0 is rounding."""
    top_logprobs: list[_Token] | None = None


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message | None = None
    delta: _Message | None = None
    """In a stream, in place of `message`."""
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Answer(BaseModel):
    """A chat completion, or a piece of one."""

    choices: list[_Choice] = []
    usage: Any = None
    error: Any = None

    def tokens(self, kind: str) -> int:
        """So many, by the server's count; 0 where it does not count."""
        count = self.usage.get(f"{kind}_tokens") if isinstance(self.usage, dict) else 0
        return count if isinstance(count, int) and count > 0 else 0


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


@dataclass
class OpenAIEngine:
    """An endpoint behind the two verbs."""

    settings: OpenAISettings
    stats: EngineStats = field(default_factory=EngineStats)

    def __post_init__(self) -> None:
        self._endpoint = Endpoint(self.settings, self.stats)
        self._honours_n = True
        self._offers_logprobs = True
        self._limit = "max_tokens"

    @property
    def name(self) -> str:
        return f"openai:{self.settings.model}@{self.settings.base_url.split('://')[-1].rstrip('/')}"

    # ---- the verbs -------------------------------------------------------------------------------------------------------------

    async def chat(self, messages: Sequence[ChatMessage], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        if sampling.temperature == 0:
            completions = (await self._replies(messages, 1, sampling)) * n
        else:
            completions = await self._replies(messages, n if self._honours_n else 1, sampling)
            if len(completions) < n:
                missing = range(len(completions), n)
                seeds = [sampling.model_copy(update={"seed": seed_of(sampling.seed, "sample", index)}) for index in missing]
                async with together() as group:
                    tasks = [group.create_task(self._replies(messages, 1, own)) for own in seeds]
                completions += [task.result()[0] for task in tasks]
        self.stats.count(completions)
        return completions[:n]

    async def stream(self, messages: Sequence[ChatMessage], *, sampling: Sampling) -> AsyncIterator[str]:
        body, hide, room = self._body(messages, sampling) | {"stream": True}, Redacting(), sampling.max_tokens * LETTERS
        async with aclosing(self._endpoint.stream(_PATH, body, _Answer, self._ends, _most(1, sampling))) as answers:
            async for answer in answers:
                said = answer.choices[0].delta if answer.choices else None
                if piece := whole(hide(said.content or "" if said else ""))[:room]:
                    room -= len(piece)
                    yield piece
                if not room:
                    return
        if rest := whole(hide("", last=True))[:room]:
            yield rest

    async def choose(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice:
        if self._offers_logprobs:
            choice = await self._by_logprobs(messages, options)
            if choice is not None:
                return choice
            self._offers_logprobs = False
        return await self._by_votes(messages, options)

    async def close(self) -> None:
        await self._endpoint.close()

    async def models(self) -> list[str]:
        """The names that the endpoint serves."""
        listed = await self._endpoint.ask("models", None, _Models, lambda _: None, 16 << 20)
        return [whole(model.id) for model in listed.data]

    # ---- choose ----------------------------------------------------------------------------------------------------------------

    async def _by_logprobs(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> Choice | None:
        sampling = Sampling(temperature=1, max_tokens=1)
        try:
            answer = await self._ask(messages, sampling, logprobs=True, top_logprobs=_TOP)
        except Refused as refusal:
            if "logprob" in refusal.what.lower():
                return None
            raise
        logprobs = answer.choices[0].logprobs
        content = logprobs.content if logprobs else None
        if not content or not content[0].top_logprobs:
            return None
        shares = dict.fromkeys(options, 0.0)
        for entry in content[0].top_logprobs:
            word = entry.token.strip(" \n\u0120\u2581")
            if word in shares:
                shares[word] += math.exp(entry.logprob)
        missing = [option for option, share in shares.items() if share == 0]
        note = f"not among the {len(content[0].top_logprobs)} most probable tokens, counted as 0: {', '.join(missing)}" if missing else ""
        return Choice.of([shares[option] for option in options], exact=not missing, note=note, prompt_tokens=answer.tokens("prompt"))

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
            answer = await self._ask(messages, sampling, **more)
        except Refused as refusal:
            if "logprobs" in more and "logprob" in refusal.what.lower():
                self._offers_logprobs = False
                return await self._replies(messages, n, sampling)
            if n == 1:
                raise
            replies = await self._replies(messages, 1, sampling)
            self._honours_n = False  # only now: what is refused may be the prompt
            return replies
        if len(answer.choices) < n:
            self._honours_n = False
        return _completions(answer, sampling)

    async def _ask(self, messages: Sequence[ChatMessage], sampling: Sampling, **more: Any) -> _Answer:
        body = self._body(messages, sampling) | more
        try:
            return await self._endpoint.ask(_PATH, body, _Answer, self._check, _most(more.get("n", 1), sampling))
        except Refused as refusal:
            if "max_completion_tokens" not in refusal.what or "max_completion_tokens" in body:
                raise
            self._limit = "max_completion_tokens"
            return await self._ask(messages, sampling, **more)

    def _body(self, messages: Sequence[ChatMessage], sampling: Sampling) -> dict[str, Any]:
        stop = {"stop": list(sampling.stop)} if sampling.stop else {}
        return {
            "model": self.settings.model, "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed, self._limit: sampling.max_tokens, **stop,
        }  # fmt: skip

    def _check(self, answer: _Answer) -> None:
        """Is it an answer at all?"""
        if answer.error and not answer.choices:
            raise EngineReply(f"the answer is an error: {redacted(str(answer.error))[:300]}", where=self.settings.base_url)
        if not answer.choices:
            raise EngineReply("the answer has no choices", where=self.settings.base_url)
        for choice in answer.choices:
            if choice.message is None or choice.message.content is None:
                raise EngineReply(f"the answer's message has no text (it ended by: {choice.finish_reason})", where=self.settings.base_url)

    def _ends(self, piece: _Answer) -> bool:
        """Is it the last piece of a stream?"""
        if piece.error:
            self._check(piece.model_copy(update={"choices": []}))
        return any(choice.finish_reason for choice in piece.choices)


def read_vote(text: str, options: Sequence[str]) -> int | None:
    """The option that a reply *is*, or begins with before something that is neither letter nor digit; else None."""
    said = text.strip()
    for index, option in enumerate(options):
        if said.startswith(option) and not said[len(option) : len(option) + 1].isalnum():
            return index
    return None


def _most(n: int, sampling: Sampling) -> int:
    """Bytes that an answer may have: far more than n replies with all that may stand beside a token."""
    return (1 << 20) + n * sampling.max_tokens * 8192


def _completions(answer: _Answer, sampling: Sampling) -> list[Completion]:
    room, count, completions = sampling.max_tokens * LETTERS, len(answer.choices), []
    for choice in answer.choices:
        assert choice.message is not None and choice.message.content is not None  # `_check`
        text = whole(choice.message.content)
        completions.append(
            Completion(
                text=text[:room].strip(),
                finish="length" if choice.finish_reason == "length" or len(text) > room else "stop",
                prompt_tokens=answer.tokens("prompt"),
                completion_tokens=answer.tokens("completion") // count,
                logprob=_mean_logprob(choice),
            )
        )
    return completions


def _mean_logprob(choice: _Choice) -> float | None:
    content = choice.logprobs.content if choice.logprobs else None
    return sum(token.logprob for token in content) / len(content) if content else None
