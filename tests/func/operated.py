"""A primary with two replicas whose roles change, what a person may do to it by hand, and the way back to where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

import psutil
import psycopg

from pgrepl_lib import Cluster
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.doors import db, files
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.engine import processes
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import set_synchronous
from pgrepl_lib.steps.replicas import follow, prepare_all, remove
from tests.conftest import MakeCluster, set_up_primary, set_up_replica
from tests.remedies import commands_in

from .running import CHECKOUT, of_cluster, words

NAMES = ["primary", "replica", "replica-2"]


def make(open_with: MakeCluster, engine: str, **values: Any) -> Cluster:
    """A running primary and its replicas, two unless told."""
    made = open_with(engine, **{"replicas": 2, **values})
    set_up_primary(made)
    set_up_replica(made)
    prepare_all(made)
    return made


def again(cluster: Cluster, open_with: MakeCluster) -> Cluster:
    """The same project, opened as by another process: what is recorded counts."""
    return open_with(cluster.engine.name, project=cluster.params.project)


def failed_checks(cluster: Cluster, *names: str) -> dict[str, str]:
    """Each check that does not pass, with what it saw: all of them, unless some are named."""
    made = [CHECKS[n](cluster) for n in names or CHECKS]
    assert made
    return {c.name: f"expected {c.expected}; seen {c.seen}" for c in made if not c.passed}


def ways_named(cluster: Cluster, *names: str) -> set[str]:
    """The checks that fail, each of which names a command about this project, and these instances."""
    failed = [c for c in (check(cluster) for check in CHECKS.values()) if not c.passed]
    for made in failed:
        commands = commands_in(made.hint)
        assert commands and all(f" --project {cluster.params.project}" in c for c in commands), made
        assert all(f"{name} (" in made.hint for name in names), made
    return {made.name for made in failed}


def bring_home(cluster: Cluster) -> None:
    """Whatever a test has left: `primary` is the primary again, and two replicas stream from it."""
    if begun := cluster.topology.operation:
        (Switchover if begun["kind"] == "switchover" else Failover)(cluster, "").run()
    primary = cluster.primary
    if not (cluster.engine.running(primary.name) and primary.answers()[0]):
        primary.start()
    if cluster.topology.synchronous:
        set_synchronous(cluster, "")
    for replica in cluster.replicas:
        if not cluster.engine.running(replica.name) and replica.prepared():
            cluster.engine.start(replica.name).do(print)
            replica.wait_ready()
        if cluster.engine.running(replica.name):
            db.rows(replica.address, "select pg_wal_replay_resume()")
    for name in list(cluster.topology.fenced):
        Rejoin(cluster, name, full_copy=True).run()
    while extra := [
        n for n in cluster.topology.replicas if n not in NAMES and not cluster.topology.followers(n)
    ]:
        remove(cluster, extra[-1], confirm=True)
    prepare_all(cluster, names=cluster.topology.replicas)
    for replica in cluster.replicas:
        if replica.upstream.name != cluster.primary.name:
            follow(cluster, replica.name, cluster.primary.name)
    if cluster.primary.name != "primary":
        wait_caught_up(cluster)
        Switchover(cluster, "primary").run()
    assert cluster.topology.names == NAMES


def wait_caught_up(cluster: Cluster) -> None:
    """Every replica has replayed what the primary has."""
    lsn = db.row(cluster.primary.address, "select pg_current_wal_lsn()::text as lsn")["lsn"]
    for replica in cluster.replicas:
        replica.wait_streaming()
        replica.wait_replayed(lsn, 30)


def slots(cluster: Cluster) -> dict[str, list[str]]:
    """Each running instance's slots."""
    query = "select slot_name as n from pg_replication_slots order by 1"
    running = [n for n in cluster.topology.names if cluster.engine.running(n)]
    return {n: [r["n"] for r in db.rows(cluster.instance(n).address, query)] for n in running}


def configuration(cluster: Cluster, name: str) -> str:
    return (cluster.folder / name / "postgresql.conf").read_text("utf-8")


def everything_recorded(cluster: Cluster) -> dict[str, Any]:
    """What would differ if anything had been done: files, slots, and when each server was started and told to read."""
    query = (
        "select pg_postmaster_start_time()::text as started, pg_conf_load_time()::text as loaded"
    )
    texts = [
        cluster.folder / "cluster.json",
        cluster.folder / "journal.jsonl",
        *cluster.folder.glob("*/*.conf"),
    ]
    assert len(texts) >= 2 + 2 * len(cluster.topology.names)
    seen: dict[str, Any] = {str(p): (p.stat().st_mtime_ns, p.read_text("utf-8")) for p in texts}
    running = [n for n in cluster.topology.names if cluster.engine.running(n)]
    return (
        seen
        | {n: db.row(cluster.instance(n).address, query) for n in running}
        | {"slots": slots(cluster)}
    )


# --- by hand ---------------------------------------------------------------------------------------------------


def by_hand(cluster: Cluster, *argv: str) -> int:
    """A command as a person types it in the cluster's folder, the server's own as the server's user; its exit code."""
    programs = getattr(cluster.engine, "binaries", None)
    word = (
        str(programs.server / argv[0])
        if programs and (programs.server / argv[0]).exists()
        else argv[0]
    )
    user = getattr(cluster.engine, "user", None)
    who: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    silent: dict[str, Any] = dict.fromkeys(
        ("stdin", "stdout", "stderr"), subprocess.DEVNULL
    )  # the server keeps them open
    return subprocess.run(
        [word, *argv[1:]], cwd=cluster.folder, timeout=60, check=False, **silent, **who
    ).returncode


def ways_to_start(cluster: Cluster, name: str, port: int) -> dict[str, Callable[[], int]]:
    """How a person would start a server again who does not know, or forgets, that it was replaced."""
    data = f"data/{name}"
    log = f"--log=logs/{name}.log"
    if cluster.engine.name == "local":
        own = f"-c port={port} -c unix_socket_directories=''"  # its own files: nothing of the library's
        before = (cluster.folder / data / "postmaster.opts").read_text("utf-8").partition(" ")[2]

        def start(options: str) -> int:
            processes.forget_dead(cluster.folder / data)  # where nobody reaps a killed server
            return by_hand(
                cluster, "pg_ctl", f"--pgdata={data}", log, f"--options={options}", "start"
            )

        return {
            "with the options it ran with": lambda: start(before),
            "with nothing but its data": lambda: start(own),
        }
    container = container_of(cluster, name).id
    return {
        "docker container start": lambda: by_hand(
            cluster, "docker", "container", "start", container
        ),
        "compose up": lambda: by_hand(cluster, *docker_host.compose(), "up", "-d", name),
        "a new container": lambda: by_hand(
            cluster, *docker_host.compose(), "up", "-d", "--force-recreate", "--no-deps", name
        ),
    }


def signal_process(cluster: Cluster, name: str, pid: int, signal_name: str) -> None:
    """A signal such as STOP to one process of an instance, by the number that its server knows."""
    if cluster.engine.name == "local":
        os.kill(pid, signal.Signals[f"SIG{signal_name}"])
    else:
        kill = ["sh", "-c", f"kill -{signal_name} {pid}"]
        assert container_of(cluster, name).exec_run(kill).exit_code == 0


def stop_by_hand(cluster: Cluster, name: str) -> None:
    if cluster.engine.name == "local":
        by_hand(cluster, "pg_ctl", f"--pgdata=data/{name}", "--mode=immediate", "stop")
    else:
        container_of(cluster, name).kill()
    wait_until(
        f"the end of {name}", lambda: (not cluster.engine.running(name), "running"), seconds=20
    )


def container_of(cluster: Cluster, name: str) -> Any:
    labels = [
        f"com.docker.compose.project={cluster.params.project}",
        f"com.docker.compose.service={name}",
        "com.docker.compose.oneoff=False",
    ]
    (found,) = docker_host.client().containers.list(all=True, filters={"label": labels})
    return found


@contextmanager
def meanwhile(act: Callable[[], object], every: float = 0.01) -> Iterator[None]:
    """Do something again and again while the block runs; it may fail."""
    end = Event()

    def work() -> None:
        while not end.wait(every):
            with suppress(Exception):
                act()

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(60)
        assert not thread.is_alive()


class Writable:
    """Looks all the time who accepts writes; `twice` holds every pair that did at the same moment."""

    def __init__(self, cluster: Cluster, *more: int) -> None:
        ports = {n: cluster.engine.ports[n] for n in cluster.topology.names} | {
            f"port {p}": p for p in more
        }
        any_address = cluster.primary.address
        self.addresses = {
            n: db.Address(any_address.host, p, any_address.user, any_address.password)
            for n, p in ports.items()
        }
        self.seen: set[str] = set()
        self.answered: set[str] = set()
        self.twice: list[tuple[str, str]] = []
        self.looks = 0
        self._end, self._thread = Event(), Thread(target=self._work, daemon=True)

    def __enter__(self) -> Writable:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(60)

    def wait_answer(self, *names: str) -> None:
        """Until one of these has answered, from now on; then some looks more, in which it would become writable."""
        self.answered.clear()
        wait_until(
            f"{names} to answer",
            lambda: (bool(self.answered & set(names)), str(self.answered)),
            seconds=30,
        )
        self.wait_looks(10)
        time.sleep(1)  # not quicker than the end of its recovery

    def wait_looks(self, count: int) -> None:
        goal = self.looks + count
        wait_until("looks", lambda: (self.looks >= goal, str(self.looks)), seconds=60)

    def _work(self) -> None:
        while not self._end.wait(0.01):
            writable = [n for n in self.addresses if self._accepts(n)]
            self.seen |= set(writable)
            # One after the other may have accepted writes; if the first one still does, both did when the second answered.
            if len(writable) > 1 and self._accepts(writable[0]):
                self.twice.append((writable[0], writable[1]))
            self.looks += 1

    def _accepts(self, name: str) -> bool:
        try:
            with db.connect(self.addresses[name], seconds=2) as connection:
                self.answered.add(name)
                connection.execute("create temporary table pgrepl_try (n int)")
                return True
        except (psycopg.Error, OSError):
            return False


# --- the command line ------------------------------------------------------------------------------------------


def killed_runner(
    cluster: Cluster, command: str, when: Callable[[], bool], after: float = 0
) -> bool:
    """Run `pgrepl` and SIGKILL it once `when` is true, and so many seconds later; whether it was still at work."""
    with subprocess.Popen(
        words(command, of_cluster(cluster)),
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 60
        while not when() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(after)
        process.kill()
        return process.wait(20) == -9


def journal_says(cluster: Cluster, title: str) -> Callable[[], bool]:
    """Whether a step with this title is recorded from now on."""
    path = cluster.folder / "journal.jsonl"
    before = path.stat().st_size
    wanted = title.encode()

    def look() -> bool:
        if path.stat().st_size == before:
            return False
        with path.open("rb") as file:
            file.seek(before)
            return wanted in file.read()

    return look


def recorded(cluster: Cluster, text: str) -> Callable[[], bool]:
    """Whether cluster.json holds this text."""
    return lambda: text in (cluster.folder / "cluster.json").read_text("utf-8")


# --- data that are gone ------------------------------------------------------------------------------------------


def lose_data(cluster: Cluster, name: str) -> None:
    """An instance's data are gone, as after somebody's `rm` or `docker volume rm`; its server with them."""
    if cluster.engine.running(name):
        cluster.instance(name).kill()
    if cluster.engine.name == "local":
        files.remove(cluster.folder / "data" / name)
        return
    container_of(cluster, name).remove(force=True)
    docker_host.client().volumes.get(f"{cluster.params.project}_{name}").remove()


FOREIGN = "initdb --no-sync -D /tmp/new && cd {}/global && mv pg_control pg_control.own && cp /tmp/new/global/pg_control ."


@contextmanager
def another_cluster(cluster: Cluster, name: str) -> Iterator[None]:
    """A stopped instance's data say that they are another cluster's: by a fresh initdb, until the block ends."""
    if cluster.engine.name == "local":
        data, own = f"data/{name}", f"data/{name}.own"
        assert by_hand(cluster, "mv", data, own) == 0
        assert (
            by_hand(cluster, "initdb", "--no-sync", "--username=postgres", f"--pgdata={data}") == 0
        )
        yield
        files.remove(cluster.folder / data)
        assert by_hand(cluster, "mv", own, data) == 0
        return
    inside = [
        "docker",
        "container",
        "run",
        "--rm",
        "--volumes-from",
        container_of(cluster, name).id,
        "--user=postgres",
        "--entrypoint=sh",
        cluster.params.image,
        "-c",
    ]
    pgdata = "/var/lib/postgresql/data"
    assert by_hand(cluster, *inside, FOREIGN.format(pgdata)) == 0
    yield
    assert by_hand(cluster, *inside, f"cd {pgdata}/global && mv pg_control.own pg_control") == 0


# --- the whole instance at once --------------------------------------------------------------------------------


def processes_of(cluster: Cluster, name: str) -> list[psutil.Process]:
    """The postmaster of an instance and all that it has started; of a container as this machine sees them."""
    if cluster.engine.name == "local":
        first = int((cluster.folder / f"data/{name}/postmaster.pid").read_text("utf-8").split()[0])
    else:
        first = container_of(cluster, name).attrs["State"]["Pid"]
    postmaster = psutil.Process(first)
    return [postmaster, *postmaster.children(recursive=True)]


def crash(cluster: Cluster, name: str) -> None:
    """As a power cut: every process of an instance is killed at once."""
    for process in processes_of(cluster, name):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(
        f"the end of {name}", lambda: (not cluster.engine.running(name), "running"), seconds=20
    )


@contextmanager
def frozen(cluster: Cluster, name: str) -> Iterator[None]:
    """An instance hangs until the block ends: nobody ends its connections, nothing answers."""
    stopped = processes_of(cluster, name)
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()
