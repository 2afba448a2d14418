"""Who runs what, where and from which sources: the facts that a run's record begins with."""

from __future__ import annotations

import getpass
import platform
import socket
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .command import Command, run
from .errors import EnvironmentLacking

CHECKOUT = Path(__file__).parents[1]
PACKAGES = ("pgrepl", "papermill", "nbclient", "ipykernel", "psycopg", "docker", "pandas", "nbconvert")


def facts() -> dict[str, Any]:
    """The user, the machine, the local time, the packages, and this repository's commit and whether it was clean."""
    return {
        "user": _user(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "local_time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "repository": _repository(),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _repository() -> dict[str, Any] | None:
    """The checkout that the notebooks come from; None where it is none, or git is missing."""
    try:
        commit = run(Command(("git", "rev-parse", "HEAD")), cwd=CHECKOUT, check=False)
        changes = run(Command(("git", "status", "--porcelain")), cwd=CHECKOUT, check=False)
    except EnvironmentLacking:
        return None
    return None if commit.code or changes.code else {"commit": commit.out.strip(), "clean": not changes.out.strip()}
