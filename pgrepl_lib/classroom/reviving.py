"""What ran when the class or its machine was stopped is started again, as it was, and nothing else.

`pgrepl class start` calls it for each participant, in a process of its own that becomes his:
`python -m pgrepl_lib.classroom.reviving become CLASS PERSON`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from ..doors import command
from ..doors.command import Command
from ..errors import PgreplError, first_line
from ..words.text import t
from . import limits, roster, users
from .roster import Class, Person

SECONDS = 300  # for one participant
PYTHON = (sys.executable, "-P", "-m", "pgrepl_lib.classroom.reviving")
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")  # of our own variables


def running(made: Class, person: Person) -> list[str]:
    """The names of the instances of his cluster that run."""
    entry = users.ours(made, made.login(person))
    there = users.of_user(entry.pw_uid) if entry else []
    data = made.projects[person.name] / "data"
    found = map(_folder, filter(users.is_postmaster, there))
    return sorted(folder.name for folder in found if folder.parent == data)


def _folder(server: psutil.Process) -> Path:
    """Where its data are; nowhere once it has ended."""
    with suppress(psutil.Error):
        return Path(server.cwd())
    return Path()


def wanted(made: Class, person: Person) -> list[str]:
    """Those to start: what ran when the class was stopped, and what died without being stopped."""
    died = made.projects[person.name].glob("data/*/postmaster.pid")
    names = {*person.ran, *(pidfile.parent.name for pidfile in died)}
    return sorted(names - {*running(made, person)})


def revive(made: Class, tell: Callable[[str], None]) -> None:
    """All participants' servers; whoever's do not start finds them as they are, and is told of."""
    people = [p for p in made.people.values() if wanted(made, p)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for person, why in zip(people, pool.map(partial(_revived, made), people), strict=True):
            tell(why or t("{login}: the servers run again", login=made.login(person)))
            person.ran = []
    made.write()


def _becoming(made: Class, person: Person) -> Command:
    return Command((*PYTHON, "become", made.name, person.name))


def _revived(made: Class, person: Person) -> str:
    """Why not, in a line; empty where they run."""
    try:
        command.run(_becoming(made, person), cwd=Path("/"), seconds=SECONDS)
    except PgreplError as error:
        return t("{login}: {why}", login=made.login(person), why=first_line(error))
    return ""


def become(name: str, person: str) -> None:
    """This process is the participant's from now on, within his limits and at home.

    It begins anew, so that nothing of what root knew is left in it.
    """
    made = roster.existing(name)
    who = made.require(person)
    names, entry = wanted(made, who), users.require_ours(made, who)
    limits.entering(entry.pw_name, made.memory, made.tasks)()
    os.initgroups(entry.pw_name, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.chdir(entry.pw_dir)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    own = {"HOME": entry.pw_dir, "USER": entry.pw_name}
    command.become((*PYTHON, "start", str(made.projects[person]), *names), kept | own)


def start(project: str, *names: str) -> None:
    """Start servers of one's own; a former primary that is fenced stays what it is."""
    from ..cluster import state
    from ..drills import drills
    from ..steps.cluster import open_cluster

    folder = Path(project)
    if not (found := state.read(folder)):
        return
    cluster = open_cluster("cli", **{**found["params"], "workdir": str(folder.parent)})
    for each in cluster.topology.primary_first:
        if each in names and each not in cluster.topology.fenced:
            drills.start(cluster, each)


VERBS: dict[str, Callable[..., None]] = {"become": become, "start": start}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
