"""A connection string for clients, as they take it (PostgreSQL manual, 34.1, 34.15, 34.17).

It is made of libpq's words, and several hosts stand in it: a client asks each in turn, and stays
with the one that it needs.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urlencode

Words = Mapping[str, str]
WRITES, READS = "read-write", "prefer-standby"  # of target_session_attrs
NO_WRITES = "-c default_transaction_read_only=on"
VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "passfile": "PGPASSFILE",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "channel_binding": "PGCHANNELBINDING",
}
# What the JDBC driver calls what it knows of them; it finds a password's file by PGPASSFILE.
IN_JDBC = {
    "user": "user",
    "connect_timeout": "connectTimeout",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
}
JDBC = {
    WRITES: {"targetServerType": "primary"},
    READS: {"targetServerType": "preferSecondary", "readOnly": "true", "readOnlyMode": "always"},
}


def words(places: Sequence[tuple[str, int]], user: str, dbname: str, *, reads: bool) -> Words:
    """What a client says to reach the one of these places that it needs.

    places: host and port of each server. reads: any replica, or the primary where none answers,
    and nothing can be written; else the one that accepts writes.
    """
    found = {"host": ",".join(host for host, _ in places)}
    found |= {"port": ",".join(str(port) for _, port in places), "dbname": dbname, "user": user}
    found |= {"target_session_attrs": WRITES, "connect_timeout": "3"}  # of one that hangs
    if reads:
        found |= {"target_session_attrs": READS, "options": NO_WRITES}
    return found


def uri(given: Words, section: str) -> str:
    """As psql and every library on libpq take it."""
    rest = {name: value for name, value in given.items() if name not in IN_FRONT}
    user = quote(given["user"], safe="")
    return f"postgresql://{user}@{_hosts(given)}?{urlencode(rest, quote_via=quote)}"


def env(given: Words, section: str) -> str:
    """As a shell evaluates it."""
    lines = (f"export {VARIABLES[name]}={shlex.quote(value)}" for name, value in given.items())
    return "\n".join(lines)


def service(given: Words, section: str) -> str:
    """As a section of `pg_service.conf`."""
    return "\n".join([f"[{section}]", *(f"{name}={value}" for name, value in given.items())])


def jdbc(given: Words, section: str) -> str:
    """As Java's driver takes it."""
    rest = {IN_JDBC[name]: value for name, value in given.items() if name in IN_JDBC}
    rest |= JDBC[given["target_session_attrs"]]
    return f"jdbc:postgresql://{_hosts(given)}?{urlencode(rest, quote_via=quote)}"


IN_FRONT = ("host", "port", "dbname", "user")
FORMATS: dict[str, Callable[[Words, str], str]] = {
    "uri": uri,
    "env": env,
    "service": service,
    "jdbc": jdbc,
}


def _hosts(given: Words) -> str:
    pairs = zip(given["host"].split(","), given["port"].split(","), strict=True)
    return f"{','.join(map(':'.join, pairs))}/{quote(given['dbname'], safe='')}"
