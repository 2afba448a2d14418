"""Schemas and roles for a moment: gone afterwards, and those of a killed process by the next one.

Whose they are is said by a comment that we wrote, never by a name; that somebody still uses one, by
an advisory lock of the session that made it, which ends with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from ..doors import db
from ..postgres.sessions import OURS, UNLOGGED

MARK = "pgrepl made this for a moment; where it was killed, its next check removes it"
LOCK = 0x70677265  # the first half of our advisory locks' keys; the second is the name's hash
LEFT = """
select 'schema' as kind, nspname as name from pg_namespace
where obj_description(oid, 'pg_namespace') = %(mark)s
union all
select 'role', rolname from pg_roles where shobj_description(oid, 'pg_authid') = %(mark)s"""
MAKE = "create {kind} {name} {options}; comment on {kind} {name} is {mark}"
DROP = {"schema": "drop schema {} cascade", "role": "drop role {}"}


@contextmanager
def schema(at: db.Address) -> Iterator[sql.Identifier]:
    """A schema; its name is random, so that two checks can run at once."""
    with _made(at, "schema", sql.SQL(""), OURS) as name:
        yield sql.Identifier(name)


@contextmanager
def role(at: db.Address, password: str) -> Iterator[str]:
    """A role that may log in, by its name; the server's log gets no password."""
    options = sql.SQL("login password {}").format(password)
    with _made(at, "role", options, {**OURS, **UNLOGGED}) as name:
        yield name


@contextmanager
def _made(
    at: db.Address, kind: str, options: sql.Composable, settings: Mapping[str, str]
) -> Iterator[str]:
    """Make it and say whose it is in one message, that is in one transaction."""
    name = f"pgrepl_check_{secrets.token_hex(4)}"
    which, named = sql.SQL(kind), sql.Identifier(name)
    make = sql.SQL(MAKE).format(kind=which, name=named, options=options, mark=MARK)
    drop = sql.SQL(DROP[kind]).format(named)
    with db.connect(at, settings=settings, options="-c lock_timeout=5s") as owner:
        _clear(owner)
        owner.execute("select pg_advisory_lock(%s, hashtext(%s))", [LOCK, name])
        owner.execute(make)
        try:
            yield name
        finally:
            db.rows(at, drop)


def _clear(owner: db.BoundedConnection) -> None:
    """Remove what others have left; what is in use, or cannot be removed now, stays."""
    mine = "select pg_try_advisory_lock(%s, hashtext(%s)) as mine"
    for left in owner.execute(LEFT, {"mark": MARK}).fetchall():
        if (owner.execute(mine, [LOCK, left["name"]]).fetchone() or {})["mine"]:
            drop = sql.SQL(DROP[left["kind"]]).format(sql.Identifier(left["name"]))
            with suppress(psycopg.Error):
                owner.execute(drop)
