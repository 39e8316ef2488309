"""Systems under test over the toy world: the three kinds score as known by hand, and every way to misbehave has one outcome."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clock import HANG
from loopback import Answer, Loopback
from toy import CATALOGUE, FILMS, dialogue, example
from usbrec import config, jsonl, pipeline
from usbrec.assemble import REFERENCES
from usbrec.errors import ConfigError, DataError, EngineUnavailable, UsbrecError
from usbrec.stages import Loop
from usbrec.systems import SystemOptions, connect
from usbrec.systems.functions import MOST_HUNG, Function
from usbrec.types import Outcome

TARGETS = ("casi", "gate", "alien", "toy")
ALIEN = "You should watch Alien (1979)."
SCORES = [0, 1, 2, 0]
"""Of ALIEN, for each of TARGETS: nothing in common, the same genres, a hit, nothing in common."""


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four test rows `d0:1` to `d3:1`, one valid row `v:1`, two training rows."""
    folder = tmp_path / "data"
    folder.mkdir()
    CATALOGUE.save(folder / "catalogue.jsonl")
    splits = {
        "train": [example("t0:1"), example("t1:1")],
        "valid": [example("v:1")],
        "test": [example(f"d{i}:1", f"I loved Heat (1995). What else is there, number {i}?", (TARGETS[i],)) for i in range(4)],
    }
    for name, rows in splits.items():
        jsonl.rewrite(folder / f"{name}.jsonl", rows)
    return folder


def recipe(turns: int = 1) -> config.Recipe:
    return config.Recipe.model_validate(
        {"name": "t", "data": {"kind": "custom"}, "engines": {"policy": {"kind": "scripted"}}, "evaluate": {"turns": turns}}
    )


async def measure(data: Path, given: str, *, turns: int = 1, last: str = "evaluate", **options: Any) -> Path:
    """The run folder after the system was played."""
    system, out = connect(given, SystemOptions(label="x", **options)), data.parent / "run"
    with pipeline.opened(out, lambda _: None) as run:
        await Loop(run=run, recipe=recipe(turns), data_dir=data, system=system).through(last)  # type: ignore[arg-type]
    return out


def outcomes(out: Path, arm: str = "system:x") -> list[Outcome]:
    return jsonl.read(out / "evaluate" / arm / "outcomes.jsonl", Outcome)


def values(rows: list[Outcome]) -> list[float | None]:
    return [row.turns[-1].scores[0].value if row.turns else None for row in rows]


def source(data: Path, body: str, name: str = "under_test.py") -> str:
    """A callable `reply` of a file with this source."""
    path = data.parent / name
    path.write_text(textwrap.dedent(body), encoding="utf-8")
    return f"{path}:reply"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(default=Answer(text=ALIEN)) as running:
        yield running


# ---- the three kinds ---------------------------------------------------------------------------------------------------------------


async def test_a_callable_scores_as_known_by_hand_beside_all_references(data: Path) -> None:
    out = await measure(data, source(data, f"def reply(dialogue):\n    return {ALIEN!r}"), last="report")
    assert values(outcomes(out)) == SCORES
    report = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["arms"]["system:x"]["judged"]["catalogue"]["ieval"]["mean"] == 0.75
    assert report["leading"] == "system:x"
    references = {*REFERENCES}
    assert {"retrieval", "retrieval:3", "retrieval+ask", "collaborative", "ceiling:human", "floor:question"} < references
    assert set(report["arms"]) == {"system:x", *references}
    assert {("system:x", "collaborative"), ("ceiling:human", "system:x")} <= {(p["a"], p["b"]) for p in report["paired"]}
    for arm in references:
        assert [row.key for row in outcomes(out, arm)] == [row.key for row in outcomes(out)]


async def test_a_system_measured_into_a_runs_folder_is_compared_with_its_arms(data: Path) -> None:
    made = recipe(1).model_copy(update={"evaluate": recipe(1).evaluate.model_copy(update={"arms": ("base",)})})
    with pipeline.opened(data.parent / "run", lambda _: None) as run:
        await Loop(run=run, recipe=made, data_dir=data).through("report")
    out = await measure(data, source(data, f"def reply(dialogue):\n    return {ALIEN!r}"), last="report")
    report = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    found = {(p["a"], p["b"]): p for p in report["paired"] if p["metric"] == "ieval" and p["question"] == "systems"}
    assert found["system:x", "base"]["rows"] == 4 and list(found) == [("system:x", "base")]


@pytest.mark.parametrize("turns", [1, 2])
async def test_an_endpoint_scores_as_known_by_hand(data: Path, server: Loopback, turns: int) -> None:
    out = await measure(data, server.url, model="toy", turns=turns)
    assert values(outcomes(out)) == [SCORES, [0, 0, 2, 0]][turns - 1]  # what was offered once is nothing new
    assert {request["model"] for request in server.requests} == {"toy"}


async def test_a_record_of_one_reply_a_row_is_judged_without_a_simulator(data: Path) -> None:
    record = write(data.parent / "r.jsonl", [{"key": f"d{i}:1", "replies": [ALIEN]} for i in range(4)])
    out = await measure(data, str(record), turns=2)
    assert values(outcomes(out)) == SCORES
    for arm in ("system:x", "collaborative", "floor:question"):
        assert [len(row.turns) for row in outcomes(out, arm)] == [1] * 4  # the references play no more turns than the record has


async def test_a_record_of_several_replies_is_answered_by_the_seeker(data: Path) -> None:
    replies = [["What do you like?", ALIEN]] * 3 + [["Toy Story (1995) is fun.", "never said"]]
    record = write(data.parent / "r.jsonl", [{"key": f"d{i}:1", "replies": said} for i, said in enumerate(replies)])
    out = await measure(data, str(record), turns=2)
    rows = outcomes(out)
    assert values(rows) == [0, 1, 2, 2]
    assert [message.side for message in rows[0].dialogue.since(1)] == ["recommender", "seeker", "recommender"]
    assert len(rows[3].turns) == 1


async def test_whole_recorded_dialogues_are_replayed_both_sides(data: Path) -> None:
    said = [
        {"role": "user", "content": "hello, I liked Event Horizon (1997)"},
        {"role": "assistant", "content": "Toy Story (1995)?", "at": "12:01"},
        {"role": "assistant", "content": "Or rather Alien (1979)."},
        {"role": "user", "content": "Seen it."},
        {"role": "assistant", "content": "Casino (1995), then."},
        {"role": "user", "content": "Thanks!"},
        {"role": "assistant", "content": "Bye."},
    ]
    same = [{"side": {"user": "seeker", "assistant": "recommender"}[m["role"]], "text": m["content"]} for m in said]
    rows = [
        {"dialogue": said, "targets": ["Casino (1995)"], "start": 0},
        {"dialogue": same, "targets": ["alien"], "start": 4, "key": "own:9"},
        {"dialogue": same, "targets": ["gate"], "start": 2, "reply": "Alien (1979)"},
    ]
    out = await measure(data, str(write(data.parent / "r.jsonl", rows)), turns=2)
    first, second, third = outcomes(out)
    assert (first.key, first.start, second.key, second.start, third.key) == ("r-1:1", 1, "own:9", 4, "r-3:2")
    assert [turn.reply for turn in first.turns] == ["Toy Story (1995)?\nOr rather Alien (1979).", "Casino (1995), then."]  # then it is over
    assert [turn.scores[0].value for turn in first.turns] == [0, 2]
    assert first.dialogue.messages[2].text == "Seen it."
    assert [turn.scores[0].value for turn in second.turns] == [0, 0] and second.turns[1].reply == "Bye."
    assert [turn.scores[0].value for turn in third.turns] == [1, 0, 0] and third.leaks == ("gate",)
    assert [row.error != "" for row in outcomes(out, "ceiling:human")] == [True, True, False]  # one row has a human's reply


async def test_without_any_human_reply_there_is_no_ceiling(data: Path) -> None:
    rows = [{"dialogue": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": ALIEN}], "targets": ["gate"]}]
    out = await measure(data, str(write(data.parent / "r.jsonl", rows)), last="report")
    report = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    assert "ceiling:human" not in report["arms"] and values(outcomes(out)) == [1]
    assert any("Not measured: ceiling:human" in warning for warning in report["warnings"])


@pytest.mark.parametrize(
    "body",
    [
        f"async def reply(dialogue):\n    return {ALIEN!r}",
        f"def reply(dialogue):\n    return {{'text': {ALIEN!r}, 'more': 1}}",
        f"class Mine:\n    def reply(self, dialogue):\n        return {ALIEN!r}\nreply = Mine()",
        f"class Mine:\n    async def __call__(self, dialogue, best=True):\n        return {ALIEN!r}\nreply = Mine()",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Mine:\n    said: str\n"
        f"    def reply(self, dialogue):\n        return self.said\nreply = Mine({ALIEN!r})",
        f"async def later():\n    return {ALIEN!r}\nreply = lambda dialogue: later()",
    ],
)
async def test_every_form_of_callable(data: Path, body: str) -> None:
    assert values(outcomes(await measure(data, source(data, body)))) == SCORES


async def test_a_callable_of_a_module_in_this_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(data, f"class Mine:\n    def reply(self, dialogue):\n        return {ALIEN!r}\nmine = Mine()", name="own_module.py")
    monkeypatch.chdir(data.parent)
    system = connect("own_module:mine", SystemOptions())
    assert system.arm == "system:own_module-mine"


async def test_a_callable_is_given_the_dialogue_as_chat_messages() -> None:
    heard: list[Any] = []
    function = Function(lambda messages: heard.append(messages) or "ok", "f")
    await function.reply(dialogue("hi", "hello", "a thriller"), seed=0)
    await function.reply(dialogue("Welcome!", first="recommender"), seed=0)
    assert heard[0] == [
        {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "a thriller"},
    ]  # fmt: skip
    assert heard[1] == [{"role": "assistant", "content": "Welcome!"}, {"role": "user", "content": "Hi"}]


async def test_an_endpoint_is_given_the_recipes_prompt_or_the_bare_dialogue(data: Path, server: Loopback) -> None:
    await measure(data, server.url, model="toy")
    assert all([m["role"] for m in request["messages"]] == ["system", "user"] for request in server.requests)
    asked = len(server.requests)
    os.environ["TOY_KEY"] = "secret"
    await measure(data, server.url, model="toy", prompt=False, api_key_env="TOY_KEY")
    assert all([m["role"] for m in request["messages"]] == ["user"] for request in server.requests[asked:])
    assert len(server.requests) == asked + 4 and server.keys[-1] == "Bearer secret"


async def test_naming_every_film_buys_no_hit(data: Path) -> None:
    everything = ", ".join(film.name for film in FILMS)  # Heat, Collateral, Casino, Alien, Event Horizon, Toy Story
    out = await measure(data, source(data, f"def reply(dialogue):\n    return {everything!r}"))
    rows = outcomes(out)
    named = ("heat", "coll", "casi", "alien", "gate", "toy")
    assert all(len(row.turns[0].items) == 1 and set(row.turns[0].named) == set(named) for row in rows)
    assert not any(row.turns[0].scores[0].hit for row in rows)


# ---- misbehaviour ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "why"),
    [
        ("raise ValueError('no luck\\nsecond line')", "raised ValueError: no luck"),
        ("raise KeyError", "raised KeyError"),
        ("return next(iter([]))", "raised StopIteration"),
        ("import sys; sys.exit(3)", "raised SystemExit: 3"),
        ("import asyncio; raise asyncio.CancelledError", "raised CancelledError"),
        ("raise TimeoutError('upstream')", "raised TimeoutError: upstream"),
        ("return '  '", "returned an empty text"),
        ("return None", "returned no text but NoneType"),
        ("return {'text': 7}", "returned no text but int"),
        ("return {'answer': 'x'}", 'returned a dict without "text"'),
    ],
)
@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_one_bad_row_is_a_failed_row_with_its_reason(data: Path, act: str, why: str, kind: str) -> None:
    if kind == "async def":
        why = why.replace("raised StopIteration", "raised RuntimeError")  # Python's own rule for coroutines
    body = f"{kind} reply(dialogue):\n    if 'number 1' in dialogue[-1]['content']:\n        {act}\n    return {ALIEN!r}"
    rows = outcomes(await measure(data, source(data, body)))
    assert values(rows) == [0, None, 2, 0]
    assert why in rows[1].error and "second line" not in rows[1].error


async def test_half_a_character_is_no_fault(data: Path) -> None:
    body = f"def reply(dialogue):\n    return {ALIEN!r} + chr(0xD83D)"  # half an emoji, as a broken JSON escape makes it
    rows = outcomes(await measure(data, source(data, body)))
    assert values(rows) == SCORES and all(row.turns[0].reply == ALIEN + "?" for row in rows)


@pytest.mark.parametrize("act", ["import threading; threading.Event().wait()", "import asyncio; await asyncio.Event().wait()"])
async def test_a_reply_that_never_comes_is_a_failed_row(data: Path, act: str) -> None:
    kind = "async def" if "await" in act else "def"
    body = f"{kind} reply(dialogue):\n    if 'number 1' in dialogue[-1]['content']:\n        {act}\n    return {ALIEN!r}"
    rows = outcomes(await measure(data, source(data, body), timeout=3))
    assert values(rows) == [0, None, 2, 0] and "no reply within 3 s" in rows[1].error


async def test_the_same_command_again_tries_the_failed_rows_again_and_only_those(data: Path) -> None:
    calls, mended = data.parent / "calls", data.parent / "mended"
    body = f"""
        from pathlib import Path
        def reply(dialogue):
            with open({str(calls)!r}, "a") as file:
                file.write("called\\n")
            if "number 1" in dialogue[-1]["content"] and not Path({str(mended)!r}).exists():
                raise ValueError("broken")
            return {ALIEN!r}
    """
    for expected, asked, mean in (([0, None, 2, 0], 4, 2 / 3), ([0, None, 2, 0], 5, 2 / 3), (SCORES, 6, 0.75), (SCORES, 6, 0.75)):
        out = await measure(data, source(data, body), last="report")
        assert values(outcomes(out)) == expected and len(calls.read_text().splitlines()) == asked
        told = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))["arms"]["system:x"]
        assert told["judged"]["catalogue"]["ieval"]["mean"] == pytest.approx(mean)
        if asked == 5:
            mended.touch()


async def test_when_every_row_fails_there_is_one_error(data: Path) -> None:
    with pytest.raises(UsbrecError, match=r"every row failed; the first one: .*raised ValueError: broken"):
        await measure(data, source(data, "def reply(dialogue):\n    raise ValueError('broken')"))


async def test_plain_functions_run_side_by_side_and_do_not_block_the_event_loop() -> None:
    together = threading.Barrier(6)

    def slow(_: object) -> str:
        together.wait(timeout=HANG)  # until all five, and the event loop's own task, are here
        return "done"

    function = Function(slow, "slow")
    replies = [asyncio.create_task(function.reply(dialogue("hi"), seed=0)) for _ in range(5)]
    await asyncio.sleep(0.01)
    await asyncio.to_thread(together.wait, HANG)
    assert [reply.text for reply in await asyncio.gather(*replies)] == ["done"] * 5


async def test_a_plain_function_is_called_once_at_a_time_unless_asked_otherwise(data: Path) -> None:
    alone = """
        import time
        now = 0
        def reply(dialogue):
            global now
            now += 1
            time.sleep(0.02)
            said, now = now, now - 1
            return f"{said} at once"
    """
    assert {row.turns[0].reply for row in outcomes(await measure(data, source(data, alone)))} == {"1 at once"}
    together = """
        import threading
        all_four = threading.Barrier(4)
        def reply(dialogue):
            all_four.wait(timeout=120)
            return "all four at once"
    """
    assert {row.turns[0].reply for row in outcomes(await measure(data, source(data, together), concurrency=4))} == {"all four at once"}


async def test_a_function_that_always_hangs_ends_the_evaluation(data: Path) -> None:
    rows = [example(f"h{i}:1", "I loved Heat (1995).", ("gate",)) for i in range(MOST_HUNG + 4)]
    jsonl.rewrite(data / "test.jsonl", rows)
    given = source(data, "import threading\ndef reply(dialogue):\n    threading.Event().wait()")
    with pytest.raises(EngineUnavailable, match=f"hangs: {MOST_HUNG} calls"):
        await measure(data, given, timeout=0.05)


@pytest.mark.parametrize(
    ("body", "name", "told"),
    [
        ("", "missing", "has no 'missing'"),
        ("class reply:\n    def reply(self, dialogue): ...", "reply", "is a class"),
        ("reply = 3", "reply", "neither a function"),
        ("def reply(): ...", "reply", "cannot be called with one argument"),
        ("def reply(dialogue, *, seed): ...", "reply", "missing a required argument: 'seed'"),
        ("import no_such_package", "reply", "cannot be imported (ModuleNotFoundError"),
        ("def (", "reply", "cannot be imported (SyntaxError"),
        ("raise SystemExit('bye')", "reply", "cannot be imported (SystemExit: bye)"),
    ],
)
def test_a_callable_that_cannot_be_used_is_named(data: Path, body: str, name: str, told: str) -> None:
    path = source(data, body).rpartition(":")[0]
    with pytest.raises(ConfigError) as fault:
        connect(f"{path}:{name}", SystemOptions())
    assert told in str(fault.value) and fault.value.fix


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        ("no/such/file.py:reply", {}, "cannot be imported (FileNotFoundError"),
        ("no_such_module:reply", {}, "cannot be imported (ModuleNotFoundError"),
        ("whatever", {}, "is no system"),
        ("http://127.0.0.1:9/v1", {}, "needs the name of its model"),
        ("http:///v1", {"model": "m"}, "is no URL"),
        ("json:dumps", {"model": "m"}, "belong to an endpoint"),
        ("json:dumps", {"prompt": False}, "belong to an endpoint"),
    ],
)
def test_a_system_that_is_none_is_named(given: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as fault:
        connect(given, SystemOptions(**options))
    assert told in str(fault.value) and fault.value.fix


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(body="<html>It works!</html>", content_type="text/html"), "the answer is an HTML page"),
        (Answer(status=400, message="wrong model"), "wrong model"),
        (Answer(text="  "), "empty"),
    ],
)
@pytest.mark.parametrize("prompt", [True, False])
async def test_an_endpoint_that_gives_no_reply_is_one_error_that_names_it(
    data: Path, server: Loopback, answer: Answer, why: str, prompt: bool
) -> None:
    server.default = answer
    with pytest.raises(UsbrecError, match="every row failed") as fault:
        await measure(data, server.url, model="toy", prompt=prompt)
    assert why in str(fault.value) and server.url.split("//")[1].split("/")[0] in str(fault.value)


async def test_an_endpoint_that_hangs_fails_the_row(data: Path, server: Loopback) -> None:
    server.script(Answer(slow=6))
    rows = outcomes(await measure(data, server.url, model="toy", timeout=3, concurrency=1))
    assert values(rows) == [None, 1, 2, 0] and "no reply within 3 s" in rows[0].error


async def test_an_endpoint_that_is_not_there_is_one_error(data: Path) -> None:
    with pytest.raises(UsbrecError, match=r"127\.0\.0\.1:9"):
        await measure(data, "http://127.0.0.1:9/v1", model="toy", timeout=2)


# ---- records -----------------------------------------------------------------------------------------------------------------------


async def test_rows_that_are_not_recorded_fail_and_are_counted(data: Path) -> None:
    record = write(
        data.parent / "r.jsonl", [{"key": "d2:1", "replies": [ALIEN]}, {"key": "d1:1", "replies": []}, {"key": "d0:1", "replies": [""]}]
    )
    rows = outcomes(await measure(data, str(record)))
    assert values(rows) == [None, None, 2, None]
    assert "the recorded reply of turn 1 is empty" in rows[0].error
    assert all("the record has no reply to this row" in rows[i].error for i in (1, 3))


GOOD = {"key": "d0:1", "replies": [ALIEN]}
SAID = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": ALIEN}]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "the record is empty"),
        ([GOOD, GOOD], "'d0:1' for one"),
        ([GOOD, {"key": "nobody:1", "replies": []}], "1 of 2 keys are unknown in test, 'nobody:1'"),
        ([{"key": "v:1", "replies": [ALIEN]}], "--set evaluate.split=valid"),
        ([{"key": "d0:1", "replies": [3]}], "field 'replies.0'"),
        ([{"key": "d0:1", "replies": "text"}], "field 'replies'"),
        ([{"key": "d0:1"}], "field 'replies'"),
        ([GOOD, '{"key": "d1:1", "repl'], "r.jsonl:2"),
        ([GOOD, {"dialogue": SAID, "targets": ["gate"]}], "r.jsonl:2"),
        ([{"dialogue": SAID, "targets": ["Nothing (1900)"]}], "the target 'Nothing (1900)' is no id or title"),
        ([{"dialogue": SAID, "targets": []}], "field 'targets'"),
        ([{"dialogue": SAID, "targets": ["gate"], "start": 2}], "the recommender says nothing from message 2 on"),
        ([{"dialogue": [{"role": "system", "content": "x"}], "targets": ["gate"]}], "field 'dialogue.0.role'"),
        ([{"dialogue": [{"role": "user", "content": " "}], "targets": ["gate"]}], "field 'dialogue.0.content'"),
        ([{"dialogue": SAID, "targets": ["gate"], "key": "a:1"}] * 2, "'a:1' for one"),
    ],
)
async def test_a_record_that_does_not_fit_is_one_error(data: Path, rows: list[Any], told: str) -> None:
    with pytest.raises(DataError) as fault:
        await measure(data, str(write(data.parent / "r.jsonl", rows)))
    assert told in str(fault.value)


async def test_a_record_that_is_not_there(data: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        await measure(data, str(data / "none.jsonl"))


# ---- resumption --------------------------------------------------------------------------------------------------------------------


COUNTING = """
    from pathlib import Path
    def reply(dialogue):
        with open(Path(__file__).with_name("asked.txt"), "a") as file:
            file.write(dialogue[-1]["content"][-2] + "\\n")
        if Path(__file__).with_name("stop").exists() and "number 2" in dialogue[-1]["content"]:
            import time
            time.sleep(60)
        return "You should watch Alien (1979)."
"""


async def test_a_cancelled_run_asks_only_for_the_rest_and_a_finished_one_for_nothing(data: Path) -> None:
    given, asked = source(data, COUNTING), data.parent / "asked.txt"
    (data.parent / "stop").touch()
    task = asyncio.create_task(measure(data, given))
    while not asked.exists() or "2" not in asked.read_text():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (data.parent / "stop").unlink()
    assert values(outcomes(await measure(data, given))) == SCORES
    assert sorted(asked.read_text().split()) == ["0", "1", "2", "2", "3"]
    await measure(data, given)
    assert len(asked.read_text().split()) == 5
    source(data, COUNTING + "    # changed\n")
    await measure(data, given)
    assert len(asked.read_text().split()) == 9  # another source is another system


def usbrec(data: Path, *arguments: str) -> list[str]:
    path = data.parent / "recipe.yaml"
    path.write_text("name: t\ndata: {kind: custom}\nevaluate: {turns: 1}\n")
    out = str(data.parent / "run")
    return [sys.executable, "-m", "usbrec", "evaluate", str(path), "--data-dir", str(data), "--out", out, *arguments]


def test_from_the_command_line_killed_and_run_again(data: Path) -> None:
    given, asked = source(data, COUNTING), data.parent / "asked.txt"
    (data.parent / "stop").touch()
    process = subprocess.Popen(usbrec(data, "--system", given, "--label", "x"), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while (not asked.exists() or "2" not in asked.read_text()) and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    (data.parent / "stop").unlink()
    done = subprocess.run(usbrec(data, "--system", given, "--label", "x"), capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert "system:x" in done.stdout and "report.html" in done.stdout
    assert sorted(asked.read_text().split()) == ["0", "1", "2", "2", "3"]
    assert values(outcomes(data.parent / "run")) == SCORES


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "m"], "belong to --system"),
        (["--system", "nonsense"], "is no system"),
        (["--system", "BAD"], "every row failed; the first one: "),
    ],
)
def test_bad_input_on_the_command_line_is_one_error(data: Path, arguments: list[str], told: str) -> None:
    bad = source(data, "def reply(dialogue):\n    raise ValueError('broken')")
    done = subprocess.run(usbrec(data, *(bad if a == "BAD" else a for a in arguments)), capture_output=True, text=True, timeout=HANG)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "error: " in done.stderr and told in done.stderr
