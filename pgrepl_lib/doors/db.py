"""The door for SQL: short connections on this machine, with every address and time limit given."""

from __future__ import annotations

import os
import re
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from threading import Lock
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from ..postgres.sessions import AS_CONFIGURED, OURS
from ..postgres.sessions import options as as_options
from ..words.text import t
from . import ahead, wait

Query = str | sql.Composable
# A primary's timeline now; its control file knows a new one only from the next checkpoint on.
TIMELINE = """
select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int as timeline"""
# Nobody can read an invalid one, whose removal was interrupted (limit -2).
BASES = """
select datname as n from pg_database
where datallowconn and not datistemplate and datconnlimit <> -2"""
# A database's own tables.
TABLES = """
select n.nspname as schema, c.relname as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence = 'p'
  and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
order by 1, 2"""
PLAIN, PREFERRED = "disable", "prefer"
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@dataclass(frozen=True)
class Address:
    """How to reach an instance as superuser: host address, port, user, password.

    sslmode: as libpq takes it; `PREFERRED` also reaches a server that has no TLS yet.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    sslmode: str = PLAIN


ALWAYS = {"dbname": "postgres", "application_name": "pgrepl"}
ANSWER = 65.0  # seconds for one answer; the server's own limit (`sessions.OURS`) comes first
WHOLE_TABLE = 6 * 3600.0  # the same where as many rows are read as there are


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time; what it was asked to do may be done all the same."""


class BoundedConnection(psycopg.Connection[dict[str, Any]]):
    """A connection on which no answer is awaited for ever.

    No `statement_timeout` ends a commit's wait for a synchronous replica (manual, 27.2.8), and a
    server that hangs ends nothing. limit: seconds for one answer.
    """

    limit = ANSWER

    def wait(self, gen: Any, *arguments: Any, **more: Any) -> Any:
        """What psycopg calls for every answer; raises `NoAnswer`."""
        try:
            return super().wait(_until(time.monotonic() + self.limit, gen), *arguments, **more)
        except _TooLate:
            with suppress(psycopg.Error):  # else the backend would keep its locks
                self.cancel_safe(timeout=2)
            self.close()
            raise NoAnswer(t("no answer within {seconds} s", seconds=f"{self.limit:g}")) from None


class _TooLate(Exception):
    """The time for an answer is over."""


def _until(end: float, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """The steps of psycopg's protocol, ended where nothing has come by then."""
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > end:
                raise _TooLate
            wanted = steps.send(ready)
    except StopIteration as done:
        return done.value


def connect(
    at: Address,
    *,
    seconds: int = 5,
    limit: float = ANSWER,
    settings: Mapping[str, str] = OURS,
    options: str = "",
    **more: Any,
) -> BoundedConnection:
    """An autocommit connection that no variable of the caller, no setting of the server redirects.

    seconds, limit: to connect, and for one answer. settings: what the session sets for itself, so
    that no setting of server, database or role decides what we see. options: further ones, as libpq
    takes them; they come last. more: other words of a connection string.
    """
    options = f"{as_options(settings)} {options} {_for_plans()}"
    words = {**vars(at), **ALWAYS, "connect_timeout": seconds, "options": options}
    with _no_libpq_variables():
        words |= more
        made = BoundedConnection.connect(**words, autocommit=True, row_factory=dict_row)
    made.limit = limit
    if settings is OURS and made.info.server_version >= 170000:  # older ones do not know it
        made.execute("set transaction_timeout to 0")
    return made


def _for_plans() -> str:
    """Who only plans writes nothing, whatever is asked."""
    if ahead.looking():
        return "-c default_transaction_read_only=on"
    return ""


_hidden: dict[str, str] = {}
_inside = 0
_guard = Lock()


@contextmanager
def _no_libpq_variables() -> Iterator[None]:
    """libpq reads PGSERVICE, PGHOSTADDR and their like whatever is given; threads share them."""
    global _inside
    with _guard:
        _inside += 1
        for name in [n for n in os.environ if n.startswith("PG") and "_" not in n]:
            _hidden[name] = os.environ.pop(name)
    try:
        yield
    finally:
        with _guard:
            _inside -= 1
            if not _inside:
                os.environ.update(_hidden)
                _hidden.clear()


@wait.again(psycopg.errors.SerializationFailure)  # replay ends what is in its way (27.4.2)
def rows(
    at: Address,
    query: Query,
    values: Sequence[Any] = (),
    *,
    settings: Mapping[str, str] = OURS,
    seconds: int = 5,
    limit: float = ANSWER,
) -> list[dict[str, Any]]:
    """The rows of one statement, as dictionaries. settings, seconds, limit: as in `connect`."""
    with connect(at, settings=settings, seconds=seconds, limit=limit) as connection:
        cursor = connection.execute(query, values or None)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def rows_by_string(conninfo: str, query: str) -> list[dict[str, Any]]:
    """What any client has that knows a connection string, and nothing of us."""
    with _no_libpq_variables():
        made = BoundedConnection.connect(conninfo, autocommit=True, row_factory=dict_row)
    with made as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def rows_as_configured(at: Address, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of one query in a session that sets nothing for itself, as those of others are.

    Only where the server's own time limit leaves no time even for this is that one lifted.
    """
    try:
        return _as_configured(at, query, values)
    except psycopg.errors.QueryCanceled:
        return _as_configured(at, query, values, "-c statement_timeout=0")


def _as_configured(
    at: Address, query: str, values: Sequence[Any], options: str = ""
) -> list[dict[str, Any]]:
    """In one message, for a transaction may not idle; not serializable, which replicas refuse."""
    with connect(at, settings=AS_CONFIGURED, options=options) as connection:
        cursor = psycopg.ClientCursor(connection, row_factory=dict_row)
        whole = f"begin isolation level read committed; {query}; commit"
        cursor.execute(whole, values or None)
        cursor.nextset()
        return cursor.fetchall()


def row(at: Address, query: Query, values: Sequence[Any] = ()) -> dict[str, Any]:
    """The first row of one statement; an empty dictionary where there is none."""
    return next(iter(rows(at, query, values)), {})


def checkpoint(at: Address) -> None:
    """Make a checkpoint: as long as it takes to write what is in memory."""
    with connect(at, options="-c statement_timeout=0") as connection:
        connection.execute("checkpoint")


def scram_verifier(at: Address, password: str, user: str) -> str:
    """What the server stores for a SCRAM password, which it never sees: libpq makes it here."""
    with connect(at) as connection:
        words = password.encode(), user.encode(), b"scram-sha-256"
        return connection.pgconn.encrypt_password(*words).decode()


def ask_from(
    outside: tuple[str, int, str], words: Mapping[str, str], rule: IPv4Network, sslmode: str = PLAIN
) -> str:
    """The server's answer to a start-up packet (`start_up`) that is sent from another address.

    outside: host, port and that address. rule: the network that it is not to come from. sslmode: as
    in `Address`. Returns the SQLSTATE of the refusal, or "accepted" (also when it goes on to ask
    for a password). libpq cannot choose its source address, hence the packet. Raises `OSError`
    where this machine cannot send from there, or it arrives from another one inside the rule.
    """
    host, port, source = outside
    seen = _seen_as(host, port, source)
    if seen and IPv4Address(seen) in rule:
        raise OSError(t("it arrives from {address}", address=seen))
    answer = start_up(host, port, words, source=source, sslmode=sslmode)
    return refusal(answer).get("C", "accepted")


def _seen_as(host: str, port: int, source: str) -> str:
    """From which address the server sees it come, where it says so.

    A network on the way may change it. A role that does not exist is refused, with the address
    where no rule admits it.
    """
    words = {"user": f"pgrepl_{secrets.token_hex(8)}", "replication": "true"}
    said = refusal(start_up(host, port, words, source=source)).get("M", "")
    return next(iter(re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", said)), "")


def start_up(
    host: str,
    port: int,
    words: Mapping[str, str],
    *,
    seconds: float = 5,
    source: str = "",
    sslmode: str = PLAIN,
) -> bytes:
    """The beginning of a server's answer to a start-up packet (PostgreSQL manual, 55.2.1, 55.7).

    Empty where the connection is closed without a word. seconds: for each of connection and answer.
    sslmode: as in `Address`. Raises `OSError`.
    """
    plain = b"".join(w.encode() + b"\0" for word in words.items() for w in word) + b"\0"
    with socket.create_connection((host, port), seconds, (source, 0)) as opened:
        connection = opened
        if sslmode != PLAIN:
            connection = encrypted(opened)
        connection.sendall(struct.pack("!ii", len(plain) + 8, 196608) + plain)
        return connection.recv(4096)


def encrypted(connection: socket.socket) -> socket.socket:
    """The same connection with TLS, where the server offers it; whose it is, is not asked here."""
    connection.sendall(SSL_REQUEST)
    if connection.recv(1) != b"S":
        return connection
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


def refusal(answer: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse by their letter: C the SQLSTATE, M the message (manual, 55.8).

    Empty where the answer is none.
    """
    if answer[:1] != b"E":
        return {}
    fields = answer[5:].decode(errors="replace").split("\0")
    return {"C": "unknown", **{field[0]: field[1:] for field in fields if field}}
