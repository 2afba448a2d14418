"""Errors that say the cause, what was looked at, and what to do.

Every error of this project is a :class:`PgreplError`; each class also inherits the builtin that a
caller would expect to catch, and carries the exit code of the command line.
"""

from __future__ import annotations

from collections.abc import Iterable

from .words.quoted import PYTHON, author, line, quoted
from .words.text import Text, joined, t


class PgreplError(Exception):
    """Root of the project's errors.

    cause: one sentence. looked_at: the facts that led to it. remedy: what the reader can do now.
    """

    exit_code = 1

    def __init__(self, cause: str, *, looked_at: Iterable[str] = (), remedy: str = "") -> None:
        self.cause = cause
        self.looked_at = tuple(looked_at)
        self.remedy = remedy
        super().__init__(cause)

    def __str__(self) -> str:
        return self.text()

    def text(self) -> Text:
        """The three parts, a line each."""
        parts = [self.cause, *(t("  seen: {fact}", fact=fact) for fact in self.looked_at)]
        if self.remedy:
            parts.append(t("  what to do: {remedy}", remedy=self.remedy))
        return joined("\n", parts)

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: in a notebook the three parts say more than a page of traceback."""
        return [self.text()]


class ParameterError(PgreplError, ValueError):
    """A parameter or the usage is wrong; nothing was touched."""

    exit_code = 2


class EnvironmentLacking(PgreplError, RuntimeError):
    """The machine lacks something (an engine, an image, a port, space, a right)."""

    exit_code = 3


class ProjectBusy(EnvironmentLacking):
    """Another process works on the same project."""


class StepFailed(PgreplError, RuntimeError):
    """A step could not be done."""


class CommandFailed(StepFailed):
    """A program ended with an error (its exit code is `code`) or ran out of time."""

    code = 1


class CheckFailed(PgreplError, AssertionError):
    """A claim about the running cluster is not true."""

    def _render_traceback_(self) -> list[str]:
        """The cell has shown already what was expected and seen, and what to do."""
        return [self.cause]


class WaitTimeout(StepFailed, TimeoutError):
    """What was awaited did not come in time, or can no longer come."""


class Interrupted(PgreplError, KeyboardInterrupt):
    """The work was stopped from outside (Ctrl-C, SIGTERM); running again goes on."""


def first_line(error: BaseException) -> str:
    """What of an error has room in a line; what others said is quoted.

    An error without a text is told by its kind.
    """
    if isinstance(error, PgreplError):
        return error.cause
    if error.args and isinstance(error.args[0], Text):  # ours, in an error of theirs
        return error.args[0]
    words, kind = line(getattr(error, "strerror", "") or str(error)), type(error).__name__
    if who := author(error):
        return quoted(who, words or kind)
    return quoted(PYTHON, f"{kind}: {words}")


def exit_code_of(error_name: str) -> int:
    """The exit code for an error known only by its class name, as a notebook's output gives it."""
    classes = {PgreplError}
    while children := {c for k in classes for c in k.__subclasses__()} - classes:
        classes |= children
    return next((c.exit_code for c in classes if c.__name__ == error_name), 1)
