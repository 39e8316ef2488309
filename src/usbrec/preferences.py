"""PODCS, the preference dataset (docs/method.md, PODCS, Algorithm 1), limited to what the evidence supports.

For each training dialogue: k replies from the policy at a real temperature, each played forward against the simulated seeker (which knows
the targets), each reply judged; then one pair by the pairing rule.  Everything is kept: all candidates, scores, votes, reasons, what was
played, and why a dialogue gave no pair.  Rules:

- `paper`: chosen = the best candidate if its score is 2, else the human reply; rejected = the worst candidate if it scored at most
  `paper_low` (the paper: 0), else the human reply; equal sides give no pair, nor does a human reply whose targets were all named before.
- `best-worst`: on-policy, the best candidate against the worst, where they differ at all.
- `margin`: as best-worst, but only where they differ by at least `margin`.

The trial saw the paper's rule collapse a LoRA-trained model, since human replies are far less likely under the policy than its
own samples; on-policy pairs worked.

A reply that offers a target ends its look-ahead: the seeker has what they came for, and whatever was said next would only count against it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import Field, model_validator

from usbrec.conversation import converse, judge_replies
from usbrec.engine import ChatMessage
from usbrec.linking import Linker
from usbrec.roles import JudgeFor, SamplingRecommender, SeekerFor
from usbrec.roles.catalogue import target_hit
from usbrec.roles.settings import AttributesSeekerSettings, CatalogueJudgeSettings, JudgeSettings, SeekerSettings
from usbrec.seeds import rng_of, seed_of
from usbrec.settings import Settings
from usbrec.types import Candidate, Dialogue, Example, Frozen, PreferencePair, Score

PairingRule = Literal["paper", "best-worst", "margin"]


class PreferenceSettings(Settings):
    """PODCS, as it stands in a recipe."""

    rows: int | None = Field(default=None, ge=1)
    """Training dialogues to draw candidates for; null for all."""
    k: int = Field(default=8, ge=2, le=1000)
    """Candidates a dialogue; the paper uses 2."""
    temperature: float = Field(default=0.5, gt=0, le=10)
    """Of the candidates."""
    turns: int = Field(default=0, ge=0, le=100)
    """Turns of look-ahead played after a candidate, fewer where a target is offered."""
    scored: Literal["every", "last"] = "every"
    """Whose score a candidate gets that was played forward: `every`, the mean over its own and the later replies; `last`, that of the last
    reply alone (the paper's: the dialogue is judged at its end)."""
    played: int = Field(default=0, ge=0, le=100)
    """Before candidates are drawn, the dialogue is played on for 0 to so many turns (drawn per row) by the policy and the simulated
    seeker, so that the policy also learns what to say after an offer was declined; 0 is the paper's setting."""
    hinted: float = Field(default=0.0, ge=0, le=1)
    """Share of the dialogues whose candidates have one retrieved item in their prompt, as the search's guided candidates do, so that the
    policy also learns when to take such an item up; 0 is the paper's setting."""
    hint_pool: int = Field(default=6, ge=1)
    """That item is one of so many that the retriever puts first."""
    seeker: SeekerSettings = AttributesSeekerSettings()
    """The simulated user of the look-ahead."""
    judge: JudgeSettings = CatalogueJudgeSettings()
    """Who scores; an `llm` judge with method `vote` and 10 votes is the paper's."""
    judge_human: bool = True
    """The human reply is judged too, as it stands: no pair needs its score, the data card shows it; the paper leaves it unjudged."""
    pairing: PairingRule = "best-worst"
    """`paper`, `best-worst` or `margin`; `paper` needs whole grades, so a judge that votes or the catalogue's."""
    margin: float = Field(default=1.0, gt=0)
    """Least difference of the scores for the rule `margin`."""
    paper_low: float = Field(default=0.0, ge=0)
    """A worst candidate up to this score is rejected, for the rule `paper`."""
    novelty: float = Field(default=0.0, ge=0, le=1)
    """Takes up to so much off the score of an offer that the policy makes to everybody (its share of all samples, relative to the
    most frequent item's): breaks ties in favour of the less usual item, against the loss of variety under RL."""
    hits: float = Field(default=0.0, ge=0)
    """Added to a score of 2, so that a hit outweighs likeness."""
    offers: float = Field(default=0.0, ge=0, le=1)
    """Added to a reply that offers anything new, so that dialogues whose candidates all score 0 still teach to offer, not to chat."""

    @model_validator(mode="after")
    def _grades(self) -> PreferenceSettings:
        if self.pairing == "paper" and self.judge.kind != "catalogue" and self.judge.method == "choose":
            raise ValueError(
                "pairing: paper asks for scores of exactly 2 and 0, which the expectation of a judge with method: choose never is; "
                "give the judge method: vote, or take pairing: best-worst or margin"
            )
        return self


class CandidateSet(Frozen):
    """All candidates for one dialogue, judged.  A failed dialogue keeps its error."""

    key: str
    dialogue: Dialogue = Dialogue()
    """What the candidates answer: the example's dialogue, or that dialogue played on."""
    hints: tuple[str, ...] = ()
    """Names of retrieved items in the candidates' prompt."""
    candidates: tuple[Candidate, ...] = ()
    human: Candidate | None = None
    error: str = ""


class PreferenceRow(Frozen):
    """One dialogue's evidence and what came of it."""

    key: str
    outcome: str
    """`pair`, or the reason why there is none."""
    candidates: tuple[Candidate, ...] = ()
    human: Candidate | None = None
    pair: PreferencePair | None = None
    error: str = ""


@dataclass(frozen=True)
class CandidateMaker:
    """Draws, plays forward and judges the candidates of one dialogue."""

    policy: SamplingRecommender
    seeker_for: SeekerFor
    judge_for: JudgeFor
    linker: Linker
    settings: PreferenceSettings
    seed: int
    policy_with: Callable[[Sequence[str]], SamplingRecommender] | None = None
    """The policy with these items' names in every prompt; needed for `hinted`."""
    retrieve: Callable[[Dialogue, int], Awaitable[Sequence[str]]] | None = None
    """The names of up to so many items, best first; needed for `hinted`."""
    hints_for: Callable[[Dialogue], Awaitable[Sequence[str]]] | None = None
    """What `policy` itself puts into its prompts, to be recorded."""

    async def __call__(self, example: Example) -> CandidateSet:
        seed = seed_of(self.seed, "prefer", example.key)
        dialogue = await self._played_on(example, seed)
        hints, policy = await self._hints(dialogue, seed)
        texts = await policy.sample(dialogue, n=self.settings.k, temperature=self.settings.temperature, seed=seed)
        counts = Counter(texts)
        judged = [self._judge(dialogue, example.targets, text, count, seed_of(seed, text)) for text, count in counts.items()]
        candidates, human = await asyncio.gather(asyncio.gather(*judged), self._human(example, dialogue, seed))
        return CandidateSet(key=example.key, dialogue=dialogue, hints=hints, human=human, candidates=tuple(candidates))

    async def _human(self, example: Example, dialogue: Dialogue, seed: int) -> Candidate | None:
        """The human's reply, where it answers this very dialogue."""
        if not example.answered or dialogue != example.dialogue:
            return None
        if not self.settings.judge_human:
            return Candidate(text=example.reply, items=self.linker.items(example.reply))
        return await self._judge(dialogue, example.targets, example.reply, 1, seed_of(seed, "human"), turns=0)

    async def _hints(self, dialogue: Dialogue, seed: int) -> tuple[tuple[str, ...], SamplingRecommender]:
        """(names in the candidates' prompt, the policy that has them there)."""
        rng = rng_of(seed, "hinted")
        if self.policy_with and self.retrieve and rng.random() < self.settings.hinted:
            names = await self.retrieve(dialogue, self.settings.hint_pool)
            if names:
                hints = (rng.choice(names),)
                return hints, self.policy_with(hints)
        return tuple(await self.hints_for(dialogue)) if self.hints_for else (), self.policy

    async def _played_on(self, example: Example, seed: int) -> Dialogue:
        """The example's dialogue, played on for 0 to `settings.played` turns, fewer where a target is named or the seeker leaves;
        ends with the seeker."""
        dialogue, start = example.dialogue, len(example.dialogue)
        seeker = self.seeker_for(example.targets)
        for turn in range(rng_of(seed, "played").randint(0, self.settings.played)):
            said = dialogue.say("recommender", (await self.policy.reply(dialogue, seed=seed_of(seed, "play", turn))).text)
            if target_hit(said, example.targets, self.linker)[0]:
                break
            answer = await seeker.respond(said, start=start, seed=seed_of(seed, "answer", turn))
            if answer is None:
                break
            dialogue = said.say("seeker", answer)
        return dialogue

    async def _judge(
        self, dialogue: Dialogue, targets: tuple[str, ...], text: str, count: int, seed: int, turns: int | None = None
    ) -> Candidate:
        """Plays a reply forward (by default for `settings.turns` turns) and has it judged."""
        played = await converse(
            dialogue,
            recommender=self.policy,
            seeker=self.seeker_for(targets),
            turns=1 + (self.settings.turns if turns is None else turns),
            seed=seed,
            first=text,
            done=lambda said: target_hit(said, targets, self.linker)[0],
        )
        judge = self.judge_for(targets)
        if self.settings.scored == "last":
            score = await judge.score(played.dialogue, start=played.start, seed=seed_of(seed, judge.name, "last"))
        else:
            score = _over_turns([row[0] for row in await judge_replies(played, [judge], seed=seed)])
        after = played.dialogue.messages[played.start + 1 :]
        return Candidate(text=text, items=self.linker.items(text), score=score, continuation=after, count=count)


def _over_turns(scores: Sequence[Score]) -> Score:
    """The first reply's score with the mean value over all played replies; unscored turns drop out."""
    values = [s.value for s in scores if s.value is not None]
    if scores[0].value is None or len(scores) == 1:
        return scores[0]
    told = ", ".join("-" if s.value is None else f"{s.value:g}" for s in scores)
    return scores[0].model_copy(update={"value": sum(values) / len(values), "reason": f"{scores[0].reason}; turns: {told}"})


def make_pairs(examples: Sequence[Example], sets: Sequence[CandidateSet], settings: PreferenceSettings) -> list[PreferenceRow]:
    """One row a dialogue, with its pair or the reason for none (Alg. 1 and its variants)."""
    offers = Counter(item for row in sets for c in row.candidates for item in c.items[:1] * c.count)
    most = max(offers.values(), default=1)

    def worth(candidate: Candidate) -> float:
        assert candidate.score is not None and candidate.score.value is not None
        value = candidate.score.value + (settings.hits if candidate.score.hit else 0.0)
        value += settings.offers if candidate.score.items else 0.0
        usual = offers[candidate.items[0]] / most if candidate.items else 0.0
        return max(0.0, value - settings.novelty * usual)

    return [_pair(example, row, settings, worth) for example, row in zip(examples, sets, strict=True)]


class _Worth(Protocol):
    def __call__(self, candidate: Candidate) -> float: ...


def _pair(example: Example, row: CandidateSet, settings: PreferenceSettings, worth: _Worth) -> PreferenceRow:
    common: dict[str, object] = {"key": row.key, "candidates": row.candidates, "human": row.human, "error": row.error}
    if row.error:
        return PreferenceRow.model_validate({"outcome": "failed", **common})
    scored = [c for c in row.candidates if c.score is not None and c.score.scored]
    if not scored:
        return PreferenceRow.model_validate({"outcome": "no candidate could be scored", **common})
    best, worst = max(scored, key=worth), min(scored, key=worth)
    if settings.pairing == "paper":
        return _paper_pair(example, row, best, worst, settings, common)
    gap = worth(best) - worth(worst)
    if gap <= 0:
        return PreferenceRow.model_validate({"outcome": "all candidates score alike", **common})
    if settings.pairing == "margin" and gap < settings.margin:
        return PreferenceRow.model_validate({"outcome": "difference below the margin", **common})
    pair = PreferencePair(
        key=row.key, dialogue=row.dialogue, hints=row.hints, chosen=best.text, rejected=worst.text,
        chosen_from="policy", rejected_from="policy", chosen_score=worth(best), rejected_score=worth(worst),
    )  # fmt: skip
    return PreferenceRow.model_validate({"outcome": "pair", "pair": pair, **common})


def _paper_pair(
    example: Example, row: CandidateSet, best: Candidate, worst: Candidate, settings: PreferenceSettings, common: dict[str, object]
) -> PreferenceRow:
    good, bad = _value(best), _value(worst)
    take_best, take_worst = good >= 2, bad <= settings.paper_low
    fresh = set(example.targets) - set(example.leaks)  # to repeat what was named already is nothing to learn
    human = row.human.text if row.human and fresh else ""
    if not human and not (take_best and take_worst):
        outcome = "the human reply is missing" if fresh else "the human reply names no new target"
        return PreferenceRow.model_validate({"outcome": outcome, **common})
    chosen, rejected = best.text if take_best else human, worst.text if take_worst else human
    if chosen == rejected:
        return PreferenceRow.model_validate({"outcome": "chosen and rejected are the same", **common})
    said = 2.0  # the human reply names the targets by construction
    pair = PreferencePair(
        key=example.key, dialogue=row.dialogue, hints=row.hints, chosen=chosen, rejected=rejected,
        chosen_from="policy" if take_best else "human", rejected_from="policy" if take_worst else "human",
        chosen_score=good if take_best else said, rejected_score=bad if take_worst else said,
    )  # fmt: skip
    return PreferenceRow.model_validate({"outcome": "pair", "pair": pair, **common})


def _value(candidate: Candidate) -> float:
    assert candidate.score is not None and candidate.score.value is not None
    return candidate.score.value


def data_card(rows: Sequence[PreferenceRow], settings: PreferenceSettings) -> dict[str, object]:
    """Counts of each outcome, of the scores, and of who is chosen and rejected."""
    pairs = [row.pair for row in rows if row.pair]
    scores = Counter(
        "unscored" if c.score is None or c.score.value is None else f"{c.score.value:g}" for row in rows for c in row.candidates
    )
    human = Counter(f"{row.human.score.value:g}" for row in rows if row.human and row.human.score and row.human.score.value is not None)
    return {
        "settings": settings.model_dump(mode="json"),
        "dialogues": len(rows),
        "pairs_hinted": sum(bool(p.hints) for p in pairs),
        "outcomes": dict(Counter(row.outcome for row in rows).most_common()),
        "pairs": len(pairs),
        "chosen_from": dict(Counter(p.chosen_from for p in pairs)),
        "rejected_from": dict(Counter(p.rejected_from for p in pairs)),
        "candidates": sum(len(row.candidates) for row in rows),
        "samples": sum(c.count for row in rows for c in row.candidates),
        "candidate_scores": dict(scores.most_common(20)),
        "human_scores": dict(human.most_common(20)),
    }


def to_trl(pair: PreferencePair, messages: Sequence[ChatMessage]) -> dict[str, object]:
    """TRL's conversational preference format: prompt, chosen, rejected as lists of messages."""
    prompt = [{"role": m.role, "content": m.content} for m in messages]
    return {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
    }


def to_llama_factory(pair: PreferencePair, messages: Sequence[ChatMessage]) -> dict[str, object]:
    """LLaMA-Factory's ShareGPT preference format: system, conversations, chosen, rejected."""
    names = {"user": "human", "assistant": "gpt"}
    system = next((m.content for m in messages if m.role == "system"), "")
    return {
        "system": system,
        "conversations": [{"from": names[m.role], "value": m.content} for m in messages if m.role != "system"],
        "chosen": {"from": "gpt", "value": pair.chosen},
        "rejected": {"from": "gpt", "value": pair.rejected},
    }


def as_json(value: dict[str, object]) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False)
