"""Drills: faults made on purpose, for learning what they look like and for undoing them.

Every one is a step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import psycopg

from ..cluster import restarts
from ..doors import ahead, db
from ..doors.wait import wait_until
from ..engine.action import CONFIGURATION, Action, Tell
from ..engine.edit import Edit
from ..errors import PgreplError, StepFailed
from ..postgres import conf
from ..steps.replicas import rebuild
from ..words.quoted import quoted
from ..words.text import t

if TYPE_CHECKING:
    from ..steps.cluster import Cluster

BLOCK = conf.DRILL
FILL = (
    "create table if not exists pgrepl_drill (id int, filler text)",
    "insert into pgrepl_drill select i, md5(i::text) from generate_series(1, 1000) i",
)
SWITCH = "select pg_switch_wal();"
END_BACKUP = """
select pg_terminate_backend(pid) from pg_stat_progress_basebackup where backup_streamed > 0"""
BEHIND = """
select coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)::bigint as behind
from pg_replication_slots where active"""


def cut(cluster: Cluster) -> str:
    """Step: the primary refuses replication connections, and ends those there are.

    It has `reject` for them in `pg_hba.conf`.
    """
    params, network = cluster.params, cluster.engine.rule_network()
    lines = conf.hba_lines(params.replication_user, network, "reject")
    terminate = "select pg_terminate_backend(pid) from pg_stat_replication;"
    edit = _block(cluster, CONFIGURATION[1], lines)
    command = cluster.engine.client(cluster.primary.name, "psql", "-c", terminate)

    def do(tell: Tell) -> None:
        edit.do(tell)
        db.rows(cluster.primary.address, terminate)
        wait_until(t("the connections to end"), ended, seconds=20)

    def ended() -> tuple[bool, str]:
        return not _connected(cluster), t("still connected")

    action = Action((*edit.commands, command), do, edit.done)
    return cluster.perform(t("Cut the connection between the primary and its replicas"), action)


def heal(cluster: Cluster) -> str:
    """Step: take the refusal back, and wait until every running replica streams again."""
    edit = _block(cluster, CONFIGURATION[1], None)

    def do(tell: Tell) -> None:
        edit.do(tell)
        for replica in cluster.replicas:
            if cluster.engine.running(replica.name):
                replica.wait_streaming()

    return cluster.perform(t("Heal the connection"), Action(edit.commands, do, edit.done))


def start(cluster: Cluster, name: str) -> str:
    """Step: start an instance as it is, whatever its role, and wait until it answers.

    Whether it follows anybody is not waited for.
    """
    instance, begin = cluster.instance(name), cluster.engine.start(name)

    def do(tell: Tell) -> None:
        if not begin.done():
            begin.do(tell)
        instance.wait_ready()

    def done() -> bool:
        return begin.done() and instance.answers()[0]

    return cluster.perform(t("Start {name} by hand", name=name), Action(begin.commands, do, done))


def limit_slots(cluster: Cluster, size: str) -> str:
    """Step: `max_slot_wal_keep_size`, and no `wal_keep_size` beside it.

    size: with a unit, such as 32MB; "" takes the limit back.
    """
    if not size:
        return cluster.perform(t("Take the limit back"), _block(cluster, CONFIGURATION[0], None))
    lines = conf.setting_lines({"max_slot_wal_keep_size": size, "wal_keep_size": "0"})
    legible = re.sub(r"(\d)([A-Za-z])", r"\1 \2", size)
    title = t("Limit the WAL that a slot holds to {size}", size=legible)
    return cluster.perform(title, _block(cluster, CONFIGURATION[0], lines))


def write_wal(cluster: Cluster, megabytes: int) -> str:
    """Step: fill and switch WAL segments (16 MB each), and make a checkpoint: then old ones go."""
    client, name = cluster.engine.client, cluster.primary.name
    statements = (*FILL, SWITCH, "checkpoint;")
    commands = tuple(client(name, "psql", "-c", statement) for statement in statements)

    def do(tell: Tell) -> None:
        at = cluster.primary.address
        db.rows(at, FILL[0])
        for number in range(-(-megabytes // 16) + 1):  # the first segment is partly full already
            db.rows(at, FILL[1])
            db.rows(at, SWITCH)
            tell(f"{16 * number} MB")
        awaited = t("the running replicas to have received it")
        wait_until(awaited, lambda: _received(cluster), seconds=60)
        db.checkpoint(at)  # with a limit for slots it may end only those that nobody uses

    title = t("Write {megabytes} MB of WAL on the primary", megabytes=megabytes)
    return cluster.perform(title, Action(commands, do))


def break_rebuild(cluster: Cluster, name: str) -> str:
    """Step that fails on purpose: `rebuild`, whose base backup is ended in its middle.

    Returns the error. The copy was made beside the replica's data, so that it goes on with these.
    """
    try:
        with _interrupted_backup(cluster), cluster.meant_to_fail():
            rebuild(cluster, name)
    except PgreplError as error:
        lines = "\n".join(error.looked_at).splitlines()
        said = next((line.rpartition("“")[2].rstrip("”") for line in lines if "error" in line), "")
        return quoted("pg_basebackup", said.strip()) if said else error.cause
    if ahead.looking():
        return ""
    raise StepFailed(
        t("The base backup was faster than its interruption."),
        remedy=t("run the cell again"),
    )


@contextmanager
def _interrupted_backup(cluster: Cluster) -> Iterator[None]:
    """While the block runs, the first base backup that sends something loses its connection."""
    over = Event()
    if ahead.looking():
        yield
        return

    def end_backup() -> None:
        with db.connect(cluster.primary.address) as connection:
            while not over.wait(0.001) and not connection.execute(END_BACKUP).fetchall():
                pass

    thread = Thread(target=end_backup, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@ahead.measured
def forget(cluster: Cluster) -> None:
    """Drop the drills' table."""
    db.rows(cluster.primary.address, "drop table if exists pgrepl_drill")


@ahead.measured
def try_to_write(cluster: Cluster, name: str) -> str:
    """What an instance answers to a write: accepted, its SQLSTATE, or nothing."""
    try:
        db.rows(cluster.instance(name).address, "create temporary table pgrepl_try (n int)")
        return t("write accepted")
    except psycopg.OperationalError:
        return t("no answer")
    except psycopg.Error as error:
        return f"SQLSTATE {error.sqlstate}"


def _block(cluster: Cluster, file: str, lines: list[str] | None) -> Action:
    """The drills' block in the primary's file, or none, read by the server at once."""
    name = cluster.primary.name
    return restarts.edited(cluster.primary, Edit(cluster.folder, f"{name}/{file}", {BLOCK: lines}))


def _received(cluster: Cluster) -> tuple[bool, str]:
    """Whether no slot that is in use holds more than a segment."""
    behind = db.row(cluster.primary.address, BEHIND)["behind"]
    return behind < 16 * 1024**2, t("{behind} bytes behind", behind=behind)


def _connected(cluster: Cluster) -> bool:
    query = "select pid from pg_stat_replication where usename = %s"
    return bool(db.rows(cluster.primary.address, query, [cluster.params.replication_user]))
