"""A project as data: what was asked for, who is what, which engine runs it, where its files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..doors import ahead, files
from ..engine.choose import choose
from ..engine.ports import free
from ..engine.protocol import Engine
from ..errors import EnvironmentLacking, ParameterError, StepFailed
from ..journal.lock import refuse_busy
from ..params import Params, from_environment
from ..words.commands import addressed
from ..words.text import joined, mark, t
from . import state
from .changes import left, outdated, unanswered, underway
from .owner import require_owner
from .topology import Topology

START = mark(
    "`pgrepl run` makes it (chapter 01), or starts it; a primary that stays lost: `pgrepl failover`"
)

EARLIER = mark(
    "Project {project} was made by an earlier version, which marked nothing as its own; "
    "nothing was touched."
)
ANEW = mark(
    "operate it with that version; once its `pgrepl down` has removed it, "
    "`pgrepl run` makes it anew"
)
OTHER_PORT = mark("Project {project} runs on port {had}, not {wanted}; nothing was touched.")
STOP_FIRST = mark(
    "leave the parameter port out (-p port, PGREPL_PORT), or stop its servers first, in {folder}: "
    "{commands}"
)


@dataclass(frozen=True)
class Found:
    """What is recorded of a project, and what runs it.

    params: as it keeps them. known: `cluster.json` as it was read; made: the same as data.
    why: of the engine's choice.
    """

    params: Params
    known: str
    made: Mapping[str, Any]
    topology: Topology
    engine: Engine
    why: str


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
        refuse_busy(self.folder)
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


def find(params: Params, *, hardens: bool = False) -> Found:
    """The project of these parameters, which may not exist yet; nothing is changed.

    hardens: it may have been made with `trust`, which a password is to end.
    Raises `ParameterError` for parameters that do not fit what it was made with,
    `EnvironmentLacking` where the chosen engine cannot work, or it is another user's.
    """
    require_owner(params, params.folder / state.FILE)
    known, made = state.raw(params.folder), state.read(params.folder)
    params = state.kept(params, made)
    state.guard(params, made, hardens=hardens)
    topology = Topology.of(made, params.replicas)
    engine, why = _engine(params, made, topology)
    return Found(params, known, made, topology, engine, why)


def meant_without_options(params: Params) -> list[str]:
    """The lines of a cell of parameters by which it would mean the project that a command without
    options does, by its variables or by default; none where it is this one."""
    exported = from_environment()
    try:
        meant = Params.parse({n: exported[n] for n in ("project", "workdir") if n in exported})
    except ParameterError:  # which is what such a command says, too
        return []
    pairs = [(n, str(getattr(meant, n))) for n in ("project", "workdir")]
    return [f'{n} = "{value}"' for n, value in pairs if value != str(getattr(params, n))]


def _engine(params: Params, made: Mapping[str, Any], topology: Topology) -> tuple[Engine, str]:
    """What runs the instances, and why; other ports where one was taken before it was ever used."""
    ports = state.ports(params, made, topology.names)
    engine, why = choose(params, ports, made.get("engine"))
    engine.id = made.get("id") or engine.find_id()
    _refuse_engine(params, made, engine)
    taken = made and params.port == 0 and not all(map(free, ports.values()))
    if taken and not any(map(engine.has_data, ports)):
        engine, _ = choose(params, state.ports(params, {}, topology.names), made.get("engine"))
    engine.had_data = bool(topology.system_identifier)
    return engine, why


def _refuse_engine(params: Params, made: Mapping[str, Any], engine: Engine) -> None:
    """What exists must be told from somebody else's, and servers that run keep their ports."""
    if made and not engine.id and (found := engine.strangers()):
        cause = t(EARLIER, project=params.project)
        raise EnvironmentLacking(cause, looked_at=found, remedy=addressed(t(ANEW), params))
    if state.asks_for_another_port(params, made) and (running := _running(made, engine)):
        had = next(iter(made["ports"].values()))
        stops = "; ".join(str(c) for name in running for c in engine.stop(name).commands)
        raise ParameterError(
            t(OTHER_PORT, project=params.project, had=had, wanted=params.port),
            looked_at=[t("running: {names}", names=", ".join(running))],
            remedy=t(STOP_FIRST, folder=params.folder, commands=stops),
        )


def _running(made: Mapping[str, Any], engine: Engine) -> list[str]:
    return [name for name in made.get("ports", {}) if not engine.life(name).ended]
