"""What a message or a page says to do, taken as a person takes it: copied, and typed in a shell."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click

from tests.conftest import PATIENCE

Completed = subprocess.CompletedProcess[str]


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command of the program by its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def commands_in(text: str) -> list[str]:
    """Our commands in a text, which stand in backticks."""
    return re.findall("`(pgrepl [^`]*)`", text)


def copied(command: str) -> Completed:
    """The command as it stands, in whatever folder, without a terminal."""
    program, *words = shlex.split(command)
    assert program == "pgrepl"
    return subprocess.run(
        [sys.executable, "-m", "pgrepl_lib", *words],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240 * PATIENCE,
    )
