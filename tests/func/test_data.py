"""Data of every kind, damaged ones too, and sessions that hold replay: what is told, and that nothing is lost."""

from __future__ import annotations

import os
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks import lag
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.checks.claims import data
from pgrepl_lib.checks.status import status
from pgrepl_lib.doors import db, files
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.steps.replicas import rebuild
from tests.conftest import MakeCluster
from tests.remedies import commands_in, copied

from .operated import again, failed_checks, make, wait_caught_up
from .running import of_cluster, pgrepl

Reopen = Callable[[], Cluster]
ENGINE = "local"  # the servers decide, not the engine


@pytest.fixture(scope="module")
def reopen(open_with: MakeCluster) -> Reopen:
    """A cluster of PostgreSQL 18, which has checksums, as another process sees it now."""
    made = make(open_with, ENGINE, pg_version=18, replicas=1)

    def now() -> Cluster:
        return again(made, open_with)

    return now


@pytest.fixture
def cluster(reopen: Reopen) -> Iterator[Cluster]:
    found = reopen()
    if found.primary.name != "primary":
        Switchover(found, "primary").run()
    wait_caught_up(found)
    yield found


# --- sessions that hold replay ---------------------------------------------------------------------


def doing(cluster: Cluster, expected: str) -> None:
    """Wait until the replica's replay does this."""

    def look() -> tuple[bool, str]:
        (seen,) = lag.now(cluster)
        return seen["replay"] == expected, str(seen)

    wait_until(f"replay to be {expected}", look, seconds=20)


def test_a_reader_that_holds_replay_is_told_and_may_be_ended(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its snapshot; and by a lock."""
    monkeypatch.setattr(data, "REPLAY_SECONDS", 1)
    at, there = cluster.primary.address, cluster.replica.address
    for last in ("delete from held; vacuum held", "drop table held"):
        db.rows(at, "create table if not exists held (i int)")
        db.rows(at, "insert into held select generate_series(1, 1000)")
        wait_caught_up(cluster)
        with db.connect(there) as reader:
            reader.execute("begin isolation level repeatable read")
            reader.execute("select count(*) from held")
            for statement in last.split("; "):
                db.rows(at, statement)
            doing(cluster, "held by a query")
            assert "replay is held by a query" in lag.judge(lag.now(cluster), lag.Thresholds())[1]
            replica = status(cluster)["instances"][1]
            assert (replica["state"], replica["replay"]) == ("running", "held by a query")
            assert "replica: replay is held by" in pgrepl("status", of_cluster(cluster)).stdout
            seen = CHECKS["sample"](cluster)
            assert seen.seen == "replica: replay is held by a query" and not seen.passed
            (end,) = commands_in(seen.hint)
            assert f"pg_terminate_backend({reader.info.backend_pid})" in end
            assert copied(end).returncode == 0
            with pytest.raises(psycopg.OperationalError):
                reader.execute("select 1")
        wait_caught_up(cluster)
        assert CHECKS["sample"](cluster).passed


def test_a_pause_is_told_at_once(cluster: Cluster) -> None:
    db.rows(cluster.replica.address, "select pg_wal_replay_pause()")
    started = time.monotonic()
    seen = CHECKS["sample"](cluster)
    assert time.monotonic() - started < data.REPLAY_SECONDS / 2
    assert seen.seen == "replica: replay is paused"
    (resume,) = commands_in(seen.hint)
    assert copied(resume).returncode == 0
    assert CHECKS["sample"](cluster).passed


def test_a_stranger_with_a_replicas_name_is_not_taken_for_it(cluster: Cluster) -> None:
    """It came first, so that it is seen first."""
    stop, start = cluster.engine.stop("replica"), cluster.engine.start("replica")
    stop.do(print)
    name = cluster.replica.application_name
    at = cluster.primary.address
    with db.connect(at, settings={}, replication="true", application_name=name):
        start.do(print)
        cluster.replica.wait_streaming()
        assert failed_checks(cluster, "streaming", "slot", "receiver") == {}
        assert cluster.replica.streams() == (True, "streaming")


# --- data ----------------------------------------------------------------------------------------


def test_a_damaged_page_is_told_and_a_new_copy_has_none(cluster: Cluster) -> None:
    db.rows(cluster.primary.address, "create table damaged as select generate_series(1, 100) as i")
    db.checkpoint(cluster.primary.address)  # so that nothing writes the page once more
    wait_caught_up(cluster)
    path = db.row(cluster.replica.address, "select pg_relation_filepath('damaged') as p")["p"]
    db.checkpoint(cluster.replica.address)
    cluster.engine.stop("replica").do(print)
    damage(cluster.folder / "data/replica" / path)
    cluster.engine.start("replica").do(print)
    cluster.replica.wait_ready()
    assert failed_checks(cluster, "checksums") == {}, "nobody has read it yet"
    assert "invalid page" in CHECKS["tables"](cluster).seen
    wait_until("the count", lambda: (not CHECKS["checksums"](cluster).passed, ""), seconds=10)
    seen = CHECKS["checksums"](cluster)
    assert seen.seen.endswith("replica: data_checksums = on, postgres 1"), seen.seen
    assert rebuild(cluster, "replica") == "changed"
    assert failed_checks(cluster) == {}


def damage(file: Path) -> None:
    """One byte in the middle of the first page."""
    with file.open("r+b") as stream:
        stream.seek(4000)
        stream.write(b"\xff")


def test_what_no_replica_has_is_said_before_a_switchover(cluster: Cluster, reopen: Reopen) -> None:
    db.rows(cluster.primary.address, "create unlogged table cache as select 1 as i")
    wait_caught_up(cluster)
    planned = pgrepl("switchover --plan", of_cluster(cluster))
    assert "will be empty on replica: postgres.public.cache" in planned.stderr
    Switchover(cluster, "replica").run()
    now = reopen()
    assert db.rows(now.primary.address, "select i from cache") == []
    db.rows(now.primary.address, "drop table cache")


CONSUME = """
select count(*) from pg_logical_slot_get_binary_changes(
    'theirs', null, null, 'proto_version', '1', 'publication_names', 'everything')"""
COPIED = "select exists (select from pg_replication_slots where synced and not temporary) as there"
SYNCHRONIZE = {"wal_level": "logical", "sync_replication_slots": "on", "hot_standby_feedback": "on"}


def consumed(cluster: Cluster, name: str) -> bool:
    """A consumer takes what there is; whether this replica has a copy of its slot."""
    db.rows(cluster.primary.address, "insert into told values (1)")
    db.checkpoint(cluster.primary.address)
    db.rows(cluster.primary.address, CONSUME)
    return bool(db.row(cluster.instance(name).address, COPIED)["there"])


@pytest.mark.long
@pytest.mark.parametrize("auth_method", ["trust", "scram-sha-256"])
def test_logical_slots_go_with_the_role_where_replicas_copy_them(
    auth_method: str, open_with: MakeCluster
) -> None:
    """There and back, and after a failover; what is not copied yet is told as lost."""
    made = make(
        open_with,
        ENGINE,
        pg_version=18,
        replicas=1,
        auth_method=auth_method,
        settings=SYNCHRONIZE,
    )

    def now() -> Cluster:
        return again(made, open_with)

    at = made.primary.address
    db.rows(at, "create table told (i int)")
    db.rows(at, "create publication everything for all tables")
    db.rows(at, "select pg_create_logical_replication_slot('theirs', 'pgoutput', failover => true)")
    assert "will not have: theirs" in "".join(Switchover(made, "replica").losses())
    for name, old in (("replica", "primary"), ("primary", "replica")):
        wait_until("a copy", lambda to=name: (consumed(now(), to), ""), seconds=30, every=1)
        change = Switchover(now(), name)
        assert change.losses() == []
        change.run()
        consumed(now(), old)
    wait_until("a copy", lambda: (consumed(now(), "replica"), ""), seconds=30, every=1)
    now().primary.kill()
    change = Failover(now())
    assert change.losses() == []
    change.run()
    consumed(now(), "replica")
    Rejoin(now(), "primary").run()
    wait_until("a copy", lambda: (consumed(now(), "primary"), ""), seconds=30, every=1)
    assert failed_checks(now()) == {}


def test_a_library_that_only_the_primary_has_preloaded_is_told(cluster: Cluster) -> None:
    """By the check, and before roles change; one that is nowhere is refused before anything."""
    db.rows(cluster.primary.address, "alter system set shared_preload_libraries = auto_explain")
    restart(cluster)
    assert CHECKS["libraries"](cluster).seen == "auto_explain"
    (said,) = Switchover(cluster, "replica").losses()
    assert "replica has not preloaded auto_explain" in said
    (way,) = commands_in(said)
    assert way.endswith("""'{"shared_preload_libraries": "auto_explain"}'""")
    db.rows(cluster.primary.address, "alter system reset shared_preload_libraries")
    restart(cluster)
    assert failed_checks(cluster, "libraries") == {}
    given = {**of_cluster(cluster), "settings": '{"shared_preload_libraries": "nowhere"}'}
    done = pgrepl("plan", given)
    assert done.returncode == 2 and 'could not access file "nowhere"' in done.stderr


def restart(cluster: Cluster) -> None:
    for act in (cluster.engine.stop, cluster.engine.start):
        act("primary").do(print)
    cluster.primary.wait_ready()


@pytest.mark.long
def test_wal_that_lies_elsewhere_is_followed_kept_and_left(
    cluster: Cluster, reopen: Reopen
) -> None:
    """`pg_wal` is a link, as where it lies on a disk of its own."""
    linked(cluster, "primary")
    wait_caught_up(cluster)
    assert failed_checks(cluster) == {}
    cluster.primary.kill()
    Failover(reopen()).run()
    done = pgrepl("rejoin primary --full-copy --keep-data --yes", of_cluster(cluster))
    assert done.returncode == 0, done.stderr
    assert "data/primary/pg_wal is a link to" in done.stderr
    (kept,) = cluster.folder.glob("*.tar")
    with tarfile.open(kept) as archive:
        wal = [m for m in archive.getmembers() if re.search(r"pg_wal/[0-9A-F]{24}$", m.name)]
    assert wal and all(member.isfile() and member.size for member in wal)
    kept.unlink()
    assert any((cluster.folder / "elsewhere").iterdir())
    files.remove(cluster.folder / "elsewhere")
    assert failed_checks(reopen()) == {}


def linked(cluster: Cluster, name: str) -> None:
    """A stopped instance's WAL moves to another place."""
    cluster.engine.stop(name).do(print)
    here, there = cluster.folder / "data" / name / "pg_wal", cluster.folder / "elsewhere"
    owner = here.stat()
    here.rename(there)
    here.symlink_to(there)
    os.lchown(here, owner.st_uid, owner.st_gid)
    cluster.engine.start(name).do(print)
    cluster.instance(name).wait_ready()
