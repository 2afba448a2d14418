"""Drift made for real on running servers: `pgrepl check` names it and nothing else, `pgrepl run` brings it back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.cluster.dropping import wait_slot_free
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.drift import recorded
from pgrepl_lib.drift.drift import notices
from pgrepl_lib.drills import drills
from pgrepl_lib.errors import StepFailed
from pgrepl_lib.journal import audit
from pgrepl_lib.journal.runs import of_project
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import set_synchronous
from pgrepl_lib.steps.replicas import add, rebuild, remove
from tests.remedies import commands_in, copied

from ..conftest import NewProject
from .operated import stop_by_hand, wait_caught_up
from .running import Values, pgrepl

AS_RECORDED = "as recorded by "


@pytest.fixture(scope="module")
def values(engine_name: str, new_project: NewProject) -> Iterator[Values]:
    """A cluster that a run has made and recorded, on each engine; the tests leave it as it was recorded."""
    with new_project(engine_name) as made:
        done = pgrepl("run", made)
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture
def cluster(values: Values) -> Cluster:
    return open_cluster("test", **values)


def drift_of(values: Values) -> tuple[int, list[str]]:
    """The exit code of `pgrepl check`, and what it says is not as recorded."""
    done = pgrepl("check", values, "--json")
    last = json.loads(done.stdout)[-1]
    assert last["name"] == "drift" and last["expected"].startswith(AS_RECORDED), last
    assert last["passed"] == (last["seen"] == last["expected"])
    return done.returncode, [] if last["passed"] else last["seen"].split("; ")


def seen(cluster: Cluster) -> str:
    return CHECKS["drift"](cluster).seen


def ask(cluster: Cluster, name: str, statement: str) -> list[dict[str, Any]]:
    return db.rows(cluster.instance(name).address, statement)


def show(cluster: Cluster, name: str, setting: str) -> str:
    return str(ask(cluster, name, f"show {setting}")[0][setting])


def reload(cluster: Cluster, name: str, setting: str, value: str) -> None:
    ask(cluster, name, "select pg_reload_conf()")
    wait_until(
        f"{setting} = {value}",
        lambda: (show(cluster, name, setting) == value, "not yet"),
        seconds=10,
    )


def changed_titles(cluster: Cluster) -> list[str]:
    """What the last run did."""
    return [
        s["title"] for s in of_project(cluster.folder)[-1].of("step") if s["outcome"] == "changed"
    ]


def test_edits_settings_modes_and_rights_are_named_and_brought_back(
    values: Values, cluster: Cluster
) -> None:
    assert drift_of(values) == (0, [])
    listed = {row["project"]: row["state"] for row in json.loads(pgrepl("projects --json").stdout)}
    assert listed[values["project"]] == "running"
    state = next(
        e
        for e in audit.Journal(of_project(cluster.folder)[-1].folder).entries()
        if e["kind"] == "state"
    )
    assert {n: (i["role"], i["running"]) for n, i in state["instances"].items()} == {
        "primary": ("primary", True),
        "replica": ("replica", True),
    }
    before = {p: (p.read_bytes(), p.stat().st_mode) for p in cluster.folder.glob("*/*.conf")}

    for setting in ("port = 6000", "listen_addresses = ''", "unix_socket_directories = ''"):
        ask(cluster, "primary", f"alter system set {setting}")  # nobody would find it there
    for act in (cluster.engine.stop, cluster.engine.start):
        act("primary").do(print)
    cluster.primary.wait_ready()
    ask(cluster, "primary", "alter system set work_mem = '8MB'")
    reload(cluster, "primary", "work_mem", "8MB")
    ask(cluster, "replica", "alter system set max_connections = 200")  # waits for a restart
    appended = cluster.folder / "replica/postgresql.conf"
    appended.write_text(appended.read_text("utf-8") + "log_connections = on\n", "utf-8")
    reload(cluster, "replica", "log_connections", "on")
    rules = cluster.folder / "primary/pg_hba.conf"
    lines = rules.read_text("utf-8").splitlines(keepends=True)
    (rule,) = [line for line in lines if line.startswith("host    replication     repl ")]
    rules.write_text("".join(line for line in lines if line != rule), "utf-8")
    (cluster.folder / "replica/pg_hba.conf").chmod(0o664)
    (cluster.folder / "secrets/superuser").chmod(0o640)
    ask(cluster, "primary", "alter role repl noreplication superuser")

    code, found = drift_of(values)
    assert code == 1
    assert [line.split(" (recorded: ")[0].partition("SHA-256")[0] for line in found] == [
        "primary: ALTER SYSTEM SET listen_addresses: ",
        "primary: ALTER SYSTEM SET port: 6000",
        'primary: ALTER SYSTEM SET unix_socket_directories: ""',
        "primary: ALTER SYSTEM SET work_mem: 8MB",
        "primary: the file pg_hba.conf: ",
        "replica: ALTER SYSTEM SET max_connections: 200",
        "replica: log_connections: on",
        "replica: the file postgresql.conf: ",
        "replica: the mode of pg_hba.conf: 664",
        "the replication user's rolreplication: false",
        "the replication user's rolsuper: true",
        "the mode of secrets/superuser: 640",
    ]
    hint = CHECKS["drift"](cluster).hint
    assert (
        "` takes it back (ALTER SYSTEM RESET work_mem); to keep it, give it with the parameter settings"
        in hint
    )
    assert "RESET listen_addresses)" in hint and "listen_addresses); to keep" not in hint
    assert all(cluster.params.project in command for command in commands_in(hint))

    done = pgrepl("run", values)
    assert done.returncode == 0, done.stderr
    assert seen(cluster).startswith(AS_RECORDED)
    assert {
        p: (p.read_bytes(), p.stat().st_mode) for p in cluster.folder.glob("*/*.conf")
    } == before
    assert (show(cluster, "primary", "work_mem"), show(cluster, "replica", "log_connections")) == (
        "4MB",
        "off",
    )
    assert (cluster.folder / "secrets/superuser").stat().st_mode & 0o777 == 0o600
    assert ask(
        cluster, "replica", "select count(*) as n from pg_settings where pending_restart"
    ) == [{"n": 0}]
    steps = {
        s["title"]: s
        for s in of_project(cluster.folder)[-1].of("step")
        if s["outcome"] == "changed"
    }
    assert list(steps) == [
        "Desfazer o que foi mudado por fora",
        "Iniciar primary",
        "Criar o usuário de replicação",
        "Iniciar replica",
    ]
    assert f"+{rule}" in steps["Desfazer o que foi mudado por fora"]["diff"]
    assert "-log_connections = on" in steps["Desfazer o que foi mudado por fora"]["diff"]
    commands = [c["command"] for s in steps.values() for c in s["commands"]]
    assert any('alter system reset "work_mem"' in c for c in commands), commands
    assert any("replication nosuperuser" in c for c in commands), commands


@pytest.mark.long_on_docker
def test_a_stopped_replica_and_its_dropped_slot(values: Values, cluster: Cluster) -> None:
    ask(
        cluster, "replica", "alter system set work_mem = '6MB'"
    )  # it shows only once the server runs again
    stop_by_hand(cluster, "replica")
    wait_until(
        "the slot to be free",
        lambda: (not wait_slot_free(cluster.primary, "replica_1_slot"), ""),
        seconds=30,
    )
    ask(cluster, "primary", "select pg_drop_replication_slot('replica_1_slot')")
    ask(cluster, "primary", "select pg_create_physical_replication_slot('theirs', true)")
    try:
        assert drift_of(values) == (
            1,
            [
                "primary: the slot replica_1_slot: gone (recorded: physical)",
                "replica: the server: not running (recorded: running)",
            ],
        )
        assert notices(cluster) == [
            "primary: nobody recorded the slot theirs, which is inactive and holds WAL"
        ]
        done = pgrepl("run", values)
        assert done.returncode == 0, done.stderr
        assert "Criar o slot replica_1_slot" in changed_titles(cluster)
        assert show(cluster, "replica", "work_mem") == "4MB"
        assert {
            r["n"]
            for r in ask(cluster, "primary", "select slot_name as n from pg_replication_slots")
        } == {"replica_1_slot", "theirs"}, "what nobody recorded is somebody's"
        checked = pgrepl("check", values)
        assert checked.returncode == 0 and AS_RECORDED in checked.stdout
        assert "notice: primary: nobody recorded the slot theirs" in checked.stderr
    finally:
        ask(cluster, "primary", "select pg_drop_replication_slot('theirs')")


def test_what_no_server_starts_with_any_more_is_taken_out_of_alter_systems_file(
    cluster: Cluster,
) -> None:
    """What repmgr leaves, whose library went with its package; only a running server resets it."""
    for setting in (
        "shared_preload_libraries = 'repmgr'",
        "primary_slot_name = 'repmgr_slot_2'",
        "primary_conninfo = 'host=node1 user=repmgr application_name=node2'",
    ):
        ask(cluster, "replica", f"alter system set {setting}")
    cluster.engine.stop("replica").do(print)
    assert cluster.replica.start() == "changed"
    assert show(cluster, "replica", "shared_preload_libraries") == ""
    assert seen(cluster).startswith(AS_RECORDED) and CHECKS["receiver"](cluster).passed
    assert cluster.replica.start() == "unchanged"


@pytest.mark.long_on_docker
def test_a_promoted_replica_is_named_and_never_overwritten(
    values: Values, cluster: Cluster
) -> None:
    wait_caught_up(cluster)
    ask(cluster, "replica", "select pg_promote()")
    ask(cluster, "replica", "create table written_there as select 1 as n")
    assert seen(cluster) == "replica: the role: primary (recorded: replica)"
    done = pgrepl("run", values, "--from", "02")
    assert done.returncode == 1 and "--discard` throws away what was written there" in done.stderr
    assert ask(cluster, "replica", "select n from written_there") == [{"n": 1}]
    assert seen(cluster) == "replica: the role: primary (recorded: replica)", (
        "a failed run records none of it"
    )
    with pytest.raises(StepFailed, match="replica accepts writes"):
        rebuild(cluster, "replica")
    rebuild(cluster, "replica", discard=True)
    assert seen(cluster).startswith(AS_RECORDED)


@pytest.mark.long_on_docker
def test_what_a_drill_left_is_taken_back_by_a_run(values: Values, cluster: Cluster) -> None:
    """As where a reader did not execute the cell that heals it, or its chapter was interrupted."""
    drills.limit_slots(cluster, "64MB")
    drills.cut(cluster)
    told = pgrepl("check", values)
    assert told.returncode == 1 and copied(commands_in(told.stdout)[0]).returncode == 0, told.stdout
    assert pgrepl("check", values).returncode == 0
    assert show(cluster, "primary", "max_slot_wal_keep_size") == "10GB"
    changed = "Desfazer o que foi mudado por fora"
    assert changed_titles(cluster) == [changed, "Iniciar primary"]


def test_another_manager_of_the_cluster_is_told(cluster: Cluster) -> None:
    """What it undoes comes back again and again: known by the names of its sessions."""
    assert not [n for n in notices(cluster) if "by itself" in n]
    with db.connect(cluster.replica.address, application_name="Patroni heartbeat"):
        told = [n for n in notices(cluster) if "by itself" in n]
    assert told and all(n.startswith("replica: Patroni heartbeat works there") for n in told)


@pytest.mark.long_on_docker
def test_whom_somebody_promoted_is_recorded_once_it_is_let_be_the_primary(
    values: Values, cluster: Cluster
) -> None:
    """As by repmgr, once the primary was lost: by the commands that `status` then names."""
    wait_caught_up(cluster)
    cluster.engine.kill("primary").do(print)
    ask(cluster, "replica", "select pg_promote()")
    told = pgrepl("status", values)
    for command in commands_in(told.stdout + told.stderr):
        assert copied(command).returncode == 0, command
    assert drift_of(values) == (0, [])
    assert pgrepl("switchover --to primary", values).returncode == 0
    assert drift_of(values) == (0, [])


@pytest.mark.long_on_docker
def test_what_pgrepl_does_is_no_drift_and_what_others_did_stays_one(
    values: Values, cluster: Cluster
) -> None:
    ask(cluster, "primary", "alter system set work_mem = '7MB'")
    edited = cluster.folder / "primary/postgresql.conf"
    edited.write_text(edited.read_text("utf-8") + "log_connections = on\n", "utf-8")
    theirs = seen(cluster)
    assert theirs.count(";") == 1 and "work_mem" in theirs and "the file postgresql.conf" in theirs

    def unchanged(what: str) -> None:
        now = open_cluster("test", **values)
        assert [d.split(":")[1] for d in seen(now).split("; ")] == [
            d.split(":")[1] for d in theirs.split("; ")
        ], what
        assert not (recorded.read(now) or pytest.fail("no record")).before, what

    set_synchronous(cluster, "ANY 1")
    unchanged("sync")
    add(cluster)
    unchanged("add")
    assert '"replica-1", "replica-2"' in show(cluster, "primary", "synchronous_standby_names"), (
        "it confirms, too"
    )
    text = (cluster.folder / "recorded/primary/postgresql.conf").read_text("utf-8")
    assert "synchronous_standby_names" in text and "log_connections = on" not in text, (
        "our block, and not their line"
    )
    set_synchronous(cluster, "")
    unchanged("sync off")
    older = cluster.folder / "older"
    shutil.copytree(cluster.folder / "recorded", older / "recorded")
    shutil.copy(cluster.folder / "recorded.json", older)
    set_synchronous(cluster, "ANY 1")
    edited = cluster.folder / "primary/postgresql.conf"
    promised = edited.read_text("utf-8")
    shutil.copytree(older, cluster.folder, dirs_exist_ok=True)  # a record from before the promise
    cluster.restore()
    assert "synchronous_standby_names = 'ANY 1" in edited.read_text("utf-8")
    (cluster.folder / "recorded.json").unlink()
    edited.write_text(promised.replace("synchronous_standby_names = 'ANY", "# 'ANY"), "utf-8")
    cluster.restore()
    assert edited.read_text("utf-8") == promised, "also without any record"
    shutil.copytree(older, cluster.folder, dirs_exist_ok=True)
    set_synchronous(cluster, "")
    wait_caught_up(cluster)
    Switchover(cluster, "replica").run()
    unchanged("switchover")
    newer = (cluster.folder / "recorded.json").read_bytes()
    shutil.copy(older / "recorded.json", cluster.folder)
    told = CHECKS["drift"](cluster).hint
    assert "not the newest" in told and "rebuild" not in told and "standby.signal" not in told
    (cluster.folder / "recorded.json").write_bytes(newer)
    shutil.rmtree(older)
    Switchover(cluster, "primary").run()
    unchanged("switchover back")
    remove(cluster, "replica-2")
    unchanged("remove")
    assert not (cluster.folder / "recorded/replica-2").exists()
    cluster.restore()
    ask(cluster, "primary", "alter system reset work_mem")
    assert seen(cluster).startswith(AS_RECORDED)


@pytest.mark.long_on_docker
def test_what_a_killed_process_did_counts_as_ours(values: Values, cluster: Cluster) -> None:
    program = f"""
import os, signal
from pgrepl_lib import open_cluster; from pgrepl_lib.drift import recorded
cluster = open_cluster("test", **{values!r})
with recorded.following(cluster):
    (cluster.folder / "replica/pg_hba.conf").chmod(0o600)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert seen(cluster).startswith(AS_RECORDED)
    assert any("has not ended, or was killed" in n for n in notices(cluster))
    cluster.instance("replica").make_readable("pg_hba.conf")
    (cluster.folder / "replica/pg_hba.conf").chmod(0o600)
    assert "the mode of pg_hba.conf: 600 (recorded: 644)" in seen(cluster), (
        "from then on, what others do is drift again"
    )
    assert cluster.restore() == "changed" and seen(cluster).startswith(AS_RECORDED)
    assert cluster.restore() == "unchanged"


def test_without_a_completed_run_nothing_is_recorded(open_with: Callable[..., Cluster]) -> None:
    made = open_with("local")
    made.prepare()
    assert made.restore() == "unchanged"
    result = CHECKS["drift"](made)
    assert result.passed and not result.tried and result.seen.startswith("not tried, ")
