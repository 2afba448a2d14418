"""Whom `pg_rewind` logs in as: a role for the moment, which reads its source's files and no more.

(Manual, pg_rewind, Notes.) So no superuser comes from another instance, and his password goes to
none.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql

from ..doors import db, files
from ..engine.action import REWINDER, REWINDER_PASSFILE, Shown
from ..engine.protocol import Engine
from ..postgres.sessions import OURS, UNLOGGED, statements
from ..words.redact import register

MARK = "pgrepl made this for pg_rewind, and takes it away after it"
READS = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
GRANT = f"grant execute on function {', '.join(READS)} to {REWINDER}"
DROP = f"drop owned by {REWINDER}; drop role {REWINDER}"
MAKE = sql.SQL(
    f"create role {REWINDER} login password {{}}; comment on role {REWINDER} is {{}}; {GRANT}"
)
LEFT = """
select true as there from pg_roles
where rolname = %s and shobj_description(oid, 'pg_authid') = %s"""
STATEMENT = Path("secrets/rewind.sql")
PASSWORD = (
    f"(umask 077; P=$(openssl rand -hex 16); "
    f'echo "*:*:*:{REWINDER}:$P" > secrets/{REWINDER_PASSFILE}; '
    f"echo \"{statements(UNLOGGED)} create role {REWINDER} login password '$P'; {GRANT};\" "
    f"> {STATEMENT})"
)


@contextmanager
def let_in(engine: Engine, source: str) -> Iterator[None]:
    """In the block, the role is there, and its password in `secrets/`. source: an instance."""
    forget(engine, source)
    at, password = engine.address(source), register(secrets.token_hex(16))
    verifier = db.scram_verifier(at, password, REWINDER)
    db.rows(at, MAKE.format(verifier, MARK), settings={**OURS, **UNLOGGED})
    try:
        files.write_atomic(_passfile(engine), f"*:*:*:{REWINDER}:{password}\n", 0o600)
        engine.prepare()
        yield
    finally:
        with suppress(psycopg.Error, OSError):  # the end of a rejoin looks again
            forget(engine, source)


def forget(engine: Engine, source: str) -> None:
    """Take it away, also what a killed process has left; one of somebody else's stays."""
    at = engine.address(source)
    if db.row(at, LEFT, [REWINDER, MARK]):
        db.rows(at, DROP)
    files.remove(_passfile(engine))


def around(engine: Engine, source: str, rewind: tuple[Shown, ...]) -> tuple[Shown, ...]:
    """What a person would type before and after it, too."""
    make = replace(engine.client(source, "psql", "--quiet"), stdin=STATEMENT)
    drop = engine.client(source, "psql", "-c", f"{DROP};")
    remove = f"rm secrets/{REWINDER_PASSFILE} {STATEMENT}"
    return PASSWORD, *engine.hand_over("secrets"), make, *rewind, drop, remove


def _passfile(engine: Engine) -> Path:
    return engine.params.folder / "secrets" / REWINDER_PASSFILE
