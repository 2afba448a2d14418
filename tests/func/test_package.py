"""The package as others get it: built from the tracked files, installed by pip, used by somebody who may not write there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgrepl_lib.engine.local import binaries, packages
from pgrepl_lib.journal.chapter import OPERATE, SET_UP
from pgrepl_lib.journal.runs import Run
from pgrepl_lib.params import variable

from .running import do, pgrepl

pytestmark = pytest.mark.timeout(900)  # pip unpacks half a gigabyte
ROOT = Path(__file__).parents[2]
ORDINARY = "nobody" if os.geteuid() == 0 else None  # whoever may not write where root has installed
USABLE = "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))"
PYTHONS = ["/usr/bin/python3", "/usr/bin/python3.13", "/usr/bin/python3.12", "/usr/bin/python3.11"]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="pgrepl-tests-package-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def new_environment(folder: Path, python: str, what: object) -> None:
    """A virtual environment with nothing but what pip installs for this; pip itself is not in it."""
    do(python, "-m", "venv", "--without-pip", folder)
    do(sys.executable, "-m", "pip", "--python", folder, "install", "--quiet", what)


@pytest.fixture(scope="module")
def built(place: Path) -> Path:
    """A folder with the wheel, the sdist, and in `again/` the wheel that is made from the sdist."""
    source, made, builder = place / "source", place / "dist", place / "builder"
    for name in do("git", "ls-files", "-z", cwd=ROOT).split("\0")[:-1]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    (source / "notebooks/.ipynb_checkpoints").mkdir()  # as JupyterLab leaves it in a checkout
    (source / "notebooks/.ipynb_checkpoints/00.ipynb").touch()
    new_environment(builder, sys.executable, "hatchling")
    hatchling = (builder / "bin/python", "-m", "hatchling", "build", "--directory")
    do(*hatchling, made, cwd=source)
    shutil.unpack_archive(next(made.glob("*.tar.gz")), place / "unpacked")
    do(*hatchling, made / "again", "--target", "wheel", cwd=next((place / "unpacked").iterdir()))
    return made


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_chapters_templates_compose_file_and_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    held = content(wheel)
    data = [n for n in held if not n.endswith(".py") and ".dist-info/" not in n]
    tracked = do("git", "ls-files", "-z", "pgrepl_lib", "notebooks", cwd=ROOT).split("\0")[:-1]
    wanted = {n for n in tracked if not n.endswith(".py")} | {"docker-compose.yaml"}
    outside = ("notebooks", "docker-compose")
    wanted = {f"pgrepl_lib/{n}" if n.startswith(outside) else n for n in wanted}
    assert sorted(data) == sorted(wanted)
    chapters = {f"pgrepl_lib/notebooks/{c}.ipynb" for c in (*SET_UP, *OPERATE, "99-limpeza")}
    assert chapters < wanted
    for name in data:
        moved = name.startswith(("pgrepl_lib/notebooks", "pgrepl_lib/docker-compose"))
        original = name.partition("/")[2] if moved else name
        assert held[name] == (ROOT / original).read_bytes()
    about = {n.partition("/")[2]: held[n].decode() for n in held if ".dist-info/" in n}
    assert "pgrepl = pgrepl_lib.cli.main:main" in about["entry_points.txt"]
    assert about["licenses/LICENSE"] == (ROOT / "LICENSE").read_text("utf-8")
    assert (ROOT / "README.md").read_text("utf-8") in about["METADATA"]


def test_the_sdist_makes_the_same_wheel(built: Path) -> None:
    (one,), (other,) = built.glob("*.whl"), built.glob("again/*.whl")
    assert content(one) == content(other)


def test_make_names_an_environment_that_this_user_cannot_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to("/absent/python3")
    (tmp_path / ".venv/.ready").touch()
    told = do("make", "run", cwd=tmp_path, code=2, stderr=subprocess.STDOUT)
    assert "make clean install PYTHON=/usr/bin/python3" in told
    assert "rm -rf .venv" in do("make", "--dry-run", "clean", cwd=tmp_path)


@dataclass
class Installed:
    """An installation that its user may not write to, and that user's folder."""

    environment: Path
    home: Path
    user: str | None

    def pgrepl(self, *words: str, code: int = 0, cwd: Path | None = None, **variables: str) -> str:
        own = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "XDG_CACHE_HOME": str(binaries.cache_folder().parent),
            **variables,
        }
        program = self.environment / "bin/pgrepl"
        return do(program, *words, user=self.user, code=code, env=own, cwd=cwd or self.home)

    def state(self) -> dict[str, tuple[int, int]]:
        """What would tell that somebody has written there."""
        there = (p for p in self.environment.rglob("*") if not p.is_symlink())
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in there}


def usable(python: str, user: str | None) -> bool:
    try:
        do(python, "-c", USABLE, user=user, cwd="/")
        return True
    except (OSError, AssertionError):
        return False


@pytest.fixture(scope="module")
def installed(place: Path, built: Path) -> Installed:
    if binaries.find(14) is None:
        packages.fetch(14)
    python = next((p for p in [sys._base_executable, *PYTHONS] if usable(p, ORDINARY)), "")
    user = ORDINARY if python else None  # only a private Python: then as who runs the tests
    environment, home = place / "environment", place / "home"
    new_environment(environment, python or sys.executable, next(built.glob("*.whl")))
    do("chmod", "-R", "a-w,go+rX", environment)
    home.mkdir()
    if user:
        os.chown(home, pwd.getpwnam(user).pw_uid, -1)
    return Installed(environment, home, user)


def root_is_refused(project: Path) -> None:
    """Root's commands on another user's project change nothing, not even whose a file is."""
    values = {"project": project.name, "workdir": str(project.parent)}
    before = {p: (p.stat().st_uid, p.stat().st_mtime_ns) for p in project.rglob("*.json*")}
    for command in ("run", "check", "switchover --to replica", "replica add", "down --yes"):
        done = pgrepl(command, values)
        assert done.returncode == 3 and "belongs to the user nobody" in done.stderr, done.stderr
    assert {p: (p.stat().st_uid, p.stat().st_mtime_ns) for p in project.rglob("*.json*")} == before


def test_an_installed_package_does_everything_and_is_not_written_to(
    installed: Installed, free_port: Callable[[], int]
) -> None:
    before = installed.state()
    variables = {
        variable("project"): "installed",
        variable("engine"): "local",
        variable("port"): str(free_port()),
    }

    def ours(*words: str) -> str:
        return installed.pgrepl(*words, **variables)

    assert ours("--version") == "pgrepl, version 0.1.0\n"
    installed.pgrepl("lab", code=3, **variables)  # JupyterLab is an extra
    assert ours("guide") == (ROOT / "docs/guia.md").read_text("utf-8")
    assert "steps would change, " in ours("plan")
    try:
        assert "completed: " in ours("run")
        (folder,) = installed.home.glob(".local/share/pgrepl/installed/runs/*")
        assert Run(folder).opening["repository_unknown"] == "an installed package: pgrepl 0.1.0"
        assert ", 0 failed" in ours("check")
        assert ours("verify").startswith("verified: ")
        assert ours("report").strip() == str(folder / "report.html")
        assert "0 steps would change, " in ours("plan")
        if installed.user:
            root_is_refused(folder.parents[1])
    finally:
        ours("down", "--yes")
    assert installed.state() == before
