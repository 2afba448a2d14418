"""Errors of what is not ours: the system, PostgreSQL, Docker. Told, they end in no traceback."""

from __future__ import annotations

from ..errors import Interrupted, PgreplError, StepFailed
from ..words.quoted import author, named, quoted
from ..words.text import joined, t


def told(error: BaseException, what: str = "") -> PgreplError | None:
    """The same as an error of this project; None for what only a fault of ours raises.

    what: that was not done.
    """
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(t("Interrupted."), remedy=t("run again: it goes on where it stopped"))
    if not (who := author(error)):
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = "\n".join(line[:200] for line in lines[:3]) or "…"
    refused = t(
        "{who} did not do what it was asked for ({kind}).",
        who=named(who),
        kind=type(error).__name__,
    )
    return StepFailed(
        joined(": ", [what or t("Not done"), refused]),
        looked_at=[quoted(who, words)],
        remedy=t("correct the cause named above and run again"),
    )
