"""The leakage audit on the toy world: every leak is planted, every count known by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toy import CATALOGUE, LIKES, LINKER, dialogue, example
from usbrec import config, jsonl
from usbrec.catalogue import Catalogue
from usbrec.cli.data import app
from usbrec.cooccurrence import Likes
from usbrec.data.prepared import Card, write
from usbrec.engine import Sampling
from usbrec.engines.ledger import LedgerEngine, prompt_digest
from usbrec.engines.scripted import ScriptedEngine
from usbrec.errors import StorageError
from usbrec.evaluation.leak_tables import sheets
from usbrec.evaluation.leaks import SUBSETS, LeakAudit, audit, form_of, given_away, history_leaks, overlap
from usbrec.evaluation.prompt_leaks import PromptLeaks, Voice, asked, prompt_leaks
from usbrec.linking import Linker
from usbrec.roles.llm import LLMRecommender, recommender_messages
from usbrec.roles.settings import RecommenderSettings
from usbrec.types import Candidate, Dialogue, Example, Item, Outcome, Profile, Score, SearchNode, SearchTrace, Turn


def row(key: str, *texts: str, targets: tuple[str, ...] = ("casi",)) -> Example:
    said = dialogue(*texts)
    return Example(key=key, dialogue_id=key.split(":")[0], turn_id=1, dialogue=said, targets=targets, leaks=LINKER.leaks(said, targets))


def outcome(
    key: str, *texts: str, start: int = 1, arm: str = "rl", targets: tuple[str, ...] = ("casi",), search: SearchTrace | None = None
) -> Outcome:
    """A conversation played from `start` on; a reply with a target scores 2, any other 0."""
    said = dialogue(*texts)
    turns = []
    for message in said.messages[start:]:
        if message.side == "recommender":
            items = LINKER.items(message.text)
            hit = bool(set(items) & set(targets))
            score = Score(value=2 if hit else 0, judge="catalogue", hit=hit, items=items)
            turns.append(Turn(reply=message.text, items=items, scores=(score,), search=search))
    leaks = LINKER.leaks(Dialogue(messages=said.messages[:start]), targets)
    return Outcome(key=key, arm=arm, dialogue=said, start=start, turns=tuple(turns), targets=targets, leaks=leaks)


ROWS = (
    row("a:1", "I saw Casino (1995)."),
    row("b:1", "Hello", "Have you seen Casino (1999)?", "No"),
    row("c:1", "I saw Toy Story and Casino (1995).", targets=("toy", "heat")),
    row("d:1", "Something new, please."),
    row("e:1", "We saw Toy Story.", "Toy Story (1995)?", "Yes", targets=("toy",)),
    row("f:1", "the event horizon of it all", targets=("gate",)),
)


def test_history_leaks_by_side_and_form() -> None:
    """a: seeker, title and year.  b: recommender, wrong year.  c: seeker, title alone, one of two targets.  e: both sides.
    f: "event horizon" is no common word and links in any case."""
    found = history_leaks(ROWS, LINKER)
    assert (found.rows, found.dialogues, found.words) == (6, 6, 0)
    sides = {side: (named.rows, named.every) for side, named in found.named.items()}
    assert sides == {"recommender": (2, 2), "seeker": (4, 3), "either": (5, 4)}
    assert found.named["seeker"].forms == {"dated": 1, "title": 3, "alias": 0, "repaired": 0, "shared": 0}
    assert found.named["either"].forms == {"dated": 2, "title": 2, "alias": 0, "repaired": 1, "shared": 0}
    assert found.named["either"].rows == sum(bool(each.leaks) for each in ROWS), "the same rows that a card counts"
    assert [each.leaked for each in ROWS] == [True, True, True, False, True, True], "c too, where only one of two targets is named"


ODD = Catalogue(
    [
        Item(id="ring", title="The Ring", year=2002),
        Item(id="it17", title="It", year=2017),
        Item(id="it90", title="It", year=1990),
        Item(id="star", title="Star Wars: Episode IV"),
        Item(id="blade", title="Blade Runner 2049", year=2017),
    ]
)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("The Ring (2002)", "dated"),
        ('"The Ring"', "title"),
        ("Ring (2002)", "alias"),
        ("The Ring (2005)", "repaired"),
        ('I saw "It"', "shared"),
        ("It (2017)", "dated"),
        ("Blade Runner 2049", "title"),
        ("Blade Runner 2049 (2017)", "dated"),
    ],
)
def test_the_form_of_a_mention(text: str, form: str) -> None:
    (mention,) = Linker(ODD).mentions(text)
    assert form_of(mention, ODD[mention.item or mention.candidates[0]]) == form


def test_words_that_link_to_nothing_are_counted_apart() -> None:
    said = Dialogue().say("seeker", "I love star wars")
    found = history_leaks([Example(key="a:1", dialogue_id="a", turn_id=1, dialogue=said, targets=("star",))], Linker(ODD))
    assert (found.named["either"].rows, found.words) == (0, 1)


def test_overlap_of_two_splits() -> None:
    """Dialogue b is in both, and goes on in the first; y's history stands in the first with its target, z's with another."""
    first = [ROWS[0], ROWS[1], row("g:1", "Hi")]
    second = [row("b:0", "Hello"), row("y:1", "I saw Casino (1995)."), row("z:1", "Hi", targets=("toy",))]
    found = overlap(("train", first), ("test", second))
    assert (found.dialogues, found.of, found.rows, found.answered, found.contexts, found.repeated) == (1, 3, 1, 1, 2, 1)
    assert overlap(("test", second), ("train", first)).answered == 0


def test_the_same_chat_under_two_ids_is_told_by_its_words() -> None:
    """The audit said 0 of these: the row of the second split is answered in the history of the first."""
    asked = row("x:1", "Hi").model_copy(update={"reply": "Have you seen Casino (1995)?"})
    other = row("y:1", "Hi").model_copy(update={"reply": "Hello"})
    found = overlap(("train", [row("a:1", "Hi", "Have you seen Casino (1995)?", "No")]), ("test", [asked, other]))
    assert (found.dialogues, found.of, found.rows, found.answered, found.contexts) == (1, 2, 1, 1, 0)


def test_what_the_simulated_seeker_gives_away() -> None:
    say = "Have you seen Heat (1995)?"
    assert given_away(outcome("a:1", "Hi", say, "No, I want Casino (1995).", "Casino (1995)?"), LINKER) == (True, True)
    assert given_away(outcome("a:1", "Hi", say, "No, a crime film.", "Casino (1995)?", "Yes, Casino (1995)!"), LINKER) == (False, False)
    assert given_away(outcome("a:1", "I know Casino (1995).", say, "More like Casino."), LINKER) == (False, False), (
        "the history leaks, not the seeker"
    )


def test_results_without_the_rows_that_leak() -> None:
    """a hits and leaks by the seeker; b hits and leaks by the recommender; c hits, d and e do not; e's seeker leaks while it is played."""
    rows = [
        outcome("a:1", "I saw Casino (1995).", "Casino (1995)!"),
        outcome("b:1", "Hi", "Casino (1995)?", "Again?", "Casino (1995)!", start=3),
        outcome("c:1", "Hi", "Casino (1995)!"),
        outcome("d:1", "Hi", "Toy Story (1995)!"),
        outcome("e:1", "Hi", "Toy Story (1995)!", "No, Casino (1995).", "Heat (1995)."),
    ]
    found = audit(LINKER, {"rl": rows}, judges=["catalogue"])
    means = {(r.metric, r.subset): (round(r.measure.mean or 0, 3), r.measure.rows) for r in found.results}
    assert [means["hit", subset] for subset in SUBSETS] == [(0.6, 5), (0.333, 3), (0.667, 3), (0.5, 2)]
    assert means["ieval", "all"] == (1.2, 5)
    assert means["ieval", "neither"] == (1.0, 2)
    assert found.splits["evaluated"].named["either"].rows == 2
    assert (found.arms[0].named, found.arms[0].revealed) == (1, 1)
    assert found.faults == ["rl: the seeker, simulated or recorded, gave a target away in 1 of 5 rows"]


SETTINGS = RecommenderSettings(hints=1)


async def top(before: Dialogue, count: int) -> Sequence[str]:
    """A retriever: Casino first, then Alien."""
    return ["Casino (1995)", "Alien (1979)"][:count]


async def test_a_target_that_the_retriever_offers_is_no_leak_but_counted() -> None:
    """a and b are asked with Casino in the prompt; in b it was named before, so nothing secret is offered."""
    rows = [outcome("a:1", "Hi", "Heat (1995)?", "No.", "Alien (1979)?"), outcome("b:1", "I know Casino (1995).", "Heat (1995)?")]
    assert await prompt_leaks(rows, LINKER, Voice(SETTINGS, top), None) == PromptLeaks(
        prompts=3, confirmed=None, guided=0, offered=1, elsewhere=0, imagined=0
    )


async def test_prompts_are_looked_up_in_the_ledger(tmp_path: Path) -> None:
    """Of the two prompts that the search may have sent, the ledger knows the one with Alien: Casino was never offered."""
    asking = RecommenderSettings(hints=0)
    said = dialogue("Hi")
    engine = LedgerEngine(ScriptedEngine(), tmp_path / "ledger.sqlite")
    speaker = LLMRecommender(engine, noun=asking.noun, nouns=asking.nouns, history=asking.history)
    for names in ((), ("Alien (1979)",)):
        await speaker.sample_with(names, said, n=1, temperature=0.0, seed=1)
    await engine.close()
    searched = SearchTrace(profile=Profile(summary="Likes crime films."), candidates=(), chosen=0, strategy="flat")
    rows = [outcome("a:1", "Hi", "Heat (1995)?", search=searched), outcome("b:1", "Hello", "Heat (1995)?")]
    sent = asked(tmp_path / "ledger.sqlite")
    found = await prompt_leaks(rows, LINKER, Voice(asking, top, guided=2), sent)
    assert found == PromptLeaks(prompts=2, confirmed=1, guided=1, offered=0, elsewhere=0, imagined=0)
    unseen = await prompt_leaks(rows, LINKER, Voice(asking, top, guided=2), asked(tmp_path / "none.sqlite"))
    assert (unseen.confirmed, unseen.guided, unseen.offered) == (None, 2, 1)
    (tmp_path / "broken.sqlite").write_text("no ledger at all, but long enough for a header" * 9)
    with pytest.raises(StorageError, match="cannot be read"):
        asked(tmp_path / "broken.sqlite")


async def test_a_target_in_the_instructions_is_a_leak() -> None:
    settings = SETTINGS.model_copy(update={"hints": 0, "nouns": "films such as Casino (1995)"})
    found = await prompt_leaks([outcome("a:1", "Hi", "Heat (1995)?")], LINKER, Voice(settings, top), None)
    assert (found.offered, found.elsewhere) == (0, 1)
    assert "a prompt named a target" in audit(LINKER, {"rl": [outcome("a:1", "Hi", "?")]}, prompts={"rl": found}).faults[0]


async def test_what_the_search_makes_up_is_counted_apart() -> None:
    node = SearchNode(heard="No, Casino (1995) please.", text="Casino (1995)?")
    trace = SearchTrace(
        profile=Profile(summary="Likes crime films."), candidates=(Candidate(text="Heat?", children=(node,)),), chosen=0, strategy="tree"
    )
    found = await prompt_leaks([outcome("a:1", "Hi", "Heat (1995)?", search=trace)], LINKER, Voice(RecommenderSettings(), top), None)
    assert (found.imagined, found.elsewhere) == (1, 0)


async def test_the_digest_is_the_ledgers(tmp_path: Path) -> None:
    chat = recommender_messages(dialogue("Olá, déjà vu?"), noun="film", nouns="films", history=None)
    engine = LedgerEngine(ScriptedEngine(), tmp_path / "ledger.sqlite")
    await engine.chat(chat, sampling=Sampling())
    await engine.close()
    assert asked(tmp_path / "ledger.sqlite") == {prompt_digest(chat)}


def test_the_tables_hold_no_text_and_the_audit_is_json() -> None:
    rows = [outcome("a:1", "I saw Casino (1995).", "Casino (1995)!"), outcome("c:1", "Hi", "Heat (1995)!")]
    found = audit(LINKER, {"rl": rows}, judges=["catalogue"], splits={"train": ROWS[:2], "test": ROWS[2:]})
    tables = sheets(found)
    assert [sheet.title for sheet in tables][:3] == ["Targets that the history names", "Between splits", "Conversations and prompts"]
    assert tables[0].rows[2] == ("train", "either side", "2 (100.0%)", "2", "1", "0", "0", "1", "0", "0")
    assert tables[3].title == "iEval, judge: catalogue, with and without leaks"
    assert tables[3].rows[0][-1] == "2 / 1 / 1 / 1"
    assert all(len(line) == len(sheet.columns) for sheet in tables for line in sheet.rows)
    assert "Casino" not in str(tables)
    assert LeakAudit.model_validate_json(found.model_dump_json()) == found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with its data and one arm."""
    splits = {"train": [*ROWS[:2]], "valid": [ROWS[2]], "test": [example("t:1"), row("u:1", "I saw Casino (1995).")]}
    write(tmp_path / "prepare", CATALOGUE, splits, [Likes(key=str(n), items=items) for n, items in enumerate(LIKES)], Card(kind="custom"))
    return tmp_path


def test_the_command_on_a_prepared_folder_and_on_a_recipe(folder: Path) -> None:
    done = CliRunner().invoke(app, ["leaks", str(folder / "prepare"), "--show", "1"])
    assert done.exit_code == 0, done.output
    assert "test, u:1: Casino (1995)" in done.output
    assert "title and year" in done.output
    (folder / "recipe.yaml").write_text("name: toy\ndata: {kind: demo, test_rows: 3}\n")
    done = CliRunner().invoke(app, ["leaks", str(folder / "recipe.yaml"), "--set", "data.test_rows=2", "--json"])
    assert json.loads(done.stdout)["splits"]["test"]["rows"] == 2


def test_the_command_on_a_run_folder(folder: Path) -> None:
    """Exit 1 where the seeker gives a target away."""
    recipe = config.parse("name: toy\ndata: {kind: demo}\nevaluate: {arms: [rl]}\n", where="toy")
    jsonl.write_json(folder / "recipe.json", recipe.model_dump(mode="json"))
    data = json.loads(CliRunner().invoke(app, ["leaks", str(folder), "--json"]).stdout)
    assert data["arms"] == [], "nothing is evaluated yet"
    jsonl.rewrite(
        folder / "evaluate" / "rl" / "outcomes.jsonl",
        [outcome("t:1", "I loved Heat (1995).", "Toy Story (1995)?", "No.", "Casino (1995)?")],
    )
    done = CliRunner().invoke(app, ["leaks", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    (arm,) = json.loads(done.stdout)["arms"]
    assert (arm["named"], arm["prompts"]["prompts"], arm["prompts"]["elsewhere"]) == (0, 2, 0)
    jsonl.rewrite(
        folder / "evaluate" / "rl" / "outcomes.jsonl", [outcome("t:1", "Hi", "Toy Story (1995)?", "No, Casino (1995).", "Heat (1995)?")]
    )
    assert CliRunner().invoke(app, ["leaks", str(folder)]).exit_code == 1
