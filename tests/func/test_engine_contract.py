"""The contract of an engine: the same tests on either one, against real servers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.doors import db
from pgrepl_lib.doors.command import Command
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.engine.action import (
    CONFIGURATION,
    PRIMARY,
    REPLICA,
    TEMPORARY_PRIMARY,
    TEMPORARY_REPLICA,
)
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.errors import CommandFailed, StepFailed
from tests.conftest import MakeCluster, set_up_primary, set_up_replica
from tests.func.running import wait_ended

ENDS = {"postgresql.conf": "# Add settings for extensions here", "pg_hba.conf": "scram-sha-256"}


def quiet(line: str) -> None:
    """Nobody listens to the progress."""


def listeners(port: int) -> list[str]:
    """The addresses on which somebody listens on this port."""
    return [
        c.laddr.ip
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    ]


def service(cluster: Cluster, name: str) -> Any:
    """The container of an instance."""
    labels = [
        f"com.docker.compose.project={cluster.params.project}",
        f"com.docker.compose.service={name}",
    ]
    (found,) = docker_host.client().containers.list(filters={"label": labels})
    return found


def postmaster(cluster: Cluster, name: str) -> psutil.Process:
    """The instance's first process, as this machine sees it."""
    if cluster.engine.name == "local":
        pid = (cluster.folder / "data" / name / "postmaster.pid").read_text().split()[0]
        return psutil.Process(int(pid))
    return psutil.Process(service(cluster, name).attrs["State"]["Pid"])


def traces(cluster: Cluster) -> list[str]:
    """What the operating system and the Docker engine know of this cluster, not asked through the library."""
    folder, project = str(cluster.folder), cluster.params.project
    found = [
        f"process {p.pid}"
        for p in psutil.process_iter(["cmdline"])
        if any(folder in a for a in p.info["cmdline"] or [])
    ]
    found += [f"listener on {p}" for p in cluster.engine.ports.values() if listeners(p)]
    found += [str(p) for p in (cluster.folder / "data", cluster.folder / "logs") if p.exists()]
    if cluster.engine.name == "docker":
        client = docker_host.client()
        for kind in (
            client.containers.list(all=True, ignore_removed=True),
            client.volumes.list(),
            client.networks.list(),
        ):
            found += [
                f"{type(x).__name__} {x.name}"
                for x in kind
                if x.name.startswith((f"{project}_", f"{project}-"))
            ]
    return found


# --- looking at a running cluster -----------------------------------------------------------------------------


def test_facts_say_what_runs(cluster: Cluster) -> None:
    facts = cluster.engine.facts()
    assert facts["engine"] == cluster.engine.name
    server = db.row(cluster.primary.address, "show server_version")["server_version"]
    assert facts["postgres"].startswith("14") and server.startswith(
        facts["postgres"].split(".0-")[0]
    )
    assert facts["checksum" if cluster.engine.name == "local" else "digest"].partition("sha256:")[2]


@pytest.mark.parametrize("name", [PRIMARY, REPLICA])
def test_an_instance_is_reached_where_its_address_says(cluster: Cluster, name: str) -> None:
    engine = cluster.engine
    assert engine.running(name) and engine.has_data(name)
    address = engine.address(name)
    assert (address.host, address.port, address.user) == (
        "127.0.0.1",
        engine.ports[name],
        "postgres",
    )
    found = db.row(
        address,
        "select pg_is_in_recovery() as r, rolsuper as s from pg_roles where rolname = current_user",
    )
    assert found == {"r": name == REPLICA, "s": True}
    assert address.password not in repr(address)


@pytest.mark.parametrize("name", [PRIMARY, REPLICA])
def test_client_programs_run_as_superuser_on_that_instance(cluster: Cluster, name: str) -> None:
    query = "select pg_is_in_recovery(), rolsuper from pg_roles where rolname = current_user"
    done = cluster.engine.run(cluster.engine.client(name, "psql", "-X", "-A", "-t", "-c", query))
    assert done.out.strip() == f"{'t' if name == REPLICA else 'f'}|t"


VARIABLES = {
    "PGHOST": "192.0.2.1",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGDATABASE": "none",
    "PGPASSWORD": "wrong",
    "PGSSLMODE": "require",
    "PGSERVICE": "none",
    "PGOPTIONS": "-c x.y=1",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCHANNELBINDING": "require",
    "PGCONNECT_TIMEOUT": "x",
}


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_callers_variables_do_not_send_us_elsewhere(
    cluster: Cluster, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, VARIABLES[variable])
    found = db.row(
        cluster.primary.address, "select current_user::text as u, current_database()::text as d"
    )
    assert found == {"u": "postgres", "d": "postgres"}
    assert cluster.primary.answers() == (True, "answers")


def test_the_callers_variables_do_not_send_programs_elsewhere(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    done = cluster.engine.run(
        cluster.engine.client(PRIMARY, "psql", "-X", "-A", "-t", "-c", "select 42")
    )
    assert done.out.strip() == "42"


@pytest.mark.parametrize("name", [PRIMARY, REPLICA])
def test_the_server_reads_the_clusters_files(cluster: Cluster, name: str) -> None:
    for setting, file in zip(("config_file", "hba_file"), CONFIGURATION, strict=True):
        assert db.row(cluster.engine.address(name), f"show {setting}")[
            setting
        ] == cluster.engine.configuration_path(name, file)
    seen = db.row(
        cluster.engine.address(name), "select pg_read_file(current_setting('config_file')) as text"
    )["text"]
    assert seen == (cluster.folder / name / "postgresql.conf").read_text("utf-8")


def test_the_replica_follows_the_upstream_that_the_engine_names(cluster: Cluster) -> None:
    host, port = cluster.engine.upstream(PRIMARY)
    found = db.row(
        cluster.replica.address, "select sender_host, sender_port from pg_stat_wal_receiver"
    )
    assert (found["sender_host"], found["sender_port"]) == (host, port)


def test_the_rule_admits_the_engines_network_and_nothing_wider(cluster: Cluster) -> None:
    query = (
        "select user_name, address, netmask from pg_hba_file_rules "
        "where 'repl' = any(user_name) and auth_method <> 'reject'"
    )
    network = cluster.engine.rule_network()
    wanted = {
        "user_name": ["repl"],
        "address": str(network.network_address),
        "netmask": str(network.netmask),
    }
    for name in (PRIMARY, REPLICA):
        assert db.rows(cluster.engine.address(name), query) == [wanted]
    host, port, source = cluster.engine.outside_the_rule(PRIMARY)
    assert port in (5432, cluster.engine.ports[PRIMARY])
    assert socket.inet_aton(source) and not network.supernet_of(type(network)(source)), (
        host,
        source,
    )


def test_nothing_listens_beyond_the_loopback_address(cluster: Cluster) -> None:
    for name, port in cluster.engine.ports.items():
        if cluster.engine.name == "docker":
            ports = service(cluster, name).attrs["NetworkSettings"]["Ports"]
            published = [b for bindings in ports.values() for b in bindings or []]
            assert published == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
        else:
            own = postmaster(cluster, name).net_connections("all")
            assert {c.laddr.ip for c in own if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
            assert db.row(cluster.engine.address(name), "show unix_socket_directories") == {
                "unix_socket_directories": ""
            }
        assert set(listeners(port)) <= {"127.0.0.1"}
        others = [
            a.address
            for group in psutil.net_if_addrs().values()
            for a in group
            if a.family == socket.AF_INET
        ]
        for address in {a for a in others if not a.startswith("127.")}:
            with socket.socket() as probe:
                probe.settimeout(2)
                assert probe.connect_ex((address, port)) != 0, f"{name} is reached on {address}"


@pytest.mark.parametrize("name", [PRIMARY, REPLICA])
def test_the_servers_are_not_run_by_root(cluster: Cluster, name: str) -> None:
    process = postmaster(cluster, name)
    assert "postgres" in process.name() and process.uids().real == process.uids().effective != 0


def test_a_failed_command_is_an_error_unless_asked_not_to_be(cluster: Cluster) -> None:
    broken = cluster.engine.client(PRIMARY, "psql", "-X", "-c", "select no_such_column")
    with pytest.raises(CommandFailed, match="no_such_column"):
        cluster.engine.run(broken)
    assert cluster.engine.run(broken, check=False).code == 1


def test_error_lines_are_told_as_progress(cluster: Cluster) -> None:
    told: list[str] = []
    noisy = "do $$ begin raise warning 'halfway'; end $$"
    cluster.engine.run(cluster.engine.client(PRIMARY, "psql", "-X", "-c", noisy), told.append)
    assert any("halfway" in line for line in told)


def test_settings_are_judged_by_the_server_itself(cluster: Cluster) -> None:
    judge = cluster.engine.refuse_settings
    assert judge({"work_mem": "8MB", "log_line_prefix": "a'b\\c#d %m", "auto_explain.x": "1"}) == []
    complaints = judge(
        {"no_such_setting": "1", "work_mem": "many", "max_connections": "-1", "jit": "on"}
    )
    assert len(complaints) == 3
    for complaint, word in zip(complaints, ("no_such_setting", "many", "-1"), strict=True):
        assert word in complaint


def test_an_instance_that_runs_is_listed(cluster: Cluster) -> None:
    lines = " ".join(cluster.engine.existing())
    assert (
        PRIMARY in lines
        and REPLICA in lines
        and "running" in lines
        and TEMPORARY_PRIMARY not in lines
    )
    assert cluster.engine.start(PRIMARY).done() and cluster.engine.start(REPLICA).done()
    assert not cluster.engine.stop(PRIMARY).done() and not cluster.engine.remove_all().done()


# --- a cluster of its own, from nothing to nothing ---------------------------------------------------------------


@pytest.fixture(scope="module")
def own(engine_name: str, open_with: MakeCluster) -> Cluster:
    """A cluster that the tests below build up, break and remove, in their order."""
    return open_with(engine_name)


def test_before_anything_nothing_exists(own: Cluster) -> None:
    engine = own.engine
    assert engine.existing() == [] and traces(own) == [] and engine.remove_all().done()
    for name in (PRIMARY, REPLICA):
        assert (
            not engine.running(name) and not engine.has_data(name) and engine.log_tail(name) == ""
        )
    assert not own.folder.exists()


def test_a_temporary_instance_gives_both_files_complete(own: Cluster) -> None:
    own.fetch()
    own.make_secrets()
    action = own.engine.start_temporary()
    action.do(quiet)
    action.do(quiet)  # one that is there already is replaced
    for file in CONFIGURATION:
        target = own.folder / PRIMARY / file
        own.engine.copy_out(TEMPORARY_PRIMARY, file, target).do(quiet)
        text = target.read_text("utf-8")
        assert ENDS[file] in text.rstrip().splitlines()[-1], (
            "the file was copied before it was complete"
        )
        assert text == original(own, file)
    assert "max_connections = " in (own.folder / PRIMARY / "postgresql.conf").read_text("utf-8")
    assert "replication" in (own.folder / PRIMARY / "pg_hba.conf").read_text("utf-8")


def original(cluster: Cluster, file: str) -> str:
    """The file as it is inside the temporary instance."""
    if cluster.engine.name == "local":
        return (cluster.folder / "data" / TEMPORARY_PRIMARY / file).read_text("utf-8")
    container = docker_host.client().containers.get(f"{cluster.params.project}_{TEMPORARY_PRIMARY}")
    code, out = container.exec_run(["cat", f"{cluster.engine.pgdata}/{file}"])  # type: ignore[attr-defined]
    assert code == 0
    return str(out.decode())


def test_removing_the_temporary_instance_leaves_nothing(own: Cluster) -> None:
    volumes: list[str] = []
    if own.engine.name == "docker":
        container = docker_host.client().containers.get(f"{own.params.project}_{TEMPORARY_PRIMARY}")
        volumes = [m["Name"] for m in container.attrs["Mounts"] if m["Type"] == "volume"]
        assert volumes, "the image declares a volume"
    action = own.engine.remove_temporary(TEMPORARY_PRIMARY)
    assert not action.done() and own.engine.existing()
    action.do(quiet)
    assert action.done() and own.engine.existing() == []
    if own.engine.name == "docker":
        assert not {v.name for v in docker_host.client().volumes.list()} & set(volumes)
    else:
        assert not (own.folder / "data" / TEMPORARY_PRIMARY).exists()
    action.do(quiet)  # removing what is gone is fine


def test_starting_stopping_and_a_crash_keep_the_data(own: Cluster) -> None:
    set_up_primary(own)
    engine, primary = own.engine, own.primary
    assert engine.running(PRIMARY) and engine.has_data(PRIMARY) and engine.start(PRIMARY).done()
    assert "ready to accept connections" in engine.log_tail(PRIMARY)
    db.rows(primary.address, "create table kept as select 7 as n")

    engine.stop(PRIMARY).do(quiet)
    assert not engine.running(PRIMARY) and engine.has_data(PRIMARY)
    assert engine.stop(PRIMARY).done() and not engine.start(PRIMARY).done()
    assert listeners(engine.ports[PRIMARY]) == [] and not primary.answers()[0]
    engine.start(PRIMARY).do(quiet)
    primary.wait_ready()
    assert db.row(primary.address, "select n from kept") == {"n": 7}

    process = postmaster(own, PRIMARY)
    children = process.children()
    process.kill()
    for each in (process, *children):
        wait_ended(each)
    wait_until("the death to be seen", lambda: (not engine.running(PRIMARY), "running"), seconds=10)
    assert engine.has_data(PRIMARY)
    engine.start(PRIMARY).do(quiet)
    primary.wait_ready()
    assert db.row(primary.address, "select n from kept") == {"n": 7}


def test_a_server_that_is_not_ready_when_its_starter_gives_up_is_waited_for(
    own: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash with much to replay: it runs, and nobody else holds its port."""
    monkeypatch.setattr("pgrepl_lib.engine.local.engine.START_SECONDS", 1)
    rows = "select i, md5(i::text) from generate_series(1, 600000) i"
    db.rows(own.primary.address, f"create table much as {rows}")
    own.engine.kill(PRIMARY).do(quiet)
    own.primary.start()
    assert db.row(own.primary.address, "select count(*) as n from much") == {"n": 600000}
    db.rows(own.primary.address, "drop table much")


def test_what_a_server_is_at_changes_while_it_works(own: Cluster) -> None:
    """By that a recovery that gets on is told from one that hangs."""
    before = own.engine.activity(PRIMARY)
    assert "checkpointer" in before

    def changed() -> tuple[bool, str]:
        return own.engine.activity(PRIMARY) != before, before

    with closing(db.connect(own.primary.address)):
        wait_until("another activity", changed, seconds=20)
    assert own.engine.activity(REPLICA) == ""


def test_a_running_log_is_bounded(own: Cluster) -> None:
    noisy = "do $$ begin for i in 1..99 loop raise warning 'line %', i; end loop; end $$"
    db.rows(own.primary.address, noisy)
    wait_until(
        "the log", lambda: ("line 99" in own.engine.log_tail(PRIMARY), "nothing"), seconds=10
    )
    assert len(own.engine.log_tail(PRIMARY).splitlines()) <= 20


def left_copying(own: Cluster) -> Any:
    """A temporary container in which what a killed runner has begun goes on."""
    found = docker_host.find_container(f"{own.params.project}_repl_temp")
    name = "/tmp/pg_basebackup"
    found.exec_run(["sh", "-c", f"cp /bin/sleep {name} && exec {name} 300"], detach=True)

    def copies() -> tuple[bool, str]:
        seen = found.top(ps_args="-eo pid,comm")["Processes"]
        return any("pg_basebackup" in row[-1] for row in seen), str(seen)

    wait_until("a copy at work", copies, seconds=20)
    return found


def test_an_incomplete_copy_never_counts_as_prepared(own: Cluster) -> None:
    engine, replica = own.engine, own.replica
    with pytest.raises(StepFailed, match="no complete data folder"):
        replica.start()
    replica.start_temporary()
    assert engine.start_temporary_replica(REPLICA).done()
    assert not engine.backup_complete(REPLICA) and not replica.prepared()
    common = ("--format=p", "--username=repl", "--no-password")
    *password, broken = engine.base_backup(REPLICA, PRIMARY, (*common, "--slot=no_such_slot"))
    for command in password:
        engine.run(command)
    assert engine.run(broken, check=False).code != 0
    *_, half = engine.base_backup(
        REPLICA, PRIMARY, (*common, "--wal-method=none", "--no-manifest", "--checkpoint=fast")
    )
    engine.discard_backup(REPLICA)
    engine.run(half)  # all the files, but not what is written last
    assert not engine.backup_complete(REPLICA) and not replica.prepared()
    with pytest.raises(StepFailed, match="no complete data folder"):
        replica.start()
    copying = engine.name == "docker" and left_copying(own)
    engine.discard_backup(REPLICA)
    assert not (copying and copying.top(ps_args="-eo pid,comm")["Processes"][1:])
    *_, whole = engine.base_backup(REPLICA, PRIMARY, (*common, "--checkpoint=fast"))
    engine.run(whole)
    assert engine.backup_complete(REPLICA)
    assert not replica.prepared(), "the steps after the copy are still to be done"
    engine.discard_backup(REPLICA)
    assert not engine.backup_complete(REPLICA)


def test_the_replica_is_prepared_only_after_its_last_step(own: Cluster) -> None:
    set_up_replica(own)
    assert own.replica.prepared() and own.replica.streams() == (True, "streaming")
    action = own.engine.remove_temporary(TEMPORARY_REPLICA, keep_for=REPLICA)
    assert action.done()
    if own.engine.name == "docker":
        assert docker_host.find_container(f"{own.params.project}_{TEMPORARY_REPLICA}") is None
    else:
        assert not (own.folder / "data" / TEMPORARY_REPLICA).exists()


def test_removing_all_leaves_nothing(own: Cluster) -> None:
    assert traces(own) != [] and own.engine.existing() != []
    action = own.engine.remove_all()
    assert action.commands and not action.done()
    action.do(quiet)
    assert action.done() and own.engine.existing() == [] and traces(own) == []
    assert own.remove(confirm=True) == "changed"
    left = {p.name for p in own.folder.iterdir()}
    assert {n for n in left if not n.startswith((".run.", ".step."))} <= {
        "journal.jsonl",
        "journal.lock",
        "runs",
    }
    assert own.remove(confirm=True) == "unchanged"


# --- only local ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local(open_with: MakeCluster) -> Cluster:
    made = open_with("local")
    set_up_primary(made)
    return made


def stale_pid(folder: Path, pid: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "postmaster.pid").write_text(f"{pid}\n{folder}\n")


@pytest.mark.parametrize(
    "whose",
    [
        lambda c: (
            postmaster(c, PRIMARY).pid
        ),  # after a reboot the number may belong to another project's server
        lambda c: os.getpid(),
        lambda c: 2**22 + 1,
    ],
    ids=["another server", "another program", "nobody"],
)
def test_a_number_in_a_stale_pid_file_is_not_a_running_instance(
    whose: Callable[[Cluster], int], local: Cluster, open_with: MakeCluster
) -> None:
    other = open_with("local")
    stale_pid(other.folder / "data" / PRIMARY, whose(local))
    try:
        assert not other.engine.running(PRIMARY)
    finally:
        (other.folder / "data" / PRIMARY / "postmaster.pid").unlink()


def test_programs_are_shown_as_a_person_types_them(local: Cluster) -> None:
    shown = str(local.engine.client(PRIMARY, "psql", "-c", "select 1"))
    assert shown.removeprefix("runuser -u postgres -- ").startswith("psql --host=127.0.0.1 --port=")


def test_a_missing_program_is_named(local: Cluster) -> None:
    from pgrepl_lib.errors import EnvironmentLacking

    with pytest.raises(EnvironmentLacking, match="no-such-program"):
        local.engine.run(Command(("no-such-program",)))
