"""What an engine refuses, and what a server says when it does not start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..doors import command
from ..doors.command import Command
from ..errors import StepFailed
from ..params import Params
from ..words.commands import addressed
from ..words.text import t


def of_settings(settings: Mapping[str, str], postgres: Callable[..., Command]) -> list[str]:
    """What the server says against names and values (manual, postgres -C).

    postgres: the command that runs it with these arguments.
    """
    found = []
    for name, value in settings.items():
        given = {"config_file": "/dev/null", "hba_file": "/dev/null", "ident_file": "/dev/null"}
        given |= {"data_directory": "/tmp", name: value}
        words = (word for each in given.items() for word in ("-c", "=".join(each)))
        done = command.run(postgres("-C", name, *words), cwd=Path("/"), check=False)
        if done.code:
            found.append(_first(done.err))
    return found


def no_data(name: str, params: Params) -> StepFailed:
    """What a start answers that has nothing to start."""
    cause = t("{name} has no data; nothing was started.", name=name)
    return StepFailed(cause, remedy=addressed(t("`pgrepl run` says what to do"), params))


def _first(text: str) -> str:
    """The first FATAL line of a server's output, without its time stamp."""
    lines = text.strip().splitlines()
    line = next((line for line in lines if "FATAL" in line), "".join(lines[-1:]))
    return line.partition("FATAL:")[2].strip() or line
