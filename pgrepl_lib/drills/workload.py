"""Something to do for the cluster: a writer that remembers what was acknowledged, and pgbench."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import psycopg

from ..doors import db
from ..doors.wait import wait_until
from ..engine.action import Action, Tell
from ..errors import StepFailed
from ..postgres.sessions import CONFIRMED

if TYPE_CHECKING:
    import pandas

    from ..steps.cluster import Cluster

TABLE = "pgrepl_writer"
PAUSE = 0.002  # seconds, so that the writer is no load of its own
ATTEMPT = 0.02  # seconds between two attempts to find the primary


@dataclass
class Report:
    """What became of a writer's rows.

    acknowledged: rows whose commit was confirmed. lost: those of them that are gone. doubled: rows that are there more
    than once. in_doubt: rows that are there although the connection broke before the answer. outage: the longest time
    without a confirmed row, in seconds. times: when each row was confirmed, in seconds from the start.
    """

    acknowledged: int
    lost: int
    doubled: int
    in_doubt: int
    outage: float
    times: list[float] = field(repr=False)

    def table(self) -> pandas.DataFrame:
        """One line, for looking at."""
        import pandas

        facts = {k: v for k, v in vars(self).items() if k != "times"}
        return pandas.DataFrame([{**facts, "outage": round(self.outage, 3)}])


class Writer:
    """Writes numbered rows into the cluster, one transaction each, and follows the primary wherever it goes.

    pause: seconds between two rows.
    """

    def __init__(self, cluster: Cluster, pause: float = PAUSE) -> None:
        self.cluster, self.pause = cluster, pause
        self.acknowledged: list[tuple[int, float]] = []
        self._stop, self._number = Event(), 0
        self._connection: db.BoundedConnection | None = None
        self._thread = Thread(target=self._work, daemon=True)

    def start(self) -> Writer:
        """Make the table anew and begin; returns once the first row is confirmed."""
        at = self.cluster.primary.address
        db.rows(at, f"drop table if exists {TABLE}")
        db.rows(at, f"create table {TABLE} (id bigint, at timestamptz default clock_timestamp())")
        self._started = time.monotonic()
        self._thread.start()
        self.wait_rows(1)
        return self

    def wait_rows(self, count: int, seconds: float = 60) -> None:
        """Wait until so many more rows are confirmed; raises `WaitTimeout`."""
        goal = len(self.acknowledged) + count
        probe = lambda: (len(self.acknowledged) >= goal, f"{len(self.acknowledged)} rows")  # noqa: E731
        wait_until(
            "the writer's rows",
            probe,
            seconds=seconds,
            hint="is there a primary that accepts writes, and where commits wait for one, a replica?",
        )

    def stop(self) -> Report:
        """End, and compare what was confirmed with what the primary has.

        A commit that still waits for a replica is given up: it is in doubt, and not confirmed.
        """
        self._stop.set()
        self._thread.join(5)
        if self._thread.is_alive() and self._connection:
            with suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=2)
        self._thread.join(90)
        return self.report()

    def report(self) -> Report:
        """Compare what was confirmed so far with what the primary has."""
        known = {n for n, _ in self.acknowledged}
        found = db.rows(
            self.cluster.primary.address, f"select id, count(*) as n from {TABLE} group by id"
        )
        there = {r["id"] for r in found}
        times = [t - self._started for _, t in self.acknowledged]
        gaps = [b - a for a, b in pairwise(times)]
        doubled, outage = sum(r["n"] > 1 for r in found), max(gaps, default=0.0)
        return Report(len(known), len(known - there), doubled, len(there - known), outage, times)

    def forget(self) -> None:
        """Drop the table."""
        db.rows(self.cluster.primary.address, f"drop table if exists {TABLE}")

    # --- the thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                with self._connected() as connection:
                    self._connection = connection
                    warned: list[Any] = []
                    connection.add_notice_handler(warned.append)
                    while not self._stop.is_set():
                        self._number += 1  # never used twice: a row in doubt stays in doubt
                        connection.execute(f"insert into {TABLE} (id) values (%s)", [self._number])
                        if (
                            not warned
                        ):  # a cancelled wait for a synchronous replica warns, and confirms nothing
                            self.acknowledged.append((self._number, time.monotonic()))
                        warned.clear()
                        self._stop.wait(self.pause)
            except (psycopg.Error, OSError):
                self._stop.wait(ATTEMPT)

    def _connected(self) -> db.BoundedConnection:
        """A connection to whichever instance accepts writes (manual, 34.1.2, target_session_attrs)."""
        instances = [self.cluster.instance(n).address for n in self.cluster.topology.names]
        return db.connect(
            instances[0],
            seconds=2,
            settings=CONFIRMED,
            host=",".join(i.host for i in instances),
            port=",".join(str(i.port) for i in instances),
            target_session_attrs="read-write",
            application_name="pgrepl_writer",
        )


class Load:
    """pgbench on the primary, for a bounded time, in the background."""

    def __init__(
        self, cluster: Cluster, seconds: int = 10, clients: int = 2, scale: int = 2
    ) -> None:
        self.cluster, self.seconds = cluster, seconds
        tool, primary = cluster.engine.tool, cluster.primary.name
        self._fill = tool(
            primary, "pgbench", "--initialize", "--quiet", f"--scale={scale}", "postgres"
        )
        words = ("--no-vacuum", f"--client={clients}", f"--time={seconds}", "postgres")
        self._run = tool(primary, "pgbench", *words)
        self._thread = Thread(target=self._work, daemon=True)
        self.error: Exception | None = None

    def prepare(self, title: str = "Fill pgbench's tables") -> str:
        """Step: `pgbench --initialize`."""
        query = "select to_regclass('pgbench_history') is not null as there"
        done = lambda: bool(db.row(self.cluster.primary.address, query)["there"])  # noqa: E731
        return self.cluster.perform(
            title,
            Action((self._fill,), lambda tell: self.cluster.engine.run(self._fill, tell), done),
        )

    def start(self, title: str = "Start the load") -> str:
        """Step: `pgbench` runs on while other cells do something else."""

        def do(tell: Tell) -> None:
            self._thread, self.error = (
                Thread(target=self._work, daemon=True),
                None,
            )  # a thread starts only once
            self._thread.start()

        return self.cluster.perform(title, Action((f"{self._run} &",), do))

    def wait(self) -> None:
        """Wait for its end; raises what went wrong with it."""
        self._thread.join(self.seconds + 60)
        if self._thread.is_alive():
            cause = f"pgbench has not ended {self.seconds + 60} s after its start."
            remedy = "does the primary answer? `pgrepl status` says so"
            raise StepFailed(cause, remedy=self.cluster.addressed(remedy))
        if self.error:
            raise self.error

    def forget(self) -> None:
        """Drop pgbench's tables."""
        db.rows(
            self.cluster.primary.address,
            "drop table if exists pgbench_history, pgbench_accounts, pgbench_tellers, pgbench_branches",
        )

    def _work(self) -> None:
        try:
            self.cluster.engine.run(self._run)
        except Exception as error:
            self.error = error
