"""The bundle on a machine with no network: a namespace with loopback alone, an ordinary user, nothing fetched before."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .running import do

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
USER = "nobody"
SET_UP = "make run ARGS='--engine local'"
LAB = """
.venv/bin/pgrepl lab -- --no-browser --port=8899 --IdentityProvider.token=t & lab=$!
for _ in $(seq 60); do
    .venv/bin/python -c 'from urllib.request import urlopen as u; u("http://127.0.0.1:8899/api/status?token=t")' \
        2>/dev/null && break
    kill -0 $lab
    sleep 1
done
.venv/bin/python -c 'from urllib.request import urlopen as u; print("lab:", u("http://127.0.0.1:8899/lab?token=t").status)'
kill $lab
"""
DOWN = "trap 'make down ARGS=--yes' EXIT"


@pytest.fixture(scope="module")
def there() -> Iterator[Path]:
    """The bundle, unpacked in a folder of that user's."""
    assert os.geteuid() == 0, "a network namespace needs root: run this test as root"
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-tests-bundle-"))
    folder.chmod(0o755)
    bundle = folder / "bundle.tar"
    do(sys.executable, "-m", "offline.bundle", bundle, cwd=ROOT)
    home = folder / "pasta é"
    home.mkdir()
    do("tar", "xf", bundle, cwd=home)
    do("chown", "-R", USER, home)
    yield home / "pgrepl"
    shutil.rmtree(folder)


def without_network(script: str, folder: Path) -> str:
    user = pwd.getpwnam(USER)
    ordinary = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    clean = ["env", "-i", f"HOME={folder.parent}", "PATH=/usr/bin:/bin", "LANG=C.UTF-8"]
    inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "-", *ordinary, *clean]
    return do("unshare", "--net", *inside, "bash", "-ec", script, cwd=folder)


def test_everything_is_installed_set_up_and_shown_with_no_network(there: Path) -> None:
    done = without_network("\n".join([DOWN, SET_UP, LAB]), there)
    assert "13 checks passed, 0 failed" in done
    assert "lab: 200" in done
