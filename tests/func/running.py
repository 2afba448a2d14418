"""`pgrepl run` as a whole process: begun, watched in its journal, and ended as crashes and people end it."""

from __future__ import annotations

import json
import pwd
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from pgrepl_lib import Cluster
from pgrepl_lib.doors.answer import ask_all
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.journal import runs
from pgrepl_lib.journal.runs import Run

CHECKOUT = Path(__file__).parents[2]
Values = dict[str, str]
Completed = subprocess.CompletedProcess[str]


def words(command: str, values: Mapping[str, str]) -> list[str]:
    options = [w for name, value in values.items() for w in ("-p", name, value)]
    return [sys.executable, "-m", "pgrepl_lib", *shlex.split(command), *options]


def pgrepl(
    command: str,
    values: Mapping[str, str] | None = None,
    *more: str,
    prefix: Sequence[str] = (),
    **options: Any,
) -> Completed:
    """The command line, as a person calls it in any folder: a command's words, parameters, and what else it is given."""
    given = {
        "capture_output": True,
        "text": True,
        "timeout": 240,
        "stdin": subprocess.DEVNULL,
        **options,
    }
    return subprocess.run([*prefix, *words(command, values or {}), *more], **given)


def do(*argv: object, user: str | None = None, code: int = 0, **options: object) -> str:
    """A program's output; it must end with this code."""
    given = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "stdin": subprocess.DEVNULL,
        "text": True,
        "timeout": 600,
        **options,
    }
    if user:
        given |= {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    done: Completed = subprocess.run([str(a) for a in argv], **given)  # type: ignore[call-overload]
    assert done.returncode == code, f"{argv}: {done.stdout[-2000:]}\n{(done.stderr or '')[-3000:]}"
    return done.stdout


def of_cluster(cluster: Cluster) -> Values:
    """The parameters by which the command line finds a cluster that is there."""
    return {"project": cluster.params.project, "workdir": str(cluster.params.workdir)}


def pgrepl_at_once(cluster: Cluster, *commands: str) -> list[Completed]:
    """What each command answers; they only look, so all are run at the same time."""
    options = of_cluster(cluster)
    return ask_all(lambda command: pgrepl(command, options), commands)


def folder_of(values: Values) -> Path:
    return Path(values["workdir"]) / values["project"]


def all_runs(values: Values) -> list[Run]:
    return runs.of_project(folder_of(values))


def ended(process: psutil.Process) -> bool:
    """Whether it is gone; what nobody has reaped yet runs no more."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def wait_ended(process: psutil.Process) -> None:
    """Until it is: whoever was killed takes a moment for it."""
    wait_until(f"the end of process {process.pid}", lambda: (ended(process), "runs"), seconds=10)


class Running:
    """A run in a session of its own that has begun; its journal is looked at while it goes on."""

    def __init__(
        self,
        values: Values,
        *more: str,
        forks: Forks | None = None,
        prefix: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.known = {r.name for r in all_runs(values)}
        self.values, arguments = values, [*prefix, *words("run", values), *more]
        self.process: psutil.Process = (
            forks.begin(arguments)
            if forks
            else psutil.Popen(
                arguments,
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_as_in_a_terminal,
                **options,
            )
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.alive():
            self.kill(whole_tree=True)
        if isinstance(self.process, psutil.Popen):
            self.process.__exit__(None, None, None)

    def alive(self) -> bool:
        return not ended(self.process)

    def run(self) -> Run | None:
        """The run as recorded up to now; None until it has written its first line."""
        return next((r for r in all_runs(self.values) if r.name not in self.known), None)

    def titles(self) -> list[str]:
        """The titles of the steps and checks that are recorded."""
        found = self.run()
        return (
            [e["title"] for e in found.entries if e["kind"] in ("step", "check")] if found else []
        )

    def wait(self, what: str, reached: Callable[[], object], *, seconds: float = 90) -> None:
        """Until it is reached; fails where the run has ended before."""
        until = time.monotonic() + seconds
        while not reached():
            assert self.alive() or reached(), f"ended before {what}: {self.titles()}"
            assert time.monotonic() < until, f"{what} not within {seconds} s: {self.titles()}"
            time.sleep(0.004)

    def wait_title(self, title: str) -> None:
        self.wait(title, lambda: title in self.titles())

    def kernel(self) -> psutil.Process:
        """The process in which the cells run."""
        (found,) = [
            p for p in self.process.children() if "ipykernel_launcher" in " ".join(p.cmdline())
        ]
        return found

    def kill(self, *, whole_tree: bool) -> None:
        """SIGKILL, to the runner alone or to everything that it has started too."""
        there = self.process.children(recursive=True) if whole_tree else []
        for each in (self.process, *there):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait(20)

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """How it ends, by itself or after a signal: exit code and standard error."""
        assert isinstance(self.process, psutil.Popen)
        if number:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=150)
        return self.process.returncode, errors


def _as_in_a_terminal() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Forks:
    """Runs that need not import everything again, for a test that begins many: forks of a process that has done so."""

    SOURCE = """
import json, os, signal, sys
import pgrepl_lib.runner.kernel, pgrepl_lib.runner.runner, pgrepl_lib.runner.task
from pgrepl_lib.cli.main import main
for line in sys.stdin:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever has ended is gone
    if not (child := os.fork()):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        sys.argv = json.loads(line)[2:]
        main()
    print(child, flush=True)
"""

    def __enter__(self) -> Forks:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.SOURCE],
            cwd=CHECKOUT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.__exit__(None, None, None)

    def begin(self, arguments: list[str]) -> psutil.Process:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        return psutil.Process(int(self.process.stdout.readline()))
