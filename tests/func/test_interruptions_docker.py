"""Runs that end before their time, on the docker engine; and an engine that is restarted in mid-run."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib.doors.wait import wait_until

from ..conftest import IMAGE, REQUIRE_DOCKER, NewProject
from .interrupted import Interrupted, stopped_in_every_way
from .running import Running, Values, all_runs, pgrepl


@pytest.fixture
def values(docker_ready: None, new_project: NewProject) -> Iterator[Values]:
    """The parameters of a new project on the docker engine; removed afterwards."""
    with new_project("docker") as made:
        yield made


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_run_killed_after_every_step_goes_on(values: Values) -> None:
    project = Interrupted(values, tree=False)
    project.kill_everywhere()
    project.require_all_well()


@pytest.mark.long
def test_a_run_that_is_stopped_says_how_and_is_gone_on_with(values: Values) -> None:
    stopped_in_every_way(values)


# --- the engine is restarted ---------------------------------------------------------------------------------------

# A network of its own, so that neither engine touches the other's rules; with an address from which nothing is admitted.
UP = """import fcntl, socket, struct
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: up
    for number, address in ((0x8916, "192.0.2.1"), (0x891C, "255.255.255.255")):  # SIOCSIFADDR, SIOCSIFNETMASK
        fcntl.ioctl(s, number, struct.pack("16sH2x4s8x", b"lo:1", socket.AF_INET, socket.inet_aton(address)))
"""


class OwnEngine:
    """A Docker engine that a test may restart."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, f"unix://{folder}/docker.sock"
        self.network = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        mine, own = Path("/proc/self/ns/net"), Path(f"/proc/{self.network.pid}/ns/net")
        wait_until("the network", lambda: (own.readlink() != mine.readlink(), ""), seconds=10)
        self.prefix = ["nsenter", f"--target={self.network.pid}", "--net"]
        subprocess.run([*self.prefix, sys.executable, "-c", UP], check=True)
        self.environment = {**os.environ, "DOCKER_HOST": self.host}

    def start(self) -> None:
        options = [
            f"--host={self.host}",
            f"--data-root={self.folder}/data",
            f"--exec-root={self.folder}/exec",
            f"--pidfile={self.folder}/dockerd.pid",
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, "dockerd", *options], stdout=log, stderr=log
            )
        answers = lambda: self.docker("info").returncode == 0  # noqa: E731
        wait_until(
            "dockerd",
            lambda: (answers(), (self.folder / "log").read_text()[-500:]),
            seconds=60,
            alive=lambda: self.process.poll() is None,
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(90)

    def docker(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["docker", *arguments], env=self.environment, capture_output=True, timeout=120
        )


@pytest.fixture
def own_engine(docker_ready: None) -> Iterator[OwnEngine]:
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        (pytest.fail if REQUIRE_DOCKER else pytest.skip)(
            "only root can start a Docker engine of its own"
        )
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-engine-", dir="/var/tmp"))
    engine = OwnEngine(folder)
    try:
        engine.start()
        subprocess.run(
            ["docker", "image", "save", "-o", str(folder / "image"), IMAGE or "postgres:14"],
            check=True,
        )
        assert engine.docker("image", "load", "-i", str(folder / "image")).returncode == 0
        yield engine
    finally:
        engine.stop()
        engine.network.kill()
        engine.network.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_an_engine_that_is_restarted_in_mid_run_is_told_and_the_run_gone_on_with(
    own_engine: OwnEngine, workdir: Path
) -> None:
    values = {
        "project": f"i{secrets.token_hex(3)}",
        "engine": "docker",
        "workdir": str(workdir),
        "network": "10.77.0.0/24",
        **({"image": IMAGE} if IMAGE else {}),
    }
    options: dict[str, Any] = {"prefix": own_engine.prefix, "env": own_engine.environment}
    for title in (
        "Permitir a replicação em primary/pg_hba.conf",
        "Iniciar a instância temporária de replica",
    ):
        with Running(values, **options) as running:
            running.wait_title(title)
            own_engine.stop()
            code, errors = running.end()
        assert code in (1, 3) and "what to do" in errors and "Traceback" not in errors, errors
        assert all_runs(values)[-1].status == "failed"
        own_engine.start()
    done = pgrepl("run", values, "--resume", **options)
    assert done.returncode == 0, done.stderr
    assert pgrepl("check", values, **options).returncode == 0
    again = pgrepl("run", values, **options)
    assert again.returncode == 0 and "completed: 0 steps changed" in again.stdout, (
        again.stdout + again.stderr
    )
    assert [r.status for r in all_runs(values)] == ["failed", "failed", "completed", "completed"]
    assert pgrepl("down", values, "--yes", **options).returncode == 0
