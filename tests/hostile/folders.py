"""Folders of data as people have them: broken, foreign, or in scripts and writings that nobody thought of.

`data check` and `data import` must agree about every folder: one clear error with file and line, or rows that are all counted.  Where the
import passes, some folders are also measured (`evaluate --system`, which needs no model): the human's replies must then reach the ceiling,
or the report says first that they do not.  No command changes a file that it reads.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from hostile.harness import Case, Ended, held, refused, usbrec
from usbrec.errors import UsbrecError

FILMS: list[dict[str, Any]] = [
    {"id": "heat", "title": "Heat", "year": 1995, "genres": ["crime", "drama"], "directors": ["Michael Mann"]},
    {"id": "casi", "title": "Casino", "year": 1995, "genres": ["crime", "drama"], "directors": ["Martin Scorsese"]},
    {"id": "alien", "title": "Alien", "year": 1979, "genres": ["horror", "sci-fi"], "directors": ["Ridley Scott"]},
    {"id": "gate", "title": "Event Horizon", "year": 1997, "genres": ["horror", "sci-fi"], "directors": ["Paul Anderson"]},
]
RECIPE = "name: t\ndata: {kind: custom}\nengines: {policy: {kind: scripted}}\nevaluate: {turns: 1}\n"
SYSTEM = "def reply(messages):\n    return 'You should watch Alien (1979).'\n"
MB = 1 << 20
Files = Mapping[str, bytes | str]
Play = Callable[[Path], Iterable[str]]


def row(number: int, **changed: Any) -> dict[str, Any]:
    """A good row; a value of None takes a key away."""
    said = [{"side": "seeker", "text": f"I am number {number} and liked Casino (1995)."}]
    whole = {"dialogue": said, "targets": ["heat"], "reply": "You should see Heat (1995).", "dialogue_id": f"d{number}", **changed}
    return {key: value for key, value in whole.items() if value is not None}


def lines(rows: Iterable[Any]) -> str:
    return "".join((each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)) + "\n" for each in rows)


def folder_of(place: Path, files: Files | None = None) -> Path:
    """A good folder `own`, but for these files."""
    good = {"catalogue": FILMS, "train": [row(1), row(2)], "valid": [row(3)], "test": [row(4), row(5)]}
    own = place / "own"
    own.mkdir(parents=True)
    for name, content in ({f"{name}.jsonl": lines(rows) for name, rows in good.items()} | dict(files or {})).items():
        (own / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return own


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def untouched(before: Mapping[str, str], folder: Path) -> list[str]:
    after = digests(folder)
    return [f"lost: {name} is not as it was" for name, digest in before.items() if after.get(name) != digest]


def check(place: Path) -> Ended:
    return usbrec("data", "check", "own", cwd=place)


def checked_here(place: Path) -> Ended:
    """The same in this process: the import before it would have crashed on its own."""
    from usbrec.cli.data import app

    done = CliRunner().invoke(app, ["check", str(place / "own")])
    told = str(done.exception) if isinstance(done.exception, UsbrecError) else ""
    crash = "" if done.exception is None or isinstance(done.exception, UsbrecError | SystemExit) else f"unexpected {done.exception!r}Error"
    return Ended(done.exit_code, "", done.stdout + done.stderr + told + crash)


def import_(place: Path, kind: str = "custom") -> Ended:
    return usbrec("data", "import", kind, "--from-dir", "own", "--out", "out", cwd=place)


def bad(*words: str, **files: bytes | str) -> Play:
    """The import ends with one error that says each of these, the check with the same faults; nothing is written."""

    def play(place: Path) -> list[str]:
        own = folder_of(place, named(files))
        before = digests(own)
        ended, checked = import_(place), checked_here(place)
        faults = refused(ended, *words, code=1)
        faults += [f"silent: the check does not say {word!r}" for word in words if word.lower() not in flat(checked).lower()]
        if checked.code != 1:
            faults.append(f"silent: the check ended with code {checked.code}")
        faults += refused(checked) if checked.code else []
        if (place / "out" / "card.json").exists():
            faults.append("silent: a folder was prepared all the same")
        return [*faults, *untouched(before, own)]

    return play


def named(files: Mapping[str, bytes | str]) -> dict[str, bytes | str]:
    return {f"{name}.jsonl": content for name, content in files.items()}


def flat(ended: Ended) -> str:
    return " ".join((ended.out + ended.err).split())


def good(
    *words: str, counts: Mapping[str, int] | None = None, measured: float | None = None, warned: bool = False, **files: bytes | str
) -> Play:
    """Check and import pass, say each of these words, and agree on the rows.

    Args:
        counts: split -> rows, where they are not those of the good folder.
        measured: the ceiling's Recall@1 once a system was measured on it.
        warned: the linking is poor, and every command says so.
    """

    def play(place: Path) -> list[str]:
        own = folder_of(place, named(files))
        before = digests(own)
        checked, ended = check(place), import_(place)
        faults = [*held(checked), *held(ended, *words)]
        if ended.code:
            return faults
        card = json.loads((place / "out" / "card.json").read_text(encoding="utf-8"))
        wanted = {"train": 2, "valid": 1, "test": 2} | dict(counts or {})
        if card["rows"] != wanted:
            faults.append(f"silent: {card['rows']} rows, not {wanted}")
        again = usbrec("data", "check", "out", cwd=place)
        faults += held(again)
        faults += [f"silent: no warning: {e.err[-300:]}" for e in (checked, ended, again) if ("warning" in e.err) != warned]
        if measured is not None:
            faults += _measured(place, measured, warned)
        return [*faults, *untouched(before, own)]

    return play


def _measured(place: Path, ceiling: float, warned: bool) -> list[str]:
    (place / "r.yaml").write_text(RECIPE)
    (place / "s.py").write_text(SYSTEM)
    ended = usbrec("evaluate", "r.yaml", "--system", "s.py:reply", "--label", "x", "--data-dir", "own", "--out", "run", "--json", cwd=place)
    if faults := held(ended):
        return faults
    report = json.loads(ended.out)
    found = report["arms"]["ceiling:human"]["counted"]["hit-unleaked"]["mean"]
    if found is None or abs(found - ceiling) > 0.001:
        faults.append(f"silent: the ceiling is {found}, not {ceiling}")
    first = (report["warnings"] or [""])[0]
    if warned and not ("ceiling is low" in first and "recall" in first.lower()):
        faults.append(f"silent: the report does not say first that the ceiling is low: {first}")
    if any(arm["errors"] for arm in report["arms"].values()):
        faults.append("silent: an arm broke off")
    return faults


def script(title: str, *, around: str = "You should see {}!", marks: str = "{}", year: int | None = 2001) -> dict[str, str]:
    """A folder whose target has this title; the replies name it so."""
    item = {"id": "x", "title": title, "year": year, "genres": ["drama"]}
    reply = around.format(marks.format(title))
    films = [*FILMS, item]
    rows = [row(n, targets=["x"], reply=reply) for n in range(1, 6)]
    return {"catalogue": lines(films), "train": lines(rows[:2]), "valid": lines(rows[2:3]), "test": lines(rows[3:])}


def film(**changed: Any) -> str:
    """The catalogue with one film changed; it is on line 4."""
    return lines([*FILMS[:3], {**FILMS[3], **changed}])


def train(*others: Any) -> str:
    """A good row on line 1 of train, then these."""
    return lines([row(1), *others])


def raw(path: str, text: str = "") -> bytes:
    return lines([row(1), row(2)]).encode(path) if not text else text.encode(path)


DEEP = '{"dialogue": ' + "[" * 100_000 + "]" * 100_000 + "}"
TWO = lines([row(1), row(2)])


# ---- what other commands write ---------------------------------------------------------------------------------------------------------


def onto(*arguments: str, said: Sequence[str] = (), prepare: Callable[[Path], object] = lambda place: None) -> Play:
    """A command that would write onto what it reads, or among somebody's files: refused, and every file is as it was."""

    def play(place: Path) -> list[str]:
        folder_of(place)
        (place / "r.yaml").write_text(RECIPE)
        (place / "s.py").write_text(SYSTEM)
        prepare(place)
        before = digests(place)
        return [*refused(usbrec(*arguments, cwd=place), *said, code=2), *untouched(before, place)]

    return play


def link(place: Path) -> None:
    (place / "link").symlink_to("own")


def recipe_named(name: str) -> Play:
    """A recipe whose name is no folder below runs/."""

    def play(place: Path) -> list[str]:
        inner = place / "inner"
        folder_of(inner)
        (inner / "r.yaml").write_text(RECIPE.replace("name: t", f"name: {json.dumps(name)}"))
        (inner / "s.py").write_text(SYSTEM)
        before = digests(place)
        ended = usbrec("prepare", "r.yaml", "--data-dir", "own", cwd=inner)
        return [*refused(ended, "name"), *untouched(before, place), *([] if digests(place) == before else ["silent: it wrote something"])]

    return play


def inside(place: Path) -> list[str]:
    """A new folder inside of the data's own: nothing of the data changes, and the same import is the same again."""
    own = folder_of(place)
    before = digests(own)
    first = usbrec("data", "import", "custom", "--from-dir", "own", "--out", "own/out", cwd=place)
    second = usbrec("data", "import", "custom", "--from-dir", "own", "--out", "own/out", cwd=place)
    return [*held(first), *held(second), *untouched(before, own)]


def sheet_over_data(place: Path) -> list[str]:
    own = folder_of(place)
    (place / "r.yaml").write_text(RECIPE)
    before = digests(own)
    return [
        *refused(usbrec("judge", "sheet", "r.yaml", "own/train.jsonl", "--data-dir", "own", cwd=place), "there already"),
        *untouched(before, own),
    ]


def prepared_again(place: Path) -> list[str]:
    """A prepared folder is own data, too; imported onto itself it would be overwritten."""
    folder_of(place)
    faults = held(import_(place))
    before = digests(place / "out")
    faults += refused(usbrec("data", "import", "custom", "--from-dir", "out", "--out", "out", cwd=place), "is what is read", code=2)
    faults += held(usbrec("data", "import", "custom", "--from-dir", "out", "--out", "second", cwd=place))
    return [*faults, *untouched(before, place / "out")]


def edited_after_import(*words: str, name: str, text: str) -> Play:
    """A prepared folder that was edited: check and run say where."""

    def play(place: Path) -> list[str]:
        folder_of(place)
        faults = held(import_(place))
        with (place / "out" / name).open("a", encoding="utf-8") as file:
            file.write(text)
        checked = usbrec("data", "check", "out", cwd=place)
        shown = usbrec("data", "show", "out", cwd=place)
        faults += [f"silent: the check does not say {word!r}: {flat(checked)[-300:]}" for word in words if word not in flat(checked)]
        return [*faults, *refused(checked), *refused(shown, *words)]

    return play


# ---- the corpora's own files -----------------------------------------------------------------------------------------------------------

INFO = {"1": {"name": "Heat (1995)", "genre": ["Crime"]}, "2": {"name": "Casino (1995)", "genre": ["Crime"]}}
PROCESSED = {"dialog_id": "7", "turn_id": 1, "context": ["I liked Casino (1995)"], "rec": ["Heat (1995)"], "resp": "See Heat (1995)!"}
DIALOGUE = {
    "conversationId": "5", "initiatorWorkerId": 1, "respondentWorkerId": 2, "movieMentions": {"11": "Heat (1995)", "12": "Casino (1995)"},
    "initiatorQuestions": {"11": {"suggested": 1, "seen": 1, "liked": 1}}, "respondentQuestions": [],
    "messages": [{"senderWorkerId": 1, "text": "I liked @12"}, {"senderWorkerId": 2, "text": "See @11 then"}],
}  # fmt: skip
TRIPLES = "Heat\tstarred_actors\tAl Pacino\nHeat\thas_genre\tCrime\n"


def talk(messages: object) -> str:
    file = io.StringIO()
    csv.writer(file).writerows([["Messages", "User Rating", "Assistant Rating"], [json.dumps(messages), "5", "5"]])
    return file.getvalue()


SAID = [
    {"type": "chat", "sender": "user", "message": "Who is in Heat?"},
    {"type": "action", "sender": "assistant", "metadata": {"path": [1.0, [["Al Pacino", "~starred_actors", "Heat"]], "x"]}},
    {"type": "chat", "sender": "assistant", "message": "Al Pacino is in Heat."},
]


def corpus(kind: str, files: Files, *words: str) -> Play:
    """A published or processed corpus with a fault: one error, from the check too."""

    def play(place: Path) -> list[str]:
        own = place / "own"
        own.mkdir()
        for name, content in files.items():
            (own / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        before = digests(own)
        return [*refused(import_(place, kind), *words, code=1), *refused(checked_here(place), *words, code=1), *untouched(before, own)]

    return play


def processed(**changed: bytes | str) -> dict[str, bytes | str]:
    good_rows = lines([PROCESSED])
    base = {"train.jsonl": good_rows, "valid.jsonl": good_rows, "test.jsonl": good_rows, "id2info.json": json.dumps(INFO)}
    return base | {name.replace("_json", ".json"): content for name, content in changed.items()}


def published(**changed: Any) -> dict[str, bytes | str]:
    return {"train_data.jsonl": lines([{**DIALOGUE, **changed}]), "test_data.jsonl": lines([DIALOGUE])}


FAST = {"cut last line", "CR line ends", "unknown key: response", "a title of 10 MB", "Chinese titles",
        "the output is the input"}  # fmt: skip

_PLAYS: dict[str, Play] = {
    # files that are no lines of JSON
    "cut last line": bad("train.jsonl:2", "not a JSON object", train=TWO[:-20]),
    "cut last line of the catalogue": bad("catalogue.jsonl:4", catalogue=lines(FILMS)[:-20]),
    "cut last line of the likes": bad("likes.jsonl:1", likes='{"key": "d1", "items": ["he'),
    "cut first line": bad("train.jsonl:1", train=TWO[9:]),
    "UTF-16": bad("train.jsonl", "UTF-16", train=raw("utf-16")),
    "UTF-16 without its mark": bad("train.jsonl", "UTF-16", train=raw("utf-16-le")),
    "UTF-32": bad("catalogue.jsonl", "UTF-16 or UTF-32", catalogue=lines(FILMS).encode("utf-32")),
    "gzip": bad("train.jsonl", "gzip", train=gzip.compress(TWO.encode())),
    "a zip archive": bad("catalogue.jsonl", "zip", catalogue=b"PK\x03\x04" + bytes(80)),
    "Latin-1": bad("train.jsonl:2", "UTF-8", train=train(row(2, reply="Amélie")).encode("latin-1")),
    "zero bytes": bad("train.jsonl", train=bytes(500)),
    "one JSON list": bad("train.jsonl:1", "list", train=json.dumps([row(1), row(2)])),
    "JSON over several lines": bad("train.jsonl:1", "one object a line", train=json.dumps(row(1), indent=2)),
    "a table": bad("train.jsonl:1", train="dialogue,targets\nhello,heat\n"),
    "two objects on a line": bad("train.jsonl:1", train=TWO.replace("\n", " ", 1)),
    "a comma behind every object": bad("train.jsonl:1", train=TWO.replace("\n", ",\n")),
    "JSON 100,000 deep": bad("train.jsonl:2", "deep", train=train(DEEP)),
    "a number of 5,000 digits": bad("train.jsonl:2", train=train(json.dumps(row(2, turn_id=0)).replace(": 0", ": " + "9" * 5000))),
    "a key written twice": bad("train.jsonl:2", "'reply'", "twice", train=train(json.dumps(row(2))[:-1] + ', "reply": ""}')),
    "NaN for an id": bad("train.jsonl:2", "NaN", train=train(json.dumps(row(2)).replace('"d2"', "NaN"))),
    "NaN for a year": bad("catalogue.jsonl:4", "NaN", catalogue=film(year=float("nan"))),
    "infinity": bad("catalogue.jsonl:4", "Infinity", catalogue=film(year=float("inf"))),
    "half a character in a reply": bad("train.jsonl:2", "surrogate", train=train(json.dumps(row(2, reply="\ud83d")))),
    "half a character in a title": bad("catalogue.jsonl:1", "surrogate", catalogue=json.dumps({**FILMS[0], "title": "\udc00"}) + "\n"),
    # rows of another form
    "unknown key: response": bad("train.jsonl:2", "'response'", "did you mean 'reply'", train=train(row(2, reply=None, response="Heat"))),
    "unknown key: target": bad("train.jsonl:2", "'target'", "did you mean 'targets'", train=train(row(2, targets=None, target=["heat"]))),
    "unknown key: context": bad("train.jsonl:2", "no 'dialogue'", "'context'", train=train(row(2, dialogue=None, context=["hello"]))),
    "an unknown key of a film": bad("catalogue.jsonl:4", "'genre'", "did you mean 'genres'", catalogue=film(genre=["crime"])),
    "role and content": bad("train.jsonl:2", "'side'", train=train(row(2, dialogue=[{"role": "user", "content": "hello"}]))),
    "a dialogue of strings": bad("train.jsonl:2", "dialogue.0", train=train(row(2, dialogue=["hello"]))),
    "a dialogue that is a string": bad("train.jsonl:2", "dialogue", train=train(row(2, dialogue="hello"))),
    "a dialogue that is null": bad("train.jsonl:2", "dialogue", train=train('{"dialogue": null, "targets": ["heat"]}')),
    "no dialogue": bad("train.jsonl:2", "no 'dialogue'", train=train(row(2, dialogue=None))),
    "a side that nobody has": bad("train.jsonl:2", "seeker", "recommender", train=train(row(2, dialogue=[{"side": "user", "text": "hi"}]))),
    "an empty text": bad("train.jsonl:2", "dialogue.0.text", train=train(row(2, dialogue=[{"side": "seeker", "text": ""}]))),
    "a blank text": bad("train.jsonl:2", "dialogue.0.text", train=train(row(2, dialogue=[{"side": "seeker", "text": " \n "}]))),
    "a text that is null": bad("train.jsonl:2", "dialogue.0.text", train=train(row(2, dialogue=[{"side": "seeker", "text": None}]))),
    "a text that is a number": bad("train.jsonl:2", "no text", train=train(row(2, dialogue=[{"side": "seeker", "text": 5}]))),
    "a reply that is a list": bad("train.jsonl:2", "'reply' is no text", train=train(row(2, reply=["Heat (1995)"]))),
    "targets as a string": bad("train.jsonl:2", "'targets' is no list", train=train(row(2, targets="heat"))),
    "a number for a target": bad("train.jsonl:2", "no text", train=train(row(2, targets=[5]))),
    "a target that nobody knows": bad("train.jsonl:2", "'Heet'", "no id or title", train=train(row(2, targets=["Heet"]))),
    "a title that two films share": bad(
        "train.jsonl:2", "means", "with its year", catalogue=lines([*FILMS, {"id": "h2", "title": "Heat", "year": 1986}]),
        train=train(row(2, targets=["Heat"])), test=lines([row(4, targets=["Heat (1995)"])]),
    ),
    "a turn that is a word": bad("train.jsonl:2", "'turn_id' is no whole number", train=train(row(2, turn_id="first"))),
    "a dialogue's id that is a list": bad("train.jsonl:2", "dialogue_id", train=train(row(2, dialogue_id=[1]))),
    "several faults are told at once": bad(
        "train.jsonl:2", "train.jsonl:3", "test.jsonl:1", train=train(row(2, response=""), "{"), test=lines([row(4, targets=[""])])
    ),
    # the catalogue
    "no catalogue": lambda place: [*refused(_without(place, "catalogue.jsonl"), "catalogue.jsonl", code=1)],
    "no training rows' file": lambda place: [*refused(_without(place, "train.jsonl"), "train.jsonl", code=1)],
    "a folder for a file": lambda place: [*refused(_folder_for_file(place), "train.jsonl", code=1)],
    "an empty catalogue": bad("catalogue.jsonl", "no item", catalogue=""),
    "an id twice": bad("catalogue.jsonl", "heat", "more than once", catalogue=lines([*FILMS, FILMS[0]])),
    "a number for an id": bad("catalogue.jsonl:4", "'id' is no text", catalogue=film(id=5)),
    "a blank id": bad("catalogue.jsonl:4", "'id'", catalogue=film(id=" ")),
    "a blank title": bad("catalogue.jsonl:4", "'title'", catalogue=film(title="  ")),
    "a number for a title": bad("catalogue.jsonl:4", "'title' is no text", catalogue=film(title=1917)),
    "no title": bad("catalogue.jsonl:1", "'title' is missing", catalogue=lines([{"id": "x"}, *FILMS])),
    "genres as a string": bad("catalogue.jsonl:4", "'genres' is no list", catalogue=film(genres="crime, drama")),
    "a year of five digits": bad("catalogue.jsonl:4", "'year'", catalogue=film(year=20015)),
    "a year in words": bad("catalogue.jsonl:4", "'year' is no whole number", catalogue=film(year="soon")),
    "a title of 10 MB": bad("catalogue.jsonl:4", "'title'", "1000", catalogue=film(title="a" * 10 * MB)),
    "a title of 10 MB in words": bad("catalogue.jsonl:4", "'title'", "1000", catalogue=film(title="long word " * MB)),
    "a genre of 10 MB": bad("catalogue.jsonl:4", "genres", "1000", catalogue=film(genres=["x" * 10 * MB])),
    "a million genres": bad("catalogue.jsonl:4", "genres", "1000", catalogue=film(genres=["x"] * MB)),
    "a plot of 10 MB": bad("catalogue.jsonl:4", "plot", "100000", catalogue=film(plot="x" * 10 * MB)),
    "a message of 10 MB": bad("train.jsonl:2", "100000", train=train(row(2, dialogue=[{"side": "seeker", "text": "(1999) " * MB}]))),
    "a reply of 10 MB": bad("train.jsonl:2", "reply", "100000", train=train(row(2, reply="Heat (1995) " * MB))),
    "a target of 10 MB": bad("train.jsonl:2", "targets", "1000", train=train(row(2, targets=["Heat" + " " * 10 * MB + "(1995)"]))),
    "likes of items that nobody knows": bad("likes.jsonl:1", "'nothing'", likes=lines([{"key": "d1", "items": ["nothing"]}])),
    "likes under another key": bad("likes.jsonl:1", "'user'", likes=lines([{"user": "d1", "items": ["heat"]}])),
    # rows that nobody can play
    "all rows without a target": bad("not one row can be used", "no target: 2", train=lines([row(n, targets=[]) for n in (1, 2)])),
    "all dialogues empty": bad("not one row can be used", "empty dialogue: 2", train=lines([row(n, dialogue=[]) for n in (1, 2)])),
    "only recommenders": bad(
        "not one row can be used", "the seeker says nothing: 1", train=lines([row(1, dialogue=[{"side": "recommender", "text": "Hello!"}])])
    ),
    "not one row": bad("not one row", train="", valid="", test=""),
    "an empty dialogue among others": good("empty dialogue: 1 rows", train=TWO + lines([row(3, dialogue=[])])),
    "a recommender alone among others": good(
        "the seeker says nothing: 1 rows", train=TWO + lines([row(3, dialogue=[{"side": "recommender", "text": "Hello!"}])])
    ),
    "the recommender spoke last": good(
        "ends with the recommender: 1 rows",
        train=TWO + lines([row(3, dialogue=[*row(3)["dialogue"], {"side": "recommender", "text": "Hm."}])])
    ),
    "a row twice": good("key occurs twice: 2 rows", train=TWO + TWO),
    # writings that are right
    "CR line ends": good(train=TWO.replace("\n", "\r"), catalogue=lines(FILMS).replace("\n", "\r")),
    "CR LF line ends": good(train=TWO.replace("\n", "\r\n")),
    "CR alone, and the last line cut": bad("train.jsonl:2", train=TWO.replace("\n", "\r")[:-20]),
    "a byte order mark": good(train=b"\xef\xbb\xbf" + TWO.encode(), catalogue=b"\xef\xbb\xbf" + lines(FILMS).encode()),
    "blank lines, and no end of line at the end": good(train="\n\n" + TWO.replace("\n", "\n \n").rstrip()),
    "a genre with a capital letter": good(
        measured=1.0, catalogue=lines({**each, "genres": [g.title() for g in each["genres"]]} for each in FILMS)
    ),
    "blank genres and stars": good(catalogue=film(genres=["", "horror "], stars=["", " "])),
    "Chinese titles": good(measured=1.0, **script("花樣年華", around="我很喜欢{},很好看")),
    "Japanese titles": good(measured=1.0, **script("千と千尋の神隠し", around="昨日{}を見ました")),
    "Korean titles": good(measured=1.0, **script("기생충", around="어제 {}을 봤어요")),
    "Thai titles": good(measured=1.0, **script("แฟนฉัน", around="ฉันชอบ{}มาก")),
    "Arabic titles": good(measured=1.0, **script("وجدة", around="شاهدت فيلم {} أمس")),
    "a title of one Chinese character": good(measured=1.0, **script("活", marks="《{}》", around="请看{}。")),
    "emoji for a title": good(measured=1.0, **script("🎬🍿")),
    "symbols for a title": good(measured=1.0, **script("$9.99", year=None)),
    "brackets in a title": good(measured=1.0, **script("[REC]")),
    "three dots for a title": good(measured=1.0, **script("…", marks="{} (2001)")),
    "markup in a title": good(measured=1.0, **script("[b]Bold[/b] [/INST] <script>alert(1)</script>")),
    "a template in a title": good(measured=1.0, **script("{{ targets }} {history} %s")),
    "replies that never name the target": good(
        measured=0.0, warned=True, test=lines([row(n, reply="You know the one I mean.") for n in (4, 5)])
    ),
    "ids with slashes and colons": good(
        catalogue=lines([{**FILMS[0], "id": "../x/y:1"}, *FILMS[1:]]),
        **{split: lines([row(n, targets=["Heat (1995)"], dialogue_id=f"a/{n}:../b") for n in numbers])
           for split, numbers in {"train": (1, 2), "valid": (3,), "test": (4, 5)}.items()},
    ),
    "ids of dialogues as numbers": good(train=lines([row(1, dialogue_id=1), row(2, dialogue_id=2)])),
    "targets read off the reply": good(train=lines([row(1, targets=None), row(2, targets=None)])),
    "likes given": good(likes=lines([{"key": "d1", "items": ["heat", "alien"]}])),
    "20,000 films": good(catalogue=lines([*FILMS, *({"id": f"n{n}", "title": f"Nothing {n}", "year": 1990} for n in range(20_000))])),
    # where results go
    "the output is the input": onto("data", "import", "custom", "--from-dir", "own", "--out", "own", said=["is what is read"]),
    "the output is a link to the input": onto(
        "data", "import", "custom", "--from-dir", "own", "--out", "link", said=["is what is read"], prepare=link
    ),
    "the input is in the output": onto("data", "import", "custom", "--from-dir", "own", "--out", ".", said=["holds what is read"]),
    "the output is in the input": inside,
    "no output": onto("data", "import", "custom", "--from-dir", "own", "--out", "", said=["empty"]),
    "no input": onto("data", "import", "custom", "--from-dir", "", "--out", "out", said=["empty"]),
    "somebody's files in the output": onto(
        "data", "import", "custom", "--from-dir", "own", "--out", "other", said=["train.jsonl", "overwritten"],
        prepare=lambda place: folder_of(place / "x").rename(place / "other"),
    ),
    "a prepared folder onto itself": prepared_again,
    "a run on its own data": onto("prepare", "r.yaml", "--data-dir", "own", "--out", "own", said=["is what is read"]),
    "a run over its own data": onto("prepare", "r.yaml", "--data-dir", "own", "--out", ".", said=["holds what is read"]),
    "a run among other files": onto(
        "prepare", "r.yaml", "--data-dir", "own", "--out", "notes", said=["other files"],
        prepare=lambda place: ((place / "notes").mkdir(), (place / "notes" / "report.txt").write_text("mine")),
    ),
    "a run in no folder": onto("prepare", "r.yaml", "--data-dir", "own", "--out", "", said=["empty"]),
    "a measurement on its own data": onto(
        "evaluate", "r.yaml", "--system", "s.py:reply", "--data-dir", "own", "--out", "own", said=["is what is read"]
    ),
    "a calibration on its own data": onto("judge", "calibrate", "r.yaml", "--data-dir", "own", "--out", "own", said=["is what is read"]),
    "a calibration published on its data": onto(
        "judge", "calibrate", "r.yaml", "--data-dir", "own", "--out", "run", "--publish", "own", said=["is what is read"]
    ),
    "grades over the data": sheet_over_data,
    "a recipe named ..": recipe_named(".."),
    "a recipe named ../other": recipe_named("../other"),
    "a recipe with an absolute name": recipe_named("/tmp/usbrec-was-here"),
    "a recipe with an empty name": recipe_named(""),
    "a recipe named by a control character": recipe_named("a\0b"),
    # prepared, then edited
    "a prepared row was cut": edited_after_import("test.jsonl:3", name="test.jsonl", text='{"key": "x'),
    "a prepared row of another catalogue": edited_after_import(
        "nowhere", name="test.jsonl",
        text=json.dumps({"key": "x:1", "dialogue_id": "x", "turn_id": 1, "targets": ["nowhere"],
                         "dialogue": {"messages": [{"side": "seeker", "text": "hi"}]}}) + "\n",
    ),
    "a prepared film was added without a title": edited_after_import("catalogue.jsonl:5", name="catalogue.jsonl", text='{"id": "z"}\n'),
    # the corpora's files
    "ReDial: id2info is cut": corpus("redial", processed(id2info_json=json.dumps(INFO)[:-9]), "id2info.json", "JSON"),
    "ReDial: id2info is gzip'd": corpus("redial", processed(id2info_json=gzip.compress(b"{}")), "gzip"),
    "ReDial: a name is missing": corpus("redial", processed(id2info_json=json.dumps({"1": {"genre": []}})), "'1' has no name"),
    "ReDial: a genre is a string": corpus(
        "redial", processed(id2info_json=json.dumps({**INFO, "3": {"name": "X", "genre": "Crime"}})), "'3'", "'genre' is no list"
    ),
    "ReDial: a name of 10 MB": corpus("redial", processed(id2info_json=json.dumps({**INFO, "3": {"name": "x" * 10 * MB}})), "'3'", "1000"),
    "ReDial: id2info is deep": corpus("redial", processed(id2info_json="[" * 100_000), "id2info.json", "deep"),
    "ReDial: valid is cut": corpus("redial", processed(**{"valid.jsonl": lines([PROCESSED])[:-9]}), "valid.jsonl:1"),
    "ReDial: rec is a string": corpus(
        "redial", processed(**{"test.jsonl": lines([{**PROCESSED, "rec": "Heat"}])}), "test.jsonl:1", "'rec'"
    ),
    "ReDial: a context of numbers": corpus("redial", processed(**{"test.jsonl": lines([{**PROCESSED, "context": [5]}])}), "test.jsonl:1"),
    "ReDial: test is missing a field": corpus("redial", processed(**{"test.jsonl": '{"dialog_id": "1"}\n'}), "test.jsonl:1", "turn_id"),
    "ReDial: nothing but empty files": corpus(
        "redial", processed(**{"train.jsonl": "", "valid.jsonl": "", "test.jsonl": ""}), "not one row"
    ),
    "ReDial as published: cut": corpus("redial", {**published(), "test_data.jsonl": lines([DIALOGUE])[:-30]}, "test_data.jsonl:1"),
    "ReDial as published: no messages": corpus("redial", published(messages=None), "train_data.jsonl:1"),
    "ReDial as published: a text is a number": corpus(
        "redial", published(messages=[{"senderWorkerId": 1, "text": 5}, {"senderWorkerId": 2, "text": "@11"}]), "train_data.jsonl:1"
    ),
    "ReDial as published: mentions are a string": corpus("redial", published(movieMentions="Heat"), "train_data.jsonl:1"),
    "ReDial as published: a name of 10 MB": corpus("redial", published(movieMentions={"13": "x" * 10 * MB}), "'13'", "1000"),
    "OpenDialKG: no column Messages": corpus(
        "opendialkg", {"opendialkg.csv": "a,b\n1,2\n", "opendialkg_triples.txt": TRIPLES}, "opendialkg.csv:2", "Messages"
    ),
    "OpenDialKG: gzip'd": corpus(
        "opendialkg", {"opendialkg.csv": gzip.compress(talk(SAID).encode()), "opendialkg_triples.txt": TRIPLES}, "opendialkg.csv"
    ),
    "OpenDialKG: deep JSON": corpus(
        "opendialkg",
        {"opendialkg.csv": 'Messages,x,y\n"' + "[" * 100_000 + '",5,5\n', "opendialkg_triples.txt": TRIPLES}, "opendialkg.csv:2",
    ),
    "OpenDialKG: a message is a number": corpus(
        "opendialkg", {"opendialkg.csv": talk([{"type": "chat", "sender": "user", "message": 5}]), "opendialkg_triples.txt": TRIPLES},
        "opendialkg.csv:2",
    ),
    "OpenDialKG: no triples": corpus("opendialkg", {"opendialkg.csv": talk(SAID), "opendialkg_triples.txt": ""}, "triples"),
    "OpenDialKG: a graph of another world": corpus(
        "opendialkg", {"opendialkg.csv": talk(SAID), "opendialkg_triples.txt": "A\tb\tC\n"}, "triples"
    ),
}  # fmt: skip


def _without(place: Path, name: str) -> Ended:
    (folder_of(place) / name).unlink()
    return import_(place)


def _folder_for_file(place: Path) -> Ended:
    own = folder_of(place)
    (own / "train.jsonl").unlink()
    (own / "train.jsonl").mkdir()
    return import_(place)


CASES: list[Case] = [Case(name, play, fast=name in FAST) for name, play in _PLAYS.items()]
