"""Another instance accepts writes than the primary that `cluster.json` names.

That file is older than the cluster (a copy of it was put back), or somebody promoted a replica.
What it says of the roles is then the opposite of the truth, and so is every remedy that goes by it:
the servers are asked before one is named that throws data away.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...doors.answer import Answer, ask_all, look
from ...engine.protocol import Engine
from ...errors import EnvironmentLacking, PgreplError, StepFailed
from ...params import Params
from ...postgres.control import ControlFile
from ...words.commands import addressed
from ...words.text import Text, joined, t
from ..topology import Topology
from . import promotion, underway

ROLE = """
select not pg_is_in_recovery() as writes, system_identifier::text as identifier,
       case when pg_is_in_recovery() then 0
            else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
       end as timeline
from pg_control_system()"""


@dataclass(frozen=True)
class Role:
    """What an instance really is. timeline: 0 where it does not accept writes."""

    name: str
    timeline: int = 0

    @property
    def writes(self) -> bool:
        """Whether it accepts writes, or would once it is started."""
        return self.timeline > 0


def writer(engine: Engine, topology: Topology) -> str:
    """Who accepts writes instead of the recorded primary; empty where nobody does.

    Also empty while roles change: then that goes on, and nothing else.
    """
    found = _roles(engine, topology)
    return max(found, key=_timeline).name if found else ""


def told(engine: Engine, topology: Topology) -> str:
    """The same as advice, which takes the place of all that goes by what is recorded."""
    if not (real := writer(engine, topology)):
        return ""
    parts = [cause(topology.primary, real), remedy(topology, real)]
    return addressed(joined(": ", parts), engine.params)


def cause(recorded: str, real: str) -> Text:
    """What is wrong, in a sentence."""
    return t(
        "{real} accepts writes, not {recorded}, which cluster.json names",
        real=real,
        recorded=recorded,
    )


def remedy(topology: Topology, real: str) -> Text:
    """What leads to a verified cluster from there; nothing is thrown away on the way."""
    return t(
        "cluster.json is not the newest one: put that back; or, also where somebody promoted "
        "{real}, let it be the primary: `pgrepl failover --to {real} --force`, then "
        "`pgrepl rejoin {recorded}`",
        real=real,
        recorded=topology.primary,
    )


def require_none(engine: Engine, topology: Topology) -> None:
    """Raise `StepFailed` where another instance is the primary than the recorded one."""
    if real := writer(engine, topology):
        raise refusal(engine.params, topology, real)


def refusal(params: Params, topology: Topology, real: str) -> StepFailed:
    """The error for what goes by roles that are not true."""
    says = t("{wrong}; nothing was changed.", wrong=cause(topology.primary, real))
    meanwhile = underway.now(params.folder, params, topology)
    return StepFailed(says, remedy=meanwhile or addressed(remedy(topology, real), params))


def adopt(topology: Topology, real: str) -> None:
    """Take one that is recorded as fenced for a replica, which may become the primary."""
    if topology.fenced.pop(real, None) is not None:
        topology.upstreams[real] = topology.primary


def _roles(engine: Engine, topology: Topology) -> list[Role]:
    """Those that accept writes, unless the recorded primary is one of them."""
    primary = topology.primary
    if topology.operation or not topology.system_identifier:
        return []
    if _running(engine, topology, primary).writes:
        return []
    others = [name for name in topology.names if name != primary]

    def ask(name: str) -> Role:
        return _running(engine, topology, name)

    found = [role for role in ask_all(ask, others) if role.writes]
    if found or not _was_demoted(engine, primary):
        return found
    return [role for role in (_stopped(engine, topology, name) for name in others) if role.writes]


def _running(engine: Engine, topology: Topology, name: str) -> Role:
    if not engine.running(name):
        return Role(name)
    try:
        seen = look(engine.address(name), ROLE)
    except (OSError, EnvironmentLacking):  # no password to ask with
        return Role(name)
    if isinstance(seen, Answer) or seen["identifier"] != topology.system_identifier:
        return Role(name)
    return Role(name, int(seen["timeline"]))


def _was_demoted(engine: Engine, name: str) -> bool:
    """Whether one that stands would come up as a replica: a recorded primary never does."""
    if not engine.life(name).ended:
        return False
    return engine.has_data(name) and not promotion.has_happened(engine, name)


def _stopped(engine: Engine, topology: Topology, name: str) -> Role:
    """Of one that stands, what it would come up as."""
    try:
        if not (engine.life(name).ended and promotion.has_happened(engine, name)):
            return Role(name)
        control = ControlFile.parse(engine.control_file(name))
    except (PgreplError, OSError, ValueError):
        return Role(name)
    if control.was_standby or str(control.system_identifier) != topology.system_identifier:
        return Role(name)
    return Role(name, control.timeline)


def _timeline(role: Role) -> int:
    return role.timeline
