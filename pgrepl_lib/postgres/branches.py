"""Timelines: on which branch of the cluster's history a replica is (manual, 26.3.5 Timelines).

Each promotion begins a timeline. A replica that went on along the old one, beyond the place where
the new one left it, has records that the cluster threw away, however far it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..words.text import t
from .control import lsn
from .timelines import forks

# What was received last may have no checkpoint yet, which the control file would know it from: its
# segments bear the timeline. The newest history file names all the places where it branched off.
QUERY = """
select greatest((select timeline_id from pg_control_checkpoint()),
                (select max(received_tli) from pg_stat_wal_receiver),
                (select max(('x' || left(name, 8))::bit(32)::int) from pg_ls_waldir()
                  where name ~ '^[0-9A-F]{24}$')) as timeline,
       (select pg_read_file('pg_wal/' || max(name)) from pg_ls_waldir()
         where name ~ '^[0-9A-F]{8}\\.history$') as history"""


@dataclass(frozen=True)
class Branch:
    """What a server knows of timelines.

    timeline: its own, 0 where it does not say. forks: each earlier timeline, and the position in
    bytes where the one after it begins.
    """

    timeline: int = 0
    forks: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, timeline: int, history: str | None) -> Branch:
        """From the row of `QUERY`."""
        return cls(timeline, forks(history or ""))


def left(one: Branch, replayed: int, known: Iterable[Branch]) -> str:
    """Why this branch was left, for a person; empty where nobody knows that it was.

    replayed: the end of the last record that the server on it has replayed. known: what the servers
    of the cluster know, itself too: it hears of a new timeline although it cannot go there.
    """
    places = [b.forks[one.timeline] for b in known if one.timeline in b.forks]
    behind = [place for place in places if place < replayed]
    if not behind:
        return ""
    return t(
        "on a branch that was left: timeline {timeline} was left at {left}, it is at {replayed}",
        timeline=one.timeline,
        left=lsn(min(behind)),
        replayed=lsn(replayed),
    )
