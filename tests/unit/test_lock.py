"""One run at a time on a project: a second process is refused with who holds it, and a killed holder frees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.engine import processes
from pgrepl_lib.errors import ProjectBusy
from pgrepl_lib.journal.audit import RUN_FOLDER, Journal
from pgrepl_lib.journal.lock import refuse_busy, run_holder, run_lock, step_lock
from pgrepl_lib.journal.runs import Run

CHECKOUT = Path(__file__).parents[2]
HOLD = """
import sys, pathlib
from pgrepl_lib.journal.lock import {0}
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
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(name), str(folder)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout and process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_a_second_process_is_refused_with_who_holds_it_and_freed_by_its_death(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "proj"
    with held_elsewhere(folder) as process:
        for lock in (run_lock, step_lock):
            with pytest.raises(ProjectBusy) as caught, lock(folder):
                pass
            assert caught.value.exit_code == 3 and caught.value.remedy
            assert "Project proj" in str(caught.value)
            assert f"process {process.pid} " in str(caught.value)
        process.kill()
        process.wait(10)
        with run_lock(folder):
            assert f'"pid": {os.getpid()}' in (folder / ".run.holder.json").read_text()
    with run_lock(folder):
        pass


def test_a_notebook_that_holds_it_is_told_as_one(tmp_path: Path) -> None:
    """Its command is the kernel's, with a file's path that says nothing to its reader."""
    with held_elsewhere(tmp_path / "proj"):
        holder = tmp_path / "proj/.run.holder.json"
        who = json.loads(holder.read_text())
        who["command"] = "/x/ipykernel_launcher.py -f /y/kernel-7.json"
        holder.write_text(json.dumps(who))
        with pytest.raises(ProjectBusy, match="a notebook's kernel") as caught:
            run_lock(tmp_path / "proj").__enter__()
        assert ".json" not in str(caught.value) and str(who["pid"]) in str(caught.value)


def test_what_is_missing_while_another_is_at_work_may_be_on_its_way(tmp_path: Path) -> None:
    refuse_busy(tmp_path)
    with run_lock(tmp_path):
        refuse_busy(tmp_path)  # it is ours
    with held_elsewhere(tmp_path), pytest.raises(ProjectBusy):
        refuse_busy(tmp_path)
    refuse_busy(tmp_path)


def test_a_run_is_refused_while_a_single_step_works(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "step_lock"), pytest.raises(ProjectBusy), run_lock(tmp_path):
        pass


def test_two_projects_do_not_hold_each_other(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / "a"), run_lock(tmp_path / "b"), step_lock(tmp_path / "c"):
        pass


def test_inside_a_run_its_steps_work_under_the_runs_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


# --- a step that was killed ----------------------------------------------------------------------------------------

WORK = """
import sys, pathlib
from pgrepl_lib.doors import command, files
from pgrepl_lib.journal.lock import step_lock
folder = pathlib.Path(sys.argv[1])
with step_lock(folder):
    (folder / "secrets").mkdir()
    (folder / "secrets/.superuser.12345678.part").touch()
    (folder / ".cluster.json.12345678.part").touch()
    command.run(command.Command((sys.executable, "-c", sys.argv[2])), cwd=folder)
"""
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(open('began', 'w')); time.sleep(60)"


def commands_in(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(folder)]


@pytest.mark.parametrize("program", ["open('began', 'w'); import time; time.sleep(60)", STUBBORN])
def test_what_a_killed_step_has_left_is_cleared_away_by_the_next(
    tmp_path: Path, program: str
) -> None:
    """Its command goes on alone, and would write into what is made anew; a file was half written."""
    process = subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path), program], cwd=CHECKOUT)
    mine = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    try:
        wait_until(
            "the command",
            lambda: ((tmp_path / "began").exists(), ""),
            seconds=20,
            alive=lambda: process.poll() is None,
        )
        processes.end_orphans(tmp_path)
        assert len(commands_in(tmp_path)) == 2, "whose step lives goes on"
        process.kill()
        process.wait(10)
        with step_lock(tmp_path):
            assert [p.pid for p in commands_in(tmp_path)] == [mine.pid], (
                "what a person does there is not ours"
            )
        assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {
            "began",
            ".run.lock",
            ".step.lock",
        }
    finally:
        mine.kill()
        mine.wait(10)


# --- whether a run goes on -----------------------------------------------------------------------------------------


def begun(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Run:
    run = folder / "runs" / name
    monkeypatch.setenv(RUN_FOLDER, str(run))
    Journal(run).record("run", chapters=["00-preparacao"], pid=os.getpid())
    return Run(run)


def test_a_killed_run_is_not_running_though_another_has_its_pid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = begun(tmp_path, monkeypatch, "1")
    assert killed.status == "killed"
    other = begun(tmp_path, monkeypatch, "2")
    with run_lock(tmp_path):
        assert [killed.status, other.status] == ["killed", "running"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b"7"])
def test_what_names_no_holder_is_no_reason_to_fail(tmp_path: Path, content: bytes) -> None:
    with held_elsewhere(tmp_path):
        (tmp_path / ".run.holder.json").write_bytes(content)
        assert run_holder(tmp_path) == {}
        with pytest.raises(ProjectBusy), run_lock(tmp_path):
            pass


def test_a_run_that_ends_while_it_is_looked_at_is_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path, monkeypatch, "1")
    with run_lock(tmp_path):
        assert run.status == "running"
    Journal(run.folder).record("end", status="completed")
    assert run.entries[-1]["kind"] == "run", "what was read before its end"
    assert run.status == "completed"


def test_another_user_who_may_only_read_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TemporaryDirectory() as made:
        folder = Path(made, "proj")
        killed, going_on = begun(folder, monkeypatch, "1"), begun(folder, monkeypatch, "2")
        with run_lock(folder):
            holder = (folder / ".run.holder.json").read_text()
            (folder / ".run.lock").chmod(0o444)
            with as_somebody_else(made):
                assert [killed.status, going_on.status] == ["killed", "running"]
        (folder / ".run.holder.json").write_text(holder)
        with as_somebody_else(made):
            assert [killed.status, going_on.status] == ["killed", "killed"]


@contextmanager
def as_somebody_else(folder: str) -> Iterator[None]:
    """As a user to whom nothing belongs, where we may become one."""
    root = os.geteuid() == 0
    os.chmod(folder, 0o755)
    try:
        if root:
            os.seteuid(65534)
        with pytest.raises(PermissionError), Path(folder, "proj/.run.lock").open("r+b"):
            pass
        yield
    finally:
        if root:
            os.seteuid(0)


def test_who_asks_for_a_status_keeps_no_run_from_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, ended = begun(tmp_path, monkeypatch, "1"), threading.Event()

    def ask() -> None:
        while not ended.is_set():
            (tmp_path / ".run.holder.json").touch()
            assert Run(run.folder).status in ("killed", "running")

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(20):
            with run_lock(tmp_path):
                pass
    finally:
        ended.set()
        for thread in asking:
            thread.join(10)
