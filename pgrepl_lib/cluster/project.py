"""A project as data: what was asked for, who is what, which engine runs it, where its files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..doors import ahead, files
from ..engine.protocol import Engine
from ..errors import StepFailed
from ..params import Params
from ..words.commands import addressed
from ..words.text import joined, mark, t
from . import state
from .changes import left, outdated, unanswered, underway
from .topology import Topology

START = mark(
    "`pgrepl run` makes it (chapter 01), or starts it; a primary that stays lost: `pgrepl failover`"
)


class Project:
    """A project of one user. It answers, and writes nothing but its record."""

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
        return files.content(path).decode("utf-8", "replace") if files.there(path) else ""

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
        """Raise `StepFailed` unless the primary runs; without it later chapters can do nothing."""
        name = self.topology.primary
        if ahead.looking():
            return
        if (self.folder / state.FILE).exists() and self.engine.running(name):
            return
        raise StepFailed(
            t(
                "Project {project} has no running primary; nothing was changed.",
                project=self.params.project,
            ),
            looked_at=[joined(": ", [name, self.engine.life(name).told])],
            remedy=self.addressed(t(START)),
        )

    def mark(self, name: str) -> Path:
        """Exists while an instance's data are made, from the base backup's start to its end."""
        return self.folder / name / ".unfinished"
