"""What the project's journal tells of exercises: begun, checked, hints, answers, solved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..doors.files import complete_lines
from ..journal import audit, pieces, records
from ..steps.cluster import Cluster
from ..words.text import mark

KIND = "exercise"
BEGINNINGS, ENDED = ("started", "reset"), "ended"


@dataclass
class Attempt:
    """How far a participant is with one exercise since its last beginning.

    cluster: the id of the cluster that it was begun on. known: what its check has to know. hints:
    how many were taken. solved: whether the solution was asked for. right: whether a check said so
    last. ever: whether one has ever said so. minutes: from the beginning to the first right check.
    over: whether the cluster was brought elsewhere since: to another exercise, or to their end.
    """

    cluster: str = ""
    began: str = ""
    known: dict[str, Any] = field(default_factory=dict)
    checks: int = 0
    hints: int = 0
    solved: bool = False
    right: bool = False
    ever: bool = False
    minutes: float | None = None
    over: bool = False

    @property
    def status(self) -> str:
        """new, begun, solved (the solution was shown) or right."""
        found = mark("new")
        if self.began:
            found = mark("begun")
        if self.right:
            found = mark("right")
        if self.solved:
            found = mark("solved")
        return found

    def plain(self) -> dict[str, Any]:
        """For programs."""
        counts = {"checks": self.checks, "hints": self.hints, "minutes": self.minutes}
        return {"status": self.status, "ever_right": self.ever, **counts}


def note(cluster: Cluster, name: str, event: str, **facts: Any) -> None:
    """Record what became of an exercise."""
    journal = audit.Journal.of_project(cluster.folder)
    place = {"cluster": cluster.engine.id, "chapter": cluster.chapter}
    journal.record(KIND, name=name, event=event, **place, **facts)


def attempts(folder: Path) -> dict[str, Attempt]:
    """The last attempt at each exercise that a project's journal tells of."""
    found: dict[str, Attempt] = {}
    for entry in _entries(folder):
        name, event = str(entry.get("name")), entry.get("event")
        before = found.get(name, Attempt())
        if event in (*BEGINNINGS, ENDED):
            for each in found.values():
                each.over = True
        if event in BEGINNINGS:
            found.pop(name, None)  # the last one that was begun stands last
            found[name] = _begun(entry, before)
        elif name in found:
            _follow(before, entry)
    return found


def _begun(entry: dict[str, Any], before: Attempt) -> Attempt:
    known = dict(entry.get("facts") or {})
    return Attempt(str(entry.get("cluster")), str(entry.get("time")), known, ever=before.ever)


def _follow(attempt: Attempt, entry: dict[str, Any]) -> None:
    match entry.get("event"):
        case "checked":
            attempt.checks += 1
            attempt.right = bool(entry.get("passed"))
            if attempt.right and attempt.minutes is None:
                attempt.ever, attempt.minutes = True, _minutes(attempt.began, entry.get("time"))
        case "hint":
            attempt.hints += 1
        case "answered":
            attempt.known["answer"] = str(entry.get("answer"))
        case "solved":
            attempt.solved, attempt.known = True, dict(entry.get("facts") or {})


def _minutes(began: str, ended: Any) -> float | None:
    try:
        taken = datetime.fromisoformat(str(ended)) - datetime.fromisoformat(began)
    except (ValueError, TypeError):
        return None
    return round(taken.total_seconds() / 60, 1)


def _entries(folder: Path) -> Iterator[dict[str, Any]]:
    """Few lines are worth a parser: most are of steps and checks."""
    for _, _, piece in pieces.in_order(audit.Journal.of_project(folder).path):
        for line in complete_lines(piece):
            if b'"exercise"' in line and (entry := records.usable(line)) and entry["kind"] == KIND:
                yield entry
