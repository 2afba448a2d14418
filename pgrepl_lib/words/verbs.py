"""Our own commands in a text, completed, so that they can be copied as they stand."""

from __future__ import annotations

import re

# Those that find a cluster by its parameters; a test compares them with the command line's own.
VERBS = (
    "replica add",
    "replica remove",
    "replica rebuild",
    "replica follow",
    "run",
    "plan",
    "lab",
    "status",
    "check",
    "runs",
    "report",
    "verify",
    "diff",
    "psql",
    "down",
    "lag",
    "dsn",
    "switchover",
    "failover",
    "rejoin",
    "sync",
    "secure",
    "revoke",
    "monitoring",
    "rotate password",
    "rotate certificates",
    "goto",
    "reset",
    *(
        f"exercise {verb}"
        for verb in ("list", "start", "check", "hint", "answer", "solve", "reset", "test")
    ),
)
COMMAND = re.compile(rf"\bpgrepl ({'|'.join(VERBS)})\b(?!-)")
ADDRESS = re.compile(r"\s(--project|--engine|-p workdir)\b")


def completed(text: str, options: str) -> str:
    """The text, with these options in each of our commands.

    `pgrepl down` becomes `pgrepl down --project demo`: they stand right after the verb. A command,
    which ends at a backtick or at the next command, is left as it is where it names its cluster.
    """
    before, *found = COMMAND.split(text)
    pieces = [before]
    for verb, rest in zip(found[::2], found[1::2], strict=True):
        named = ADDRESS.search(rest.partition("`")[0])
        pieces.append(f"pgrepl {verb}{'' if named else options}{rest}")
    return "".join(pieces)
