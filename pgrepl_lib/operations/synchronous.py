"""Synchronous replication: how many replicas a commit waits for (manual, 27.2.8)."""

from __future__ import annotations

import time
from concurrent import futures
from functools import partial
from typing import TYPE_CHECKING, Any

from psycopg import sql

from ..checks import momentary
from ..cluster import promises
from ..cluster.changes import outdated
from ..doors import ahead, db
from ..doors.wait import wait_until
from ..engine.action import Action, Tell
from ..errors import ParameterError, StepFailed
from ..postgres.confirmation import COMMITS, seen, waited_for
from ..postgres.sessions import CONFIRMED
from ..steps.actions import needs
from ..words.text import Text, counted, mark, t

if TYPE_CHECKING:
    import pandas

    from ..steps.cluster import Cluster

# Of synchronous_commit: each waits for more.
LEVELS = ("off", "local", "remote_write", "on", "remote_apply")
PATIENCE = 20  # seconds for one commit that is measured
TRY = "select pg_logical_emit_message(true, 'pgrepl', 'try')"  # WAL, and nothing but WAL
# A session that waits for no replica goes on: cancelled earlier, it would not have committed.
GIVE_UP = """
select pg_cancel_backend(pid) from pg_stat_activity where pid = %s and wait_event = 'SyncRep'"""
PRIORITIES = """
select application_name as n, sync_priority as p from pg_stat_replication
where state = 'streaming'"""
# What a step says that it does: for one replica, for more.
TITLES = {
    "FIRST": (
        mark("Commits wait for the first replica of the list"),
        mark("Commits wait for the first {count} replicas of the list"),
    ),
    "ANY": (
        mark("Commits wait for any replica"),
        mark("Commits wait for any {count} replicas"),
    ),
}


def set_synchronous(cluster: Cluster, method: str) -> str:
    """Step: commits on the primary wait for replicas; "" turns it off again.

    method: "FIRST n" (the first n by number that are connected) or "ANY n" (any n). The next
    primary inherits it. Raises `ParameterError` for a method that is none, or that would wait for
    more replicas than stream now.
    """
    require_method(cluster, method)
    names = promises.standbys(cluster, cluster.primary.name)
    act = promises.action(cluster.primary, method, names)

    def do(tell: Tell) -> None:
        weaker = waited_for(method) < waited_for(cluster.topology.synchronous)
        if weaker:  # what is promised is never more than what holds
            _promise(cluster, method)
        act.do(tell)
        _wait_taken_over(cluster, method, names)
        _promise(cluster, method)

    def done() -> bool:
        return act.done() and cluster.topology.synchronous == method

    leaves = partial(_promise, cluster, method)
    return cluster.perform(_title(method), Action(act.commands, do, done, leaves=leaves))


def _promise(cluster: Cluster, method: str) -> None:
    cluster.topology.synchronous = method
    cluster.record()


def _title(method: str) -> Text:
    if not method:
        return t("Commits wait for no replica")
    one, many = TITLES[method.split()[0]]
    return counted(waited_for(method), one, many)


@ahead.judged_now
def require_method(cluster: Cluster, method: str) -> None:
    """Raise `ParameterError` for a method that is none, or waits for more than stream now."""
    outdated.require_none(cluster.engine, cluster.topology)
    cluster.require_primary()
    streaming = _streaming(cluster)
    if method and not 0 < waited_for(method) <= streaming:
        remedy = t(
            "with more, every commit would wait for ever; add one first: `pgrepl replica add`"
        )
        cause = t(
            "synchronous = {method}: FIRST n or ANY n, n at most the {streaming} that stream now.",
            method=repr(method),
            streaming=streaming,
        )
        raise ParameterError(cause, remedy=cluster.addressed(remedy))


@ahead.measured
def try_commit(cluster: Cluster, seconds: float = 2) -> str:
    """Whether a commit comes back within so many seconds, in words.

    It changes no table. A wait that is given up does not undo the commit: the primary has it
    (manual, 27.2.8.3), and warns of it.
    """
    needs.require(cluster.primary, [needs.running(cluster.primary)])
    warned: list[Any] = []
    at, limit = cluster.primary.address, seconds + PATIENCE
    with (
        futures.ThreadPoolExecutor(1) as one,
        db.connect(at, limit=limit, settings=CONFIRMED) as connection,
    ):
        connection.add_notice_handler(warned.append)
        commit = one.submit(connection.execute, TRY)
        futures.wait([commit], seconds)
        while not commit.done():  # it may be slow, and not wait for a replica yet
            db.rows(at, GIVE_UP, [connection.info.backend_pid])
            futures.wait([commit], 0.1)
        commit.result()
    if warned:
        return t("commit waiting")
    return t("commit confirmed")


@ahead.measured
def latencies(cluster: Cluster, rows: int = 200) -> pandas.DataFrame:
    """How long a commit takes at each level of `synchronous_commit`.

    Returns median and 95th percentile in milliseconds: of so many single-row inserts a level, in
    turns, over one connection, into a table that is dropped afterwards. Raises `StepFailed` where
    too few replicas stream, or do so no more, for it would wait for them.
    """
    import pandas

    _require_replicas(cluster)
    try:
        taken = _measured(cluster.primary.address, rows)
    except db.NoAnswer as error:
        raise StepFailed(
            t("A commit is not confirmed."),
            looked_at=[seen(db.row(cluster.primary.address, COMMITS))],
            remedy=cluster.addressed(t("`pgrepl run` starts the replicas")),
        ) from error
    quantiles = pandas.DataFrame(taken).quantile([0.5, 0.95]).T.round(2)
    return quantiles.set_axis(["median_ms", "p95_ms"], axis=1).rename_axis("level").reset_index()


def _require_replicas(cluster: Cluster) -> None:
    """Raise `StepFailed` where commits would wait for replicas that do not stream."""
    method, streaming = cluster.topology.synchronous, _streaming(cluster)
    if waited_for(method) > streaming:
        cause = t(
            "Commits wait for {method}, and {streaming} replicas stream: nothing was measured.",
            method=method,
            streaming=streaming,
        )
        remedy = cluster.addressed(t("`pgrepl run` starts the replicas"))
        raise StepFailed(cause, remedy=remedy)


def _measured(at: db.Address, rows: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {level: [] for level in LEVELS}
    with momentary.schema(at) as schema, db.connect(at, limit=PATIENCE) as connection:
        connection.execute(sql.SQL("create table {}.t (n int)").format(schema))
        insert = sql.SQL("insert into {}.t values (%s)").format(schema)
        for number in range(rows):
            for level in LEVELS:
                connection.execute(sql.SQL("set synchronous_commit = {}").format(level))
                started = time.perf_counter()
                connection.execute(insert, [number])
                taken[level].append(1000 * (time.perf_counter() - started))
    return taken


def _streaming(cluster: Cluster) -> int:
    """How many stream from the primary itself: for the others no commit waits (manual, 27.2.7)."""
    direct = cluster.topology.followers(cluster.primary.name)
    return sum(cluster.instance(name).streams()[0] for name in direct)


def _wait_taken_over(cluster: Cluster, method: str, names: list[str]) -> None:
    """WAL senders read the file a moment later; only then do commits wait for their replicas."""
    priorities = _priorities(method, names)

    def probe() -> tuple[bool, str]:
        found = db.rows(cluster.primary.address, PRIORITIES)
        seen = {row["n"]: row["p"] for row in found if row["n"] in priorities}
        state = t("sync_priority: {seen}, wanted {wanted}", seen=seen, wanted=priorities)
        return all(priorities[n] == p for n, p in seen.items()), state

    wait_until(t("the replicas' new priorities"), probe, seconds=20)


def _priorities(method: str, names: list[str]) -> dict[str, int]:
    """The `sync_priority` that each of the replicas is to have."""
    if not method:
        return dict.fromkeys(names, 0)
    if method.startswith("ANY"):
        return dict.fromkeys(names, 1)
    return {name: number for number, name in enumerate(names, 1)}
