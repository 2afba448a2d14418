"""Change the primary again and again under a writer, and compare every confirmed row with what is there.

Usage: soak.py [--engine local|docker] [--image IMAGE] [--rounds 10] [--pg-version 14] [--bulk]
Each round, once asynchronous and once synchronous (ANY 1): a switchover, then a failover after SIGKILL and the rejoin
of the lost primary. With --bulk the rounds are asynchronous failovers only, every process of the primary is killed at
once in the middle of large rows, big transactions, an index and a vacuum beside the small writer, and no failover may
take over 5 seconds. A watcher asks all instances, again and again, whether they accept writes: never may two. After each
round all tables are compared on all instances. Prints a line a round and the sums; exits with 1 where a rule is broken:
nothing doubled, never two primaries, the same contents everywhere, nothing lost by a switchover or while synchronous.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import psycopg

from benchmarks.bulk import Bulk, crash, forget
from benchmarks.setup import cluster_of
from pgrepl_lib import Cluster, db
from pgrepl_lib.checks import CHECKS
from pgrepl_lib.failover import Failover
from pgrepl_lib.rejoin import Rejoin
from pgrepl_lib.switchover import Switchover
from pgrepl_lib.synchronous import set_synchronous
from pgrepl_lib.workload import Report, Writer

LONGEST_FAILOVER = 5  # seconds, under bulk load


class Watcher:
    """Asks all instances at once whether they accept writes; counts looks, and those that saw more than one.

    The looks of one round may lie milliseconds apart, in which the primary may change; so two answers count only
    if the first is still writable after the second.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.addresses = [cluster.instance(n).address for n in cluster.topology.names]
        self.looks = self.two = 0
        self._stop = Event()
        self._thread = Thread(target=self._work, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _work(self) -> None:
        while not self._stop.is_set():
            writable = [a for a in self.addresses if self._writes(a)]
            self.looks += 1
            if len(writable) > 1 and all(map(self._writes, writable)):
                self.two += 1

    @staticmethod
    def _writes(at: db.Address) -> bool:
        try:
            return not db.row(at, "select pg_is_in_recovery() as r")["r"]
        except (psycopg.Error, OSError):
            return False


@dataclass
class Sums:
    """What one kind of change cost in all rounds."""

    reports: list[Report] = field(default_factory=list)

    def line(self, name: str) -> str:
        outages = [r.outage for r in self.reports]
        return (f"{name:24} {len(self.reports):4} times  acknowledged {sum(r.acknowledged for r in self.reports):6}  "
                f"lost {sum(r.lost for r in self.reports)}  doubled {sum(r.doubled for r in self.reports)}  "
                f"outage {statistics.median(outages):.2f} s ({min(outages):.2f} to {max(outages):.2f})")  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine", choices=("local", "docker"), default="local")
    options.add_argument("--image", default="")
    options.add_argument("--pg-version", type=int, default=14)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--bulk", action="store_true")
    given = options.parse_args()
    workdir = Path(tempfile.mkdtemp(prefix="pgrepl-soak-"))
    workdir.chmod(0o755)
    values = {"project": f"soak{secrets.token_hex(3)}", "engine": given.engine, "workdir": str(workdir), "replicas": 2,
              "network": "192.168.252.0/24", "port": 28000, "image": given.image, "pg_version": given.pg_version}  # fmt: skip
    try:
        with cluster_of(values) as cluster:
            sys.exit((bulk_soak if given.bulk else soak)(cluster, given.rounds))
    finally:
        shutil.rmtree(workdir)


def soak(cluster: Cluster, rounds: int) -> int:
    sums: dict[str, Sums] = {}
    broken: list[str] = []
    with Watcher(cluster) as watcher:
        for method in ("", "ANY 1"):
            with quietly():
                set_synchronous(cluster, method)
            for number in range(1, rounds + 1):
                mode = "synchronous" if method else "asynchronous"
                with quietly():
                    over, fail, ways = one_round(cluster)
                sums.setdefault(f"switchover, {mode}", Sums()).reports.append(over)
                sums.setdefault(f"failover, {mode}", Sums()).reports.append(fail)
                print(f"{mode} {number}: switchover lost {over.lost}, {over.outage:.2f} s; failover lost {fail.lost}, "
                      f"{fail.outage:.2f} s, came back by {ways}; primary {cluster.primary.name}", flush=True)  # fmt: skip
                broken += rules(cluster, over, fail, synchronous=bool(method))
    print()
    for name, each in sums.items():
        print(each.line(name))
    print(f"looks at all instances: {watcher.looks}, of which saw two primaries: {watcher.two}")
    broken += ["two primaries"] if watcher.two else []
    print("broken: " + "; ".join(broken) if broken else "every rule held")
    return int(bool(broken))


def bulk_soak(cluster: Cluster, rounds: int) -> int:
    """Failovers in the middle of bulk work; prints how long each took from the kill's end to the new roles."""
    taken: list[float] = []
    broken: list[str] = []
    sums = Sums()
    with Watcher(cluster) as watcher:
        for number in range(1, rounds + 1):
            with quietly():
                seconds, report, way = bulk_round(cluster)
            taken.append(seconds)
            sums.reports.append(report)
            print(f"bulk {number}: failover took {seconds:.2f} s, lost {report.lost}, outage {report.outage:.2f} s, "
                  f"came back by {way}; primary {cluster.primary.name}", flush=True)  # fmt: skip
            broken += rules(cluster, report, report, bulk=True)
    print()
    print(sums.line("failover, bulk load"))
    print(f"failovers: median {statistics.median(taken):.2f} s, slowest {max(taken):.2f} s")
    print(f"looks at all instances: {watcher.looks}, of which saw two primaries: {watcher.two}")
    broken += ["two primaries"] if watcher.two else []
    broken += [f"a failover took {s:.2f} s" for s in taken if s > LONGEST_FAILOVER]
    print("broken: " + "; ".join(broken) if broken else "every rule held")
    return int(bool(broken))


def bulk_round(cluster: Cluster) -> tuple[float, Report, str]:
    """A crash in the middle of bulk work, the failover's seconds, and the return of the lost primary."""
    writer = Writer(cluster).start()
    lost = cluster.primary
    with Bulk(cluster):
        crash(cluster, lost.name)
        started = time.monotonic()
        Failover(cluster).run()
        seconds = time.monotonic() - started
    writer.wait_rows(50)
    report = writer.stop()
    back = Rejoin(cluster, lost.name)
    back.inspect()
    back.diverged()
    way, _ = back.way()
    back.come_back()
    forget(cluster)
    return seconds, report, way


def one_round(cluster: Cluster) -> tuple[Report, Report, str]:
    """A switchover, and a failover with the return of the lost primary, each under a writer of its own."""
    writer = Writer(cluster).start()
    writer.wait_rows(50)
    Switchover(cluster, random.choice(cluster.topology.replicas)).run()
    writer.wait_rows(50)
    over = writer.stop()
    writer = Writer(cluster).start()
    writer.wait_rows(random.randint(20, 120))
    lost = cluster.primary
    cluster.engine.kill(lost.name).do(lambda line: None)
    Failover(cluster).run()
    writer.wait_rows(50)
    fail = writer.stop()
    back = Rejoin(cluster, lost.name)
    back.inspect()
    back.diverged()
    way, _ = back.way()
    back.come_back()
    return over, fail, way


def rules(cluster: Cluster, over: Report, fail: Report, *, synchronous: bool = False, bulk: bool = False) -> list[str]:
    failed = [r for r in (CHECKS[name](cluster) for name in ("one-primary", "streaming", "slot", "tables")) if not r.passed]
    broken = [f"{r.name}: {r.seen}" for r in failed]
    broken += ["a switchover lost rows"] if over.lost and not bulk else []
    broken += ["rows were lost although synchronous"] if synchronous and fail.lost else []
    return broken + (["rows were doubled"] if over.doubled or fail.doubled else [])


def quietly() -> contextlib.redirect_stderr[io.StringIO]:
    return contextlib.redirect_stderr(io.StringIO())


if __name__ == "__main__":
    main()
