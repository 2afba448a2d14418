"""What an operator may get wrong, and what may break while roles change: refused, or finished by running again."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.checks.hanging import silent
from pgrepl_lib.checks.status import status
from pgrepl_lib.cluster.changes import unanswered
from pgrepl_lib.doors import ahead, db
from pgrepl_lib.doors.answer import LOOK_SECONDS, SHOWN_SECONDS
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.drift import drift
from pgrepl_lib.drills.workload import Writer
from pgrepl_lib.engine import life
from pgrepl_lib.errors import ParameterError, PgreplError, ProjectBusy, StepFailed
from pgrepl_lib.operations import standing, switchover
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import set_synchronous, try_commit
from pgrepl_lib.postgres.control import ControlFile
from pgrepl_lib.steps.instance import Instance
from pgrepl_lib.steps.replicas import add, rebuild
from tests.conftest import DOCUMENT, MakeCluster
from tests.func.operated import (
    NAMES,
    again,
    another_cluster,
    bring_home,
    configuration,
    container_of,
    everything_recorded,
    failed_checks,
    journal_says,
    killed_runner,
    make,
    processes_of,
    recorded,
    slots,
    wait_caught_up,
)
from tests.func.running import CHECKOUT, of_cluster, pgrepl, pgrepl_at_once, words

pytestmark = pytest.mark.long_on_docker  # what is refused, and finished, is the same on both
RECEIVEWAL = "/usr/lib/postgresql/15/bin/pg_receivewal"
Reopen = Callable[[], Cluster]
OPERATION = ("one-primary", "streaming", "slot", "receiver", "same-cluster", "settings", "tables")


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Cluster:
    """With a password on one engine; `test_operate.py` has it on the other."""
    return make(open_with, engine_name, **({} if engine_name == "local" else DOCUMENT))


@pytest.fixture
def reopen(made: Cluster, open_with: MakeCluster) -> Reopen:
    """The cluster as another process sees it now."""
    return lambda: again(made, open_with)


@pytest.fixture
def cluster(reopen: Reopen) -> Iterator[Cluster]:
    """Opened anew for each test, which may leave the roles as it likes."""
    yield reopen()
    bring_home(reopen())


@contextmanager
def refused(cluster: Cluster, match: str, error: type[PgreplError] = StepFailed) -> Iterator[None]:
    """The block is refused with this, and nothing was done: no file, no slot, no server is other than before."""
    before = everything_recorded(cluster)
    with pytest.raises(error) as caught:
        yield
    assert re.search(match, str(caught.value)), str(caught.value)
    assert everything_recorded(cluster) == before


# --- refused -----------------------------------------------------------------------------------------------------


def test_a_switchover_to_no_replica_is_refused(cluster: Cluster) -> None:
    with refused(cluster, "No instance 'replica-9'", ParameterError):
        Switchover(cluster, "replica-9").run()
    with refused(cluster, "primary is the primary already", ParameterError):
        Switchover(cluster, "primary").run()


def test_a_switchover_to_a_replica_that_is_not_up_to_it_is_refused(cluster: Cluster) -> None:
    replica = cluster.instance("replica")
    wait_caught_up(cluster)
    db.rows(replica.address, "select pg_wal_replay_pause()")
    with refused(cluster, "replica: replay is paused"):
        Switchover(cluster, "replica").run()
    db.rows(
        cluster.primary.address,
        "create table behind as select i, md5(i::text) from generate_series(1, 20000) i",
    )
    with refused(cluster, r"replica: \d{6,} bytes behind, the limit is 100000"):
        Switchover(cluster, "replica", max_lag=100_000).run()
    db.rows(replica.address, "select pg_wal_replay_resume()")
    db.rows(cluster.primary.address, "drop table behind")
    cluster.engine.stop("replica").do(print)
    with refused(cluster, "replica: stopped"):
        Switchover(cluster, "replica").run()
    with refused(cluster, "replica: not connected"):  # it would be left behind
        Switchover(cluster, "replica-2").run()


@contextmanager
def set_to(instance: Instance, setting: str, value: str) -> Iterator[None]:
    db.rows(instance.address, f"alter system set {setting} = '{value}'")
    db.rows(instance.address, "select pg_reload_conf()")
    try:
        yield
    finally:
        db.rows(instance.address, f"alter system reset {setting}")
        db.rows(instance.address, "select pg_reload_conf()")


def shows(instance: Instance, setting: str, value: str) -> None:
    """Until the server has read it."""

    def probe() -> tuple[bool, str]:
        seen = str(db.row(instance.address, f"show {setting}")[setting])
        return seen == value, seen

    wait_until(f"{setting} to be {value}", probe, seconds=10)


@contextmanager
def reading(replica: Instance) -> Iterator[db.BoundedConnection]:
    """Somebody reads there, and nothing may end that; what it sees is removed on the primary."""
    with (
        set_to(replica, "max_standby_streaming_delay", "-1"),
        closing(db.connect(replica.address)) as reader,
    ):
        shows(replica, "max_standby_streaming_delay", "-1")
        reader.execute("begin isolation level repeatable read")
        reader.execute("select * from seen")
        yield reader


@pytest.fixture
def seen(cluster: Cluster) -> Iterator[str]:
    """A table whose rows go away while somebody reads them."""
    write(
        cluster,
        "drop table if exists seen, more; create table seen as select i from generate_series(1, 1000) i",
    )
    wait_caught_up(cluster)
    yield "delete from seen; vacuum seen; create table more as select i from generate_series(1, 100) i"


def write(cluster: Cluster, statements: str) -> None:
    for statement in statements.split("; "):
        db.rows(cluster.primary.address, statement)


def test_a_switchover_that_could_not_end_is_refused(cluster: Cluster, seen: str) -> None:
    replica = cluster.instance("replica")
    with set_to(replica, "recovery_min_apply_delay", "10min"):
        shows(replica, "recovery_min_apply_delay", "10min")
        with refused(
            cluster,
            "replica: recovery_min_apply_delay is 10min(.|\n)*alter system reset recovery_min_apply_delay",
        ):
            Switchover(cluster, "replica").run()
    with reading(replica) as reader:
        reader.execute("select pg_sleep(6)")
        pid = reader.info.backend_pid
        with refused(
            cluster,
            rf"replica: process {pid} reads(.|\n)*what to do: wait for .*pg_terminate_backend\({pid}\)",
        ):
            Switchover(cluster, "replica").run()


@pytest.mark.parametrize("what", ["a delay", "a reader"])
def test_a_switchover_whose_replica_stops_to_replay_is_taken_back(
    cluster: Cluster, seen: str, what: str, monkeypatch: pytest.MonkeyPatch, reopen: Reopen
) -> None:
    monkeypatch.setattr(switchover, "STANDSTILL_SECONDS", 1)
    replica = cluster.instance("replica")
    change = Switchover(cluster, "replica")
    change.prepare()
    hold = {
        "a delay": set_to(replica, "recovery_min_apply_delay", "10min"),
        "a reader": reading(replica),
    }[what]
    with hold:
        if what == "a delay":
            shows(replica, "recovery_min_apply_delay", "10min")
        write(cluster, seen)
        with pytest.raises(
            StepFailed, match="was taken back: primary accepts writes again"
        ) as caught:
            change.stop_writes()
        assert {"a delay": "delayed", "a reader": "held by a query"}[what] in str(caught.value)
        assert "pgrepl switchover" in caught.value.remedy
    assert not reopen().topology.operation
    write(reopen(), "drop table more")
    assert failed_checks(reopen(), "one-primary", "slot", "streaming") == {}


@pytest.mark.parametrize("what", ["a delay", "a reader"])
def test_a_failover_promotes_with_all_that_is_received(
    cluster: Cluster,
    seen: str,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(standing, "HELD_SECONDS", 1)
    replica = cluster.instance("replica")
    delayed = set_to(replica, "recovery_min_apply_delay", "10min")
    with delayed if what == "a delay" else reading(replica):
        if what == "a delay":
            shows(replica, "recovery_min_apply_delay", "10min")
            db.rows(replica.address, "select pg_wal_replay_pause()")
        write(cluster, seen)
        sent = "select pg_current_wal_lsn() <= min(flush_lsn) as all from pg_stat_replication"
        wait_until(
            "it to be received",
            lambda: (bool(db.row(cluster.primary.address, sent)["all"]), ""),
            seconds=20,
        )
        cluster.primary.kill()
        Failover(cluster, "replica").run()
    assert cluster.primary.name == "replica"
    assert db.row(cluster.primary.address, "select count(*) as n from more")["n"] == 100
    assert {
        "a delay": "its promotion applies all",
        "a reader": "read, and held replay: they were ended",
    }[what] in "".join(capfd.readouterr())


@contextmanager
def archiving(primary: Instance) -> Iterator[None]:
    """With an archive, and logical decoding; afterwards with none, whoever is the primary then."""
    write(
        primary.cluster,
        f"alter system set archive_mode = on; alter system set archive_command = '{ARCHIVE}'",
    )
    db.rows(primary.address, "alter system set wal_level = logical")
    restart(primary)
    try:
        yield
    finally:
        for setting in ("archive_command", "archive_mode", "wal_level"):
            db.rows(primary.address, f"alter system reset {setting}")
        db.rows(primary.address, "select pg_reload_conf()")
        restart(primary)


ARCHIVE = "test ! -e broken || sh broken"
BREAKS = "copy (select '{}') to program 'cat > broken'; create table if not exists archived (n int); select pg_switch_wal()"
OLDER = "copy (select 1) to program 'touch -d -1minute pg_wal/archive_status/*.ready'"
ARCHIVER = "select last_failed_time > coalesce(last_archived_time, '-infinity') as fails from pg_stat_archiver"


@pytest.mark.long
def test_a_switchover_whose_primary_cannot_archive_is_refused_or_taken_back(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, reopen: Reopen
) -> None:
    primary = cluster.primary

    def fails(wanted: bool) -> None:
        look = lambda: (db.row(primary.address, ARCHIVER)["fails"] is wanted, "")  # noqa: E731
        wait_until("the archiver", look, seconds=60)

    with archiving(primary):
        write(cluster, "select pg_create_logical_replication_slot('theirs', 'pgoutput')")
        assert "will not have: theirs" in Switchover(cluster, "replica").losses()[0]
        write(cluster, "select pg_drop_replication_slot('theirs')")
        write(cluster, BREAKS.format("exit 1"))
        fails(True)
        with refused(
            cluster,
            "primary: archive_command does not archive 0000(.|\n)*what to do: correct archive_command",
        ):
            Switchover(cluster, "replica").run()
        write(cluster, BREAKS.format("exit 0"))
        fails(False)
        change = Switchover(cluster, "replica")
        change.prepare()
        write(cluster, f"drop table archived; {BREAKS.format('sleep 600')}")
        monkeypatch.setattr(life, "STOP_SECONDS", 3)
        with pytest.raises(
            StepFailed, match="was taken back: primary accepts writes again"
        ) as caught:
            change.stop_writes()
        assert (
            "archiver archiving 0000" in str(caught.value)
            and "correct archive_command" in caught.value.remedy
        )
        write(cluster, f"drop table archived; {OLDER}")
        assert failed_checks(reopen(), "one-primary", "slot", "streaming") == {}
        with refused(reopen(), "primary: archive_command does not archive 0000"):
            Switchover(reopen(), "replica").run()
        Failover(reopen(), "replica", force=True).run()
        assert reopen().primary.name == "replica"
        Rejoin(reopen(), "primary", full_copy=True).run()


def restart(instance: Instance) -> None:
    for each in (instance.cluster.engine.stop, instance.cluster.engine.start):
        each(instance.name).do(print)
    instance.wait_ready()


@pytest.mark.skipif(not Path(RECEIVEWAL).exists(), reason="no pg_receivewal here")
def test_who_else_receives_wal_is_told_and_fails_no_check(cluster: Cluster, tmp_path: Path) -> None:
    wait_caught_up(cluster)
    consumer = "select pid from pg_stat_replication where application_name = 'pg_receivewal'"
    with receiving(cluster, tmp_path):
        there = lambda: (bool(db.rows(cluster.primary.address, consumer)), "nobody")  # noqa: E731
        wait_until("the consumer", there, seconds=20)
        assert failed_checks(cluster, "streaming") == {}
        assert any("pg_receivewal receives WAL, too" in n for n in drift.consumers(cluster))


@pytest.mark.skipif(not Path(RECEIVEWAL).exists(), reason="no pg_receivewal here")
def test_somebody_who_answers_as_a_synchronous_standby_is_found(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Under the name of a replica that stands: commits are confirmed that no replica has."""
    set_synchronous(cluster, "ANY 1")
    assert failed_checks(cluster, "synchronous") == {}
    for replica in cluster.replicas:
        cluster.engine.stop(replica.name).do(print)
    with receiving(cluster, tmp_path, "replica-1"):
        confirmed = lambda: (try_commit(cluster, 1) == "commit confirmed", "waiting")  # noqa: E731
        wait_until("a commit that nobody of ours confirmed", confirmed, seconds=20)
        (seen,) = failed_checks(cluster, "synchronous").values()
        assert "answers as replica-1 and is none of ours" in seen
        for replica in cluster.replicas:
            cluster.engine.start(replica.name).do(print)
            replica.wait_ready()
        seen = failed_checks(cluster, "synchronous")["synchronous"]
        assert seen.count("is none of ours") == 1, "and only that one"


@contextmanager
def receiving(cluster: Cluster, folder: Path, name: str = "pg_receivewal") -> Iterator[None]:
    """An archive of somebody's, or what calls itself otherwise; it ends with its connection."""
    words = [
        "pg_receivewal",
        "--no-loop",
        "--username=postgres",
        "--synchronous",
        f"--dbname=application_name={name}",
    ]
    end = f"""select pg_terminate_backend(pid) from pg_stat_replication
              where application_name = '{name}' and pid not in
                  (select active_pid from pg_replication_slots where active_pid is not null)"""
    if cluster.engine.name == "docker":
        container = container_of(cluster, "primary")
        container.exec_run(["mkdir", "-m", "777", "/tmp/received"])
        container.exec_run([*words, "--directory=/tmp/received"], user="postgres", detach=True)
        yield
        db.rows(cluster.primary.address, end)
        return
    at = cluster.primary.address
    where = [f"--directory={folder}", f"--host={at.host}", f"--port={at.port}"]
    with subprocess.Popen(
        [RECEIVEWAL, *words[1:], *where], env={"PGPASSWORD": at.password}, stderr=subprocess.DEVNULL
    ):
        yield
        db.rows(at, end)


def test_a_failover_while_the_primary_lives_is_refused(cluster: Cluster) -> None:
    with refused(cluster, r"primary is the primary, and answers\n.*switchover .*--to replica"):
        Failover(cluster).run()
    with refused(cluster, "No instance 'nobody'", ParameterError):
        Failover(cluster, "nobody", force=True).run()


@contextmanager
def rejecting(cluster: Cluster) -> Iterator[None]:
    """A rule of the primary lets no superuser in; whoever is in stays."""
    primary = cluster.primary
    path = cluster.folder / primary.name / "pg_hba.conf"
    before = path.read_text("utf-8")
    with db.connect(primary.address) as inside:
        inside.execute("select 1")
        path.write_text(f"host all postgres all reject\n{before}", "utf-8")
        try:
            inside.execute("select pg_reload_conf()")
            wait_until("the rule", lambda: (not primary.answers()[0], "answers"), seconds=10)
            yield
            inside.execute("select 1")  # it was not killed
        finally:
            path.write_text(before, "utf-8")
            inside.execute("select pg_reload_conf()")
    wait_until("the login", primary.answers, seconds=10)


@contextmanager
def exhausted(cluster: Cluster) -> Iterator[None]:
    """All the primary's connections are taken, by superusers."""
    with ExitStack() as stack:
        query = "select current_setting('max_connections')::int as n"
        count = db.row(cluster.primary.address, query)["n"]
        inside = stack.enter_context(db.connect(cluster.primary.address))
        with suppress(psycopg.OperationalError):
            for _ in range(count):
                stack.enter_context(db.connect(cluster.primary.address))
        yield
        inside.execute("select 1")
    wait_until("the login", cluster.primary.answers, seconds=10)


@pytest.mark.parametrize(("way", "sqlstate"), [(rejecting, "28000"), (exhausted, "53300")])
def test_a_primary_that_refuses_us_is_alive(
    cluster: Cluster, way: Callable[[Cluster], AbstractContextManager[None]], sqlstate: str
) -> None:
    said = f"refuses us: SQLSTATE {sqlstate}"
    with way(cluster):
        with pytest.raises(StepFailed, match=f"primary is the primary, and {said}"):
            Failover(cluster).run()
        with pytest.raises(StepFailed, match=f"primary is the primary, and {said}"):
            Switchover(cluster, "replica").run()
        assert cluster.topology.operation == {} and cluster.topology.primary == "primary"
        states = {i["name"]: i["state"] for i in status(cluster)["instances"]}
        assert states.pop("primary").startswith(said) and set(states.values()) == {"running"}
        assert said in failed_checks(cluster, "one-primary")["one-primary"]
        done = pgrepl("lag", of_cluster(cluster))
        assert done.returncode == 3 and f"UNKNOWN - primary {said}" in done.stdout


@contextmanager
def hanging(cluster: Cluster) -> Iterator[None]:
    """Whoever comes in waits until the block ends; who is in stays."""
    with db.connect(cluster.primary.address) as inside, inside.transaction():
        inside.execute("lock table pg_authid in access exclusive mode")
        yield


@contextmanager
def paused(cluster: Cluster) -> Iterator[None]:
    """Every process of it is stopped."""
    found = processes_of(cluster, "primary")
    for process in found:
        process.suspend()
    try:
        yield
    finally:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def test_who_hangs_is_named_by_whoever_looks(cluster: Cluster) -> None:
    commands = ("lag", "check", "run", "switchover --to replica --yes")
    state = "hung: no answer within {} s"
    shown = state.format(SHOWN_SECONDS)
    state = state.format(LOOK_SECONDS)
    with hanging(cluster):
        seen = {i["name"]: i["state"] for i in status(cluster)["instances"]}
        done = pgrepl_at_once(cluster, *commands)
    assert seen == {"primary": shown, "replica": "running", "replica-2": "running"}
    assert [d.returncode for d in done] == [3, 1, 1, 1]
    assert not [d.args for d in done if "Traceback" in d.stderr]
    lag, check, run, change = done
    assert f"UNKNOWN - primary {shown}" in lag.stdout and f"primary {state}" in check.stdout
    assert (
        f"primary {state}" in run.stderr and f"primary is the primary, and {state}" in change.stderr
    )


def test_who_is_paused_is_named_by_whoever_looks(cluster: Cluster) -> None:
    commands = ("status", "lag", "check")
    with paused(cluster):
        done = pgrepl_at_once(cluster, *commands)
    assert [d.returncode for d in done] == [0, 3, 1]
    assert not [d.args for d in done if "Traceback" in d.stderr]
    assert re.search(r"^primary .*(paused|hung)", done[0].stdout, re.M)
    assert re.search(r"UNKNOWN - primary (is paused|hung)", done[1].stdout)
    assert re.search(r"primary (is paused|hung)", done[2].stdout)


@pytest.mark.long
def test_a_branch_that_was_left_is_not_promoted_however_far_it_is(
    cluster: Cluster, reopen: Reopen
) -> None:
    """replica-2 goes on along the lost primary's timeline, which the others have left behind it."""
    cluster.engine.stop("replica").do(print)
    db.rows(cluster.primary.address, "create table branch as select 1 as n")
    for _ in range(2):  # so that it is far ahead
        db.rows(cluster.primary.address, "select pg_switch_wal()")
        db.rows(cluster.primary.address, "insert into branch values (1)")
    lsn = db.row(cluster.primary.address, "select pg_current_wal_lsn()::text as lsn")["lsn"]
    cluster.instance("replica-2").wait_replayed(lsn, 30)
    cluster.engine.stop("replica-2").do(print)
    cluster.primary.kill()
    cluster.engine.start("replica").do(print)
    cluster.instance("replica").wait_ready()
    Failover(cluster).run()
    now = reopen()
    Rejoin(now, "primary", full_copy=True).run()
    now.engine.start("replica-2").do(print)
    now.instance("replica-2").wait_ready()
    assert {i["name"]: i["state"] for i in status(now)["instances"]}["replica-2"].startswith(
        "on a branch that was left"
    )
    way = r"pgrepl replica rebuild .*replica-2 --discard`"
    with pytest.raises(
        StepFailed, match=rf"replica-2 does not follow: it is on a branch that was left(.|\n)*{way}"
    ):
        now.instance("replica-2").start()
    failed = [
        c for c in (CHECKS[n](now) for n in ("slot", "receiver", "same-cluster")) if not c.passed
    ]
    assert failed and all(re.search(way, c.hint) for c in failed)
    assert "replica-2: on a branch that was left" in pgrepl("lag", of_cluster(cluster)).stdout
    with refused(now, "replica-2 has data that replica does not have(.|\n)*a branch that was left"):
        rebuild(now, "replica-2")
    now.primary.kill()
    with pytest.raises(
        StepFailed, match=r"replica-2: on a branch that was left: timeline \d+ was left at"
    ):
        Failover(now, "replica-2")
    change = Failover(now)
    first, left = change.seen
    assert [first.name, left.name] == ["primary", "replica-2"]
    assert first.branch.timeline == left.branch.timeline + 1
    assert change.seen[1].end > change.seen[0].end and change.new.name == "primary"
    now.engine.stop("primary").do(print)
    with pytest.raises(StepFailed, match=r"failover .*--to replica-2 --force"):
        Failover(now)
    assert Failover(now, "replica-2", force=True).new.name == "replica-2"
    now.engine.start("primary").do(print)
    now.instance("primary").wait_ready()
    Failover(now).run()
    rebuild(reopen(), "replica-2", discard=True)
    assert reopen().primary.name == "primary"


def test_who_turns_out_to_have_more_once_the_primary_is_fenced_is_promoted(
    cluster: Cluster,
) -> None:
    """What the lost primary had sent may still arrive after the choice."""
    change = Failover(cluster, "replica-2", force=True)
    cluster.engine.stop("replica-2").do(print)
    db.rows(
        cluster.primary.address, "create table later as select i from generate_series(1, 1000) i"
    )
    lsn = db.row(cluster.primary.address, "select pg_current_wal_lsn()::text as lsn")["lsn"]
    cluster.instance("replica").wait_replayed(lsn, 30)
    cluster.primary.kill()
    cluster.engine.start("replica-2").do(print)
    cluster.instance("replica-2").wait_ready()
    change.run()
    assert cluster.primary.name == "replica" and not cluster.topology.operation
    assert db.row(cluster.primary.address, "select count(*) as n from later")["n"] == 1000
    db.rows(cluster.primary.address, "drop table later")


def test_a_failover_to_a_replica_that_has_less_is_refused(cluster: Cluster) -> None:
    cluster.engine.stop("replica").do(print)
    db.rows(
        cluster.primary.address, "create table less as select i from generate_series(1, 1000) i"
    )
    cluster.instance("replica-2").wait_replayed(
        db.row(cluster.primary.address, "select pg_current_wal_lsn()::text as lsn")["lsn"], 30
    )
    cluster.primary.kill()
    with refused(cluster, "replica: stopped"):
        Failover(cluster, "replica").run()
    cluster.engine.start("replica").do(print)
    cluster.instance("replica").wait_ready()
    with refused(cluster, "replica-2 has received more"):
        Failover(cluster, "replica").run()
    for name in ("replica", "replica-2"):
        cluster.engine.stop(name).do(print)
    with refused(cluster, r"No replica can take over.*\n.*stopped"):
        Failover(cluster).run()
    assert cluster.primary.start() == "changed"
    db.rows(cluster.primary.address, "drop table less")


def test_of_two_failovers_at_once_one_is_done(cluster: Cluster, reopen: Reopen) -> None:
    wait_caught_up(cluster)
    cluster.primary.kill()
    ways = [f"failover --to {name} --yes" for name in ("replica", "replica-2")]
    codes = {done.returncode for done in pgrepl_at_once(cluster, *ways)}
    assert codes in ({0, 1}, {0, 3}), "the other one was refused, or had nothing left to do"
    now = reopen()
    assert not now.topology.operation and failed_checks(now, *OPERATION) == {}


def test_a_rejoin_of_one_that_is_a_replica_has_nothing_to_do(cluster: Cluster) -> None:
    """As one whose runner was killed at its very end, and which is run again."""
    wait_caught_up(cluster)
    done = pgrepl("rejoin replica", of_cluster(cluster))
    assert done.returncode == 0 and "replica is a replica" in done.stdout, done.stderr
    assert "changed  Bring replica back" not in done.stderr.replace("unchanged", "")
    again = Rejoin(cluster, "replica")
    assert again.run().empty and again.come_back() == "unchanged"


def test_a_rejoin_of_the_primary_or_of_nobody_is_refused(cluster: Cluster) -> None:
    with refused(cluster, "primary is the primary", ParameterError):
        rebuild(cluster, "primary")
    with refused(cluster, "No instance 'nada'", ParameterError):
        rebuild(cluster, "nada")
    cluster.engine.stop("replica").do(print)
    with refused(cluster, "replica is not fenced: it is a replica already"):
        Rejoin(cluster, "replica").run()
    with refused(cluster, r"primary is the primary.*\n.*pgrepl status", ParameterError):
        Rejoin(cluster, "primary").run()
    with refused(cluster, "No instance 'nobody'", ParameterError):
        Rejoin(cluster, "nobody").run()


def test_data_of_another_cluster_do_not_come_back(cluster: Cluster) -> None:
    cluster.primary.kill()
    Failover(cluster).run()
    own = ControlFile.parse(cluster.engine.control_file("primary")).system_identifier
    with another_cluster(cluster, "primary"):
        other = ControlFile.parse(cluster.engine.control_file("primary"))
        assert other.system_identifier != own
        for full_copy in (False, True):  # not even thrown away: nobody knows whose they are
            with refused(
                cluster,
                f"primary never belonged to this cluster.*\n.*{other.system_identifier}, not {own}",
            ):
                Rejoin(cluster, "primary", full_copy).run()
        assert not cluster.engine.running("primary")
    Rejoin(cluster, "primary").run()
    assert failed_checks(cluster, *OPERATION) == {}


# --- half done ---------------------------------------------------------------------------------------------------


def test_while_a_switchover_is_unfinished_nothing_else_is_done(
    cluster: Cluster, reopen: Reopen
) -> None:
    elsewhere = reopen()  # by another process, which is slower
    late = Switchover(elsewhere, "replica-2")
    begun = Switchover(cluster, "replica")
    begun.prepare()
    for overtaken in (late.run, late.prepare, lambda: set_synchronous(elsewhere, "ANY 1")):
        with refused(cluster, "was changed by another process", ProjectBusy):
            overtaken()
    remedy = (
        "A switchover to replica has begun and not ended(.|\n)*pgrepl switchover .* --to replica`"
    )
    now = reopen()
    for verb in (
        lambda: now.primary.start(),
        lambda: now.fetch(),
        lambda: rebuild(now, "replica-2"),
        lambda: add(now),
        lambda: Switchover(now, "replica-2").run(),
        lambda: Failover(now).run(),
    ):
        with pytest.raises(StepFailed) as caught:
            verb()
        assert re.search(remedy, str(caught.value))
    assert reopen().topology.names == cluster.topology.names, "nobody was added"
    made_with = {
        "network": str(cluster.params.network),
        "replicas": "2",
        "image": cluster.params.image,
    }
    done = pgrepl("run --from 02 --to 02", {**of_cluster(cluster), **made_with})
    assert done.returncode == 1, done.stderr
    assert re.search("pgrepl switchover .* --to replica`", done.stderr), done.stderr
    assert drained(slots(now)) == {"primary": 2, "replica": 2, "replica-2": 0}
    way = r"a switchover from primary to replica is under way since 2.*`pgrepl switchover .*--to replica`"
    assert re.search(way, str(status(now)["operation"]))
    now.engine.stop("replica-2").do(print)  # as if it were just about to follow somebody else
    failed = [c for c in (CHECKS[n](now) for n in OPERATION) if not c.passed]
    assert failed and not [c for c in failed if not re.search(way, c.hint)]
    now.engine.start("replica-2").do(print)
    now.instance("replica-2").wait_ready()
    now.instance("replica-2").wait_streaming()
    lag, check = pgrepl_at_once(cluster, "lag", "check --quiet")
    assert re.search(way, lag.stdout) and re.search(way, check.stdout + check.stderr)
    finished = pgrepl("switchover", of_cluster(cluster))
    assert finished.returncode == 0 and "replica is the primary" in finished.stdout, finished.stderr
    assert failed_checks(reopen(), *OPERATION) == {}


def drained(found: dict[str, list[str]]) -> dict[str, int]:
    return {name: len(names) for name, names in found.items()}


def test_a_switchover_is_taken_back_before_the_promotion_and_not_after(
    cluster: Cluster, reopen: Reopen
) -> None:
    assert pgrepl("switchover --cancel", of_cluster(cluster)).returncode == 2
    writer = Writer(cluster).start()
    begun = Switchover(cluster, "replica")
    begun.prepare()
    begun.stop_writes()
    assert not cluster.engine.running("primary") and "# >>> pgrepl: standby" in configuration(
        cluster, "primary"
    )
    before = everything_recorded(cluster)
    planned = pgrepl("switchover --cancel --plan", of_cluster(cluster))
    assert planned.stdout.startswith("1. Take the switchover back"), planned.stderr
    assert everything_recorded(cluster) == before
    done = pgrepl("switchover --cancel", of_cluster(cluster))
    assert done.returncode == 0, done.stderr
    writer.wait_rows(20)
    now = writer.cluster = reopen()
    assert now.topology.operation == {} and now.primary.name == "primary"
    assert "# >>> pgrepl: standby" not in configuration(now, "primary")
    assert slots(now) == {
        "primary": ["replica_1_slot", "replica_2_slot"],
        "replica": [],
        "replica-2": [],
    }
    for replica in now.replicas:
        replica.wait_streaming()
    assert failed_checks(now, *OPERATION[:-1]) == {}
    begun = Switchover(now, "replica")
    begun.prepare()
    begun.stop_writes()
    begun.promote()
    done = pgrepl("switchover --cancel", of_cluster(cluster))
    assert done.returncode == 1 and "promoted already" in done.stderr
    now = writer.cluster = reopen()
    Switchover(now, "").run()
    report = writer.stop()
    assert (report.lost, report.doubled) == (0, 0) and report.acknowledged > 20
    assert failed_checks(now, *OPERATION) == {}


# --- the runner dies ---------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_switchover_whose_runner_is_killed_anywhere_is_finished_by_running_again(
    cluster: Cluster, reopen: Reopen
) -> None:
    writer, killed = Writer(cluster).start(), 0
    moments = ['"kind": "switchover"', *Switchover.TITLES.values(), ""]
    if cluster.engine.name == "docker":  # the same steps, each slower
        moments = ["", *moments[1:4]]
    for number, moment in enumerate(moments):
        now = writer.cluster = reopen()
        to = "replica" if now.primary.name == "primary" else "primary"
        wait_caught_up(now)
        begun = recorded(now, '"kind": "switchover"')
        when = (
            begun
            if moment in ("", moments[0])
            else journal_says(now, moment.format(name=now.primary.name))
        )
        after = 0.0 if moment else random.uniform(0, 1)
        killed += killed_runner(now, f"switchover --to {to}", when=when, after=after)
        now = writer.cluster = reopen()
        if now.topology.operation:
            Switchover(now, to).run()
        where = f"moment {number}: {moment!r}, {after:.3f} s later"
        assert now.primary.name == to and now.topology.operation == {}, where
        assert (
            slots(now)[to] == [r.slot for r in now.replicas]
            and sum(drained(slots(now)).values()) == 2
        ), where
        writer.wait_rows(10)
    report = writer.stop()
    assert killed >= len(moments) // 2, "the runner was too quick for the test"
    assert (report.lost, report.doubled) == (0, 0) and report.acknowledged >= 10 * len(moments)
    assert failed_checks(now, *OPERATION) == {}


@pytest.mark.long
def test_a_failover_and_a_rejoin_whose_runner_is_killed_are_finished_by_running_again(
    cluster: Cluster, reopen: Reopen
) -> None:
    db.rows(cluster.primary.address, "create table kept (round int)")
    killed = 0
    moments = [
        ('"kind": "failover"', "mark"),
        (Failover.TITLES["promote"], "upstream"),
        (Failover.TITLES["fence"], "Start {name} fenced, to look at it"),
    ]
    if cluster.engine.name == "docker":  # the same steps, each slower
        moments.pop()
    for number, (failing, returning) in enumerate(moments):
        now = reopen()
        db.rows(now.primary.address, "insert into kept values (%s)", [number])
        wait_caught_up(now)
        lost = now.primary.name
        now.primary.kill()
        when = recorded(now, failing) if number == 0 else journal_says(now, failing)
        killed += killed_runner(now, "failover", when=when)
        now = reopen()
        if now.topology.operation:
            Failover(now).run()
        assert now.primary.name != lost and list(now.topology.fenced) == [lost]
        assert failed_checks(now, "one-primary", "streaming", "slot") == {}
        mark, belongs = now.mark(lost), f'"{lost}": "{now.primary.name}"'
        arrives = {"mark": mark.exists, "upstream": recorded(now, belongs)}
        when = arrives.get(returning) or journal_says(now, returning.format(name=lost))
        killed += killed_runner(now, f"rejoin {lost}{'' if number else ' --full-copy'}", when=when)
        now = reopen()
        if lost in now.topology.fenced:
            Rejoin(now, lost).run()
        assert now.topology.fenced == {} and lost in now.topology.upstreams
        assert slots(now)[lost] == [], "what it kept for its followers would hold WAL for ever"
        assert failed_checks(now, *OPERATION) == {}
        assert [
            r["round"]
            for r in db.rows(now.instance(lost).address, "select round from kept order by 1")
        ] == list(range(number + 1))
    assert killed >= len(moments), "the runner was too quick for the test"


def test_a_failover_whose_chosen_replica_dies_chooses_another(
    cluster: Cluster, reopen: Reopen
) -> None:
    wait_caught_up(cluster)
    cluster.primary.kill()
    begun = Failover(cluster, "replica")
    begun.fence()
    cluster.instance("replica").kill()
    now = reopen()
    Failover(now).run()
    assert now.primary.name == "replica-2" and list(now.topology.fenced) == ["primary"]
    now.instance("replica").start()
    assert failed_checks(now, "one-primary", "streaming", "slot") == {}


@pytest.mark.long
def test_an_added_and_a_rebuilt_replica_whose_runner_is_killed_are_finished_by_running_again(
    cluster: Cluster, reopen: Reopen
) -> None:
    killed = 0
    for after in (0.0, random.uniform(0, 0.5)):
        mark = cluster.mark("replica-3")
        killed += killed_runner(cluster, "replica add", when=mark.exists, after=after)
    now = reopen()
    if not now.instance("replica-3").prepared():
        assert add(now).name == "replica-3"
    now.instance("replica-3").wait_streaming()
    for after in (0.0, random.uniform(0, 0.5)):
        killed += killed_runner(
            now, "replica rebuild replica-3", when=now.mark("replica-3").exists, after=after
        )
        now = reopen()
        if not now.instance("replica-3").prepared() or not now.engine.running("replica-3"):
            rebuild(now, "replica-3")
    assert killed >= 2, "the runner was too quick for the test"
    assert now.topology.names == [*NAMES, "replica-3"]
    assert failed_checks(now, *OPERATION) == {}


# --- the command line --------------------------------------------------------------------------------------------


def test_a_plan_changes_nothing(cluster: Cluster) -> None:
    before = everything_recorded(cluster)
    with ahead.look_ahead(), pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        db.rows(cluster.primary.address, "create table planned (n int)")
    done = pgrepl("switchover --to replica --plan", of_cluster(cluster))
    titles = re.findall(r"^(\d)\. (.*)$", done.stdout, re.M)
    wanted = ["prepare", "stop_writes", "promote", "follow", "follow", "tidy"]
    assert [t for _, t in titles] == [
        Switchover.TITLES[w].format(name=n)
        for w, n in zip(wanted, ["", "", "", "primary", "replica-2", ""], strict=True)
    ]
    assert (
        done.returncode == 0
        and "pg_promote" in done.stdout
        and "nothing was changed" in done.stderr
    )
    done = pgrepl("failover --to replica --force --plan", of_cluster(cluster))
    titles = re.findall(r"^(\d)\. (.*)$", done.stdout, re.M)
    assert (
        done.returncode == 0 and titles[0] == ("1", Failover.TITLES["fence"]) and len(titles) == 4
    )
    assert "standby.signal" in done.stdout
    asked = ("sync 'ANY 1'", "replica rebuild replica-2", "replica follow replica-2 replica")
    for command in (*asked, "replica add", "replica remove replica-2"):
        done = pgrepl(f"{command} --plan", of_cluster(cluster))
        assert done.returncode == 0 and done.stdout.startswith("1. "), (command, done.stderr)
        assert "nothing was changed" in done.stderr and "  changed" not in done.stderr
    assert everything_recorded(cluster) == before


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("switchover", 2, "Which replica shall become the primary?"),
        ("switchover --to nobody", 2, "there are primary, replica, replica-2"),
        ("failover --plan", 1, "primary is the primary, and answers"),
        ("rejoin primary", 2, "is the primary"),
        ("replica remove primary --yes", 2, "nothing was removed"),
        ("replica follow replica replica", 2, "nothing was touched"),
        ("sync 'ANY 9'", 2, "the 2 that stream now"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_is_refused_has_its_exit_code(
    cluster: Cluster, command: str, code: int, said: str
) -> None:
    done = pgrepl(command, of_cluster(cluster))
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (
        code,
        True,
        False,
    ), done.stderr


@pytest.mark.parametrize(
    ("command", "content", "wrong"),
    [
        ("sync off", None, "is missing"),
        ("status", b"", "is empty"),
        ("failover --plan", b"\xff\n", "is no text"),
    ],
)
def test_a_password_file_that_cannot_be_read_is_told(
    cluster: Cluster, command: str, content: bytes | None, wrong: str
) -> None:
    path = cluster.folder / "secrets/superuser"
    before = path.read_bytes()
    path.unlink()
    pgpass = path.with_name("pgpass").rename(path.with_name("kept"))  # which has it, too
    if content is not None:
        path.write_bytes(content)
    try:
        done = pgrepl(command, of_cluster(cluster))
    finally:
        path.write_bytes(before)
        pgpass.rename(path.with_name("pgpass"))
    assert (
        done.returncode == 3 and f"secrets/superuser {wrong}; nothing was changed" in done.stderr
    ), done.stderr
    assert "Traceback" not in done.stderr and "pgrepl run" in done.stderr


def test_a_superusers_password_is_changed_by_its_file_and_made_again_from_pgpass(
    cluster: Cluster, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cluster.folder / "secrets/superuser"
    before = path.read_bytes()
    path.write_text("another one\n")
    try:
        assert not reopen().primary.answers()[0]
        assert reopen().make_secrets() == "changed"
        assert reopen().primary.answers()[0] and reopen().make_secrets() == "unchanged"
        path.unlink()
        assert reopen().primary.answers()[0] and silent(reopen()) == []
        assert reopen().make_secrets() == "changed"
        assert path.read_text() == "another one\n" and reopen().primary.answers()[0]
        pgpass = path.with_name("pgpass").rename(path.with_name("kept"))
        path.write_text("a guess\n")
        with pytest.raises(StepFailed, match="no server could be told"):
            reopen().make_secrets()
        monkeypatch.setattr(unanswered, "REFUSED_SECONDS", 1)
        with pytest.raises(StepFailed, match="refuses us") as caught:
            reopen().primary.wait_ready()
        assert "secrets/superuser" in caught.value.remedy
        pgpass.rename(path.with_name("pgpass"))
    finally:
        path.write_bytes(before)
        reopen().make_secrets()
    wait_caught_up(reopen())
    cluster.engine.stop("primary").do(print)
    path.write_text("nobody can be told\n")
    with pytest.raises(StepFailed, match="no server could be told") as caught:
        reopen().make_secrets()
    assert "primary does not run" in str(caught.value) and "pgrepl run" in caught.value.remedy
    path.write_bytes(before)


def test_lag_answers_as_a_monitoring_plug_in(cluster: Cluster) -> None:
    wait_caught_up(cluster)
    done = pgrepl("lag --warning-bytes 16000000", of_cluster(cluster))
    facts = r"(replica(-2)?: streaming, \d+ B, \d+\.\d s(; )?){2}"
    data = " ".join(
        rf"'{n}_bytes'=\d+B;16000000;268435456;0 '{n}_seconds'=\d+\.\d{{3}}s;10\.?0?;60\.?0?;0"
        for n in NAMES[1:]
    )
    assert re.fullmatch(rf"REPLICATION OK - {facts} \| {data}\n", done.stdout), done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    done = pgrepl("lag --warning-bytes 0", of_cluster(cluster))
    assert (
        done.returncode == 1
        and done.stdout.startswith("REPLICATION WARNING - ")
        and done.stdout.count("\n") == 1
    )
    cluster.engine.stop("replica").do(print)
    done = pgrepl("lag", of_cluster(cluster))
    assert done.returncode == 2 and done.stdout.startswith(
        "REPLICATION CRITICAL - replica: nothing listens; replica-2: streaming"
    )
    found = pgrepl("lag --json", of_cluster(cluster))
    assert found.returncode == 2 and [r["name"] for r in json.loads(found.stdout)] == NAMES[1:]
    cluster.primary.kill()
    done = pgrepl("lag", of_cluster(cluster))
    assert (
        done.returncode == 3
        and done.stdout.startswith("REPLICATION UNKNOWN - ")
        and done.stdout.count("\n") == 1
    )
    done = pgrepl("lag", {**of_cluster(cluster), "project": "nobody-made-this"})
    assert done.returncode == 3 and "UNKNOWN" in done.stdout


def test_status_is_watched_until_it_is_interrupted(cluster: Cluster) -> None:
    arguments = words("status --watch --interval 0.2", of_cluster(cluster))
    with subprocess.Popen(
        arguments, cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        lines: list[str] = []
        until = time.monotonic() + 30
        while (
            sum("replica-2" in line and "streaming" in line for line in lines) < 3
            and time.monotonic() < until
        ):
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert set(process.stderr.read().splitlines()) == {"every 0.2 s; Ctrl-C ends it"}
    assert sum(line.startswith("project ") for line in lines) >= 3, "again and again"
