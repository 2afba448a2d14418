"""Bad input and bad surroundings: a clear error with what to do, before anything is changed where that can be known."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker.types
import psycopg
import pytest

from pgrepl_lib import Cluster, PgreplError, open_cluster
from pgrepl_lib.checks import preflight
from pgrepl_lib.checks.checks import CHECKS
from pgrepl_lib.cluster import server, state
from pgrepl_lib.doors import db, files
from pgrepl_lib.doors.db import Address
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.errors import EnvironmentLacking, ParameterError, StepFailed
from tests.conftest import DOCUMENT, IMAGE, MakeCluster, set_up_primary, set_up_replica

from .disks import mounted, resize
from .running import of_cluster, pgrepl

ODD_SETTINGS = {
    "log_line_prefix": "a'b\\c#d %m ",
    "timezone": "America/Sao_Paulo",
    "datestyle": "ISO, DMY",
    "auto_explain.log_min_duration": "1s",
    "bonjour_name": "é\u2028 \"x\" $1 = ''",
}


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """It ended with this code, a message of ours with these words, and no traceback."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in done.stderr, done.stderr


def set_up(cluster: Cluster) -> list[str]:
    return set_up_primary(cluster) + set_up_replica(cluster)


def failed_checks(cluster: Cluster) -> dict[str, str]:
    made = [make(cluster) for make in CHECKS.values()]
    return {c.name: f"expected {c.expected}; seen {c.seen}" for c in made if not c.passed}


@pytest.fixture
def empty() -> Iterator[Path]:
    """A work folder of the test's own, which every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_root_does_not_work_on_another_users_project(engine_name: str, empty: Path) -> None:
    (empty / "theirs").mkdir()
    os.chown(empty / "theirs", 65534, -1)
    for command in ("run", "plan", "down --yes"):
        done = pgrepl(command, {"project": "theirs", "engine": engine_name, "workdir": str(empty)})
        refused(
            done,
            3,
            "Project theirs belongs to the user",
            "runuser -l",
            "--project theirs -p workdir",
        )
    assert not list((empty / "theirs").iterdir())


# --- parameters, through the command line ---------------------------------------------------------------------

WRONG = [
    *(
        ("project", p)
        for p in (
            "a/b",
            "..",
            "../../etc",
            "a b",
            "a'b",
            'a"b',
            "Upper",
            "x" * 200,
            "",
            "-x",
            "a\nb",
            "é",
        )
    ),
    *(
        ("network", n)
        for n in (
            "nonsense",
            "192.168.55.7/24",
            "192.168.55.0/30",
            "8.8.8.0/24",
            "fd00::/64",
            "0.0.0.0/0",
            "",
        )
    ),
    *(("pg_version", v) for v in ("13", "19", "14.5", "x")),
    *(("replicas", r) for r in ("0", "-1", "17", "x")),
    *(
        ("settings", s)
        for s in (
            '{"work_mem": "8MB\\nfsync = off"}',
            "{",
            '{"a b": 1}',
            '{"port": "5432"}',
            "work_mem=8MB",
        )
    ),
    *(("replication_user", u) for u in ("", "postgres", "pg_x", "x" * 64, "a\nb", "/x", "-x")),
    *(("auth_method", a) for a in ("md5", "")),
    *(("engine", e) for e in ("swarm", "")),
    ("port", "80"),
    ("image", "a b"),
    ("no_such_parameter", "1"),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{n}={v!r}"[:40] for n, v in WRONG])
def test_a_wrong_parameter_is_refused_before_anything_is_made(
    name: str, value: str, empty: Path
) -> None:
    with pytest.raises(ParameterError) as caught:
        open_cluster("test", **{"workdir": str(empty), "engine": "local", name: value})
    assert name in str(caught.value) and caught.value.remedy
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "check", "status", "down", "psql primary"])
def test_every_command_refuses_wrong_parameters_with_exit_code_2(command: str, empty: Path) -> None:
    done = pgrepl(command, {"workdir": str(empty), "project": "../x", "replicas": "x", "nope": "1"})
    refused(done, 2, "project", "replicas", "nope", "what to do")
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("command", ["check", "status", "psql primary"])
def test_a_project_that_does_not_exist_is_named(command: str, empty: Path) -> None:
    refused(
        pgrepl(command, {"workdir": str(empty), "project": "nobody"}), 2, "nobody", "pgrepl run"
    )
    assert list(empty.iterdir()) == []


def test_down_of_nothing_is_fine_and_makes_nothing(empty: Path) -> None:
    done = pgrepl("down --yes", {"workdir": str(empty), "engine": "local"})
    assert done.returncode == 0 and "nothing" in done.stdout, done.stderr
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        "run --from 77",
        "run --to x",
        "nonsense",
        "run --no-such-option",
        "run -p project",
        "check unexpected",
    ],
)
def test_wrong_usage_ends_with_exit_code_2(command: str, empty: Path) -> None:
    refused(pgrepl(command, {"workdir": str(empty)} if command != "run -p project" else None), 2)
    assert list(empty.iterdir()) == []


def test_a_setting_that_the_server_does_not_know_is_refused_before_anything_is_made(
    engine_name: str, empty: Path
) -> None:
    more = {"image": IMAGE} if engine_name == "docker" and IMAGE else {}
    given = {"no_such_setting": "1", "work_mem": "plenty", "wal_level": "maximal", "jit": "off"}
    with pytest.raises(ParameterError) as caught:
        open_cluster("test", engine=engine_name, workdir=str(empty), settings=given, **more)
    for word in ("no_such_setting", "plenty", "maximal", "nothing was touched"):
        assert word in str(caught.value)
    assert len(caught.value.looked_at) == 3 and list(empty.iterdir()) == []
    values = {"engine": engine_name, "workdir": str(empty), "settings": json.dumps(given), **more}
    refused(pgrepl("run", values), 2, "no_such_setting", "plenty")


# --- parameters that are odd but right: they work for real -------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "more"),
    [
        ('+Répl "x"\'y a b:c\\d,#=%', {"settings": ODD_SETTINGS}),
        ("all", DOCUMENT),
    ],
    ids=["signs", "all"],
)
def test_a_replication_user_that_needs_quoting_works(
    user: str, more: dict[str, Any], open_with: MakeCluster
) -> None:
    made = open_with("local", replication_user=user, **more)
    set_up(made)
    assert failed_checks(made) == {}
    query = (
        "select usename::text as u from pg_stat_replication where application_name = 'replica-1'"
    )
    assert db.row(made.primary.address, query) == {"u": user}
    if user == "all":  # the name of one role here, not everybody's
        db.rows(made.primary.address, "create role other login replication")
        db.connect(
            Address("127.0.0.1", made.engine.ports["primary"], "all", ""),
            settings={},
            replication="true",
        ).close()
        with pytest.raises(psycopg.OperationalError, match="no password"):
            db.connect(
                Address("127.0.0.1", made.engine.ports["primary"], "other", ""),
                settings={},
                replication="true",
            )
    for name, value in more.get("settings", {}).items():
        query = "select current_setting(%s) as v"
        (shown,) = db.rows_as_configured(made.replica.address, query, [name])
        assert shown["v"] == value, name
    assert made.journal.first_broken_line() is None
    assert [e["outcome"] for e in made.journal.entries() if e["kind"] == "step"].count(
        "changed"
    ) >= 20
    assert set(set_up(open_with("local", project=made.params.project))) == {"unchanged"}


# --- surroundings: engine, image, folder ------------------------------------------------------------------------


@pytest.fixture
def fresh_docker(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Docker's answers are asked for again in this test, and again after it."""
    for known in (docker_host.client, docker_host.ask_version):
        known.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    for known in (docker_host.client, docker_host.ask_version):
        known.cache_clear()


@pytest.mark.parametrize(
    "host", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:9", "nonsense://x"]
)
def test_a_docker_engine_that_is_not_there(
    host: str, fresh_docker: pytest.MonkeyPatch, empty: Path
) -> None:
    fresh_docker.setenv("DOCKER_HOST", host)
    with pytest.raises(EnvironmentLacking, match="No Docker engine answers") as caught:
        open_cluster("test", engine="docker", workdir=str(empty))
    assert (
        host in str(caught.value)
        and "engine = local" in caught.value.remedy
        and caught.value.exit_code == 3
    )
    assert list(empty.iterdir()) == []
    chosen = open_cluster("test", engine="auto", workdir=str(empty))
    assert chosen.engine.name == "local" and "No Docker engine answers" in chosen.why


def test_a_docker_engine_that_is_not_there_through_the_command_line(empty: Path) -> None:
    env = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/d.sock"}
    done = pgrepl("down --yes", {"engine": "docker", "workdir": str(empty)}, env=env)
    refused(done, 3, "No Docker engine answers", "engine = local")
    assert list(empty.iterdir()) == []


def test_a_missing_compose(
    docker_ready: None, fresh_docker: pytest.MonkeyPatch, empty: Path
) -> None:
    fresh_docker.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EnvironmentLacking, match="Compose is missing") as caught:
        open_cluster("test", engine="docker", workdir=str(empty), image=IMAGE)
    assert caught.value.remedy and list(empty.iterdir()) == []


@pytest.mark.parametrize("image", ["pgrepl-no-such-image:14", "localhost:9/none/postgres:14"])
def test_an_image_that_does_not_exist(docker_ready: None, image: str, empty: Path) -> None:
    with pytest.raises(EnvironmentLacking) as caught:
        open_cluster("test", engine="docker", workdir=str(empty), image=image)
    assert (
        image in str(caught.value)
        and "parameter image" in caught.value.remedy
        and caught.value.exit_code == 3
    )
    chosen = open_cluster("test", engine="auto", workdir=str(empty), image=image)
    assert chosen.engine.name == "local" and image in chosen.why
    assert list(empty.iterdir()) == []


def test_an_image_of_another_version(docker_ready: None, empty: Path) -> None:
    if not IMAGE:
        pytest.skip("the image to test with is not named (PGREPL_TEST_IMAGE)")
    with pytest.raises(EnvironmentLacking, match="holds PostgreSQL 14, not 15") as caught:
        open_cluster("test", engine="docker", workdir=str(empty), image=IMAGE, pg_version=15)
    assert caught.value.remedy and list(empty.iterdir()) == []


@contextmanager
def small(folder: Path, options: str) -> Iterator[None]:
    """A small file system of its own in this folder."""
    with mounted(folder, options) as why_not:
        if why_not:
            pytest.skip(f"this user may not mount: {why_not}")
        yield


def test_a_read_only_work_folder(empty: Path) -> None:
    with small(empty, "ro,size=1m"):
        made = open_cluster("test", project="ro", engine="local", workdir=str(empty))
        for step in (made.preflight, made.make_secrets):
            with pytest.raises(EnvironmentLacking) as caught:
                step()
            assert str(empty) in str(caught.value) and "workdir" in caught.value.remedy
        done = pgrepl("run", {"engine": "local", "workdir": str(empty)})
        refused(done, 3, str(empty), "workdir")
        assert list(empty.iterdir()) == []


def test_what_fills_the_disk_can_be_removed(empty: Path) -> None:
    with small(empty, "size=1m,mode=755"):
        made = open_cluster("test", project="full", engine="local", workdir=str(empty))
        files.make_folder(made.folder)
        made.record()
        data = made.folder / "data/primary"
        data.mkdir(parents=True)
        with suppress(OSError), (data / "filling").open("wb", buffering=0) as filling:
            while True:
                filling.write(b"x" * 4096)
        done = pgrepl("down --yes", {"project": "full", "workdir": str(empty)})
        assert done.returncode == 0 and "project full is removed" in done.stdout, done.stderr
        assert not data.exists() and not (made.folder / "cluster.json").exists()


def test_a_work_folder_that_is_a_file(empty: Path) -> None:
    (empty / "file").write_text("mine")
    made = open_cluster("test", project="x", engine="local", workdir=str(empty / "file"))
    for step in (made.preflight, made.make_secrets):
        with pytest.raises(EnvironmentLacking) as caught:
            step()
        assert "workdir" in caught.value.remedy
    assert (empty / "file").read_text() == "mine"


def test_a_nearly_full_work_folder_is_found_before(empty: Path) -> None:
    with small(empty, "size=50m,mode=755"):
        made = open_cluster("test", project="full", engine="local", workdir=str(empty))
        with pytest.raises(EnvironmentLacking, match="disk space: 0") as caught:
            made.make_secrets()
        assert "free at least" in caught.value.remedy
        assert not (empty / "full/cluster.json").exists() and not (empty / "full/secrets").exists()


def test_room_is_looked_for_where_the_data_go(cluster: Cluster) -> None:
    place = str(cluster.folder)
    if cluster.engine.name == "docker":
        place = docker_host.client().info()["DockerRootDir"]
    found = {f.name: f for f in preflight.findings(cluster)}["disk"]
    assert found.ok and found.seen.endswith(f" GB free in {place}")


def test_a_work_folder_that_fills_up_on_the_way(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running again goes on once there is room."""
    monkeypatch.setattr(preflight, "SPACE_NEEDED", 0)
    with small(empty, "size=12m,mode=755"):
        made = open_cluster("test", project="full", engine="local", workdir=str(empty))
        with pytest.raises(PgreplError) as caught:
            set_up(made)
        assert "space" in str(caught.value).lower() and caught.value.remedy
        resize(empty, 600)
        made = open_cluster("test", project="full", engine="local", workdir=str(empty))
        try:
            set_up(made)
            assert failed_checks(made) == {}
            assert made.journal.first_broken_line() is None
            monkeypatch.undo()
            assert all(f.ok for f in preflight.findings(made)), (
                "it has its room: 600 MB are enough now"
            )
        finally:
            made.remove(confirm=True)


def test_a_folder_that_the_servers_user_may_not_enter(empty: Path) -> None:
    if os.geteuid():
        pytest.skip("an ordinary user's server runs as that user")
    (empty / "closed").mkdir(mode=0o700)
    made = open_cluster("test", project="x", engine="local", workdir=str(empty / "closed/deep"))
    with pytest.raises(EnvironmentLacking, match="may not enter") as caught:
        made.make_secrets()
    assert "closed" in str(caught.value) and "workdir" in caught.value.remedy
    assert not (empty / "closed/deep/x/cluster.json").exists()


# --- what an earlier run left ------------------------------------------------------------------------------------


def test_data_and_running_servers_without_their_record(
    open_with: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cluster.json` was deleted: run again, the data is kept, or an error says what to do."""
    monkeypatch.setattr(server, "START_SECONDS", 5)
    made = open_with("local", port=0)
    set_up(made)
    db.rows(made.primary.address, "create table precious as select 1 as n")
    first = made.primary.address
    (made.folder / state.FILE).unlink()
    again = open_with("local", project=made.params.project)
    try:
        set_up(again)
        assert db.row(again.primary.address, "select n from precious") == {"n": 1}
        assert failed_checks(again) == {}
    except PgreplError as error:
        assert "pgrepl down" in str(error), str(error)
        assert db.row(first, "select n from precious") == {"n": 1}
    finally:
        assert again.remove(confirm=True) == "changed"
        with pytest.raises(OSError), socket.create_connection((first.host, first.port), timeout=2):
            pass


def test_a_data_folder_that_is_not_ours_is_not_overwritten(open_with: MakeCluster) -> None:
    made = open_with("local")
    made.make_secrets()
    (made.folder / "data/replica").mkdir()
    (made.folder / "data/replica/precious").write_text("mine")
    with pytest.raises(PgreplError) as caught:
        set_up(made)
    assert "data/replica" in str(caught.value) and caught.value.remedy
    assert (made.folder / "data/replica/precious").read_text() == "mine"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"params": {}}'])
def test_a_damaged_record_is_named(content: str, empty: Path) -> None:
    (empty / "x").mkdir()
    (empty / "x/cluster.json").write_text(content)
    with pytest.raises(ParameterError, match=r"cluster\.json") as caught:
        open_cluster("test", project="x", engine="local", workdir=str(empty))
    assert caught.value.remedy
    refused(pgrepl("status", {"project": "x", "workdir": str(empty)}), 2, "cluster.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_another_projects_damaged_record_does_not_matter(content: str, empty: Path) -> None:
    (empty / "other").mkdir()
    (empty / "other/cluster.json").write_text(content)
    assert (
        open_cluster("test", project="x", engine="local", workdir=str(empty)).params.project == "x"
    )


@pytest.fixture(scope="module")
def finished(open_with: MakeCluster) -> Cluster:
    made = open_with("local")
    set_up(made)
    return made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pg_version", 15),
        ("network", "10.99.0.0/24"),
        ("replication_user", "other"),
        ("auth_method", "trust"),
    ],
)
def test_a_cluster_made_with_other_parameters(finished: Cluster, name: str, value: Any) -> None:
    given = {**finished.params.plain(), "image": "", name: value}
    with pytest.raises(ParameterError) as caught:
        open_cluster("test", **given)
    assert f"{name}: made with" in str(caught.value) and str(value) in str(caught.value)
    assert f"pgrepl down --project {finished.params.project}" in caught.value.remedy
    refused(pgrepl("check", {**of_cluster(finished), name: str(value)}), 2, f"{name}: made with")
    assert finished.primary.answers()[0] and finished.replica.streams()[0]


CHANGES = {
    "image": "postgres:17",
    "replicas": "3",
    "settings": '{"work_mem": "9MB"}',
    "port": "21999",
}


@pytest.mark.parametrize("command", ["status", "check", "lag", "replica add", "switchover"])
def test_only_a_run_changes_parameters(finished: Cluster, command: str) -> None:
    before = (finished.folder / "cluster.json").read_text()
    done = pgrepl(command, {**of_cluster(finished), **CHANGES})
    assert done.returncode == (3 if command == "lag" else 2)
    told = done.stdout + done.stderr
    assert command == "lag" or all(f"{name}: it has" in told for name in CHANGES), told
    assert (finished.folder / "cluster.json").read_text() == before


def test_a_variable_that_differs_is_refused_too(finished: Cluster) -> None:
    exported = {**os.environ, "PGREPL_PORT": "21999"}
    refused(pgrepl("status", of_cluster(finished), env=exported), 2, "port: it has", "21999")
    refused(pgrepl("run", of_cluster(finished), env=exported), 2, "runs on port", "21999", "pg_ctl")
    same = {**exported, "PGREPL_PORT": str(finished.engine.ports["primary"])}
    assert pgrepl("status", of_cluster(finished), env=same).returncode == 0


def test_a_stopped_cluster_moves_to_the_port_that_is_asked_for(
    finished: Cluster, free_port: Callable[[], int]
) -> None:
    old = finished.engine.ports["primary"]
    for port in (free_port(), old):
        for name in ("replica", "primary"):
            finished.engine.stop(name).do(print)
        moved = open_cluster("test", **{**finished.params.plain(), "image": "", "port": port})
        set_up(moved)
        assert moved.engine.ports["primary"] == port == moved.primary.address.port
        assert moved.replica.streams()[0]
    finished.engine.ports = moved.engine.ports


IMPOSSIBLE = {
    "hot_standby": "off",
    "wal_level": "minimal",
    "max_wal_senders": "2",
    "recovery_target_time": "2026-01-01",
    "recovery_target_timeline": "current",
}


def test_settings_that_replication_cannot_work_with_are_refused(
    finished: Cluster, empty: Path
) -> None:
    for name, value in IMPOSSIBLE.items():
        with pytest.raises(ParameterError, match="nothing was touched") as caught:
            open_cluster("test", workdir=str(empty), engine="local", settings={name: value})
        assert f"{name} = {value}: " in str(caught.value)
    given = {**finished.params.plain(), "image": "", "settings": {"hot_standby": "off"}}
    with pytest.raises(ParameterError, match="refuse every connection"):
        open_cluster("test", **given)
    assert list(empty.iterdir()) == []


def test_a_cluster_made_with_the_other_engine(docker_ready: None, finished: Cluster) -> None:
    with pytest.raises(ParameterError, match="engine: made with local, asked for docker"):
        open_cluster("test", **{**finished.params.plain(), "engine": "docker", "image": IMAGE})
    again = open_cluster("test", **{**finished.params.plain(), "engine": "auto"})
    assert again.engine.name == "local" and "made with" in again.why


# --- what others hold --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port_taken(engine_name: str, open_with: MakeCluster) -> tuple[Cluster, StepFailed]:
    """A primary whose port was taken when it should have started, and the error; it was started afterwards."""
    made = open_with(engine_name)
    made.preflight()
    made.make_secrets()
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", made.engine.ports["primary"]))
        taker.listen()
        with pytest.raises(StepFailed) as caught:
            set_up_primary(made)
    set_up_primary(open_with(engine_name, project=made.params.project))
    return made, caught.value


def test_a_port_taken_between_preflight_and_start(port_taken: tuple[Cluster, StepFailed]) -> None:
    made, error = port_taken
    port = made.engine.ports["primary"]
    assert f"port {port} is held by process {os.getpid()}" in str(
        error
    ) and "parameter port" in str(error)
    assert made.primary.answers()[0], "running again goes on once the port is free"


def test_data_whose_passwords_are_gone(
    port_taken: tuple[Cluster, StepFailed], open_with: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new password is not that of the old data: an error must say so, name the data, and keep it."""
    monkeypatch.setattr(server, "START_SECONDS", 3)
    made, _ = port_taken
    made.engine.stop("primary").do(lambda line: None)
    local = made.engine.name == "local"
    shutil.rmtree(made.folder / "secrets" if local else made.folder)
    again = open_with(made.engine.name, project=made.params.project)
    data = "data/primary" if local else f"{made.params.project}_primary"
    with pytest.raises(PgreplError) as caught:
        set_up_primary(again)
    assert any(data in line for line in again.engine.existing())
    assert data in str(caught.value) and "pgrepl down" in str(caught.value)
    assert again.remove(confirm=True) == "changed"
    assert again.engine.existing() == []


def test_a_port_that_is_taken_is_found_before(empty: Path) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        port = taker.getsockname()[1]
        if port + 1 > 65519:
            pytest.skip("a port at the very end")
        made = open_cluster("test", project="x", engine="local", workdir=str(empty), port=port)
        with pytest.raises(
            EnvironmentLacking, match=f"{port} is held by process {os.getpid()}"
        ) as caught:
            made.make_secrets()
        assert "parameter port" in caught.value.remedy and not (empty / "x/cluster.json").exists()


def test_a_network_that_another_docker_network_has(
    docker_ready: None, empty: Path, free_network: Callable[[], str]
) -> None:
    network, name = free_network(), f"pgrepl-test-{os.getpid()}"
    pool = docker.types.IPAMPool(subnet=network)
    taken = docker_host.client().networks.create(
        name, ipam=docker.types.IPAMConfig(pool_configs=[pool])
    )
    try:
        for wanted in (network, f"{network.rsplit('.', 1)[0]}.64/27"):
            made = open_cluster(
                "test",
                project="x",
                engine="docker",
                workdir=str(empty),
                network=wanted,
                image=IMAGE,
            )
            for step in (made.preflight, made.make_secrets):
                with pytest.raises(EnvironmentLacking) as caught:
                    step()
                assert (
                    name in str(caught.value)
                    and network in str(caught.value)
                    and "network" in caught.value.remedy
                )
            assert made.engine.existing() == [] and not (empty / "x/cluster.json").exists()
    finally:
        taken.remove()


def test_a_network_that_this_machine_is_in(docker_ready: None, empty: Path) -> None:
    from ipaddress import IPv4Network, ip_interface

    import psutil

    found = [
        (n, ip_interface(f"{a.address}/{a.netmask}").network)
        for n, group in psutil.net_if_addrs().items()
        for a in group
        if a.family == socket.AF_INET and a.netmask and not a.address.startswith("127.")
    ]
    usable = [
        (n, net)
        for n, net in found
        if net.prefixlen <= 27
        and net.is_private
        and any(
            net.subnet_of(IPv4Network(p)) for p in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        )
    ]
    assert usable, "Docker's own bridge at least"
    made = open_cluster(
        "test",
        project="x",
        engine="docker",
        workdir=str(empty),
        network=str(usable[0][1]),
        image=IMAGE,
    )
    with pytest.raises(EnvironmentLacking, match="is held by"):
        made.preflight()


@pytest.mark.parametrize("temporary", ["pg_temp", "repl_temp"])
def test_a_container_of_somebody_else_with_our_temporary_name(
    docker_ready: None, open_with: MakeCluster, temporary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = open_with("docker")
    monkeypatch.setattr(
        made, "require_primary", lambda: None
    )  # it would be refused earlier without one
    name = f"{made.params.project}_{temporary}"
    image = made.params.image
    made.make_secrets()
    foreign = docker_host.client().containers.create(
        image, ["sleep", "60"], name=name, entrypoint=""
    )
    try:
        action = (
            made.engine.start_temporary()
            if temporary == "pg_temp"
            else made.engine.start_temporary_replica("replica")
        )
        with pytest.raises(StepFailed) as caught:
            action.do(lambda line: None)
        assert name in str(caught.value) and "another project name" in caught.value.remedy
        made.remove(confirm=True)  # what is not ours is no reason to keep what is
        assert docker_host.client().containers.get(name).id == foreign.id
        assert not any(name in line for line in made.engine.existing())
    finally:
        foreign.remove(force=True, v=True)


def test_nothing_is_removed_without_a_confirmation(finished: Cluster) -> None:
    with pytest.raises(ParameterError, match="Nothing was removed") as caught:
        finished.remove()
    assert "data/primary" in str(caught.value) and "--yes" in caught.value.remedy
    refused(pgrepl("down", of_cluster(finished)), 2, "Nothing was removed", "--yes")
    assert finished.primary.answers()[0] and finished.replica.streams()[0]
