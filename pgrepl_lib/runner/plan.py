"""What a run would change, step by step, with nothing touched: the chapters' own cells, with a cluster that only looks.

Each step says by itself whether it is done. Where the steps before it decide that, what they would leave is remembered:
texts and modes of files, temporary instances, whose files would be edited. What cannot be asked, since a step before has
not really happened, would change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from ..checks.checks import CHECKS
from ..checks.outcome import Check
from ..checks.preflight import findings
from ..doors import files
from ..doors.resources import NOTEBOOKS
from ..drift import recorded
from ..engine.action import TEMPORARY_PRIMARY, Action, temporary_of
from ..engine.edit import Edit
from ..errors import EnvironmentLacking, PgreplError, StepFailed
from ..params import Params
from ..steps.cluster import MAKE, Cluster
from ..steps.instance import Instance
from ..steps.steps import Outcome

if TYPE_CHECKING:
    import pandas

WOULD_CHANGE, UNCHANGED, WOULD_BE_MADE, WOULD_STOP = (
    "would change",
    "unchanged",
    "would be made",
    "would stop the run",
)


@dataclass(frozen=True)
class Planned:
    """One step or check of a chapter, or a finding that would stop the run there.

    outcome: "would change" or "unchanged" of a step, "would be made" of a check, "would stop the run" of a finding.
    """

    chapter: str
    cell: str
    kind: str
    title: str
    outcome: str
    commands: list[str] = field(default_factory=list)
    diff: str = ""


@dataclass
class Ahead:
    """What is planned so far, and what those steps would leave."""

    planned: list[Planned] = field(default_factory=list)
    chapter: str = ""
    cell: str = ""
    modes: dict[Path, int] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    edited: set[str] = field(default_factory=set)
    asked: bool = False

    def add(
        self, kind: str, title: str, outcome: str, commands: Sequence[object] = (), diff: str = ""
    ) -> None:
        """Plan one more thing at this place."""
        self.planned.append(
            Planned(self.chapter, self.cell, kind, title, outcome, [str(c) for c in commands], diff)
        )

    def leave(self, edits: Sequence[Edit]) -> None:
        """Files would be so, and their servers would have to read them."""
        for edit in edits:
            edit.foresee()
            self.edited.add(edit.path.parent.name)


class LookingInstance(Instance):
    """An instance as the steps before would leave it."""

    cluster: LookingCluster

    def mode_of(self, file: str) -> int:
        found = self.cluster.ahead.modes.get(self._path(file))
        return super().mode_of(file) if found is None else found

    def answers(self) -> tuple[bool, str]:
        try:
            return super().answers()
        except (EnvironmentLacking, OSError, LookupError) as error:
            # There is neither a password nor a port yet
            return False, str(error)

    def query(self, statement: str) -> pandas.DataFrame:
        import pandas

        return pandas.DataFrame()

    def copy_configuration(self, file: str, title: str = "") -> str:
        outcome = super().copy_configuration(file, title)
        if outcome == WOULD_CHANGE:
            files.foresee(self._path(file), "")
            self.cluster.ahead.modes[self._path(file)] = 0o600
            self.cluster.ahead.edited.add(self.name)
        return outcome

    def start_temporary(self, title: str = "") -> str:
        outcome = super().start_temporary(title)
        if outcome == WOULD_CHANGE:
            self.cluster.ahead.started.add(temporary_of(self.name))
        return outcome

    def start_action(self) -> Action:
        try:
            return _undone(super().start_action(), self.name in self.cluster.ahead.edited)
        except StepFailed:  # the steps before would make its data
            return Action(self.start_commands(), _nothing)

    def create_replication_user(self, title: str = "") -> str:
        with self.cluster.taken_as_recorded(self, lambda record: record.state["replication_user"]):
            return super().create_replication_user(title)

    def create_slot(self, slot: str, title: str = "") -> str:
        with self.cluster.taken_as_recorded(
            self, lambda r: slot in (r.state["instances"][self.name]["slots"] or {})
        ):
            return super().create_slot(slot, title)

    def _end_temporary_action(self) -> Action:
        return _undone(
            super()._end_temporary_action(), temporary_of(self.name) in self.cluster.ahead.started
        )

    def _path(self, file: str) -> Path:
        return self.cluster.folder / self.name / file


class LookingCluster(Cluster):
    """A cluster whose steps are planned and not performed; no lock, no journal, no folder."""

    looks_only = True
    instance_kind = LookingInstance
    ahead: Ahead
    _recorded_as_done = False

    def perform(self, title: str, action: Action, *, agreed: bool = False) -> Outcome:
        self.refuse_unfinished()
        if self._done(action):
            self.ahead.add("step", title, UNCHANGED, action.typed())
            return Outcome(UNCHANGED)
        self.ahead.add("step", title, WOULD_CHANGE, action.pending(), action.diff())
        self.ahead.leave(action.edits)
        return Outcome(WOULD_CHANGE)

    def perform_all(self, steps: Sequence[tuple[str, Action]], *, at_once: int) -> list[Outcome]:
        return [self.perform(title, action) for title, action in steps]

    def restore(self, title: str = "") -> str:
        for path, _, mode in recorded.astray(self):
            self.ahead.modes[path] = mode
        return super().restore(title)

    def start_temporary(self, title: str = "") -> str:
        outcome = super().start_temporary(title)
        if outcome == WOULD_CHANGE:
            self.ahead.started.add(TEMPORARY_PRIMARY)
        return outcome

    def remove_temporary(self, title: str = "") -> str:
        action = self.engine.remove_temporary(TEMPORARY_PRIMARY)
        return self.perform(title, _undone(action, TEMPORARY_PRIMARY in self.ahead.started))

    def preflight(self) -> None:
        found = findings(self)
        for bad in (f for f in found if not f.ok):
            self.ahead.add("preflight", f"{bad.said()}: {bad.seen}", WOULD_STOP)

    def versions(self) -> None:
        """Nothing is there yet that could tell them."""

    def check(self, name: str) -> Check:
        title = CHECKS[name].said()
        self.ahead.add("check", title, WOULD_BE_MADE)
        return Check(name, title, (), "")

    def require_primary(self) -> None:
        """The steps before would have started it."""

    def refuse_settings(self, made: Mapping[str, Any]) -> None:
        """As for a run, once, where the programs or the image are here to judge them."""
        if not self.ahead.asked and self.engine.fetch().done():
            super().refuse_settings(made)
        self.ahead.asked = True

    @contextmanager
    def working(self) -> Iterator[None]:
        yield

    @contextmanager
    def taken_as_recorded(
        self, instance: Instance, is_done: Callable[[recorded.Record], object]
    ) -> Iterator[None]:
        """What a stopped server with data cannot be asked for is taken to be as recorded."""
        record = None if instance.answers()[0] or not instance.prepared() else recorded.read(self)
        self._recorded_as_done = bool(
            record and instance.name in record.state["instances"] and is_done(record)
        )
        try:
            yield
        finally:
            self._recorded_as_done = False

    def _done(self, action: Action) -> bool:
        try:
            return action.done()
        except (
            psycopg.Error,
            OSError,
            LookupError,
            AttributeError,
            PgreplError,
        ):  # no server, file or container to ask
            return self._recorded_as_done

    def _prepare_once(self) -> None:
        self.engine.look_only()


def plan(values: Mapping[str, Any], chapters: Sequence[str]) -> list[Planned]:
    """What a run of these chapters would do now, in order.

    values: the parameters as given. Raises what `open_cluster` does for parameters that a run would refuse, and
    `StepFailed` while a change of roles has not ended.
    """
    params, ahead = Params.parse(values), Ahead()
    given = {**params.plain(), "workdir": str(params.workdir)}

    def make(*arguments: Any) -> Cluster:
        cluster = LookingCluster(*arguments)
        cluster.ahead = ahead
        cluster.engine.look_only()
        return cluster

    token = MAKE.set(make)
    try:
        with files.looking_ahead():
            for chapter in chapters:
                _execute(chapter, given, ahead)
    finally:
        MAKE.reset(token)
    return ahead.planned


def _execute(chapter: str, given: Mapping[str, Any], ahead: Ahead) -> None:
    """The code cells of a chapter, in this process; the parameters follow the cell that is tagged so, as in a run."""
    namespace: dict[str, Any] = {}
    ahead.chapter = chapter
    for cell in json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text("utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        ahead.cell = cell["id"]
        exec(compile("".join(cell["source"]), f"{chapter}, {ahead.cell}", "exec"), namespace)
        if "parameters" in cell["metadata"].get("tags", ()):
            namespace |= given


def _undone(action: Action, undone: bool) -> Action:
    """The action, which is not done yet whatever it says, where a step before undoes it."""
    return Action(action.commands, action.do) if undone else action


def _nothing(tell: object) -> None:
    """What is only planned."""
