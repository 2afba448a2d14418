"""Data are gone, or another cluster's: no empty primary takes their place, and there is a way back to a whole cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from pgrepl_lib import Cluster, db
from pgrepl_lib.engine import docker_host
from pgrepl_lib.errors import StepFailed
from pgrepl_lib.failover import Failover
from pgrepl_lib.rejoin import Rejoin
from pgrepl_lib.wait import wait_until
from tests.conftest import MakeCluster
from tests.func.operated import (
    again,
    another_cluster,
    bring_home,
    by_hand,
    failed_checks,
    lose_data,
    make,
    wait_caught_up,
)
from tests.func.running import of_cluster, pgrepl

Reopen = Callable[[], Cluster]
OPERATION = ("one-primary", "streaming", "slot", "receiver", "same-cluster", "settings", "tables")


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Cluster:
    return make(open_with, engine_name)


@pytest.fixture
def reopen(made: Cluster, open_with: MakeCluster) -> Reopen:
    """The cluster as another process sees it now."""
    return lambda: again(made, open_with)


@pytest.fixture
def cluster(reopen: Reopen) -> Iterator[Cluster]:
    """Opened anew for each test, which may leave the roles as it likes."""
    yield reopen()
    bring_home(reopen())


def run_again(cluster: Cluster, command: str = "run") -> tuple[int, str]:
    """`pgrepl run` with what the cluster was made with; its exit code and what it told."""
    made_with = {"network": str(cluster.params.network), "replicas": "2", "image": cluster.params.image}
    done = pgrepl(command, {**of_cluster(cluster), **made_with})
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr + done.stdout


def test_a_primary_whose_data_are_gone_is_not_made_anew_and_a_replica_takes_over(cluster: Cluster, reopen: Reopen) -> None:
    db.rows(cluster.primary.address, "create table precious as select i from generate_series(1, 100) i")
    wait_caught_up(cluster)
    lose_data(cluster, "primary")
    code, told = run_again(cluster)
    known = cluster.topology.system_identifier
    assert code == 3 and f"recorded {known}, primary none" in told, told
    assert re.search(r"replica has this project's data, up to \S+ \(running\)", told), told
    assert "pgrepl failover, then pgrepl rejoin primary" in told
    with pytest.raises(StepFailed, match="no data any more, and this project has had some; nothing was started"):
        reopen().primary.start()
    assert not cluster.engine.has_data("primary") and not cluster.engine.running("primary")
    done = pgrepl("failover", of_cluster(cluster))
    assert done.returncode == 0, done.stderr
    done = pgrepl("rejoin primary", of_cluster(cluster))
    assert done.returncode == 0, done.stderr
    now = reopen()
    assert now.primary.name == "replica" and now.topology.fenced == {} and now.topology.operation == {}
    assert failed_checks(now, *OPERATION) == {}
    assert {db.row(now.instance(n).address, "select count(*) as n from precious")["n"] for n in now.topology.names} == {100}


def test_nobody_else_makes_an_empty_primary_either(cluster: Cluster) -> None:
    """What a person would type to start it."""
    lose_data(cluster, "primary")
    if cluster.engine.name == "local":
        assert by_hand(cluster, "pg_ctl", "--pgdata=data/primary", "start") != 0
    else:
        by_hand(cluster, *docker_host.compose(), "up", "-d", "primary")
        ended = lambda: (not cluster.engine.running("primary"), "running")  # noqa: E731
        wait_until("the container to give up", ended, seconds=20)
        assert "superuser password is" in cluster.engine.log_tail("primary")
    assert not cluster.primary.answers()[0]
    Failover(cluster).run()
    Rejoin(cluster, "primary").run()


def test_another_clusters_data_are_not_started(cluster: Cluster, reopen: Reopen) -> None:
    cluster.engine.stop("primary").do(print)
    with another_cluster(cluster, "primary"):
        with pytest.raises(StepFailed, match="primary has another cluster's data; nothing was started"):
            reopen().primary.start()
        code, told = run_again(cluster)
        assert code == 3 and f"recorded {cluster.topology.system_identifier}, primary " in told, told
        assert not cluster.engine.running("primary")
    assert reopen().primary.start() == "changed"
    assert failed_checks(reopen(), *OPERATION) == {}
