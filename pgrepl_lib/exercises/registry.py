"""The exercises by name: a task, and how its beginning, its check and its solution are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..steps.cluster import Cluster

Known = Mapping[str, Any]  # what the beginning left to know, and under "answer" what was answered


@dataclass(frozen=True)
class Found:
    """One thing that a check looked at.

    name: its id. claim: what shall hold. seen: what does instead. look: where to look for why.
    """

    name: str
    claim: str
    holds: bool
    seen: str = ""
    look: str = ""


class Task(Protocol):
    """What an exercise does. It never looks at a participant's cell."""

    def start(self, cluster: Cluster) -> Known:
        """Make its beginning of a healthy cluster; returns what the check has to know of it."""

    def check(self, cluster: Cluster, known: Known) -> Iterable[Found]:
        """What holds and what does not; whatever answers the servers give, it changes nothing."""

    def solve(self, cluster: Cluster, known: Known) -> str:
        """Steps that solve it from wherever it is now; returns the answer, where one is asked."""


@dataclass(frozen=True)
class Exercise:
    """An exercise and its words, English as they stand in the catalogues.

    chapter: such as "04". number: its place in it, from 1. hints: each tells more than the one
    before. asks: the form of the answer, where one is asked. broken: whether it begins with a fault
    made on purpose.
    """

    name: str
    chapter: str
    number: int
    title: str
    task: str
    why: str
    hints: Sequence[str]
    does: Task
    asks: str = ""
    broken: bool = False

    @property
    def place(self) -> str:
        """Chapter and number, such as "04.1"."""
        return f"{self.chapter}.{self.number}"


EXERCISES: dict[str, Exercise] = {}
Kind = TypeVar("Kind", bound=Task)


def exercise(name: str, chapter: str, **words: Any) -> Callable[[type[Kind]], type[Kind]]:
    """Register a class that does what an exercise does; the words are those of `Exercise`."""

    def register(kind: type[Kind]) -> type[Kind]:
        number = 1 + sum(each.chapter == chapter for each in EXERCISES.values())
        EXERCISES[name] = Exercise(name, chapter, number, does=kind(), **words)
        return kind

    return register
