"""What an engine can do, as data, and the names that engines and their users share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..doors.command import Command

PRIMARY, REPLICA = "primary", "replica"
TEMPORARY_PRIMARY, TEMPORARY_REPLICA = "pg_temp", "repl_temp"  # the document's names
SIGNAL = "standby.signal"  # with this file a server starts in recovery (manual, 27.2.4)
CONFIGURATION = ("postgresql.conf", "pg_hba.conf")
PASSFILE = "replication.pgpass"  # the replication user's password as libpq reads it (manual, 34.16)
SILENCE = 3600.0  # seconds: a copy is flushed to the disk without a word, however large it is
Tell = Callable[[str], None]


def temporary_of(name: str) -> str:
    """The temporary instance for a replica's base backup, named as in the document."""
    return (
        TEMPORARY_REPLICA
        if name == REPLICA
        else f"{TEMPORARY_REPLICA}_{name.removeprefix(f'{REPLICA}-')}"
    )


@dataclass(frozen=True)
class Action:
    """One thing that an engine can do: what a person would type, how it is done, and whether it already is.

    do: performs it, telling progress; done: True when there is nothing left to do. anew: what a person would type for it on
    a cluster that is built from nothing, where the commands also take somebody's changes back; None: the commands.
    """

    commands: tuple[Command | str, ...]
    do: Callable[[Tell], object]
    done: Callable[[], bool] = lambda: False
    anew: tuple[Command | str, ...] | None = None

    @classmethod
    def sequence(cls, actions: Sequence[Action], done: Callable[[], bool] | None = None) -> Action:
        """Actions in a row as one, each left out where it is done already."""

        def do(tell: Tell) -> None:
            for each in actions:
                if not each.done():
                    each.do(tell)

        return cls(
            tuple(c for a in actions for c in a.commands),
            do,
            done or (lambda: all(a.done() for a in actions)),
        )


NOTHING = Action.sequence([])  # nothing to do, and so done already
