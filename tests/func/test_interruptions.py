"""Runs that end before their time, on the local engine: running again goes on, and the record says what happened."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import nbformat
import psutil
import pytest

from pgrepl_lib.cluster.state import read
from pgrepl_lib.evidence.signing.statements import SIGNER
from pgrepl_lib.journal import audit, lock
from pgrepl_lib.journal.runs import Run

from ..conftest import REQUIRE_DOCKER, NewProject
from .disks import leave_free, mounted, resize
from .interrupted import Interrupted, stopped_in_every_way
from .running import CHECKOUT, Running, Values, all_runs, folder_of, pgrepl, wait_ended


@pytest.fixture
def values(new_project: NewProject) -> Iterator[Values]:
    """The parameters of a new project on the local engine; removed afterwards."""
    with new_project() as made:
        yield made


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_run_killed_after_every_step_goes_on(values: Values) -> None:
    project = Interrupted(values, tree=True)
    project.kill_everywhere()
    project.require_all_well()


@pytest.mark.long
def test_a_run_that_is_stopped_says_how_and_is_gone_on_with(values: Values) -> None:
    stopped_in_every_way(values)


@pytest.mark.parametrize(
    ("number", "seconds"),
    [
        *((signal.SIGINT, seconds) for seconds in (0, 0.05, 0.2)),
        *((signal.SIGTERM, seconds) for seconds in (0.02, 0.1)),
    ],
)
def test_a_run_stopped_while_it_starts_leaves_nothing(
    values: Values, number: signal.Signals, seconds: float
) -> None:
    with Running(values) as running:
        running.wait("the kernel", lambda: len(running.process.children()) == 1)
        kernel = running.process.children()[0]
        time.sleep(seconds)
        code, errors = running.end(number)
    assert code == 130 and "run again to go on" in errors and "Traceback" not in errors, errors
    wait_ended(kernel)
    assert all_runs(values) == [] and not folder_of(values).exists()


IN_AN_EXEC = """
from pgrepl_lib.cli.main import main
@main.command()
def stopped(): exec("raise KeyboardInterrupt")
main(["stopped"])
"""


def test_one_that_is_stopped_inside_an_exec_exits_too(tmp_path: Path) -> None:
    """dataclasses and namedtuple compile text, so imports do; CPython remembers an interruption that passes there."""
    (tmp_path / "command.py").write_text(IN_AN_EXEC)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "command"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) == (130, "pgrepl: interrupted; run again to go on\n")


def killed_once_there(values: Values, name: str) -> Run:
    """A run of chapter 00 that was killed after this file was there; one that was faster is tried again."""
    for _ in range(9):
        with Running(values, "--to", "00") as running:
            running.wait("the run", running.run)
            running.wait(name, (all_runs(values)[-1].folder / name).exists)
            running.kill(whole_tree=False)
        killed = all_runs(values)[-1]
        if killed.status == "killed":
            return killed
    pytest.fail(f"each run ended before it could be killed after {name} was there")


def test_a_run_killed_while_its_evidence_is_written_has_not_completed(values: Values) -> None:
    """The journal ends last: whatever of report and signature is there already, the run is gone on with."""
    for already in ("report.html", SIGNER):
        killed = killed_once_there(values, already)
        assert killed.of("state") and not killed.of("end")
        refused = pgrepl("verify", values)
        assert refused.returncode == 1 and refused.stdout.startswith("not verified"), refused.stdout
        resumed = pgrepl("run", values, "--resume", "--quiet")
        assert resumed.returncode == 0, resumed.stderr
        assert all_runs(values)[-1].first("run")["resumes"] == killed.name
    verified = pgrepl("verify", values)
    assert verified.returncode == 0 and "the run completed" in verified.stdout, verified.stdout


# --- --resume ----------------------------------------------------------------------------------------------------


def test_resume_takes_what_the_last_run_had(values: Values, workdir: Path) -> None:
    mine = {name: values[name] for name in ("project", "workdir")}
    nothing = pgrepl("run", mine, "--resume")
    assert nothing.returncode == 2 and "There is no run yet" in nothing.stderr
    given = {**values, "settings": '{"work_mem": "8MB"}'}
    with Running(given, "--to", "01") as running:
        running.wait_title("Copiar o arquivo postgresql.conf")
        running.kill(whole_tree=True)
    left = nbformat.read(all_runs(values)[-1].folder / "01-instancia-primaria.ipynb", 4)
    assert "senha" in {cell.id for cell in left.cells if cell.get("outputs")}, "what it had shown"
    for more, said in [
        (["-p", "settings", "{}"], "settings: it had {'work_mem': '8MB'}, asked for {}"),
        (["-p", "replicas", "2"], "replicas: it had 1, asked for 2"),
        (
            ["--to", "03"],
            "asked for 00-preparacao, 01-instancia-primaria, 02-instancia-replica, 03-verificacao",
        ),
    ]:
        refused = pgrepl("run", mine, "--resume", *more)
        assert (
            refused.returncode == 2
            and said in refused.stderr
            and "nothing was touched" in refused.stderr
        ), refused.stderr
    assert [r.status for r in all_runs(values)] == ["killed"]
    with lock.run_lock(folder_of(values)):
        refused = pgrepl("run", mine, "--resume")
    assert (
        refused.returncode == 3 and "another cell or command is at work on it" in refused.stderr
    ), refused.stderr
    assert len(all_runs(values)) == 1, "the refused one has left no run"
    resumed = pgrepl("run", mine, "--resume", "--to", "01", "--engine", "local")
    assert resumed.returncode == 0, resumed.stderr
    first, second = all_runs(values)
    assert second.first("run")["resumes"] == first.name
    assert [second.first("run")[n] for n in ("chapters", "params")] == [
        first.first("run")[n] for n in ("chapters", "params")
    ]
    assert "work_mem = '8MB'" in (folder_of(values) / "primary/postgresql.conf").read_text()
    done = pgrepl("run", mine, "--resume")
    assert (done.returncode, done.stdout) == (
        0,
        "",
    ) and f"nothing to resume: run {second.name} completed" in done.stderr
    quiet = pgrepl("run", mine, "--resume", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


# --- two at once -------------------------------------------------------------------------------------------------


def test_a_second_run_of_the_project_is_refused_with_who_holds_it(values: Values) -> None:
    """Both are begun at once: whichever comes second is refused, and the first is not harmed."""
    with ExitStack() as stack:
        both = [stack.enter_context(Running(values, "--to", "01")) for _ in range(2)]
        ends = [running.end() for running in both]
        assert sorted(code for code, _ in ends) == [0, 3], ends
        winner = both[[code for code, _ in ends].index(0)]
    refused = next(errors for code, errors in ends if code == 3)
    assert (
        f"process {winner.process.pid} " in refused
        and "another cell or command is at work on it" in refused
    ), refused
    assert [r.status for r in all_runs(values)] == ["completed"], "the refused one has left no run"
    assert len(list(folder_of(values).glob("runs/*"))) == 1


def test_two_projects_in_two_folders_choose_their_ports_at_once(workdir: Path) -> None:
    made = [
        {"project": f"i{secrets.token_hex(3)}", "engine": "local", "workdir": str(workdir / name)}
        for name in ("a", "b")
    ]
    try:
        with ExitStack() as stack:
            both = [stack.enter_context(Running(values, "--to", "01")) for values in made]
            assert [running.end()[0] for running in both] == [0, 0]
        taken = [set(read(folder_of(values))["ports"].values()) for values in made]
        assert not taken[0] & taken[1]
    finally:
        for values in made:
            pgrepl("down", values, "--yes")


# --- the disk is full ----------------------------------------------------------------------------------------------


def missing(what: str) -> None:
    """A skip, but where everything is required."""
    (pytest.fail if REQUIRE_DOCKER else pytest.skip)(what)


@pytest.fixture
def small_disk(workdir: Path) -> Iterator[Path]:
    """A file system of its own, whose size can be changed."""
    folder = workdir / "small"
    folder.mkdir()
    with mounted(folder, "size=1500m,mode=755") as why_not:
        if why_not:
            missing(f"this user may not make a file system: {why_not}")
        yield folder


@pytest.mark.long
def test_a_disk_that_is_full_in_mid_run_is_told_and_the_run_gone_on_with(
    values: Values, small_disk: Path
) -> None:
    values |= {"workdir": str(small_disk)}
    moments = [
        ("Criar as senhas em arquivos protegidos", 6),
        ("Criar o slot replica_1_slot", 20),
        ("Fazer o base backup", 0),
    ]
    for title, megabytes in moments:
        with Running(values) as running:
            running.wait_title(title)
            leave_free(small_disk, megabytes)
            code, errors = running.end()
        assert (
            code in (1, 3) and "No space left on device" in errors and "Traceback" not in errors
        ), (title, errors)
        run = all_runs(values)[-1]
        assert run.status in ("failed", *([] if megabytes else ["killed"])), (
            title
        )  # where not even its end could be written
        assert audit.Journal(run.folder).first_broken_line() is None
        resize(small_disk, 1500)
    done = pgrepl("run", values, "--resume")
    assert done.returncode == 0, done.stderr
    assert pgrepl("check", values).returncode == 0
    assert [r.status == "completed" for r in all_runs(values)] == [False, False, False, True]


# --- the clock is set back -------------------------------------------------------------------------------------------

DIES = "import os, sys\nif 'ipykernel_launcher' in sys.orig_argv: os._exit(9)"


def test_a_kernel_that_ends_before_it_is_ready_is_told(values: Values, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    died = pgrepl("run", values, "--from", "00", "--to", "00", env=environment)
    assert died.returncode == 1 and "The kernel, which executes the cells, ended" in died.stderr, (
        died.stderr
    )
    assert "Traceback" not in died.stderr and "run again" in died.stderr
    (run,) = all_runs(values)
    assert run.status == "failed"
    (notebook,) = run.folder.glob("*.ipynb")
    assert nbformat.read(notebook, 4).metadata["pgrepl"]["status"] == "failed"


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
SLEEP = "import threading, time; time.sleep = lambda seconds: threading.Event().wait(seconds)"  # Python's fails under faketime


def clear_faketime() -> None:
    """What killed processes have left of it: a later one that gets such a number would end at once."""
    for file in Path("/dev/shm").glob("*faketime_*"):
        if not psutil.pid_exists(int(file.name.rpartition("_")[2])):
            file.unlink(missing_ok=True)


@pytest.mark.long
def test_a_clock_that_is_set_back_in_mid_run_changes_no_order(
    values: Values, workdir: Path, tmp_path: Path
) -> None:
    if FAKETIME is None:
        missing("libfaketime is not installed (Debian: faketime)")
    clear_faketime()
    clock = workdir / "clock"
    clock.write_text("+0")
    (tmp_path / "sitecustomize.py").write_text(SLEEP)
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    environment = {
        **os.environ,
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "PYTHONPATH": path,
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with Running(values, "--from", "01", "--to", "01", env=environment) as running:
        running.wait_title("Copiar o arquivo postgresql.conf")
        clock.write_text("-3h")
        running.wait_title("Criar o slot replica_1_slot")
        running.kill(whole_tree=True)
    clear_faketime()
    with Running(values, "--from", "02", "--to", "02", env=environment) as running:
        running.wait_title("Iniciar a instância temporária de replica")
        clock.write_text("-5h")
        code, errors = running.end()
        assert code == 0, errors
    clock.write_text("-9h")
    again = pgrepl("run", values, "--from", "02", "--to", "02", env=environment)
    assert again.returncode == 0, again.stderr
    found = all_runs(values)
    assert [r.status for r in found] == ["killed", "completed", "completed"]
    assert [r.name for r in found] == sorted((r.name for r in found), reverse=True), (
        "by their names they are the other way round"
    )
    assert (
        pgrepl("run", values, "--resume").stderr
        == f"pgrepl: nothing to resume: run {found[-1].name} completed\n"
    )
    for run in found:
        times = [e["time"] for e in run.entries]
        assert (times == sorted(times)) is (run is found[-1]) and audit.Journal(
            run.folder
        ).first_broken_line() is None
        assert [e for e in run.entries if not 0 <= e.get("seconds", 0) < 200] == []
        for notebook in run.folder.glob("*.ipynb"):
            cells = [
                c.metadata.papermill.duration
                for c in nbformat.read(notebook, 4).cells
                if c.metadata.papermill.duration
            ]
            assert all(0 <= seconds < 200 for seconds in cells)
    assert found[1].first("end")["seconds"] > 0.5, "as long as it took, not what the clock says"
    assert pgrepl("verify", values, found[1].name).returncode == 0
    clear_faketime()
