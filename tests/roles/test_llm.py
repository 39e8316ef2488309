"""The LLM roles over the scripted engine: what each sees, how grades are read, what happens when a model talks nonsense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from toy import CATALOGUE, LINKER, dialogue
from usbrec.engine import ChatMessage, Choice, Sampling
from usbrec.engines.scripted import ScriptedEngine
from usbrec.errors import EngineReply, PromptError
from usbrec.prompts import digests, names, render
from usbrec.roles.catalogue import CatalogueProfiler
from usbrec.roles.llm import (
    GroundedJudge,
    LLMJudge,
    LLMProfiler,
    LLMRecommender,
    LLMSeeker,
    as_seen_by,
    clean,
    expectation,
    read_vote,
    recommender_messages,
    tally,
)


class Ears:
    """Wraps a scripted engine and remembers every prompt."""

    def __init__(self, *replies: str, menu: Sequence[float] = ()) -> None:
        self.heard: list[list[ChatMessage]] = []
        self.menu = menu
        self.replies = replies

    def engine(self) -> ScriptedEngine:
        def speak(messages: Sequence[ChatMessage], sampling: Sampling, index: int) -> str:
            self.heard.append(list(messages))
            return self.replies[index % len(self.replies)]

        def weigh(messages: Sequence[ChatMessage], options: Sequence[str]) -> Sequence[float]:
            self.heard.append(list(messages))
            return self.menu

        return ScriptedEngine(speak, weights=weigh)


def test_each_side_sees_itself_as_the_assistant() -> None:
    said = dialogue("hi", "Hello!", "a film?")
    as_recommender = [(m.role, m.content) for m in as_seen_by("recommender", said, "S")]
    as_seeker = [(m.role, m.content) for m in as_seen_by("seeker", said, "S")]
    assert as_recommender == [("system", "S"), ("user", "hi"), ("assistant", "Hello!"), ("user", "a film?")]
    assert as_seeker == [("system", "S"), ("assistant", "hi"), ("user", "Hello!"), ("assistant", "a film?")]


HEAT = dialogue("I loved Heat (1995)", "Try Casino (1995).", "More?")


@pytest.mark.parametrize(
    "reply",
    [
        "Recommender: Have you seen Collateral (2004)? It is good.",
        "Try Casino (1995).",
        "Casino (1995) once more, then.",
        "Have you seen  Alien (1979)?\nSeeker: no\nRecommender: pity",
        "Alien\n\n(1979)   it is.",
        "What do you like?",
        "Recommender:",
        "Seeker and Recommender: both",
        "",
    ],
)
@pytest.mark.parametrize("redraws", [0, 2])
async def test_what_is_heard_of_a_reply_is_how_it_begins(reply: str, redraws: int) -> None:
    def speak(messages: Sequence[ChatMessage], sampling: Sampling, index: int) -> str:
        return reply if sampling.temperature == 0 else f"Perhaps Toy Story (1995)? {index}"

    speaker = LLMRecommender(ScriptedEngine(speak), redraws=redraws, linker=LINKER)
    heard: list[str] = []
    said = await speaker.reply(HEAT, seed=1, hear=heard.append)
    assert said == await speaker.reply(HEAT, seed=1)
    assert all(said.text.startswith(begun) for begun in heard), heard
    if not redraws and len(clean(reply).split()) > 3:
        assert len(heard) > 2, "nothing was heard before the end"


def test_messages_in_a_row_become_one_and_roles_alternate() -> None:
    said = dialogue("hi").say("seeker", "anyone there?").say("recommender", "Yes.")
    roles = [m.role for m in as_seen_by("recommender", said, "S")]
    assert roles == ["system", "user", "assistant"]
    assert as_seen_by("recommender", said, "S")[1].content == "hi\nanyone there?"


def test_history_keeps_the_latest_messages() -> None:
    chat = recommender_messages(dialogue("a", "b", "c", "d", "e"), noun="film", nouns="films", history=3)
    assert [m.content for m in chat[1:]] == ["c", "d", "e"]


def test_a_dialogue_that_has_not_begun_still_makes_a_chat() -> None:
    chat = recommender_messages(dialogue(), noun="film", nouns="films", history=None)
    assert [m.role for m in chat] == ["system", "user"]


def test_hints_stand_behind_the_dialogue_so_that_prompts_share_their_prefix() -> None:
    plain = recommender_messages(dialogue("hi"), noun="film", nouns="films", history=None)
    chat = recommender_messages(dialogue("hi"), noun="film", nouns="films", history=None, hints=["Heat (1995)", "Alien (1979)"])
    assert chat[: len(plain)] == plain and len(chat) == len(plain) + 1
    assert chat[-1].role == "system" and "Heat (1995); Alien (1979)" in chat[-1].content


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("  See Heat (1995).\n", "See Heat (1995)."),
        ("Recommender: Heat\nSeeker: thanks", "Heat"),
        ("two\n\nparts", "two parts"),
        ("Seeker:", ""),
    ],
)
def test_clean(raw: str, kept: str) -> None:
    assert clean(raw) == kept


async def test_a_recommender_that_says_nothing_is_an_error_not_an_empty_reply() -> None:
    with pytest.raises(EngineReply, match="empty"):
        await LLMRecommender(Ears("").engine()).reply(dialogue("hi"), seed=1)


async def test_the_seekers_words_are_filtered_before_anyone_reads_them() -> None:
    spoken = ScriptedEngine(["I want Casino (1995)!", "A crime drama, please."])  # one or the other, by the seed
    seeker = LLMSeeker(spoken, CATALOGUE, LINKER, ("casi",))
    said = [await seeker.respond(dialogue("hi", "Hello"), start=1, seed=seed) for seed in range(20)]
    assert not any("casino" in text.lower() for text in said)
    assert said.count("A crime drama, please.") >= 12  # of three lines all give it away in one of eight
    always = await LLMSeeker(Ears("I want Casino (1995)!").engine(), CATALOGUE, LINKER, ("casi",)).respond(
        dialogue("hi", "Yes?"), start=1, seed=1
    )
    assert "casino" not in always.lower()


async def test_a_seeker_is_asked_again_only_when_it_gives_a_title_away() -> None:
    told = Ears("A crime drama, please.")
    await LLMSeeker(told.engine(), CATALOGUE, LINKER, ("casi",)).respond(dialogue("hi", "Yes?"), start=1, seed=1)
    assert len(told.heard) == 1
    loose = Ears("I want Casino (1995)!")
    await LLMSeeker(loose.engine(), CATALOGUE, LINKER, ("casi",)).respond(dialogue("hi", "Yes?"), start=1, seed=1)
    assert len(loose.heard) == 3  # then the title is taken out


async def test_a_checked_seeker_says_no_genre_and_nobody_of_the_targets_either() -> None:
    """The targets' genres and people are asked for again, then masked; a plain seeker says them."""
    loose = Ears("A crime drama by Scorsese, with Robert De Niro.")
    said = dialogue("hi", "Yes?")
    text = await LLMSeeker(loose.engine(), CATALOGUE, LINKER, ("casi",), checked=True).respond(said, start=1, seed=1)
    assert text == "A that that by that, with that." and len(loose.heard) == 3
    assert "no genre" in loose.heard[0][0].content
    fine = Ears("Gangsters in the desert, please.")
    assert await LLMSeeker(fine.engine(), CATALOGUE, LINKER, ("casi",), checked=True).respond(said, start=1, seed=1) == fine.replies[0]
    assert len(fine.heard) == 1
    plain = Ears("A crime drama by Scorsese.")
    assert await LLMSeeker(plain.engine(), CATALOGUE, LINKER, ("casi",)).respond(said, start=1, seed=1) == "A crime drama by Scorsese."


async def test_the_seeker_is_asked_with_flipped_roles_and_one_user_message_at_a_time() -> None:
    """Faults 4 and 6: roles unflipped, two user messages in a row, the question glued onto the recommender's message."""
    ears = Ears("Something scarier.")
    await LLMSeeker(ears.engine(), CATALOGUE, LINKER, ("alien",)).respond(dialogue("hi", "Toy Story (1995)?"), start=1, seed=1)
    chat = ears.heard[0]
    assert [m.role for m in chat] == ["system", "assistant", "user"]
    assert chat[-1].content == "Toy Story (1995)?" and all(m.content for m in chat)


@pytest.mark.parametrize(
    ("text", "vote"),
    [
        ("2", 2), (" 1.", 1), ("0\n", 0), ('"2"', 2), ("1 because it is close", 1), ("**0**", 0),
        ("The 2 films deserve 0", None), ("2 films deserve 0", None), ("10", None), ("1/2", None), ("1.5", None), ("3", None),
        ("", None), ("I would say 2", None), ("1-2", None),
    ],
)  # fmt: skip
def test_votes_are_read_strictly(text: str, vote: int | None) -> None:
    """Fault 5: the first digit anywhere was taken."""
    assert read_vote(text) == vote


def test_no_readable_vote_is_no_score() -> None:
    """Fault 5: it was 0.0."""
    assert tally([None, None, 1], "j").value is None
    assert tally([None, 1, 1], "j").value == 1
    assert tally([2, 0, 2, 0], "j").value == 0
    assert tally([None, None], "j").reason


def test_little_mass_on_the_menu_is_no_score() -> None:
    assert expectation(Choice(probabilities=(0.2, 0.3, 0.5), mass=0.02), "j", 0.5).value is None
    assert expectation(Choice(probabilities=(0.2, 0.3, 0.5), mass=0.9), "j", 0.5).value == pytest.approx(1.3)


async def test_the_rubric_never_enters_the_transcript() -> None:
    ears = Ears(menu=(0, 0, 1))
    said = dialogue("hi", "Casino (1995).")
    score = await LLMJudge(ears.engine(), CATALOGUE, ("casi",)).score(said, start=1, seed=1)
    assert score.value == 2 and len(said) == 2 and said.messages[-1].text == "Casino (1995)."
    assert len(ears.heard[0]) == 1 and "Recommender: Casino" not in ears.heard[0][0].content  # the reply stands apart from the chat


async def test_the_grounded_judge_asks_only_where_rules_do_not_decide() -> None:
    ears = Ears(menu=(0, 1, 0))
    judge = GroundedJudge(LLMJudge(ears.engine(), CATALOGUE, ("casi",)), LINKER)
    values = [
        (await judge.score(dialogue("I liked Heat (1995)", reply), start=1, seed=1)).value
        for reply in ("Casino (1995)", "Heat (1995)", "What?")
    ]
    assert values == [2, 0, 0] and not ears.heard
    assert (await judge.score(dialogue("hi", "Alien (1979)"), start=1, seed=1)).value == 1 and len(ears.heard) == 1


async def test_a_miss_is_at_most_comparable_to_the_grounded_judge() -> None:
    """By votes a majority of "2" stood beside a hit: AUC .85 against the most popular item (docs/experiments/calibration)."""
    miss, late = dialogue("hi", "Alien (1979)"), dialogue("hi", "Alien (1979), Heat (1995), Toy Story (1995) or Casino (1995)")

    def judge(method: Literal["choose", "vote"], ears: Ears) -> GroundedJudge:
        return GroundedJudge(LLMJudge(ears.engine(), CATALOGUE, ("casi",), method=method, votes=10), LINKER)

    chosen = await judge("choose", Ears(menu=(0.2, 0.3, 0.5))).score(miss, start=1, seed=1)
    assert chosen.value == pytest.approx(0.8) and chosen.probabilities == pytest.approx((0.2, 0.8, 0)) and not chosen.hit
    for said in (miss, late):  # only the first three items of a reply count
        voted = await judge("vote", Ears("2")).score(said, start=1, seed=1)
        assert (voted.value, voted.votes, voted.hit, voted.judge) == (1, (1,) * 10, False, "grounded")
    scattered = await judge("vote", Ears(*"0001112222")).score(miss, start=1, seed=1)
    assert (scattered.value, scattered.reason) == (1, "7 of 10 votes")  # it was 2: each "2" says that the reply is at least comparable
    unread = await judge("vote", Ears("what?")).score(miss, start=1, seed=1)
    assert (unread.value, unread.votes) == (None, (None,) * 10)


async def test_a_list_of_titles_buys_no_grade() -> None:
    """A judge that follows its rubric would give 2 for the target at the end of any list: it is shown the first new item."""
    ears = Ears(menu=(0, 0, 1))
    judge = LLMJudge(ears.engine(), CATALOGUE, ("casi",), linker=LINKER)
    for reply in ("Alien (1979), Toy Story (1995), or Casino (1995)?", "Heat (1995)? Casino (1995), I mean Casino (1995)!"):
        await judge.score(dialogue("I liked Heat (1995)", reply), start=1, seed=1)
    long, short = (chat[0].content for chat in ears.heard)
    assert "Alien (1979) [...]" in long and "or Casino (1995)?" not in long
    assert "Heat (1995)? Casino (1995), I mean Casino (1995)!" in short  # one new item, said twice


async def test_the_profiler_reads_the_latest_message() -> None:
    """Fault 3: the summary left out the seeker's latest message."""
    ears = Ears("Wants something scary.")
    profile = await LLMProfiler(ears.engine(), CatalogueProfiler(CATALOGUE, LINKER)).profile(
        dialogue("hi", "Hello", "I love Alien (1979)"), seed=1
    )
    assert "I love Alien (1979)" in ears.heard[0][0].content
    assert profile.summary == "Wants something scary." and profile.likes == ("alien",)


def test_prompts_are_strict() -> None:
    with pytest.raises(PromptError, match="missing items"):
        render("recommender", item="film")
    with pytest.raises(PromptError, match="unused colour"):
        render("recommender", item="film", items="films", colour="red")
    with pytest.raises(PromptError, match="no prompt"):
        render("recomender")
    assert set(digests()) == set(names()) >= {"recommender", "seeker", "judge", "profiler"}
