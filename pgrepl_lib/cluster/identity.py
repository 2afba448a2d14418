"""Whose data an instance holds: all copies of a cluster have one system identifier.

(PostgreSQL manual, `pg_control_system`.) It is recorded as soon as there are data. From then on no
instance of the project is ever made from nothing again: data that are gone are not replaced by an
empty cluster, and data of another cluster are not started.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psycopg

from ..doors import db
from ..engine.protocol import Engine
from ..errors import EnvironmentLacking, StepFailed
from ..postgres.control import ControlFile, lsn
from ..words.commands import addressed
from ..words.text import Text, t
from .project import Project
from .topology import Topology

RECEIVED = "select coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text as lsn"


@dataclass(frozen=True)
class Astray:
    """Data that are not where they should be: what happened, who else has them, what to do."""

    cause: Text
    seen: list[Text]
    remedy: str


def identifier_of(engine: Engine, name: str) -> str:
    """The system identifier of an instance's data; empty where it has none."""
    if not engine.has_data(name):
        return ""
    return str(ControlFile.parse(engine.control_file(name)).system_identifier)


def learn(engine: Engine, topology: Topology) -> bool:
    """Note the identifier once there are data that agree; whether it is new."""
    if topology.system_identifier:
        return False
    found = {identifier_of(engine, name) for name in topology.names} - {""}
    if len(found) != 1:
        return False
    topology.system_identifier = found.pop()
    return True


def record(cluster: Project) -> None:
    """Record the cluster's system identifier as soon as there are data."""
    if learn(cluster.engine, cluster.topology):
        cluster.engine.had_data = True
        cluster.engine.prepare()
        cluster.record()


def require_own_data(engine: Engine, topology: Topology, name: str) -> None:
    """Raise `StepFailed` where an instance's data are gone, or another cluster's."""
    if wrong := astray(engine, topology, name):
        cause = t("{wrong}; nothing was started.", wrong=wrong.cause)
        raise StepFailed(cause, looked_at=wrong.seen, remedy=wrong.remedy)


def astray(engine: Engine, topology: Topology, name: str) -> Astray | None:
    """What is wrong with an instance's data; None where nothing is, or none have ever been."""
    known = topology.system_identifier
    found = identifier_of(engine, name) if known else ""
    if found == known:
        return None
    cause = t("{name} has no data any more, and this project has had some", name=name)
    if found:
        cause = t("{name} has another cluster's data", name=name)
    others = [n for n in topology.names if n != name and identifier_of(engine, n) == known]
    identifiers = t(
        "system identifier: recorded {known}, {name} {found}",
        known=known,
        name=name,
        found=found or t("none"),
    )
    remedy = addressed(_remedy(topology, name, others), engine.params)
    return Astray(cause, [identifiers, *(_copy(engine, n) for n in others)], remedy)


def _remedy(topology: Topology, name: str, others: list[str]) -> Text:
    if not others:
        return t(
            "put the data back from a backup; or begin anew: `pgrepl down --yes`, then `pgrepl run`"
        )
    if name != topology.primary:
        return t("make it anew: `pgrepl replica rebuild {name}`", name=name)
    return t(
        "let a replica take over, then make {name} anew: "
        "`pgrepl failover`, then `pgrepl rejoin {name}`",
        name=name,
    )


def _copy(engine: Engine, name: str) -> Text:
    """Who else has the data, and how far: asked where it answers, else its last checkpoint."""
    if engine.running(name):
        with suppress(psycopg.Error, OSError, EnvironmentLacking):
            return t(
                "{name} has this project's data, up to {lsn} (running)",
                name=name,
                lsn=db.row(engine.address(name), RECEIVED)["lsn"],
            )
    return t(
        "{name} has this project's data, up to {lsn} (its last checkpoint)",
        name=name,
        lsn=lsn(ControlFile.parse(engine.control_file(name)).checkpoint),
    )
