"""One run at a time on a project: a second process is refused with who holds it, and a killed holder frees it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgrepl_lib.audit import RUN_FOLDER
from pgrepl_lib.errors import ProjectBusy
from pgrepl_lib.lock import run_lock, step_lock

CHECKOUT = Path(__file__).parents[2]
HOLD = """
import sys, pathlib
from pgrepl_lib.lock import {0}
with {0}(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_FOLDER, raising=False)


@contextmanager
def held_elsewhere(folder: Path, name: str = "run_lock") -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until its standard input ends."""
    process = subprocess.Popen([sys.executable, "-c", HOLD.format(name), str(folder)], cwd=CHECKOUT,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    try:
        assert process.stdout and process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_a_second_process_is_refused_with_who_holds_it_and_freed_by_its_death(tmp_path: Path) -> None:
    folder = tmp_path / "proj"
    with held_elsewhere(folder) as process:
        for lock in (run_lock, step_lock):
            with pytest.raises(ProjectBusy) as caught, lock(folder):
                pass
            assert caught.value.exit_code == 3 and caught.value.remedy
            assert "Project proj" in str(caught.value) and f'"pid": {process.pid}' in str(caught.value)
        process.kill()
        process.wait(10)
        with run_lock(folder):
            assert f'"pid": {os.getpid()}' in (folder / ".run.holder.json").read_text()
    with run_lock(folder):
        pass


def test_a_run_is_refused_while_a_single_step_works(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "step_lock"), pytest.raises(ProjectBusy), run_lock(tmp_path):
        pass


def test_two_projects_do_not_hold_each_other(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / "a"), run_lock(tmp_path / "b"), step_lock(tmp_path / "c"):
        pass


def test_inside_a_run_its_steps_work_under_the_runs_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_elsewhere(tmp_path):
        monkeypatch.setenv(RUN_FOLDER, str(tmp_path / "runs/1"))
        with step_lock(tmp_path):
            assert (tmp_path / ".step.holder.json").exists()


def test_a_second_time_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        with pytest.raises(ProjectBusy), run_lock(tmp_path):
            pass
        with pytest.raises(ProjectBusy), step_lock(tmp_path):
            pass


def test_it_is_freed_after_an_error_and_leaves_no_holder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), run_lock(tmp_path):
        raise KeyError
    assert not (tmp_path / ".run.holder.json").exists()
    with run_lock(tmp_path):
        pass


def test_a_stale_holder_file_alone_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / ".run.holder.json").write_text('{"pid": 1}')
    with run_lock(tmp_path):
        pass
