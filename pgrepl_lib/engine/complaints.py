"""What an engine refuses, and what a server says when it does not start."""

from __future__ import annotations

from ..errors import StepFailed
from ..params import Params
from ..words.commands import addressed


def settings_probe(name: str, value: str) -> tuple[str, ...]:
    """Arguments with which `postgres` judges one setting without a data folder, and prints it (manual, postgres -C)."""
    nowhere = ("config_file", "hba_file", "ident_file")
    return (
        "-C",
        name,
        *(a for f in nowhere for a in ("-c", f"{f}=/dev/null")),
        "-c",
        "data_directory=/tmp",
        "-c",
        f"{name}={value}",
    )


def no_data(name: str, params: Params) -> StepFailed:
    """What a start answers that has nothing to start."""
    cause = f"{name} has no data; nothing was started."
    return StepFailed(cause, remedy=addressed("`pgrepl run` says what to do", params))


def first_complaint(text: str) -> str:
    """The first FATAL line of a server's output, without its time stamp."""
    line = next(
        (x for x in text.splitlines() if "FATAL" in x),
        text.strip().splitlines()[-1] if text.strip() else "",
    )
    return line.partition("FATAL:")[2].strip() or line
