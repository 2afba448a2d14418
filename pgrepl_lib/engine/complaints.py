"""What an engine refuses, and what a server says when it does not start."""

from __future__ import annotations

from ..errors import StepFailed
from ..params import Params
from ..words.commands import addressed
from ..words.text import t


def settings_probe(name: str, value: str) -> tuple[str, ...]:
    """Arguments with which `postgres` judges and prints one setting (manual, postgres -C)."""
    given = {"config_file": "/dev/null", "hba_file": "/dev/null", "ident_file": "/dev/null"}
    given |= {"data_directory": "/tmp", name: value}
    words = (word for each in given.items() for word in ("-c", "=".join(each)))
    return ("-C", name, *words)


def no_data(name: str, params: Params) -> StepFailed:
    """What a start answers that has nothing to start."""
    cause = t("{name} has no data; nothing was started.", name=name)
    return StepFailed(cause, remedy=addressed(t("`pgrepl run` says what to do"), params))


def first_complaint(text: str) -> str:
    """The first FATAL line of a server's output, without its time stamp."""
    lines = text.strip().splitlines()
    line = next((line for line in lines if "FATAL" in line), "".join(lines[-1:]))
    return line.partition("FATAL:")[2].strip() or line
