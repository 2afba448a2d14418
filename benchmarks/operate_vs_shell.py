"""Time operations against the plain commands that do the same on the same local servers, in turn, in the same run.

Usage: operate_vs_shell.py [replicas] [outage] [backup] [-n RUNS] [--gigabytes 2]   (none named: all three)
replicas: 1, 4 and 8 replicas until all stream and hold the same rows, ours side by side against a shell loop.
outage: longest time without a confirmed row, switchover and failover against `pg_ctl stop` or `kill -9` and `pg_ctl promote`.
backup: a replica of a database of that size made anew, against `rm`, `pg_basebackup` and `pg_ctl start`.
Prints medians, ranges and the median of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import secrets
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.setup import cluster_of, set_up_primary
from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.doors import db
from pgrepl_lib.drills.workload import Writer
from pgrepl_lib.engine.local.engine import LocalEngine
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.steps import replicas

FLOOR = Path(__file__).with_name("replicas.sh")
Pair = tuple[float, float]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("what", nargs="*", choices=["replicas", "outage", "backup", []])
    options.add_argument("-n", "--runs", type=int, default=3)
    options.add_argument("--gigabytes", type=float, default=2)
    given = options.parse_args()
    chosen = given.what or ["replicas", "outage", "backup"]
    if "replicas" in chosen:
        for count in (1, 4, 8):
            report(f"{count} replicas, s", [many(count) for _ in range(given.runs)])
    if "outage" in chosen:
        report(
            "switchover outage, s",
            [(outage(plain_switchover), outage(our_switchover)) for _ in range(given.runs)],
        )
        report(
            "failover outage, s",
            [(outage(plain_failover), outage(our_failover)) for _ in range(given.runs)],
        )
    if "backup" in chosen:
        report(f"copy of {given.gigabytes:g} GB, s", big(given.gigabytes, given.runs))


def many(count: int) -> Pair:
    """Replicas made by a shell loop, then by us, of two primaries of their own."""
    with folder() as workdir:
        values = parameters(workdir, count)
        cluster = open_cluster("", **values)
        try:
            with quietly():
                set_up_primary(cluster)
            shell = timed(lambda: floor(cluster, "make", count))
            floor(cluster, "remove", count)
            with quietly():
                ours = timed(lambda: verified(cluster))
        finally:
            with quietly():
                cluster.remove(confirm=True)
        return shell, ours


def verified(cluster: Cluster) -> None:
    replicas.prepare_all(cluster, names=cluster.topology.replicas)
    assert all(CHECKS[name](cluster).passed for name in ("streaming", "contents"))


def outage(change: Callable[[Cluster], None]) -> float:
    """The writer's longest time without a confirmed row, on a cluster of its own."""
    with folder() as workdir, cluster_of(parameters(workdir, 1)) as cluster:
        writer = Writer(cluster).start()
        writer.wait_rows(100)
        with quietly():
            change(cluster)
        writer.wait_rows(100)
        writer._stop.set()
        writer._thread.join()
        times = [t for _, t in writer.acknowledged]
        return max(b - a for a, b in pairwise(times))


def our_switchover(cluster: Cluster) -> None:
    Switchover(cluster, "replica").run()


def our_failover(cluster: Cluster) -> None:
    cluster.engine.kill("primary").do(lambda line: None)
    Failover(cluster).run()


def plain_switchover(cluster: Cluster) -> None:
    pg_ctl(cluster, "--pgdata=data/primary", "--mode=fast", "stop")
    pg_ctl(cluster, "--pgdata=data/replica", "promote")


def plain_failover(cluster: Cluster) -> None:
    os.kill(
        int((cluster.folder / "data/primary/postmaster.pid").read_text().split()[0]), signal.SIGKILL
    )
    pg_ctl(cluster, "--pgdata=data/replica", "promote")


def big(gigabytes: float, runs: int) -> list[Pair]:
    """A replica of a large database made anew, by plain commands and by us."""
    with folder() as workdir, cluster_of(parameters(workdir, 1)) as cluster:
        rows = int(gigabytes * 1024**3 / 1070)
        query = f"create table big as select i, repeat(md5(i::text), 32) as filler from generate_series(1, {rows}) i"
        with db.connect(
            cluster.primary.address,
            options="-c statement_timeout=0 -c default_toast_compression=pglz",
        ) as c:
            c.execute(query)  # type: ignore[arg-type]
            c.execute("checkpoint")
            size = (c.execute("select pg_database_size('postgres') as s").fetchone() or {})["s"]
        print(f"database of {size / 1024**3:.2f} GB")
        pairs = []
        for _ in range(runs):
            shell = timed(lambda: plain_rebuild(cluster))
            with quietly():
                pairs.append((shell, timed(lambda: replicas.rebuild(cluster, "replica"))))
        return pairs


def plain_rebuild(cluster: Cluster) -> None:
    """The same commands with nothing around them; the settings that name its upstream are in its file already."""
    engine = local(cluster)
    pg_ctl(cluster, "--pgdata=data/replica", "--mode=fast", "stop")
    shutil.rmtree(cluster.folder / "data/replica")
    words = (
        "--format=p",
        "--write-recovery-conf",
        "--checkpoint=fast",
        "--progress",
        "--username=repl",
        "--no-password",
        f"--slot={cluster.replica.slot}",
        "--host=127.0.0.1",
        f"--port={engine.ports['primary']}",
    )
    plain(cluster, "pg_basebackup", "--pgdata=data/replica", *words)
    plain(cluster, "sed", "-i", "/^primary_/d", "data/replica/postgresql.auto.conf")
    plain(cluster, "install", "-m", "600", "secrets/replication.pgpass", "data/replica")
    start = engine.start("replica").commands[-1]
    plain(cluster, *start.argv)  # type: ignore[union-attr]
    while not cluster.replica.streams()[0]:
        time.sleep(0.02)


# --- pieces -----------------------------------------------------------------------------------------------


def floor(cluster: Cluster, what: str, count: int) -> None:
    engine = local(cluster)
    path = f"{engine.binaries.server}:{engine.binaries.client}:{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PGUSER_OS": engine.user or "",
        "PGPASSFILE": str(cluster.folder / "secrets/pgpass"),
    }
    command = [
        str(FLOOR),
        what,
        str(cluster.folder),
        str(count),
        str(engine.ports["primary"]),
        str(engine.ports["primary"] + 100),
    ]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def pg_ctl(cluster: Cluster, *arguments: str) -> None:
    plain(cluster, "pg_ctl", "--wait", *arguments)


def plain(cluster: Cluster, program: str, *arguments: str) -> None:
    """A program without the library's door, as a shell would start it."""
    engine = local(cluster)
    found = engine._tool(Path(program).name, *arguments)
    subprocess.run(
        found.argv,
        cwd=cluster.folder,
        user=found.user,
        env={**os.environ, **found.env},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def local(cluster: Cluster) -> LocalEngine:
    assert isinstance(cluster.engine, LocalEngine)
    return cluster.engine


def parameters(workdir: Path, count: int) -> dict[str, Any]:
    return {
        "project": f"bench{secrets.token_hex(3)}",
        "engine": "local",
        "workdir": str(workdir),
        "replicas": count,
        "port": 27000,
    }


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pgrepl-bench-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def timed(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def quietly() -> contextlib.redirect_stderr[io.StringIO]:
    return contextlib.redirect_stderr(io.StringIO())


def report(title: str, pairs: list[Pair]) -> None:
    def line(figures: list[float]) -> str:
        return f"{statistics.median(figures):.2f} ({min(figures):.2f} to {max(figures):.2f})"

    shell, ours = [p[0] for p in pairs], [p[1] for p in pairs]
    print(
        f"{title:24} plain {line(shell)}   pgrepl {line(ours)}   ratio {line([b / a for a, b in pairs])}",
        flush=True,
    )


if __name__ == "__main__":
    main()
