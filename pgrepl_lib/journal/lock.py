"""One run at a time on a project, and one step at a time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..doors.files import make_folder, remove_parts, require_ours, write_atomic
from ..engine.processes import end_orphans
from ..errors import EnvironmentLacking, ProjectBusy, first_line
from ..words.text import Text, t
from .audit import RUN_FOLDER

# Seconds: who only asks whether a run goes on (`run_holder`) holds its lock for a moment.
LOOKED_AT = 0.5
KERNEL = "ipykernel_launcher"  # in the command of a notebook's kernel
KERNEL_ENDS = 30  # seconds: the kernel of a killed run may still be ending


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the project for a run, until we end or die; raises `ProjectBusy` with who holds it."""
    with _held(folder, "run", seconds=LOOKED_AT):
        yield


@contextmanager
def step_lock(folder: Path) -> Iterator[None]:
    """Hold the project for one step. Inside a run, its kernel already works under the run's lock.

    What a step that was killed has left is cleared away first: commands that go on, and files half
    written.
    """
    run = nullcontext() if os.environ.get(RUN_FOLDER) else run_lock(folder)
    with run, _held(folder, "step", seconds=KERNEL_ENDS) as died:
        if died:
            end_orphans(folder)
            remove_parts(folder)
        yield


@contextmanager
def _held(folder: Path, name: str, *, seconds: float) -> Iterator[bool]:
    """Hold a lock; answers whether who held it before has died in it."""
    require_ours(folder)
    make_folder(folder)
    holder = folder / f".{name}.holder.json"
    lock = FileLock(folder / f".{name}.lock", timeout=seconds)
    _acquire(lock, holder)
    try:
        died = holder.exists()
        who = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(sys.argv)[:200],
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": Path(os.environ.get(RUN_FOLDER, "")).name,
        }
        with suppress(EnvironmentLacking):  # on a full disk nobody is told who it is
            write_atomic(holder, json.dumps(who), durable=False)
        try:
            yield died
        finally:
            holder.unlink(missing_ok=True)
    finally:
        lock.release()


def _acquire(lock: FileLock, holder: Path) -> None:
    try:
        lock.acquire()
    except Timeout:
        raise _busy(holder) from None
    except OSError as error:  # a link there is not followed
        raise EnvironmentLacking(
            t("Cannot lock {file}: {why}.", file=lock.lock_file, why=first_line(error)),
            remedy=t("look what is there, remove it, and run again"),
        ) from None


def _busy(holder: Path) -> ProjectBusy:
    return ProjectBusy(
        t(
            "Project {project} is in use: another cell or command is at work on it.",
            project=holder.parent.name,
        ),
        looked_at=[_told(holder)],
        remedy=t("wait until it ends, or interrupt it there; then do this again"),
    )


def refuse_busy(folder: Path) -> None:
    """Raise `ProjectBusy` while somebody else is at work: what is missing may be on its way."""
    who = run_holder(folder)
    if who and who.get("pid") != os.getpid() and not os.environ.get(RUN_FOLDER):
        raise _busy(folder / ".run.holder.json")


def run_holder(folder: Path) -> dict[str, Any] | None:
    """Who holds the project for a run now; None where nobody does, whatever a killed one has left.

    Reads only, so that another user may ask, too.
    """
    holder = folder / ".run.holder.json"
    try:
        if not holder.exists():
            return None
        with (folder / ".run.lock").open("rb") as stream:
            # `FileLock` locks this file; closing it frees it.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except FileNotFoundError:
        return None
    except OSError:  # it is held, or may not be read: then whoever says to hold it is believed
        pass
    with suppress(OSError, ValueError, TypeError, RecursionError):
        return dict(json.loads(holder.read_text("utf-8", errors="replace")))
    return {}


def _told(holder: Path) -> Text:
    """Who holds a lock, for people."""
    with suppress(OSError, ValueError, TypeError, LookupError, RecursionError):
        who = json.loads(holder.read_text("utf-8"))
        known = {name: who[name] for name in ("pid", "host", "since", "command")}
        if KERNEL in known["command"]:
            return t("a notebook's kernel (process {pid} on {host}), since {since}", **known)
        return t("held by process {pid} on {host}, since {since}: `{command}`", **known)
    return t("held by an unknown process")  # it has just ended, or never said who it is
