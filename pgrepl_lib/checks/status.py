"""The cluster's state now, as plain data."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import psycopg

from ..cluster.changes import left, outdated, underway
from ..cluster.members import AnyCluster
from ..cluster.server import Server
from ..cluster.state import FILE
from ..cluster.topology import application_name
from ..doors import ahead, db
from ..doors.answer import SHOWN_SECONDS, Answer, ask_all
from ..engine.life import Life
from ..logins.tls import refusing
from ..postgres import recovery
from ..postgres.recovery import Recovery

if TYPE_CHECKING:
    import pandas


ROLE = "select pg_is_in_recovery() as r, current_setting('server_version') as v"
LOOK = f"select * from ({ROLE}) role, ({recovery.QUERY}) recovery"
# Lag in bytes: WAL that the upstream has and the replica has not replayed. In seconds: the age of
# the last replayed commit, 0 where everything is replayed, else perhaps unknown (manual, 28.2.4).
REPLICATION = """
select application_name, state, sync_state, s.slot_name as slot,
       pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn()
                            else pg_current_wal_lsn() end, replay_lsn)::bigint as lag_bytes,
       case when not replay_lsn < sent_lsn then 0
            else round(extract(epoch from replay_lag)::numeric, 3)::float end as lag_seconds
from pg_stat_replication r left join pg_replication_slots s on s.active_pid = r.pid
order by application_name"""


@ahead.measured
def status(cluster: AnyCluster) -> dict[str, Any]:
    """Project, engine, each instance, each replica as its upstream sees it, and what has begun.

    All are asked at the same time, so that those that hang cost a few seconds together.
    """
    instances = _instances(cluster)
    answered = {i["name"] for i in instances if i["role"]}
    upstreams = dict.fromkeys([cluster.primary, *(r.upstream for r in cluster.replicas)])
    replication = ask_all(_senders, [u for u in upstreams if u.name in answered])
    rows = list(chain(*replication))
    streaming = [r["application_name"] for r in rows if r["state"] == "streaming"]
    _tell_left(cluster, instances, streaming)
    operation = cluster.topology.operation
    begun = underway.told(cluster.topology, cluster.params)
    return {
        "project": cluster.params.project,
        "engine": cluster.engine.name,
        "folder": str(cluster.folder),
        "operation": {**operation, "told": begun} if operation else None,
        "outdated": _outdated(cluster, instances) or None,
        "certificates": refusing.told(cluster) or refusing.unfinished(cluster) or None,
        "instances": instances,
        "replication": rows,
    }


@ahead.measured
def roles(cluster: AnyCluster) -> pandas.DataFrame:
    """Who is what now: each instance's name, role and state."""
    import pandas

    found = _instances(cluster)
    return pandas.DataFrame(found, columns=["name", "role", "state"])


def _outdated(cluster: AnyCluster, instances: list[dict[str, Any]]) -> str:
    """Who is the primary instead of the recorded one, and the way on, where that may be so."""
    writing = [i["name"] for i in instances if i["role"] == "primary"]
    if not writing or cluster.topology.primary in writing:
        return ""
    return outdated.told(cluster.engine, cluster.topology)


def _tell_left(cluster: AnyCluster, instances: list[dict[str, Any]], streaming: list[str]) -> None:
    """Say of each that runs and does not stream whether it can follow no more."""
    topology = cluster.topology
    if not any(i["role"] for i in instances if i["name"] == topology.primary):
        return  # then it has nothing to compare with

    def tell(found: dict[str, Any]) -> None:
        name = found["name"]
        follows = application_name(name) in streaming or name not in topology.upstreams
        if found["state"] == "running" and not follows:
            found["state"] = left.why(cluster.engine, name, topology.primary) or found["state"]

    ask_all(tell, instances)


def _instances(cluster: AnyCluster) -> list[dict[str, Any]]:
    instances = [cluster.instance(name) for name in cluster.topology.names]
    return ask_all(partial(_instance, cluster), instances)


def _senders(upstream: Server) -> list[dict[str, Any]]:
    """Nobody where it does not answer any more: its own state says so the next time."""
    try:
        found = db.rows(upstream.address, REPLICATION, seconds=SHOWN_SECONDS, limit=SHOWN_SECONDS)
        return [{**r, "upstream": upstream.name} for r in found]
    except (psycopg.Error, OSError):
        return []


def _instance(cluster: AnyCluster, instance: Server) -> dict[str, Any]:
    known = {
        "name": instance.name,
        "role": None,
        "host": "127.0.0.1",
        "port": cluster.engine.ports[instance.name],
        "user": "postgres",
        "version": None,
        "state": Life.ABSENT,
        "replay": None,
    }
    if not (cluster.folder / FILE).exists():
        return known
    fenced = "fenced" if instance.name in cluster.topology.fenced else ""
    if not cluster.engine.running(instance.name):
        return {**known, "state": fenced or _life(cluster, instance)}
    seen = instance.look(LOOK, seconds=SHOWN_SECONDS)
    if isinstance(seen, Answer):
        return {**known, "state": str(seen)}
    known |= {"state": fenced or "running", "role": "primary", "version": seen["v"]}
    if seen["r"]:
        known |= {"role": "replica", "replay": str(Recovery.of(seen).doing)}
    return known


def _life(cluster: AnyCluster, instance: Server) -> Life:
    """What one is at that cannot be asked; without a container it may have its data."""
    if not (life := cluster.engine.life(instance.name)).ended:
        return life
    return Life.STOPPED if cluster.engine.has_data(instance.name) else Life.ABSENT
