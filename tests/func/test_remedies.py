"""What an error says to do is copied and done, on a project with a name and a work folder of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.cli.projects import NO_ANSWER
from pgrepl_lib.cli.question import PROMPT
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import set_synchronous
from tests.conftest import MakeCluster
from tests.remedies import commands_in, copied

from .operated import again, bring_home, failed_checks, make
from .running import of_cluster, pgrepl, words
from .terminal import Terminal


@pytest.fixture(scope="module")
def odd_folder(workdir: Path) -> Path:
    """A work folder that a shell takes for two words, where nobody quotes it."""
    folder = workdir / "meu diretório"
    folder.mkdir(mode=0o755, exist_ok=True)
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
    found = [c for c in commands_in(message) if c != "pgrepl projects"]  # of whatever project
    assert found and all(f"--project {project} -p workdir '" in c for c in found), message
    return found


def primary_of(cluster: Cluster) -> str:
    found = json.loads((cluster.folder / "cluster.json").read_text("utf-8"))
    return str(found["topology"]["primary"])


@pytest.mark.long_on_docker
def test_an_unfinished_switchover_is_finished_by_what_another_command_says(
    cluster: Cluster,
) -> None:
    Switchover(cluster, "replica").prepare()
    finish, back = refused("replica rebuild replica", cluster)
    assert back.endswith("--cancel")
    assert copied(finish).returncode == 0
    assert primary_of(cluster) == "replica"


@pytest.mark.long_on_docker
def test_a_refused_failover_names_the_switchover(cluster: Cluster) -> None:
    instead, by_force = refused("failover", cluster)
    assert by_force.endswith("--force") and copied(f"{by_force} --plan").returncode == 0
    assert copied(instead).returncode == 0
    assert primary_of(cluster) != "primary"


@pytest.mark.long_on_docker
def test_a_failover_says_how_the_old_primary_comes_back(cluster: Cluster) -> None:
    told = copied(refused("failover", cluster)[1])
    assert told.returncode == 0, told.stderr
    (back,) = remedies(told.stdout, cluster.params.project)
    assert copied(back).returncode == 0
    (home,) = refused(f"replica remove {primary_of(cluster)}", cluster)
    assert copied(home).returncode == 0, "the next primary is the first replica"
    assert primary_of(cluster) == "primary"


def test_a_project_from_a_status_without_one_to_its_removal(
    odd_folder: Path, free_port: Callable[[], int]
) -> None:
    project, other = f"t{secrets.token_hex(3)}", "docker"
    given = {"project": project, "workdir": str(odd_folder), "port": str(free_port())}
    for command in ("status", "check", "failover"):
        missing = pgrepl(command, given, "--engine", "local")
        assert missing.returncode == 2
    (begin,) = remedies(missing.stderr, project)
    assert copied(begin).returncode == 0
    try:
        not_so = pgrepl(
            "status", {"project": project, "workdir": str(odd_folder)}, "--engine", other
        )
        assert (
            not_so.returncode == 2 and "engine: made with local, asked for docker" in not_so.stderr
        )
        (remove,) = remedies(not_so.stderr, project)
        unconfirmed = copied(remove)
        assert unconfirmed.returncode == 2 and "Nothing was removed" in unconfirmed.stderr
        (confirmed,) = remedies(unconfirmed.stderr, project)
    finally:
        gone = copied(f"pgrepl down --project {project} -p workdir '{odd_folder}' --yes")
    assert gone.returncode == 0 and confirmed.endswith("--yes")
    assert not (odd_folder / project / "data").exists()


# --- on a terminal ----------------------------------------------------------------------------------------


def on_a_terminal(command: str, cluster: Cluster) -> Terminal:
    return Terminal(words(command, of_cluster(cluster)), PROMPT)


@pytest.mark.long_on_docker
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("switchover --to replica", "the primary changes from primary to replica; nothing is lost"),
        (
            "failover --to replica --force",
            "from primary to replica; primary is fenced, and what only primary has",
        ),
        (
            "replica rebuild replica",
            "replica becomes a new copy of primary; the data that it has now stay until",
        ),
        ("replica remove replica-2", "replica-2 is removed with its data, files and slot"),
        ("down", "all of it is removed, but for the runs' evidence"),
    ],
)
def test_what_changes_roles_or_removes_data_is_said_and_asked_first(
    cluster: Cluster, command: str, told: str
) -> None:
    before = (cluster.folder / "cluster.json").read_bytes()
    terminal = on_a_terminal(command, cluster)
    said = terminal.question()
    project, folder, engine = cluster.params.project, cluster.folder, cluster.engine.name
    assert f"project {project}, engine {engine}, folder {folder}\n" in said and told in said
    terminal.answer("\n")
    assert terminal.end() == 2 and "Nothing was changed" in terminal.shown
    assert (cluster.folder / "cluster.json").read_bytes() == before
    assert failed_checks(cluster, "streaming", "one-primary") == {}


def begin(cluster: Cluster) -> None:
    Switchover(cluster, "replica").prepare()


def lose(cluster: Cluster) -> None:
    cluster.primary.kill()
    Failover(cluster, "replica").run()


def promise(cluster: Cluster) -> None:
    set_synchronous(cluster, "ANY 1")


@pytest.mark.long_on_docker
@pytest.mark.parametrize(
    ("prepare", "command", "told"),
    [
        (begin, "switchover --cancel", "the switchover from primary to replica is taken back"),
        (
            lose,
            "rejoin primary",
            "primary becomes a replica of replica (follow: primary has nothing",
        ),
        (
            promise,
            "sync off",
            "commits wait for no replica, no longer for ANY 1; a failover may then lose",
        ),
    ],
)
def test_what_comes_after_a_change_of_roles_is_asked_first_too(
    cluster: Cluster, prepare: Callable[[Cluster], None], command: str, told: str
) -> None:
    prepare(cluster)
    before = (cluster.folder / "cluster.json").read_bytes()
    terminal = on_a_terminal(command, cluster)
    assert told in terminal.question()
    terminal.answer("n\n")
    assert terminal.end() == 2 and "Nothing was changed" in terminal.shown
    assert (cluster.folder / "cluster.json").read_bytes() == before


@pytest.mark.long_on_docker
def test_it_is_done_once_somebody_agrees_and_nobody_is_asked_who_did_before(
    cluster: Cluster,
) -> None:
    terminal = on_a_terminal("switchover --to replica", cluster)
    terminal.question()
    terminal.answer("Sim\n")
    assert terminal.end() == 0 and primary_of(cluster) == "replica"
    terminal = on_a_terminal("switchover --to primary --yes", cluster)
    assert terminal.end() == 0 and PROMPT not in terminal.shown
    assert primary_of(cluster) == "primary"


@pytest.mark.long_on_docker
def test_a_question_is_left_by_an_interruption(cluster: Cluster) -> None:
    terminal = on_a_terminal("failover --force", cluster)
    terminal.question()
    terminal.answer("\x03")
    assert terminal.end() == 130 and primary_of(cluster) == "primary"


# --- which project ----------------------------------------------------------------------------------------


def listed(*more: str, **options: Any) -> dict[str, dict[str, str]]:
    done = pgrepl("projects --json", None, *more, **options)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return {row["project"]: row for row in json.loads(done.stdout)}


@pytest.mark.long_on_docker  # that a running one is listed, test_drift.py sees
def test_projects_are_listed_wherever_they_are(cluster: Cluster, odd_folder: Path) -> None:
    name = cluster.params.project
    wanted = {
        "project": name,
        "folder": str(cluster.folder),
        "engine": cluster.engine.name,
        "primary": "primary",
        "replicas": "replica, replica-2",
        "state": "running",
    }
    broken = odd_folder / "broken"
    broken.mkdir()
    (broken / "cluster.json").write_text("{}", "utf-8")
    try:
        here = listed("-p", "workdir", str(odd_folder))
    finally:
        shutil.rmtree(broken)
    assert here[name] == wanted == listed()[name], "also by its link"
    assert here["broken"]["state"].startswith("damaged: ") and not here["broken"]["primary"]
    cluster.engine.stop("replica").do(print)
    assert listed()[name]["state"] == "running: primary, replica-2"


@pytest.fixture
def known(
    engine_name: str, request: pytest.FixtureRequest, open_with: MakeCluster, odd_folder: Path
) -> Cluster:
    """A project of either engine, which on docker need not be more than recorded: nobody can look at it."""
    if engine_name == "local":
        return request.getfixturevalue("cluster")  # type: ignore[no-any-return]
    made = open_with(engine_name, workdir=str(odd_folder))
    made.make_secrets()
    return made


def test_an_engine_that_does_not_answer_is_told(known: Cluster) -> None:
    nowhere = {**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    state = listed(env=nowhere)[known.params.project]["state"]
    without = {"docker": "unknown: No Docker engine answers.", "local": "running"}
    assert state == without[known.engine.name]


def test_an_engine_that_hangs_is_not_waited_for(known: Cluster, workdir: Path) -> None:
    hangs = workdir / "hangs.sock"
    with socket.socket(socket.AF_UNIX) as nobody_reads:
        nobody_reads.bind(str(hangs))
        nobody_reads.listen()
        found = listed(env={**os.environ, "DOCKER_HOST": f"unix://{hangs}"})
    hangs.unlink()
    without = {"docker": NO_ANSWER, "local": "running"}
    assert found[known.params.project]["state"] == without[known.engine.name]
