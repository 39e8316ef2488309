"""The report of a run: everything measured, in three forms that say the same.

`build` reads the run folder (outcomes, cards, training logs, manifest) and computes; `write` renders `report.json`, `report.md`,
`report.html` and the plots.  The JSON and the Markdown hold no text of any dialogue, so they can be published whatever the data's licence;
the page shows dialogues only when asked to.  The page is one file, needs no network, and forbids itself any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from usbrec import jsonl, manifest
from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Cooccurrence
from usbrec.errors import DataError, first_line
from usbrec.evaluation import trust
from usbrec.evaluation import verdicts as say
from usbrec.evaluation.compare import compare_all, in_order, kind_of, leading
from usbrec.evaluation.divergence import Divergence
from usbrec.evaluation.failures import failures
from usbrec.evaluation.leaks import audit
from usbrec.evaluation.metrics import keep_new, linking_judge, measure_arm
from usbrec.evaluation.ranking import Ranking, measure_ranker
from usbrec.evaluation.scale import scale_of
from usbrec.evaluation.summary import Curves, Plain, Report
from usbrec.evaluation.variety import measure_variety
from usbrec.linking import Linker
from usbrec.types import Outcome, Turn

READ = ("prepare", "sft", "prefer", "simpo", "evaluate", "rankings")
"""The stages whose files a report reads."""
CARDS = {"The data": "prepare/card.json", "The preference pairs": "prefer/card.json"}
LOGS = {"SFT": "sft/log.jsonl", "SimPO": "simpo/log.jsonl"}
_LONGEST = 160  # characters of a card's value that are shown


def build(run: Path, judges: Sequence[str] | None = None, *, seed: int = 0) -> Report:
    """Measures and compares all arms of a run folder.

    Args:
        run: holds `evaluate/`; cards, logs and manifest are used as far as they are there.
        judges: one name per score of a turn, in that order; None: as the scores name them.
        seed: of the bootstrap and the permutation tests.

    Raises:
        DataError: no outcomes, files that are not as their stages left them, rows that break their format, or judges that do not fit
            the scores.
    """
    manifest.verify(run, *READ)
    found = read_outcomes(run)
    names = unique(judges if judges is not None else judges_in(found))
    prepared = run / "prepare"
    catalogue = catalogue_of(run)
    linker = Linker(catalogue) if catalogue else None
    outcomes = keep_new(found, linker)
    arms = {arm: measure_arm(outcomes[arm], names, seed=seed) for arm in in_order(list(outcomes))}
    paired = compare_all(outcomes, names, seed=seed)
    stale = {stage.removeprefix("evaluate/") for stage in manifest.stale(manifest.stages_of(run))} & {*found}
    popularity = Cooccurrence.load(prepared / "likes.jsonl").popularity if (prepared / "likes.jsonl").exists() else {}
    rankings = sorted((run / "rankings").glob("*/rankings.jsonl"))
    ranked = {path.parent.name: jsonl.read(path, Ranking, tolerate_torn_tail=True) for path in rankings}
    leaks = audit(linker, found, judges=names, seed=seed) if linker else None
    report = Report(
        run=run.resolve().name,
        judges=tuple(names),
        leading=leading(list(arms)),
        turns_at_most=max((len(o.turns) for rows in outcomes.values() for o in rows), default=0),
        arms=arms,
        paired=tuple(paired),
        verdicts=tuple(say.verdicts(paired, names, leading(list(arms)))),
        warnings=(
            *missing(run, list(found)),
            *incomplete(run),
            *(leaks.faults if leaks else ()),
            *say.warnings(arms, names, outcomes),
            *say.searched(arms, made_by(run).get("search") or {}),
        ),
        cards={title: flat(_document(run / path)) for title, path in CARDS.items() if not stale or path.startswith("prepare")}
        | _of_manifest(manifest.load(run)),
        training={} if stale else {stage: curves for stage, path in LOGS.items() if (curves := read_curves(run / path))},
        protocol=_evaluation(made_by(run)).get("protocol"),
        scales={judge: scale_of(outcomes, place, seed=seed) for place, judge in enumerate(names)},
        variety=tuple(measure_variety(outcomes[arm], catalogue, popularity, linker, seed=seed) for arm in arms)
        if catalogue and linker
        else (),
        leaks=leaks,
        rankings={name: measure_ranker(rows, seed=seed) for name, rows in ranked.items()},
        rankings_interactive={
            name: measure_ranker(rows, interactive=True, seed=seed) for name, rows in ranked.items() if any(r.interactive for r in rows)
        },
        failures=tuple(failures(found, names, linker=linker, seed=seed)),
        divergence=_divergence(run / "checkpoints" / "divergence.json"),
    )
    low = say.low_ceiling(arms, _document(prepared / "card.json").get("linking") or {})
    return report.model_copy(update={"warnings": (*low, *trust.fitness(report), *report.warnings)})


def write(run: Path, report: Report, *, include_dialogues: bool = False) -> Path:
    """Writes `report/` in the run folder; returns the page's path.

    Args:
        include_dialogues: puts a few dialogues with their searches on the page (not in the other files): mind the data's licence.

    Raises:
        StorageError: a file cannot be written.
    """
    from usbrec.evaluation import plots, tables
    from usbrec.evaluation.latex import latex
    from usbrec.evaluation.page import page, text

    folder = run / "report"
    drawn = plots.draw(report)
    for name, plot in drawn.items():
        jsonl.write_text(folder / "plots" / f"{name}.svg", plot.file)
    samples = read_outcomes(run) if include_dialogues else {}
    names = {item.id: item.name for item in catalogue_of(run) or ()} if include_dialogues else {}
    recipe = made_by(run)
    source = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=120) if recipe else ""
    jsonl.write_json(folder / "report.json", report.model_dump(mode="json"))
    jsonl.write_text(folder / "report.md", text(report, drawn))
    jsonl.write_text(folder / "report.tex", "\n\n".join(latex(sheet) for sheet in tables.sheets(report)) + "\n")
    jsonl.write_text(folder / "report.html", page(report, drawn, recipe=source, samples=samples, names=names))
    return folder / "report.html"


def read_report(run: Path) -> Report:
    """The report that a run folder holds.

    Raises:
        DataError: there is none, or it is of another format.
    """
    path = run / "report" / "report.json"
    try:
        return Report.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError("no report that this version can read", where=str(path), fix=f"usbrec report {run}") from None


def read_outcomes(run: Path) -> dict[str, list[Outcome]]:
    """Arm -> its rows, from every file under `evaluate/`.  A row that failed and was run again counts once, as run again.

    Arms that were measured otherwise than the references are left out: see `measured_otherwise`.

    Raises:
        DataError: no rows, one row twice with a result, or a file that is not as its stage left it.
    """
    manifest.verify(run, "evaluate")
    folder = run / "evaluate"
    arms: dict[str, dict[str, Outcome]] = {}
    for path in sorted(folder.rglob("*.jsonl")):
        for outcome in jsonl.read(path, Outcome, tolerate_torn_tail=True):
            rows = arms.setdefault(outcome.arm, {})
            if outcome.key in rows and not rows[outcome.key].error and not outcome.error:
                raise DataError(f"row '{outcome.key}' of arm '{outcome.arm}' is there twice", where=str(path), fix="remove one of the two")
            if outcome.key not in rows or rows[outcome.key].error:
                rows[outcome.key] = outcome
    for arm in measured_otherwise(run):
        arms.pop(arm, None)
    if not arms:
        raise DataError("there are no outcomes to report on", where=str(folder), fix="usbrec run RECIPE")
    return {arm: list(rows.values()) for arm, rows in arms.items()}


def new_outcomes(run: Path) -> dict[str, list[Outcome]]:
    """As `read_outcomes`, with only the new items of each turn (`metrics.keep_new`); builds a linker only where no judge lists them."""
    found = read_outcomes(run)
    catalogue = catalogue_of(run) if linking_judge(found) is None else None
    return keep_new(found, Linker(catalogue) if catalogue else None)


def catalogue_of(run: Path) -> Catalogue | None:
    """A run's catalogue, where it has one."""
    path = run / "prepare" / "catalogue.jsonl"
    return Catalogue.load(path) if path.exists() else None


def measured_as(run: Path) -> dict[str, Any]:
    """How a run's references (or else its arms) were measured last: data, seed, rows, turns, seeker, judges; empty where nothing says."""
    return _measured_last(manifest.stages_of(run))


def measured_otherwise(run: Path) -> dict[str, str]:
    """Arms of a run folder that were measured with other settings than its references were last -> in which they differ.

    Such an arm stays in the folder when the recipe drops it and then changes, or when a run is broken off after a change.
    """
    stages = manifest.stages_of(run)
    wanted, found = _measured_last(stages), {}
    for folder in sorted((run / "evaluate").glob("*/")) if wanted else ():
        entry = stages.get(f"evaluate/{folder.name}") or manifest.label(folder) or {}
        if (parts := _measured(entry.get("parts", {}))) and (how := jsonl.differences(parts, wanted)):
            found[folder.name] = _some(how)
    return found


def made_by(run: Path, arm: str = "") -> dict[str, Any]:
    """The recipe that made an arm's outcomes, or those finished last; the one last asked for where none was recorded (earlier versions)."""
    return manifest.recipe(run, f"evaluate/{arm}" if arm else "evaluate") or _document(run / "recipe.json")


def incomplete(run: Path) -> list[str]:
    """What stands against taking the arms of a run folder for one finished evaluation, a sentence each."""
    stages = manifest.stages_of(run)
    begun = [name for name in manifest.begun(run) if name not in stages]
    played = {name.removeprefix("evaluate/"): name for name in stages if name.startswith("evaluate/")}
    last = _decisive(made_by(run)) if played else {}
    changed = {arm: jsonl.differences(_decisive(made_by(run, arm)), last) for arm in played}
    begun_anew = {name.removeprefix("evaluate/"): source for name, source in manifest.stale(stages).items()}
    return [
        *(f"{arm} was measured otherwise and is left out ({how}): evaluate it again." for arm, how in measured_otherwise(run).items()),
        *(f"{name} is not finished: only its rows so far are here." for name in begun if name.startswith(("evaluate/", "rankings/"))),
        *(f"{arm} was made by an earlier recipe ({_some(how)})." for arm, how in changed.items() if how),
        *(f"{arm} was made from what is no longer here: {begun_anew[arm]} was begun anew since." for arm in played if arm in begun_anew),
    ]


def missing(run: Path, arms: Sequence[str]) -> list[str]:
    """The arms that were asked for and are not there, in a sentence; a system is measured without them."""
    wanted = _evaluation(_document(run / "recipe.json")).get("arms")
    missing = [str(arm) for arm in wanted if arm not in arms] if isinstance(wanted, list) else []
    return (
        [f"Asked for, and not evaluated yet: {', '.join(missing)}."]
        if missing and not any(arm.startswith("system:") for arm in arms)
        else []
    )


def _decisive(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without what decides no outcome."""
    evaluation = {key: value for key, value in _evaluation(recipe).items() if key != "arms"}
    return {key: value for key, value in recipe.items() if key not in ("name", "about")} | {"evaluate": evaluation}


def _evaluation(recipe: Mapping[str, Any]) -> dict[str, Any]:
    section = recipe.get("evaluate")
    return section if isinstance(section, dict) else {}


def _measured_last(stages: Mapping[str, Any]) -> dict[str, Any]:
    found = {name.removeprefix("evaluate/"): entry.get("parts", {}) for name, entry in stages.items() if name.startswith("evaluate/")}
    references = [parts for arm, parts in found.items() if kind_of(arm) != "model"]
    return _measured((references or list(found.values()) or [{}])[-1])


def _measured(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Of a stage's parts those that must be the same in all arms, whoever speaks in them."""
    found = {key: parts[key] for key in ("prepare", "seed", "evaluate", "others", "noun", "judge", "engine", "asked") if key in parts}
    engines = {role: parts["engines"].get(role) for role in ("seeker", "judge")} if "engines" in parts else None
    return found if engines is None else found | {"engines": engines}


def read_curves(path: Path) -> Curves:
    """Every number of a training log against its step; empty when there is no log."""
    curves: Curves = {}
    if not path.exists():
        return curves
    for number, row in jsonl.read_objects(path, tolerate_torn_tail=True):
        step = row.get("step")
        if not isinstance(step, int | float):
            raise DataError("a log row without a step", where=f"{path}:{number}", fix="remove that line")
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                curves.setdefault(name, []).append((float(step), float(value)))
    return curves


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Plain]:
    """Nested keys as `a.b`; lists of plain values in one line; anything longer than a line is cut."""
    found: dict[str, Plain] = {}
    for key, entry in value.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(entry, Mapping):
            found |= flat(entry, name)
        elif isinstance(entry, list):
            found[name] = _short(", ".join(str(part) for part in entry if not isinstance(part, dict | list)) or f"{len(entry)} entries")
        else:
            found[name] = _short(entry) if isinstance(entry, str) else entry
    return found


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _some(differences: Sequence[str]) -> str:
    return "; ".join(differences[:3]) + (" ..." if len(differences) > 3 else "")


def _document(path: Path) -> dict[str, Any]:
    try:
        return jsonl.document(path) if path.exists() else {}
    except DataError as fault:
        raise DataError(fault.what, where=fault.where, fix="run the command that writes it again") from None


def _divergence(path: Path) -> Divergence | None:
    try:
        return Divergence.model_validate(told) if (told := _document(path)) else None
    except ValidationError as fault:
        raise DataError(first_line(fault), where=str(path), fix="usbrec judge checkpoints writes it again; or remove it") from None


def _of_manifest(told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Stages (without the settings they ran with: the recipe has those), and versions with the machine."""
    kept = {
        name: {k: v for k, v in entry.items() if k not in ("parts", "reads", "recipe", "files")} for name, entry in told["stages"].items()
    }
    return {"The stages": flat(kept), "Versions and machine": flat({k: v for k, v in told.items() if k != "stages"})}


def judges_in(arms: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """The judges of every turn's scores, in their order and by the names that these give; none where no turn was scored."""
    for turn in _turns(arms):
        return [score.judge or f"judge {place}" for place, score in enumerate(turn.scores, start=1)]
    return []


def _turns(arms: Mapping[str, Sequence[Outcome]]) -> Iterator[Turn]:
    return (turn for rows in arms.values() for outcome in rows for turn in outcome.turns)


def unique(names: Sequence[str]) -> list[str]:
    """Two judges of one name get numbers."""
    return [f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name for place, name in enumerate(names)]
