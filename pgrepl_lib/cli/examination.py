"""The checks that `pgrepl check` makes, and the little that it records of them.

It may come each minute.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..checks.checks import BESIDES, CHECKS, SET_UP
from ..checks.hanging import silent
from ..checks.outcome import Check, Fact
from ..checks.registry import Claim
from ..checks.security.all import SECURITY
from ..steps import checking
from ..words.text import t

if TYPE_CHECKING:
    from ..steps.cluster import Cluster


def asked_for(*, deep: bool = False, security: bool = False) -> list[Claim]:
    """What `pgrepl check` makes. deep: with as many rows as chapter 03. security: those instead."""
    if security:
        return list(SECURITY.values())
    names = list(SET_UP)
    if not deep:
        names[names.index("contents")] = "sample"
    return [CHECKS[name] for name in (*names, *BESIDES)]


def who_hangs(cluster: Cluster) -> str:
    """Who hangs, or empty; raises `StepFailed` where there is no cluster to look at."""
    checking.require_data(cluster)
    return "; ".join(silent(cluster))


def examine(cluster: Cluster, claims: Sequence[Claim], hung: str = "") -> Iterator[Check]:
    """Make checks one after the other. Each that did not pass is recorded as a line of its own.

    Those that passed are one line together, also where the rest was interrupted. hung: who hangs,
    where that is known: then nobody is asked, and all have failed.
    """
    passed: list[Check] = []
    began = time.monotonic()
    try:
        for claim in claims:
            started = time.monotonic()
            made = claim(cluster, hung)
            if made.verdict == "passed":
                passed.append(made)
            else:
                checking.record(cluster, made, time.monotonic() - started)
            yield made
    finally:
        if passed:
            checking.record(cluster, _together(passed), time.monotonic() - began)


def _together(passed: Sequence[Check]) -> Check:
    """Checks that passed as one."""
    named = ", ".join(made.name for made in passed)
    title = t("{count} checks passed", count=len(passed))
    return Check("passed", title, (Fact("", named, named),), "")
