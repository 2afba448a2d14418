"""Timelines: on which a position lies, where two histories of a cluster part, which was left.

Each promotion begins a timeline. A replica that went on along the old one, beyond the place where
the new one left it, has records that the cluster threw away, however far it is. (PostgreSQL manual,
26.3.5 Timelines; a history file has a line for each earlier timeline: its number, the position
where it was left, and why.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..words.text import t
from .control import lsn
from .recovery import position

OPEN_END = 2**64  # of the timeline that is written now
LINE = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)

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
class Piece:
    """A timeline up to the position, in bytes, where it was left."""

    timeline: int
    end: int


def forks(history: str) -> dict[int, int]:
    """Each earlier timeline and where it was left, in bytes; history: a file's text."""
    return {int(timeline): position(where) for timeline, where in LINE.findall(history)}


def lineage(history: str, current: int) -> list[Piece]:
    """What leads to the timeline `current`, the oldest first; history: its history file's text."""
    earlier = forks(history)
    return [*map(Piece, earlier, earlier.values()), Piece(current, OPEN_END)]


def fork(mine: list[Piece], theirs: list[Piece]) -> int:
    """Up to where two lineages are the same; `OPEN_END` where they never part.

    Raises `ValueError` for lineages that have nothing in common.
    """
    common = 0
    for one, other in zip(mine, theirs, strict=False):
        if one.timeline != other.timeline:
            break
        common = min(one.end, other.end)
        if one.end != other.end:
            break
    if not common:
        raise ValueError(t("the timelines have no common beginning"))
    return common


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
