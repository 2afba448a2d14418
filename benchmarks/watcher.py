"""Who confirms writes, looked at all the time by trying to write on every instance."""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

import psycopg

from pgrepl_lib import Cluster
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.postgres.sessions import CONFIRMED

TABLE = "pgrepl_watched"
PAUSE = 0.02  # seconds
# It works for some 10 ms, so that a server which is stopped often has one under way.
INSERT = f"""insert into {TABLE} select %s, clock_timestamp() from generate_series(1, 50000)
having count(*) > 0"""


class Watcher:
    """One INSERT after the other on each instance, over a connection that lasts as long as its server lets it.

    tries: all of them. writers: who confirmed, in that order, each once in a row. Who has lost its
    role confirms nothing any more once its successor has: not even what it was asked before it
    froze, and not when it is thawed. pause: seconds between two tries on one instance.
    """

    def __init__(self, cluster: Cluster, pause: float = PAUSE) -> None:
        self.tries, self.pause = 0, pause
        self.writers: list[str] = []
        self._lock, self._end = Lock(), Event()
        db.rows(
            cluster.primary.address,
            f"create table if not exists {TABLE} (name text, at timestamptz)",
        )
        self._threads = [
            Thread(target=self._work, args=(name, cluster.instance(name).address), daemon=True)
            for name in cluster.topology.names
        ]

    def __enter__(self) -> Watcher:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(90)

    def wait_writer(self, name: str) -> None:
        """Until this one confirms writes; raises `WaitTimeout`."""

        def probe() -> tuple[bool, str]:
            return self.writers[-1:] == [
                name
            ], f"confirmed by {', '.join(self.writers) or 'nobody'}"

        wait_until(f"a write that {name} confirms", probe, seconds=60)

    def second_primaries(self, primaries: list[str]) -> int:
        """How often somebody confirmed who was not the primary any more. primaries: one after the other."""
        return max(len(self.writers) - len(primaries), 0)

    def _work(self, name: str, at: db.Address) -> None:
        while not self._end.wait(self.pause):
            with (
                suppress(psycopg.Error, OSError),
                db.connect(at, seconds=2, settings=CONFIRMED) as connection,
            ):
                warned: list[Any] = []
                connection.add_notice_handler(warned.append)
                while not self._end.wait(self.pause):
                    self._try(connection, name, warned)

    def _try(self, connection: db.BoundedConnection, name: str, warned: list[Any]) -> None:
        self.tries += 1
        warned.clear()
        with suppress(
            psycopg.errors.ReadOnlySqlTransaction
        ):  # the same connection will do once it is promoted
            connection.execute(INSERT, [name])
            if not warned:  # a cancelled wait for a replica warns, and confirms nothing
                self._confirmed(name)

    def _confirmed(self, name: str) -> None:
        with self._lock:
            if self.writers[-1:] != [name]:
                self.writers.append(name)
