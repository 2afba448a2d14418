"""Whatever dies or hangs while roles change: the next command that is named leads to a primary, and keeps every promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest

from benchmarks.faults import pause
from pgrepl_lib import Cluster
from pgrepl_lib.checks import slots as unused
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.cluster.changes import promotion
from pgrepl_lib.cluster.dropping import drop_slot
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.drift import recorded
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import set_synchronous
from pgrepl_lib.steps.actions.copying import slot_action
from pgrepl_lib.steps.replicas import add, remove
from tests.conftest import MakeCluster, set_up_primary, set_up_replica
from tests.func.operated import (
    again,
    bring_home,
    configuration,
    failed_checks,
    frozen,
    lose_data,
    make,
    processes_of,
    slots,
    wait_caught_up,
)
from tests.func.running import Completed, of_cluster, pgrepl
from tests.remedies import commands_in, copied

Reopen = Callable[[], Cluster]
SOUND = ("one-primary", "streaming", "slot", "synchronous")


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
    now = reopen()
    wait_caught_up(now)
    yield now
    bring_home(reopen())


def done(command: str, cluster: Cluster) -> str:
    """What a command that has to succeed says on standard error."""
    ended = pgrepl(command, of_cluster(cluster))
    assert ended.returncode == 0, ended.stderr
    return str(ended.stderr)


def refused(command: str, cluster: Cluster) -> Completed:
    ended = pgrepl(command, of_cluster(cluster))
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
    return ended


def named(message: str, *words: str) -> str:
    """The one command in a message with these words."""
    (found,) = [c for c in commands_in(message) if all(word in c for word in words)]
    return found


def awaited(cluster: Cluster) -> str:
    """For whom commits on the primary wait, once it has read its files again."""
    at = cluster.primary.address
    query = "select pg_conf_load_time()::text as t"
    before = db.row(at, query)["t"]
    db.row(at, "select pg_reload_conf()")
    wait_until("a reload", lambda: (db.row(at, query)["t"] != before, "not yet"), seconds=10)
    return str(db.row(at, "show synchronous_standby_names")["synchronous_standby_names"])


# --- a promise in force --------------------------------------------------------------------------


@pytest.mark.long_on_docker
def test_a_switchover_that_is_prepared_and_taken_back_keeps_the_promise(
    cluster: Cluster, reopen: Reopen
) -> None:
    set_synchronous(cluster, "ANY 1")
    promised = awaited(cluster)
    assert promised.startswith("ANY 1 (")
    Switchover(cluster, "replica").prepare()
    assert awaited(cluster) == promised
    done("switchover --cancel", cluster)
    assert awaited(cluster) == promised and failed_checks(reopen(), *SOUND) == {}
    begun = Switchover(reopen(), "replica")
    begun.prepare()
    begun.stop_writes()
    file = cluster.folder / "primary/postgresql.conf"
    kept = file.read_text("utf-8")
    file.write_text(
        kept.replace("synchronous_standby_names", "# synchronous_standby_names"), "utf-8"
    )
    done("switchover --cancel", cluster)
    now = reopen()
    assert awaited(now) == promised and "pgrepl: standby" not in configuration(now, "primary")
    for replica in now.replicas:
        replica.wait_streaming()
    assert failed_checks(now, *SOUND) == {} and not slots(now)["replica"]


# --- one below the other -------------------------------------------------------------------------


def test_a_move_that_could_not_end_is_finished_and_kept_by_a_run(
    cluster: Cluster, reopen: Reopen
) -> None:
    """Chapters 01 and 02 make the first replica; it may follow another one by now, which comes up before it."""
    with pause(cluster, "replica"):
        message = refused("replica follow replica replica-2", cluster).stderr
    assert "replica is paused, and does not follow yet" in message and named(message, "run")
    done("replica follow replica replica-2", cluster)
    assert failed_checks(reopen(), *SOUND, "receiver") == {}
    now = reopen()
    now.instance("replica").kill()
    drop_slot(now.instance("replica-2"), "replica_1_slot").do(print)
    slot_action(now.primary, "replica_1_slot").do(print)  # as where it did not run when that moved
    now.instance("replica-2").kill()
    set_up_primary(now)
    set_up_replica(now)
    assert now.topology.upstreams == {"replica": "replica-2", "replica-2": "primary"}
    assert slots(now)["primary"] == ["replica_2_slot"]
    assert failed_checks(reopen(), *SOUND, "receiver") == {}


# --- the chosen one ------------------------------------------------------------------------------


def test_a_switchover_is_taken_back_while_the_chosen_one_hangs_or_is_dead(
    cluster: Cluster, reopen: Reopen
) -> None:
    begun = Switchover(cluster, "replica")
    begun.prepare()
    begun.stop_writes()
    with frozen(cluster, "replica"):
        assert "replica was not asked" in done("switchover --cancel", cluster)
        assert awaited(reopen()) == ""
    begun = Switchover(reopen(), "replica")
    begun.prepare()
    cluster.engine.kill("replica").do(print)
    done("switchover --cancel", cluster)
    now = reopen()
    assert now.primary.name == "primary" and not now.topology.operation
    now.instance("replica").start()
    assert failed_checks(now, *SOUND) == {}, "its start drops the slots that it kept for nobody"


@pytest.mark.long_on_docker
def test_a_switchover_whose_new_primary_dies_is_finished(cluster: Cluster, reopen: Reopen) -> None:
    begun = Switchover(cluster, "replica")
    begun.prepare()
    begun.stop_writes()
    begun.promote()
    cluster.instance("replica").kill()
    done("switchover", cluster)
    now = reopen()
    assert now.primary.name == "replica" and not now.topology.operation
    assert failed_checks(now, *SOUND) == {}


def test_a_switchover_whose_new_primary_is_gone_ends_with_another_one(
    cluster: Cluster, reopen: Reopen
) -> None:
    begun = Switchover(cluster, "replica")
    begun.prepare()
    begun.stop_writes()
    begun.promote()
    lose_data(cluster, "replica")
    told = refused("switchover", cluster).stderr
    assert "written to replica since its promotion is lost" in told
    ended = copied(named(told, "failover", "--to"))
    assert ended.returncode == 0 and "the switchover to replica is given up" in ended.stderr, (
        ended.stderr
    )
    now = reopen()
    assert now.primary.name in ("primary", "replica-2") and list(now.topology.fenced) == ["replica"]
    for name in now.topology.replicas:
        now.instance(name).start()
    assert failed_checks(now, *SOUND) == {}


def test_a_failover_whose_new_primary_dies_or_hangs_ends(cluster: Cluster, reopen: Reopen) -> None:
    cluster.primary.kill()
    begun = Failover(cluster, "replica")
    begun.fence()
    begun.promote()
    cluster.instance("replica").kill()
    begun = Failover(reopen())
    begun.fence()
    begun.promote()
    assert reopen().topology.operation["to"] == "replica" and begun.new.answers()[0]
    with frozen(cluster, "replica"):
        done("failover --to replica-2", cluster)
    now = reopen()
    assert now.primary.name == "replica-2" and set(now.topology.fenced) == {"primary", "replica"}
    assert not now.engine.running("replica")
    assert failed_checks(now, "one-primary") == {}


@pytest.mark.long_on_docker
def test_a_failover_may_choose_another_one_until_the_promotion(
    cluster: Cluster, reopen: Reopen
) -> None:
    cluster.primary.kill()
    begun = Failover(cluster, "replica")
    begun.fence()
    cluster.topology.operation[promotion.ASKED] = "yes"
    cluster.record()
    startup = [p for p in processes_of(cluster, "replica") if "startup" in " ".join(p.cmdline())]
    assert len(startup) == 1
    startup[0].suspend()  # it cannot finish
    db.row(cluster.instance("replica").address, "select pg_promote(false)")
    done("failover --to replica-2", cluster)
    with suppress(psutil.NoSuchProcess):
        startup[0].resume()
    now = reopen()
    assert now.primary.name == "replica-2" and list(now.topology.fenced) == ["primary"]
    now.instance("replica").start()
    assert failed_checks(now, *SOUND) == {}


@pytest.mark.long_on_docker
def test_a_failover_without_anybody_to_choose_is_taken_back(
    cluster: Cluster, reopen: Reopen
) -> None:
    set_synchronous(cluster, "ANY 1")
    cluster.primary.kill()
    Failover(cluster, "replica").fence()
    cluster.instance("replica").kill()
    done("failover --cancel", cluster)
    now = reopen()
    assert now.primary.name == "primary" and not now.topology.operation and not now.topology.fenced
    assert awaited(now).startswith("ANY 1 (")
    assert "pgrepl: fence" not in (now.folder / "primary/pg_hba.conf").read_text("utf-8")
    now.instance("replica").start()
    now.instance("replica-2").wait_streaming()
    assert failed_checks(now, *SOUND) == {}


@pytest.mark.long_on_docker
def test_a_switchover_whose_old_primary_is_gone_ends_with_a_failover(
    cluster: Cluster, reopen: Reopen
) -> None:
    begun = Switchover(cluster, "replica")
    begun.prepare()
    lose_data(cluster, "primary")
    cluster.instance("replica").kill()
    assert "`pgrepl failover" in refused("switchover", cluster).stderr
    done("failover", cluster)
    now = reopen()
    assert now.primary.name == "replica-2"
    now.instance("replica").start()
    unused.drops(now, now.topology).do(print)  # prepared with them, and never asked for again
    assert failed_checks(now, *SOUND) == {}


def test_a_switchover_whose_chosen_replica_died_is_finished_by_the_first_command_that_is_named(
    cluster: Cluster, reopen: Reopen
) -> None:
    Switchover(cluster, "replica").prepare()
    cluster.instance("replica").kill()
    told = pgrepl("check", of_cluster(cluster))
    first, second = commands_in(told.stdout)[:2]
    assert first.endswith("--to replica") and second.endswith("--cancel")
    assert copied(first).returncode == 0
    now = reopen()
    assert now.primary.name == "replica" and not now.topology.operation
    assert failed_checks(now, *SOUND) == {}


@pytest.mark.long_on_docker
@pytest.mark.parametrize("way", ["by hand", "as a run does it"])
def test_slots_on_a_chosen_replica_that_died_are_dropped_once_it_runs_again(
    cluster: Cluster, reopen: Reopen, way: str
) -> None:
    """It was prepared, and cannot be asked when that is taken back."""
    Switchover(cluster, "replica").prepare()
    cluster.instance("replica").kill()
    assert "replica was not asked" in done("switchover --cancel", cluster)
    now = reopen()
    replica = now.instance("replica")
    if way == "by hand":
        now.engine.start("replica").do(print)
        replica.wait_ready()
        assert slots(now)["replica"] == ["replica_0_slot", "replica_2_slot"]
        told = CHECKS["slot"](now)
        assert "replica: replica_0_slot inactive, of nobody" in told.seen
        for command in commands_in(told.hint):
            assert copied(command).returncode == 0
    else:
        assert replica.start() == "changed"
    assert slots(now)["replica"] == []
    replica.wait_streaming()
    assert failed_checks(now, *SOUND) == {} and replica.start() == "unchanged"


# --- killed at the very end ----------------------------------------------------------------------


def killed_at_its_end(cluster: Cluster, act: Callable[[], object]) -> None:
    """What a process leaves that is killed right after its work: its beginning is still recorded."""
    record = cluster.folder / recorded.FILE
    with recorded.following(cluster):
        begun = record.read_bytes()
        act()
    record.write_bytes(begun)


def test_what_was_done_when_its_runner_was_killed_is_done(cluster: Cluster, reopen: Reopen) -> None:
    with recorded.following(cluster, "made"):
        pass
    killed_at_its_end(cluster, Switchover(cluster, "replica").run)
    done("switchover", cluster)
    assert "nothing was left to do" in done("switchover --to replica", cluster)
    cluster.engine.kill("replica").do(print)
    killed_at_its_end(now := reopen(), Failover(now, "replica-2").run)
    done("failover --force", cluster)
    done("failover --to replica-2", cluster)
    assert failed_checks(reopen(), "drift") == {}, "a fenced one may stand"
    killed_at_its_end(now := reopen(), Rejoin(now, "replica", full_copy=True).run)
    now.engine.stop("replica").do(print)
    done("rejoin replica", cluster)
    killed_at_its_end(now := reopen(), lambda: add(now))
    done("replica add", cluster)
    assert reopen().topology.names[3:] == ["replica-3"]
    killed_at_its_end(now := reopen(), lambda: remove(now, "replica-3"))
    done("replica remove replica-3 --yes", cluster)
    killed_at_its_end(now := reopen(), lambda: set_synchronous(now, "ANY 1"))
    done("sync 'ANY 1'", cluster)
    now = reopen()
    assert now.primary.name == "replica-2" and not recorded.read(now).before
    assert failed_checks(now, *SOUND) == {}
    (now.folder / recorded.FILE).unlink()


# --- the others ----------------------------------------------------------------------------------


@pytest.mark.long_on_docker
def test_a_replica_that_hangs_is_left_by_a_switchover_and_follows_later(
    cluster: Cluster, reopen: Reopen
) -> None:
    with frozen(cluster, "replica-2"):
        told = done("switchover --to replica", cluster)
        assert "replica-2 confirms nothing" in told and "replica-2 is left behind" in told
        now = reopen()
        assert now.primary.name == "replica" and not now.topology.operation
        assert "seen replica, replica-2 hung" in failed_checks(now, "one-primary")["one-primary"]
    late = now.instance("replica-2")
    db.rows(late.address, "select pg_create_physical_replication_slot('replica_1_slot', true)")
    late.start()
    assert failed_checks(now, *SOUND) == {}, "nor is there a slot of who follows it no more"
