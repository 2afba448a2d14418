"""Our own commands in what a person reads: completed, so that they can be copied as they stand."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from ..params import Params, default_workdir, variable

# Those that find a cluster by its parameters; a test compares them with the command line's own.
VERBS = (
    "replica add",
    "replica remove",
    "replica rebuild",
    "replica follow",
    "run",
    "plan",
    "status",
    "check",
    "runs",
    "report",
    "verify",
    "diff",
    "psql",
    "down",
    "lag",
    "switchover",
    "failover",
    "rejoin",
    "sync",
)
COMMAND = re.compile(rf"\bpgrepl ({'|'.join(VERBS)})\b(?!-)")
ADDRESS = re.compile(r"\s(--project|--engine|-p workdir)\b")


def addressed(text: str, params: Params, *, anywhere: bool = False) -> str:
    """The text, with each of our commands in it naming its cluster: `pgrepl down` becomes `pgrepl down --project demo`.

    The options stand right after the verb, and only for what is not the default. A command, which ends at a backtick or
    at the next command, is left as it is where it names its cluster already. anywhere: the text says the same whoever
    makes it, and wherever, so that the work folder is always named.
    """
    options = "".join(f" {option}" for option in _options(params, anywhere))
    before, *found = COMMAND.split(text)
    completed = [before]
    for verb, rest in zip(found[::2], found[1::2], strict=True):
        named = ADDRESS.search(rest.partition("`")[0])
        completed.append(f"pgrepl {verb}{'' if named else options}{rest}")
    return "".join(completed)


def addressed_in(text: str, folder: Path) -> str:
    """The same for the project of this folder."""
    return addressed(text, Params.parse({"project": folder.name, "workdir": folder.parent}))


def _options(params: Params, anywhere: bool) -> list[str]:
    """By which a command line finds this cluster, wherever it is typed: also where variables name another one."""
    options = []
    if params.project != "pgrepl" or _exported("project"):
        options.append(f"--project {params.project}")
    if anywhere or params.workdir != default_workdir() or _exported("workdir"):
        options.append(f"-p workdir {shlex.quote(str(params.workdir))}")
    if params.engine != "auto":
        options.append(f"--engine {params.engine}")
    return options


def _exported(name: str) -> bool:
    return bool(os.environ.get(variable(name)))
