"""Asking a person before a step, on the terminal that the run was started from.

The steps of a run are done in its kernel: another process, in a session of its own, without a
terminal. It opens the device by its path. Nobody else reads there meanwhile, and Ctrl-C reaches the
runner, which interrupts the kernel.
"""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import Interrupted, ParameterError
from ..params import Params
from ..words.commands import addressed
from ..words.legible import legible
from ..words.redact import redact
from ..words.text import mark, t

TERMINAL = "PGREPL_TERMINAL"  # for the kernel: the path of the device
PROMPT = mark("[y]es, [n]o (stop here), [a]ll: ")
# In each language, whichever is spoken.
YES, NO, ALL = ("y", "yes", "s", "sim"), ("n", "no", "não", "nao"), ("a", "all", "t", "todos")


class Declined(Interrupted):
    """A person said no; the step was not begun."""


@contextmanager
def asking(params: Params) -> Iterator[None]:
    """Ask before each step of the block's kernel; raises `ParameterError` without a terminal."""
    try:
        path = os.ttyname(sys.stdin.fileno())
        usable = os.access(path, os.R_OK | os.W_OK)
    except (OSError, ValueError, AttributeError):  # not a terminal, or closed
        path, usable = t("standard input"), False
    if not usable:
        remedy = t("run it in a terminal, or without --ask; `pgrepl plan` says what would change")
        cause = t("There is no terminal to ask on; nothing was touched.")
        raise ParameterError(cause, looked_at=[path], remedy=addressed(remedy, params))
    os.environ[TERMINAL] = path
    try:
        yield
    finally:
        os.environ.pop(TERMINAL, None)


def wanted() -> bool:
    """Whether a person shall be asked."""
    return TERMINAL in os.environ


def confirm(title: str, commands: Sequence[object], diff: str) -> None:
    """Show what a step would do, and wait for the answer; raises `Declined`.

    After "all" nobody is asked again.
    """
    lines = [
        f"\n{title}",
        *(f"  $ {c}" for c in commands),
        *(f"  {line}" for line in diff.splitlines()),
    ]
    terminal = os.open(os.environ[TERMINAL], os.O_RDWR | os.O_NOCTTY)
    try:
        _write(terminal, redact("\n".join(map(legible, lines)) + "\n"))
        answer = ""
        while answer not in (*YES, *NO, *ALL):
            # What was typed before the question answers nothing.
            termios.tcflush(terminal, termios.TCIFLUSH)
            _write(terminal, t(PROMPT))
            answer = _line(terminal)
    finally:
        os.close(terminal)
    if answer in NO:
        cause = t("{title}: declined, and not begun.", title=title)
        raise Declined(cause, remedy=t("run again: it goes on here"))
    if answer in ALL:
        del os.environ[TERMINAL]


def _write(terminal: int, text: str) -> None:
    left = text.encode()
    while left:
        left = left[os.write(terminal, left) :]


def _line(terminal: int) -> str:
    """What was typed, without a case; "n" where the terminal has gone."""
    try:
        typed = os.read(terminal, 1024)
    except OSError:
        typed = b""
    return (typed or b"n").decode(errors="replace").strip().lower()
