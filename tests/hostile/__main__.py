"""`python -m hostile [KIND ...] [--out FILE]`: plays every case of these kinds and writes the summary; `make hostile` calls this."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from hostile.harness import KINDS, Case
from hostile.kinds import cases_of, kinds


def main() -> int:
    parser = argparse.ArgumentParser(prog="hostile", description="Plays every hostile case and counts what did not hold.")
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(kinds())}; default: all")
    parser.add_argument("--out", type=Path, help="where the summary goes")
    parser.add_argument("--only", default="", help="only the cases whose name contains this")
    given = parser.parse_args()
    tried: dict[str, int] = {}
    found: Counter[str] = Counter()
    for kind in given.kinds or kinds():
        cases = [case for case in cases_of(kind) if given.only in case.name]
        for case in cases:
            began = time.monotonic()
            faults = played(case)
            sys.stdout.write(f"{kind} / {case.name}: {'held' if not faults else '; '.join(faults)} ({time.monotonic() - began:.1f} s)\n")
            sys.stdout.flush()
            found.update({fault.partition(":")[0] for fault in faults})
        tried[kind] = sum(case.acts for case in cases)
    summary = {"tried": tried, **{kind: found[kind] for kind in KINDS}}
    text = json.dumps(summary, indent=2) + "\n"
    sys.stdout.write(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")
    return 1 if any(found.values()) else 0


def played(case: Case) -> list[str]:
    """The faults of a case, played in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as folder:
        try:
            return list(case.play(Path(folder)))
        except Exception:
            return [f"traceback: the case itself: {traceback.format_exc(limit=-3)}"]


if __name__ == "__main__":
    sys.exit(main())
