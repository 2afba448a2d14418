"""A participant's system user: made, known as ours by what we wrote into it, and removed."""

from __future__ import annotations

import grp
import pwd
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from ..doors import command, files
from ..doors.command import Command
from ..doors.wait import wait_until
from ..engine.processes import SERVER
from ..errors import EnvironmentLacking, WaitTimeout
from ..words.text import t
from .roster import Class, Person

ROOT = Path("/")
SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # where a user leaves things outside his home
# Not the numbers that containers' users have (999 is PostgreSQL's): their processes are others'.
NUMBERS = range(40000, 60000)
SECONDS = 20  # for PostgreSQL to write its last checkpoint


def found(login: str) -> pwd.struct_passwd | None:
    """The system's entry; None where there is no such user."""
    with suppress(KeyError):
        return pwd.getpwnam(login)
    return None


def mark_of(made: Class) -> str:
    """What the system keeps with each user of this class (its GECOS field)."""
    return f"pgrepl class {made.id}"


def strangers(made: Class, people: Iterable[Person]) -> list[str]:
    """The logins that somebody has who is none of this class."""
    return [login for login in map(made.login, people) if found(login) and not ours(made, login)]


def ours(made: Class, login: str) -> pwd.struct_passwd | None:
    """The entry of a user whom we made for this class."""
    entry = found(login)
    if entry and entry.pw_gecos == mark_of(made) and entry.pw_uid in NUMBERS:
        return entry
    return None


def make(made: Class, person: Person) -> None:
    """The user, who cannot log in to the machine itself, and his home, which he alone may enter."""
    login, home = made.login(person), made.home(person)
    if not found(login):
        words = ("useradd", "--user-group", "--no-create-home", "--shell", "/bin/bash")
        number = ("--uid", str(_free_number()), "-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0")
        named = ("--comment", mark_of(made), "--home-dir", str(home), login)
        command.run(Command((*words, *number, *named)), cwd=ROOT)
    entry = require_ours(made, person)
    files.make_folder(home.parent, 0o711)
    files.make_folder(home, 0o700, (entry.pw_uid, entry.pw_gid))


def _free_number() -> int:
    """A number that no user, group or process of this machine has, its containers' among them."""
    taken = {u.pw_uid for u in pwd.getpwall()} | {g.gr_gid for g in grp.getgrall()}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            taken.add(process.uids().real)
    return next(number for number in NUMBERS if number not in taken)


def require_ours(made: Class, person: Person) -> pwd.struct_passwd:
    """The user, whom we made; raises `EnvironmentLacking` for somebody else."""
    login = made.login(person)
    if entry := ours(made, login):
        return entry
    raise EnvironmentLacking(
        t("The user {login} was not made for this class; nothing was touched.", login=login),
        remedy=t("take another name for the class or for this participant"),
    )


def end(login: str) -> None:
    """End all that a user runs: PostgreSQL as by its fast shutdown, the rest as it likes to be."""
    if not (entry := found(login)):
        return
    _ask_to_end(of_user(entry.pw_uid))

    def stopped() -> tuple[bool, str]:
        return not any(map(is_postmaster, of_user(entry.pw_uid))), "PostgreSQL"

    with suppress(WaitTimeout):  # what hangs is killed
        wait_until("PostgreSQL", stopped, seconds=SECONDS)

    def gone() -> tuple[bool, str]:
        left = of_user(entry.pw_uid)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return not left, t("processes {pids}", pids=", ".join(str(p.pid) for p in left))

    wait_until(t("the end of every process of {name}", name=login), gone, seconds=SECONDS)


def _ask_to_end(there: list[psutil.Process]) -> None:
    servers = list(filter(is_postmaster, there))
    for process in there:
        with suppress(psutil.NoSuchProcess):
            process.resume()
            if process in servers:
                process.send_signal(signal.SIGINT)  # the fast shutdown
            elif process.name() not in SERVER:
                process.terminate()


def of_user(uid: int) -> list[psutil.Process]:
    """The processes of a user that live."""
    return [p for p in psutil.process_iter() if _belongs(p, uid)]


def _belongs(process: psutil.Process, uid: int) -> bool:
    with suppress(psutil.Error):
        return process.uids().real == uid and process.status() != psutil.STATUS_ZOMBIE
    return False


def is_postmaster(process: psutil.Process) -> bool:
    """Whether it is a server's first process: its others are its children."""
    with suppress(psutil.Error):
        parent = process.parent()
        return process.name() in SERVER and not (parent and parent.name() in SERVER)
    return False


def remove(made: Class, person: Person) -> None:
    """End all that he runs, and remove the user and what is his outside his home."""
    login = made.login(person)
    if not (entry := ours(made, login)):
        return
    end(login)
    for place in filter(Path.exists, map(Path, SHARED)):
        for path in [p for p in place.iterdir() if _is_his(p, entry.pw_uid)]:
            files.remove(path)
    command.run(Command(("userdel", login)), cwd=ROOT)


def _is_his(path: Path, uid: int) -> bool:
    with suppress(OSError):
        return path.lstat().st_uid == uid
    return False
