"""Alive, paused, cut off, half dead: nothing of a lost primary confirms a row once another one is promoted."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Any

import psutil
import pytest
from docker.errors import APIError

from pgrepl_lib import Cluster
from pgrepl_lib.checks import status
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.engine import life, processes
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.engine.life import Life
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.switchover import Switchover
from tests.conftest import MakeCluster, set_up_primary
from tests.func.operated import (
    again,
    container_of,
    failed_checks,
    make,
    processes_of,
    wait_caught_up,
)
from tests.func.running import of_cluster, pgrepl, pgrepl_at_once, wait_ended

OPERATION = ("one-primary", "streaming", "slot", "receiver", "same-cluster", "settings", "tables")
BUSY = (
    "do $$ begin for i in 1..2000000000 loop end loop; end $$"  # it never looks for its postmaster
)
# Seconds. Processes: over once they go on, so that nothing but their end prevents the commit. A container goes on
# for a moment in order to be killed, before the promotion: not over then.
SLEEP = {"local": 3, "docker": 120}
Undo = Callable[[], None]


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Iterator[Cluster]:
    """On docker with a name of its own for the image, which the last test takes away."""
    values = {"image": own_image()} if engine_name == "docker" else {}
    made = make(open_with, engine_name, **values)
    db.rows(made.primary.address, "create table seen (n int)")
    yield made
    if values and docker_host.image_here(values["image"]):
        docker_host.client().images.remove(values["image"])


def own_image() -> str:
    from tests.conftest import IMAGE

    name = f"pgrepl-test-{secrets.token_hex(3)}"
    docker_host.client().images.get(IMAGE or "postgres:14").tag(name, "14")
    return f"{name}:14"


@pytest.fixture
def cluster(made: Cluster, open_with: MakeCluster) -> Cluster:
    """Opened anew for each test; each leaves a whole cluster, whoever is its primary then."""
    return again(made, open_with)


class Client(Thread):
    """Somebody's statement, under way on an instance."""

    def __init__(self, cluster: Cluster, name: str, statement: str) -> None:
        super().__init__(daemon=True)
        engine = cluster.engine
        self.command, self.run_command = engine.inside(name, "psql", "-c", statement), engine.run
        self.confirmed: bool | None = None
        self.start()
        query = "select pid from pg_stat_activity where query = %s and state = 'active'"
        address = cluster.instance(name).address
        wait_until(
            "the statement", lambda: (bool(db.rows(address, query, [statement])), ""), seconds=20
        )

    def run(self) -> None:
        self.confirmed = self.run_command(self.command, check=False).code == 0


def freeze(cluster: Cluster, name: str) -> Undo:
    """Everything of an instance stops where it is."""
    if cluster.engine.name == "docker":
        container = container_of(cluster, name)
        container.pause()
        return container.unpause
    stopped = processes_of(cluster, name)
    for process in stopped:
        process.suspend()

    def thaw() -> None:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    return thaw


def network_of(cluster: Cluster) -> Any:
    return docker_host.client().networks.get(f"{cluster.params.project}_cluster")


def cut(cluster: Cluster, name: str) -> Undo:
    """A container leaves its network, as a host that loses its own."""
    container = container_of(cluster, name)
    network_of(cluster).disconnect(container)
    return lambda: network_of(cluster).connect(container, aliases=[name])


def only(cluster: Cluster, engine: str) -> None:
    if cluster.engine.name != engine:
        pytest.skip(f"only {engine} has it")


def state_of(cluster: Cluster, name: str) -> str:
    found = status.roles(cluster)
    return str(found.loc[found["name"] == name, "state"].item())


@pytest.mark.parametrize("fault", [freeze, cut])
def test_a_primary_that_comes_back_after_the_failover_confirms_nothing(
    cluster: Cluster, open_with: MakeCluster, fault: Callable[[Cluster, str], Undo]
) -> None:
    if fault is cut:
        only(cluster, "docker")
    old = cluster.primary.name
    wait_caught_up(cluster)
    client = Client(
        cluster, old, f"insert into seen select 1 from pg_sleep({SLEEP[cluster.engine.name]})"
    )
    undo = fault(cluster, old)
    if fault is freeze:
        assert cluster.engine.life(old) is Life.PAUSED and state_of(cluster, old) == "paused"
    assert not cluster.engine.life(old).ended
    Failover(cluster).run()
    with suppress(APIError):  # there is nothing to go on any more
        undo()
    client.join(20)
    assert client.confirmed is False and cluster.engine.life(old) is Life.STOPPED
    now = again(cluster, open_with)
    assert now.primary.name != old and db.rows(now.primary.address, "select n from seen") == []
    Rejoin(now, old).run()
    wait_caught_up(now)
    assert failed_checks(now, *OPERATION) == {}


def kill_postmaster(cluster: Cluster, name: str) -> None:
    """As somebody does who knows its number only."""
    processes_of(cluster, name)[0].kill()
    orphaned = lambda: (cluster.engine.life(name) is Life.ORPHANED, cluster.engine.life(name))  # noqa: E731
    wait_until("the backend to be alone", orphaned, seconds=10)


def test_what_a_killed_postmaster_leaves_ends_before_another_starts(cluster: Cluster) -> None:
    only(cluster, "local")
    name = cluster.primary.name
    client = Client(cluster, name, BUSY)
    kill_postmaster(cluster, name)
    assert cluster.primary.start() == "changed"
    client.join(20)
    assert client.confirmed is False and state_of(cluster, name) == "running"


def test_what_a_killed_postmaster_leaves_ends_before_the_promotion(cluster: Cluster) -> None:
    only(cluster, "local")
    old = cluster.primary.name
    wait_caught_up(cluster)
    client = Client(cluster, old, BUSY)
    kill_postmaster(cluster, old)
    assert state_of(cluster, old) == "without its postmaster"
    Failover(cluster).run()
    client.join(20)
    assert client.confirmed is False and processes.of_server(cluster.folder / "data" / old) == []
    Rejoin(cluster, old).run()


def test_a_paused_instance_is_let_go_on_by_a_start_and_ended_by_a_stop(cluster: Cluster) -> None:
    name = cluster.topology.replicas[0]
    replica = cluster.instance(name)
    freeze(cluster, name)
    assert not cluster.engine.start(name).done() and not cluster.engine.stop(name).done()
    assert replica.start() == "changed" and replica.streams()[0]
    freeze(cluster, name)
    assert replica.stop() == "changed" and cluster.engine.life(name) is Life.STOPPED
    assert replica.start() == "changed"


def test_down_also_ends_a_server_that_does_not_end(
    open_with: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its checkpointer a server waits for ever with its end."""
    monkeypatch.setattr(life, "STOP_SECONDS", 2)
    lone = open_with("local")
    set_up_primary(lone)
    query = "select pid from pg_stat_activity where backend_type = 'checkpointer'"
    checkpointer = psutil.Process(db.row(lone.primary.address, query)["pid"])
    checkpointer.suspend()
    lone.remove(confirm=True)
    assert not lone.engine.existing()
    wait_ended(checkpointer)


# --- only docker --------------------------------------------------------------------------------------------------


def look_at_one_that_is_cut_off(cluster: Cluster, to: str) -> None:
    """No command ends in a traceback."""
    done = pgrepl_at_once(cluster, "status", "lag", "check", f"switchover --to {to} --yes")
    assert [d.returncode for d in done] == [0, 3, 1, 1]
    assert not [d.args for d in done if "Traceback" in d.stderr + d.stdout]
    assert f"UNKNOWN - {cluster.primary.name} nothing listens" in done[1].stdout


def test_a_container_gets_its_place_in_the_network_back(
    cluster: Cluster, open_with: MakeCluster
) -> None:
    only(cluster, "docker")
    primary, new = cluster.primary, cluster.topology.replicas[0]
    cut(cluster, primary.name)
    look_at_one_that_is_cut_off(cluster, new)
    assert primary.start() == "changed" and primary.start() == "unchanged"
    wait_caught_up(cluster)
    container = container_of(cluster, new)
    network_of(cluster).disconnect(container)
    network_of(cluster).connect(container)  # by nobody's name
    wait_caught_up(cluster)
    assert not cluster.engine.reaches(primary.name, new)
    Switchover(cluster, new).run()
    now = again(cluster, open_with)
    wait_caught_up(now)
    assert failed_checks(now, *OPERATION) == {}


@pytest.mark.long
def test_what_runs_is_operated_without_its_image(cluster: Cluster, open_with: MakeCluster) -> None:
    only(cluster, "docker")
    docker_host.client().images.remove(cluster.params.image)
    assert not docker_host.image_here(cluster.params.image)
    old = cluster.primary.name
    done = pgrepl("status", {**of_cluster(cluster), "image": cluster.params.image})
    assert done.returncode == 0 and "running" in done.stdout, done.stderr
    now = again(cluster, open_with)
    wait_caught_up(now)
    Switchover(now, now.topology.replicas[0]).run()
    now = again(cluster, open_with)
    wait_caught_up(now)
    now.engine.kill(now.primary.name).do(print)
    lost = now.primary.name
    Failover(now).run()
    Rejoin(now, lost, full_copy=True).run()
    wait_caught_up(now)
    assert (
        failed_checks(again(cluster, open_with), *OPERATION) == {}
        and now.primary.name != lost != old
    )
