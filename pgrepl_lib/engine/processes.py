"""PostgreSQL's processes on this machine: whose they are, which live, which are only not reaped."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from ..doors import command, files
from ..doors.command import Command
from ..doors.wait import wait_until
from ..errors import EnvironmentLacking, WaitTimeout
from ..words.quoted import PROGRAM, line, quoted
from ..words.text import t
from .life import KILL_SECONDS, Life

SERVER = ("postgres", "postmaster")  # the program's name, which every process of a server keeps


def life(data: Path) -> Life:
    """Whether a server works on this data folder, or what is left of one."""
    if postmaster := _postmaster(data):
        return postmaster
    if of_server(data):
        return Life.ORPHANED
    return Life.STOPPED if data.exists() else Life.ABSENT


def _postmaster(data: Path) -> Life | None:
    """What the postmaster is at; None where there is none.

    A dead one may stay as a zombie that answers to kill -0, and its number may be another's by now.
    """
    if not (process := _noted(data)):
        return None
    try:
        status = process.status()
        if status == psutil.STATUS_ZOMBIE or Path(process.cwd()) != data.resolve():
            return None
    except (OSError, psutil.Error):
        return None
    return Life.PAUSED if status == psutil.STATUS_STOPPED else Life.RUNNING


def _noted(data: Path) -> psutil.Process | None:
    """Whose number stands in the pid file; None where nobody has it."""
    try:
        return psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def of_server(data: Path) -> list[psutil.Process]:
    """The server's processes on a data folder, the oldest first.

    They are known by their current folder, which they keep: also once their postmaster is dead,
    their pid file or even the folder is gone. A person's shell there is none of them.
    """
    return sorted(filter(_is_server, _working_in(data)), key=_age)


def _working_in(folder: Path) -> Iterator[psutil.Process]:
    """The processes whose current folder this is; of all others nothing else is asked."""
    here = str(folder.resolve())
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has just ended, or is somebody else's
            if process.cwd() == here:
                yield process


def _is_server(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.name() in SERVER and process.status() != psutil.STATUS_ZOMBIE
    return False


def _age(process: psutil.Process) -> tuple[float, int]:
    return process.create_time(), process.pid


def kill(data: Path, name: str) -> None:
    """SIGKILL for every process of a server, and see all of them gone; raises `WaitTimeout`.

    Of the postmaster alone would not do: a backend that is at work goes on without it, and
    confirms its commit. It comes first, since it makes new ones.
    """

    def probe() -> tuple[bool, str]:
        left = of_server(data)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return not left, t("processes {pids}", pids=", ".join(str(p.pid) for p in left))

    hint = t("what the system does not end (it may wait for a disk) could still confirm a commit")
    what = t("the end of every process of {name}", name=name)
    wait_until(what, probe, seconds=KILL_SECONDS, hint=hint)


def frozen(data: Path) -> bool:
    """Whether any of a server's processes was told to stop where it is."""

    def stopped(process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.status() == psutil.STATUS_STOPPED
        return False

    return any(map(stopped, of_server(data)))


def go_on(data: Path) -> None:
    """Let a server go on that was told to stop where it is (SIGSTOP)."""
    for process in of_server(data):
        with suppress(psutil.NoSuchProcess):
            process.resume()


def activity(data: Path) -> str:
    """What the processes on this data folder are at: titles, seconds of work, writes."""
    found = []
    for process in _working_in(data):
        with suppress(psutil.Error):
            title, times = " ".join(process.cmdline()), process.cpu_times()
            found.append(f"{title} {int(times.user + times.system)} {_written(process)}")
    return "\n".join(sorted(found))


def _written(process: psutil.Process) -> int:
    """How often a process has written, where the system says so."""
    try:
        return int(process.io_counters().write_count)
    except (psutil.Error, OSError, AttributeError):
        return 0


def forget_dead(data: Path) -> None:
    """What is left of a server whose postmaster was killed ends, or a new one would not start.

    Where nothing ever reaps it (a container's PID 1), its pid file goes, once no process works on
    these data.
    """
    pidfile = data / "postmaster.pid"
    if _postmaster(data):
        return
    kill(data, data.name)
    if not pidfile.exists():
        return

    def zombie() -> bool:
        process = _noted(data)
        return process is not None and _is_zombie(process.pid)

    def reaped() -> tuple[bool, str]:
        return not zombie(), "zombie"

    with suppress(WaitTimeout):
        wait_until(t("the dead postmaster to be reaped"), reaped, seconds=5)
    if zombie():
        files.remove(pidfile)


def end_orphans(folder: Path) -> None:
    """End the commands in a cluster's folder that go on although who started them was killed.

    They would write into what is about to be made anew. A server is none: it works in its data
    folder.
    """
    orphans = [p for p in _working_in(folder) if _is_orphan(p)]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in orphans:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, orphans = psutil.wait_procs(orphans, timeout=5)


def _is_orphan(process: psutil.Process) -> bool:
    """Whether its starter is gone, or its own parent.

    The second process of a base backup outlives the first.
    """
    try:
        starter = int(process.environ().get(command.STARTED_BY, "0"))
        if not starter:
            return False
        gone = not psutil.pid_exists(starter) or _is_zombie(starter)
        return gone or (process.ppid() != starter and not _is_ours(process.ppid()))
    except (psutil.Error, OSError, ValueError):  # it has just ended, or is somebody else's
        return False


def _is_ours(number: int) -> bool:
    try:
        return command.STARTED_BY in psutil.Process(number).environ()
    except (psutil.Error, OSError):
        return False


def _is_zombie(number: int) -> bool:
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def server_user() -> str | None:
    """The user to drop to when we are root, which `postgres` refuses to run as; else None."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    if user := next((u for u in ("postgres", "_postgres", "nobody") if u in known), None):
        return user
    raise EnvironmentLacking(
        t(
            "PostgreSQL does not run as root, and {system} has no user postgres or nobody.",
            system=sys.platform,
        ),
        remedy=t("run as an ordinary user"),
    )


def owner_of(folder: Path) -> str:
    """The user whose a folder is, or would be if it were made now."""
    return user_name(folder.stat().st_uid if folder.exists() else os.geteuid())


def user_name(uid: int) -> str:
    """The user's name; the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@contextmanager
def small_file_system(
    folder: Path, megabytes: int, owner: tuple[int, int] | None
) -> Iterator[None]:
    """A file system in memory on a folder, owned by the server's user; only root may make one."""
    files.make_folder(folder)
    options = f"size={megabytes}m,mode=0700"
    if owner:
        options += ",uid={},gid={}".format(*owner)
    mount = Command(("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)))
    made = command.run(mount, cwd=Path("/"), check=False)
    if made.code:
        files.remove(folder)
        raise EnvironmentLacking(
            t("This user may not make a file system."),
            looked_at=[quoted(PROGRAM, line(made.err))],
            remedy=t("run as root, or with the docker engine"),
        )
    try:
        yield
    finally:
        take_away(folder)


def take_away(folder: Path) -> None:
    """Remove such a folder, also one that a killed drill has left with its file system."""
    if folder.is_mount():
        command.run(Command(("umount", "--lazy", str(folder))), cwd=Path("/"), check=False)
    files.remove(folder)
