"""What a rejoin costs by pg_rewind and by a new copy, and to keep the rows that it throws away.

Usage: rejoin.py [--gigabytes 0.1 1] [--rows 1000] [--pg-version 15]
Each size and way: that many rows are changed, spread over the whole table, while the replica is
stopped. Prints the seconds until they are kept, those until the former primary streams, and the
most memory that this process has used.
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path
from typing import Any

from benchmarks.operate_vs_shell import folder, parameters, quietly, timed
from benchmarks.setup import cluster_of
from pgrepl_lib import Cluster
from pgrepl_lib.doors import db
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin

FILL = """
create table big as
select i, repeat(md5(i::text), 32) as filler from generate_series(1, {}) i"""
CHANGE = "update big set filler = 'x' where i in (select generate_series(1, {last}, {every}))"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    options.add_argument("--gigabytes", type=float, nargs="+", default=[0.1, 1])
    options.add_argument("--rows", type=int, default=1000)
    options.add_argument("--pg-version", type=int, default=15)
    given = options.parse_args()
    for gigabytes in given.gigabytes:
        for full_copy in (False, True):
            with folder() as workdir:
                measure(workdir, gigabytes, given.rows, given.pg_version, full_copy)


def measure(workdir: Path, gigabytes: float, rows: int, major: int, full_copy: bool) -> None:
    """One size and one way, in a cluster of its own."""
    values: dict[str, Any] = {**parameters(workdir, 1), "pg_version": major}
    with cluster_of(values) as cluster:
        size = diverge(cluster, int(gigabytes * 1024**3 / 1070), rows)
        with quietly():
            Failover(cluster).run()
            back = Rejoin(cluster, "primary", full_copy)
            back.inspect()
            seconds = timed(back.diverged)
            way, _ = back.way()
            whole = timed(back.come_back)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = f"{back.found.rows} rows kept in {seconds:.1f} s"
        print(f"{size / 1024**3:.2f} GB: {told}, {way} {whole:.1f} s, at most {memory:.0f} MB")


def diverge(cluster: Cluster, count: int, rows: int) -> int:
    """A table of `count` rows; some are changed on the primary alone, which is lost; its bytes."""
    patient = "-c statement_timeout=0 -c default_toast_compression=pglz"
    with db.connect(cluster.primary.address, options=patient, limit=3600) as connection:
        connection.execute(FILL.format(count))  # type: ignore[arg-type]
        connection.execute("create unique index on big (i)")
        connection.execute("vacuum big")
        connection.execute("checkpoint")
        here = connection.execute("select pg_current_wal_lsn()::text as at").fetchone() or {}
        cluster.replica.wait_replayed(here["at"], 60)
        cluster.engine.stop("replica").do(print)
        every = count // rows
        change = CHANGE.format(last=every * rows, every=every)
        connection.execute(change)  # type: ignore[arg-type]
        found = connection.execute("select pg_database_size('postgres') as s").fetchone() or {}
    cluster.primary.kill()
    cluster.engine.start("replica").do(print)
    cluster.replica.wait_ready()
    return int(found["s"])


if __name__ == "__main__":
    main()
