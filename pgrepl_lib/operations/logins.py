"""Whether a replica could log in to its upstream now; who streams has not done so for long."""

from __future__ import annotations

from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo

from .. import db
from ..engine import Engine
from ..postgres import scram

ADMITTED = "IDENTIFY_SYSTEM"
ROLE = """
select rolpassword as verifier, coalesce(rolvaliduntil < now(), false) as expired
from pg_authid where rolname = %s"""


def of_replica(engine: Engine, name: str, conninfo: str) -> str:
    """`ADMITTED`, or the server's last word; asked where the replica runs, with its own file."""
    if not engine.running(name):
        return "not running"
    words = make_conninfo(conninfo, replication="true", connect_timeout=5)
    ask = ("psql", "--no-password", "--dbname", words, "--command", ADMITTED)
    answer = engine.run(engine.inside(name, *ask), check=False)
    if not answer.code:
        return ADMITTED
    lines = answer.err.strip().splitlines()
    return next((line for line in lines if "FATAL" in line), lines[-1])[-160:]


def fits(at: db.Address, user: str, secret: Path) -> bool:
    """Whether a role may log in with a file's password now; who is connected goes on anyway."""
    found = db.row(at, ROLE, [user])
    return not found["expired"] and scram.fits(secret.read_text().strip(), found["verifier"])


def end_expiry(at: db.Address, user: str) -> None:
    """Take a `VALID UNTIL` back that is past."""
    if db.row(at, ROLE, [user])["expired"]:
        last = sql.SQL("alter role {} valid until 'infinity'").format(sql.Identifier(user))
        db.rows(at, last)
