"""What the journal keeps of a step's commands: how each ended, and what its program said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..doors.command import Command, Completed

MOST_OUTPUT = 20_000  # characters of a command's output that the journal keeps


def with_results(
    commands: Sequence[object], ran: Sequence[tuple[Command, Completed]]
) -> list[dict[str, Any]]:
    """What was shown, each with the exit code and the output of the program where one ran.

    What Docker's interface, SQL or a file's replacement did has no exit code of its own.
    """
    results = [(str(c), done) for c, done in ran]
    found: list[dict[str, Any]] = []
    for shown in map(str, commands):
        done = next((r for r in results if r[0] == shown), None)
        if done:
            results.remove(done)
        found.append({"command": shown, "exit_code": None, "output": ""})
        if done:
            found[-1] |= {"exit_code": done[1].code, "output": shortened(done[1].out + done[1].err)}
    return found


def shortened(output: str) -> str:
    """A program's output without progress lines that it overwrote; of a long one both ends."""
    text = re.sub(r"[^\n]*\r(?!\n)", "", output).strip()
    left_out = len(text) - MOST_OUTPUT
    half = MOST_OUTPUT // 2
    if left_out <= 0:
        return text
    return f"{text[:half]}\n[… {left_out} characters left out …]\n{text[-half:]}"
