"""Plays the cases of a kind, one after the other, each in a folder of its own."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from hostile.harness import Case
from hostile.kinds import cases_of
from signals import hear


def played_all(kind: str, only: str) -> tuple[int, Counter[str]]:
    """All cases of a kind: how many acts they were, and how many faults of which sort they found."""
    hear()
    cases = [case for case in cases_of(kind) if only in case.name]
    found: Counter[str] = Counter()
    for case in cases:
        began = time.monotonic()
        faults = played(case)
        sys.stdout.write(f"{kind} / {case.name}: {'held' if not faults else '; '.join(faults)} ({time.monotonic() - began:.1f} s)\n")
        sys.stdout.flush()
        found.update(fault.partition(":")[0] for fault in faults)
    return sum(case.acts for case in cases), found


def played(case: Case) -> list[str]:
    """The faults of a case, played in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as folder:
        try:
            return list(case.play(Path(folder)))
        except Exception:
            return [f"traceback: the case itself: {traceback.format_exc(limit=-3)}"]
