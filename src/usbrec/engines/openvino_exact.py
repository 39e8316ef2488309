"""Exact precision of the embedded engine: a sample that depends on its prompt, settings and seed alone, to the last bit.

float32 is not enough for that.  A last bit that differs seldom changes a likely token, but a vocabulary's long tail moves with it: up to
one reply in sixty came out otherwise in other company (docs/log.md).  Three things change last bits, and here none happens:

- A matrix product with one row is computed by another kernel than one with several: `Company`, a sequence of no other use, is always in
  the batch.
- So is attention for one token, and a prompt may be left with just one to read when its beginning lies in the prefix cache, or when it is
  read in pieces: there is no such cache, and `Room` admits only as many prompts as one step can read whole.
- A sequence that is put back for want of memory is read anew as a prompt: `Room` admits only what surely fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from usbrec.engines.openvino_jobs import Sample

BLOCK = 32
"""Tokens in one block of OpenVINO's attention cache on a CPU."""
_KEPT = 24
"""Tokens of the company before it is begun anew: with its prompt no more than a block."""


def blocks(tokens: int) -> int:
    """The blocks of so many tokens."""
    return -(-tokens // BLOCK)


class Company:
    """A sequence that keeps every other one company."""

    def __init__(self, ov: Any, pipe: Any) -> None:
        self._ov, self._pipe = ov, pipe
        self._ids = pipe.get_tokenizer().encode(".", add_special_tokens=False).input_ids
        self._config = pipe.get_config()
        self._config.max_new_tokens, self._config.ignore_eos = _KEPT, True
        self._config.do_sample = self._config.apply_chat_template = False
        self._handle: Any = None

    def keep(self) -> None:
        """Before a step: there it is."""
        if self._handle is None or self._handle.get_status() != self._ov.GenerationStatus.RUNNING:
            self._handle = self._pipe.add_request(0, self._ids, self._config)

    def go(self) -> None:
        """Nothing is left to do."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Room:
    """What may be added to a batch beside the company."""

    def __init__(self, company: Company, pipe: Any, *, samples: int, tokens: int) -> None:
        self.company = company
        company.keep()
        pipe.step()
        self.blocks: int = round(100 / pipe.get_metrics().cache_usage) - 1
        """Of the attention cache, the company's own left out."""
        company.go()
        self.samples, self.tokens = samples - 1, tokens

    def ever(self, prompt: int, most: int) -> bool:
        """Whether a prompt of so many tokens with a reply of at most `most` fits at all."""
        return blocks(prompt + most) <= self.blocks

    def now(self, prompt: int, most: int, running: Sequence[Sample]) -> bool:
        """Whether it fits beside what is running."""
        unread = sum(sample.prompt_tokens for sample in running if not sample.ids)
        taken = sum(blocks(sample.prompt_tokens + sample.most) for sample in running)
        return (
            len(running) < self.samples and (not unread or unread + prompt <= self.tokens) and taken + blocks(prompt + most) <= self.blocks
        )
