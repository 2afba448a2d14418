"""With TLS, roles change as without: who follows whom is always encrypted, and each proves who he is."""

from __future__ import annotations

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.doors import db
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.steps.planning import changes, only_planned
from pgrepl_lib.steps.replicas import add, follow, rebuild, remove
from tests.conftest import MakeCluster, set_up_primary
from tests.func.operated import again, failed_checks, make

STREAMS = """
select r.application_name as name, s.ssl from pg_stat_replication r join pg_stat_ssl s using (pid)
order by 1"""


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Cluster:
    return make(open_with, engine_name, auth_method="scram-sha-256", tls="on")


@pytest.fixture
def cluster(made: Cluster, open_with: MakeCluster) -> Cluster:
    return again(made, open_with)


def assert_all_is_encrypted(cluster: Cluster) -> None:
    assert failed_checks(cluster) == {}
    for name in cluster.topology.names:
        at = cluster.instance(name).address
        names = sorted(
            cluster.instance(n).application_name for n in cluster.topology.followers(name)
        )
        assert db.rows(at, STREAMS) == [{"name": n, "ssl": True} for n in names]
        assert db.row(at, "select ssl from pg_stat_ssl where pid = pg_backend_pid()")["ssl"]


def test_a_switchover_keeps_it(cluster: Cluster) -> None:
    Switchover(cluster, "replica").run()
    assert_all_is_encrypted(cluster)


def test_a_lost_primary_is_replaced_and_comes_back(cluster: Cluster) -> None:
    lost = cluster.primary.name
    cluster.primary.kill()
    Failover(cluster).run()
    Rejoin(cluster, lost).run()
    assert_all_is_encrypted(cluster)


def test_a_diverged_one_is_copied_anew(cluster: Cluster) -> None:
    lost = cluster.primary.name
    cluster.primary.kill()
    Failover(cluster).run()
    db.rows(cluster.primary.address, "create table since (n int)")
    Rejoin(cluster, lost, discard=True).run()
    assert_all_is_encrypted(cluster)


def test_a_new_replica_has_it_also_in_a_cascade_and_made_anew(cluster: Cluster) -> None:
    above = cluster.replicas[0]
    fourth = add(cluster, above.name)
    assert_all_is_encrypted(cluster)
    rebuild(cluster, fourth.name)
    assert_all_is_encrypted(cluster)
    follow(cluster, fourth.name, cluster.primary.name)
    assert_all_is_encrypted(cluster)
    remove(cluster, fourth.name, confirm=True)


def test_what_somebody_took_away_is_given_back(cluster: Cluster) -> None:
    """A key that is gone, and a certificate that is another's: the next start gives its own."""
    replica = cluster.replicas[0]
    replica.stop()
    other = {f: f"{cluster.primary.name}.{f[-3:]}" for f in ("server.crt",)}
    cluster.engine.give(replica.name, other).do(print)
    replica.start()
    assert_all_is_encrypted(cluster)
    with only_planned(cluster) as planned:
        set_up_primary(cluster)
    assert changes(planned) == []
