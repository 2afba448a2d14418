"""Whether the instance that a program reads from hangs: the program would wait for it for ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..doors import command
from ..doors.answer import Kind, ask
from ..doors.command import Command, Completed
from ..words.text import joined
from .action import SILENCE, Tell
from .secret import as_superuser


def hung(folder: Path, ports: Mapping[str, int], name: str) -> str:
    """What is seen of one that hangs; empty for every other, and for no name.

    folder, ports: the cluster's.
    """
    if not name:
        return ""
    seen = ask(as_superuser(folder, ports[name]))
    if seen.kind is not Kind.HUNG:
        return ""
    return joined(" ", [name, str(seen)])


def run(
    each: Command,
    cwd: Path,
    tell: Tell,
    *,
    check: bool,
    hung: Callable[[], str],
) -> Completed:
    """Run what may be silent for long, unless it waits for somebody who hangs (`command.run`)."""
    return command.run(each, cwd=cwd, seconds=SILENCE, check=check, on_error_line=tell, hung=hung)
