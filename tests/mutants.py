"""Deliberate faults, and which test kills each: `python tests/mutants.py`, not part of `make test` (about five minutes on two cores).

    python tests/mutants.py                       all of them, two at a time
    python tests/mutants.py --only ledger         those whose name or file holds the text
    python tests/mutants.py --jobs 4

Each fault is put into a copy of `src`, and the tests that must see it run against that copy.  A fault that no test sees is an error, and so
is one whose text is not in the code any more: then the table has to follow the code.  To add one, add a line.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src"
LONGEST = 600
"""Seconds; a fault that makes a test hang is seen as well."""


class Mutant(NamedTuple):
    """One fault."""

    name: str
    file: str
    """Under `src/usbrec`."""
    tests: str
    """The test files that must fail, under `tests`, with spaces between."""
    old: str
    """Occurs exactly once in the file."""
    new: str


# fmt: off
MUTANTS = (
    Mutant("some leaked targets count as none: metrics", "evaluation/metrics.py", "evaluation/test_metrics.py",
           "if not (metric.unleaked and o.leaks)}", "if not (metric.unleaked and len(o.leaks) == len(o.targets))}"),
    Mutant("some leaked targets count as none: rows", "types.py", "evaluation/test_leaks.py",
           "return bool(self.leaks)", "return len(self.leaks) == len(self.targets)"),
    Mutant("some leaked targets are not marked", "linking/__init__.py", "evaluation/test_leaks.py",
           "return tuple(target for target in dict.fromkeys(targets) if target in named)",
           "return tuple(targets) if set(targets) <= named else ()"),
    Mutant("a shared title leaks none of its films", "linking/__init__.py", "test_linking.py",
           "named.update(mention.candidates if mention.item is None else (mention.item,))",
           "named.update(() if mention.item is None else (mention.item,))"),
    Mutant("two films equally near in year: one is guessed", "linking/__init__.py", "test_linking.py",
           "(len(near) == 1 or near[1][0] > near[0][0])", "True"),
    Mutant("a far year is repaired", "linking/__init__.py", "test_linking.py",
           "near[0][0] <= REPAIR_YEARS", "near[0][0] <= 99"),
    Mutant("a repaired title is not marked", "linking/__init__.py", "test_linking.py",
           "repaired=repaired and one is not None,", "repaired=False,"),
    Mutant("a repaired title is said back as it was written", "linking/__init__.py", "test_linking.py",
           "if mention.repaired and mention.item is not None:", "if False:"),
    Mutant("every year is right", "linking/__init__.py", "test_linking.py",
           "found.append(said in known)", "found.append(True)"),
    Mutant("words of every day link in lower case", "linking/__init__.py", "test_linking.py",
           "if len(words) == 1 and stems(word) & TOP:", "if False:"),
    Mutant("profile words say a wrong year again", "roles/catalogue.py", "roles/test_catalogue.py",
           "self.linker.righted(said[-1])", "said[-1]"),
    Mutant("a reply offers all its items", "roles/catalogue.py", "evaluation/test_ieval.py",
           "return offered in targets, () if offered is None else (offered,)",
           "return offered in targets, linker.items(dialogue.messages[-1].text)"),
    Mutant("a turn records all its items as its offer", "evaluation/ieval.py", "evaluation/test_ieval.py",
           "items=target_hit(played.until_reply(index), example.targets, self.linker)[1],", "items=self.linker.items(reply.text),"),
    Mutant("a turn keeps only its offer", "evaluation/ieval.py", "evaluation/test_ieval.py",
           "named=self.linker.items(reply.text),", "named=(),"),
    Mutant("arms play with unequal seeds", "evaluation/ieval.py", "evaluation/test_ieval.py",
           'seed_of(self.seed, "evaluate", example.key)', 'seed_of(self.seed, "evaluate", example.key, self.arm)'),
    Mutant("all rows play with one seed", "evaluation/ieval.py", "evaluation/test_ieval.py",
           'seed_of(self.seed, "evaluate", example.key)', 'seed_of(self.seed, "evaluate")'),
    Mutant("an evaluated conversation goes on after a hit", "evaluation/ieval.py", "test_systems.py",
           "            done=found,\n", ""),
    Mutant("the random floor is drawn from test", "assemble.py", "test_assemble.py",
           'world.splits["train"] if e.answered))', 'world.splits["test"] if e.answered))'),
    Mutant("the random floor says cut replies", "assemble.py", "test_assemble.py",
           'world.splits["train"] if e.answered))', 'world.splits["train"] if e.reply))'),
    Mutant("the ledger forgets the temperature", "engines/ledger.py", "engines/test_ledger.py",
           "key = _digest([self.name, verb, n, prompt, settings])",
           'settings.pop("temperature", 0)\n        key = _digest([self.name, verb, n, prompt, settings])'),
    Mutant("the ledger forgets max_tokens", "engines/ledger.py", "engines/test_ledger.py",
           "key = _digest([self.name, verb, n, prompt, settings])",
           'settings.pop("max_tokens", 0)\n        key = _digest([self.name, verb, n, prompt, settings])'),
    Mutant("the ledger forgets who said what", "engines/ledger.py", "engines/test_ledger.py",
           "_digest([[message.role, message.content] for message in messages])", "_digest([[message.content] for message in messages])"),
    Mutant("the ledger forgets the engine", "engines/ledger.py", "engines/test_ledger.py",
           "key = _digest([self.name, verb, n, prompt, settings])", "key = _digest([verb, n, prompt, settings])"),
    Mutant("rows of one chat are told by their ids alone: import", "data/custom.py", "data/test_custom.py",
           "    _join_chats(own)\n", ""),
    Mutant("rows of one chat are told by their ids alone: audit", "evaluation/leaks.py", "evaluation/test_leaks.py",
           "or goes_on(row, said) for row", "for row"),
    Mutant("dialogues are shared by their ids alone", "data/splits.py", "data/test_splits.py",
           "if at in there or row.dialogue_id in known}", "if row.dialogue_id in known}"),
    Mutant("a greeting makes one chat of many", "data/splits.py", "data/test_splits.py",
           "LONG = 3", "LONG = 1"),
    Mutant("rows are split one by one", "data/splits.py", "data/test_splits.py",
           "split[place[row.dialogue_id]].append(row)", 'split["test" if row.key.endswith(":2") else place[row.dialogue_id]].append(row)'),
    Mutant("the split depends on the rows' order", "data/splits.py", "data/test_splits.py",
           'key=lambda each: (seed_of(seed, "split", each), each))', "key=lambda each: 0)"),
    Mutant("a dialogue in test gives likes", "data/custom.py", "data/test_custom.py",
           "        if row.dialogue_id not in held_out:\n            for text", "        if True:\n            for text"),
    Mutant("a wish for a genre reaches what is popular only", "roles/catalogue.py", "roles/test_catalogue.py",
           "pool |= dict.fromkeys(of_it)", "pass"),
    Mutant("a wish for a person reaches what is popular only", "roles/catalogue.py", "roles/test_catalogue.py",
           "for person in profile.people for item in self.catalogue.by_maker[person] if item not in seen]", "for item in ()]"),
    Mutant("the retriever offers what was named", "roles/catalogue.py", "roles/test_catalogue.py",
           "seen = {*profile.mentioned, *profile.dislikes}", "seen = {*profile.dislikes}"),
    Mutant("a disliked item is worth as much", "roles/catalogue.py", "roles/test_catalogue.py",
           "return value / 2 if item in self.profile.dislikes else value", "return value"),
    Mutant("what is comparable scores as a hit", "roles/catalogue.py", "roles/test_catalogue.py",
           'return Score(value=1, reason=f"{fresh[0]} is comparable', 'return Score(value=2, reason=f"{fresh[0]} is comparable'),
    Mutant("an item is comparable with itself", "catalogue.py", "test_catalogue_items.py",
           "        if a == b:\n            return False\n", ""),
    Mutant("one common star makes items comparable", "catalogue.py", "test_catalogue_items.py",
           "COMPARABLE_STARS = 2", "COMPARABLE_STARS = 1"),
    Mutant("likeness forgets the director", "catalogue.py", "test_catalogue_items.py",
           "0.6 * jaccard + 0.2 * director", "0.6 * jaccard"),
    Mutant("a system is compared with no arm", "evaluation/compare.py", "evaluation/test_compare.py",
           '    pairs += [(system, arm, "systems")', '    [(system, arm, "systems")'),
    Mutant("a retriever counts as a model", "evaluation/compare.py", "evaluation/test_compare.py",
           'return "baseline" if arm in (COLLABORATIVE, *RETRIEVERS) else "model"',
           'return "baseline" if arm == COLLABORATIVE else "model"'),
    Mutant("Holm corrects nothing", "evaluation/stats.py", "evaluation/test_stats.py",
           "(len(p) - rank) * p[place]", "p[place]"),
    Mutant("unscored rows bound nothing", "evaluation/compare.py", "evaluation/test_compare.py",
           'return "shown" if found.worst > 0 else "undecided"', 'return "shown"'),
    Mutant("a hit is one in every scored turn", "evaluation/metrics.py", "evaluation/test_metrics.py",
           "return any(score.hit for score in turn.scores) or bool(", "return all(score.hit for score in turn.scores) or bool("),
    Mutant("a late hit is worth as much", "evaluation/metrics.py", "evaluation/test_metrics.py",
           "return 1 / log2(1 + turn)", "return 1.0"),
    Mutant("Recall@1 counts any item", "evaluation/metrics.py", "evaluation/test_metrics.py",
           "first = turn.titles[:1]", "first = turn.titles"),
    Mutant("a judge is never blind", "evaluation/sight.py", "evaluation/test_divergence.py",
           "self.auc is not None and self.auc < LEAST_SIGHT", "False"),
    Mutant("the human's words count for a judge's sight", "evaluation/sight.py", "evaluation/test_divergence.py",
           "and outcome.arm not in HUMAN_WORDS", ""),
    Mutant("ties are wins", "evaluation/sight.py", "evaluation/test_divergence.py",
           "sum(bisect_left(misses, value) + bisect_right(misses, value) for value in hits) / 2",
           "sum(bisect_right(misses, value) for value in hits)"),
    Mutant("a loss of hits is not told", "evaluation/divergence.py", "evaluation/test_divergence.py",
           "self.trained > 0 and self.high is not None and self.high < 0", "False"),
    Mutant("gains are not in a judge's own span", "evaluation/divergence.py", "evaluation/test_divergence.py",
           "(now.scores[name][key] - start.scores[name][key]) / scales[name].span", "(now.scores[name][key] - start.scores[name][key])"),
    Mutant("wrong years are not counted", "evaluation/signatures.py", "evaluation/test_failures.py",
           "(years.count(False), len(years))", "(0, len(years))"),
    Mutant("coverage counts offers, not items", "evaluation/variety.py", "evaluation/test_variety.py",
           "round(len(offer_counts(outcomes, catalogue)) / len(catalogue), 6)",
           "round(offer_counts(outcomes, catalogue).total() / len(catalogue), 6)"),
    Mutant("a dialogue's doubled items count twice", "cooccurrence.py", "test_cooccurrence.py",
           "sorted(set(items))", "sorted(items)"),
    Mutant("the conversation goes on after it is done", "conversation.py", "test_conversation.py",
           "        if done(dialogue):\n            break\n", ""),
    Mutant("every reply is judged on the whole conversation", "conversation.py", "test_conversation.py",
           "judge.score(played.until_reply(index)", "judge.score(played.dialogue"),
    Mutant("a look-ahead's value forgets the reply's own", "search/tree.py", "test_search.py",
           "return back_up(self.score.value if self.score else None,", "return back_up(None,"),
    Mutant("parts of a fingerprint in another order are other parts", "manifest.py", "test_pipeline.py",
           "json.dumps(parts, sort_keys=True, default=str)", "json.dumps(parts, default=str)"),
    Mutant("paper: good >= 1", "preferences.py", "test_preferences.py",
           "good >= 2, bad", "good >= 1, bad"),
    Mutant("paper: good > 2", "preferences.py", "test_preferences.py",
           "good >= 2, bad", "good > 2, bad"),
    Mutant("paper: bad < paper_low", "preferences.py", "test_preferences.py",
           "bad <= settings.paper_low", "bad < settings.paper_low"),
    Mutant("paper: paper_low ignored", "preferences.py", "test_preferences.py",
           "bad <= settings.paper_low", "bad <= 0"),
    Mutant("paper: bad up to 1", "preferences.py", "test_preferences.py",
           "bad <= settings.paper_low", "bad <= 1"),
    Mutant("paper: hits bonus in its scores", "preferences.py", "test_preferences.py",
           "good, bad = _value(best), _value(worst)", "good, bad = _value(worst), _value(best)"),
    Mutant("pairs: another dialogue's set", "preferences.py", "test_preferences.py",
           "in zip(examples, sets, strict=True)]", "in zip(examples, [sets[0]] * len(sets), strict=True)]"),
    Mutant("pairs: another dialogue's example", "preferences.py", "test_preferences.py",
           "for example, row in zip(examples, sets, strict=True)]", "for example, row in zip(examples[::-1], sets, strict=True)]"),
    Mutant("paper: human reply of another dialogue", "preferences.py", "test_preferences.py",
           "zip(examples, sets, strict=True)]",
           "zip(examples, [s.model_copy(update={'human': sets[0].human}) for s in sets], strict=True)]"),
    Mutant("human side of a dialogue that was played on", "preferences.py", "test_preferences.py",
           "if not example.answered or dialogue != example.dialogue:", "if not example.answered:"),
    Mutant("human side where the reply is cut", "preferences.py", "test_preferences.py",
           "if not example.answered or", "if not example.reply or"),
    Mutant("human side that repeats", "preferences.py", "test_preferences.py",
           "fresh = set(example.targets) - set(example.leaks)", "fresh = set(example.targets)"),
    Mutant("hits bonus ignored", "preferences.py", "test_preferences.py",
           "settings.hits if candidate.score.hit else 0.0", "0.0"),
    Mutant("hits bonus for all", "preferences.py", "test_preferences.py",
           "settings.hits if candidate.score.hit else 0.0", "settings.hits"),
    Mutant("paper pairs lose hints", "preferences.py", "test_preferences.py",
           "key=example.key, dialogue=row.dialogue, hints=row.hints, chosen=chosen",
           "key=example.key, dialogue=row.dialogue, chosen=chosen"),
    Mutant("other pairs lose hints", "preferences.py", "test_preferences.py",
           "key=row.key, dialogue=row.dialogue, hints=row.hints,", "key=row.key, dialogue=row.dialogue,"),
    Mutant("training prompt loses hints", "stages.py", "test_stages.py",
           "history=voice.history, hints=pair.hints)", "history=voice.history)"),
    Mutant("plays on after a hit", "preferences.py", "test_preferences.py",
           "            done=lambda said: target_hit(said, targets, self.linker)[0],\n", ""),
    Mutant("every for last", "preferences.py", "test_preferences.py",
           'self.settings.scored == "last"', 'self.settings.scored == "no"'),
    Mutant("choose under paper", "preferences.py", "test_preferences.py",
           'self.judge.method == "choose"', 'self.judge.method == "x"'),
    Mutant("a repeated target hits", "roles/catalogue.py", "test_preferences.py",
           "next((item for item in items if item not in before), None)", "items[0]"),
    Mutant("last turns + 1", "search/__init__.py", "test_search.py",
           "start + 2 * (turns - last)", "start + 2 * (turns - last + 1)"),
    Mutant("from the given dialogue's start", "search/__init__.py", "test_search.py",
           "start + 2 * (turns - last)", "2 * (turns - last)"),
    Mutant("last_turns ignored", "stages.py", "test_stages.py",
           "lambda example: search.within(len(example.dialogue), self.recipe.evaluate.turns)", "lambda _: search"),
    Mutant("from_turn ignored", "search/__init__.py", "test_search.py",
           'or len(dialogue.of("seeker")) < self.settings.from_turn', ""),
    Mutant("SFT rows not apart", "rows.py", "test_stages.py",
           "assembly.apart_from(example).retriever", "assembly.retriever"),
    Mutant("PODCS rows not apart", "stages.py", "test_stages.py",
           "assembly.apart_from(example).candidate_maker(engine)", "assembly.candidate_maker(engine)"),
    Mutant("counts kept", "cooccurrence.py", "test_cooccurrence.py",
           "        table._counts[places] -= 1\n", ""),
    Mutant("pairs kept", "cooccurrence.py", "test_cooccurrence.py",
           "together = together - np.isin(others, left)", "pass"),
    Mutant("items of nobody stay", "cooccurrence.py", "test_cooccurrence.py",
           "if self._counts[place] and self._ids", "if self._ids"),
    Mutant("SFT rows of test", "stages.py", "test_stages.py",
           'rows = await imitation_rows(recipe, world, "train")', 'rows = await imitation_rows(recipe, world, "test")'),
    Mutant("SFT held-out of test", "stages.py", "test_stages.py",
           'imitation_rows(recipe, world, "valid"', 'imitation_rows(recipe, world, "test"'),
    Mutant("SFT split ignored", "rows.py", "test_stages.py",
           "for e in world.splits[split] if", 'for e in world.splits["test"] if'),
    Mutant("PODCS rows of test", "stages.py", "test_stages.py",
           'sample_rows(world.splits["train"], settings.rows', 'sample_rows(world.splits["test"], settings.rows'),
    Mutant("SFT: reply_whole ignored", "rows.py", "test_stages.py test_assemble.py",
           "if e.answered]", "if e.reply]"),
    Mutant("SFT: answered means reply", "types.py", "test_stages.py test_assemble.py test_preferences.py",
           "return bool(self.reply) and self.reply_whole", "return bool(self.reply)"),
    Mutant("hints: target missing", "rows.py", "test_assemble.py",
           "listed = [*fresh, *(", "listed = [*("),
    Mutant("hints: target missing at all", "rows.py", "test_assemble.py",
           "listed = [*fresh, *(item for item in found if item not in fresh)]",
           "listed = [*(item for item in found if item not in fresh)]"),
    Mutant("hints: target doubled", "rows.py", "test_assemble.py",
           "*(item for item in found if item not in fresh)]", "*found]"),
    Mutant("hints: only the first target", "rows.py", "test_assemble.py",
           "if t not in example.leaks][:2]", "if t not in example.leaks][:1]"),
    Mutant("hints: leaked target", "rows.py", "test_assemble.py",
           "[t for t in example.targets if t not in example.leaks][:2]", "[*example.targets][:2]"),
    Mutant("search ties: not the one drawn more often", "search/tree.py", "test_search.py",
           "(-math.inf if worth is None else worth, branch.count)", "(-math.inf if worth is None else worth, 0)"),
    Mutant("search ties: the later", "search/tree.py", "test_search.py",
           "return sorted(branches, key=key, reverse=True)", "return sorted(branches, key=key)[::-1]"),
    Mutant("majority ties: the later", "search/__init__.py", "test_search.py",
           "tree.candidates[index].count, -index)", "tree.candidates[index].count, index)"),
    Mutant("a seeker says wishes that nobody shares", "roles/seekers.py", "roles/test_seekers.py",
           "difference(self.targets)) >= self.least", "difference(self.targets)) >= 0"),
    Mutant("a seeker knows all its wishes", "roles/seekers.py", "roles/test_seekers.py",
           'self._draw("knows", wish, given) < self.knows', 'self._draw("knows", wish, given) < 1'),
    Mutant("a seeker never leaves", "roles/patience.py", "roles/test_patience.py",
           ">= self.patience:", ">= 10**9:"),
    Mutant("a good offer does not calm a seeker", "roles/patience.py", "roles/test_patience.py",
           "count = 0 if good else count + 1", "count = count if good else count + 1"),
    Mutant("rows identified at k = 3 count as not identified", "evaluation/identifiability.py", "evaluation/test_identifiability.py",
           "k is not None and k <= CLOSE}", "k is not None and k < CLOSE}"),
)
# fmt: on


def planted(mutant: Mutant, folder: Path) -> Path:
    """A copy of the package with the fault in it.

    Raises:
        ValueError: the text that it changes is not there exactly once.
    """
    source = Path(shutil.copytree(SOURCE, folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")))
    path = source / "usbrec" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"its text occurs {text.count(mutant.old)} times in {mutant.file}")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    return source


def run(tests: Sequence[str], source: Path) -> tuple[int, list[str]]:
    """(exit status of pytest, the tests that failed), against this copy of the package; the first failure ends it."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-rfE", "-p", "no:cacheprovider", *(str(TESTS / test) for test in tests)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (source, TESTS, TESTS.parent)))}
    try:
        done = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return 1, ["(none came back)"]
    failed = [line.split(" - ")[0].split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return done.returncode, failed


def verdict(mutant: Mutant) -> tuple[bool, str]:
    """(is the fault seen, by which test or why not)."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = planted(mutant, Path(folder))
        except ValueError as fault:
            return False, f"CANNOT BE PLANTED: {fault}"
        status, failed = run(mutant.tests.split(), source)
    if status == 1 and failed:
        return True, failed[0]
    return False, "SURVIVES" if status == 0 else f"the tests did not run (pytest ended with {status})"


def main() -> int:
    """Plants every chosen fault; the exit status is 1 where one is not seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="those whose name or file holds this text")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.only in mutant.name or given.only in mutant.file]
    sound, failed = run(sorted({test for mutant in chosen for test in mutant.tests.split()}), SOURCE)
    if sound:
        print(f"the tests fail without any fault: {', '.join(failed) or f'pytest ended with {sound}'}")
        return 1
    alive = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for mutant, (seen, told) in zip(chosen, pool.map(verdict, chosen), strict=True):
            alive += not seen
            print(f"{'seen    ' if seen else 'NOT SEEN'}  {mutant.file}: {mutant.name}: {told}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} faults are seen")
    return int(alive > 0)


if __name__ == "__main__":
    raise SystemExit(main())
