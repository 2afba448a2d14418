"""Work that fills the WAL beside a small writer."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType

import psycopg

from pgrepl_lib import Cluster
from pgrepl_lib.doors import db

TABLES = ("bulk_rows", "bulk_kept")
# One statement that goes on until its server is killed: rows of 640 bytes, never committed.
ENDLESS = (
    "insert into bulk_rows select i, repeat(md5(i::text), 20) from generate_series(1, 3000000) i"
)
# Transactions that end, an index over what they left, and a vacuum of what they deleted.
REPEATED = (
    "insert into bulk_kept select i, repeat(md5(i::text), 20) from generate_series(1, 20000) i",
    "create index concurrently if not exists bulk_kept_i on bulk_kept (i)",
    "delete from bulk_kept where i % 2 = 0",
    "vacuum bulk_kept",
    "drop index if exists bulk_kept_i",
)


class Bulk:
    """Both, on the primary of now, while the block runs; what they are answered does not matter."""

    def __init__(self, cluster: Cluster) -> None:
        self.at = cluster.primary.address
        self._end = Event()
        self._threads = [
            Thread(target=self._work, args=(statements,), daemon=True)
            for statements in ((ENDLESS,), REPEATED)
        ]

    def __enter__(self) -> Bulk:
        for table in TABLES:
            db.rows(self.at, f"drop table if exists {table}")
            db.rows(self.at, f"create table {table} (i bigint, filler text)")
        for thread in self._threads:
            thread.start()
        time.sleep(random.uniform(0.6, 2))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def _work(self, statements: tuple[str, ...]) -> None:
        with suppress(psycopg.Error, OSError), db.connect(self.at) as connection:
            while not self._end.is_set():
                for statement in statements:
                    connection.execute(statement)


def forget(cluster: Cluster) -> None:
    """Drop the tables."""
    for table in TABLES:
        db.rows(cluster.primary.address, f"drop table if exists {table}")
