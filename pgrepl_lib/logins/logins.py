"""The replication user's password: how it is set, and whether a replica could log in now."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import shlex
from dataclasses import replace
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo

from ..doors import db, files
from ..doors.command import Command
from ..engine.protocol import Engine
from ..engine.secret import password
from ..postgres import sessions
from ..words.quoted import refused
from ..words.text import t

ADMITTED = "IDENTIFY_SYSTEM"
VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")
ROLE = """
select rolpassword as verifier, coalesce(rolvaliduntil < now(), false) as expired
from pg_authid where rolname = %s"""


def of_replica(engine: Engine, name: str, conninfo: str) -> str:
    """`ADMITTED`, or the server's last word; asked where the replica runs, with its own file."""
    if not engine.running(name):
        return t("not running")
    words = make_conninfo(conninfo, replication="true", connect_timeout=5)
    ask = ("psql", "--no-password", "--dbname", words, "--command", ADMITTED)
    return _refusal(engine, engine.inside(name, *ask)) or ADMITTED


def fits(at: db.Address, user: str, secret: Path) -> bool:
    """Whether a role may log in with a file's password now; who is connected goes on anyway."""
    found = db.row(at, ROLE, [user])
    return not found["expired"] and _is_of(password(secret), found["verifier"])


def _is_of(password: str, verifier: str | None) -> bool:
    """Whether a verifier is this password's (RFC 5802; manual, 53.8).

    False also where there is none, or one of another method. password: printable ASCII.
    """
    found = VERIFIER.fullmatch(verifier or "")
    if not found:
        return False
    salt, stored = base64.b64decode(found[2]), base64.b64decode(found[3])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, int(found[1]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(key).digest(), stored)


def end_expiry(at: db.Address, user: str) -> None:
    """Take a `VALID UNTIL` back that is past."""
    if db.row(at, ROLE, [user])["expired"]:
        last = sql.SQL("alter role {} valid until 'infinity'").format(sql.Identifier(user))
        db.rows(at, last)


def statement_command(user: str) -> str:
    """What a person can do for `write_statement`: no shell computes a SCRAM verifier.

    So the server must, with its statement log off: an error would be logged with the statement.
    """
    role = sql.Identifier(user).as_string()
    words = shlex.quote(f"{sessions.statements(sessions.UNLOGGED)} alter role {role} password ")
    text = f"""printf "%s'%s';\\n" {words} "$(cat secrets/replication)\""""
    return f"(umask 077; {text} > secrets/replication.sql)"


def write_statement(engine: Engine, name: str) -> None:
    """The statement that gives an instance the password, of which it only gets the verifier."""
    secrets, user = engine.params.folder / "secrets", engine.params.replication_user
    verifier = db.scram_verifier(engine.address(name), password(secrets / "replication"), user)
    alter = sql.SQL("alter role {} password {};\n").format(sql.Identifier(user), verifier)
    text = f"{sessions.statements(sessions.UNLOGGED)}\n{alter.as_string()}"
    files.write_atomic(secrets / "replication.sql", text, 0o600)
    engine.prepare()


def refusal_of(engine: Engine, name: str, role: str, password: str) -> str:
    """Why a server refuses this role's replication connection; empty where it does not."""
    words = make_conninfo(dbname="postgres", user=role, replication="true")
    base = engine.inside(name, "psql", "--dbname", words, "--command", ADMITTED)
    return _refusal(engine, replace(base, env={**base.env, "PGPASSWORD": password}))


def _refusal(engine: Engine, ask: Command) -> str:
    """Why it is refused; empty where the server lets the role in."""
    answer = engine.run(ask, check=False)
    if not answer.code:
        return ""
    return refused(answer.err)
