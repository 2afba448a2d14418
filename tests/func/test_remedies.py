"""What an error says to do is copied and done, on a project with a name and a work folder of its own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.switchover import Switchover
from tests.conftest import MakeCluster
from tests.remedies import commands_in, copied

from .operated import again, bring_home, make
from .running import pgrepl


@pytest.fixture(scope="module")
def odd_folder(workdir: Path) -> Path:
    """A work folder that a shell takes for two words, where nobody quotes it."""
    folder = workdir / "meu diretório"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster, odd_folder: Path) -> Cluster:
    return make(open_with, engine_name, workdir=str(odd_folder))


@pytest.fixture
def cluster(made: Cluster, open_with: MakeCluster) -> Cluster:
    """Primary and replicas as they were made."""
    now = again(made, open_with)
    bring_home(now)
    return again(made, open_with)


def refused(command: str, cluster: Cluster) -> list[str]:
    """A command that fails; returns what its message says to do, each for this project and no other."""
    given = {"project": cluster.params.project, "workdir": str(cluster.params.workdir)}
    done = pgrepl(command, given)
    assert done.returncode and "Traceback" not in done.stderr and not done.stdout, done.stderr
    return remedies(done.stderr, cluster.params.project)


def remedies(message: str, project: str) -> list[str]:
    found = commands_in(message)
    assert found and all(f"--project {project} -p workdir '" in c for c in found), message
    return found


def primary_of(cluster: Cluster) -> str:
    found = json.loads((cluster.folder / "cluster.json").read_text("utf-8"))
    return str(found["topology"]["primary"])


def test_an_unfinished_switchover_is_finished_by_what_another_command_says(cluster: Cluster) -> None:
    Switchover(cluster, "replica").prepare()
    (finish,) = refused("replica rebuild replica", cluster)
    assert copied(finish).returncode == 0
    assert primary_of(cluster) == "replica"


def test_a_refused_failover_names_the_switchover(cluster: Cluster) -> None:
    instead, by_force = refused("failover", cluster)
    assert by_force.endswith("--force") and copied(f"{by_force} --plan").returncode == 0
    assert copied(instead).returncode == 0
    assert primary_of(cluster) != "primary"


def test_a_failover_says_how_the_old_primary_comes_back(cluster: Cluster) -> None:
    told = copied(refused("failover", cluster)[1])
    assert told.returncode == 0, told.stderr
    (back,) = remedies(told.stdout, cluster.params.project)
    assert copied(back).returncode == 0
    (home,) = refused(f"replica remove {primary_of(cluster)}", cluster)
    assert copied(home).returncode == 0, "the next primary is the first replica"
    assert primary_of(cluster) == "primary"


def test_a_project_from_a_status_without_one_to_its_removal(odd_folder: Path, free_port: Callable[[], int]) -> None:
    project, other = f"t{secrets.token_hex(3)}", "docker"
    given = {"project": project, "workdir": str(odd_folder), "port": str(free_port())}
    for command in ("status", "check", "failover"):
        missing = pgrepl(command, given, "--engine", "local")
        assert missing.returncode == 2
    (begin,) = remedies(missing.stderr, project)
    assert copied(begin).returncode == 0
    try:
        not_so = pgrepl("status", {"project": project, "workdir": str(odd_folder)}, "--engine", other)
        assert not_so.returncode == 2 and "engine: made with local, asked for docker" in not_so.stderr
        (remove,) = remedies(not_so.stderr, project)
        unconfirmed = copied(remove)
        assert unconfirmed.returncode == 2 and "Nothing was removed" in unconfirmed.stderr
        (confirmed,) = remedies(unconfirmed.stderr, project)
    finally:
        gone = copied(f"pgrepl down --project {project} -p workdir '{odd_folder}' --yes")
    assert gone.returncode == 0 and confirmed.endswith("--yes")
    assert not (odd_folder / project / "data").exists()
