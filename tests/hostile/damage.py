"""Run folders that a disk, a kill, an editor or a careless copy damaged: noticed by whoever reads them, mended by the same command again.

Each case copies a small finished run, damages it in one way, lets readers refuse it, runs the command again, and compares all rows (and
weights) with those of the undamaged run.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from clock import HANG
from hostile.harness import Case, held, refused, usbrec
from hostile.made_runs import half_trained, here, killed, measure, played, retrain, rows_in, scripted, train, trained, unlike
from usbrec import jsonl, manifest

Spoil = Callable[[Path], object]
LEFT = "not as it was left"
ARM = "evaluate/system:slow-reply"


# ---- what is done to a file ------------------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_last(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def doubled(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def swapped(path: Path) -> None:
    first, second, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([second, first, *others]))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def nulled(path: Path) -> None:
    """A block of zeros in the middle, as a file system leaves it after a power cut."""
    raw, at = path.read_bytes(), path.stat().st_size // 2
    path.write_bytes(raw[:at] + bytes(64) + raw[at + 64 :])


def replaced(old: str, new: str) -> Spoil:
    def spoil(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {path.name}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return spoil


def flipped(megabytes: float) -> Spoil:
    """As many bytes in the middle, every bit of them the other way; size and time of change stay."""

    def spoil(path: Path) -> None:
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        with path.open("rb+") as file:
            file.seek(path.stat().st_size // 2)
            some = file.read(int(megabytes * 2**20))
            file.seek(path.stat().st_size // 2)
            file.write(bytes(byte ^ 255 for byte in some))
        os.utime(path, ns=times)

    return spoil


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def text(content: str) -> Spoil:
    return lambda path: path.write_text(content)


def gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


# ---- a finished run without training ---------------------------------------------------------------------------------------------


def scripted_case(
    name: str,
    file: str,
    spoil: Spoil,
    told: str,
    *,
    command: str = "evaluate",
    reader: str | None = "report",
    kept: bool = True,
    fast: bool = False,
) -> Case:
    """The reader refuses the run and names the file; the command makes it anew, and keeps what was damaged."""

    def play(folder: Path) -> Iterator[str]:
        out = shutil.copytree(scripted() / "run", folder / "run")
        spoil(out / file)
        if reader:
            yield from refused(here(reader, out), LEFT, file.split("/")[-1])
            yield from held(here("status", out, "--json"), "damaged")
        yield from held(here(command, scripted() / "recipe.yaml", "--out", out), told)
        yield from unlike(out, rows_in(scripted() / "run"))
        if kept and not any((out / "earlier").glob("*-damaged*")):
            yield "lost: what was damaged is kept nowhere"
        if reader:
            yield from held(here("power", out))

    return Case(name, play, fast=fast)


OUTCOMES = "evaluate/rl/outcomes.jsonl"
CHANGED = "evaluate/rl: outcomes.jsonl was changed"
FINISHED = [
    scripted_case("outcomes cut in a line", OUTCOMES, cut, CHANGED),
    scripted_case("outcomes without the last row", OUTCOMES, without_last, CHANGED, fast=True),
    scripted_case("outcomes doubled", OUTCOMES, doubled, CHANGED),
    scripted_case("outcomes edited", OUTCOMES, replaced('"value":0', '"value":2'), CHANGED, fast=True),
    scripted_case("outcomes emptied", OUTCOMES, emptied, CHANGED),
    scripted_case("outcomes gone", OUTCOMES, gone, "outcomes.jsonl is gone"),
    scripted_case("outcomes a folder", OUTCOMES, as_folder, "evaluate/rl: outcomes.jsonl"),
    scripted_case("rows of outcomes swapped", OUTCOMES, swapped, CHANGED),
    scripted_case("zeros in outcomes", OUTCOMES, nulled, CHANGED),
    scripted_case("an arm's folder gone", "evaluate/rl", gone, "outcomes.jsonl is gone", reader=None, kept=False),
    scripted_case("outcomes of another arm", OUTCOMES, lambda p: shutil.copy(p.parent.parent / "base" / p.name, p), CHANGED),
    scripted_case("rankings edited", "rankings/base/rankings.jsonl", replaced('"', "'"), "rankings.jsonl was changed"),
    scripted_case("rankings gone", "rankings/base/rankings.jsonl", gone, "rankings.jsonl is gone"),
    scripted_case("candidates cut", "prefer/candidates.jsonl", cut, "candidates.jsonl was changed", command="prefer"),
    scripted_case("candidates doubled", "prefer/candidates.jsonl", doubled, "candidates.jsonl was changed", command="prefer"),
    scripted_case("pairs swapped", "prefer/rows.jsonl", swapped, "rows.jsonl was changed", command="prefer", fast=True),
    scripted_case("pairs for TRL gone", "prefer/pairs.trl.jsonl", gone, "pairs.trl.jsonl is gone", command="prefer"),
    scripted_case("the pairs' card is no JSON", "prefer/card.json", text("{"), "card.json was changed", command="prefer"),
    scripted_case("prepared rows edited", "prepare/test.jsonl", replaced("I ", "We "), "prepare: test.jsonl was changed"),
    scripted_case("the catalogue cut", "prepare/catalogue.jsonl", cut, "prepare: catalogue.jsonl was changed"),
    scripted_case("likes gone", "prepare/likes.jsonl", gone, "prepare: likes.jsonl is gone"),
    scripted_case("the data's card emptied", "prepare/card.json", emptied, "prepare: card.json was changed"),
    scripted_case("report.json gone", "report/report.json", gone, "report: report.json is gone", command="run", reader=None),
    scripted_case("the page edited", "report/report.html", replaced("base", "best"), "report.html was changed", command="run", reader=None),
    scripted_case("the report's folder gone", "report", gone, "is gone", command="run", reader=None, kept=False),
]  # fmt: skip


# ---- what a run folder says of itself --------------------------------------------------------------------------------------------


def record_case(name: str, file: str, spoil: Spoil, *told: str, fast: bool = False, reads: bool = True) -> Case:
    """Nothing is lost by it: readers go on, and the command keeps every stage."""

    def play(folder: Path) -> Iterator[str]:
        out = shutil.copytree(scripted() / "run", folder / "run")
        spoil(out / file)
        for reader in ("power", "status") if reads else ():
            yield from held(here(reader, out))
        ended = here("evaluate", scripted() / "recipe.yaml", "--out", out)
        yield from held(ended, "evaluate/rl: unchanged, kept", "prepare: unchanged, kept", *told)
        yield from ["silent: a stage was done again"] if ": done in" in ended.err else []
        yield from unlike(out, rows_in(scripted() / "run"))
        again = here("evaluate", scripted() / "recipe.yaml", "--out", out)
        yield from ["silent: it is told again"] if any(text in again.err for text in told) else []

    return Case(name, play, fast=fast)


def edited_entry(change: Callable[[dict[str, object]], object]) -> Spoil:
    def spoil(path: Path) -> None:
        value = json.loads(path.read_text(encoding="utf-8"))
        change(value["stages"]["evaluate/rl"])
        path.write_text(json.dumps(value), encoding="utf-8")

    return spoil


def without_digests(out: Path) -> None:
    """As an earlier version left it."""
    told = manifest.load(out)
    told["stages"] = {
        name: {k: v for k, v in entry.items() if k not in ("files", "reads", "recipe")} for name, entry in told["stages"].items()
    }
    jsonl.write_json(out / "manifest.json", told)
    for label in out.rglob(manifest.LABEL):
        held_ = json.loads(label.read_text(encoding="utf-8"))
        jsonl.write_json(label, {key: held_[key] for key in ("fingerprint", "parts")})
    for sums in out.rglob("*.sums"):
        sums.unlink()


TOGETHER = "manifest.json: "
RECORDS = [
    record_case("the manifest cut", "manifest.json", cut, TOGETHER, fast=True),
    record_case("the manifest emptied", "manifest.json", emptied, TOGETHER),
    record_case("the manifest full of zeros", "manifest.json", text("\0" * 4096), TOGETHER),
    record_case("the manifest of another shape", "manifest.json", text('{"version": 9, "stages": ["prepare"]}'), TOGETHER),
    record_case("the manifest gone", "manifest.json", gone, TOGETHER),
    record_case("the manifest a folder", "manifest.json", as_folder, TOGETHER),
    record_case("a label emptied", "evaluate/rl/.fingerprint.json", emptied, reads=False),
    record_case("a label gone", "evaluate/rl/.fingerprint.json", gone, reads=False),
    record_case("a label no JSON", "prepare/.fingerprint.json", text("[" * 5000)),
    record_case("recipe.json edited", "recipe.json", replaced('"seed": 1', '"seed": 99')),
    record_case("recipe.json no JSON", "recipe.json", text("{")),
    record_case("recipe.json gone", "recipe.json", gone),
    record_case("recipe.json a list", "recipe.json", text("[]")),
    record_case("recipe.json of another version", "recipe.json", text('{"name": "x", "data": {"kind": "moon"}, "evaluate": 5}')),
    record_case("the ledger gone", "ledger.sqlite", gone),
    record_case("an earlier version's folder", ".", without_digests, "had no digests yet"),
    scripted_case("an entry's parts edited", "manifest.json", edited_entry(lambda e: e["parts"].update(seed=7)),  # type: ignore[attr-defined]
                  "its entry in manifest.json was edited", reader=None),
    scripted_case("an entry's digest edited", "manifest.json",
                  edited_entry(lambda e: e["files"]["outcomes.jsonl"].update(sha256="0" * 64)), CHANGED, reader=None),  # type: ignore[index]
    scripted_case("an entry taken out", "manifest.json", edited_entry(lambda e: e.pop("fingerprint")), TOGETHER, reader=None),
]  # fmt: skip


def report_describes_what_was_measured(folder: Path) -> Iterator[str]:
    """`recipe.json` says another seed: report, page and comparison keep to what was played."""
    out = shutil.copytree(scripted() / "run", folder / "run")
    replaced('"seed": 1', '"seed": 99')(out / "recipe.json")
    yield from held(here("report", out))
    yield from ["silent: the page shows a recipe that made nothing"] if "seed: 99" in (out / "report/report.html").read_text() else []
    yield from held(here("repeats", scripted() / "run", out), "have the same seed", "a copy")
    yield from held(here("compare", scripted() / "run", out), "a copy")


def every_reader_refuses(folder: Path) -> Iterator[str]:
    out = shutil.copytree(scripted() / "run", folder / "run")
    replaced('"value":0', '"value":2')(out / OUTCOMES)
    for command in (
        ["report", out], ["compare", out, scripted() / "run"], ["compare", scripted() / "run", out], ["repeats", scripted() / "run", out],
        ["power", out], ["data", "leaks", out], ["rescore", out, "--judge", "catalogue", "--out", folder / "again"],
    ):  # fmt: skip
        yield from refused(here(*command), LEFT, "outcomes.jsonl")
    if (folder / "again" / "recipe.json").exists():
        yield "silent: a damaged run was rescored"
    out = shutil.copytree(scripted() / "run", folder / "other")
    cut(out / "prepare" / "catalogue.jsonl")
    for command in (["data", "leaks", out], ["rescore", out, "--judge", "catalogue", "--out", folder / "again"]):
        yield from refused(here(*command), LEFT, "catalogue.jsonl")
    yield from refused(usbrec("chat", out, "--arm", "base", cwd=folder, text="hello\n", limit=HANG), LEFT, "catalogue.jsonl")


def changed_and_back(spoiled: bool) -> Callable[[Path], Iterator[str]]:
    """A key is changed and changed back: what was set aside is taken back, unless it was damaged there."""

    def play(folder: Path) -> Iterator[str]:
        out, recipe = shutil.copytree(scripted() / "run", folder / "run"), scripted() / "recipe.yaml"
        yield from held(here("evaluate", recipe, "--out", out, "--set", "evaluate.turns=1"), "changed since the last run")
        (aside,) = (out / "earlier").glob("evaluate~rl-*")
        if spoiled:
            cut(aside / "outcomes.jsonl")
        ended = here("evaluate", recipe, "--out", out)
        yield from held(ended, "is not taken back" if spoiled else "evaluate/rl: taken back")
        if not spoiled and "evaluate/rl: done" in ended.err:
            yield "lost: what was taken back was done again"
        yield from unlike(out, rows_in(scripted() / "run"))

    return play


def elsewhere(put: Callable[[Path, Path], object]) -> Callable[[Path], Iterator[str]]:
    """The folder lies elsewhere: every stage is kept, and readers read."""

    def play(folder: Path) -> Iterator[str]:
        first, out = shutil.copytree(scripted() / "run", folder / "first"), folder / "deeper" / "second"
        out.parent.mkdir()
        put(first, out)
        ended = here("run", scripted() / "recipe.yaml", "--out", out)
        yield from held(ended, "report: unchanged, kept")
        yield from ["silent: a stage was done again"] if ": done in" in ended.err else []
        yield from held(here("report", out))
        yield from unlike(out, rows_in(scripted() / "run"))

    return play


def damaged_ledger(folder: Path) -> Iterator[str]:
    """It is one clear error where calls are needed, and nothing at all where they are not."""
    out = shutil.copytree(scripted() / "run", folder / "run")
    (out / "ledger.sqlite").write_bytes(b"no database" * 500)
    yield from held(here("evaluate", scripted() / "recipe.yaml", "--out", out), "evaluate/rl: unchanged, kept")
    gone(out / "evaluate" / "rl")
    yield from refused(here("evaluate", scripted() / "recipe.yaml", "--out", out), "ledger.sqlite", "fix:")
    gone(out / "ledger.sqlite")
    yield from held(here("evaluate", scripted() / "recipe.yaml", "--out", out))
    yield from unlike(out, rows_in(scripted() / "run"))


def rescored_and_moved(folder: Path) -> Iterator[str]:
    """A rescored run finds its source again where both were moved, and refuses another run's folder."""
    shutil.copytree(scripted() / "run", folder / "run")
    yield from held(here("rescore", folder / "run", "--judge", "catalogue", "--out", folder / "again"))
    (folder / "moved").mkdir()
    for name in ("run", "again"):
        (folder / name).rename(folder / "moved" / name)
    again = here("rescore", folder / "moved" / "run", "--judge", "catalogue", "--out", folder / "moved" / "again")
    yield from held(again, "evaluate/rl: unchanged, kept")
    cut(folder / "moved" / "again" / "prepare" / "catalogue.jsonl")
    yield from refused(here("report", folder / "moved" / "again"), LEFT, "catalogue.jsonl")
    yield from refused(
        here("rescore", scripted() / "run", "--judge", "catalogue", "--out", folder / "moved" / "run"), "another run's folder"
    )


SELVES = [
    Case("report describes what was measured", report_describes_what_was_measured),
    Case("every reader refuses", every_reader_refuses, fast=False),
    Case("changed and back", changed_and_back(spoiled=False), fast=False),
    Case("changed and back, damaged meanwhile", changed_and_back(spoiled=True), fast=False),
    Case("moved", elsewhere(lambda first, out: first.rename(out)), fast=False),
    Case("copied, the first one gone", elsewhere(lambda first, out: (shutil.copytree(first, out), shutil.rmtree(first))), fast=False),
    Case("behind a link", elsewhere(lambda first, out: out.symlink_to(first)), fast=False),
    Case("a damaged ledger", damaged_ledger, fast=False),
    Case("rescored and moved", rescored_and_moved, fast=False),
]


# ---- a run that was killed -------------------------------------------------------------------------------------------------------


def half_case(name: str, spoil: Spoil, *told: str, untold: Sequence[str] = ()) -> Case:
    """An evaluation killed after some rows and damaged then: the same command ends as an undisturbed one, and says what it did again."""

    def play(folder: Path) -> Iterator[str]:
        out = shutil.copytree(played() / "half", folder / "half")
        spoil(out / ARM / "outcomes.jsonl")
        yield from held(here("status", out))
        ended = here(*measure(played(), out))
        yield from held(ended, *told)
        yield from (f"silent: it says {text!r}" for text in untold if text in ended.err)
        yield from unlike(out, rows_in(played() / "run"))

    return Case(name, play, fast=False)


def of_another_run(path: Path) -> None:
    """A row with the right key, from a run with another recipe."""
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first.replace(b"Heat (1995)", b"Alien (1979)"), *others]))


def interrupted_redo(folder: Path) -> Iterator[str]:
    """A finished run, one stage of it gone, killed half way through it: 3 of 6 rows never count as finished."""
    out = shutil.copytree(played() / "run", folder / "run")
    gone(out / ARM)
    killed(played(), out)
    yield from held(here("report", out), f"{ARM} is not finished")
    yield from held(here(*measure(played(), out)), f"{ARM}: done")
    yield from unlike(out, rows_in(played() / "run"))


def interrupted_change(folder: Path) -> Iterator[str]:
    """Another seed, killed half way: what is read is what was measured; then the first seed again, and the second."""
    out, seed = shutil.copytree(played() / "run", folder / "run"), ("--set", "seed=2")
    killed(played(), out, *seed, rows=2)
    yield from held(here("report", out), f"{ARM} is not finished")
    yield from held(here("power", out), f"{ARM} is not finished")
    yield from held(here(*measure(played(), out)), f"{ARM}: taken back")
    yield from unlike(out, rows_in(played() / "run"))
    fresh = folder / "fresh"
    yield from held(here(*measure(played(), fresh, *seed)))
    yield from held(here(*measure(played(), out, *seed)))
    yield from unlike(out, rows_in(fresh))


def killed_before_anything(folder: Path) -> Iterator[str]:
    """A copy, run with another seed and killed at once: its outcomes are the first one's, and nobody takes it for another seed."""
    out = shutil.copytree(scripted() / "run", folder / "second")
    told = json.loads((out / "recipe.json").read_text(encoding="utf-8"))
    jsonl.write_json(out / "recipe.json", told | {"seed": 2})  # as the command leaves it that is killed right after
    yield from held(here("repeats", scripted() / "run", out), "have the same seed: they are no repeats")


def removed_while_running(folder: Path) -> Iterator[str]:
    """The run folder is deleted under a running command: an error, not a half folder that looks finished."""
    out = folder / "run"
    path = out / ARM / "outcomes.jsonl"

    def remove(_: object) -> None:
        deadline = time.monotonic() + HANG
        while time.monotonic() < deadline and (not path.exists() or not path.read_bytes().count(b"\n")):
            time.sleep(0.02)
        shutil.rmtree(out)

    yield from refused(usbrec(*measure(played(), out), cwd=folder, limit=HANG, interrupt=remove), "fix:")
    yield from held(here(*measure(played(), out)))
    yield from unlike(out, rows_in(played() / "run"))


def two_at_once(folder: Path) -> Iterator[str]:
    found: list[str] = []

    def second() -> None:
        found.extend(refused(here(*measure(played(), folder / "run")), "another run is using this folder"))

    killed(played(), folder / "run", before=second)
    yield from found


HALVES = [
    half_case("killed, and nothing else", lambda path: None, untold=["not as they were written"]),
    half_case("killed, rows doubled", doubled),
    half_case("killed, zeros in the middle", nulled, "1 lines of"),
    half_case("killed, a row edited", replaced('"value":0', '"value":2'), "1 lines of"),
    half_case("killed, a row of another run", of_another_run, "1 lines of"),
    half_case("killed, rows cut", cut),
    half_case("killed, the rows' digests gone", lambda path: gone(path.with_name(".outcomes.jsonl.sums"))),
    half_case("killed, the label gone", lambda path: gone(path.with_name(manifest.LABEL)), "nothing says what made"),
    half_case("killed, the manifest gone", lambda path: gone(path.parents[2] / "manifest.json")),
    Case("an interrupted redo", interrupted_redo, fast=False),
    Case("an interrupted change", interrupted_change, fast=False),
    Case("killed before anything was done", killed_before_anything, fast=False),
    Case("removed while it runs", removed_while_running, fast=False),
    Case("two at once", two_at_once, fast=False),
]


# ---- a run with the real model ---------------------------------------------------------------------------------------------------


def trained_case(name: str, file: str, spoil: Spoil, *told: str, kept: str = "") -> Case:
    """The trained weights end as they were, bit for bit; who would speak with a damaged model is refused."""

    def play(folder: Path) -> Iterator[str]:
        out = shutil.copytree(trained() / "run", folder / "run")
        spoil(out / file)
        if file.startswith("export/rl"):
            yield from refused(usbrec("chat", out, "--arm", "rl", cwd=folder, text="hello\n", limit=HANG), LEFT, "model.gguf")
        ended = usbrec(*train(out), cwd=folder, limit=HANG)
        yield from held(ended, *told)
        yield from unlike(out, rows_in(trained() / "run"))
        if kept and f"{kept}: unchanged, kept" not in ended.err:
            yield f"lost: {kept} was done again, though it was made from the same"

    return Case(name, play, fast=False)


def half_trained_case(name: str, file: str, spoil: Spoil) -> Case:
    """A training killed between two steps, and damaged: it ends as an undisturbed one."""

    def play(folder: Path) -> Iterator[str]:
        out = shutil.copytree(half_trained() / "half", folder / "half")
        spoil(out / "simpo" / file)
        yield from held(usbrec(*retrain(out), cwd=folder, limit=HANG), "simpo: done")
        yield from ["silent: another adapter"] if (out / ADAPTER).read_bytes() != (half_trained() / "whole" / ADAPTER).read_bytes() else []

    return Case(name, play, fast=False)


MODEL, ADAPTER = "export/rl/model.gguf", "simpo/adapter/adapter_model.safetensors"
TRAINED = [
    trained_case("4 MB of the merged model flipped", MODEL, flipped(4), "export/rl: model.gguf was changed", kept="evaluate/rl"),
    trained_case("the merged model cut", MODEL, cut, "export/rl: model.gguf was changed", kept="evaluate/rl"),
    trained_case("the merged model gone", MODEL, gone, "export/rl: model.gguf is gone", kept="evaluate/rl"),
    trained_case(
        "an adapter's bytes flipped", ADAPTER, flipped(0.01), "simpo: adapter/adapter_model.safetensors was changed", kept="export/rl"
    ),
    trained_case("the training's log edited", "simpo/log.jsonl", doubled, "simpo: log.jsonl was changed", kept="export/rl"),
    half_trained_case("half trained, a checkpoint flipped", "checkpoint-1/adapter_model.safetensors", flipped(0.01)),
    half_trained_case("half trained, the identity no JSON", "identity.json", text("{")),
]

CASES = [*FINISHED, *RECORDS, *SELVES, *HALVES, *TRAINED]
