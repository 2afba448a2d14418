"""What a run would change, step by step, with nothing touched: the chapters' own cells.

Each step says by itself whether it is done. What the steps before it would leave is seen ahead
(`doors/ahead.py`). What cannot be asked, since a step before has not really happened, would change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from ..checks.checks import CHECKS
from ..checks.outcome import Check
from ..checks.preflight import findings
from ..doors import ahead
from ..doors.resources import NOTEBOOKS
from ..engine.action import Action
from ..errors import PgreplError
from ..params import Params
from ..steps.cluster import HANDS
from ..steps.steps import AnySteps, Outcome

WOULD_CHANGE, UNCHANGED = "would change", "unchanged"
WOULD_BE_MADE, WOULD_STOP = "would be made", "would stop the run"
NOT_ASKED = (psycopg.Error, OSError, LookupError, PgreplError)  # no server, file or container


@dataclass(frozen=True)
class Planned:
    """One step or check of a chapter, or a finding that would stop the run there.

    outcome: "would change" or "unchanged" of a step, "would be made" of a check, "would stop the
    run" of a finding.
    """

    chapter: str
    cell: str
    kind: str
    title: str
    outcome: str
    commands: list[str] = field(default_factory=list)
    diff: str = ""


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
        outcome = self._plan("step", title, WOULD_CHANGE, action.pending(), action.diff())
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
        self, kind: str, title: str, outcome: str, commands: Sequence[object] = (), diff: str = ""
    ) -> Outcome:
        typed = [str(command) for command in commands]
        self.planned.append(Planned(self.chapter, self.cell, kind, title, outcome, typed, diff))
        return Outcome(outcome)


def plan(values: Mapping[str, Any], chapters: Sequence[str]) -> list[Planned]:
    """What a run of these chapters would do now, in order.

    values: the parameters as given. Raises what `open_cluster` does for parameters that a run would
    refuse, and `StepFailed` while a change of roles has not ended.
    """
    params, planning = Params.parse(values), Planning()
    given = {**params.plain(), "workdir": str(params.workdir)}

    def hands() -> Planning:
        return planning

    token = HANDS.set(hands)
    try:
        with ahead.look_ahead():
            for chapter in chapters:
                _execute(chapter, given, planning)
    finally:
        HANDS.reset(token)
    return planning.planned


@contextmanager
def only_planned(cluster: AnySteps) -> Iterator[list[Planned]]:
    """In the block the cluster's steps are planned, and none is done."""
    planning, hands = Planning(), cluster.hands
    cluster.hands = planning
    try:
        with ahead.look_ahead():
            yield planning.planned
    finally:
        cluster.hands = hands


def _execute(chapter: str, given: Mapping[str, Any], planning: Planning) -> None:
    """The code cells of a chapter; the parameters follow the cell that is tagged so."""
    namespace: dict[str, Any] = {}
    planning.chapter = chapter
    for cell in json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text("utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        planning.cell = cell["id"]
        exec(compile("".join(cell["source"]), f"{chapter}, {planning.cell}", "exec"), namespace)
        if "parameters" in cell["metadata"].get("tags", ()):
            namespace |= given


def _done(action: Action) -> bool:
    try:
        return action.done()
    except NOT_ASKED:
        return action.recorded()
