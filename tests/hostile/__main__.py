"""`python -m hostile [KIND ...] [--out FILE]`: plays every case of these kinds and writes the summary; `make hostile` calls this."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from hostile.harness import KINDS
from hostile.kinds import kinds
from hostile.playing import played_all


def main() -> int:
    parser = argparse.ArgumentParser(prog="hostile", description="Plays every hostile case and counts what did not hold.")
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(kinds())}; default: all")
    parser.add_argument("--out", type=Path, help="where the summary goes")
    parser.add_argument("--only", default="", help="only the cases whose name contains this")
    parser.add_argument("--jobs", type=int, default=2, help="so many kinds at once, each in a process of its own")
    given = parser.parse_args()
    chosen = given.kinds or kinds()
    with ProcessPoolExecutor(given.jobs, max_tasks_per_child=1) as pool:
        results = dict(zip(chosen, pool.map(played_all, chosen, [given.only] * len(chosen)), strict=True))
    found = sum((faults for _, faults in results.values()), Counter[str]())
    summary = {"tried": {kind: acts for kind, (acts, _) in results.items()}, **{kind: found[kind] for kind in KINDS}}
    text = json.dumps(summary, indent=2) + "\n"
    sys.stdout.write(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
