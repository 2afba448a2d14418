"""Who runs what, where and from which sources: the facts that a run's record begins with."""

from __future__ import annotations

import getpass
import platform
import socket
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..doors.command import Command, run
from ..doors.resources import checkout
from ..errors import PgreplError
from ..words import language
from ..words.text import joined, t

PACKAGES = (
    "pgrepl",
    "papermill",
    "nbclient",
    "ipykernel",
    "psycopg",
    "docker",
    "pandas",
    "nbconvert",
)


def facts() -> dict[str, Any]:
    """The user, the machine, the local time, the packages, and the checkout's commit and state.

    language: of the report, so that whoever makes it again to compare gets the same.
    Where that is not known, or pgrepl is an installed package, `repository` is None, and
    `repository_unknown` says why.
    """
    repository = _repository()
    return {
        "user": _user(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "language": language.asked_for() or language.PORTUGUESE,
        "local_time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "repository": repository if isinstance(repository, dict) else None,
        **({"repository_unknown": repository} if isinstance(repository, str) else {}),
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


def _repository() -> dict[str, Any] | str:
    """The commit of the checkout that the notebooks come from; else why there is none."""
    folder = checkout()
    if folder is None:
        return t("an installed package: pgrepl {version}", version=_version("pgrepl"))
    try:
        top, commit = _git(folder, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        changes = _git(folder, "--no-optional-locks", "status", "--porcelain")
    except PgreplError as error:
        return joined(" ", [error.cause, *error.looked_at[:1]])
    if Path(top).resolve() != folder.resolve():  # pgrepl was unpacked inside of it
        return t("the repository {folder} is another one's", folder=top)
    return {"commit": commit, "clean": not changes}


def _git(folder: Path, *arguments: str) -> str:
    return run(Command(("git", *arguments)), cwd=folder).out.strip()
