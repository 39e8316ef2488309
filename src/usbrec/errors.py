"""The one error family of usbrec.

Every error that a user can cause is a `UsbrecError`: it says *what* went wrong, *where* (a file and line, a URL, a recipe key) and
*what to do about it* (a command to run or an edit to make).  The command line prints exactly that and exits with `exit_code`; nothing
else may reach a user as a traceback.
"""

from __future__ import annotations

from usbrec.redaction import redacted


class UsbrecError(Exception):
    """A fault with its place and its remedy.

    Args:
        what: the fault, one sentence without a full stop.
        where: file, line, URL or key at which it happened; empty when there is no such place.
        fix: the command or the edit that mends it; empty when nobody knows one.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = redacted(what), redacted(where), redacted(fix)
        super().__init__(self.what)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.fix)

    def __str__(self) -> str:
        text = self.what
        if self.where:
            text = f"{self.where}: {text}"
        if self.fix:
            text = f"{text}\n  fix: {self.fix}"
        return text


def _rebuild(kind: type[UsbrecError], what: str, where: str, fix: str) -> UsbrecError:
    return kind(what, where=where, fix=fix)


class ConfigError(UsbrecError):
    """A recipe or an option that cannot be used as written."""

    exit_code = 2


class DataError(UsbrecError):
    """A row, a file or a catalogue that breaks its format."""


class DamageError(DataError):
    """What an unfinished stage left itself, and would go on from, cannot be used any more: it begins anew."""


class PromptError(UsbrecError):
    """A prompt file with a missing, unknown or unused variable."""


class ModelError(UsbrecError):
    """A model that is not there, or is not what it claims to be."""


class EngineError(UsbrecError):
    """An engine that failed for good: retries, where they make sense, are spent."""


class EngineUnavailable(EngineError):
    """The engine cannot be reached, started or used at all: every other call would fail like this one (see `rowmap.FATAL`)."""


class EngineTimeout(EngineError):
    """The engine did not answer within the time allowed."""


class EngineReply(EngineError):
    """The engine answered, but with something that is not an answer (empty choices, HTML, broken JSON)."""


class Unsupported(EngineError):
    """The engine has no such ability (log-probabilities, say)."""


class TrainingError(UsbrecError):
    """Training that cannot start or had to stop."""


class CollapseError(TrainingError):
    """The collapse check stopped a training run: the policy is degenerating."""


class StorageError(UsbrecError):
    """A file that could not be written: a full disk, a read-only folder."""


def cause_of(fault: BaseException) -> BaseException:
    """The one fault that a task group's group of faults is about: an interruption, else the first that tells what to do, else the first."""
    if not isinstance(fault, BaseExceptionGroup):
        return fault
    causes = [cause_of(inner) for inner in fault.exceptions]
    return min(causes, key=lambda cause: (isinstance(cause, Exception), not isinstance(cause, UsbrecError)))


def first_line(fault: BaseException) -> str:
    """The beginning of what a foreign exception says; its kind where it says nothing."""
    return next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
