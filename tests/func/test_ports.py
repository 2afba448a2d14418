"""Automatic ports: several users who begin at once get their own, and one that is taken meanwhile is chosen again."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.cluster import state
from pgrepl_lib.doors import db
from pgrepl_lib.engine import ports
from pgrepl_lib.errors import StepFailed
from tests.conftest import MakeCluster, set_up_primary, set_up_replica

from .operated import failed_checks
from .running import CHECKOUT


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Somebody else listens there."""
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", port))
        taker.listen()
        yield


def test_a_port_that_is_taken_before_the_start_is_chosen_again(
    engine_name: str, open_with: MakeCluster
) -> None:
    made = open_with(engine_name, port=0)
    made.make_secrets()
    first = dict(made.engine.ports)
    with taken(first["primary"]), taken(first["replica"]):
        set_up_primary(made)
        set_up_replica(made)
        assert set(made.engine.ports.values()).isdisjoint(first.values())
        again = open_with(engine_name, project=made.params.project)
        assert again.engine.ports == made.engine.ports == state.read(made.folder)["ports"]
        assert failed_checks(again, "one-primary", "streaming", "receiver") == {}
    assert again.engine.ports == made.engine.ports
    known_by_its_port(made, again)


def known_by_its_port(made: Cluster, again: Cluster) -> None:
    """Where replicas reach the primary by its port on this machine, it keeps that, and who holds it is named."""
    made.primary.stop()
    port = made.engine.ports["primary"]
    with taken(port):
        if made.engine.name == "local":
            with pytest.raises(StepFailed, match=f"port {port} is held by process {os.getpid()}"):
                again.primary.start()
        else:
            again.primary.start()
    again.primary.start()
    again.replica.wait_streaming()
    assert (again.engine.ports["primary"] == port) == (made.engine.name == "local")
    assert db.row(again.primary.address, "select 1 as n") == {"n": 1}


BEGIN = """
import sys, time
from pathlib import Path
from pgrepl_lib import open_cluster
from tests.conftest import set_up_primary
made = open_cluster("test", project="same", engine="local", pg_version=15, workdir=sys.argv[1])
Path(sys.argv[1], "ready").touch()
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
try:
    set_up_primary(made)
    print(*made.engine.ports.values())
finally:
    made.remove(confirm=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
@pytest.mark.skipif(
    not Path("/usr/lib/postgresql/15/bin/initdb").exists(),
    reason="needs programs that every user may run",
)
def test_several_users_begin_at_once() -> None:
    """Each has its own home and its own work folder: nothing but the machine is shared."""
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-tests-"))
    folder.chmod(0o755)
    users = [
        user for user in pwd.getpwall() if 0 < user.pw_uid < 1000 and user.pw_name != "postgres"
    ][:3]
    homes = [folder / user.pw_name for user in users]
    processes = []
    try:
        for home, user in zip(homes, users, strict=True):
            home.mkdir()
            os.chown(home, user.pw_uid, user.pw_gid)
            words = [
                "setpriv",
                f"--reuid={user.pw_uid}",
                f"--regid={user.pw_gid}",
                "--clear-groups",
            ]
            env = {
                "HOME": str(home),
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(CHECKOUT),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            processes.append(
                subprocess.Popen(
                    [*words, sys.executable, "-c", BEGIN, str(home), str(folder / "go")],
                    env=env,
                    cwd="/",
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
        while not all((home / "ready").exists() for home in homes):
            assert all(process.poll() is None for process in processes), processes[0].communicate()
            time.sleep(0.02)
        (folder / "go").touch()
        ended = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    assert [process.returncode for process in processes] == [0, 0, 0], [
        errors[-1500:] for _, errors in ended
    ]
    chosen = [port for out, _ in ended for port in out.split()]
    assert len(chosen) == len(set(chosen)) == 6, chosen


def test_a_claimed_port_is_nobody_elses_as_long_as_who_claimed_it_lives() -> None:
    program = "from pgrepl_lib.engine import ports; print(ports.claim(1)); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout and other.stdout.readline() == "True\n"
        assert ports.claim(1) is (sys.platform != "linux")
        other.communicate("\n")
    assert ports.claim(1) and ports.claim(1)
    if mark := ports.CLAIMED.pop(1, None):
        mark.close()
