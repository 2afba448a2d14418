"""Clusters for the tests: every one in a folder and under a name of its own, and gone afterwards."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout
from xdist.scheduler import LoadFileScheduling

from benchmarks.setup import SETTINGS as DOCUMENT_SETTINGS
from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.engine import ports
from pgrepl_lib.engine.docker import host as docker_engine
from pgrepl_lib.errors import EnvironmentLacking
from pgrepl_lib.params import Params
from pgrepl_lib.words import language

IMAGE = os.environ.get("PGREPL_TEST_IMAGE", "")  # the image to test with; empty: the official one
REQUIRE_DOCKER = os.environ.get("PGREPL_REQUIRE_DOCKER") == "1"
PATIENCE = float(
    os.environ.get("PGREPL_PATIENCE", "1")
)  # by which limits are longer, on a busy machine
PORTS_EACH, PORTS_END = 500, 32000  # below those of outgoing connections
DOCUMENT = {"auth_method": "trust"}  # the document to the letter, where we do otherwise
MakeCluster = Callable[..., Cluster]
NewProject = Callable[..., AbstractContextManager[dict[str, str]]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What need not run on both engines in `make test` is `long` on docker; what may take longest begins first."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)
    for item in items:
        if item.get_closest_marker("long_on_docker") and engine_of(item.nodeid) == "docker":
            item.add_marker("long")
        item.add_marker(pytest.mark.timeout(limit(item, config) * PATIENCE), append=False)


def limit(item: pytest.Item, config: pytest.Config) -> float:
    """A test's own, or everybody's."""
    if own := item.get_closest_marker("timeout"):
        return float(own.args[0])
    return float(config.getoption("timeout") or config.getini("timeout"))


def engine_of(nodeid: str) -> str:
    """Which of the engines a test was collected for; "" for one that is not collected for each."""
    found = re.search(r"[\[-](local|docker)[]-]", nodeid)
    return found[1] if found else ""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    return ByFileAndEngine(config, log)


class ByFileAndEngine(LoadFileScheduling):
    """A worker takes a file's tests for one engine together: they share their clusters."""

    def _split_scope(self, nodeid: str) -> str:
        return f"{nodeid.partition('::')[0]} {engine_of(nodeid)}"


def docker_missing() -> str:
    """Why the docker engine cannot be tested here; empty where it can."""
    try:
        docker_engine.require(Params.parse({"image": IMAGE}))
    except EnvironmentLacking as error:
        return str(error)
    return ""


@pytest.fixture(scope="session", autouse=True)
def configuration_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test uses, or makes, the signing key of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("configuration")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        patch.delenv("PGREPL_SIGNING_KEY", raising=False)
        yield folder


@pytest.fixture(scope="session")
def docker_ready() -> None:
    """Skip, saying why, where there is no Docker engine; fail where it is required."""
    if missing := docker_missing():
        (pytest.fail if REQUIRE_DOCKER else pytest.skip)(f"Docker is not available: {missing}")


@pytest.fixture(scope="session", params=["local", "docker"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Each test that uses it runs once on either engine."""
    if request.param == "docker":
        request.getfixturevalue("docker_ready")
    return str(request.param)


@pytest.fixture(scope="session")
def workdir() -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter, whoever runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def free_network() -> Callable[[], str]:
    """Networks that no other test cluster has, not even one of another test session."""
    third = iter(range(1, 250))
    return lambda: f"10.{40 + os.getpid() % 200}.{next(third)}.0/24"


@pytest.fixture(scope="session")
def free_port() -> Iterator[Callable[[], int]]:
    """The first of ten ports in a row, of those that no other worker or test session has, whether used or not."""
    with ExitStack() as held:
        start = next(s for s in range(20000, PORTS_END, PORTS_EACH) if reserved(s, held))
        tens = itertools.cycle(range(start, start + PORTS_EACH, 10))
        yield (first for first in tens if all(map(ports.free, range(first, first + 10)))).__next__


def reserved(start: int, held: ExitStack) -> bool:
    """Whether the ports from here on are this worker's from now on."""
    lock = FileLock(Path(tempfile.gettempdir()) / f"pgrepl-tests-ports-{start}", blocking=False)
    with suppress(Timeout, PermissionError):  # another one's, or another user's
        held.enter_context(lock)
        return True
    return False


@pytest.fixture(scope="session")
def new_project(
    workdir: Path, free_network: Callable[[], str], free_port: Callable[[], int]
) -> NewProject:
    """Parameters of a project that nobody else has, as a command line takes them; removed after the block."""

    @contextmanager
    def begun(engine: str = "local", **more: str) -> Iterator[dict[str, str]]:
        made = {
            "project": f"n{secrets.token_hex(3)}",
            "engine": engine,
            "workdir": str(workdir),
            "network": free_network(),
            "port": str(free_port()),
            **({"image": IMAGE} if engine == "docker" and IMAGE else {}),
            **more,
        }
        try:
            yield made
        finally:
            open_cluster("", **made).remove(confirm=True)

    return begun


OPENED: dict[
    str, dict[str, Any]
] = {}  # the parameters of every project that this session has opened
SHARED: set[str] = set()  # those that outlive the module that opened them


@pytest.fixture(scope="session")
def open_with(
    workdir: Path, free_network: Callable[[], str], free_port: Callable[[], int]
) -> Iterator[MakeCluster]:
    """Open clusters with parameters of their own; all are removed, most with the module that opened them."""

    def make(engine: str, project: str = "", **values: Any) -> Cluster:
        project = project or f"t{secrets.token_hex(3)}"
        if project not in OPENED:
            image = {"image": IMAGE} if engine == "docker" else {}
            OPENED[project] = {
                "workdir": str(workdir),
                "network": free_network(),
                "port": free_port(),
                **image,
            }
        OPENED[project] |= {"engine": engine, **values}
        return open_cluster("test", project=project, **OPENED[project])

    yield make
    remove_opened(set())


@pytest.fixture(autouse=True)
def no_language_is_left() -> Iterator[None]:
    """A command of a test, in this process, speaks as its environment says, and only it."""
    yield
    language.ask_for("")


@pytest.fixture(scope="module", autouse=True)
def removed_with_their_module() -> Iterator[None]:
    """Idle servers, and Docker's health checks of them, would slow down what comes after."""
    yield
    remove_opened(SHARED)


def remove_opened(kept: set[str]) -> None:
    for project in set(OPENED) - kept:
        values = OPENED.pop(project)
        if values["engine"] in ("local", "docker"):
            open_cluster("test", project=project, **values).remove(confirm=True)


def set_up_primary(cluster: Cluster) -> list[str]:
    """The steps of chapter 01; returns their outcomes."""
    primary, done = (
        cluster.primary,
        [cluster.fetch(), cluster.make_secrets(), cluster.start_temporary()],
    )
    done += [primary.copy_configuration(f) for f in ("postgresql.conf", "pg_hba.conf")]
    done += [cluster.remove_temporary()]
    done += [primary.make_readable(f) for f in ("postgresql.conf", "pg_hba.conf")]
    done += [primary.configure(DOCUMENT_SETTINGS), primary.allow_replication(), primary.start()]
    if cluster.params.tls == "on":
        done += [cluster.make_certificates(), primary.encrypt()]
    return [*done, primary.create_replication_user(), primary.create_slot(cluster.replica.slot)]


def set_up_replica(cluster: Cluster) -> list[str]:
    """The steps of chapter 02; returns their outcomes."""
    replica, done = cluster.replica, []
    done += [replica.start_temporary(), replica.base_backup()]
    done += [replica.copy_configuration(f) for f in ("postgresql.conf", "pg_hba.conf")]
    done += [replica.forget_recovery_settings(), replica.remove_temporary()]
    done += [replica.make_readable(f) for f in ("postgresql.conf", "pg_hba.conf")]
    done += [
        replica.configure(DOCUMENT_SETTINGS),
        replica.allow_replication(),
        replica.follow(replica.upstream),
    ]
    if cluster.params.tls == "on":
        done += [replica.encrypt()]
    return [*done, replica.start()]


@pytest.fixture(scope="session")
def cluster(engine_name: str, open_with: MakeCluster) -> Cluster:
    """A running primary and replica that tests may look at but not change."""
    made = open_with(engine_name)
    SHARED.add(made.params.project)
    set_up_primary(made)
    set_up_replica(made)
    return made
