"""The schema `public`: up to 14 every user may create objects in it (manual, 5.9.6)."""

from __future__ import annotations

from ..doors import db
from ..doors.command import Command
from ..engine.protocol import Engine

DATABASES = "select datname as name from pg_database where datallowconn order by 1"
OPEN = """
select exists (
    select from pg_namespace n, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
    where nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE') as open"""
OPEN_AT_FIRST = {14: ["postgres", "template1"]}  # by major, in a new cluster
CLOSE = "revoke create on schema public from public"


def open_in(at: db.Address) -> list[str]:
    """The databases in which everybody may."""
    return [r["name"] for r in db.rows(at, DATABASES) if _is_open(at, r["name"])]


def close_in(at: db.Address, database: str) -> None:
    """From now on only who is allowed to."""
    with db.connect(at, dbname=database) as connection:
        connection.execute(CLOSE)


def close_command(engine: Engine, name: str, database: str) -> Command:
    """What a person would type on an instance for that."""
    return engine.client(name, "psql", "-d", database, "-c", f"{CLOSE};")


def _is_open(at: db.Address, database: str) -> bool:
    with db.connect(at, dbname=database) as connection:
        return bool((connection.execute(OPEN).fetchone() or {})["open"])
