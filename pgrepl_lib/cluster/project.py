"""A project as data: what was asked for, which engine runs it, who is what, and where its files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..engine.protocol import Engine
from ..errors import StepFailed
from ..params import Params
from ..words.commands import addressed
from . import state, unanswered
from .changes import left, outdated, underway
from .topology import Topology


class Project:
    """A project of one user. It answers, and writes nothing but its record."""

    looks_only = False  # whether nothing is done, only said what would be (`runner/plan.py`)
    followed = False  # whether what is changed now will be recorded by who began it
    known = ""  # `cluster.json` as this process has read or written it last

    def __init__(self, params: Params, engine: Engine, topology: Topology) -> None:
        self.params, self.engine, self.topology = params, engine, topology
        self.folder = params.folder

    def addressed(self, text: str) -> str:
        """The text, with each of our commands in it naming this cluster."""
        return addressed(text, self.params)

    def underway(self) -> str:
        """Why roles are not as they are recorded, and how to go on; empty where they are.

        Whatever advice goes by the roles is for when this is empty.
        """
        now = underway.now(self.folder, self.params, self.topology)
        return now or outdated.told(self.engine, self.topology)

    def ways_on(self, check: str, also: Sequence[str]) -> str:
        """What comes before a failed check's own advice. also: what leads on from what it saw."""
        way = self.underway()
        if not way and check in left.CHECKS:
            way = left.told(self.engine, self.topology)
        return way or unanswered.ways_on(self.engine, self.topology, also)

    def text_of(self, path: Path) -> str:
        """A text file of the cluster's folder; empty where there is none."""
        return path.read_bytes().decode("utf-8", errors="replace") if path.exists() else ""

    def record(self) -> None:
        """Write the instances and their roles as they are now into `cluster.json`."""
        params, engine = self.params, self.engine
        self.known = state.write(params, engine.id, engine.name, engine.ports, self.topology)

    def look_again(self) -> None:
        """Take over what another process has recorded since."""
        self.known = state.raw(self.folder)
        if made := state.read(self.folder):
            self.topology, self.engine.ports = Topology.of(made, 0), made["ports"]

    def require_primary(self) -> None:
        """Raise `StepFailed` unless the primary runs: the one thing that later chapters cannot do without."""
        if not (self.folder / state.FILE).exists() or not self.engine.running(
            self.topology.primary
        ):
            remedy = "run chapter 01 first (execute antes o capítulo 01): `pgrepl run`"
            cause = f"Project {self.params.project} has no running primary; nothing was changed."
            name = self.topology.primary
            looked_at = [f"{name}: {self.engine.life(name)}"]
            raise StepFailed(cause, looked_at=looked_at, remedy=self.addressed(remedy))

    def mark(self, name: str) -> Path:
        """Exists while an instance's data is being made: from the start of the base backup until it is complete."""
        return self.folder / name / ".unfinished"
