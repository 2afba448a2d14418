"""Change the primary again and again under a writer, and compare every confirmed row with what is there.

Usage: soak.py [--engine local|docker] [--image IMAGE] [--rounds 10] [--pg-version 14]
               [--bulk] [--trust] [--cascade] [--pause] [--freeze]
Each round, once asynchronous and once synchronous (ANY 1): a switchover, then a failover after SIGKILL and the rejoin
of the lost primary. With --bulk the rounds are asynchronous failovers only, every process of the primary is killed at
once in the middle of large rows, big transactions, an index and a vacuum beside the small writer, and no failover may
take over 5 seconds.
--trust: the replicas need no password, as in the document. --cascade: three replicas, one of which follows another one.
--pause, --freeze: the primary is not killed, but paused (docker pause; on local the postmaster alone), or every process
of it is stopped; it goes on after the failover, if it still can. With both, by turns.
A watcher tries to write on every instance all the time: nobody may confirm a row any more once its successor has.
After each round all tables are compared on all instances. Prints a line a round and the sums; exits with 1 where a rule
is broken: nothing doubled, never two primaries, the same contents everywhere, nothing lost by a switchover or while
synchronous, and every operation ends within 120 seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, product
from pathlib import Path

import psycopg

from benchmarks.bulk import Bulk, forget
from benchmarks.faults import FAULTS
from benchmarks.setup import cluster_of
from benchmarks.watcher import Watcher
from pgrepl_lib import Cluster
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.drills.workload import Report, Writer
from pgrepl_lib.errors import PgreplError
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import set_synchronous
from pgrepl_lib.steps.replicas import follow

LONGEST_FAILOVER = 5  # seconds, under bulk load
LONGEST = 120  # seconds, for any operation
THAWED = 2  # seconds in which a primary that goes on again may show what it still does


class Unended(PgreplError):
    """An operation that does not end."""


@dataclass
class Round:
    """What one round showed. failed: the operation that failed or did not end, and how; nothing came after it."""

    primaries: list[str]
    switchover: Report | None = None
    failover: Report | None = None
    seconds: float = 0
    way: str = ""
    tries: int = 0
    second_primaries: int = 0
    failed: str = ""

    def line(self) -> str:
        parts = []
        if self.switchover:
            parts.append(f"switchover lost {self.switchover.lost}, {self.switchover.outage:.2f} s")
        if self.failover:
            lost, outage = self.failover.lost, self.failover.outage
            parts.append(f"failover took {self.seconds:.2f} s, lost {lost}, outage {outage:.2f} s")
        parts += [f"came back by {self.way}"] if self.way else []
        parts += [f"FAILED: {self.failed}"] if self.failed else []
        return f"{'; '.join(parts)}; primary {self.primaries[-1]}"


@dataclass
class Sums:
    """What one kind of change cost in all rounds."""

    reports: list[Report] = field(default_factory=list)

    def line(self, name: str) -> str:
        outages = [r.outage for r in self.reports]
        acknowledged, lost = (
            sum(getattr(r, name) for r in self.reports) for name in ("acknowledged", "lost")
        )
        rows = f"acknowledged {acknowledged:6}  lost {lost}  doubled {sum(r.doubled for r in self.reports)}"
        spread = f"{statistics.median(outages):.2f} s ({min(outages):.2f} to {max(outages):.2f})"
        return f"{name:24} {len(self.reports):4} times  {rows}  outage {spread}"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--engine", choices=("local", "docker"), default="local")
    options.add_argument("--image", default="")
    options.add_argument("--pg-version", type=int, default=14)
    options.add_argument("--rounds", type=int, default=10)
    for name in ("bulk", "trust", "cascade", "pause", "freeze"):
        options.add_argument(f"--{name}", action="store_true")
    given = options.parse_args()
    workdir = Path(tempfile.mkdtemp(prefix="pgrepl-soak-"))
    workdir.chmod(0o755)
    values = {
        "project": f"soak{secrets.token_hex(3)}",
        "engine": given.engine,
        "workdir": str(workdir),
        "replicas": 3 if given.cascade else 2,
        "network": f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.0/24",
        "auth_method": "trust" if given.trust else "scram-sha-256",
        "image": given.image,
        "pg_version": given.pg_version,
    }
    faults = [name for name in ("pause", "freeze") if getattr(given, name)]
    faults = faults or ["crash" if given.bulk else "kill"]
    try:
        with cluster_of(values) as cluster:
            broken = Soak(cluster, faults, bulk=given.bulk, cascade=given.cascade).run(given.rounds)
    finally:
        shutil.rmtree(workdir)
    sys.exit(bool(broken))


class Soak:
    """Rounds on one cluster, and the rules that they broke."""

    def __init__(self, cluster: Cluster, faults: list[str], *, bulk: bool, cascade: bool) -> None:
        self.cluster, self.bulk, self.cascade = cluster, bulk, cascade
        self.faults, self.crashes = cycle(faults), faults == ["crash"]
        self.sums: dict[str, Sums] = {}
        self.rounds: list[Round] = []
        self.broken: list[str] = []

    def run(self, rounds: int) -> list[str]:
        """So many rounds of each kind, as long as every operation ends; prints them; returns what was broken."""
        methods = ("",) if self.bulk else ("", "ANY 1")
        for method, number in product(methods, range(1, rounds + 1)):
            mode = "synchronous" if method else "asynchronous"
            with quietly():
                set_synchronous(self.cluster, method)
                seen = self._round()
                self.broken += self._rules(seen, synchronous=bool(method))
            self._count(seen, mode)
            print(f"{mode} {number}: {seen.line()}", flush=True)
            if seen.failed:
                break
        self._conclude()
        return self.broken

    def _count(self, seen: Round, mode: str) -> None:
        self.rounds.append(seen)
        reports = {"switchover": seen.switchover, "failover": seen.failover}
        for name, report in reports.items():
            if report:
                self.sums.setdefault(f"{name}, {mode}", Sums()).reports.append(report)

    def _conclude(self) -> None:
        print()
        for name, each in self.sums.items():
            print(each.line(name))
        failed = sum(bool(r.failed) for r in self.rounds)
        second = sum(r.second_primaries for r in self.rounds)
        print(f"tries to write: {sum(r.tries for r in self.rounds)}, second primaries: {second}")
        print(f"rounds: {len(self.rounds)}, operations that failed or did not end: {failed}")
        print("broken: " + "; ".join(self.broken) if self.broken else "every rule held")

    # --- one round -----------------------------------------------------------------------------------------

    def _round(self) -> Round:
        seen = Round([self.cluster.primary.name])
        try:
            with Watcher(self.cluster) as watcher:
                watcher.wait_writer(self.cluster.primary.name)
                if self.cascade:
                    self._let_one_follow_another()
                if not self.bulk:
                    self._switch_over(seen)
                    watcher.wait_writer(self.cluster.primary.name)
                self._fail_over(seen)
                watcher.wait_writer(self.cluster.primary.name)
                time.sleep(THAWED)
            self._rejoin(seen)
        except (PgreplError, psycopg.Error, OSError) as error:
            steps = [
                f.name
                for f in traceback.extract_tb(error.__traceback__)
                if "pgrepl_lib" in f.filename
            ]
            seen.failed = (
                f"{type(error).__name__} in {'/'.join(steps)}: {' '.join(str(error).split())}"
            )
        seen.tries, seen.second_primaries = watcher.tries, watcher.second_primaries(seen.primaries)
        return seen

    def _let_one_follow_another(self) -> None:
        primary = self.cluster.primary.name
        *direct, last = random.sample(self.cluster.topology.replicas, 3)
        with ending("replica follow"):
            for name in direct:
                follow(self.cluster, name, primary)
            follow(self.cluster, last, direct[0])

    def _switch_over(self, seen: Round) -> None:
        writer = Writer(self.cluster).start()
        writer.wait_rows(50)
        to = random.choice(self.cluster.topology.followers(self.cluster.primary.name))
        with ending("switchover"):
            Switchover(self.cluster, to).run()
        seen.primaries.append(to)
        writer.wait_rows(50)
        seen.switchover = writer.stop()

    def _fail_over(self, seen: Round) -> None:
        """The primary is lost, in the middle of bulk work where that is asked for; what is left of it goes on afterwards."""
        lost = self.cluster.primary.name
        with contextlib.ExitStack() as stack:
            writer = Writer(self.cluster).start()
            if self.bulk:
                stack.enter_context(Bulk(self.cluster))
            writer.wait_rows(random.randint(20, 120))
            stack.enter_context(FAULTS[next(self.faults)](self.cluster, lost))
            started = time.monotonic()
            with ending("failover"):
                Failover(self.cluster).run()
            seen.seconds = time.monotonic() - started
            seen.primaries.append(self.cluster.primary.name)
        writer.wait_rows(50)
        seen.failover = writer.stop()

    def _rejoin(self, seen: Round) -> None:
        back = Rejoin(self.cluster, seen.primaries[-2])
        with ending("rejoin"):
            back.inspect()
            back.diverged()
            seen.way, _ = back.way()
            back.come_back()
        forget(self.cluster)

    def _rules(self, seen: Round, *, synchronous: bool) -> list[str]:
        """What this round broke."""
        if seen.failed:
            return ["an operation failed or did not end"]
        checks = (
            CHECKS[name](self.cluster) for name in ("one-primary", "streaming", "slot", "tables")
        )
        broken = [f"{c.name}: {c.seen}" for c in checks if not c.passed]
        if seen.second_primaries:
            broken.append(f"two primaries, {seen.second_primaries} times")
        if seen.switchover and seen.switchover.lost:
            broken.append("a switchover lost rows")
        if seen.failover and seen.failover.lost and synchronous:
            broken.append("rows were lost although synchronous")
        if any(report and report.doubled for report in (seen.switchover, seen.failover)):
            broken.append("rows were doubled")
        if self.crashes and seen.seconds > LONGEST_FAILOVER:
            broken.append(f"a failover took {seen.seconds:.2f} s")
        return broken


@contextlib.contextmanager
def ending(operation: str) -> Iterator[None]:
    """A limit on the block; raises `Unended`."""

    def over(*_: object) -> None:
        raise Unended(f"{operation} did not end within {LONGEST} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)


def quietly() -> contextlib.redirect_stderr[io.StringIO]:
    return contextlib.redirect_stderr(io.StringIO())


if __name__ == "__main__":
    main()
