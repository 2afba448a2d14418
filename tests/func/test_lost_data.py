"""Data are gone, or another cluster's: no empty primary takes their place, and there is a way back to a whole cluster."""

from __future__ import annotations

import base64
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.cli.examination import asked_for
from pgrepl_lib.doors import db, files
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.errors import CommandFailed, EnvironmentLacking, StepFailed
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import set_synchronous
from pgrepl_lib.steps.actions import replacing
from pgrepl_lib.steps.actions.copying import backup_arguments
from pgrepl_lib.steps.replicas import prepare_all, rebuild
from tests.conftest import MakeCluster
from tests.func.operated import (
    again,
    another_cluster,
    bring_home,
    by_hand,
    container_of,
    everything_recorded,
    failed_checks,
    killed_runner,
    lose_data,
    make,
    wait_caught_up,
)
from tests.func.running import of_cluster, pgrepl
from tests.remedies import commands_in, copied

Reopen = Callable[[], Cluster]
OPERATION = ("one-primary", "streaming", "slot", "receiver", "same-cluster", "settings", "tables")


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
    yield reopen()
    bring_home(reopen())


def run_again(cluster: Cluster, command: str = "run") -> tuple[int, str]:
    """`pgrepl run` with what the cluster was made with; its exit code and what it told."""
    made_with = {
        "network": str(cluster.params.network),
        "replicas": "2",
        "image": cluster.params.image,
    }
    done = pgrepl(command, {**of_cluster(cluster), **made_with})
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr + done.stdout


def test_a_primary_whose_data_are_gone_is_not_made_anew_and_a_replica_takes_over(
    cluster: Cluster, reopen: Reopen
) -> None:
    db.rows(
        cluster.primary.address, "create table precious as select i from generate_series(1, 100) i"
    )
    wait_caught_up(cluster)
    lose_data(cluster, "primary")
    code, told = run_again(cluster)
    known = cluster.topology.system_identifier
    assert code == 3 and f"recorded {known}, primary none" in told, told
    assert re.search(r"replica has this project's data, up to \S+ \(running\)", told), told
    assert re.search(r"`pgrepl failover .*`, then `pgrepl rejoin .* primary`", told), told
    code, told = run_again(cluster, "check")
    assert code == 1 and re.search(r"`pgrepl failover .*`, then `pgrepl rejoin .* primary`", told)
    with pytest.raises(
        StepFailed, match="no data any more, and this project has had some; nothing was started"
    ):
        reopen().primary.start()
    assert not cluster.engine.has_data("primary") and not cluster.engine.running("primary")
    done = pgrepl("failover", of_cluster(cluster))
    assert done.returncode == 0, done.stderr
    done = pgrepl("rejoin primary", of_cluster(cluster))
    assert done.returncode == 0, done.stderr
    now = reopen()
    assert (
        now.primary.name == "replica" and now.topology.fenced == {} and now.topology.operation == {}
    )
    assert failed_checks(now, *OPERATION) == {}
    assert {
        db.row(now.instance(n).address, "select count(*) as n from precious")["n"]
        for n in now.topology.names
    } == {100}


def test_nobody_else_makes_an_empty_primary_either(cluster: Cluster) -> None:
    """What a person would type to start it."""
    lose_data(cluster, "primary")
    if cluster.engine.name == "local":
        assert by_hand(cluster, "pg_ctl", "--pgdata=data/primary", "start") != 0
    else:
        by_hand(cluster, *docker_host.compose(), "up", "-d", "primary")
        ended = lambda: (not cluster.engine.running("primary"), "running")  # noqa: E731
        wait_until("the container to give up", ended, seconds=20)
        assert "superuser password is" in cluster.engine.log_tail("primary")
    assert not cluster.primary.answers()[0]
    Failover(cluster).run()
    Rejoin(cluster, "primary").run()


@pytest.mark.long
@pytest.mark.usefixtures("docker_ready")
def test_what_compose_takes_down_by_hand_comes_back_and_lost_volumes_are_told(
    open_with: MakeCluster,
) -> None:
    cluster = make(open_with, "docker", replicas=1)
    compose = docker_host.compose()
    assert by_hand(cluster, *compose, "down") == 0
    now = again(cluster, open_with)
    assert [now.primary.start(), now.replica.start()] == ["changed", "changed"]
    assert failed_checks(now, *OPERATION) == {}
    assert by_hand(cluster, *compose, "down", "--volumes") == 0
    for command, code in (("check", 1), ("run", 3)):
        done = pgrepl(command, {**of_cluster(cluster), "image": cluster.params.image})
        told = done.stderr + done.stdout
        assert done.returncode == code and "primary has no data any more" in told, told
        assert [c.split()[1] for c in commands_in(told)] == ["down", "run"], told
    failed = pgrepl("failover", of_cluster(cluster))
    assert failed.returncode == 1 and "replica: absent" in failed.stderr
    assert not again(cluster, open_with).engine.has_data("primary")


def test_another_clusters_data_are_not_started(cluster: Cluster, reopen: Reopen) -> None:
    cluster.engine.stop("primary").do(print)
    with another_cluster(cluster, "primary"):
        with pytest.raises(
            StepFailed, match="primary has another cluster's data; nothing was started"
        ):
            reopen().primary.start()
        code, told = run_again(cluster)
        assert code == 3 and f"{cluster.topology.system_identifier}, primary " in told, told
        assert not cluster.engine.running("primary")
    assert reopen().primary.start() == "changed"
    wait_caught_up(reopen())  # the replicas come back by themselves, a moment later
    assert failed_checks(reopen(), *OPERATION) == {}


# --- the old data stay until the new ones are whole --------------------------------------------------------------


def unreadable(cluster: Cluster, *, there: bool) -> None:
    """A file in the primary's data that not even its server may read, until it is taken away."""
    if cluster.engine.name == "local":
        words = [
            "install -m 000 /dev/null data/primary/unreadable",
            "rm -f data/primary/unreadable",
        ]
        assert by_hand(cluster, "sh", "-c", words[not there]) == 0
        return
    container = container_of(cluster, "primary")
    words = ["umask 777; touch $PGDATA/unreadable", "rm -f $PGDATA/unreadable"]
    assert container.exec_run(["sh", "-c", words[not there]], user="postgres")[0] == 0


def without_the_right(cluster: Cluster, *, there: bool) -> None:
    """Nobody may copy the primary."""
    right = "noreplication" if there else "replication"
    db.rows(cluster.primary.address, f"alter role repl {right}")


@pytest.mark.long_on_docker
@pytest.mark.parametrize("fault", [unreadable, without_the_right])
def test_a_copy_that_fails_leaves_the_replica_as_it_was(
    cluster: Cluster, reopen: Reopen, fault: Callable[..., None]
) -> None:
    db.rows(cluster.primary.address, "create table if not exists stays as select 1 as n")
    wait_caught_up(cluster)
    fault(cluster, there=True)
    try:
        with pytest.raises(CommandFailed, match="pg_basebackup"):
            rebuild(cluster, "replica")
        assert db.row(cluster.replica.address, "select n from stays") == {"n": 1}
    finally:
        fault(cluster, there=False)
    cluster.replica.wait_streaming()
    assert rebuild(reopen(), "replica") == "changed"
    assert failed_checks(reopen(), *OPERATION) == {}


@pytest.mark.long_on_docker
def test_a_copy_that_fails_leaves_a_former_primary_as_it_was(
    cluster: Cluster, reopen: Reopen
) -> None:
    db.rows(cluster.primary.address, "create table if not exists stays as select 1 as n")
    wait_caught_up(cluster)
    cluster.primary.kill()
    Failover(cluster).run()
    db.rows(cluster.primary.address, "alter role repl noreplication")
    with pytest.raises(CommandFailed, match="pg_basebackup"):
        Rejoin(cluster, "primary", full_copy=True).run()
    assert cluster.engine.has_data("primary") and "primary" in reopen().topology.fenced
    db.rows(cluster.primary.address, "alter role repl replication")
    back = Rejoin(reopen(), "primary", full_copy=True, keep_data=True)
    back.inspect()
    assert db.row(cluster.instance("primary").address, "select n from stays") == {"n": 1}
    assert back.diverged().empty
    back.come_back()
    with tarfile.open(back.kept_data) as archive:
        assert {"./PG_VERSION", "./global/pg_control"} <= set(archive.getnames())
    assert back.kept_data.stat().st_mode & 0o777 == 0o600
    back.kept_data.unlink()
    assert failed_checks(reopen(), *OPERATION) == {}


@pytest.mark.long_on_docker
def test_where_there_is_no_room_for_a_copy_nothing_is_touched(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing, "SPARE", 10**15)
    before = everything_recorded(cluster)
    with pytest.raises(
        EnvironmentLacking, match="no room for a copy of primary beside replica's data"
    ):
        rebuild(cluster, "replica")
    after = everything_recorded(cluster)
    journal = str(cluster.folder / "journal.jsonl")
    assert {k for k in before if before[k] != after[k]} == {journal}


def test_a_killed_copy_leaves_the_old_data_and_the_next_start_clears_it_away(
    cluster: Cluster, reopen: Reopen
) -> None:
    copying = replacing.copying(cluster.mark("replica"))
    assert killed_runner(cluster, "replica rebuild replica", when=copying.exists)
    now = reopen()
    replica, in_the_copy = now.instance("replica"), copying.exists()
    assert replica.prepared() or not in_the_copy  # where it came further, its exchange goes on
    assert replica.start() == "changed" or not in_the_copy
    assert not copying.exists() and replica.prepared() and now.engine.running("replica")
    left = {"local": "data/replica.copy", "docker": "pgrepl.copy"}[cluster.engine.name]
    assert left not in listing(now, "replica")
    assert failed_checks(now, *OPERATION) == {}


def listing(cluster: Cluster, name: str) -> str:
    """What lies in an instance's data and beside them."""
    if cluster.engine.name == "local":
        return " ".join(f"data/{p.name}" for p in (cluster.folder / "data").iterdir())
    return str(container_of(cluster, name).exec_run(["ls", "/var/lib/postgresql/data"])[1])


def test_an_interrupted_exchange_goes_on(cluster: Cluster, reopen: Reopen) -> None:
    """Killed between the old data's way out and the new ones' way in."""
    replica, engine = cluster.instance("replica"), cluster.engine
    engine.stop("replica").do(print)
    engine.copy_beside("replica", "primary", backup_arguments(replica)).do(print)
    files.write_atomic(cluster.mark("replica"), replacing.EXCHANGING)
    if engine.name == "local":
        assert by_hand(cluster, "mv", "data/replica", "data/replica.before") == 0
    else:
        half = "cd $PGDATA; mkdir pgrepl.before; mv PG_VERSION base global pgrepl.before/"
        run = [
            "run",
            "--rm",
            "--no-deps",
            "-T",
            "-u",
            "postgres",
            "--entrypoint",
            "sh",
            "replica",
            "-c",
            half,
        ]
        assert by_hand(cluster, *docker_host.compose(), *run) == 0
    assert not replica.prepared()
    now = reopen()
    now.fetch()  # whatever step is the next one
    assert now.instance("replica").start() == "changed"
    assert not cluster.mark("replica").exists()
    assert not re.search(r"pgrepl\.|replica\.(copy|before)", listing(now, "replica"))
    assert failed_checks(now, *OPERATION) == {}


REFUSED_BESIDE_ANOTHER_PRIMARY = (
    "replica rebuild replica --discard",
    "replica remove replica --yes",
    "replica rebuild replica-2",
    "replica add",
    "rejoin replica",
    "switchover --to replica-2",
    "failover --to replica-2 --force",
)


@pytest.mark.long_on_docker
def test_what_is_really_the_primary_is_named_and_not_thrown_away(
    cluster: Cluster, reopen: Reopen
) -> None:
    """An older cluster.json is put back: first with the real primary as a replica, then as a fenced one."""
    record = cluster.folder / "cluster.json"
    older = record.read_bytes()
    set_synchronous(cluster, "ANY 1")
    record.write_bytes(older)
    assert reopen().topology.synchronous == "ANY 1", "what holds is kept"
    Switchover(reopen(), "replica").run()
    record.write_bytes(older)
    told = pgrepl("status", of_cluster(cluster)).stdout
    ways = commands_in(told)
    assert "replica accepts writes, not primary" in told and len(ways) == 2, told
    made = [claim(reopen()) for claim in asked_for()]
    assert {c.hint for c in made if not c.passed} == {told.splitlines()[1]}
    assert told.splitlines()[1] in pgrepl("lag", of_cluster(cluster)).stdout
    code, said = run_again(cluster)
    assert code == 1 and commands_in(said)[:2] == ways, said
    for attempt in REFUSED_BESIDE_ANOTHER_PRIMARY:
        refused = pgrepl(attempt, of_cluster(cluster))
        assert refused.returncode == 1 and not {*commands_in(refused.stderr)} - {*ways}, (
            refused.stderr
        )
        assert (
            "replica" in reopen().topology.upstreams and "replica-3" not in reopen().topology.names
        )
    for name in cluster.topology.names:
        cluster.engine.stop(name).do(print)
    attempts = (
        pgrepl("replica rebuild replica", of_cluster(cluster)).stderr,
        run_again(cluster)[1],
    )
    assert all(commands_in(said)[:2] == ways for said in attempts) and cluster.engine.has_data(
        "replica"
    )
    cluster.engine.start("replica").do(print)
    cluster.instance("replica").wait_ready()
    fenced = copied(ways[0])
    assert fenced.returncode == 0 and "replica is it already" in fenced.stderr, fenced.stderr
    holds = db.row(reopen().primary.address, "show synchronous_standby_names")
    assert holds["synchronous_standby_names"].startswith("ANY 1")
    older = record.read_bytes()
    led_on(ways[1:], reopen)
    Switchover(reopen(), "primary").run()
    record.write_bytes(older)
    refused = pgrepl("rejoin primary", of_cluster(cluster))
    assert refused.returncode == 1 and "primary accepts writes, not replica" in refused.stderr
    led_on(commands_in(refused.stderr), reopen)
    assert reopen().primary.name == "primary"


def led_on(ways: list[str], reopen: Reopen) -> None:
    """The commands that were named, one after the other, end with a whole cluster."""
    for way in ways:
        done = copied(way)
        assert done.returncode == 0, done.stderr
    now = reopen()
    prepare_all(now, names=now.topology.replicas)
    assert failed_checks(now, "one-primary", "streaming", "slot", "same-cluster") == {}


# --- what only a former primary has --------------------------------------------------------------

ODD_DATABASES = {"latin": "LATIN1", "any_bytes": "SQL_ASCII"}
MANY = 25_000  # more than were kept once
ALONE = [
    f"insert into many select i, 'só aqui ' || i from generate_series(1, {MANY}) i",
    "insert into odd values ('a column of the name', 1.50, '{\"a\":\n \"\\u0000\"}')",
    "delete from many where id = 0",
    "select lo_from_bytea(4711, '\\x00ff')",
    "create table made_there (i int)",
]


def open_odd_databases(cluster: Cluster) -> None:
    """Of other encodings, one that nobody may connect to, and one whose removal was interrupted."""
    at = cluster.primary.address
    for name, encoding in ODD_DATABASES.items():
        db.rows(at, f"create database {name} encoding '{encoding}' locale 'C' template template0")
        with db.connect(at, dbname=name) as connection:
            connection.execute("create table texts (t text)")
    db.rows(at, "create database half_gone")
    db.rows(at, "update pg_database set datconnlimit = -2 where datname = 'half_gone'")
    db.rows(at, "create database closed")
    db.rows(at, "create table many (id int primary key, word text)")
    db.rows(at, "insert into many values (0, 'everywhere')")
    db.rows(at, "create table odd (t text, r numeric, j json)")


def drop_odd_databases(cluster: Cluster) -> None:
    at = cluster.primary.address
    for name in (*ODD_DATABASES, "half_gone", "closed"):
        db.rows(at, f"drop database {name}")
    db.rows(at, "drop table many, odd")


def write_alone(cluster: Cluster) -> None:
    """While no replica receives anything; then the primary is lost."""
    at = cluster.primary.address
    begun = db.connect(at)
    begun.execute("begin")
    begun.execute("insert into many values (-1, 'begun before')")
    db.rows(at, "insert into many values (-2, 'everywhere')")
    wait_caught_up(cluster)
    for replica in cluster.replicas:
        cluster.engine.stop(replica.name).do(print)
    begun.execute("commit")
    begun.close()
    for statement in ALONE:
        db.rows(at, statement)
    with db.connect(at, dbname="latin") as connection:
        connection.execute("insert into texts values ('maçã')")
    with db.connect(at, dbname="any_bytes", options="-c client_encoding=SQL_ASCII") as connection:
        connection.execute("insert into texts values ('pera'), (E'ma\\xe7\\xe3')")
    with db.connect(at, dbname="closed") as connection:
        connection.execute("create table texts as select 1 as i")
    db.rows(at, "alter database closed allow_connections false")
    cluster.primary.kill()
    for replica in cluster.replicas:
        cluster.engine.start(replica.name).do(print)
        replica.wait_ready()


@pytest.mark.long
def test_what_only_a_former_primary_has_is_kept_or_said(cluster: Cluster, reopen: Reopen) -> None:
    open_odd_databases(cluster)
    wait_caught_up(cluster)
    write_alone(cluster)
    Failover(cluster).run()
    done = pgrepl("rejoin primary", of_cluster(cluster))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "database closed: it allows no connections" in done.stderr
    assert re.search(r"`pgrepl rejoin .*--keep-data`", done.stderr), done.stderr
    assert not list(cluster.folder.glob("*diverged-*")) and "primary" in reopen().topology.fenced
    done = pgrepl("rejoin primary --discard --json", of_cluster(cluster))
    assert "sequences and unlogged tables of primary are not compared" in done.stderr
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    rows = {(k["database"], k["table"]): k["rows"] for k in told["thrown_away"]}
    assert rows == {
        ("any_bytes", "public.texts"): 2,
        ("latin", "public.texts"): 1,
        ("postgres", "pg_catalog.pg_largeobject"): 1,
        ("postgres", "public.many"): MANY + 1,
        ("postgres", "public.odd"): 1,
    }
    assert [x for x in told["not_kept"] if "closed" in x] == told["not_kept"]
    said = "\n".join(told["also_thrown_away"])
    assert "database half_gone: invalid" in said and "public.many: 1 rows at most" in said
    assert re.search(r"database postgres: definitions .*pg_class \d", said), said
    kept = Path(told["kept"])
    facts = [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    assert len(facts) == MANY + 6 and kept.stat().st_mode & 0o777 == 0o600
    texts = [f for f in facts if f["table"] == "public.texts"]
    assert [f["row"]["t"] for f in texts if "row" in f] == ["pera", "maçã"]
    (raw,) = (base64.b64decode(f["row_base64"]) for f in texts if "row" not in f)
    assert raw == b'{"t":"ma\xe7\xe3"}'
    (odd,) = (f["row"] for f in facts if f["table"] == "public.odd")
    assert odd == {"t": "a column of the name", "r": 1.5, "j": {"a": "\0"}}
    (large,) = (f["row"] for f in facts if f["table"].endswith("largeobject"))
    assert large == {"loid": "4711", "pageno": 0, "data": "\\x00ff"}
    numbers = {f["row"]["id"] for f in facts if f["table"] == "public.many"}
    assert numbers == {-1, *range(1, MANY + 1)}
    kept.unlink()
    assert failed_checks(reopen(), *OPERATION) == {}
    drop_odd_databases(reopen())
