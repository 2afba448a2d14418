"""The steps: they converge, survive being cut off anywhere, take over changes, and never let a password out."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from docker.errors import DockerException

from pgrepl_lib import Cluster, PgreplError, open_cluster
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.doors import command, db, files
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.engine.action import PASSFILE
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.errors import StepFailed
from tests.conftest import MakeCluster, set_up_primary, set_up_replica
from tests.func.operated import container_of

CHECKOUT = Path(__file__).parents[2]
UNFINISHED = "the base backup that was cut off"


def set_up(cluster: Cluster) -> list[str]:
    """All steps of chapters 01 and 02."""
    return set_up_primary(cluster) + set_up_replica(cluster)


def failed_checks(cluster: Cluster) -> dict[str, str]:
    """Each check that does not pass, with what it saw."""
    made = [make(cluster) for make in CHECKS.values()]
    assert len(made) >= 10
    return {c.name: f"expected {c.expected}; seen {c.seen}" for c in made if not c.passed}


def again(cluster: Cluster, open_with: MakeCluster, **values: Any) -> Cluster:
    """The same project, opened as by another process."""
    return open_with(cluster.engine.name, project=cluster.params.project, **values)


def identity(cluster: Cluster) -> dict[str, Any]:
    """What would differ if a server had been restarted, or its data or files made again."""
    query = """select pg_postmaster_start_time()::text as started, pg_conf_load_time()::text as loaded,
                      (select system_identifier from pg_control_system()) as identifier,
                      (select modification::text from pg_stat_file('PG_VERSION')) as data,
                      (select modification::text from pg_stat_file('backup_manifest', true)) as backup"""
    seen: dict[str, Any] = {
        i.name: db.row(i.address, query) for i in (cluster.primary, cluster.replica)
    }
    assert seen["primary"]["backup"] is None and seen["replica"]["backup"] is not None
    texts = [
        *cluster.folder.glob("*/*.conf"),
        *cluster.folder.glob("secrets/*"),
        cluster.folder / "cluster.json",
    ]
    assert len(texts) >= 7
    return seen | {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in texts}


def started(cluster: Cluster) -> list[str]:
    """When each server was started."""
    both = (cluster.primary, cluster.replica)
    return [db.row(i.address, "select pg_postmaster_start_time()::text as t")["t"] for i in both]


def shown(cluster: Cluster, setting: str) -> list[str]:
    """A setting's value on each server."""
    return [
        db.row(i.address, f"show {setting}")[setting] for i in (cluster.primary, cluster.replica)
    ]


# --- once is enough -------------------------------------------------------------------------------------------


def test_the_second_time_nothing_changes(cluster: Cluster, open_with: MakeCluster) -> None:
    before = identity(cluster)
    outcomes = set_up(again(cluster, open_with))
    assert len(outcomes) == 25 and set(outcomes) == {"unchanged"}
    assert identity(cluster) == before


def test_the_journal_tells_every_step(cluster: Cluster) -> None:
    assert cluster.journal.first_broken_line() is None
    steps = [e for e in cluster.journal.entries() if e["kind"] == "step"]
    assert {s["outcome"] for s in steps[:25]} == {"changed", "unchanged"}
    for step in steps:
        step.pop("anew", None)  # a primary that has data is no more made from nothing
        assert list(step) == [
            "time",
            "kind",
            "chapter",
            "cell",
            "title",
            "outcome",
            "commands",
            "diff",
            "adds",
            "exit_code",
            "seconds",
            "said",
            "previous",
        ]
        assert (
            step["chapter"] == "test"
            and step["title"]
            and step["exit_code"] == 0
            and 0 <= step["seconds"] < 300
        )
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", step["time"])
        assert step["commands"] and all(
            c["command"] and c["exit_code"] in (None, 0) for c in step["commands"]
        )
    edits = [s for s in steps[:25] if s["diff"]]
    assert len(edits) == 5 and all(s["diff"].startswith("--- ") for s in edits)
    assert all(s["adds"] == s["diff"] for s in edits)
    programs = " ".join(c["command"] for s in steps for c in s["commands"])
    assert (
        "pg_basebackup" in programs
        and "createuser" in programs
        and "pg_create_physical_replication_slot" in programs
    )
    backup = next(c for s in steps[:25] for c in s["commands"] if "pg_basebackup" in c["command"])
    assert backup["exit_code"] == 0 and "(100%)" in backup["output"]
    repeated = [s["adds"] for s in steps if s["adds"]]
    assert set(repeated) == {s["adds"] for s in edits}, "an unchanged edit says what it had added"


# --- with a password, cut off, taken up again, changed: one cluster on either engine --------------------------------


@contextmanager
def watched_commands() -> Iterator[set[str]]:
    """The command lines of all processes of this machine, while the block runs."""
    seen: set[str] = set()
    end = threading.Event()

    looks: Counter[int] = Counter()

    def look() -> None:
        while not end.wait(0.01):
            for pid in psutil.pids():
                looks[pid] += (
                    1  # a few looks at each, because a new process becomes the program a little later
                )
                if looks[pid] > 5:
                    continue
                try:
                    seen.add("\0".join(psutil.Process(pid).cmdline()))
                except psutil.Error:
                    continue

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join(10)


def backup_process(cluster: Cluster) -> psutil.Process | None:
    """The `pg_basebackup` of this cluster, once it has begun to write data."""
    if cluster.engine.name == "local":
        if not (cluster.folder / "data/repl_temp/base/1").exists():
            return None
        own = f"--port={cluster.engine.ports['primary']}"
        found = [
            p
            for p in psutil.process_iter(["name", "cmdline"])
            if p.info["name"] == "pg_basebackup" and own in (p.info["cmdline"] or [])
        ]
    else:
        container = docker_host.client().containers.get(f"{cluster.params.project}_repl_temp")
        rows = container.top()["Processes"]
        found = [psutil.Process(int(r[1])) for r in rows if "pg_basebackup" in r[-1]]
        if container.exec_run(["test", "-e", f"{cluster.engine.pgdata}/base/1"])[0]:  # type: ignore[attr-defined]
            return None
    return min(found, key=lambda p: p.pid, default=None)


def cut_off_base_backup(cluster: Cluster) -> BaseException:
    """Kill `pg_basebackup` in its work; returns the error that the step ended with."""
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        while not killed and not ended.wait(0.002):
            try:
                if process := backup_process(cluster):
                    process.kill()
                    killed.append(process.pid)
            except (psutil.Error, DockerException):
                continue

    cluster.replica.start_temporary()
    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        with pytest.raises(StepFailed) as caught:
            cluster.replica.base_backup()
    finally:
        ended.set()
        thread.join(10)
    assert killed
    return caught.value


@pytest.fixture(scope="module")
def scram(
    engine_name: str, open_with: MakeCluster, workdir: Path
) -> tuple[Cluster, dict[str, Any]]:
    """A cluster with a password in an oddly named folder, whose base backup was cut off; and what was seen meanwhile."""
    odd = workdir / "Área de 'trabalho' $x (cópia)"
    odd.mkdir(exist_ok=True)
    made, seen = open_with(engine_name, workdir=str(odd)), {}
    with watched_commands() as commands:
        set_up_primary(made)
        db.rows(
            made.primary.address,
            "create table big as select i, repeat(md5(i::text), 30) as t from generate_series(1, 150000) i",
        )
        seen["error"] = cut_off_base_backup(made)
        seen["prepared"], seen["complete"] = (
            made.replica.prepared(),
            made.engine.backup_complete("replica"),
        )
        seen["outcomes"] = set_up(again(made, open_with))
    seen["rows"] = db.row(made.replica.address, "select count(*) as n from big")["n"]
    db.rows(made.primary.address, "drop table big")
    seen["commands"] = commands
    return made, seen


def test_a_base_backup_that_was_killed_is_made_again(scram: tuple[Cluster, dict[str, Any]]) -> None:
    made, seen = scram
    assert "pg_basebackup" in str(seen["error"]) and made.params.folder.exists()
    assert not seen["prepared"] and not seen["complete"]
    assert seen["outcomes"][:13] == ["unchanged"] * 13
    assert seen["outcomes"][13:15] == ["unchanged", "changed"] and set(seen["outcomes"][15:]) == {
        "changed"
    }
    assert seen["rows"] == 150_000


def test_all_checks_pass_with_a_password(scram: tuple[Cluster, dict[str, Any]]) -> None:
    made, _ = scram
    assert failed_checks(made) == {}
    rules = (
        "select database, auth_method from pg_hba_file_rules where 'repl' = any(user_name) "
        "order by line_number"
    )
    for instance in (made.primary, made.replica):
        assert [tuple(r.values()) for r in db.rows(instance.address, rules)] == [
            (["replication"], "scram-sha-256"),
            (["all"], "reject"),
        ]
    stored = db.row(
        made.primary.address, "select rolpassword from pg_authid where rolname = 'repl'"
    )["rolpassword"]
    assert stored.startswith("SCRAM-SHA-256$")
    conninfo = db.row(made.replica.address, "show primary_conninfo")["primary_conninfo"]
    assert "passfile=" in conninfo and "password" not in conninfo


def secrets_of(cluster: Cluster) -> list[str]:
    both = [
        (cluster.folder / "secrets" / n).read_text().strip() for n in ("superuser", "replication")
    ]
    assert all(len(s) >= 32 for s in both) and both[0] != both[1]
    return both


def test_a_password_lies_only_where_its_reader_alone_may_look(
    scram: tuple[Cluster, dict[str, Any]],
) -> None:
    made, _ = scram
    holders, looked_at = {}, 0
    for path in (p for p in made.folder.rglob("*") if p.is_file()):
        content, looked_at = path.read_bytes(), looked_at + 1
        if any(s.encode() in content for s in secrets_of(made)):
            holders[str(path.relative_to(made.folder))] = path.stat().st_mode & 0o777
    assert looked_at >= (900 if made.engine.name == "local" else 12)
    known = {f"secrets/{n}" for n in ("superuser", "replication", "pgpass", "replication.pgpass")}
    assert known <= set(holders) <= known | {"data/replica/replication.pgpass"}
    assert set(holders.values()) == {0o600}
    assert (made.folder / "secrets").stat().st_mode & 0o777 == 0o700


def test_a_password_is_in_no_container(scram: tuple[Cluster, dict[str, Any]]) -> None:
    made, _ = scram
    if made.engine.name != "docker":
        assert not any(line.startswith("container") for line in made.engine.existing())
        return  # its files are looked at above
    labels = {"label": f"com.docker.compose.project={made.params.project}"}
    containers = docker_host.client().containers.list(filters=labels)
    assert len(containers) == 2
    for container in containers:
        described = json.dumps(container.attrs) + container.logs().decode(errors="replace")
        for secret in secrets_of(made):
            assert secret not in described
            code, out = container.exec_run(
                ["grep", "-rlF", secret, "/var/lib/postgresql", "/etc/postgresql", "/tmp"]
            )
            holders = out.decode().split()
            wanted = [made.engine.protected("replica", PASSFILE)]
            is_replica = (
                container.labels["com.docker.compose.service"] == "replica"
                and secret == secrets_of(made)[1]
            )
            assert (code, holders) == ((0, wanted) if is_replica else (1, []))
    _, mode = containers[0].exec_run(["stat", "-c", "%a %U", "/run/secrets/superuser"])
    found = [
        c.exec_run(["stat", "-c", "%a %U", made.engine.protected("replica", PASSFILE)])[1]
        .decode()
        .split()
        for c in containers
    ]
    assert ["600", "postgres"] in found, mode


def test_a_password_is_in_no_command_line(scram: tuple[Cluster, dict[str, Any]]) -> None:
    made, seen = scram
    assert any("pg_basebackup" in c for c in seen["commands"]) and any(
        "createuser" in c for c in seen["commands"]
    )
    assert [c for c in seen["commands"] if any(s in c for s in secrets_of(made))] == []
    running = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    assert [c for c in running if any(s in c for s in secrets_of(made))] == []
    assert not any(s in (made.folder / "journal.jsonl").read_text() for s in secrets_of(made))


def test_a_password_file_that_serves_for_nothing_is_set_right_by_starting(
    scram: tuple[Cluster, dict[str, Any]],
) -> None:
    made, _ = scram
    password = made.engine.give("replica", {PASSFILE: PASSFILE})
    path = shlex.quote(made.engine.protected("replica", PASSFILE))
    for harm in (f"rm {path}", f"chmod 644 {path}", f"echo x > {path}"):
        if made.engine.name == "docker":
            container_of(made, "replica").exec_run(["sh", "-c", harm])
        else:
            subprocess.run(["sh", "-c", harm], check=True)
        assert not password.done(), harm
        assert made.replica.start() == "changed" and password.done(), harm
    made.replica.stop()
    assert made.replica.start() == "changed" and made.replica.streams()[0]


def test_a_login_that_would_be_refused_is_seen_and_set_right(
    scram: tuple[Cluster, dict[str, Any]], open_with: MakeCluster
) -> None:
    """The replica streams on; only when it has to log in again would it be refused."""
    made, _ = scram
    assert CHECKS["login"](made).passed
    for harm in ("password 'x'", "valid until '2020-01-01'"):
        db.rows(made.primary.address, f"alter role repl {harm}")
        assert (
            made.replica.streams()[0]
            and "password authentication failed" in CHECKS["login"](made).seen
        )
        assert made.primary.create_replication_user() == "changed"
        assert (
            CHECKS["login"](made).passed and made.primary.create_replication_user() == "unchanged"
        )
    (made.folder / "secrets/replication").write_text("another-password-of-32-characters\n")
    now = again(made, open_with)
    assert [now.make_secrets(), now.primary.create_replication_user(), now.replica.start()] == [
        "changed"
    ] * 3
    assert CHECKS["login"](now).passed


def test_two_projects_live_side_by_side(
    cluster: Cluster, scram: tuple[Cluster, dict[str, Any]]
) -> None:
    other, _ = scram
    given = other.params.plain()
    assert open_cluster("", {**given, "other": 1}).params == other.params
    assert open_cluster("", {"port": 1}, **given).params == other.params
    assert cluster.engine.name == other.engine.name and cluster.folder != other.folder
    assert not set(cluster.engine.ports.values()) & set(other.engine.ports.values())
    db.rows(other.primary.address, "create table only_here (n int)")
    identifiers = [
        db.row(c.replica.address, "select system_identifier as s from pg_control_system()")["s"]
        for c in (cluster, other)
    ]
    assert identifiers[0] != identifiers[1]
    assert db.row(cluster.primary.address, "select to_regclass('only_here')::text as t") == {
        "t": None
    }
    assert failed_checks(cluster) == {} and failed_checks(other) == {}


def test_a_changed_setting_is_taken_over_by_a_reload(
    scram: tuple[Cluster, dict[str, Any]], open_with: MakeCluster
) -> None:
    made, _ = scram
    before, data = started(made), identity(made)["replica"]["backup"]
    assert shown(made, "work_mem") == ["4MB", "4MB"]
    outcomes = set_up(again(made, open_with, settings={"work_mem": "8MB"}))
    assert [n for n, o in enumerate(outcomes) if o == "changed"] == [
        8,
        10,
        21,
        24,
    ]  # both edits, both starts
    assert shown(made, "work_mem") == ["8MB", "8MB"] and started(made) == before
    assert identity(made)["replica"]["backup"] == data
    assert failed_checks(again(made, open_with)) == {}
    assert set(set_up(again(made, open_with))) == {"unchanged"}


def test_a_setting_that_needs_a_restart_gets_one(
    scram: tuple[Cluster, dict[str, Any]], open_with: MakeCluster
) -> None:
    made, _ = scram
    before = started(made)
    changed = again(made, open_with, settings={"max_connections": 150})
    set_up(changed)
    assert shown(made, "max_connections") == ["150", "150"]
    assert not set(started(made)) & set(before)
    assert failed_checks(changed) == {}
    assert set(set_up(again(made, open_with))) == {"unchanged"}


def test_a_setting_that_is_taken_back_is_the_servers_own_again(
    scram: tuple[Cluster, dict[str, Any]], open_with: MakeCluster
) -> None:
    """The replica needs at least the primary's value, also while it has not heard yet that the primary has less now."""
    made, _ = scram
    set_up(again(made, open_with, settings={}))
    assert shown(made, "max_connections") == ["100", "100"] and shown(made, "work_mem") == [
        "4MB",
        "4MB",
    ]
    assert failed_checks(again(made, open_with)) == {}


# --- cut off anywhere -----------------------------------------------------------------------------------------


class CutOff(KeyboardInterrupt):
    """As if the process had been killed there."""


@contextmanager
def cut_after(monkeypatch: pytest.MonkeyPatch, calls: int) -> Iterator[None]:
    """Let so many effects happen (commands, files written and removed), then end."""
    left = calls

    def counted(effect: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                raise CutOff
            left -= 1
            return effect(*arguments, **more)

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(command, "run", counted(command.run))
        patched.setattr(files, "remove", counted(files.remove))
        patched.setattr(files, "write_atomic", counted(files.write_atomic))
        yield


@pytest.mark.long
def test_a_run_cut_off_after_any_effect_is_continued(
    open_with: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more effect is let through each time; after progress it starts from one again."""
    made = open_with("local")
    calls, cuts, done = 0, 0, 0
    progress: set[str] = set()
    while done < 25:
        now, before = again(made, open_with), len(progress)
        try:
            with cut_after(monkeypatch, calls):
                done = len(set_up(now))
        except CutOff:
            cuts += 1
        steps = [e for e in now.journal.entries() if e["kind"] == "step"]
        progress |= {e["title"] for e in steps if e["outcome"] in ("changed", "unchanged")}
        calls = 0 if len(progress) > before else calls + 1
        assert calls < 12, "no progress any more"
    assert cuts >= 25
    assert failed_checks(made) == {}
    assert made.journal.first_broken_line() is None
    assert set(set_up(again(made, open_with))) == {"unchanged"}


def test_a_password_file_that_is_missing_is_written_again(open_with: MakeCluster) -> None:
    made = open_with("local")
    made.make_secrets()
    before = (made.folder / "secrets/superuser").read_text()
    for name in ("pgpass", "replication.pgpass"):
        (made.folder / "secrets" / name).unlink()
        assert again(made, open_with).make_secrets() == "changed"
        assert (made.folder / "secrets" / name).stat().st_size
    assert (made.folder / "secrets/superuser").read_text() == before


# --- in the wrong order, at the same time ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        lambda c: c.replica.start(),
        lambda c: c.primary.create_replication_user(),
        lambda c: c.primary.create_slot("another_slot"),
        lambda c: c.replica.wait_streaming(),
    ],
    ids=["start the replica", "create the user", "create a slot", "wait for streaming"],
)
def test_a_primary_that_is_down_is_told_as_an_error_of_ours(
    stopped: Cluster, step: Callable[[Cluster], Any]
) -> None:
    began = time.monotonic()
    with pytest.raises(PgreplError) as caught:
        step(stopped)
    assert time.monotonic() - began < 20, "nobody can stream from a primary that is down"
    assert (
        re.search("waits for primary: it gives no answer|a running primary", str(caught.value))
        and caught.value.remedy
    )


@pytest.fixture(scope="module")
def stopped(open_with: MakeCluster) -> Cluster:
    """Its replica runs, its primary does not."""
    made = open_with("local")
    set_up(made)
    made.engine.stop("primary").do(lambda line: None)
    return made


def test_after_the_primary_is_back_running_again_is_enough(
    stopped: Cluster, open_with: MakeCluster
) -> None:
    outcomes = set_up(again(stopped, open_with))
    assert outcomes[10] == "changed" and outcomes.count("changed") <= 2
    wait_until("streaming", stopped.replica.streams, seconds=20)
    assert failed_checks(stopped) == {}


ONE_PROJECT = """
import json, sys
from pgrepl_lib import open_cluster
from tests.conftest import set_up_primary, set_up_replica
cluster = open_cluster("test", **json.loads(sys.argv[1]))
print("opened", flush=True)
sys.stdin.readline()
set_up_primary(cluster)
set_up_replica(cluster)
"""


def test_two_projects_are_set_up_at_the_same_time(open_with: MakeCluster) -> None:
    """Both are opened, free ports chosen, before either has taken anything."""
    made = [open_with("local", port=0) for _ in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_PROJECT, json.dumps(c.params.plain())],
            cwd=CHECKOUT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for c in made
    ]
    try:
        for process in processes:
            assert process.stdout and process.stdout.readline() == "opened\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        errors = [process.communicate(timeout=90)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait(10)
    assert [p.returncode for p in processes] == [0, 0], "\n".join(errors)
    both = [again(c, open_with) for c in made]
    assert not set(both[0].engine.ports.values()) & set(both[1].engine.ports.values())
    assert [failed_checks(c) for c in both] == [{}, {}]
