"""For every test."""

from __future__ import annotations

import os

from signals import hear

hear()
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # two tests at once on two cores: a thread that waits must not spin
