"""Whether an instance lives: one answer, whichever tool was asked for it."""

from __future__ import annotations

from enum import StrEnum

from ..words.text import Text, mark, t


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
