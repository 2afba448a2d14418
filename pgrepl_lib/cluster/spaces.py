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
from ..words.text import Text, joined, mark, t
from .topology import Topology

# One that was made in place has a relative location and is copied with the rest.
OUTSIDE = """
select spcname as name, pg_tablespace_location(oid) as location from pg_tablespace
where pg_tablespace_location(oid) like '/%' order by 1"""
NONE = mark("none outside the data folder")
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


def lines(found: dict[str, str]) -> list[Text]:
    """Each with its place, as facts."""
    return [t("tablespace {name}: {path}", name=n, path=where) for n, where in found.items()]


def told(found: dict[str, str]) -> Text:
    """The same in one line, also where there is none."""
    return joined("; ", lines(found) or [t(NONE)])


def remedy(engine: Engine, topology: Topology, found: dict[str, str]) -> Text:
    """What moves all of it into the data folder; nobody else may write there meanwhile."""
    statements = []
    for name in found:
        one = sql.Identifier(name).as_string()
        statements += [f"-c {shlex.quote(text.format(one))}" for text in MOVE]
    move = t(
        "move it into the data folder, in each database that uses it (-d NAME): `{command}`; "
        "a database that lies there as a whole: `{whole}`",
        command=f"pgrepl psql {topology.primary} -- {' '.join(statements)}",
        whole="alter database NAME set tablespace pg_default",
    )
    running = [name for name in topology.replicas if engine.running(name)]
    if engine.name != "local" or not running:
        return t("{first}; then `pgrepl run`", first=move)
    stop = t(
        "stop the replicas, which write there, too, in {folder}: {commands}",
        folder=engine.params.folder,
        commands="; ".join(str(c) for name in running for c in engine.stop(name).commands),
    )
    return t("{stop}; then {move}; then `pgrepl run`", stop=stop, move=move)


def require_none(engine: Engine, topology: Topology, source: str) -> None:
    """Raise `StepFailed` where a copy of `source` would not have all of its data for itself."""
    if not (found := seen_now(engine, source)):
        return
    raise StepFailed(
        t(
            "{name} has data outside its data folder, which no copy has; nothing was touched.",
            name=source,
        ),
        looked_at=lines(found),
        remedy=addressed(remedy(engine, topology, found), engine.params),
    )
