"""Steps: what they are done on, who holds it meanwhile, and what waits while roles change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Protocol

from ..checks.outcome import Check
from ..cluster import state
from ..cluster.changes import promotion, underway
from ..cluster.members import Kind, Members
from ..cluster.server import Server
from ..cluster.topology import Topology
from ..doors import ahead
from ..drift import recorded
from ..engine.action import Action
from ..engine.ports import holder
from ..engine.protocol import Engine
from ..errors import ProjectBusy, StepFailed
from ..journal import audit
from ..journal.lock import step_lock
from ..params import Params
from ..words.text import mark, t

CHANGED = mark("Project {project} was changed by another process; nothing was done.")
UNFINISHED = mark("A {kind} to {to} has begun and not ended; nothing else was changed.")


class Outcome(str):
    """ "changed" or "unchanged"; a notebook has shown it with the step and need not again."""

    __slots__ = ()

    def _ipython_display_(self) -> None:
        pass


class Outcomes(list[str]):
    """Those of several steps, which a notebook has shown, too."""

    def _ipython_display_(self) -> None:
        pass


class Hands(Protocol):
    """How steps are done: for real (`doing.py`), or only planned (`runner/plan.py`).

    ready: whether the cluster's folder is prepared for them.
    """

    ready: bool

    def perform(self, cluster: AnySteps, title: str, action: Action) -> Outcome:
        """Do what is left of an action, in a prepared folder; show and record it."""

    def perform_all(
        self, cluster: AnySteps, steps: Sequence[tuple[str, Action]], at_once: int
    ) -> list[Outcome]:
        """The same for steps that do not need each other, so many at once."""

    def agree(self, cluster: AnySteps, title: str, action: Action) -> None:
        """Ask a person, where one is asked, for a step with something to do."""

    def do(self, cluster: AnySteps, title: str, action: Action) -> Outcome:
        """As `perform`, by whoever has asked, holds the project and needs nothing prepared."""

    def make_ready(self, cluster: AnySteps) -> None:
        """Prepare the cluster's folder, once."""

    def check(self, cluster: AnySteps, name: str) -> Check:
        """Make one check, show and record it; raises `CheckFailed` where it does not pass."""

    def preflight(self, cluster: AnySteps) -> None:
        """Show what the machine offers; raises `EnvironmentLacking` for what is missing."""

    def versions(self, cluster: AnySteps) -> None:
        """Show and record what is used: versions, image digest or checksum."""

    def refuse(self, cluster: AnySteps, refusal: Callable[[], None]) -> None:
        """Look for settings that cannot work, which takes a program of the server."""


class Steps(Members[Kind]):
    """A cluster that steps are done on; its verbs are built on it.

    hands: how. why: of the engine's choice. chapter: the notebook's name, for the journal.
    """

    _operating = False
    _held = False
    fails_on_purpose = False

    def __init__(self, params: Params, engine: Engine, topology: Topology, hands: Hands) -> None:
        super().__init__(params, engine, topology)
        self.hands, self.why, self.chapter = hands, "", ""

    @property
    def operating(self) -> bool:
        """Whether this one changes roles now."""
        return self._operating

    @cached_property
    def journal(self) -> audit.Journal:
        """The record that this work goes to."""
        return audit.Journal.of(self.folder)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold the project: for other processes, all that the block does is one.

        Raises `ProjectBusy` where another one has changed it since this one looked.
        """
        if self._held or ahead.looking():
            yield
            return
        with step_lock(self.folder):
            self._refuse_changed()
            self._held = True
            try:
                yield
            finally:
                self._held = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the project, and record what the block changes."""
        with self.holding(), recorded.following(self):
            yield

    @contextmanager
    def meant_to_fail(self) -> Iterator[None]:
        """A step of the block that fails is recorded as one that was meant to."""
        self.fails_on_purpose = True
        try:
            yield
        finally:
            self.fails_on_purpose = False

    def perform(self, title: str, action: Action) -> Outcome:
        """Do what is left of an action, show and record it; returns "changed" or "unchanged"."""
        return self.hands.perform(self, title, action)

    def perform_all(self, steps: Sequence[tuple[str, Action]], *, at_once: int) -> list[Outcome]:
        """Steps (title and action) that do not need each other, side by side, in their order."""
        return self.hands.perform_all(self, steps, at_once)

    def begin(self, kind: str, old: str, new: str) -> None:
        """Record that roles are about to change: nothing else is done until that has ended."""
        begun, known = {"kind": kind, "from": old, "to": new}, self.topology.operation
        if not begun.items() <= known.items():
            known = {}  # else it goes on, with what is known of it
        self.topology.operation, self._operating = {**known, **begun, **underway.facts()}, True
        self.record()

    def end(self) -> None:
        """The change of roles has ended."""
        self.topology.operation, self._operating = {}, False
        self.record()

    def _refuse_changed(self) -> None:
        if state.raw(self.folder) in ("", self.known):
            return
        raise ProjectBusy(
            t(CHANGED, project=self.params.project),
            looked_at=[t("{file} is another than when this one looked at it", file=state.FILE)],
            remedy=t("do it again; in a notebook, first the cell that opens the cluster"),
        )

    def refuse_unfinished(self) -> None:
        """Raise `StepFailed` while a change of roles has not ended: nothing else is done."""
        if (begun := self.topology.operation) and not self._operating:
            remedy = promotion.ways_on(self.topology, self.params)
            raise StepFailed(t(UNFINISHED, kind=begun["kind"], to=begun["to"]), remedy=remedy)

    def record_engine(self) -> dict[str, str]:
        """Record what is used: versions, image digest or checksum; returns these facts."""
        facts, engine = self.engine.facts(), self.engine
        self.journal.record(
            "engine",
            chapter=self.chapter,
            why=self.why,
            facts=facts,
            port=dict(engine.ports),
            operated=self.topology.operated,
        )
        return facts

    def settle_port(self, name: str) -> None:
        """Choose another port for an instance whose automatic one was taken before it could start.

        One that others know by its port keeps it; its start then says who holds it.
        """
        engine = self.engine
        if ahead.looking() or self.params.port or not engine.life(name).ended:
            return
        known = engine.upstream(name)[1] == engine.ports[name]
        followed = known and any(map(engine.has_data, self.topology.followers(name)))
        if not holder(engine.ports[name]) or followed:
            return
        with self.working():
            self.refuse_unfinished()
            self.hands.make_ready(self)
            rest = {"ports": {n: port for n, port in engine.ports.items() if n != name}}
            with state.reserving(self.params):
                engine.ports = state.claimed_ports(self.params, rest, self.topology.names)
                self.record()
            engine.prepare()
            self.record_engine()


AnySteps = Steps[Server]
