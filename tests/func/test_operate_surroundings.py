"""What lies around the data: tablespaces, limits, slots, images; on one cluster."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks import preflight
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.cluster import restarts
from pgrepl_lib.doors import db, files
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.drift import recorded
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.engine.docker import volumes
from pgrepl_lib.engine.docker.engine import DockerEngine
from pgrepl_lib.errors import PgreplError, StepFailed
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.steps.actions.copying import replacing_action
from pgrepl_lib.steps.replicas import add, follow, prepare_all, rebuild
from tests.conftest import DOCUMENT_SETTINGS, IMAGE, OPENED, MakeCluster
from tests.func.operated import (
    again,
    bring_home,
    by_hand,
    configuration,
    container_of,
    everything_recorded,
    make,
    slots,
    wait_caught_up,
)
from tests.func.running import of_cluster, pgrepl
from tests.remedies import commands_in, copied


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Iterator[Cluster]:
    """On docker of an image whose name is its own."""
    if engine_name == "local":
        yield make(open_with, engine_name)
        return
    images, own = docker_host.client().images, f"pgrepl-test-{secrets.token_hex(3)}:14"
    images.get(IMAGE or "postgres:14").tag(own)
    made = make(open_with, engine_name, image=own)
    yield made
    again(made, open_with).remove(confirm=True)
    del OPENED[made.params.project]
    images.remove(own, force=True)


@pytest.fixture
def reopen(made: Cluster, open_with: MakeCluster) -> Callable[[], Cluster]:
    """The cluster as another process sees it now."""
    return lambda: again(made, open_with)


@pytest.fixture
def cluster(reopen: Callable[[], Cluster]) -> Iterator[Cluster]:
    yield reopen()
    bring_home(reopen())


@contextmanager
def refused(cluster: Cluster, words: str, error: type[PgreplError] = StepFailed) -> Iterator[None]:
    """The block is refused with these words, and no file, slot or server is other than before."""
    before = everything_recorded(cluster)
    with pytest.raises(error) as caught:
        yield
    assert words in str(caught.value), str(caught.value)
    assert everything_recorded(cluster) == before


# --- tablespaces --------------------------------------------------------------------------


def make_folder(cluster: Cluster, folder: Path) -> None:
    """Wherever a server of the cluster will look for it."""
    if cluster.engine.name == "local":
        assert by_hand(cluster, "mkdir", "-p", str(folder)) == 0
        return
    for name in cluster.topology.names:
        words = ["mkdir", "-p", str(folder)]
        if cluster.engine.running(name):
            done = container_of(cluster, name).exec_run(words, user="postgres")
            assert done.exit_code == 0


def test_data_outside_the_data_folder_are_refused_and_told(cluster: Cluster) -> None:
    """With them a copy shares its folder with the primary, or has it in no volume."""
    at, folder = cluster.primary.address, Path("/tmp") / f"space of {cluster.params.project}"
    make_folder(cluster, folder)
    assert CHECKS["tablespaces"](cluster).passed
    db.rows(at, f"create tablespace \"it's\" location '{folder}'")
    db.rows(at, 'create table kept tablespace "it\'s" as select i from generate_series(1, 1000) i')
    wait_caught_up(cluster)
    told = f"tablespace it's: {folder}"
    seen = CHECKS["tablespaces"](cluster)
    assert not seen.passed and seen.seen == told
    with refused(cluster, told):
        add(cluster)
    with refused(cluster, told):
        rebuild(cluster, "replica")
    findings = {f.name: f for f in preflight.findings(cluster)}
    assert findings["tablespaces"].seen == told and not findings["tablespaces"].ok
    cluster.engine.stop("replica-2").do(print)  # as a copy that a killed step has left
    with pytest.raises(StepFailed, match="which no copy has"):
        replacing_action(cluster.instance("replica-2")).do(print)
    assert cluster.engine.has_data("replica-2")
    move_back(cluster, seen.hint)
    assert db.row(at, "select count(*) as n from kept")["n"] == 1000
    assert CHECKS["tablespaces"](cluster).passed
    db.rows(at, "drop table kept")


def move_back(cluster: Cluster, hint: str) -> None:
    """By the command that the check names."""
    for name in cluster.topology.replicas:
        if cluster.engine.running(name) and cluster.engine.name == "local":
            assert all(str(c) in hint for c in cluster.engine.stop(name).commands)
            cluster.engine.stop(name).do(print)
    moving, run = commands_in(hint)
    done = copied(moving)
    assert done.returncode == 0 and run.startswith("pgrepl run"), done.stderr


# --- limits ----------------------------------------------------------------------------------

HIGHER = {
    "max_connections": 150,
    "max_worker_processes": 12,
    "max_wal_senders": 20,
    "max_prepared_transactions": 10,
    "max_locks_per_transaction": 128,
}


def raised_by_hand(cluster: Cluster) -> None:
    """ALTER SYSTEM and a restart of the primary alone; the replicas pause replay when they learn of it."""
    at = cluster.primary.address
    for setting, value in list(HIGHER.items())[:2]:
        db.rows(at, f"alter system set {setting} = {value}")
    for act in (cluster.engine.stop, cluster.engine.start):
        act(cluster.primary.name).do(print)
    cluster.primary.wait_ready()
    db.rows(at, "create table written as select i from generate_series(1, 1000) i")
    state = "select pg_get_wal_replay_pause_state() as s"
    for replica in cluster.replicas:
        seen = lambda r=replica: db.row(r.address, state)["s"]  # noqa: E731
        wait_until("the pause", lambda s=seen: (s() == "paused", s()), seconds=30)


def limits_of(cluster: Cluster) -> list[dict[str, int]]:
    wait_caught_up(cluster)
    running = filter(cluster.engine.running, cluster.topology.names)
    return [restarts.in_use(cluster.instance(name)) for name in running]


@pytest.mark.long
def test_replicas_follow_a_primary_whose_limits_were_raised_and_taken_back(
    cluster: Cluster,
) -> None:
    before = limits_of(cluster)
    raised_by_hand(cluster)
    cluster.engine.stop("replica-2").do(print)
    db.rows(cluster.primary.address, "alter system reset all")
    db.rows(cluster.primary.address, "select pg_reload_conf()")
    assert cluster.primary.start() == "changed"
    for replica in cluster.replicas:
        assert replica.start() == "changed"
    assert limits_of(cluster) == before
    assert "pgrepl: limits" not in "".join(
        configuration(cluster, n) for n in cluster.topology.names
    )
    assert [r.start() for r in cluster.replicas] == ["unchanged", "unchanged"]
    db.rows(cluster.primary.address, "drop table written")


@pytest.mark.long
def test_replicas_that_have_paused_for_limits_survive_a_failover(cluster: Cluster) -> None:
    raised_by_hand(cluster)
    cluster.primary.kill()
    Failover(cluster).run()
    count = db.row(cluster.primary.address, "select count(*) as n from written")["n"]
    assert count == 1000 and cluster.primary.name != "primary"
    wait_caught_up(cluster)
    assert cluster.primary.start() == "changed", "nobody asked for these limits"
    assert [r.start() for r in cluster.replicas] == ["changed"]
    assert all(limits["max_connections"] == 100 for limits in limits_of(cluster))
    db.rows(cluster.primary.address, "drop table written")


@pytest.mark.long
def test_limits_that_a_run_changes_reach_the_replicas_in_their_order(cluster: Cluster) -> None:
    """Raised by the settings of the primary alone, as of a replica that a run does not configure."""
    before, primary = limits_of(cluster), cluster.primary
    primary.configure(DOCUMENT_SETTINGS | HIGHER)
    primary.start()
    assert limits_of(cluster) == [HIGHER] * 3, "no replica has paused"
    assert [r.start() for r in cluster.replicas] == ["unchanged", "unchanged"]
    primary.configure(DOCUMENT_SETTINGS)
    primary.start()
    assert [r.start() for r in cluster.replicas] == ["changed", "changed"]
    assert limits_of(cluster) == before


# --- slots -----------------------------------------------------------------------------------


@pytest.mark.long
def test_a_cascaded_failover_leaves_no_slot_and_says_which_are_lost(cluster: Cluster) -> None:
    """Also that the lost primary had a logical one, and that data outside block the way back."""
    primary, replica = cluster.primary, cluster.instance("replica")
    db.rows(primary.address, "alter system set wal_level = logical")
    for act in (cluster.engine.stop, cluster.engine.start):
        act(primary.name).do(print)
    primary.wait_ready()
    db.rows(primary.address, "select pg_create_logical_replication_slot('theirs', 'pgoutput')")
    follow(cluster, "replica-2", "replica")
    with recorded.following(cluster, "a run"):
        wait_caught_up(cluster)
    slot_check = CHECKS["slot"](cluster)
    assert slot_check.passed, slot_check.seen
    primary.kill()
    change = Failover(cluster, "replica-2")
    assert (
        "primary has logical slots that the new primary will not have: theirs" in change.losses()[0]
    )
    planned = pgrepl("failover --plan --to replica-2", of_cluster(cluster))
    assert planned.returncode == 0 and "will not have: theirs" in planned.stderr
    change.run()
    assert slots(cluster) == {"replica": [], "replica-2": ["replica_1_slot"]}
    refused_while_outside(cluster)
    db.rows(replica.address, "select pg_create_physical_replication_slot('replica_2_slot', true)")
    left = CHECKS["slot"](cluster)
    assert not left.passed and "replica: replica_2_slot inactive, of nobody" in left.seen
    assert all(copied(command).returncode == 0 for command in commands_in(left.hint))
    assert CHECKS["slot"](cluster).passed
    for path in (recorded.FILE, recorded.COPIES):
        files.remove(cluster.folder / path)


def refused_while_outside(cluster: Cluster) -> None:
    """A fenced primary does not come back where it would share, or lack, what its successor has."""
    folder = Path("/tmp") / f"later of {cluster.params.project}"
    make_folder(cluster, folder)
    db.rows(cluster.primary.address, f"create tablespace later location '{folder}'")
    with refused(cluster, f"tablespace later: {folder}"):
        Rejoin(cluster, "primary").run()
    db.rows(cluster.primary.address, "drop tablespace later")
    wait_caught_up(cluster)


# --- images ----------------------------------------------------------------------------------


def test_a_newer_image_of_the_same_name_is_told_and_taken_by_a_run_alone(cluster: Cluster) -> None:
    if cluster.engine.name == "local":
        assert CHECKS["images"](cluster).passed
        return
    newer, (name, _, tag) = "LABEL pgrepl.test=newer", cluster.params.image.partition(":")
    source = docker_host.client().containers.create(cluster.params.image)
    source.commit(repository=name, tag=tag, changes=newer)
    source.remove(v=True)
    had = {n: container_of(cluster, n).attrs["Image"] for n in cluster.topology.names}
    seen = CHECKS["images"](cluster)
    assert {fact.instance: fact.seen for fact in seen.facts} == had
    cluster.engine.stop("replica").do(print)
    cluster.engine.start("replica").do(print)  # as a switchover does
    assert container_of(cluster, "replica").attrs["Image"] == had["replica"]
    assert cluster.primary.start() == cluster.replica.start() == "changed"
    assert prepare_all(cluster) == ["changed"]
    assert CHECKS["images"](cluster).passed
    assert [cluster.primary.start(), *prepare_all(cluster)] == ["unchanged", "unchanged"]


# --- what a killed process leaves --------------------------------------------------------------


def test_a_helper_container_that_a_killed_process_left_is_removed(
    cluster: Cluster, reopen: Callable[[], Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one of a process that is at work: it is too young."""
    if not isinstance(cluster.engine, DockerEngine):
        pytest.skip("only docker has containers")
    made = docker_host.client().containers
    left = made.create(cluster.params.image, labels=cluster.engine.labels)
    reopen().engine.prepare()
    assert docker_host.find_container(left.id)
    monkeypatch.setattr(volumes, "LOOK_SECONDS", -1)
    reopen().engine.prepare()
    assert docker_host.find_container(left.id) is None
    assert all(map(cluster.engine.running, cluster.topology.names))
