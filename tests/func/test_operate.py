"""Roles change and come back on running servers: nothing confirmed is lost, and never do two accept writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks import lag, momentary
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.drills import drills
from pgrepl_lib.drills.workload import Writer
from pgrepl_lib.engine.action import Action, Tell
from pgrepl_lib.errors import ParameterError, StepFailed
from pgrepl_lib.operations import synchronous
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import latencies, set_synchronous, try_commit
from pgrepl_lib.postgres import conf
from pgrepl_lib.steps.planning import changes, only_planned
from pgrepl_lib.steps.replicas import add, follow, prepare_all, rebuild, remove
from tests.conftest import DOCUMENT, MakeCluster, set_up_primary, set_up_replica
from tests.func.operated import (
    NAMES,
    Writable,
    again,
    bring_home,
    configuration,
    everything_recorded,
    failed_checks,
    make,
    meanwhile,
    signal_process,
    slots,
    stop_by_hand,
    wait_caught_up,
    ways_named,
    ways_to_start,
)
from tests.func.running import CHECKOUT, of_cluster, pgrepl

TIDY = Switchover.TITLES["tidy"]
STANDBY = "# >>> pgrepl: standby"
REWINDS = pytest.mark.skipif(
    not Path("/usr/lib/postgresql/15/bin/pg_rewind").exists(),
    reason="no PostgreSQL 15 with pg_rewind here",
)


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Cluster:
    """With a password on one engine; `test_operate_faults.py` has it on the other."""
    return make(open_with, engine_name, **({} if engine_name == "docker" else DOCUMENT))


@pytest.fixture
def cluster(made: Cluster, open_with: MakeCluster) -> Iterator[Cluster]:
    """Opened anew for each test, which may leave the roles as it likes."""
    yield again(made, open_with)
    bring_home(again(made, open_with))


def newest(table: str, cluster: Cluster, name: str) -> int:
    """How many rows a table has on one instance."""
    return int(db.row(cluster.instance(name).address, f"select count(*) as n from {table}")["n"])


def write_alone(cluster: Cluster, rows: int) -> None:
    """Rows that only the primary gets: nobody receives them before it dies."""
    db.rows(cluster.primary.address, "create table if not exists alone (id int, word text)")
    wait_caught_up(cluster)
    drills.cut(cluster)
    db.rows(
        cluster.primary.address,
        f"insert into alone select i, 'só aqui ' || i from generate_series(1, {rows}) i",
    )


def lose_primary(cluster: Cluster, rows: int = 0) -> str:
    """Kill the primary, with so many rows that nobody else has, and replace it; returns its name."""
    if rows:
        write_alone(cluster, rows)
    lost = cluster.primary.name
    cluster.primary.kill()
    Failover(cluster).run()
    if rows:
        heal_file(cluster, lost)
    return lost


def heal_file(cluster: Cluster, lost: str) -> None:
    """The cut was made in the lost one's file, which another primary cannot take back."""
    path = cluster.folder / lost / "pg_hba.conf"
    path.write_text(conf.without_block(path.read_text("utf-8"), drills.BLOCK), "utf-8")


def assert_as_planned(cluster: Cluster, planned: list[Any]) -> None:
    """What was done last is what was planned, no command and no changed line more."""
    done = [e for e in cluster.journal.entries() if e["kind"] == "step"][-len(planned) :]
    commands = [[c["command"] for c in e["commands"]] for e in done]
    assert [(t, list(map(str, c))) for t, c, _ in planned] == list(
        zip([e["title"] for e in done], commands, strict=True)
    )
    assert [diff for _, _, diff in planned] == [e["diff"] for e in done]
    for commands_of, diff in zip(commands, [e["diff"] for e in done], strict=True):
        patched = [c.removeprefix("patch ") for c in commands_of if c.startswith("patch ")]
        assert patched == re.findall(r"^--- (.*)$", diff, re.MULTILINE)


def planned_of(cluster: Cluster, work: Callable[[], object]) -> list[Any]:
    """The steps of this work, as they are planned; nothing is touched."""
    before = everything_recorded(cluster)
    with only_planned(cluster) as planned:
        work()
    assert everything_recorded(cluster) == before
    return [(p.title, p.commands, p.diff) for p in changes(planned)]


# --- switchover --------------------------------------------------------------------------------------------------


def test_a_switchover_there_and_back_loses_and_doubles_nothing(cluster: Cluster) -> None:
    planned = Switchover(cluster, "replica").plan()
    writer = Writer(cluster).start()
    with Writable(cluster) as watch:
        writer.wait_rows(50)
        Switchover(cluster, "replica").run()
        writer.wait_rows(50)
        assert_as_planned(cluster, planned)
        dropped = [str(c) for c in planned[-1][1] if "pg_drop_replication_slot" in str(c)]
        assert planned[-1][0] == TIDY and len(set(dropped)) == 2 == len(planned[-1][1]) - 2
        assert cluster.primary.name == "replica" and cluster.topology.upstreams == {
            "primary": "replica",
            "replica-2": "replica",
        }
        assert [STANDBY in configuration(cluster, n) for n in NAMES] == [True, False, True]
        assert slots(cluster) == {
            "primary": [],
            "replica": ["replica_0_slot", "replica_2_slot"],
            "replica-2": [],
        }
        Switchover(cluster, "primary").run()
        writer.wait_rows(50)
        watch.wait_looks(3)
    report = writer.stop()
    assert report.acknowledged >= 150 and (report.lost, report.doubled) == (0, 0)
    assert 0 < report.outage < 20
    assert watch.seen == {"primary", "replica"} and watch.twice == []
    assert slots(cluster) == {
        "primary": ["replica_1_slot", "replica_2_slot"],
        "replica": [],
        "replica-2": [],
    }
    assert [STANDBY in configuration(cluster, n) for n in NAMES] == [False, True, True]
    assert failed_checks(cluster) == {}


@pytest.mark.long_on_docker
def test_after_a_switchover_running_again_changes_nothing(
    cluster: Cluster, open_with: MakeCluster
) -> None:
    Switchover(cluster, "replica-2").run()
    now = again(cluster, open_with)
    assert now.primary.name == "replica-2" and now.topology.operation == {}
    assert prepare_all(now, names=["primary", "replica"]) == ["unchanged"] * 2
    assert [i.start() for i in (now.primary, *now.replicas)] == ["unchanged"] * 3
    assert failed_checks(now, "one-primary", "streaming", "settings", "slot", "receiver") == {}


def test_a_primary_started_by_hand_in_the_middle_of_a_switchover(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped and is not fenced yet: the one moment in which it comes up writable, and then it must end again."""
    started: list[int] = []
    real = cluster.engine.forbid_writes
    (start, *_) = ways_to_start(cluster, "primary", 0).values()

    def start_first(name: str) -> Action:
        forbid = real(name)

        def do(tell: Tell) -> None:
            if not started:
                started.append(start())
                wait_until(
                    "it to accept writes",
                    lambda: (drills.try_to_write(cluster, name) == "write accepted", ""),
                    seconds=20,
                )
            forbid.do(tell)

        return Action(forbid.commands, do, forbid.done)

    monkeypatch.setattr(cluster.engine, "forbid_writes", start_first)
    writer = Writer(cluster).start()
    with Writable(cluster) as watch:
        Switchover(cluster, "replica").run()
        writer.wait_rows(50)
        watch.wait_looks(5)
    report = writer.stop()
    assert started == [0] and watch.twice == [] and (report.lost, report.doubled) == (0, 0)
    assert failed_checks(cluster, "one-primary", "streaming", "same-cluster", "tables") == {}


# --- failover ----------------------------------------------------------------------------------------------------


def test_a_failover_takes_the_most_advanced_replica_and_the_lost_primary_never_writes_again(
    cluster: Cluster, free_port: Callable[[], int]
) -> None:
    """However the killed one is started by hand, its data say that it is no primary."""
    drills.write_wal(cluster, 16)
    cluster.engine.stop("replica").do(print)  # so replica-2 has more
    writer = Writer(cluster).start()
    writer.wait_rows(100)
    cluster.primary.kill()
    cluster.engine.start("replica").do(print)
    cluster.instance("replica").wait_ready()
    assert {"primary-writes", "streaming", "one-primary"} <= ways_named(cluster, "primary")
    change = Failover(cluster)
    choice = change.choice()
    assert list(choice["name"]) == ["replica-2", "replica"] and list(choice["chosen"]) == ["✔", ""]
    assert choice["received"][0] != choice["received"][1]
    change.run()
    assert list(cluster.topology.fenced) == ["primary"] and not cluster.engine.running("primary")
    port = free_port()
    with Writable(cluster, port) as watch:
        for way, start in ways_to_start(cluster, "primary", port).items():
            assert start() == 0, way
            watch.wait_answer("primary", f"port {port}")
            assert cluster.engine.running("primary"), way
            stop_by_hand(cluster, "primary")
    assert watch.looks > 20 and watch.seen == {"replica-2"} and watch.twice == []
    writer.wait_rows(50)
    report = writer.stop()
    assert report.doubled == 0 and report.lost <= 20 and 0 < report.outage < 30
    assert report.acknowledged >= 150
    assert cluster.primary.name == "replica-2" and cluster.topology.upstreams == {
        "replica": "replica-2"
    }
    assert STANDBY not in configuration(cluster, "replica-2")
    assert failed_checks(cluster) == {}
    rejoin = Rejoin(cluster, "primary", full_copy=True)
    assert rejoin.way() == ("copy", "a new copy was asked for")
    planned = planned_of(cluster, Rejoin(cluster, "primary", full_copy=True).run)
    rejoin.run()
    assert_as_planned(cluster, planned)
    assert db.row(
        cluster.instance("primary").address,
        "select modification from pg_stat_file('backup_manifest', true)",
    )
    assert failed_checks(cluster, "one-primary", "streaming", "slot", "tables") == {}


# --- rejoin ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_lost_primary_that_somebody_keeps_starting_and_the_rows_that_only_it_had(
    cluster: Cluster,
) -> None:
    """A person, or a service that restarts what ends, starts it all the time, also while it is replaced."""
    write_alone(cluster, 7)
    start = next(iter(ways_to_start(cluster, "primary", 0).values()))
    with Writable(cluster) as watch:
        watch.wait_looks(2)
        with meanwhile(start):
            Failover(cluster, force=True).run()
            watch.wait_answer("primary")
        watch.wait_looks(5)
    assert watch.seen == {"primary", cluster.primary.name} and cluster.primary.name != "primary"
    assert watch.twice == []
    assert drills.try_to_write(cluster, "primary") == "SQLSTATE 25006"
    heal_file(cluster, "primary")
    rejoin = Rejoin(cluster, "primary")
    found = rejoin.run()
    assert found.to_dict("records") == [
        {"database": "postgres", "table": "public.alone", "rows": 7}
    ]
    assert rejoin.kept.stat().st_mode & 0o777 == 0o600
    kept = [json.loads(line) for line in rejoin.kept.read_text("utf-8").splitlines()]
    assert sorted(k["row"]["id"] for k in kept) == list(range(1, 8)) and kept[0]["row"][
        "word"
    ].startswith("só aqui")
    told = [e for e in cluster.journal.entries() if e["kind"] in ("diverged", "rejoin")][-2:]
    assert [t["kind"] for t in told] == ["diverged", "rejoin"] and told[0]["rows"] == 7
    assert told[1]["way"] == "copy" and "pg_rewind" in told[1]["why"]
    assert (
        newest("alone", cluster, "primary") == newest("alone", cluster, cluster.primary.name) == 0
    )
    assert cluster.topology.fenced == {} and STANDBY in configuration(cluster, "primary")
    assert failed_checks(cluster) == {}
    rejoin.kept.unlink()


def test_a_lost_primary_that_has_nothing_of_its_own_follows_with_its_data(cluster: Cluster) -> None:
    wait_caught_up(cluster)
    system = "select modification::text as made from pg_stat_file('PG_VERSION')"
    before = db.row(cluster.primary.address, system)
    drills.cut(
        cluster
    )  # so that not even a record of the server's own is there that nobody else has
    drills.heal(cluster)
    wait_caught_up(cluster)
    lost = lose_primary(cluster)
    undecided = json.loads(pgrepl(f"rejoin {lost} --plan --json", of_cluster(cluster)).stdout)
    assert [bool(step["note"]) for step in undecided] == [False, True]
    rejoin = Rejoin(cluster, lost)
    rejoin.inspect()
    planned = planned_of(cluster, Rejoin(cluster, lost).run)
    way, why = rejoin.way()
    assert rejoin.diverged().empty and (way, lost in why) == ("follow", True)
    rejoin.come_back()
    assert_as_planned(cluster, planned)
    assert db.row(cluster.instance(lost).address, system) == before, "not a copy"
    assert (
        failed_checks(
            cluster, "one-primary", "streaming", "slot", "receiver", "same-cluster", "tables"
        )
        == {}
    )


@REWINDS
def test_where_pg_rewind_is_at_hand_no_copy_is_made(open_with: MakeCluster) -> None:
    made = make(open_with, "local", pg_version=15, replicas=1)
    modified = "select modification from pg_stat_file('PG_VERSION')"
    db.rows(made.primary.address, "create table kept (id int)")
    before = db.row(made.primary.address, modified)
    lost = lose_primary(made, rows=3)
    db.rows(made.primary.address, "insert into kept values (1)")
    rejoin = Rejoin(made, lost)
    assert list(rejoin.run()["rows"]) == [3]
    told = [e for e in made.journal.entries() if e["kind"] == "rejoin"]
    assert [t["way"] for t in told] == ["rewind"]
    assert not [
        e for e in made.journal.entries() if e["kind"] == "step" and e["outcome"] == "failed"
    ]
    assert newest("alone", made, lost) == 0 and newest("kept", made, lost) == 1
    assert db.row(made.instance(lost).address, modified) == before, "not a copy"
    steps = [e for e in made.journal.entries() if e["kind"] == "step"]
    typed = [c["command"] for s in steps for c in s["commands"]]
    assert any("user=pgrepl_rewind" in command for command in typed), "no superuser"
    left = "select 1 from pg_roles where rolname = 'pgrepl_rewind'"
    assert db.rows(made.primary.address, left) == []
    assert not (made.folder / "secrets/rewind.pgpass").exists()
    assert failed_checks(made) == {}
    Switchover(made, lost).run()
    assert failed_checks(made, "one-primary", "streaming", "slot", "tables") == {}


def forget_wal(cluster: Cluster) -> None:
    """The primary keeps none that it does not need."""
    at = cluster.primary.address
    drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active"
    db.rows(at, drop)
    db.rows(at, "alter system set wal_keep_size = 0")
    db.rows(at, "select pg_reload_conf()")
    for _ in range(3):
        db.rows(at, "select pg_logical_emit_message(false, '', ''), pg_switch_wal()")
        db.checkpoint(at)


@pytest.mark.long
@REWINDS
def test_where_the_wal_that_a_rewind_needs_is_gone_a_copy_is_made_and_said_before(
    open_with: MakeCluster,
) -> None:
    """It is gone from the new primary, then from the old one, all of whose rows are then read."""
    made = make(open_with, "local", pg_version=15, replicas=1)
    gone = {"new": "the new primary no longer has the WAL from", "old": "is no longer there"}
    for who, said in gone.items():
        write_alone(made, 3)
        if who == "old":
            forget_wal(made)
        lost = lose_primary(made)
        heal_file(made, lost)
        if who == "new":
            forget_wal(made)
        rejoin = Rejoin(made, lost)
        rejoin.inspect()
        way, why = rejoin.way()
        assert way == "copy" and said in why
        assert list(rejoin.run()["rows"]) == [3]
    assert failed_checks(made, "one-primary", "streaming", "slot", "tables") == {}


# --- synchronous -------------------------------------------------------------------------------------------------


def test_with_a_synchronous_replica_a_failover_loses_nothing(cluster: Cluster) -> None:
    set_synchronous(cluster, "ANY 1")
    query = "select count(*) filter (where sync_state = 'quorum') as n from pg_stat_replication"

    def both_count() -> tuple[bool, str]:
        seen = db.row(cluster.primary.address, query)["n"]
        return seen == 2, str(seen)

    assert both_count()[0]
    writer = Writer(cluster).start()
    writer.wait_rows(100)
    cluster.primary.kill()
    planned = Failover(cluster).plan()
    Failover(cluster).run()
    writer.wait_rows(50)
    report = writer.stop()
    assert_as_planned(cluster, planned)
    assert report.acknowledged >= 150 and (report.lost, report.doubled) == (0, 0)
    names = db.row(cluster.primary.address, "show synchronous_standby_names")[
        "synchronous_standby_names"
    ]
    assert (
        names.startswith("ANY 1 (")
        and cluster.primary.application_name not in names
        and "replica-0" in names
    )
    Rejoin(cluster, "primary").run()
    wait_until(
        "two replicas that a commit may wait for", both_count, seconds=10
    )  # a moment after they stream
    assert "# >>> pgrepl: synchronous" not in configuration(cluster, "primary")
    set_synchronous(cluster, "")
    assert db.row(cluster.primary.address, query)["n"] == 0


@pytest.mark.long_on_docker
@pytest.mark.parametrize("method", ["ANY 3", "FIRST 0", "ALL", "any 1", "ANY 1 (x)"])
def test_a_commit_that_would_wait_for_ever_is_refused(cluster: Cluster, method: str) -> None:
    before = configuration(cluster, "primary")
    with pytest.raises(ParameterError, match="the 2 that stream now"):
        set_synchronous(cluster, method)
    assert configuration(cluster, "primary") == before and cluster.topology.synchronous == ""


@pytest.mark.long_on_docker
def test_nothing_of_ours_waits_for_a_replica_that_is_not_there(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_synchronous(cluster, "ANY 1")
    assert failed_checks(cluster, "synchronous") == {}
    writer = Writer(cluster).start()
    for name in NAMES[1:]:
        cluster.engine.stop(name).do(print)
    assert try_commit(cluster, 0.5) == "commit waiting"
    assert {"streaming", "login", "synchronous"} <= ways_named(cluster, "replica", "replica-2")
    report = writer.stop()
    assert (report.lost, report.in_doubt) == (0, 1), (
        "the row whose wait was given up is there, and is not confirmed"
    )
    done = pgrepl("check", of_cluster(cluster))
    assert (
        done.returncode == 1
        and "(replica-1, replica-2), of which 0 stream" in done.stdout.replace('"', "")
    )
    left = "select nspname from pg_namespace where nspname like 'pgrepl_check%'"
    assert db.rows(cluster.primary.address, left) == []
    assert "unchanged" in set_up_primary(cluster) and "changed" in set_up_replica(cluster)
    assert prepare_all(cluster) == ["changed"]
    assert try_commit(cluster) == "commit confirmed" and failed_checks(cluster) == {}
    receivers = {r.name: r.address for r in cluster.replicas}
    pids = {
        n: db.row(at, "select pid from pg_stat_wal_receiver")["pid"] for n, at in receivers.items()
    }
    monkeypatch.setattr(synchronous, "PATIENCE", 1)
    try:
        for name, pid in pids.items():
            signal_process(cluster, name, pid, "STOP")
        with pytest.raises(StepFailed, match="A commit is not confirmed"):
            latencies(cluster, rows=1)
    finally:
        for name, pid in pids.items():
            signal_process(cluster, name, pid, "CONT")
    writer.forget()


KILLED = """
import json, os, signal, sys
from pgrepl_lib.doors import db
from pgrepl_lib.checks import momentary
at = db.Address(**json.loads(sys.stdin.read()))
with momentary.schema(at), momentary.role(at, "x"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.long_on_docker
def test_what_a_killed_check_has_left_is_removed_by_the_next(cluster: Cluster) -> None:
    at = cluster.primary.address
    there = (
        "select nspname as n from pg_namespace where nspname like 'pgrepl_check%' "
        "union all select rolname from pg_roles where rolname like 'pgrepl_check%'"
    )
    db.rows(at, "create schema pgrepl_check_somebodys")
    with momentary.schema(at), momentary.role(at, "x"):
        subprocess.run(
            [sys.executable, "-c", KILLED], input=json.dumps(vars(at)), text=True, cwd=CHECKOUT
        )
        assert len(db.rows(at, there)) == 5
        with momentary.schema(at):
            assert len(db.rows(at, there)) == 4, "what was left is gone, what is in use is there"
    assert [r["n"] for r in db.rows(at, there)] == ["pgrepl_check_somebodys"]
    db.rows(at, "drop schema pgrepl_check_somebodys")


@pytest.mark.long_on_docker
def test_a_server_that_hangs_is_told_and_not_awaited(cluster: Cluster) -> None:
    with db.connect(cluster.primary.address, limit=0.5) as connection:
        pid = connection.info.backend_pid
        signal_process(cluster, "primary", pid, "STOP")
        with pytest.raises(db.NoAnswer, match="no answer within"):
            connection.execute("select 1")
        signal_process(cluster, "primary", pid, "CONT")


# --- replicas ----------------------------------------------------------------------------------------------------


def test_a_replica_of_a_replica_is_added_moved_and_removed(cluster: Cluster) -> None:
    planned = planned_of(cluster, partial(add, cluster, upstream="replica-2"))
    new = add(cluster, upstream="replica-2")
    assert_as_planned(cluster, planned)
    assert new.name == "replica-3" and cluster.topology.upstreams["replica-3"] == "replica-2"
    assert slots(cluster)["replica-2"] == ["replica_3_slot"]
    assert failed_checks(cluster) == {}
    with pytest.raises(
        ParameterError, match="the 2 that stream now"
    ):  # no commit waits for one below another
        set_synchronous(cluster, "ANY 3")
    set_synchronous(cluster, "ANY 2")
    with pytest.raises(ParameterError, match="ANY 2, and 1 would be left"):
        follow(cluster, "replica", "replica-2")
    with pytest.raises(ParameterError, match="replica-3 follow replica-2"):
        remove(cluster, "replica-2", confirm=True)
    with pytest.raises(ParameterError, match="replica-3 follows replica-2"):
        follow(cluster, "replica-2", "replica-3")
    with pytest.raises(
        ParameterError, match="replica-3 follow replica-2"
    ):  # a new copy has not the WAL that it needs
        rebuild(cluster, "replica-2")
    assert failed_checks(cluster, "streaming", "slot", "receiver", "synchronous") == {}
    set_synchronous(cluster, "")
    assert follow(cluster, "replica-3", "primary") == "changed"
    assert slots(cluster) == {
        "primary": ["replica_1_slot", "replica_2_slot", "replica_3_slot"],
        "replica": [],
        "replica-2": [],
        "replica-3": [],
    }
    assert follow(cluster, "replica-3", "primary") == "unchanged"
    with pytest.raises(
        StepFailed, match="no room"
    ) as refused:  # four replicas need twelve senders, it has ten
        add(cluster)
    assert "max_wal_senders is 10, 4 replicas need 12" in str(refused.value)
    assert [*NAMES, "replica-3"] == cluster.topology.names
    planned = planned_of(cluster, partial(remove, cluster, "replica-3"))
    remove(cluster, "replica-3")
    assert_as_planned(cluster, planned)
    assert slots(cluster)["primary"] == ["replica_1_slot", "replica_2_slot"]
    assert not (cluster.folder / "replica-3").exists() and "replica-3" not in " ".join(
        cluster.engine.existing()
    )
    assert failed_checks(cluster, "streaming", "settings", "slot", "one-primary") == {}


@pytest.mark.long_on_docker
def test_a_replica_that_lost_its_wal_is_made_anew(cluster: Cluster) -> None:
    drills.limit_slots(cluster, "32MB")
    try:
        cluster.engine.stop("replica").do(print)
        drills.write_wal(cluster, 96)
        assert set(lag.slots(cluster)["wal_status"]) == {"lost", "reserved"}
        assert rebuild(cluster, "replica") == "changed"
    finally:
        drills.limit_slots(cluster, "")
        drills.forget(cluster)
    assert failed_checks(cluster) == {}


@pytest.mark.long_on_docker
def test_what_may_not_be_removed_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ParameterError, match="primary is the primary"):
        remove(cluster, "primary", confirm=True)
    with pytest.raises(ParameterError, match="No instance 'replica-9'"):
        remove(cluster, "replica-9", confirm=True)
    cluster.topology.upstreams.pop(
        "replica-2"
    )  # as if it were not there; nothing of this is recorded
    with pytest.raises(ParameterError, match="the last copy"):
        remove(cluster, "replica")
    cluster.topology.fenced["replica-2"] = {}
    with pytest.raises(ParameterError, match="rows of its own"):
        remove(cluster, "replica-2")
    assert all(cluster.engine.running(n) for n in NAMES)


@pytest.mark.long
def test_five_replicas_are_made_side_by_side_and_the_limits_follow(open_with: MakeCluster) -> None:
    made = open_with("local", replicas=5)
    set_up_primary(made)
    set_up_replica(made)
    outcomes = prepare_all(made)
    assert outcomes == ["changed"] * 4
    assert int(db.row(made.primary.address, "show max_wal_senders")["max_wal_senders"]) == 13
    title = "Configure the replication in primary/postgresql.conf"
    edits = [e for e in made.journal.entries() if e["title"] == title]
    assert "+max_wal_senders = 13" in edits[0]["diff"], "shown, not only done"
    steps = [e for e in made.journal.entries() if e["title"].startswith("Prepare replica-")]
    assert [s["title"] for s in steps] == [f"Prepare replica-{n}" for n in (2, 3, 4, 5)]
    assert failed_checks(made) == {}
    assert prepare_all(again(made, open_with)) == ["unchanged"] * 4
