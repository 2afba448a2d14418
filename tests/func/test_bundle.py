"""The bundle where there is no network: on a machine of its kind, and as Binder and dev containers prepare it."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from pgrepl_lib.classroom import users

from .running import do

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
USER = "nobody"
READER = 1000  # the user's number in such containers
IMAGE = "pgrepl-tests-plain"
DOWN = "trap 'make down ARGS=--yes' EXIT"
SET_UP = "make run ARGS='--engine local'"
LAB = ".venv/bin/pgrepl lab -- --no-browser"
STARTED = ".binder/start jupyter lab"
# What follows starts JupyterLab, asks it for its page and for chapter 00, and ends it.
ASKED = """
asked() {
    .venv/bin/python -c '
import sys, urllib.request
print(sys.argv[1], urllib.request.urlopen(f"http://127.0.0.1:8899{sys.argv[1]}?token=t").status)' "$1"
}
%s --port=8899 --IdentityProvider.token=t & lab=$!
for _ in $(seq 90); do
    asked /api/status 2>/dev/null && break
    kill -0 $lab
    sleep 1
done
asked /lab/tree/chapters/00-preparacao.ipynb
asked /api/contents/chapters/00-preparacao.ipynb
kill $lab
"""
A_CLASS = ".venv/bin/python -m benchmarks.classroom --participants 2 --name"
LOOPBACK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "-"]
CLEAN = ["env", "-i", "PATH=/usr/bin:/bin", "LANG=C.UTF-8"]


@pytest.fixture(scope="module")
def bundle() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-tests-bundle-"))
    folder.chmod(0o755)
    do(sys.executable, "-m", "offline.bundle", folder / "bundle.tar", cwd=ROOT)
    yield folder / "bundle.tar"
    shutil.rmtree(folder)


def unpacked(bundle: Path, name: str, owner: str) -> Path:
    home = bundle.parent / name
    home.mkdir()
    do("tar", "xf", bundle, cwd=home)
    do("chown", "-R", owner, home)
    return home / "pgrepl"


def test_everything_is_installed_set_up_and_shown_with_no_network(bundle: Path) -> None:
    assert os.geteuid() == 0, "a network namespace needs root: run this test as root"
    folder, user = unpacked(bundle, "pasta é", USER), pwd.getpwnam(USER)
    ordinary = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    script = "\n".join([DOWN, SET_UP, ASKED % LAB])
    home = f"HOME={folder.parent}"
    done = do(*LOOPBACK, *ordinary, *CLEAN, home, "bash", "-ec", script, cwd=folder)
    assert "13 checks passed, 0 failed" in done
    assert "/lab/tree/chapters/00-preparacao.ipynb 200" in done


def test_a_class_of_two_works_with_no_network(bundle: Path) -> None:
    folder, name = unpacked(bundle, "class", "root"), f"t{uuid4().hex[:6]}"
    script = f"PATH=$PATH:/usr/sbin\nmake install\n{A_CLASS} {name}"
    done = do(*LOOPBACK, *CLEAN, f"HOME={folder.parent}", "bash", "-ec", script, cwd=folder)
    assert "a verified replica after" in done
    assert (folder / "npm").is_dir() and not users.found(f"{name}-p01")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with a system, Python and make, and a user; nothing else."""
    root = tmp_path_factory.mktemp("plain")
    mirror = do(ROOT / "tests/docker/engine", "mirror").strip()
    system = ["--variant=minbase", "--include=python3-venv,make", "bookworm", root, mirror]
    do("debootstrap", *system)
    do("chroot", root, "useradd", "--create-home", "--uid", READER, "reader")
    do("sh", "-c", f'tar -C "{root}" -c . | docker import - {IMAGE}')
    return IMAGE


def test_the_chapters_run_as_binder_and_dev_containers_prepare_them(
    bundle: Path, plain: str
) -> None:
    """Not root, 2 GB of memory, no Docker; and no network, which they would have."""
    folder = unpacked(bundle, "reader", str(READER))
    script = "\n".join([".binder/postBuild", ASKED % STARTED, ".venv/bin/pgrepl run --to 08"])
    limits = ["--network=none", "--memory=2g", "--memory-swap=2g", f"--user={READER}", "--init"]
    inside = ["--volume", f"{folder}:/home/reader/pgrepl", "--workdir=/home/reader/pgrepl"]
    command = ["docker", "container", "run", "--rm", *limits, *inside, plain]
    done = do(*command, *CLEAN, "HOME=/home/reader", "bash", "-ec", script, timeout=1700)
    assert "/lab/tree/chapters/00-preparacao.ipynb 200" in done
    assert "0 failed" in done and "completed:" in done
