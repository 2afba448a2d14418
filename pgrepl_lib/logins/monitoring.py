"""A role for a monitoring system: it sees statistics and settings, and no row of anybody's.

(Manual, 22.5: `pg_monitor`.) The replicas get it with the WAL; it has a password of its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from psycopg import sql

from ..cluster.server import Server
from ..doors import ahead, db, files
from ..engine import secret
from ..engine.action import Action, Tell
from ..errors import StepFailed
from ..postgres.sessions import OURS, UNLOGGED, statements
from ..words.text import mark, t
from . import logins, passwords

ROLE = "pgrepl_monitoring"
MARK = "pgrepl made this for a monitoring system"
SECRET, PASSFILE, STATEMENT = "monitoring", "monitoring.pgpass", Path("secrets/monitoring.sql")
FOUND = """
select coalesce(shobj_description(oid, 'pg_authid') = %s, false) as ours from pg_roles
where rolname = %s"""
MAKE = sql.SQL(
    f"create role {ROLE} login in role pg_monitor password {{}}; comment on role {ROLE} is {{}}"
)
AGAIN = sql.SQL(f"alter role {ROLE} password {{}}")
DROP = f"drop role if exists {ROLE}"
TYPED = (
    f'(umask 077; echo "{statements(UNLOGGED)} create role {ROLE} login in role pg_monitor '
    f"password '$(cat secrets/{SECRET})'; comment on role {ROLE} is '{MARK}';\" > {STATEMENT})"
)
FORGOTTEN = f"rm -f secrets/{SECRET} secrets/{PASSFILE} {STATEMENT}"
THEIRS = mark("There is a role {role} that pgrepl has not made; nothing was changed.")
RENAME = mark("`alter role {role} rename to …` keeps it, then do this again")


def passfile(folder: Path) -> Path:
    """Where its password is, for a client of this machine. folder: the cluster's."""
    return folder / "secrets" / PASSFILE


def password_action(primary: Server) -> Action:
    """Its password, in files that only their reader may read."""
    owners = [(ROLE, SECRET)]
    return passwords.kept(primary.cluster, owners, {PASSFILE: owners})


def role_action(primary: Server) -> Action:
    """The role, with that password. Raises `StepFailed` where somebody else has made one."""
    cluster, at = primary.cluster, primary.address
    kept = cluster.folder / "secrets" / SECRET

    def do(tell: Tell) -> None:
        there = is_there(primary)
        verifier = db.scram_verifier(at, secret.password(kept), ROLE)
        last = AGAIN.format(verifier) if there else MAKE.format(verifier, MARK)
        db.rows(at, last, settings={**OURS, **UNLOGGED})

    def is_done() -> bool:
        return is_there(primary) and logins.fits(at, ROLE, kept)

    def done() -> bool:
        return ahead.fact("monitored", primary.name, is_done)

    make = replace(cluster.engine.client(primary.name, "psql", "--quiet"), stdin=STATEMENT)
    leaves = ahead.leaves(primary.name, monitored=True)
    return Action((TYPED, make), do, done, leaves=leaves)


def gone_action(primary: Server) -> Action:
    """Neither the role nor its files; what it owns hinders that, and stays."""
    cluster = primary.cluster
    paths = [cluster.folder / "secrets" / SECRET, passfile(cluster.folder)]

    def do(tell: Tell) -> None:
        if is_there(primary):
            db.rows(primary.address, DROP)
        leaves()

    def leaves() -> None:
        ahead.leaves(primary.name, monitored=False)()
        for path in paths:
            files.remove(path)

    def done() -> bool:
        there = ahead.fact("monitored", primary.name, partial(is_there, primary))
        return not (there or any(map(files.there, paths)))

    drop = cluster.engine.client(primary.name, "psql", "-c", f"{DROP};")
    return Action((drop, FORGOTTEN), do, done, leaves=leaves)


def is_there(primary: Server) -> bool:
    """Whether we have made it. Raises `StepFailed` for one of somebody else's."""
    found = db.row(primary.address, FOUND, [MARK, ROLE])
    if found and not found["ours"]:
        raise StepFailed(t(THEIRS, role=ROLE), remedy=t(RENAME, role=ROLE))
    return bool(found)
