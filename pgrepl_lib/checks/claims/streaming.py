"""Whether each replica follows: streaming, slot, receiver, the same cluster, the next login."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...cluster.members import AnyCluster
from ...cluster.server import Server
from ...cluster.topology import application_name
from ...doors import db
from ...logins import logins
from ...words.text import Text, mark, t
from .. import slots
from ..outcome import Fact
from ..registry import check, of_replicas

SENDERS = """
select application_name as name, state
from pg_stat_replication r left join pg_replication_slots s on s.active_pid = r.pid
order by application_name, s.slot_name is null"""
RECEIVER = "select status, slot_name, sender_host, sender_port from pg_stat_wal_receiver"
IDENTITY = "select system_identifier from pg_control_system()"
SLOT = """
select concat_ws(', ', slot_type, case when active then 'active' else 'inactive' end,
                 case when restart_lsn is null then 'restart_lsn null' else 'restart_lsn' end
                ) as seen
from pg_replication_slots where slot_name = %s"""
SAME = mark("system_identifier {identifier}, timeline {timeline}, server_version {version}")


@check(
    "streaming",
    mark("The primary sees each replica streaming under its name"),
    mark(
        "no row: the replica is not connected, its log says why; "
        "walreceiver: primary_conninfo has two owners (correction 4)"
    ),
)
@of_replicas
def streaming(replica: Server) -> tuple[str, str]:
    """`pg_stat_replication` (manual, 28.2.4); who is unknown may be ours under another name."""
    found = db.rows(replica.upstream.address, SENDERS)
    for row in found:
        if row["name"] == replica.application_name:
            return "streaming", str(row["state"])
    names = [application_name(name) for name in replica.cluster.topology.replicas]
    others = [f"{row['name']}: {row['state']}" for row in found if row["name"] not in names]
    return "streaming", ", ".join(others) or t("not connected")


@check(
    "slot",
    mark("Each replica's slot is physical, active and holds WAL"),
    mark("no slot, or an inactive one, which the replica does not use: `pgrepl run`"),
)
def slot(cluster: AnyCluster) -> Iterable[Fact]:
    """`pg_replication_slots` (manual, System Views)."""

    @of_replicas
    def of_each(replica: Server) -> tuple[str, str]:
        found = db.row(replica.upstream.address, SLOT, [replica.slot])
        state = found.get("seen") or t("missing")
        return f"{replica.slot}: physical, active, restart_lsn", f"{replica.slot}: {state}"

    yield from of_each(cluster)
    if others := slots.told(cluster):
        remedy = t("nobody's slots hold WAL: {drops}", drops=slots.remedy(cluster))
        yield Fact("", t("no slot that nobody uses"), "; ".join(others), remedy)


@check(
    "receiver",
    mark("Each replica receives through its slot, from the configured primary"),
    mark(
        "its file is not read yet, or primary_conninfo has another owner "
        "(postgresql.auto.conf; correction 4): `pgrepl run`"
    ),
)
@of_replicas
def receiver(replica: Server) -> tuple[str, str]:
    """`pg_stat_wal_receiver` on the replica (manual, 28.2.6)."""
    host, port = replica.cluster.engine.upstream(replica.upstream.name)
    expected, found = f"streaming, {host}:{port}, {replica.slot}", db.row(replica.address, RECEIVER)
    if not found:
        return expected, "pg_stat_wal_receiver: 0"
    return expected, "{status}, {sender_host}:{sender_port}, {slot_name}".format(**found)


@check(
    "same-cluster",
    mark("Same system identifier, timeline and version on both sides"),
    mark(
        "another identifier: the replica's data came from elsewhere; another timeline: it was left "
        "behind; it is made anew by `pgrepl replica rebuild NAME`"
    ),
)
def same_cluster(cluster: AnyCluster) -> Iterable[Fact]:
    """A copy of another cluster, or one left on an old timeline, would look healthy otherwise."""
    primary, wanted = cluster.primary, str(cluster.params.pg_version)
    first = _identity(primary, db.TIMELINE)
    version = first["server_version"]
    if not version.startswith(wanted):
        number = mark("version {number}")
        yield Fact(primary.name, t(number, number=wanted), t(number, number=version))
        return

    @of_replicas
    def of_each(replica: Server) -> tuple[str, str]:
        other = _identity(replica, "select received_tli as timeline from pg_stat_wal_receiver")
        return _compared(first, first), _compared(first, other)

    yield from of_each(cluster)


@check(
    "login",
    mark("Each replica would be admitted again"),
    mark("`pgrepl run` sets its password right"),
)
@of_replicas
def login(replica: Server) -> tuple[str, str]:
    """As each replica does it: one that streams goes on with the login that it once had."""
    own = replica.conninfo(replica.upstream)
    return logins.ADMITTED, logins.of_replica(replica.cluster.engine, replica.name, own)


def _identity(server: Server, timeline: str) -> dict[str, Any]:
    """timeline: the query that tells it."""
    found: dict[str, Any] = {}
    for query in (IDENTITY, timeline, "show server_version"):
        found |= db.row(server.address, query)
    return found


def _compared(one: Mapping[str, Any], other: Mapping[str, Any]) -> Text:
    def told(name: str) -> Text:
        if one.get(name) == other.get(name):
            return t("equal")
        return t("different")

    return t(
        SAME,
        identifier=told("system_identifier"),
        timeline=told("timeline"),
        version=told("server_version"),
    )
