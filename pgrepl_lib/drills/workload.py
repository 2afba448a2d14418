"""Something to do for the cluster: a writer that remembers what was acknowledged, and pgbench."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import psycopg

from ..doors import ahead, db
from ..doors.wait import wait_until
from ..engine.action import Action, Tell
from ..errors import StepFailed
from ..logins import client
from ..postgres.sessions import CONFIRMED
from ..words.text import t

if TYPE_CHECKING:
    import pandas

    from ..steps.cluster import Cluster

TABLE = "pgrepl_writer"
PAUSE = 0.002  # seconds, so that the writer is no load of its own
ATTEMPT = 0.02  # seconds between two attempts to find the primary
OWN = ("dbname", "connect_timeout")  # of the string's words: as our door has them


WRITING: dict[str, Writer] = {}  # by project, since their table has one name


@dataclass
class Report:
    """What became of a writer's rows.

    acknowledged: rows whose commit was confirmed. lost: those of them that are gone. doubled: rows
    that are there more than once. in_doubt: rows that are there although the connection broke
    before the answer. outage: the longest time without a confirmed row, in seconds. times: when
    each row was confirmed, in seconds from the start.
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
    """Writes numbered rows into the cluster, one transaction each.

    It has the connection string of any client (`pgrepl dsn`), and so follows the primary. pause:
    seconds between two rows.
    """

    def __init__(self, cluster: Cluster, pause: float = PAUSE) -> None:
        self.pause = pause
        self.renew(cluster)
        self.acknowledged: list[tuple[int, float]] = []
        self._stop, self._number = Event(), 0
        self._connection: db.BoundedConnection | None = None
        self._thread = Thread(target=self._work, daemon=True)

    def renew(self, cluster: Cluster) -> None:
        """Give it a new connection string, which names those that were added since."""
        given = client.words(cluster)
        self.cluster = cluster
        self._where: dict[str, Any] = {n: given[n] for n in given if n not in OWN}

    @ahead.measured
    def start(self) -> Writer:
        """Make the table anew and begin; returns once the first row is confirmed."""
        self.cluster.require_primary()
        if earlier := WRITING.pop(self.cluster.params.project, None):
            earlier.end()  # else both would number rows of one table
        WRITING[self.cluster.params.project] = self
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

        def probe() -> tuple[bool, str]:
            confirmed = len(self.acknowledged)
            return confirmed >= goal, t("{confirmed} rows", confirmed=confirmed)

        hint = t(
            "is there a primary that accepts writes, and where commits wait for one, a replica?"
        )
        wait_until(t("the writer's rows"), probe, seconds=seconds, hint=hint)

    def stop(self) -> Report:
        """End, and compare what was confirmed with what the primary has.

        A commit that still waits for a replica is given up: it is in doubt, and not confirmed.
        """
        self.end()
        return self.report()

    def end(self) -> None:
        """Write no more."""
        self._stop.set()
        self._thread.join(5)
        if self._thread.is_alive() and self._connection:
            with suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=2)
        self._thread.join(90)

    def report(self) -> Report:
        """Compare what was confirmed so far with what the primary has."""
        known = {number for number, _ in self.acknowledged}
        query = f"select id, count(*) as n from {TABLE} group by id"
        found = db.rows(self.cluster.primary.address, query)
        there = {row["id"] for row in found}
        times = [moment - self._started for _, moment in self.acknowledged]
        gaps = (later - earlier for earlier, later in pairwise(times))
        return Report(
            acknowledged=len(known),
            lost=len(known - there),
            doubled=sum(row["n"] > 1 for row in found),
            in_doubt=len(there - known),
            outage=max(gaps, default=0.0),
            times=times,
        )

    def forget(self) -> None:
        """Drop the table."""
        db.rows(self.cluster.primary.address, f"drop table if exists {TABLE}")

    def _work(self) -> None:
        """What its thread does."""
        while not self._stop.is_set():
            try:
                with self._connected() as connection:
                    self._connection = connection
                    self._write(connection)
            except (psycopg.Error, OSError):
                self._stop.wait(ATTEMPT)

    def _write(self, connection: db.BoundedConnection) -> None:
        """Write until it shall stop. A cancelled wait for a replica warns, and confirms nothing."""
        warned: list[Any] = []
        connection.add_notice_handler(warned.append)
        while not self._stop.is_set():
            self._number += 1  # never used twice: a row in doubt stays in doubt
            connection.execute(f"insert into {TABLE} (id) values (%s)", [self._number])
            if not warned:
                self.acknowledged.append((self._number, time.monotonic()))
            warned.clear()
            self._stop.wait(self.pause)

    def _connected(self) -> db.BoundedConnection:
        """A connection to whichever instance accepts writes (target_session_attrs, 34.1.2)."""
        named = {**self._where, "application_name": "pgrepl_writer"}
        return db.connect(self.cluster.primary.address, seconds=2, settings=CONFIRMED, **named)


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

    def prepare(self) -> str:
        """Step: `pgbench --initialize`."""
        query = "select to_regclass('pgbench_history') is not null as there"

        def do(tell: Tell) -> None:
            self.cluster.engine.run(self._fill, tell)

        def done() -> bool:
            return bool(db.row(self.cluster.primary.address, query)["there"])

        return self.cluster.perform(t("Make pgbench's tables"), Action((self._fill,), do, done))

    def start(self) -> str:
        """Step: `pgbench` runs on while other cells do something else."""

        def do(tell: Tell) -> None:
            self.error = None
            self._thread = Thread(target=self._work, daemon=True)  # one starts only once
            self._thread.start()

        return self.cluster.perform(t("Start the load"), Action((f"{self._run} &",), do))

    @ahead.measured
    def wait(self) -> None:
        """Wait for its end; raises what went wrong with it."""
        self._thread.join(self.seconds + 60)
        if self._thread.is_alive():
            seconds = self.seconds + 60
            cause = t("pgbench has not ended {seconds} s after its start.", seconds=seconds)
            remedy = t("does the primary answer? `pgrepl status` says so")
            raise StepFailed(cause, remedy=self.cluster.addressed(remedy))
        if self.error:
            raise self.error

    @ahead.measured
    def forget(self) -> None:
        """Drop pgbench's tables."""
        tables = (f"pgbench_{of}" for of in ("history", "accounts", "tellers", "branches"))
        db.rows(self.cluster.primary.address, f"drop table if exists {', '.join(tables)}")

    def _work(self) -> None:
        try:
            self.cluster.engine.run(self._run)
        except Exception as error:
            self.error = error
