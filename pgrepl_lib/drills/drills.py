"""Drills: faults made on purpose, for learning what they look like and for undoing them. Every one is a step."""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING

import psycopg

from ..cluster import restarts
from ..doors import db
from ..doors.wait import wait_until
from ..engine.action import CONFIGURATION, Action, Tell
from ..engine.edit import Edit
from ..errors import PgreplError, StepFailed
from ..postgres import conf
from ..steps.replicas import rebuild

if TYPE_CHECKING:
    from ..steps.cluster import Cluster

BLOCK = "drill"


def cut(
    cluster: Cluster, title: str = "Cut the connection between the primary and its replicas"
) -> str:
    """Step: the primary refuses replication connections (`reject` in `pg_hba.conf`) and ends those there are."""
    params, network = cluster.params, cluster.engine.rule_network()
    lines = conf.hba_lines(params.replication_user, network, "reject")
    terminate = "select pg_terminate_backend(pid) from pg_stat_replication;"
    edit = _block(cluster, CONFIGURATION[1], lines)
    command = cluster.engine.client(cluster.primary.name, "psql", "-c", terminate)

    def do(tell: Tell) -> None:
        edit.do(tell)
        db.rows(cluster.primary.address, terminate)
        wait_until(
            "the connections to end",
            lambda: (not _connected(cluster), "still connected"),
            seconds=20,
        )

    return cluster.perform(title, Action((*edit.commands, command), do, edit.done))


def heal(cluster: Cluster, title: str = "Heal the connection") -> str:
    """Step: take the refusal back, and wait until every running replica streams again."""
    edit = _block(cluster, CONFIGURATION[1], None)

    def do(tell: Tell) -> None:
        edit.do(tell)
        for replica in cluster.replicas:
            if cluster.engine.running(replica.name):
                replica.wait_streaming()

    return cluster.perform(title, Action(edit.commands, do, edit.done))


def start(cluster: Cluster, name: str, title: str = "Start {} by hand") -> str:
    """Step: start an instance as it is, whatever its role, and wait until it answers; not until it follows anybody."""
    instance, begin = cluster.instance(name), cluster.engine.start(name)

    def do(tell: Tell) -> None:
        if not begin.done():
            begin.do(tell)
        instance.wait_ready()

    return cluster.perform(
        title.format(name),
        Action(begin.commands, do, lambda: begin.done() and instance.answers()[0]),
    )


def limit_slots(
    cluster: Cluster, size: str, title: str = "Limit the WAL that slots may hold"
) -> str:
    """Step: `max_slot_wal_keep_size`, and no `wal_keep_size` beside it; "" takes it back."""
    settings = {"max_slot_wal_keep_size": size, "wal_keep_size": "0"}
    lines = conf.setting_lines(settings) if size else None
    return cluster.perform(title, _block(cluster, CONFIGURATION[0], lines))


def write_wal(cluster: Cluster, megabytes: int, title: str = "Write WAL on the primary") -> str:
    """Step: fill and switch WAL segments (16 MB each) and make a checkpoint, which is when old ones go."""
    statements = (
        "create table if not exists pgrepl_drill (id int, filler text)",
        "insert into pgrepl_drill select i, md5(i::text) from generate_series(1, 1000) i",
    )
    switch = "select pg_switch_wal();"
    commands = [
        cluster.engine.client(cluster.primary.name, "psql", "-c", s)
        for s in (*statements, switch, "checkpoint;")
    ]

    def do(tell: Tell) -> None:
        at = cluster.primary.address
        db.rows(at, statements[0])
        for number in range(-(-megabytes // 16) + 1):  # the first segment is partly full already
            db.rows(at, statements[1])
            db.rows(at, switch)
            tell(f"{16 * number} MB")
        wait_until(
            "the running replicas to have received it", lambda: _received(cluster), seconds=60
        )
        db.checkpoint(at)  # with a limit for slots it may end only those that nobody uses

    return cluster.perform(title, Action(tuple(commands), do))


def break_rebuild(cluster: Cluster, name: str, title: str = "Make {} anew") -> str:
    """Step that fails on purpose: `rebuild`, with its base backup ended in the middle.

    Returns the error. The copy was made beside the replica's data, so that it goes on with these.
    """
    over = Event()

    def end_backup() -> None:
        query = "select pg_terminate_backend(pid) from pg_stat_progress_basebackup where backup_streamed > 0"
        with db.connect(cluster.primary.address) as connection:
            while not over.wait(0.001) and not connection.execute(query).fetchall():
                pass

    thread = Thread(target=end_backup, daemon=True)
    thread.start()
    try:
        with cluster.meant_to_fail():
            rebuild(cluster, name, title)
    except PgreplError as error:
        return next((line for line in error.looked_at if "error" in line), error.cause)
    finally:
        over.set()
        thread.join()
    raise StepFailed(
        "The base backup was faster than its interruption.", remedy="run the cell again"
    )


def forget(cluster: Cluster) -> None:
    """Drop the drills' table."""
    db.rows(cluster.primary.address, "drop table if exists pgrepl_drill")


def try_to_write(cluster: Cluster, name: str) -> str:
    """What an instance answers to a write: "accepted", its SQLSTATE, or that it does not answer."""
    try:
        db.rows(cluster.instance(name).address, "create temporary table pgrepl_try (n int)")
        return "accepted"
    except psycopg.OperationalError:
        return "no answer"
    except psycopg.Error as error:
        return f"SQLSTATE {error.sqlstate}"


def _block(cluster: Cluster, file: str, lines: list[str] | None) -> Action:
    """The drills' block in the primary's file, or none, read by the server at once."""
    name = cluster.primary.name
    return restarts.edited(cluster.primary, Edit(cluster.folder, f"{name}/{file}", {BLOCK: lines}))


def _received(cluster: Cluster) -> tuple[bool, str]:
    """Whether no slot that is in use holds more than a segment."""
    query = (
        "select coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)::bigint as behind "
        "from pg_replication_slots where active"
    )
    behind = db.row(cluster.primary.address, query)["behind"]
    return behind < 16 * 1024**2, f"{behind} bytes behind"


def _connected(cluster: Cluster) -> bool:
    query = "select pid from pg_stat_replication where usename = %s"
    return bool(db.rows(cluster.primary.address, query, [cluster.params.replication_user]))
