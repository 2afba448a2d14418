"""Drills: faults made on purpose, for learning what they look like and for undoing them. Every one is a step."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

import psycopg

from . import conf, db, files
from .engine import CONFIGURATION, Action, Tell
from .errors import PgreplError, StepFailed
from .replicas import rebuild
from .wait import wait_until

if TYPE_CHECKING:
    from .cluster import Cluster

BLOCK = "drill"


def cut(cluster: Cluster, title: str = "Cut the connection between the primary and its replicas") -> str:
    """Step: the primary refuses replication connections (`reject` in `pg_hba.conf`) and ends those there are."""
    params, network = cluster.params, cluster.engine.rule_network()
    lines = conf.hba_lines(params.replication_user, network, "reject")
    terminate = "select pg_terminate_backend(pid) from pg_stat_replication;"
    edit = _block(cluster, CONFIGURATION[1], lambda text: conf.with_block(text, BLOCK, lines, first=True))
    command = cluster.engine.client(cluster.primary.name, "psql", "-c", terminate)

    def do(tell: Tell) -> None:
        edit.do(tell)
        db.rows(cluster.primary.address, terminate)
        wait_until("the connections to end", lambda: (not _connected(cluster), "still connected"), seconds=20)

    return cluster.perform(title, Action((*edit.commands, command), do, edit.done))


def heal(cluster: Cluster, title: str = "Heal the connection") -> str:
    """Step: take the refusal back, and wait until every running replica streams again."""
    edit = _block(cluster, CONFIGURATION[1], lambda text: conf.without_block(text, BLOCK))

    def do(tell: Tell) -> None:
        edit.do(tell)
        for replica in cluster.replicas:
            if cluster.engine.running(replica.name):
                replica.wait_streaming()

    return cluster.perform(title, Action(edit.commands, do, edit.done))


def limit_slots(cluster: Cluster, size: str, title: str = "Limit the WAL that slots may hold") -> str:
    """Step: `max_slot_wal_keep_size`, and no `wal_keep_size` beside it; "" takes it back."""
    lines = conf.setting_lines({"max_slot_wal_keep_size": size, "wal_keep_size": "0"})
    change = (lambda t: conf.with_block(t, BLOCK, lines)) if size else (lambda t: conf.without_block(t, BLOCK))
    return cluster.perform(title, _block(cluster, CONFIGURATION[0], change))


def write_wal(cluster: Cluster, megabytes: int, title: str = "Write WAL on the primary") -> str:
    """Step: fill and switch WAL segments (16 MB each) and make a checkpoint, which is when old ones go."""
    statements = ("create table if not exists pgrepl_drill (id int, filler text)",
                  "insert into pgrepl_drill select i, md5(i::text) from generate_series(1, 1000) i")  # fmt: skip
    switch = "select pg_switch_wal();"
    commands = [cluster.engine.client(cluster.primary.name, "psql", "-c", s) for s in (*statements, switch, "checkpoint;")]

    def do(tell: Tell) -> None:
        at = cluster.primary.address
        db.rows(at, statements[0])
        for number in range(max(1, megabytes // 16)):
            db.rows(at, statements[1])
            db.rows(at, switch)
            tell(f"{16 * (number + 1)} MB")
        db.rows(at, "checkpoint")

    return cluster.perform(title, Action(tuple(commands), do))


def break_rebuild(cluster: Cluster, name: str, title: str = "Make {} anew") -> str:
    """Step that fails on purpose: `rebuild`, with the base backup's connection ended in its middle; returns the error.

    Afterwards the replica has no complete data, and `rebuild`, or running again, makes it anew.
    """
    ended: list[bool] = []

    def end_backup() -> None:
        query = "select pg_terminate_backend(pid) as ended from pg_stat_progress_basebackup"

        def probe() -> tuple[bool, str]:
            ended.extend(r["ended"] for r in db.rows(cluster.primary.address, query))
            return bool(ended), "no base backup yet"

        wait_until("a base backup to be under way", probe, seconds=60, every=0.005)

    thread = Thread(target=end_backup, daemon=True)
    thread.start()
    try:
        rebuild(cluster, name, title)
    except PgreplError as error:
        return next((line for line in error.looked_at if "error" in line), error.cause)
    raise StepFailed("The base backup was faster than its interruption.", remedy="run the cell again")


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


def _block(cluster: Cluster, file: str, change: object) -> Action:
    """An edit of the primary's file, read by the server at once."""
    path = cluster.folder / cluster.primary.name / file
    wanted = lambda: change(path.read_text("utf-8"))  # type: ignore[operator] # noqa: E731

    def do(tell: Tell) -> None:
        files.write_atomic(path, wanted())
        cluster.primary.take_over_configuration()

    def done() -> bool:
        return bool(path.read_text("utf-8") == wanted())

    return Action((f"patch {cluster.primary.name}/{file}", *cluster.primary.reload_action().commands), do, done)


def _connected(cluster: Cluster) -> bool:
    return bool(db.rows(cluster.primary.address, "select from pg_stat_replication"))
