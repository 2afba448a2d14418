"""What a participant may use of the machine: by cgroup v2 for all that he runs, else per process.

Linux manual, cgroups(7), setrlimit(2); the kernel's admin-guide/cgroup-v2.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..doors import files

CGROUPS = Path("/sys/fs/cgroup")
OURS = "pgrepl"  # below it the class, below that the login
CONTROLLERS = "+memory +pids"
MEGABYTE = 1024**2


def for_all() -> bool:
    """Whether the limits hold for all that a participant runs together; else for each process."""
    known = (CGROUPS / "cgroup.controllers").exists()
    return known and os.access(CGROUPS / "cgroup.subtree_control", os.W_OK)


def group(login: str, memory: int, tasks: int) -> Path | None:
    """The participant's cgroup with its limits; None where the system gives us none.

    memory: megabytes; tasks: processes and threads.
    """
    parent = CGROUPS / OURS
    found = parent / login
    if not for_all():
        return None
    try:
        found.mkdir(parents=True, exist_ok=True)
        for folder in (CGROUPS, parent):
            files.set_value(folder / "cgroup.subtree_control", CONTROLLERS)
        files.set_value(found / "memory.max", str(memory * MEGABYTE))
        files.set_value(found / "pids.max", str(tasks))
    except OSError:
        return None
    return found


def forget(login: str) -> None:
    """Remove a participant's cgroup, once nothing runs in it."""
    with suppress(OSError):
        (CGROUPS / OURS / login).rmdir()


def entering(login: str, memory: int, tasks: int) -> Callable[[], None]:
    """What a process does, while it still is root's, so that the limits are its own.

    Each process also has the memory as its own limit of data: one that asks for more is told so,
    where otherwise the system would kill one of them.
    """
    found = group(login, memory, tasks)

    def enter() -> None:
        if found:
            files.set_value(found / "cgroup.procs", str(os.getpid()))
        resource.setrlimit(resource.RLIMIT_NPROC, (tasks, tasks))
        resource.setrlimit(resource.RLIMIT_DATA, (memory * MEGABYTE,) * 2)

    return enter
