"""The door for SQL: short connections on this machine, with every address and time limit given explicitly."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

Query = str | sql.Composable
# A primary's timeline now; its control file knows a new one only from the next checkpoint on.
TIMELINE = "select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int as timeline"


# A database's own tables.
TABLES = """
select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
order by 1, 2"""


@dataclass(frozen=True)
class Address:
    """How to reach an instance as superuser: host address, port, user, password."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)


def connect(at: Address, *, seconds: int = 5, **more: Any) -> psycopg.Connection[dict[str, Any]]:
    """An autocommit connection that libpq's environment variables of the caller cannot redirect."""
    with _no_libpq_variables():
        return psycopg.connect(
            **{"host": at.host, "port": at.port, "user": at.user, "password": at.password, "dbname": "postgres",
               "sslmode": "disable", "options": "-c statement_timeout=60s", "connect_timeout": seconds,
               "application_name": "pgrepl", **more},
            autocommit=True, row_factory=dict_row,
        )  # fmt: skip


_hidden: dict[str, str] = {}
_inside = 0
_guard = Lock()


@contextmanager
def _no_libpq_variables() -> Iterator[None]:
    """PGSERVICE, PGHOSTADDR and their like are read whatever is given explicitly; threads share the environment."""
    global _inside
    with _guard:
        _inside += 1
        _hidden.update({name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG") and "_" not in name})
    try:
        yield
    finally:
        with _guard:
            _inside -= 1
            if not _inside:
                os.environ.update(_hidden)
                _hidden.clear()


def rows(at: Address, query: Query, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of one statement, as dictionaries."""
    with connect(at) as connection:
        cursor = connection.execute(query, values or None)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def row(at: Address, query: Query, values: Sequence[Any] = ()) -> dict[str, Any]:
    """The first row of one statement; an empty dictionary where there is none."""
    return next(iter(rows(at, query, values)), {})


def scram_verifier(at: Address, password: str, user: str) -> str:
    """What the server stores for a SCRAM password, made by libpq here, so that the server never sees the password."""
    with connect(at) as connection:
        return connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()


def ask_to_replicate(host: str, port: int, user: str, source: str) -> str:
    """The server's answer to a replication start-up packet sent from the address `source`.

    Returns the SQLSTATE of its refusal, or "accepted" (also when it goes on to ask for a password).
    libpq cannot choose its source address, hence the packet (PostgreSQL manual, 55.2.1 and 55.7).
    Raises `OSError` where this machine cannot send from that address.
    """
    words = b"".join(w.encode() + b"\0" for w in ("user", user, "replication", "true", ""))
    with socket.create_connection((host, port), timeout=5, source_address=(source, 0)) as connection:
        connection.sendall(struct.pack("!ii", len(words) + 8, 196608) + words)
        answer = connection.recv(4096)
    if answer[:1] != b"E":
        return "accepted"
    return next((part[1:].decode() for part in answer[5:].split(b"\0") if part[:1] == b"C"), "unknown")
