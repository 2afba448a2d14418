"""What commands cost on a cluster with many tables, databases and roles, against the same on an empty one.

Usage: crowded.py [--tables 5000] [--databases 60] [--roles 1000] [--pg-version 14] [-n RUNS]
Whole processes on the local engine, in turn on both clusters. The failover is of a primary that was
killed, the rejoin that of a former primary with rows of its own. Prints median and range of each
command's seconds, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import sys
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

from psycopg import sql

from benchmarks.operate_vs_shell import folder, parameters
from benchmarks.run_vs_shell import timed
from benchmarks.setup import cluster_of
from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.doors import db
from pgrepl_lib.doors.program import silently

EMPTY, FULL = "empty", "full"
ROUND = (
    "status",
    "check",
    "check --deep",
    "run",
    "switchover --yes",
    "failover --yes",
    "rejoin {fenced} --yes",
)
ROLES = "do $$ begin for n in 1..{} loop execute format('create role role_%s', n); end loop; end $$"
TABLES = """
do $$ begin
  for n in 1..{} loop
    execute format('create table t_%s (id int primary key, t text)', n);
    execute format('insert into t_%s select i, md5(i::text) from generate_series(1, 10) i', n);
  end loop;
end $$"""
Seconds = dict[str, list[float]]


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    options.add_argument("--tables", type=int, default=5000)
    options.add_argument("--databases", type=int, default=60)
    options.add_argument("--roles", type=int, default=1000)
    options.add_argument("--pg-version", type=int, default=14, help="from 15 on with pg_rewind")
    options.add_argument("-n", "--runs", type=int, default=3)
    given = options.parse_args()
    taken: dict[str, Seconds] = {EMPTY: defaultdict(list), FULL: defaultdict(list)}
    with ExitStack() as stack:
        values = {name: parameters(stack.enter_context(folder()), 1) for name in taken}
        for each in values.values():
            each["pg_version"] = given.pg_version
        values[FULL]["port"] += 20
        opened = {name: stack.enter_context(cluster_of(each)) for name, each in values.items()}
        fill(opened[FULL], given.tables, given.databases, given.roles)
        for each in values.values():
            ours("run", each)
        for _ in range(given.runs):
            for name, each in values.items():
                once(each, taken[name])
    report(taken[EMPTY], taken[FULL])


def fill(cluster: Cluster, tables: int, databases: int, roles: int) -> None:
    """So many databases beside `postgres`, with the tables spread over them, and a few rows in each."""
    with db.connect(cluster.primary.address, limit=3600) as connection:
        connection.execute(ROLES.format(roles))  # type: ignore[arg-type]
    for number in range(databases):
        name = f"database_{number}"
        with db.connect(cluster.primary.address, limit=3600) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        make_tables(cluster, name, tables // databases + (number < tables % databases))
    here = db.row(cluster.primary.address, "select pg_current_wal_lsn()::text as at")["at"]
    for name in cluster.topology.replicas:
        cluster.instance(name).wait_replayed(here, 600)


def make_tables(cluster: Cluster, database: str, count: int) -> None:
    with db.connect(cluster.primary.address, dbname=database, limit=3600) as connection:
        connection.execute(TABLES.format(count))  # type: ignore[arg-type]


def once(values: dict[str, Any], taken: Seconds) -> None:
    """Each command once; a row is written that only the primary has before that is lost."""
    for command in ROUND:
        cluster = open_cluster("", **values)
        if command.startswith("failover"):
            lose_primary(cluster)
        fenced = next(iter(cluster.topology.fenced), "")
        taken[command.partition(" {")[0]].append(ours(command.format(fenced=fenced), values))


def lose_primary(cluster: Cluster) -> None:
    for name in cluster.topology.replicas:
        cluster.engine.stop(name).do(silently)
    with db.connect(cluster.primary.address) as connection:
        connection.execute("create table if not exists own (t text)")
        connection.execute("insert into own values ('only here')")
    cluster.engine.kill(cluster.primary.name).do(silently)
    for name in cluster.topology.replicas:
        cluster.engine.start(name).do(silently)
        cluster.instance(name).wait_ready()


def ours(command: str, values: dict[str, Any]) -> float:
    words = [w for name, value in values.items() for w in ("-p", name, str(value))]
    pgrepl = [sys.executable, "-m", "pgrepl_lib", *shlex.split(command)]
    return timed([*pgrepl, *words], dict(os.environ))


def report(empty: Seconds, full: Seconds) -> None:
    for command in empty:
        ratio = statistics.median(full[command]) / statistics.median(empty[command])
        line = f"{spread(empty[command])}   full {spread(full[command])}   ratio {ratio:.2f}"
        print(f"{command:18} empty {line}", flush=True)


def spread(figures: list[float]) -> str:
    return f"{statistics.median(figures):.2f} ({min(figures):.2f} to {max(figures):.2f}) s"


if __name__ == "__main__":
    main()
