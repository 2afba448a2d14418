"""A cluster to which anything may happen at any moment, and the way out that the product itself names."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import IO

import psutil
from docker.errors import APIError

from benchmarks.faults import FAULTS
from benchmarks.watcher import Watcher
from pgrepl_lib import Cluster
from pgrepl_lib.cli.examination import who_hangs
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.drills.workload import TABLE, Writer
from pgrepl_lib.errors import PgreplError, WaitTimeout
from tests.conftest import PATIENCE, MakeCluster
from tests.remedies import commands_in, copied

from .disks import data_folder, leave_free, resize
from .operated import again, failed_checks
from .running import CHECKOUT, Values, of_cluster, pgrepl, words

LIMIT = 120 * PATIENCE  # seconds for one command, and for the whole way out
ROOM = 8000  # megabytes of the disk that becomes full, which are used only once they are written
ON_ITS_OWN_DISK = "replica"  # on docker; on local all share one
FEWEST, MOST = 3, 4  # instances
TWICE = 2  # times that one command is tried until another has helped: it may have been too early
LOOKS = ("check", "status", "lag", "projects", "runs", "report", "psql", "plan", "down")
# Those of the checks that neither write much nor compare tables that are written meanwhile.
VERIFIED = (
    "one-primary",
    "primary-writes",
    "streaming",
    "slot",
    "receiver",
    "same-cluster",
    "synchronous",
)
PAUSE = 0.1  # seconds between two writes, so that what writes all the time is no load of its own
PASSES = 5  # seconds in which what has happened may heal by itself, before a command is asked for
THAWED = 1  # seconds in which one that goes on again may show what it still does

# What is done to any replica and any other instance. One that is fenced comes back first.
OPERATIONS = (
    "switchover --to {replica}",
    "sync 'ANY 1'",
    "failover",
    "failover --force",
    "run",
    "replica rebuild {replica}",
    "replica follow {replica} {other}",
    "replica add --upstream {other}",
    "replica remove {replica}",
    "sync off",
)
# What happens to one instance, or to the command itself, while it is at work.
EVENTS = ("nothing", "kill", "freeze", "pause", "cut", "full disk", "kill the runner")
DELAYS = (0.0, 0.4, 0.8, 1.2, 1.8, 2.5, 4.0)  # seconds; a command takes half a second to begin


class States:
    """One cluster, a writer that goes on all the time, and what it was promised.

    promised: the rows that were confirmed while commits waited for a replica.
    """

    def __init__(self, cluster: Cluster, open_with: MakeCluster) -> None:
        self.given, self.open_with = cluster, open_with
        self.values = of_cluster(cluster)
        self.writer = Writer(self.cluster, PAUSE).start()
        self.promised: set[int] = set()
        # The first row that a replica must have, too.
        self.since: int | None = 0 if self.cluster.topology.synchronous else None

    @property
    def cluster(self) -> Cluster:
        """As it is recorded now."""
        return again(self.given, self.open_with)

    def end(self) -> None:
        self.writer.stop()

    def step(self, drawn: random.Random) -> None:
        """Something is done, and something happens; then the product's own words lead to a verified cluster."""
        cluster = self.cluster
        command, event, victim = self._chosen(cluster, drawn)
        delay = drawn.choice(DELAYS)
        print(
            f"{datetime.now():%H:%M:%S} {command}; {event} ({victim}) after {delay} s", flush=True
        )
        hangs = event in silencing(cluster)
        with Watcher(cluster, PAUSE) as watcher:
            with ExitStack() as until:
                said = self._perform(command, event, victim, delay, until)
                if hangs and victim == self.cluster.topology.primary:  # nobody waits for that one
                    self.way_out(said)
            if hangs:
                time.sleep(THAWED)
            self.way_out(said)
            self._note_promises()
        assert len(set(watcher.writers)) == len(watcher.writers), (
            f"two primaries: {watcher.writers}"
        )
        self._require_promises()

    def _chosen(self, cluster: Cluster, drawn: random.Random) -> tuple[str, str, str]:
        """The command, the event, and whom it strikes: one at a time, so that there is somebody to go on with."""
        topology = cluster.topology
        event = drawn.choice(EVENTS)
        if topology.fenced:
            name = next(iter(topology.fenced))
            return f"rejoin {name}", event, name
        possible = list(OPERATIONS)
        if len(topology.names) >= MOST:
            possible.remove("replica add --upstream {other}")
        if len(topology.names) <= FEWEST:
            possible.remove("replica remove {replica}")
        replica = drawn.choice(topology.replicas)
        other = drawn.choice([n for n in topology.names if n != replica])
        command = drawn.choice(possible).format(replica=replica, other=other)
        if command == f"replica remove {ON_ITS_OWN_DISK}":  # nobody removes what is mounted
            command = f"replica rebuild {ON_ITS_OWN_DISK}"
        return command, event, drawn.choice(topology.names)

    def _perform(
        self, command: str, event: str, victim: str, delay: float, until: ExitStack
    ) -> str:
        """What the command says. until: what happened lasts as long as that is open."""
        if command == "sync off":
            self._note_promises()
            self.since = None
        with tempfile.TemporaryFile("w+") as said, begun(command, self.values, said) as process:
            time.sleep(delay)
            if event == "kill the runner":
                process.kill()
            elif event != "nothing":
                until.enter_context(struck(self.cluster, victim, event))
            code = ended(process)
            said.seek(0)
            text = said.read()
        assert "Traceback" not in text, text
        if command.startswith("sync '") and code == 0:
            self.since = self.writer.acknowledged[-1][0] + 2  # one may be under way
        return text

    # --- the way out ---------------------------------------------------------------------------------------

    def way_out(self, said: str) -> None:
        """Do what the messages say, one after the other, until all is verified; each leads on, or the next one does."""
        start = time.monotonic()
        told, tried, in_vain = [said], list[str](), list[str]()
        with suppress(WaitTimeout):
            wait_until("a cluster that heals", self._sound, seconds=PASSES, every=1)
        while not self._verified(told):
            wanted = [c for text in reversed(told) for c in commands_in(text) if leads_on(c)]
            left = [c for c in wanted if in_vain.count(c) < TWICE]
            assert left and time.monotonic() < start + LIMIT, (
                f"no way out, after {tried}:\n{''.join(told[-2:])}"
            )
            tried.append(left[0])
            in_vain.append(left[0])
            print(f"  {left[0]}", flush=True)
            done = copied(left[0])
            if done.returncode == 0:  # all is different now, for the others
                in_vain = [c for c in in_vain if c == left[0]]
            told.append(done.stdout + done.stderr)
            assert "Traceback" not in told[-1], told[-1]
        print(f"  verified after {time.monotonic() - start:.0f} s", flush=True)

    def _sound(self) -> tuple[bool, str]:
        if hung := who_hangs(self.cluster):
            return False, hung
        failed = failed_checks(self.cluster, *VERIFIED)
        return not failed, str(failed)

    def _verified(self, told: list[str]) -> bool:
        """Whether all is as it should be; if not, what `pgrepl check` says is added."""
        if self._sound()[0]:
            return True
        done = pgrepl("check", self.values)
        told.append(done.stdout + done.stderr)
        return done.returncode == 0

    # --- the promises --------------------------------------------------------------------------------------

    def _note_promises(self) -> None:
        if self.since is not None:
            self.promised |= {n for n, _ in self.writer.acknowledged if n >= self.since}

    def _require_promises(self) -> None:
        """Every row that was confirmed by a replica, too, is there; and somebody accepts new ones."""
        self.writer.renew(self.cluster)
        self.writer.wait_rows(3, LIMIT)
        found = {r["id"] for r in db.rows(self.cluster.primary.address, f"select id from {TABLE}")}
        assert not self.promised - found, f"lost: {sorted(self.promised - found)[:9]}"


def begun(command: str, values: Values, said: IO[str]) -> subprocess.Popen[str]:
    """The command at work; its words go into this file."""
    given = {"cwd": CHECKOUT, "stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
    return subprocess.Popen(words(command, values), **given)


def ended(process: subprocess.Popen[str]) -> int:
    """Its exit code; one that does not end is killed, and raises."""
    try:
        return process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@contextmanager
def struck(cluster: Cluster, name: str, event: str) -> Iterator[None]:
    """It happens to this instance, if that runs, and ends with the block."""
    events = {**FAULTS, "full disk": full}
    with ExitStack() as stack:
        with suppress(
            psutil.Error, OSError, ValueError, PgreplError, APIError
        ):  # it does not run just now
            stack.enter_context(events[event](cluster, name))
        yield


@contextmanager
def full(cluster: Cluster, name: str) -> Iterator[None]:
    """A disk is full until the block ends: its own, else that of the cluster's folder and all of local's data."""
    disk = data_folder(cluster, name)
    if not os.path.ismount(disk):
        disk = cluster.params.workdir
    if not os.path.ismount(disk):  # who runs the tests may make none
        yield
        return
    leave_free(disk, 1)
    try:
        yield
    finally:
        resize(disk, ROOM)


def silencing(cluster: Cluster) -> tuple[str, ...]:
    """The events during which nobody hears of an instance."""
    return ("freeze", "pause") if cluster.engine.name == "local" else ("freeze", "pause", "cut")


def leads_on(command: str) -> bool:
    """Whether a command changes something, and says of what."""
    looks = command.split()[1] in LOOKS and "drop" not in command
    return not looks and "NAME" not in command
