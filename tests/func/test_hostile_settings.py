"""Settings that a user may give to everybody, to a role or to a database: ours depend on none of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks.checks import CHECKS, SET_UP
from pgrepl_lib.doors import db
from pgrepl_lib.drills.workload import Load, Writer
from pgrepl_lib.operations.synchronous import set_synchronous, try_commit
from tests.conftest import MakeCluster, set_up_primary, set_up_replica

pytestmark = (
    pytest.mark.long_on_docker
)  # they are the server's; what programs are given, test_engine_contract.py sees
SERVER_WIDE = {
    "statement_timeout": "30s",
    "client_min_messages": "error",
    "password_encryption": "md5",
    "default_transaction_isolation": "serializable",  # which a replica refuses
    "standard_conforming_strings": "off",
    "search_path": "pg_temp",
    "log_statement": "all",
    "log_min_duration_statement": "0",
}
OF_THE_ROLE = {
    "role": "pgrepl_somebody",
    "lock_timeout": "1ms",
    "statement_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "default_tablespace": "pg_global",
    "synchronous_commit": "off",
    "session_replication_role": "replica",
}
OF_THE_DATABASE = {"DateStyle": "German", "bytea_output": "escape", "client_encoding": "LATIN1"}


@pytest.fixture(scope="module")
def hostile(engine_name: str, open_with: MakeCluster) -> Cluster:
    """A cluster that is made with such settings."""
    cluster = open_with(engine_name, settings=SERVER_WIDE)
    set_up_primary(cluster)
    set_up_replica(cluster)
    return cluster


@pytest.fixture
def more_hostile(hostile: Cluster) -> Iterator[Cluster]:
    """The same, after somebody also changed the superuser's and the database's sessions."""
    at = hostile.primary.address
    db.rows(at, "create role pgrepl_somebody")
    for name, value in OF_THE_ROLE.items():
        db.rows(at, f"alter role postgres set {name} = '{value}'")
    for name, value in OF_THE_DATABASE.items():
        db.rows(at, f"alter database postgres set {name} = '{value}'")
    yield hostile
    db.rows(at, "alter role postgres reset all")
    db.rows(at, "alter database postgres reset all")
    db.rows(at, "drop role pgrepl_somebody")


def failed_checks(cluster: Cluster) -> dict[str, str]:
    made = [CHECKS[name](cluster) for name in SET_UP]
    return {check.name: check.seen for check in made if not check.passed}


def test_every_check_passes_whatever_the_server_sets_for_its_sessions(hostile: Cluster) -> None:
    assert failed_checks(hostile) == {}


def test_every_check_passes_whatever_a_role_or_a_database_sets(more_hostile: Cluster) -> None:
    """But for the one that says so: what is configured is hidden from the superuser's sessions."""
    failed = failed_checks(more_hostile)
    assert set(failed) == {"settings"}, failed
    assert "statement_timeout" in failed["settings"]


def test_nothing_of_a_password_is_in_the_log(hostile: Cluster) -> None:
    """With every statement logged, those that hold one are not."""
    at = hostile.primary.address
    CHECKS["right-needed"](hostile)
    query = "select rolpassword from pg_authid where rolname = %s"
    verifier = db.row(at, query, [hostile.params.replication_user])["rolpassword"]
    assert verifier.startswith("SCRAM-SHA-256$")
    log = whole_log(hostile)
    assert "alter role" in log and verifier not in log and "login password" not in log


def test_a_commit_that_no_replica_has_is_not_counted_as_confirmed(hostile: Cluster) -> None:
    """The wait is cancelled: the server only warns, and `client_min_messages` would hide even that."""
    set_synchronous(hostile, "ANY 1")
    writer = Writer(hostile).start()
    try:
        hostile.engine.stop("replica").do(print)
        counted = len(writer.acknowledged)
        waiting = (
            "select pg_cancel_backend(pid) as n from pg_stat_activity where wait_event = 'SyncRep'"
        )
        cancelled = 0
        while cancelled < 3:
            cancelled += len(db.rows(hostile.primary.address, waiting))
        assert try_commit(hostile, 1) == "commit waiting"
        assert len(writer.acknowledged) <= counted + 1
    finally:
        hostile.engine.start("replica").do(print)
        hostile.replica.wait_ready()
        report = writer.stop()
        set_synchronous(hostile, "")
        writer.forget()
    assert report.lost == 0 and report.in_doubt >= 3


def test_a_look_at_a_replica_that_replay_ends_is_made_again(hostile: Cluster) -> None:
    """Who applies WAL waits no longer than this for who reads (manual, 27.4.2)."""
    primary, replica = hostile.primary, hostile.replica
    db.rows(primary.address, "create table read_there as select 1 as n")
    db.rows(replica.address, "alter system set max_standby_streaming_delay = '100ms'")
    db.rows(replica.address, "select pg_reload_conf()")
    lsn = db.row(primary.address, "select pg_current_wal_lsn()::text as lsn")["lsn"]
    replica.wait_replayed(lsn, 30)
    with ThreadPoolExecutor() as beside:
        slow = "select (select n from read_there), pg_sleep(1)"
        found = beside.submit(db.rows, replica.address, slow)
        time.sleep(0.3)
        db.rows(primary.address, "truncate read_there")
        assert found.result() == [{"n": None, "pg_sleep": ""}], "asked again, it sees what is now"
    db.rows(replica.address, "alter system reset max_standby_streaming_delay")
    db.rows(primary.address, "drop table read_there")


def test_programs_that_we_start_work_too(more_hostile: Cluster) -> None:
    load = Load(more_hostile, seconds=1, scale=1)
    try:
        load.prepare()
        load.start()
        load.wait()
    finally:
        load.forget()


def whole_log(cluster: Cluster) -> str:
    if cluster.engine.name == "local":
        return (cluster.folder / "logs/primary.log").read_text("utf-8")
    from .operated import container_of

    return str(container_of(cluster, "primary").logs().decode())
