"""The superuser's password: what is in the file is what the servers know."""

from __future__ import annotations

from dataclasses import replace

import psycopg
from psycopg import sql

from ..doors import db, files
from ..engine import secret
from ..engine.action import SUPERUSER
from ..engine.protocol import Engine
from ..errors import StepFailed
from ..postgres.sessions import OURS, UNLOGGED
from ..words.commands import addressed
from ..words.quoted import refused
from ..words.text import t


def settle(engine: Engine, primary: str) -> None:
    """Let the file and the server of existing data agree; `secrets/pgpass` has what was before.

    A file that is gone is made again from there; one that was changed, the server is told. Raises
    `StepFailed` where nobody could log in any more.
    """
    path = engine.params.folder / "secrets/superuser"
    before = secret.remembered(path.parent / "pgpass")
    given = secret.look(path)
    if given.absent:
        if not before:
            raise _gone(engine)
        files.write_atomic(path, f"{before}\n", 0o600)
    elif secret.password(path) != before:
        _tell(engine, primary, before)


def _tell(engine: Engine, primary: str, before: str) -> None:
    """Change it on the server, where that does not know it yet; the server never sees it.

    before: empty where nobody knows it any more.
    """
    if not engine.running(primary):
        if not before:
            return  # whether it is the right one, the server's start will show
        raise _not_told(engine, t("{name} does not run", name=primary))
    new = engine.address(primary)
    old = replace(new, password=before)
    refusal = _refusal(new)
    if not refusal:
        return
    if before:
        refusal = _refusal(old)
    if refusal:
        raise _not_told(engine, refusal)
    verifier = db.scram_verifier(old, new.password, SUPERUSER)
    change = sql.SQL("alter role {} password {}").format(sql.Identifier(SUPERUSER), verifier)
    db.rows(old, change, settings={**OURS, **UNLOGGED})


def _refusal(at: db.Address) -> str:
    """The server's words; empty where it lets this password in."""
    try:
        db.row(at, "select 1")
    except psycopg.OperationalError as error:
        return refused(str(error))
    return ""


def _not_told(engine: Engine, why: str) -> StepFailed:
    cause = t("secrets/superuser was changed, and no server could be told.")
    remedy = t(
        "put the one back that it was (the end of the first line of secrets/pgpass), then "
        "`pgrepl run`; the file can be changed while the primary runs"
    )
    return StepFailed(cause, looked_at=[why], remedy=addressed(remedy, engine.params))


def _gone(engine: Engine) -> StepFailed:
    folder = engine.params.folder
    remedy = t(
        "put {path} back from a copy, or remove the data: `pgrepl down`", path=folder / "secrets"
    )
    cause = t("The passwords of existing data are gone.")
    return StepFailed(cause, looked_at=engine.existing(), remedy=addressed(remedy, engine.params))
