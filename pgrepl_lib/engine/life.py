"""Whether an instance lives, whichever tool was asked for it, and the wait for its end."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from ..doors.wait import wait_until
from ..words.text import Text, mark, t

KILL_SECONDS = 20.0
STOP_SECONDS = 90.0  # longer than a server waits for a replica that hangs (wal_sender_timeout)
MOST = 6  # processes that an error names
WORKERS = ("checkpointer", "archiver", "walsender")


class Life(StrEnum):
    """What an instance's processes are at.

    That it does not run is no proof that it has ended: what is paused goes on where it was, in the
    middle of a commit too.
    """

    ABSENT = mark("absent")  # neither a process nor a container, nor a data folder
    STOPPED = mark("stopped")
    RUNNING = mark("running")
    PAUSED = mark("paused")  # a frozen container, a postmaster that got SIGSTOP
    RESTARTING = mark("restarting")  # somebody's restart policy starts it again by itself
    ORPHANED = mark("without its postmaster")  # somebody killed it; other processes go on

    @property
    def told(self) -> Text:
        """As a person reads it."""
        return t(self.value)

    @property
    def ended(self) -> bool:
        """Whether nothing of it confirms a commit any more, unless somebody starts it again."""
        return self in (Life.ABSENT, Life.STOPPED)


# The words of Docker's interface for a container. Any other is taken for one that lives.
CONTAINERS = {
    "created": Life.STOPPED,
    "exited": Life.STOPPED,
    "dead": Life.STOPPED,
    "removing": Life.STOPPED,
    "paused": Life.PAUSED,
    "restarting": Life.RESTARTING,
}


def of_container(status: str) -> Life:
    """What a container's status says of the server in it, which is its first process."""
    return CONTAINERS.get(status, Life.RUNNING)


def wait_stopped(
    name: str,
    life: Callable[[str], Life],
    activity: Callable[[str], str],
    log_tail: Callable[[str], str],
) -> None:
    """Wait for the end of a server that was told to stop; raises `WaitTimeout` where nothing moves.

    It is not killed: what it still writes would be lost to its replicas. life, activity, log_tail:
    the engine's.
    """

    def probe() -> tuple[bool, str]:
        return life(name).ended, t("shutting down")

    def progress() -> str:
        return "\n".join(_at_work(activity(name)))

    def log() -> str:
        return "\n".join([log_tail(name), t("still there:"), _last(activity(name))])

    hint = t("it accepts nobody any more; its log says what it waits for; run again")
    what = t("the end of {name}", name=name)
    wait_until(what, probe, seconds=STOP_SECONDS, progress=progress, log=log, hint=hint)


def _last(activity: str) -> str:
    """What of a server's processes is told: a few, and those first that others wait for."""
    working = _at_work(activity)
    others = [line for line in activity.splitlines() if line not in working]
    return "\n".join(" ".join(line.split())[:160] for line in [*working, *others][:MOST])


def _at_work(activity: str) -> list[str]:
    """What the processes are at that an end waits for.

    Others show no progress: clients and replicas that try to connect again come and go.
    """
    return [line for line in activity.splitlines() if any(w in line for w in WORKERS)]
