"""Whose things are: an id that the project wrote on them decides, never a name; what is somebody else's stays as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker.types
import pytest

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.cluster import state
from pgrepl_lib.doors import db
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.engine.docker import owner
from pgrepl_lib.errors import EnvironmentLacking, StepFailed
from pgrepl_lib.steps.replicas import prepare_all, rebuild
from tests.conftest import IMAGE, MakeCluster, set_up_primary, set_up_replica

from .running import CHECKOUT, of_cluster, pgrepl
from .test_runner import COMPOSE_V2

PRECIOUS = "somebody else's"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A work folder of somebody else, which every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def first(docker_ready: None, open_with: MakeCluster) -> Cluster:
    """A cluster that runs, with two replicas, so that Compose has its override file, too."""
    made = open_with("docker", replicas=2)
    set_up_primary(made)
    set_up_replica(made)
    prepare_all(made)
    db.rows(made.primary.address, "create table precious as select 1 as n")
    return made


def on_the_engine(project: str) -> list[str]:
    """All that has the project's name in its own, asked from the engine itself; containers also with when they started."""
    client = docker_host.client()
    containers = client.containers.list(all=True, ignore_removed=True)
    found = [f"container {c.name} {c.id} {c.attrs['State']['StartedAt']}" for c in containers]
    found += [f"volume {v.name} {v.attrs['CreatedAt']}" for v in client.volumes.list()]
    found += [f"network {n.name} {n.id}" for n in client.networks.list()]
    return sorted(
        line for line in found if line.split()[1].startswith((f"{project}_", f"{project}-"))
    )


def stays_right(cluster: Cluster, before: list[str]) -> None:
    assert on_the_engine(cluster.params.project) == before
    assert db.row(cluster.replica.address, "select n from precious") == {"n": 1}
    assert cluster.replica.streams() == (True, "streaming")


def test_everything_carries_whose_it_is(first: Cluster) -> None:
    project_id = json.loads((first.folder / state.FILE).read_text())["id"]
    assert project_id == first.engine.id and len(project_id) == 32
    wanted = {
        owner.ID: project_id,
        owner.FOLDER: str(first.folder),
        owner.USER: first.folder.owner(),
    }
    made = [
        t
        for t in owner.everything()
        if t.name.startswith((f"{first.params.project}_", f"{first.params.project}-"))
    ]
    assert sorted(t.kind for t in made) == ["container"] * 3 + ["network"] + ["volume"] * 3
    for thing in made:
        assert wanted.items() <= thing.labels.items(), thing


def test_a_second_work_folder_with_the_same_project_meets_nothing_of_the_first(
    first: Cluster, elsewhere: Path
) -> None:
    before = on_the_engine(first.params.project)
    values = {
        **of_cluster(first),
        "workdir": str(elsewhere),
        "engine": "docker",
        "image": first.params.image,
        "network": "10.39.1.0/24",
    }
    done = pgrepl("run", values)
    assert done.returncode == 3, done.stdout + done.stderr
    told = done.stderr + done.stdout
    assert (
        f"container {first.params.project}" in told
        and f"of the cluster in {first.folder}, made by" in told
    ), told
    assert "leftovers" not in told and "pgrepl down" not in told and " rm " not in told
    assert "--project" in told
    stays_right(first, before)
    done = pgrepl("down --yes", values)
    assert done.returncode == 0 and "nothing" in done.stdout, done.stderr
    assert (
        f"left as it is: container {first.params.project}" in done.stderr
        and str(first.folder) in done.stderr
    )
    stays_right(first, before)


def test_the_guard_holds_in_every_chapter(first: Cluster, elsewhere: Path) -> None:
    """A record without containers, as after a copy of `cluster.json` alone: no step meets the first one's."""
    before = on_the_engine(first.params.project)
    record = json.loads((first.folder / state.FILE).read_text())
    record |= {"id": "another", "params": {**record["params"], "workdir": str(elsewhere)}}
    folder = elsewhere / first.params.project
    folder.mkdir()
    (folder / state.FILE).write_text(json.dumps(record))
    second = open_cluster("test", **record["params"])
    assert second.engine.existing() == [] and not second.engine.running("primary")
    for step in (
        second.make_secrets,
        second.primary.start,
        second.remove_temporary,
        second.primary.stop,
    ):
        with pytest.raises(EnvironmentLacking, match="of the cluster in"):
            step()
    second.remove(confirm=True)
    stays_right(first, before)


def test_a_copied_folder_is_not_the_cluster(first: Cluster, elsewhere: Path) -> None:
    before = on_the_engine(first.params.project)
    shutil.copytree(first.folder, elsewhere / first.params.project)
    with pytest.raises(EnvironmentLacking, match=f"is a copy of the cluster in {first.folder}"):
        open_cluster("test", **{**first.params.plain(), "workdir": str(elsewhere)})
    done = pgrepl("down --yes", {**of_cluster(first), "workdir": str(elsewhere)})
    assert done.returncode == 3 and "is a copy of" in done.stderr
    linked = elsewhere / "linked"
    linked.symlink_to(first.params.workdir)
    assert open_cluster("test", **{**first.params.plain(), "workdir": str(linked)}).engine.running(
        "primary"
    )
    stays_right(first, before)


# --- things of somebody else with a name that the project needs -----------------------------------------------------


def foreign_database(project: str) -> None:
    """A volume with a whole PostgreSQL data folder of somebody else's."""
    docker_host.client().volumes.create(f"{project}_primary")
    data = "/var/lib/postgresql/data"
    script = f"chown postgres {data}; su postgres -c '$(command -v initdb) -D {data} -U mine'; chown -R 4711:4711 {data}"
    docker_host.client().containers.run(
        image(),
        ["-c", script],
        entrypoint="bash",
        remove=True,
        volumes=[f"{project}_primary:{data}"],
    )


def foreign_file(project: str) -> None:
    docker_host.client().volumes.create(f"{project}_replica")
    mount = [f"{project}_replica:/v"]
    docker_host.client().containers.run(
        image(), ["-c", "echo mine > /v/precious"], entrypoint="sh", remove=True, volumes=mount
    )


def empty_volume(project: str) -> None:
    docker_host.client().volumes.create(f"{project}_primary", labels={"owner": PRECIOUS})


def network(project: str) -> None:
    pool = docker.types.IPAMPool(subnet=f"10.38.{os.getpid() % 250}.0/24")
    docker_host.client().networks.create(
        f"{project}_cluster", ipam=docker.types.IPAMConfig(pool_configs=[pool])
    )


def composes(project: str) -> None:
    """A container of another Compose project of the same name, which Compose would take for an orphan of ours."""
    labels = {owner.COMPOSE_PROJECT: project, owner.COMPOSE_FOLDER: "/home/ana/shop"}
    docker_host.client().containers.create(image(), name=f"{project}-web-1", labels=labels)


def temporary(project: str) -> None:
    docker_host.client().containers.create(image(), name=f"{project}_pg_temp")


def image() -> str:
    return IMAGE or "postgres:14"


FOREIGN = {
    "a database": foreign_database,
    "a file": foreign_file,
    "an empty volume": empty_volume,
    "a network": network,
    "a Compose project": composes,
    "a temporary name": temporary,
}


@pytest.fixture
def forgotten() -> Iterator[Callable[[str], None]]:
    """Removes at the end what a test has made as somebody else."""
    projects: list[str] = []
    yield projects.append
    for project in projects:
        owner.remove(
            t for t in owner.everything() if t.name.startswith((f"{project}_", f"{project}-"))
        )


def contents(project: str) -> str:
    """Names, owners, modes and sizes in the volumes of this name."""
    volumes = [
        v.name for v in docker_host.client().volumes.list() if v.name.startswith(f"{project}_")
    ]
    mounts = [f"{name}:/v/{name}:ro" for name in volumes]
    out = docker_host.client().containers.run(
        image(),
        ["-lR", "--full-time", "/v"] if mounts else ["/"],
        entrypoint="ls",
        remove=True,
        volumes=mounts,
    )
    return str(out.decode())


@pytest.mark.parametrize("what", FOREIGN)
def test_what_somebody_else_made_under_a_name_of_ours_is_neither_used_nor_removed(
    docker_ready: None, what: str, open_with: MakeCluster, forgotten: Callable[[str], None]
) -> None:
    made = open_with("docker")
    project = made.params.project
    forgotten(project)
    FOREIGN[what](project)
    before, held = on_the_engine(project), contents(project)
    for step in (made.preflight, made.make_secrets, made.primary.start):
        with pytest.raises(EnvironmentLacking, match="what is named here stays as it is") as caught:
            step()
        assert any(
            line.startswith("project: ") and project in line for line in caught.value.looked_at
        )
        assert " rm " not in caught.value.remedy and "pgrepl down" not in caught.value.remedy
    assert made.engine.existing() == [] and not made.engine.has_data("primary")
    done = pgrepl(
        "down --yes", {**of_cluster(made), "engine": "docker", "image": made.params.image}
    )
    assert done.returncode == 0 and "left as it is" in done.stderr, done.stderr
    made.remove(confirm=True)
    assert (on_the_engine(project), contents(project)) == (before, held)


def test_what_came_later_stays_when_the_project_goes(
    docker_ready: None, open_with: MakeCluster, forgotten: Callable[[str], None]
) -> None:
    made = open_with("docker")
    project = made.params.project
    forgotten(project)
    set_up_primary(made)
    composes(project)
    docker_host.client().volumes.create(f"{project}_mine", labels={owner.COMPOSE_PROJECT: project})
    done = pgrepl("down --yes", of_cluster(made))
    assert done.returncode == 0, done.stderr
    assert "of the Compose project" in done.stderr and "/home/ana/shop" in done.stderr
    assert [line.split()[1] for line in on_the_engine(project)] == [
        f"{project}-web-1",
        f"{project}_mine",
    ]
    journal = (made.folder / "journal.jsonl").read_text()
    assert (
        f"docker volume rm {project}_primary" in journal
        and f"docker network rm {project}_cluster" in journal
    )
    assert "down --volumes" not in journal


def test_a_cluster_without_its_record_is_removed_from_its_own_folder(
    docker_ready: None, open_with: MakeCluster
) -> None:
    made = open_with("docker")
    set_up_primary(made)
    (made.folder / state.FILE).unlink()
    (made.folder / ".env").unlink()
    again = open_with("docker", project=made.params.project)
    with pytest.raises(EnvironmentLacking, match=r"(?s)leftovers.*put cluster.json back"):
        again.make_secrets()
    assert db.row(made.primary.address, "select 1 as n") == {"n": 1}
    assert again.remove(confirm=True) == "changed"
    assert on_the_engine(made.params.project) == []


def test_what_an_earlier_version_made_is_not_guessed_at(
    docker_ready: None, open_with: MakeCluster, forgotten: Callable[[str], None]
) -> None:
    made = open_with("docker")
    project = made.params.project
    forgotten(project)
    made.make_secrets()
    record = json.loads((made.folder / state.FILE).read_text())
    del record["id"]
    (made.folder / state.FILE).write_text(json.dumps(record))
    assert open_with("docker", project=project).engine.id == "", (
        "nothing was made yet: it gets an id with its first step"
    )
    docker_host.client().volumes.create(
        f"{project}_primary", labels={owner.COMPOSE_PROJECT: project}
    )
    for command in ("status", "run", "down --yes"):
        done = pgrepl(command, of_cluster(made))
        assert done.returncode == 3 and "earlier version" in done.stderr, done.stderr
    assert len(on_the_engine(project)) == 1


# --- the file in the checkout ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_file_in_the_checkout_leads_to_pgrepl_and_touches_nothing(
    first: Cluster, version: str, elsewhere: Path
) -> None:
    """In a folder named like the project it would be the cluster's Compose project."""
    if version == "v1" and not shutil.which("docker-compose"):
        pytest.skip("docker-compose (version 1) is not here")
    if version == "v2" and not COMPOSE_V2.exists():
        pytest.skip(
            f"the Compose plug-in is not in {COMPOSE_V2} (tests/docker/engine puts it there)"
        )
    words = {"v1": ["docker-compose"], "v2": ["docker", "compose"]}[version]
    before = on_the_engine(first.params.project)
    folder = elsewhere / first.params.project
    folder.mkdir()
    shutil.copy(CHECKOUT / "docker-compose.yaml", folder)
    for command in (
        "up -d primary",
        "down -v",
        "down -v --remove-orphans",
        "stop",
        "rm -fs",
        "config",
        "ps",
    ):
        done = subprocess.run(
            [*words, *command.split()],
            cwd=folder,
            env={**os.environ, "DOCKER_CONFIG": str(COMPOSE_V2)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode != 0 and "make run" in done.stderr and "pgrepl run" in done.stderr, (
            command,
            done,
        )
    assert [p.name for p in folder.iterdir()] == ["docker-compose.yaml"]
    stays_right(first, before)


# --- the folder ----------------------------------------------------------------------------------------------------


def test_a_record_that_leads_out_of_the_folder_removes_nothing(elsewhere: Path) -> None:
    folder = elsewhere / "x"
    (folder / "data").mkdir(parents=True)
    (elsewhere / "x-2").mkdir()
    (elsewhere / "x-2/precious").write_text("mine")
    roles = {
        "primary": "primary",
        "upstreams": {"../../x-2": "primary"},
        "fenced": {},
        "operation": {},
        "synchronous": "",
    }
    made = {
        "engine": "local",
        "ports": {"primary": 7000},
        "params": {"project": "x"},
        "topology": roles,
    }
    (folder / state.FILE).write_text(json.dumps(made))
    for command in ("down --yes", "status", "replica remove ../../x-2 --yes", "run"):
        done = pgrepl(command, {"project": "x", "workdir": str(elsewhere)})
        assert done.returncode == 2 and "'../../x-2' is no instance's name" in done.stderr, (
            done.stderr
        )
    assert (elsewhere / "x-2/precious").read_text() == "mine" and (folder / "data").is_dir()


def test_data_that_were_moved_by_a_link_work_and_are_told_when_the_cluster_goes(
    open_with: MakeCluster, elsewhere: Path
) -> None:
    made = open_with("local")
    set_up_primary(made)
    made.primary.stop()
    moved = (made.folder / "data").rename(elsewhere / "big")
    (made.folder / "data").symlink_to(moved)
    again = open_with("local", project=made.params.project)
    set_up_primary(again)
    set_up_replica(again)
    assert rebuild(again, "replica") == "changed"
    done = pgrepl("down --yes", of_cluster(made))
    assert done.returncode == 0, done.stderr
    assert f"data is a link to {moved}, which is not removed" in done.stderr
    assert not (made.folder / "data").is_symlink() and (moved / "primary/PG_VERSION").exists()


def test_a_record_of_what_a_run_left_leads_nowhere_else(finished: Cluster, elsewhere: Path) -> None:
    path = finished.folder / "recorded.json"
    key = os.path.relpath(elsewhere, finished.folder)
    facts = {
        "role": "replica",
        "files": {"postgresql.conf": "0" * 64},
        "modes": {"postgresql.conf": "644"},
    }
    for state_ in (
        {"instances": {key: facts}, "modes": {}},
        {"instances": {}, "modes": {f"{key}/precious": "777"}},
    ):
        path.write_text(json.dumps({"run": "x", "state": state_}))
        with pytest.raises(StepFailed, match=r"recorded\.json is damaged"):
            finished.restore()
    path.unlink()
    assert list(elsewhere.iterdir()) == []


@pytest.fixture(scope="module")
def finished(open_with: MakeCluster) -> Cluster:
    made = open_with("local")
    made.make_secrets()
    return made


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder for somebody else")
def test_a_folder_that_somebody_else_has_laid_ready_is_not_used(elsewhere: Path) -> None:
    """With links in it to files of others, which would be given to the server's user, cut and appended to."""
    secret = elsewhere / "precious"
    secret.write_text("mine\n")
    secret.chmod(0o600)
    shared = elsewhere / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    folder = shared / "x"
    (folder / "secrets").mkdir(parents=True)
    for name in ("secrets/superuser", "journal.jsonl", ".run.lock"):
        (folder / name).symlink_to(secret)
    os.chown(folder, 1, 1)
    before = [(p, p.lstat()) for p in sorted(elsewhere.rglob("*"))]
    for command in ("run", "run --to 00", "down --yes"):
        done = pgrepl(command, {"project": "x", "workdir": str(shared), "engine": "local"})
        assert done.returncode == 3 and "nothing was touched" in done.stderr, (command, done)
    os.chown(folder, 0, 0)
    folder.chmod(0o777)
    done = pgrepl("run", {"project": "x", "workdir": str(shared), "engine": "local"})
    assert done.returncode == 3 and f"Every user may write in {folder}" in done.stderr, done
    folder.chmod(0o755)
    shared.chmod(0o777)
    done = pgrepl("run", {"project": "x", "workdir": str(shared), "engine": "local"})
    assert done.returncode == 3 and f"Every user may write in {shared}" in done.stderr, done
    shared.chmod(0o1777)
    done = pgrepl("run", {"project": "x", "workdir": str(shared), "engine": "local"})
    assert done.returncode == 3 and ".run.lock" in done.stderr and "Traceback" not in done.stderr, (
        done
    )
    os.chown(folder, 1, 1)
    assert (
        secret.read_text() == "mine\n"
        and secret.stat().st_mode & 0o777 == 0o600
        and secret.stat().st_uid == 0
    )
    after = [(p, p.lstat()) for p in sorted(elsewhere.rglob("*"))]
    assert [(p, s.st_uid, s.st_size) for p, s in after] == [
        (p, s.st_uid, s.st_size) for p, s in before
    ]
