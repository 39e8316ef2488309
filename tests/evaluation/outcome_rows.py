"""Outcome rows whose every score is known, and a synthetic run folder made of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

from usbrec import jsonl
from usbrec.types import Candidate, Dialogue, Outcome, Profile, Score, SearchTrace, Turn

ARMS = {  # arm -> (share of hits, share of comparable offers)
    "base": (0.03, 0.03), "sft": (0.04, 0.19), "rl": (0.04, 0.33),
    "base+ses": (0.03, 0.15), "sft+ses": (0.05, 0.40), "rl+ses": (0.06, 0.46),
    "collaborative": (0.06, 0.44), "ceiling:human": (0.95, 0.03), "floor:random-reply": (0.01, 0.12), "floor:most-popular": (0.04, 0.22),
    "floor:repeat": (0.0, 0.07), "floor:question": (0.0, 0.0),
}  # fmt: skip


def turn(value: float | None, *, items: tuple[str, ...] = (), hit: bool = False, reply: str = "") -> Turn:
    """A turn with one score."""
    score = Score(value=value, judge="catalogue", hit=hit, items=items, reason="known by hand")
    return Turn(reply=reply or f"How about {' or '.join(items) or 'telling me more'}?", items=items, scores=(score,), seconds=0.5)


def row(
    key: str, *turns: Turn, arm: str = "rl", targets: tuple[str, ...] = ("t",), leaks: tuple[str, ...] = (), error: str = ""
) -> Outcome:
    """An outcome with these turns, the seeker saying something in between."""
    dialogue = Dialogue().say("seeker", "I liked Heat.")
    for number, played in enumerate(turns):
        if number:
            dialogue = dialogue.say("seeker", "Something else, please.")
        dialogue = dialogue.say("recommender", played.reply)
    return Outcome(key=key, arm=arm, dialogue=dialogue, start=1, turns=turns, targets=targets, leaks=leaks, error=error)


def rows_of(arm: str, count: int, *, turns: int = 2, seed: int = 0) -> list[Outcome]:
    """Rows in dialogues of two; scores drawn from the arm's shares by two judges, the second of which is nearly blind."""
    rng = random.Random(f"{seed}:{arm}")
    hits, likes = ARMS[arm]
    outcomes = []
    for place in range(count):
        played = []
        for _ in range(turns):
            draw = rng.random()
            value = 2 if draw < hits else 1 if draw < hits + likes else 0
            target, film = f"t{place}", f"film {rng.randrange(60)}"
            items = (target,) if value == 2 else () if arm in ("floor:question", "floor:repeat") else (film,)
            blind = None if rng.random() < 0.02 else round(1.3 + 0.1 * value + rng.uniform(-0.3, 0.3), 2)
            scores = (
                Score(value=value, judge="catalogue", hit=value == 2, items=items, reason="known"),
                Score(value=blind, judge="llm", reason="no readable vote" if blind is None else "6 of 10 votes"),
            )
            text = f"You could watch {items[0]}. <script>alert('x')</script>" if items else "What do you like?"
            trace = SearchTrace(
                profile=Profile(summary="Likes crime films."),
                candidates=(
                    Candidate(text=text, items=items, score=Score(value=1.2), count=3),
                    Candidate(text="Maybe <b>another</b>?", score=Score(value=None, reason="unreadable")),
                ),
                chosen=0,
                strategy="flat",
                calls=9,
            )
            search = trace if arm.endswith("+ses") else None
            played.append(Turn(reply=text, items=items, scores=scores, search=search, seconds=0.2 if search is None else 1.1))
            if value == 2:
                break
        error = "the engine is gone" if arm == "base" and place == 3 else ""
        leaks = (f"t{place}",) if place % 8 == 0 else ()
        key, kept = f"d{place // 2}:{place % 2}", [] if error else played
        outcomes.append(row(key, *kept, arm=arm, targets=(f"t{place}",), leaks=leaks, error=error))
    return outcomes


def make_run(folder: Path, *, count: int = 120, arms: tuple[str, ...] = tuple(ARMS)) -> Path:
    """A run folder as the stages leave it."""
    for arm in arms:
        jsonl.rewrite(folder / "evaluate" / f"{arm.replace(':', '-')}.jsonl", rows_of(arm, count))
    jsonl.write_json(folder / "prepare" / "card.json", {"dataset": "toy", "licence": "CC0", "rows": {"train": 900, "test": count}})
    outcomes = {"pair": 310, "difference below the margin": 80, "the human reply is missing": 10}
    jsonl.write_json(folder / "prefer" / "card.json", {"dialogues": 400, "pairs": 310, "outcomes": outcomes})
    stage = {"fingerprint": "0123456789abcdef", "parts": {"secret": {"nested": "left out"}}, "seconds": 480.5}
    manifest = {"usbrec": "0.1.0", "machine": {"cpu": "two cores", "python": "3.11"}, "stages": {"sft": stage, "simpo": stage}}
    jsonl.write_json(folder / "manifest.json", manifest)
    sft = [{"step": s, "loss": 3.2 * 0.99**s, "learning_rate": 5e-4 * (1 - s / 200), "tokens_per_second": 480.0} for s in range(1, 200, 5)]
    simpo = [
        {"step": s, "loss": 0.9 - s / 200, "rewards/chosen": -3 + s / 100, "rewards/rejected": -3 - s / 80,
         "rewards/accuracies": 0.5 + s / 200, "logps/chosen": -1.2 + s / 400, "logps/rejected": -1.3 - s / 300}
        for s in range(1, 72, 2)
    ]  # fmt: skip
    for name, logged in (("sft", sft), ("simpo", simpo)):
        jsonl.write_text(folder / name / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in logged))
    jsonl.write_json(folder / "recipe.json", {"seed": 7, "model": "smollm2  # <tag>"})
    return folder
