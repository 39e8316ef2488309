"""The rollout loop over the toy world."""

from __future__ import annotations

from toy import CATALOGUE, LINKER, Line, Parrot, dialogue
from usbrec.conversation import converse, judge_replies
from usbrec.roles.catalogue import CatalogueJudge, target_hit


async def test_turns_alternate_and_nothing_else_is_said() -> None:
    played = await converse(dialogue("hello"), recommender=Parrot(), seeker=Line("no"), turns=3, seed=1)
    assert [m.side for m in played.dialogue.messages] == ["seeker", "recommender", "seeker", "recommender", "seeker", "recommender"]
    assert [m.text for m in played.dialogue.messages] == [
        "hello",
        *["Have you seen Toy Story (1995)?", "no"] * 2,
        "Have you seen Toy Story (1995)?",
    ]
    assert len(played.replies) == len(played.seconds) == 3


async def test_a_given_first_reply_is_not_asked_for() -> None:
    parrot = Parrot()
    played = await converse(dialogue("hello"), recommender=parrot, seeker=Line(), turns=2, seed=1, first="Try Alien (1979).")
    assert played.replies[0].text == "Try Alien (1979)."
    assert len(parrot.asked) == 1 and len(parrot.asked[0]) == 3


async def test_the_conversation_ends_when_a_target_is_named() -> None:
    played = await converse(
        dialogue("hello"), recommender=Parrot(), seeker=Line(), turns=5, seed=1, done=lambda d: target_hit(d, ("toy",), LINKER)[0]
    )
    assert len(played.replies) == 1


async def test_every_reply_is_judged_on_its_own_prefix() -> None:
    played = await converse(dialogue("I liked Heat (1995)"), recommender=Parrot("Casino (1995)?"), seeker=Line(), turns=2, seed=1)
    judge = CatalogueJudge(CATALOGUE, LINKER, ("coll",))
    rows = await judge_replies(played, [judge], seed=1)
    # Casino shares no director, no two stars and 1 of 3 genres with Collateral: 0.  The second time it is no new offer: 0.
    assert [row[0].value for row in rows] == [0, 0]
    assert rows[0][0].items == ("casi",) and rows[1][0].items == ()
