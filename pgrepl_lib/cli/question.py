"""A question before something is done: what it is, said first, and on a terminal asked."""

from __future__ import annotations

import sys
import termios
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..doors import terminal
from ..errors import ParameterError
from ..steps.ask import YES
from ..words.text import mark, t
from .output import WHERE

if TYPE_CHECKING:
    from ..steps.cluster import Cluster

PROMPT = mark("Go on? [y/N]: ")


def agreed(told: Sequence[str], *, yes: bool) -> bool:
    """Say on standard error what is about to be done; whether somebody agreed, by `yes` or typed.

    False where there is nobody to ask: in cron, in a pipe. Raises `ParameterError` for a no.
    """
    for line in told:
        terminal.tell(line)
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return yes
    termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before answers nothing
    terminal.tell(t(PROMPT), end="")
    if sys.stdin.readline().strip().lower() not in YES:
        cause = t("Nothing was changed: it was not confirmed.")
        raise ParameterError(cause, remedy=t("answer y, or say --yes"))
    return True


def agreed_on(cluster: Cluster, yes: bool, *told: str) -> bool:
    """As `agreed`; the project comes first, since another one may have been meant."""
    names = {"project": cluster.params.project, "engine": cluster.engine.name}
    return agreed([t(WHERE, folder=cluster.folder, **names), *told], yes=yes)
