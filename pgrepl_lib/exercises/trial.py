"""Exercises tried without a participant: each can be begun, is not right yet, and can be solved."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import PgreplError
from ..steps.cluster import Cluster
from ..words.text import mark, t
from . import workshop
from .chapters.all import ALL, find

TOO_EARLY = mark("it was right before anybody had done anything")
NOT_SOLVED = mark("solved, it lacks {missing}")


def run(cluster: Cluster, names: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Try these, or all: each with its outcome (passed, failed), why, and its seconds.

    Raises `ParameterError` for a name that is none, before any is tried.
    """
    for name in names:
        find(cluster, name)
    for name in names or ALL:
        taken: dict[str, float] = {}
        try:
            why = _tried(cluster, name, taken)
        except PgreplError as error:
            why = str(error)
        outcome = "failed" if why else "passed"
        yield {"exercise": name, "outcome": outcome, "why": why, "seconds": taken}


def _tried(cluster: Cluster, name: str, taken: dict[str, float]) -> str:
    """Why it failed; empty where it did not."""
    steps = (
        (mark("start"), workshop.reset),
        (mark("check"), workshop.check),
        (mark("solve"), workshop.solve),
        (mark("check again"), workshop.check),
    )
    for what, verb in steps:
        begun = time.monotonic()
        facts = verb(cluster, name).facts
        taken[what] = round(time.monotonic() - begun, 2)
        if what == "check" and facts["right"]:
            return t(TOO_EARLY)
    if facts["right"]:
        return ""
    return t(NOT_SOLVED, missing=", ".join(facts["missing"]))
