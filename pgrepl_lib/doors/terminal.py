"""The door to the terminal: whatever is shown, and whoever wrote it, steers nothing there."""

from __future__ import annotations

import re
import sys

from ..words.legible import legible

COLOUR = re.compile(r"\033\[[0-9;]*m")
NEW_LINE = "\r\033[K"  # over the one that is there


def give(text: str = "", *, end: str = "\n", styled: bool = False) -> None:
    """A result, on standard output.

    styled: with our own colours, around what was made legible; only a terminal gets them.
    """
    if not styled:
        text = legible(text)
    elif not sys.stdout.isatty():
        text = COLOUR.sub("", text)
    print(text, end=end, flush=True)


def tell(text: str = "", *, end: str = "\n") -> None:
    """What is told on the way, on standard error."""
    print(legible(text), end=end, file=sys.stderr, flush=True)


def tell_anew(text: str = "") -> None:
    """The line on standard error that says how far it is, in the place of the last one."""
    print(NEW_LINE + legible(text).replace("\n", "␊"), end="", file=sys.stderr, flush=True)
