"""The checks: all pass on a cluster that is right, each fails on what it is meant to find, none leaves a trace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import psutil
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks import arrival
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.checks.claims import data
from pgrepl_lib.checks.outcome import Check
from pgrepl_lib.checks.registry import Claim
from pgrepl_lib.checks.security.all import SECURITY
from pgrepl_lib.cli.examination import asked_for, examine
from pgrepl_lib.cli.options import existing_cluster
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.engine.protocol import Engine
from pgrepl_lib.errors import CheckFailed, StepFailed
from pgrepl_lib.journal.audit import said
from pgrepl_lib.journal.records import usable
from pgrepl_lib.logins import logins
from pgrepl_lib.steps import replicas
from pgrepl_lib.steps.instance import Instance
from pgrepl_lib.words.language import PORTUGUESE, speaking
from tests.conftest import MakeCluster, set_up_primary, set_up_replica
from tests.remedies import commands_in

from .operated import ways_named
from .running import of_cluster, pgrepl

NAMES = {
    "primary-writes",
    "replica-refuses-writes",
    "streaming",
    "slot",
    "receiver",
    "same-cluster",
    "settings",
    "contents",
    "right-needed",
    "rule-needed",
}
Break = Callable[[Cluster, pytest.MonkeyPatch], AbstractContextManager[None]]


def made(cluster: Cluster, name: str, passed: bool, seen: str = "") -> Check:
    """The check, once it says so: a reload or a reconnection takes a moment."""
    last: list[Check] = []

    def probe() -> tuple[bool, str]:
        last.append(CHECKS[name](cluster))
        return last[-1].passed == passed and seen in last[-1].seen, last[-1].seen

    wait_until(
        f"check {name} to {'pass' if passed else 'fail'}", probe, seconds=20 if passed else 8
    )
    return last[-1]


def leftovers(cluster: Cluster) -> list[str]:
    """What a check may have left on either server."""
    query = """select nspname::text as name from pg_namespace where nspname ~ 'pgrepl'
               union all select rolname::text from pg_roles where rolname ~ 'pgrepl'
               union all select relname::text from pg_class where relname ~ 'pgrepl'
               union all select slot_name::text from pg_replication_slots where slot_name <> 'replica_1_slot'"""
    return [r["name"] for r in db.rows(cluster.primary.address, query)]


# --- a cluster that is right ----------------------------------------------------------------------------------


def test_the_promised_checks_are_there() -> None:
    assert set(CHECKS) >= NAMES


@pytest.mark.parametrize("way", ["link", "link/absent/..", "absent/../link"])
def test_the_work_folder_by_another_way_is_the_same(
    cluster: Cluster, way: str, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(cluster.params.workdir)
    found = existing_cluster({**of_cluster(cluster), "workdir": str(tmp_path / way)})
    assert found.folder == cluster.folder and CHECKS["settings"](found).passed


@pytest.mark.parametrize("name", sorted(NAMES | set(CHECKS)))
def test_a_check_passes_and_leaves_nothing(cluster: Cluster, name: str) -> None:
    result = CHECKS[name](cluster)
    assert result.passed, result
    assert result.name == name and result.title and result.hint
    assert result.tried is (name != "drift"), "no run has recorded anything of this cluster"
    assert result.expected and (
        result.expected == result.seen if result.tried else result.seen.startswith("not tried, ")
    )
    assert leftovers(cluster) == []


def test_a_default_cluster_passes_all_security_checks(cluster: Cluster) -> None:
    """What only TLS can show is told as not tried."""
    made = [claim(cluster) for claim in SECURITY.values()]
    assert [c for c in made if not c.passed] == []
    with_tls = {"impostor-refused", "tls-strong", "plain-refused", "certificates"}
    assert {c.name for c in made if not c.tried} == with_tls


def test_what_cannot_be_tried_here_is_told_as_such(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address that this machine does not have (RFC 5737): nothing can be sent from there."""
    host, port, _ = cluster.engine.outside_the_rule(cluster.primary.name)
    monkeypatch.setattr(
        cluster.engine, "outside_the_rule", lambda name: (host, port, "203.0.113.7")
    )
    result = cluster.check("rule-needed")
    assert (result.tried, result.verdict, result.expected) == (False, "not tried", "SQLSTATE 28000")
    assert (
        "203.0.113.7" in result.seen
        and "○ An address outside" in (told := capsys.readouterr().out)
        and "✔" not in told
    )
    entry = [e for e in cluster.journal.entries() if e["kind"] == "check"][-1]
    assert (entry["passed"], entry["tried"]) == (True, False)


def test_what_arrives_from_inside_the_rule_proves_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one of Docker's networks into another, a packet arrives from an address inside it."""
    host, port, _ = cluster.engine.outside_the_rule(cluster.primary.name)
    if cluster.engine.name != "docker":
        pytest.skip("only Docker's networks change addresses")
    bridge = docker_host.client().networks.get("bridge").attrs["IPAM"]["Config"][0]
    source = bridge.get("Gateway") or str(IPv4Network(bridge["Subnet"])[1])
    monkeypatch.setattr(cluster.engine, "outside_the_rule", lambda name: (host, port, source))
    result = CHECKS["rule-needed"](cluster)
    assert not result.tried and f"cannot send from {source}: it arrives from" in result.seen


def test_the_contents_are_those_of_at_least_100000_rows(cluster: Cluster) -> None:
    assert data.ROWS >= 100_000
    assert f"{data.ROWS}" in CHECKS["contents"](cluster).seen


def names_of(claims: Iterable[Claim]) -> set[str]:
    return {claim.name for claim in claims}


def test_a_daily_check_costs_little_wal_and_one_line_of_the_journal(cluster: Cluster) -> None:
    """Also right after a checkpoint, when whole pages are written (manual, 20.5.1)."""
    position = "select (pg_current_wal_insert_lsn() - '0/0')::bigint as at"
    db.checkpoint(cluster.primary.address)
    before = db.row(cluster.primary.address, position)["at"]
    made = list(examine(cluster, asked_for()))
    assert db.row(cluster.primary.address, position)["at"] - before < 100_000
    assert {c.name for c in made} == names_of(asked_for()) and "sample" in names_of(asked_for())
    entries = [e for e in cluster.journal.entries() if e["kind"] == "check"][-2:]
    assert entries[1]["seen"].split(", ") == [c.name for c in made if c.verdict == "passed"]
    assert entries[0]["name"] == "drift", "what was not tried has its own line"
    assert names_of(asked_for(deep=True)) - names_of(asked_for()) == {"contents"}


def test_a_check_is_shown_and_recorded(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with speaking(PORTUGUESE):
        made = cluster.check("slot")
    shown, title = (
        capsys.readouterr().out,
        "O slot de cada réplica é físico, está ativo e guarda WAL",
    )
    assert f"✔ {title}" in shown and "esperado:" in shown
    entry = [e for e in cluster.journal.entries() if e["kind"] == "check"][-1]
    known = {"time", "kind", "chapter", "cell", "name", "title", "expected", "seen", "passed"}
    assert set(entry) == known | {"hint", "seconds", "answers", "said", "previous"}
    assert (entry["name"], entry["title"], entry["passed"]) == ("slot", title, True)
    assert entry["answers"] == [vars(fact) for fact in made.facts]
    assert entry["answers"][0]["instance"] == "replica"
    assert usable(json.dumps(entry).encode()), "whoever reads journals takes it for a record"
    assert said(entry, "title") == "Each replica's slot is physical, active and holds WAL"


# --- a cluster that is broken in one way after the other -----------------------------------------------------------


@pytest.fixture(scope="module")
def victim(open_with: MakeCluster) -> Cluster:
    """A cluster to break; every test but the last ones puts it right again."""
    cluster = open_with("local")
    set_up_primary(cluster)
    set_up_replica(cluster)
    return cluster


def reload(instance: Instance) -> None:
    db.row(instance.address, "select pg_reload_conf()")


@contextmanager
def altered(instance: Instance, setting: str, value: str) -> Iterator[None]:
    """Somebody used ALTER SYSTEM."""
    db.rows(instance.address, f"alter system set {setting} = '{value}'")
    reload(instance)
    try:
        yield
    finally:
        db.connect(instance.address, options="-c default_transaction_read_only=off").execute(
            f"alter system reset {setting}"
        )
        reload(instance)


@contextmanager
def edited(
    instance: Instance, file: str, change: Callable[[str], str], *, then_reload: bool = True
) -> Iterator[None]:
    """Somebody edited a configuration file."""
    path = instance.cluster.folder / instance.name / file
    old = path.read_text("utf-8")
    assert change(old) != old
    path.write_text(change(old), "utf-8")
    if then_reload:
        reload(instance)
    try:
        yield
    finally:
        path.write_text(old, "utf-8")
        reload(instance)


@contextmanager
def stopped(instance: Instance) -> Iterator[None]:
    engine = instance.cluster.engine
    engine.stop(instance.name).do(lambda line: None)
    try:
        yield
    finally:
        engine.start(instance.name).do(lambda line: None)
        instance.wait_ready()


@contextmanager
def without_slot(cluster: Cluster) -> Iterator[None]:
    with stopped(cluster.replica):
        db.rows(cluster.primary.address, "select pg_drop_replication_slot('replica_1_slot')")
        try:
            yield
        finally:
            cluster.primary.create_slot("replica_1_slot")


@contextmanager
def with_unreserved_slot(cluster: Cluster) -> Iterator[None]:
    with without_slot(cluster):
        db.rows(
            cluster.primary.address, "select pg_create_physical_replication_slot('replica_1_slot')"
        )
        yield


@contextmanager
def table_behind(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with replay_paused(cluster, monkeypatch):
        db.rows(cluster.primary.address, "create table behind as select 1 as n")
        try:
            yield
        finally:
            db.rows(cluster.primary.address, "drop table behind")


@contextmanager
def replay_paused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(data, "REPLAY_SECONDS", 1)
        db.row(cluster.replica.address, "select pg_wal_replay_pause()")
        try:
            yield
        finally:
            db.row(cluster.replica.address, "select pg_wal_replay_resume()")


@contextmanager
def other_contents(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One value differs on the replica from what the primary had: the number of rows is the same."""
    waits = Instance.wait_replayed

    def change(replica: Instance, lsn: str, seconds: float) -> None:
        table = db.row(
            cluster.primary.address,
            "select oid::regclass::text as t from pg_class where relname = 't' "
            "and relnamespace::regnamespace::text ~ '^pgrepl_check'",
        )["t"]
        db.rows(cluster.primary.address, f"update {table} set word = 'x' where id = 77777")
        waits(
            replica,
            db.row(cluster.primary.address, "select pg_current_wal_lsn()::text as lsn")["lsn"],
            seconds,
        )

    with monkeypatch.context() as patched:
        patched.setattr(Instance, "wait_replayed", change)
        yield


@contextmanager
def everyone_gets(right: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if somebody gave every new role this right, between its creation and its use."""
    tries = logins.refusal_of

    def grant(engine: Engine, name: str, role: str, password: str) -> str:
        db.rows(cluster.primary.address, f'alter role "{role}" {right}')
        return tries(engine, name, role, password)

    with monkeypatch.context() as patched:
        patched.setattr(logins, "refusal_of", grant)
        yield


@contextmanager
def another_replica(
    cluster: Cluster, other: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """What answers as replica is another project's."""
    with monkeypatch.context() as patched:
        own = cluster.engine.address
        patched.setattr(
            cluster.engine,
            "address",
            lambda n: other.engine.address(n) if n == "replica" else own(n),
            raising=False,
        )
        yield


@contextmanager
def another_version(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(cluster, "params", cluster.params.model_copy(update={"pg_version": 15}))
        yield


@contextmanager
def another_library(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a system with another ICU, with an index on text that amcheck looks at."""
    at = cluster.primary.address
    claim = "update pg_collation set collversion = {} where collversion is not null"
    before = db.row(at, "select min(collversion) as v from pg_collation")["v"]
    db.rows(
        at, 'create extension amcheck; create table words (w text collate "und-x-icu" primary key)'
    )
    db.rows(at, claim.format("'1.2'"))
    try:
        cluster.replica.wait_replayed(here(cluster), 30)
        yield
    finally:
        db.rows(at, claim.format(f"'{before}'"))
        db.rows(at, "drop extension amcheck; drop table words")


@contextmanager
def limit_raised_on_the_primary(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Somebody raised it there alone and restarted: the replica stops replaying."""
    file = cluster.folder / "replica" / "postgresql.conf"
    before = file.read_text("utf-8")
    try:
        with edited(cluster.primary, "postgresql.conf", lambda t: t + "max_connections = 120\n"):
            with stopped(cluster.primary):
                pass
            cluster.replica.wait_ready()
            try:
                yield
            finally:
                cluster.engine.stop("replica").do(lambda line: None)
                cluster.replica.start()
    finally:
        with stopped(cluster.primary):
            pass
        cluster.replica.wait_replayed(here(cluster), 30)
        file.write_text(before, "utf-8")
        with stopped(cluster.replica):
            pass


@contextmanager
def replica_away(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is stopped while the primary writes more than it may keep."""
    with altered(cluster.primary, "max_wal_size", "32MB"):
        with stopped(cluster.replica):
            for _ in range(5):
                message = "select pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()"
                db.row(cluster.primary.address, message)
            db.checkpoint(cluster.primary.address)
            yield
        cluster.replica.wait_replayed(here(cluster), 30)
        db.checkpoint(cluster.primary.address)


@contextmanager
def slot_of_nobody(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a backup leaves it whose server was the primary."""
    made = "select pg_create_physical_replication_slot('alguem', true)"
    db.rows(cluster.replica.address, made)
    yield
    db.rows(cluster.replica.address, "select pg_drop_replication_slot('alguem')")


@contextmanager
def clock_of_tomorrow(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with stopped(cluster.replica):
        pass
    with monkeypatch.context() as patched:
        patched.setenv("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
        patched.setenv("FAKETIME", "+1d")
        cluster.engine.stop("replica").do(lambda line: None)
        cluster.engine.start("replica").do(lambda line: None)
    cluster.replica.wait_ready()
    try:
        yield
    finally:
        with stopped(cluster.replica):
            pass


def here(cluster: Cluster) -> str:
    query = "select pg_current_wal_lsn()::text as lsn"
    return str(db.row(cluster.primary.address, query)["lsn"])


EVERYBODY = "host replication all 0.0.0.0/0 scram-sha-256"


def read_only(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    return altered(cluster.primary, "default_transaction_read_only", "on")


def wider(text: str) -> str:
    return text.replace("127.0.0.1/32 ", "127.0.0.0/8  ", 1)


def rejecting(text: str) -> str:
    return text.replace(
        "127.0.0.1/32            scram-sha-256", "127.0.0.1/32            reject", 1
    )


BREAKS: dict[str, tuple[str, Break, str]] = {
    "the primary is read-only": ("primary-writes", read_only, "read-only"),
    "the replica is stopped": (
        "replica-refuses-writes",
        lambda c, m: stopped(c.replica),
        "refused",
    ),
    "another name": (
        "streaming",
        lambda c, m: altered(c.replica, "primary_conninfo", other_name(c)),
        "walreceiver",
    ),
    "the slot is missing": ("slot", lambda c, m: without_slot(c), "missing"),
    "the slot reserves nothing": ("slot", lambda c, m: with_unreserved_slot(c), "null"),
    "the slot is not used (1)": (
        "slot",
        lambda c, m: altered(c.replica, "primary_slot_name", ""),
        "inactive",
    ),
    "the slot is not used (2)": (
        "receiver",
        lambda c, m: altered(c.replica, "primary_slot_name", ""),
        "streaming",
    ),
    "another upstream": (
        "receiver",
        lambda c, m: altered(c.replica, "primary_conninfo", other_host(c)),
        "localhost",
    ),
    "another version": ("same-cluster", lambda c, m: another_version(c, m), "14."),
    "another owner": (
        "settings",
        lambda c, m: altered(c.primary, "wal_keep_size", "2GB"),
        "primary: wal_keep_size",
    ),
    "another owner, same value": (
        "settings",
        lambda c, m: altered(c.primary, "wal_keep_size", "1GB"),
        "wal_keep_size",
    ),
    "another owner on the replica": (
        "settings",
        lambda c, m: altered(c.replica, "wal_compression", "off"),
        "replica: wal_c",
    ),
    "a setting overridden for the role": (
        "settings",
        lambda c, m: role_setting(c),
        "wal_compression",
    ),
    "an unknown setting": (
        "settings",
        lambda c, m: edited(c.primary, "postgresql.conf", lambda t: t + "no_such = 1\n"),
        "no_such",
    ),
    "a wrong value on the replica": (
        "settings",
        lambda c, m: edited(c.replica, "postgresql.conf", lambda t: t + "work_mem = many\n"),
        "work_mem",
    ),
    "a setting waits for a restart": (
        "settings",
        lambda c, m: edited(c.primary, "postgresql.conf", lambda t: t + "max_connections = 101\n"),
        "max_connections waits for a restart",
    ),
    "an edit that was not read": (
        "settings",
        lambda c, m: edited(
            c.primary, "postgresql.conf", lambda t: t.replace("'1GB'", "'2GB'"), then_reload=False
        ),
        "primary: postgresql.conf was edited, and is not read yet",
    ),
    "an edit of the rules that was not read": (
        "settings",
        lambda c, m: edited(c.primary, "pg_hba.conf", lambda t: f"{t}# .\n", then_reload=False),
        "primary: pg_hba.conf was edited, and is not read yet",
    ),
    "a broken rule": (
        "settings",
        lambda c, m: edited(c.primary, "pg_hba.conf", lambda t: t + "host all all no/0 trust\n"),
        "pg_hba.conf",
    ),
    "replay is paused": ("contents", lambda c, m: replay_paused(c, m), "replay"),
    "replay is paused, little data": ("sample", lambda c, m: replay_paused(c, m), "replay"),
    "a table is behind": ("tables", lambda c, m: table_behind(c, m), "replay"),
    "one value differs": ("contents", lambda c, m: other_contents(c, m), "100000"),
    "the next login is rejected": (
        "login",
        lambda c, m: edited(c.primary, "pg_hba.conf", rejecting),
        "reject",
    ),
    "another library sorts": ("collations", another_library, "icu"),
    "a limit was raised on the primary alone": (
        "limits",
        limit_raised_on_the_primary,
        "max_connections 100 < 120",
    ),
    "replay is paused by a limit": ("sample", limit_raised_on_the_primary, "replay"),
    "a replica is away": ("wal-kept", replica_away, "extended"),
    "a slot on a replica is nobody's": ("wal-kept", slot_of_nobody, "alguem: nobody uses it here"),
    "a clock is a day ahead": ("clock", clock_of_tomorrow, "+86400 s"),
    "commits wait for nobody": (
        "synchronous",
        lambda c, m: altered(c.primary, "synchronous_standby_names", "ninguem"),
        "ninguem",
    ),
    "every role may replicate": (
        "right-needed",
        lambda c, m: everyone_gets("replication", c, m),
        "",
    ),
    "every role is superuser": ("right-needed", lambda c, m: everyone_gets("superuser", c, m), ""),
    "a wider rule": (
        "rule-needed",
        lambda c, m: edited(c.primary, "pg_hba.conf", wider),
        "accepted",
    ),
    "a rule for everybody": (
        "rule-needed",
        lambda c, m: edited(c.primary, "pg_hba.conf", lambda t: f"{EVERYBODY}\n{t}"),
        "accepted",
    ),
}


def other_name(cluster: Cluster) -> str:
    return cluster.replica.conninfo(cluster.primary).replace(" application_name=replica-1", "")


def other_host(cluster: Cluster) -> str:
    return cluster.replica.conninfo(cluster.primary).replace("host=127.0.0.1", "host=localhost")


@contextmanager
def role_setting(cluster: Cluster) -> Iterator[None]:
    db.rows(cluster.primary.address, "alter role postgres set wal_compression = off")
    try:
        yield
    finally:
        db.rows(cluster.primary.address, "alter role postgres reset wal_compression")


def test_every_check_is_broken_below() -> None:
    elsewhere = {
        "one-primary",
        "drift",
        "tablespaces",
        "images",
        "checksums",
        "libraries",
    }  # below, test_drift.py, test_operate_surroundings.py, test_data.py
    assert {name for name, _, _ in BREAKS.values()} == set(CHECKS) - elsewhere


@pytest.mark.parametrize("what", BREAKS)
def test_a_check_fails_where_it_should(
    victim: Cluster, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, broken, seen = BREAKS[what]
    assert made(victim, name, True).passed
    with broken(victim, monkeypatch):
        result = made(victim, name, False, seen)
        assert result.seen != result.expected and result.hint
        with pytest.raises(CheckFailed) as caught:
            victim.check(name)
        assert all(
            p in str(caught.value) for p in (result.title, result.expected, "seen: ", result.hint)
        )
        assert [e for e in victim.journal.entries() if e["kind"] == "check"][-1]["passed"] is False
    assert made(victim, name, True).passed
    assert leftovers(victim) == []


ASKING_NOBODY = {"drift", "images"}
OF_THE_PRIMARY = {
    "primary-writes",
    "one-primary",
    "right-needed",
    "rule-needed",
    "tablespaces",
    "synchronous",
    "wal-kept",
}


def test_each_check_says_what_starts_who_stands(victim: Cluster) -> None:
    with stopped(victim.replica):
        assert ways_named(victim, "replica") == set(CHECKS) - OF_THE_PRIMARY - ASKING_NOBODY
    made(victim, "streaming", True)
    with stopped(victim.primary):
        with pytest.raises(StepFailed, match="no running primary"):
            replicas.remove(victim, "replica", confirm=True)
        assert victim.engine.running("replica"), "the last copy of the data"
        assert (
            ways_named(victim, "primary")
            == set(CHECKS) - {"replica-refuses-writes"} - ASKING_NOBODY
        )
    made(victim, "streaming", True)


def test_another_projects_replica_is_not_the_same_cluster(
    victim: Cluster, open_with: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "REPLAY_SECONDS", 1)
    other = open_with("local")
    set_up_primary(other)
    set_up_replica(other)
    with another_replica(victim, other, monkeypatch):
        result = CHECKS["same-cluster"](victim)
        assert not result.passed and result.seen != result.expected
        assert not CHECKS["contents"](victim).passed
    assert CHECKS["same-cluster"](victim).passed and leftovers(victim) == []


def test_the_command_line_tells_failed_checks_by_its_exit_code(victim: Cluster) -> None:
    good = pgrepl("check --json", of_cluster(victim))
    assert good.returncode == 0, good.stderr
    assert {c["name"] for c in json.loads(good.stdout) if c["passed"]} == names_of(asked_for())
    with without_slot(victim):
        bad, told = (pgrepl(command, of_cluster(victim)) for command in ("check --json", "check"))
    assert bad.returncode == told.returncode == 1
    failed = {c["name"]: c for c in json.loads(bad.stdout) if not c["passed"]}
    assert "slot" in failed and "primary-writes" not in failed
    assert "missing" in failed["slot"]["seen"] and failed["slot"]["hint"]
    assert "Traceback" not in bad.stderr + told.stderr and "✘" in told.stdout
    made(victim, "streaming", True)
    assert leftovers(victim) == []


def test_stopped_processes_are_told_at_once_and_a_start_lets_them_go_on(
    victim: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender alone: to everybody it seems to stream, and no new one gets its slot."""
    query = "select pid from pg_stat_replication"
    sender = psutil.Process(db.row(victim.primary.address, query)["pid"])
    sender.suspend()
    try:
        told = CHECKS["sample"](victim)
        assert "Processes of primary" in told.seen and "SIGSTOP" in told.seen
        assert [c.split()[1] for c in commands_in(told.hint)] == ["run"]
        with monkeypatch.context() as patched:  # as where the network swallows what is sent
            patched.setattr(arrival, "SECONDS", 1)
            patched.setattr(victim.engine, "frozen", lambda name: False)
            told = CHECKS["sample"](victim)
        assert "replica to receive what was written on primary: not within 1 s" in told.seen
        assert [c.split()[1] for c in commands_in(told.hint)] == ["status"]
        assert victim.primary.start() == "changed"
    finally:
        sender.resume()
    assert CHECKS["sample"](victim).passed and victim.primary.start() == "unchanged"


@pytest.mark.parametrize(
    "name",
    sorted(
        {*NAMES, "one-primary", "sample", "tables"}
        - {"primary-writes", "settings", "right-needed", "rule-needed"}
    ),
)
def test_a_promoted_replica_is_found(
    promoted: Cluster, name: str
) -> None:  # these come last: there is no way back
    result = made(promoted, name, False)
    assert result.seen != result.expected and result.hint
    if name in ("contents", "sample", "tables"):  # nothing is awaited that will never come
        assert "replica accepts writes" in result.seen
        assert any(c.endswith(" replica --discard") for c in commands_in(result.hint))
    assert leftovers(promoted) == []


@pytest.fixture(scope="module")
def promoted(victim: Cluster) -> Cluster:
    """The victim, whose replica somebody promoted."""
    db.row(
        victim.replica.address, "select pg_promote(false)"
    )  # waiting inside would hold up the last WAL's replay
    query = "select pg_is_in_recovery() as r"
    wait_until(
        "the promotion",
        lambda: (not db.row(victim.replica.address, query)["r"], "in recovery"),
        seconds=30,
    )
    return victim
