"""The end of a server: as long as its last checkpoint and its last WAL take."""

from __future__ import annotations

from typing import Protocol

from ..doors.wait import wait_until
from ..words.text import t
from .life import Life

KILL_SECONDS = 20.0
STOP_SECONDS = 90.0  # longer than a server waits for a replica that hangs (wal_sender_timeout)

MOST = 6  # processes that an error names
WORKERS = ("checkpointer", "archiver", "walsender")


class Ending(Protocol):
    """What is asked of an engine about an instance that is to end."""

    def life(self, name: str) -> Life:
        """As `Engine.life`."""

    def activity(self, name: str) -> str:
        """As `Engine.activity`."""

    def log_tail(self, name: str) -> str:
        """As `Engine.log_tail`."""


def wait_stopped(engine: Ending, name: str) -> None:
    """Wait for the end of a server that was told to stop; raises `WaitTimeout` where nothing moves.

    It is not killed: what it still writes would be lost to its replicas.
    """

    def probe() -> tuple[bool, str]:
        return engine.life(name).ended, t("shutting down")

    def activity() -> str:
        return "\n".join(_at_work(engine.activity(name)))

    def log() -> str:
        return "\n".join([engine.log_tail(name), t("still there:"), _last(engine.activity(name))])

    hint = t("it accepts nobody any more; its log says what it waits for; run again")
    what = t("the end of {name}", name=name)
    wait_until(what, probe, seconds=STOP_SECONDS, progress=activity, log=log, hint=hint)


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
