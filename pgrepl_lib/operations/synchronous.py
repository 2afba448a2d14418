"""Synchronous replication: how many replicas a commit waits for (manual, 27.2.8)."""

from __future__ import annotations

import time
from concurrent import futures
from typing import TYPE_CHECKING, Any

from psycopg import sql

from ..checks import momentary
from ..cluster import promises
from ..cluster.changes import outdated
from ..doors import db
from ..doors.wait import wait_until
from ..engine.action import Action, Tell
from ..errors import ParameterError, StepFailed
from ..postgres.confirmation import COMMITS, METHOD, seen, waited_for
from ..postgres.sessions import CONFIRMED

if TYPE_CHECKING:
    import pandas

    from ..steps.cluster import Cluster

LEVELS = (
    "off",
    "local",
    "remote_write",
    "on",
    "remote_apply",
)  # of synchronous_commit, each waits for more
PATIENCE = 20  # seconds for one commit that is measured
TRY = "select pg_logical_emit_message(true, 'pgrepl', 'try')"  # WAL, and nothing but WAL
# A session that waits for no replica goes on: cancelled earlier, it would not have committed.
GIVE_UP = (
    "select pg_cancel_backend(pid) from pg_stat_activity where pid = %s and wait_event = 'SyncRep'"
)


def set_synchronous(cluster: Cluster, method: str, title: str = "") -> str:
    """Step: commits on the primary wait for replicas; "" turns it off again.

    method: "FIRST n" (the first n by number that are connected) or "ANY n" (any n). The next primary inherits it.
    Raises `ParameterError` for a method that is none, or that would wait for more replicas than stream now.
    """
    require_method(cluster, method)
    names = promises.standbys(cluster, cluster.primary.name)
    act = promises.action(cluster.primary, method, names)

    def promise() -> None:
        cluster.topology.synchronous = method
        cluster.record()

    def do(tell: Tell) -> None:
        weaker = waited_for(method) < waited_for(cluster.topology.synchronous)
        if weaker:  # what is promised is never more than what holds
            promise()
        act.do(tell)
        _wait_taken_over(cluster, method, names)
        promise()

    def done() -> bool:
        return act.done() and cluster.topology.synchronous == method

    title = title or f"Commits wait for {method or 'no replica'}"
    return cluster.perform(title, Action(act.commands, do, done))


def require_method(cluster: Cluster, method: str) -> None:
    """Raise `ParameterError` for a method that is none, or waits for more than stream now."""
    outdated.require_none(cluster.engine, cluster.topology)
    streaming = _streaming(cluster)
    if method and not 0 < waited_for(method) <= streaming:
        remedy = "with more, every commit would wait for ever; add one first: `pgrepl replica add`"
        cause = f"synchronous = {method!r}: FIRST n or ANY n, n at most the {streaming} that stream now."
        raise ParameterError(cause, remedy=cluster.addressed(remedy))


def try_commit(cluster: Cluster, seconds: float = 2) -> str:
    """Whether a commit comes back within so many seconds: "confirmed" or "waiting". It changes no table.

    A wait that is given up does not undo the commit: the primary has it (manual, 27.2.8.3), and warns of it.
    """
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
    return "waiting" if warned else "confirmed"


def latencies(cluster: Cluster, rows: int = 200) -> pandas.DataFrame:
    """How long a commit takes at each level of `synchronous_commit`: median and 95th percentile, in milliseconds.

    So many single-row inserts a level, in turns, over one connection, into a table that is dropped afterwards.
    Raises `StepFailed` where too few replicas stream, or do so no more, for it would wait for them.
    """
    import pandas

    if (found := METHOD.fullmatch(cluster.topology.synchronous)) and int(found[2]) > (
        streaming := _streaming(cluster)
    ):
        raise StepFailed(
            f"Commits wait for {found[0]}, and {streaming} replicas stream: nothing was measured.",
            remedy=cluster.addressed("`pgrepl run` starts the replicas"),
        )
    try:
        taken = _measured(cluster.primary.address, rows)
    except db.NoAnswer as error:
        looked_at = [seen(db.row(cluster.primary.address, COMMITS))]
        remedy = cluster.addressed("`pgrepl run` starts the replicas")
        cause = "A commit is not confirmed."
        raise StepFailed(cause, looked_at=looked_at, remedy=remedy) from error
    quantiles = pandas.DataFrame(taken).quantile([0.5, 0.95]).T.round(2)
    return quantiles.set_axis(["median_ms", "p95_ms"], axis=1).rename_axis("level").reset_index()


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
    priorities = {
        n: (1 if method.startswith("ANY") else i) if method else 0 for i, n in enumerate(names, 1)
    }
    query = "select application_name as n, sync_priority as p from pg_stat_replication where state = 'streaming'"

    def probe() -> tuple[bool, str]:
        seen = {
            r["n"]: r["p"] for r in db.rows(cluster.primary.address, query) if r["n"] in priorities
        }
        return all(
            priorities[n] == p for n, p in seen.items()
        ), f"sync_priority: {seen}, wanted {priorities}"

    wait_until("the replicas' new priorities", probe, seconds=20)
