"""Errors of what is not ours: the system, PostgreSQL, Docker. Told, they end in no traceback."""

from __future__ import annotations

from ..errors import PgreplError, StepFailed
from ..words.text import mark, t

SYSTEM = mark("The system")
LIBRARIES = {"psycopg": "PostgreSQL", "docker": "Docker", "requests": "Docker", "psutil": SYSTEM}


def told(error: Exception) -> PgreplError | None:
    """The same as an error of this project; None for what only a fault of ours raises."""
    roots = [kind.__module__.partition(".")[0] for kind in type(error).__mro__]
    who = next((LIBRARIES[root] for root in roots if root in LIBRARIES), "")
    if not who and isinstance(error, OSError):
        who = SYSTEM
    if not who:
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return StepFailed(
        t("{who} did not do what it was asked for: {kind}.", who=t(who), kind=type(error).__name__),
        looked_at=[line[:200] for line in lines[:3]],
        remedy=t("correct the cause named above and run again"),
    )
