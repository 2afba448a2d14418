"""`replay.sh`: what a run's steps displayed, typed by a plain shell, builds the same cluster."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgrepl_lib import open_cluster

from ..conftest import IMAGE

Values = dict[str, str]
PLAIN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}


@pytest.fixture(
    params=[
        {"engine": "local", "auth_method": "scram-sha-256", "replicas": "2", "replication_user": "Réplica do João's"},
        {"engine": "docker"},
        pytest.param({"engine": "docker", "auth_method": "scram-sha-256"}, marks=pytest.mark.long),
    ],
    ids=lambda given: " ".join(given.values()),
)
def values(
    request: pytest.FixtureRequest, workdir: Path, free_network: Callable[[], str], free_port: Callable[[], int]
) -> Iterator[Values]:
    """The parameters of a new project; removed afterwards."""
    given = dict(request.param)
    if given["engine"] == "docker":
        request.getfixturevalue("docker_ready")
        given["image"] = IMAGE
    made = {"project": f"r{secrets.token_hex(3)}", "workdir": str(workdir), "network": free_network(),
            "port": str(free_port()), **given}  # fmt: skip
    yield made
    open_cluster("", **made).remove(confirm=True)


def pgrepl(verb: str, values: Values, *more: str) -> str:
    options = [w for name, value in values.items() for w in ("-p", name, value)]
    done = subprocess.run(
        [sys.executable, "-m", "pgrepl_lib", verb, *options, *more], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sh(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(script)], cwd="/", env=PLAIN, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=240)  # fmt: skip


def test_the_displayed_commands_build_the_same_cluster(values: Values, tmp_path: Path) -> None:
    folder = Path(values["workdir"]) / values["project"]
    for _ in range(2):
        pgrepl("run", values)
    first, again = ([*p.read_text().splitlines()] for p in sorted(folder.glob("runs/*/replay.sh")))
    assert first[2:] == again[2:], "what was unchanged is replayed too; only the run's name differs"
    for secret in folder.glob("secrets/superuser"), folder.glob("secrets/replication"):
        assert all(s.read_text().strip() not in "\n".join(first) for s in secret)
    script = tmp_path / "replay.sh"
    script.write_text("\n".join(again) + "\n")
    assert not re.search(r"^\s*(\S*python\S*|pgrepl)\b", script.read_text(), re.MULTILINE)
    assert shutil.which("pgrepl", path=PLAIN["PATH"]) is None

    pgrepl("down", values, "--yes")
    shutil.rmtree(folder)
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets/superuser").write_text("a password of the reader's own\n")
    (folder / "secrets/superuser").chmod(0o600)

    replayed = sh(script)
    assert replayed.returncode == 0, replayed.stdout[-2000:] + replayed.stderr[-2000:]
    assert ", 0 failed" in pgrepl("check", values)
    assert (folder / "secrets/superuser").read_text() == "a password of the reader's own\n"
    assert json.loads(pgrepl("run", values, "--json"))["steps"]["changed"] == 0, "pgrepl finds nothing left to do"

    before = sorted((p, p.stat().st_mtime_ns) for p in folder.glob("*/*.conf"))
    refused = sh(script)
    assert refused.returncode == 2 and "holds a cluster already" in refused.stderr
    assert sorted((p, p.stat().st_mtime_ns) for p in folder.glob("*/*.conf")) == before
