"""Where every exercise begins: a healthy cluster, whatever was done to it before.

A primary called `primary`, two replicas that follow it, no promise to them, and nothing left of
other exercises: all that these make is called `exercicio…` or stands in the drills' blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from ..checks import slots
from ..cluster import restarts, state
from ..cluster.dropping import drop_slot
from ..doors import db
from ..doors.program import silently
from ..drift import undo
from ..drills import drills
from ..engine.action import CONFIGURATION, PRIMARY
from ..engine.edit import Edit
from ..errors import StepFailed
from ..operations.failover import Failover
from ..operations.rejoin.rejoin import Rejoin
from ..operations.switchover import Switchover
from ..operations.synchronous import set_synchronous
from ..steps.cluster import Cluster
from ..steps.instance import Instance
from ..steps.replicas import add, follow, prepare_all, rebuild
from ..words.text import t
from .faults import SCHEMA, SETTINGS

SLOTS = f"select slot_name as name from pg_replication_slots where slot_name like '{SCHEMA}%'"
ROLES = f"select rolname as name from pg_roles where rolname like '{SCHEMA}%'"
LEFT = f"""
select exists (select from pg_namespace where nspname = '{SCHEMA}')
    or to_regclass('pgrepl_drill') is not null as left"""
STATUS = "select wal_status as status from pg_replication_slots where slot_name = %s"
CHANGED = """
select split_part(line, ' = ', 1) as name from
    regexp_split_to_table(pg_read_file('postgresql.auto.conf'), '\n') line"""


def make(cluster: Cluster, practised: bool, replicas: int = 2) -> None:
    """Steps: whatever is left to do for that.

    practised: whether an exercise goes on, which began with a healthy cluster: then a replica that
    was promoted since is made anew. replicas: at least so many. Raises `StepFailed` for a cluster
    that is not set up yet; what else hinders it says so itself.
    """
    require_set_up(cluster)
    _end_change(cluster)
    with cluster.working():
        _files(cluster)
        _running(cluster)
        if cluster.topology.synchronous:
            set_synchronous(cluster, "")
        _things(cluster)
        _recovering(cluster, practised)
        for name in list(cluster.topology.fenced):
            Rejoin(cluster, name).run()
        _following(cluster, replicas)
    if cluster.primary.name != PRIMARY:
        Switchover(cluster, to=PRIMARY).run()


def is_set_up(cluster: Cluster) -> bool:
    """Whether there is a cluster with a replica."""
    made = (cluster.folder / state.FILE).exists()
    return made and all(map(cluster.engine.has_data, cluster.topology.names[:2]))


def require_set_up(cluster: Cluster) -> None:
    """Raise `StepFailed` unless there is a cluster with a replica."""
    if is_set_up(cluster):
        return
    raise StepFailed(
        t("The cluster of project {project} is not there.", project=cluster.params.project),
        remedy=cluster.addressed(t("`pgrepl run` sets it up; then start the exercise again")),
    )


def _end_change(cluster: Cluster) -> None:
    """One that was begun and left is gone on with."""
    if begun := cluster.topology.operation:
        kind = {Switchover.kind: Switchover, Failover.kind: Failover}[begun["kind"]]
        kind(cluster, begun["to"]).run()


def _files(cluster: Cluster) -> None:
    """As recorded, without the drills' blocks, and with the rule that lets replicas in."""
    cluster.restore()
    for name in cluster.topology.names:
        for file in CONFIGURATION:
            Edit(cluster.folder, f"{name}/{file}", {drills.BLOCK: None}).write()
        cluster.instance(name).allow_replication()


def _running(cluster: Cluster) -> None:
    """All that are not fenced run with what their files say, and with no setting but those."""
    names = [n for n in cluster.topology.names if n not in cluster.topology.fenced]
    for name in names:
        instance = cluster.instance(name)
        if not (cluster.engine.running(name) and instance.answers()[0]):
            drills.start(cluster, name)
        back = undo.settings_action(instance)
        if not back.done():
            back.do(silently)
        if statements := list(_resets(instance)):
            for statement in statements:
                db.rows(instance.address, statement)
            restarts.reload(instance)
        restarts.take_over(instance)


def _resets(instance: Instance) -> Iterator[sql.Composed]:
    """Without a record, what exercises are known to change goes."""
    changed = {row["name"].strip() for row in db.rows(instance.address, CHANGED)}
    for name in sorted(changed & set(SETTINGS)):
        yield sql.SQL("alter system reset {}").format(sql.Identifier(name))


def _things(cluster: Cluster) -> None:
    """Tables, slots and roles that exercises have made, and the rights of the replication user."""
    primary = cluster.primary
    for row in db.rows(primary.address, SLOTS):
        drop_slot(primary, row["name"]).do(silently)
    if db.row(primary.address, LEFT)["left"]:
        db.rows(primary.address, f"drop schema if exists {SCHEMA} cascade")
        drills.forget(cluster)
    for row in db.rows(primary.address, ROLES):
        db.rows(primary.address, sql.SQL("drop role {}").format(sql.Identifier(row["name"])))
    right = sql.SQL("alter role {} nosuperuser replication login")
    db.rows(primary.address, right.format(sql.Identifier(cluster.params.replication_user)))
    primary.create_replication_user()


def _recovering(cluster: Cluster, practised: bool) -> None:
    """No replica accepts writes; raises `StepFailed` where one may have rows that are no exercise.

    practised: as for `make`.
    """
    for replica in cluster.replicas:
        if practised and not replica.in_recovery():
            rebuild(cluster, replica.name, discard=True)
        replica.require_recovery()


def _following(cluster: Cluster, count: int) -> None:
    """So many replicas at least, which follow the primary itself and replay."""
    primary = cluster.primary
    if unfinished := [r.name for r in cluster.replicas if not r.prepared()]:
        prepare_all(cluster, unfinished)
    for replica in cluster.replicas:
        if replica.upstream.name != primary.name:
            follow(cluster, replica.name, primary.name)
        restarts.resume(replica)
        if db.row(primary.address, STATUS, [replica.slot]).get("status") == "lost":
            rebuild(cluster, replica.name)
        primary.create_slot(replica.slot)
        replica.wait_streaming()
    while len(cluster.topology.replicas) < count:
        add(cluster)
    slots.drops(cluster, cluster.topology).do(silently)
