"""Steps only planned: each says whether it is done, and what it would leave is seen ahead.

What cannot be asked, since a step before has not really happened, would change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field

import psycopg

from ..checks.checks import CHECKS
from ..checks.outcome import Check
from ..checks.preflight import findings
from ..doors import ahead
from ..engine.action import Action
from ..errors import PgreplError
from ..words.text import t
from .steps import AnySteps, Outcome

WOULD_CHANGE, UNCHANGED = "would change", "unchanged"
WOULD_BE_MADE, WOULD_STOP = "would be made", "would stop the run"
NOT_ASKED = (psycopg.Error, OSError, LookupError, PgreplError)  # no server, file or container


@dataclass(frozen=True)
class Planned:
    """One step or check of a chapter, or a finding that would stop the run there.

    outcome: "would change" or "unchanged" of a step, "would be made" of a check, "would stop the
    run" of a finding. note: what only the steps before it decide, or that it is meant to fail.
    """

    chapter: str
    cell: str
    kind: str
    title: str
    outcome: str
    commands: list[str] = field(default_factory=list)
    diff: str = ""
    note: str = ""


class Planning:
    """The hands that touch nothing: no lock, no journal, no folder; they say what they would do."""

    ready = True

    def __init__(self) -> None:
        self.planned: list[Planned] = []
        self.chapter = self.cell = ""
        self._refused = False

    def perform(self, cluster: AnySteps, title: str, action: Action) -> Outcome:
        cluster.refuse_unfinished()
        return self.do(cluster, title, action)

    def perform_all(
        self, cluster: AnySteps, steps: Sequence[tuple[str, Action]], at_once: int
    ) -> list[Outcome]:
        return [self.perform(cluster, title, action) for title, action in steps]

    def do(self, cluster: AnySteps, title: str, action: Action) -> Outcome:
        if _done(action):
            return self._plan("step", title, UNCHANGED, action.typed())
        note = action.undecided
        if cluster.fails_on_purpose:
            note = t("it is meant to fail")
        outcome = self._plan("step", title, WOULD_CHANGE, action.pending(), action.diff(), note)
        action.look_ahead()
        return outcome

    def agree(self, cluster: AnySteps, title: str, action: Action) -> None:
        pass

    def make_ready(self, cluster: AnySteps) -> None:
        pass

    def check(self, cluster: AnySteps, name: str) -> Check:
        title = CHECKS[name].said()
        self._plan("check", title, WOULD_BE_MADE)
        return Check(name, title, (), "")

    def preflight(self, cluster: AnySteps) -> None:
        for bad in (found for found in findings(cluster) if not found.ok):
            self._plan("preflight", f"{bad.said()}: {bad.seen}", WOULD_STOP)

    def versions(self, cluster: AnySteps) -> None:
        """Nothing is there yet that could tell them."""

    def refuse(self, cluster: AnySteps, refusal: Callable[[], None]) -> None:
        """Once, where the programs or the image are here to judge."""
        cluster.engine.look_only()
        if not self._refused and cluster.engine.fetch().done():
            refusal()
        self._refused = True

    def _plan(
        self,
        kind: str,
        title: str,
        outcome: str,
        commands: Sequence[object] = (),
        diff: str = "",
        note: str = "",
    ) -> Outcome:
        typed = [str(command) for command in commands]
        place = (self.chapter, self.cell, kind, title)
        self.planned.append(Planned(*place, outcome, typed, diff, note))
        return Outcome(outcome)


@contextmanager
def only_planned(cluster: AnySteps) -> Iterator[list[Planned]]:
    """In the block the cluster's steps are planned, and none is done; then it is as it was."""
    planning, before = Planning(), [(each, dict(vars(each))) for each in (cluster, cluster.engine)]
    cluster.hands, cluster.topology = planning, deepcopy(cluster.topology)
    try:
        with ahead.look_ahead():
            yield planning.planned
    finally:
        for each, its in before:
            vars(each).clear()
            vars(each).update(its)


def changes(planned: Sequence[Planned]) -> list[Planned]:
    """The steps among them that would change something."""
    return [each for each in planned if each.outcome == WOULD_CHANGE]


def _done(action: Action) -> bool:
    try:
        return action.done()
    except NOT_ASKED:
        return action.recorded()
