"""How far each participant is, and who is stuck, as one journal or many of them tell it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Any

from ..exercises import progress
from ..exercises.chapters.all import ALL
from ..exercises.progress import Attempt
from ..journal import records, timeline
from ..journal.audit import Journal, said
from ..words import language
from ..words.text import mark, t

LAST = 8  # steps and checks that are shown of each
USUAL = 8.0  # minutes for an exercise that nobody has done yet
MOST = 0.75  # of the room are done by the predicted end
FAILED = ("failed", "interrupted")
TRYING, STUCK = mark("trying"), mark("stuck")
RIGHT, SOLVED, NEW = mark("right"), mark("solved"), mark("new")
EVENTS = {  # of an exercise, besides its checks
    "started": mark("begun"),
    "reset": mark("begun anew"),
    "hint": mark("hint"),
    "answered": mark("answered"),
    "solved": mark("solution shown"),
}


@dataclass(frozen=True)
class Cell:
    """One exercise of one participant.

    state: new, trying, stuck, right, or solved (the solution was shown). minutes: what it took, or
    what it has taken so far; None before it begins.
    """

    exercise: str
    state: str
    minutes: float | None = None
    hints: int = 0
    checks: int = 0


@dataclass(frozen=True)
class Row:
    """A participant. error: the last one, in a line. steps: the last ones, the newest first."""

    name: str
    cells: Sequence[Cell]
    chapter: str = ""
    seen: datetime | None = None
    error: str = ""
    steps: Sequence[str] = ()

    @property
    def stuck(self) -> bool:
        """Whether an exercise has taken longer than was asked for."""
        return any(cell.state == STUCK for cell in self.cells)

    def plain(self) -> dict[str, Any]:
        """For programs."""
        cells = {cell.exercise: {**vars(cell)} for cell in self.cells}
        seen = self.seen.isoformat() if self.seen else None
        return {**vars(self), "cells": cells, "seen": seen, "steps": list(self.steps)}


def look(folders: Mapping[str, Path], stuck: float, now: datetime | None = None) -> list[Row]:
    """All participants, by name, with the folders of their projects.

    stuck: minutes after which an exercise that is not right counts as such. A folder without a
    journal is that of somebody who has not begun.
    """
    moment = now or datetime.now(UTC)
    return [_row(name, _told(folder), stuck, moment) for name, folder in folders.items()]


@dataclass(frozen=True)
class _Told:
    """What one journal tells, whenever it is asked."""

    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    chapter: str = ""
    seen: datetime | None = None
    error: str = ""
    steps: Sequence[str] = ()


def _row(name: str, told: _Told, stuck: float, now: datetime) -> Row:
    cells = [_cell(each, told.attempts.get(each, Attempt()), stuck, now) for each in ALL]
    return Row(name, cells, told.chapter, told.seen, told.error, told.steps)


def _told(folder: Path) -> _Told:
    """Nothing where no file is the journal: a pipe would keep us waiting."""
    try:
        file = Journal.of_project(folder).path.stat()
    except OSError:
        return _Told()
    if not S_ISREG(file.st_mode):
        return _Told()
    return _read(folder, (file.st_ino, file.st_mtime_ns, file.st_size, language.spoken()))


@lru_cache(1024)
def _read(folder: Path, _: tuple[object, ...]) -> _Told:
    """The journal of a version: who looks again and again reads only those that went on."""
    entries = _entries(folder)
    chapters = [e["chapter"] for e in entries if str(e.get("chapter", ""))[:1].isdigit()]
    times = [found for e in entries if (found := timeline.moment(e.get("time")))]
    lines = [line for e in entries if (line := _line(e))]
    errors = [_line(e) for e in entries if _failed(e)]
    return _Told(
        progress.attempts(folder),
        next(reversed(chapters), ""),
        max(times, default=None),
        next(reversed(errors), ""),
        lines[: -LAST - 1 : -1],
    )


def _cell(name: str, attempt: Attempt, stuck: float, now: datetime) -> Cell:
    taken, state = attempt.minutes, NEW
    begun = timeline.moment(attempt.began)
    if attempt.solved:
        state = SOLVED
    elif attempt.right:
        state = RIGHT
    elif begun:
        taken = round((now - begun) / timedelta(minutes=1), 1)
        state = TRYING
        if taken > stuck and not attempt.over:  # who does another one now is not stuck with this
            state = STUCK
    return Cell(name, state, taken, attempt.hints, attempt.checks)


def _entries(folder: Path) -> list[dict[str, Any]]:
    """What the project's journal tells, as far as it can be read."""
    return records.read(Journal.of_project(folder))[0]


def _line(entry: Mapping[str, Any]) -> str:
    """A step, a check or what became of an exercise, in one line."""
    match entry["kind"]:
        case "step":
            return ": ".join([said(entry, "title"), t(str(entry.get("outcome", "")))])
        case "check":
            return ": ".join([said(entry, "title"), t(records.check_verdict(entry))])
        case progress.KIND:
            return _of_exercise(entry)
    return ""


def _of_exercise(entry: Mapping[str, Any]) -> str:
    event = EVENTS.get(str(entry.get("event")), "")
    if entry.get("event") == "checked":
        event = RIGHT if entry.get("passed") is True else mark("not yet")
    exercise = ALL.get(str(entry.get("name")))
    if not (exercise and event):
        return ""
    return ": ".join([t(exercise.title), t(event)])


def _failed(entry: Mapping[str, Any]) -> bool:
    if entry["kind"] == "check":
        return records.check_verdict(entry) == "failed"
    return entry["kind"] == "step" and entry.get("outcome") in FAILED


def end_of(chapter: str, rows: Iterable[Row], now: datetime | None = None) -> datetime | None:
    """When most of the room will have done the exercises of a chapter (such as "06").

    An exercise is expected to take whoever has it before him as long as it took the others, in the
    median. None where nobody has anything left to do.
    """
    room = list(rows)
    names = [name for name, exercise in ALL.items() if exercise.chapter == chapter]
    usual = {name: _median(name, room) for name in names}
    left = sorted(sum(_left(c, usual[c.exercise]) for c in _those(r, names)) for r in room)
    if not left or not left[-1]:
        return None
    minutes = left[min(len(left) - 1, int(len(left) * MOST))]
    return (now or datetime.now(UTC)) + timedelta(minutes=minutes)


def _those(row: Row, names: Sequence[str]) -> list[Cell]:
    return [cell for cell in row.cells if cell.exercise in names]


def _median(name: str, room: Iterable[Row]) -> float:
    cells = (cell for row in room for cell in row.cells)
    taken = [c.minutes for c in cells if c.exercise == name and c.state == RIGHT and c.minutes]
    return statistics.median(taken) if taken else USUAL


def _left(cell: Cell, usual: float) -> float:
    """Minutes; who is longer at it than others were is expected to need half of that again."""
    if cell.state in (RIGHT, SOLVED):
        return 0.0
    if cell.minutes is None:
        return usual
    return max(usual - cell.minutes, usual / 2)


def chapter_of(rows: Iterable[Row]) -> str:
    """The chapter, such as "06", whose exercises most are at; empty before anybody has begun."""
    begun = [
        ALL[cell.exercise].chapter
        for row in rows
        for cell in row.cells
        if cell.state in (TRYING, STUCK)
    ]
    return statistics.mode(begun) if begun else ""
