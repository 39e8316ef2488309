"""A shell that starts a command in the background has it ignore Ctrl-C, and `usbrec` keeps to that: tests of Ctrl-C must not inherit it."""

from __future__ import annotations

import signal


def hear() -> None:
    """Makes this process, and those that it starts, hear SIGINT and SIGTERM again."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)
