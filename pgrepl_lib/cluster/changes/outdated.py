"""Another instance accepts writes than the primary that `cluster.json` names.

That file is older than the cluster (a copy of it was put back), or somebody promoted a replica.
What it says of the roles is then the opposite of the truth, and so is every remedy that goes by it:
the servers are asked before one is named that throws data away.
"""

from __future__ import annotations

from functools import partial

from ...doors import ahead
from ...doors.answer import Answer, ask_all, look
from ...engine.protocol import Engine
from ...errors import EnvironmentLacking, PgreplError, StepFailed
from ...params import Params
from ...postgres.control import ControlFile
from ...words.commands import addressed
from ...words.text import Text, joined, t
from ..topology import Topology
from . import promotion, underway

# The control file knows a new timeline only from the next checkpoint on.
ROLE = """
select pg_is_in_recovery() as recovering, system_identifier::text as identifier,
       case when pg_is_in_recovery()
            then greatest(timeline_id, (select received_tli from pg_stat_wal_receiver))
            else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
       end as timeline
from pg_control_checkpoint(), pg_control_system()"""


def writer(engine: Engine, topology: Topology) -> str:
    """Who accepts writes instead of the recorded primary; empty where nobody does.

    Also empty while roles change: then that goes on, and nothing else.
    """
    found = _writers(engine, topology)
    return max(found, key=found.__getitem__, default="")


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


def _writers(engine: Engine, topology: Topology) -> dict[str, int]:
    """Those that accept writes, with their timelines, unless the recorded primary does."""
    primary = topology.primary
    if topology.operation or not topology.system_identifier or ahead.uncertain():
        return {}
    if _running(engine, topology, primary):
        return {}
    others = [name for name in topology.names if name != primary]
    timelines = ask_all(partial(_running, engine, topology), others)
    if not any(timelines) and _was_demoted(engine, primary):
        timelines = [_stopped(engine, topology, name) for name in others]
    return {name: number for name, number in zip(others, timelines, strict=True) if number}


def _running(engine: Engine, topology: Topology, name: str) -> int:
    """The timeline on which a server accepts writes; 0 where it does not."""
    if not engine.running(name):
        return 0
    try:
        seen = look(engine.address(name), ROLE)
    except (OSError, EnvironmentLacking):  # no password to ask with
        return 0
    if isinstance(seen, Answer) or seen["recovering"]:
        return 0
    if seen["identifier"] != topology.system_identifier:
        return 0
    return int(seen["timeline"])


def _was_demoted(engine: Engine, name: str) -> bool:
    """Whether one that stands would come up as a replica: a recorded primary never does."""
    if not engine.life(name).ended:
        return False
    return engine.has_data(name) and not promotion.has_happened(engine, name)


def _stopped(engine: Engine, topology: Topology, name: str) -> int:
    """The same of one that stands: as what it would come up."""
    try:
        if not (engine.life(name).ended and promotion.has_happened(engine, name)):
            return 0
        control = ControlFile.parse(engine.control_file(name))
    except (PgreplError, OSError, ValueError):
        return 0
    if control.was_standby or str(control.system_identifier) != topology.system_identifier:
        return 0
    return control.timeline
