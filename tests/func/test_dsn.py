"""`pgrepl dsn`: an ordinary client with that string goes on through a switchover and a failover, with no change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.logins import monitoring
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.switchover import Switchover

from ..conftest import MakeCluster
from .operated import again, bring_home, make, wait_caught_up
from .running import of_cluster, pgrepl

CLIENT = "import psycopg, sys; print(psycopg.connect(sys.argv[1]).execute(sys.argv[2]).fetchone())"


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Cluster:
    return make(open_with, engine_name)


@pytest.fixture
def cluster(made: Cluster, open_with: MakeCluster) -> Iterator[Cluster]:
    yield again(made, open_with)
    bring_home(again(made, open_with))


def dsn(cluster: Cluster, *more: str) -> str:
    done = pgrepl("dsn", of_cluster(cluster), *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def asked(conninfo: str, **variables: str) -> str:
    """What a process answers that has nothing but a connection string and these variables."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith("PG")}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, conninfo, "select pg_is_in_recovery()"],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Client:
    """A program of somebody who has read a connection string from a file, and knows nothing else."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo, self.confirmed, self._stop = conninfo, list[int](), Event()
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("drop table if exists clients")
            connection.execute("create table clients (n int)")
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                with psycopg.connect(self.conninfo, autocommit=True) as connection:
                    while not self._stop.is_set():
                        number += 1
                        connection.execute("insert into clients values (%s)", [number])
                        self.confirmed.append(number)
                        self._stop.wait(0.01)
            except psycopg.OperationalError:
                self._stop.wait(0.1)

    def writes(self) -> None:
        """It goes on from here."""
        goal = len(self.confirmed) + 20
        wait_until(
            "the client's rows",
            lambda: (len(self.confirmed) >= goal, str(len(self.confirmed))),
            seconds=60,
        )

    def lost(self) -> set[int]:
        self._stop.set()
        self._thread.join(60)
        with psycopg.connect(self.conninfo) as connection:
            found = connection.execute("select n from clients").fetchall()
        return set(self.confirmed) - {n for (n,) in found}


def test_every_form_finds_the_primary_and_a_replica(cluster: Cluster, tmp_path: Path) -> None:
    for more, replica in (((), "(False,)"), (("--read-only",), "(True,)")):
        assert asked(dsn(cluster, *more)) == replica
        given = json.loads(dsn(cluster, "--json", *more))
        variables = dict(
            line.removeprefix("export ").split("=", 1)
            for line in dsn(cluster, "--format", "env", *more).splitlines()
        )
        options = {"PGOPTIONS": given["words"]["options"]} if more else {}
        assert asked("", **{**variables, **options}) == replica
        file = tmp_path / f"service{len(more)}"
        file.write_text(dsn(cluster, "--format", "service", *more) + "\n")
        service = f"service={cluster.params.project}"
        assert asked(service, PGSERVICEFILE=str(file)) == replica
    secret = (cluster.folder / "secrets/superuser").read_text().strip()
    forms = [dsn(cluster, "--format", f) for f in ("uri", "env", "service", "jdbc")]
    assert not [text for text in forms if secret in text]
    other = dsn(cluster, "--user", "ana", "--dbname", "loja")
    assert other.startswith("postgresql://ana@") and "/loja?" in other and "passfile" not in other


def test_it_goes_on_through_a_switchover_and_a_failover(
    cluster: Cluster, open_with: MakeCluster
) -> None:
    client = Client(dsn(cluster))
    client.writes()
    Switchover(cluster, "replica").run()
    client.writes()
    again(cluster, open_with).instance("replica").kill()
    Failover(again(cluster, open_with), "").run()
    client.writes()
    assert again(cluster, open_with).primary.name != "replica"
    assert client.confirmed


def test_it_loses_nothing_by_a_switchover_there_and_back(
    cluster: Cluster, open_with: MakeCluster
) -> None:
    client = Client(dsn(cluster))
    for name in ("replica", "primary"):
        client.writes()
        wait_caught_up(again(cluster, open_with))
        Switchover(again(cluster, open_with), name).run()
    client.writes()
    assert client.lost() == set()


def test_a_reader_goes_on_without_a_replica_and_cannot_write(cluster: Cluster) -> None:
    reads = dsn(cluster, "--read-only")
    for replica in cluster.replicas:
        replica.stop()
    with psycopg.connect(reads) as connection:
        assert connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("create table never (n int)")


def test_with_tls_it_trusts_the_clusters_own_authority_alone(
    open_with: MakeCluster, tmp_path: Path
) -> None:
    encrypted = make(open_with, "local", replicas=1, tls="on")
    text = dsn(encrypted)
    with psycopg.connect(text) as connection:
        query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        assert connection.execute(query).fetchone() == (True,)
    other = make(open_with, "local", replicas=1, tls="on")
    stranger = str(other.folder / "secrets/ca.crt")
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(text, sslrootcert=stranger)


def test_a_monitoring_system_sees_who_replicates_and_no_row(cluster: Cluster) -> None:
    values, user = of_cluster(cluster), "--user=pgrepl_monitoring"
    db.rows(cluster.primary.address, "create table if not exists private as select 1 as n")
    planned = pgrepl("monitoring --plan", values)
    assert "pg_monitor" in planned.stdout and monitoring.is_there(cluster.primary) is False
    for outcome in ("changed", "unchanged"):
        done = pgrepl("monitoring", values)
        assert done.returncode == 0 and outcome in done.stderr, done.stderr
    password = (cluster.folder / "secrets/monitoring").read_text().strip()
    assert password not in done.stdout + done.stderr + planned.stdout + planned.stderr
    for conninfo in (dsn(cluster, user), dsn(cluster, user, "--read-only")):
        with psycopg.connect(conninfo, autocommit=True) as client:
            (found,) = client.execute("select pg_has_role('pg_monitor', 'usage')").fetchone() or ()
            assert found
            for refused in (
                "table private",
                "select pg_promote()",
                "select pg_read_file('PG_VERSION')",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    client.execute(refused)
    with psycopg.connect(dsn(cluster, user)) as client:
        (states,) = (
            client.execute("select array_agg(state) from pg_stat_replication").fetchone() or ()
        )
    assert states == ["streaming", "streaming"]
    assert pgrepl("monitoring --undo", values).returncode == 0
    db.rows(cluster.primary.address, "create role pgrepl_monitoring")
    theirs = pgrepl("monitoring", values)
    assert theirs.returncode and "has not made" in theirs.stderr and "rename" in theirs.stderr
    db.rows(cluster.primary.address, "drop role pgrepl_monitoring; drop table private")
