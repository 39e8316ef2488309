"""`usbrec`, and `python -m usbrec`: signals are heard before anything that takes time is imported."""

from __future__ import annotations

from usbrec import interrupts


def main() -> None:
    """The command line."""
    interrupts.guarded(_command)


def _command() -> None:
    from usbrec.cli import main

    main()


if __name__ == "__main__":
    main()
