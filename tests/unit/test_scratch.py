"""A process's own folder: gone with it, and cleared by the next where it was killed; nobody else's is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgrepl_lib.errors import EnvironmentLacking
from pgrepl_lib.runner import scratch

HOLD = """
from pgrepl_lib.runner.scratch import own_folder
with own_folder() as folder:
    (folder / "connection.json").touch()
    print(folder, flush=True)
    input()"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@contextmanager
def holding() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    with subprocess.Popen([sys.executable, "-c", HOLD], text=True, stdin=-1, stdout=-1) as process:
        assert process.stdout
        yield process, Path(process.stdout.readline().strip())


def test_it_is_private_empty_and_gone_afterwards(temporary: Path) -> None:
    with scratch.own_folder() as folder:
        assert (
            folder.parent == temporary
            and folder.stat().st_mode & 0o777 == 0o700
            and not list(folder.iterdir())
        )
        (folder / "file").touch()
        scratch.clear()
        assert (folder / "file").exists(), "its own process lives"
    assert not list(temporary.iterdir())


def test_the_next_clears_what_a_killed_one_has_left_and_leaves_a_living_ones(
    temporary: Path,
) -> None:
    with holding() as (living, kept), holding() as (killed, left):
        killed.kill()
        killed.wait()
        assert left.exists()
        with scratch.own_folder() as mine:
            assert set(temporary.iterdir()) == {kept, mine}
        living.communicate("\n")
        assert living.returncode == 0
    assert not list(temporary.iterdir())


def test_a_link_and_another_users_folder_of_such_a_name_are_left(temporary: Path) -> None:
    (temporary / "elsewhere").mkdir()
    (temporary / f"{scratch.PREFIX}link").symlink_to("elsewhere")
    (temporary / f"{scratch.PREFIX}file").touch()
    if os.geteuid() == 0:
        (temporary / f"{scratch.PREFIX}other").mkdir()
        os.chown(temporary / f"{scratch.PREFIX}other", 65534, -1)
    before = set(temporary.iterdir())
    scratch.clear()
    assert set(temporary.iterdir()) == before


def test_where_no_folder_can_be_made_that_is_told(
    monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "absent"))
    with pytest.raises(EnvironmentLacking, match="TMPDIR"), scratch.own_folder():
        pass
