"""For every test."""

from __future__ import annotations

from signals import hear

hear()
