"""Timelines: which one a position lies on, and where two histories of one cluster part.

(PostgreSQL manual, 26.3.5 Timelines; a history file has a line for each earlier timeline: its
number, the position where it was left, and why.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..words.text import t
from .recovery import position

OPEN_END = 2**64  # of the timeline that is written now
LINE = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)


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
