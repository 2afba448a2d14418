"""Tablespaces outside the data folder, of which no instance gets a copy of its own.

On one machine all instances would write into the same folder; a container's lies in no volume and
is gone with it (manual, 23.6 Tablespaces, and pg_basebackup, --tablespace-mapping).
"""

from __future__ import annotations

import shlex
from contextlib import suppress

import psycopg
from psycopg import sql

from ..doors import db
from ..engine.protocol import Engine
from ..errors import StepFailed
from ..words.commands import addressed
from .topology import Topology

# One that was made in place has a relative location and is copied with the rest.
OUTSIDE = """
select spcname as name, pg_tablespace_location(oid) as location from pg_tablespace
where pg_tablespace_location(oid) like '/%' order by 1"""
NONE = "none outside the data folder"
MOVE = (
    "alter table all in tablespace {} set tablespace pg_default",
    "alter index all in tablespace {} set tablespace pg_default",
    "alter materialized view all in tablespace {} set tablespace pg_default",
    "drop tablespace {}",
)


def outside(at: db.Address) -> dict[str, str]:
    """The tablespaces that lie outside the data folder, with their locations."""
    return {r["name"]: r["location"] for r in db.rows(at, OUTSIDE)}


def seen_now(engine: Engine, name: str) -> dict[str, str]:
    """The same; none of a server that does not answer."""
    if not engine.running(name):
        return {}
    with suppress(psycopg.Error, OSError):
        return outside(engine.address(name))
    return {}


def told(found: dict[str, str]) -> str:
    """Each with its place, as facts."""
    return "; ".join(f"tablespace {name}: {where}" for name, where in found.items()) or NONE


def remedy(engine: Engine, topology: Topology, found: dict[str, str]) -> str:
    """What moves all of it into the data folder; nobody else may write there meanwhile."""
    statements = []
    for name in found:
        one = sql.Identifier(name).as_string()
        statements += [f"-c {shlex.quote(text.format(one))}" for text in MOVE]
    command = f"`pgrepl psql {topology.primary} -- {' '.join(statements)}`"
    move = f"move it into the data folder, in each database that uses it (-d NAME): {command}"
    move += (
        "; a database that lies there as a whole: `alter database NAME set tablespace pg_default`"
    )
    running = [name for name in topology.replicas if engine.running(name)]
    if engine.name != "local" or not running:
        return f"{move}; then `pgrepl run`"
    stops = "; ".join(str(c) for name in running for c in engine.stop(name).commands)
    first = f"stop the replicas, which write there, too, in {engine.params.folder}: {stops}"
    return f"{first}; then {move}; then `pgrepl run`"


def require_none(engine: Engine, topology: Topology, source: str) -> None:
    """Raise `StepFailed` where a copy of `source` would not have all of its data for itself."""
    if not (found := seen_now(engine, source)):
        return
    raise StepFailed(
        f"{source} has data outside its data folder, which no copy has; nothing was touched.",
        looked_at=told(found).split("; "),
        remedy=addressed(remedy(engine, topology, found), engine.params),
    )
