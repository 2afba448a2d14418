"""Whether a run's folder is what was signed; offline, and changing nothing."""

from __future__ import annotations

from pathlib import Path

from ...errors import first_line
from ...journal import audit, runs
from ...words.text import t
from . import keys, succession
from .findings import Verification
from .look import Look


def verify(
    run: runs.Run, public_key: Path | None = None, project: Path | None = None
) -> Verification:
    """Compare a run's folder with its signed statement and, in its project, with its predecessor.

    public_key: the PEM file of the signer's key; without one, only this user's own key is known.
    project: the folder of the project that it is a run of; without one, of the project that it lies
    in, while a copy elsewhere is looked at by itself. Raises `ParameterError` where that file is no
    such key.
    """
    known = keys.public(public_key) if public_key else keys.own_public()
    look = Look(run, known, project or succession.project_of(run))
    try:
        look.over()
    except OSError as error:
        why = t("cannot be read: {why}", why=first_line(error))
        look.add(str(error.filename or run.folder), why)
    look.conclude()
    return look.result


def verify_in(project: Path, name: str = "", public_key: Path | None = None) -> Verification:
    """`verify` a project's run by its name.

    Without one the last, and that it is the last, and that none is missing. Raises `ParameterError`
    where there is no such run, and what `verify` does.
    """
    run = _asked(project, name)
    found = verify(run, public_key, project)
    if not name:
        found.findings += succession.as_last(run, project)
    return found


def _asked(project: Path, name: str) -> runs.Run:
    known = runs.known(project)
    asked = [run for run in known if run.name == name] if name else known[-1:]
    if asked:
        return asked[0]
    folder = project / audit.RUNS / name
    if runs.NAME.fullmatch(name) and folder.is_dir():
        return runs.Run(folder)  # nobody knows it and it has no journal, which is told
    return runs.find(project, name)
