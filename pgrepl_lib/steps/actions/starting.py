"""An instance is started, and runs with what its files say; a replica also from nothing on."""

from __future__ import annotations

from ...cluster import identity, restarts
from ...cluster.server import Server
from ...doors import ahead
from ...drift import undo
from ...engine.action import NOTHING, PRIMARY, Action, Shown, Tell
from ...errors import StepFailed
from ...words.text import t
from . import replacing
from .copying import copy_actions, slot_action
from .handing import handed_action
from .standby import configuration_action


def whole_action(replica: Server) -> Action:
    """Everything from the slot to streaming, as one action."""
    copied = [*copy_actions(replica), configuration_action(replica)]
    commands = tuple(c for part in copied for c in part.commands)

    def started() -> Action:
        """Known only once there are data."""
        return undo.with_settings(replica, start_action(replica))

    def do(tell: Tell) -> None:
        Action.sequence(copied[:-1]).do(tell)
        copied[-1].do(tell)
        started().do(tell)

    def done() -> bool:
        return replica.prepared() and copied[-1].done() and started().done()

    back, start = undo.settings_action(replica).commands, start_commands(replica, handed=True)
    anew = (c for part in copied for c in part.anew or part.commands)
    return Action((*commands, *back, *start), do, done, anew=(*anew, *start))


def start_action(instance: Server) -> Action:
    """Start it, wait until it answers, and let it take over edited files.

    Raises `StepFailed` for a replica that has no data: it must not make its own.
    """
    _require_complete(instance)
    handed, engine = _handed(instance), instance.cluster.engine
    action = engine.start(instance.name, initialise=_is_first(instance))

    def do(tell: Tell) -> None:
        _bring_up_above(instance, tell)
        if not action.done():
            _require_own_data(instance)
        handed.do(tell)
        restarts.start(instance, action, tell)
        identity.record(instance.cluster)
        restarts.take_over(instance)
        _wait_streaming(instance)
        restarts.release(instance)

    def done() -> bool:
        runs = action.done() and instance.answers()[0] and not instance.stale()
        return runs and handed.done() and restarts.follows(instance)

    return Action(start_commands(instance), do, done, anew=start_commands(instance, anew=True))


def start_commands(
    instance: Server, *, anew: bool = False, handed: bool = False
) -> tuple[Shown, ...]:
    """What a person would type to start it and to wait until it answers or streams.

    anew: for a cluster that is built from nothing. handed: whether it has what it needs by then.
    """
    engine = instance.cluster.engine
    first = instance.name == PRIMARY and (anew or _is_first(instance))
    start = engine.start(instance.name, initialise=first)
    if first:
        return start.commands
    commands = start.commands
    if not handed:
        commands = (*_handed(instance).commands, *commands)
    if not instance.is_replica:
        return commands
    name = instance.application_name
    query = f"select state from pg_stat_replication where application_name = '{name}'"
    streams = engine.client(instance.upstream.name, "psql", "-Atc", query)
    return *commands, f"until {streams} | grep -qx streaming; do sleep 1; done"


def _wait_streaming(instance: Server) -> None:
    if instance.name in instance.cluster.topology.upstreams:
        instance.wait_streaming()


def _require_own_data(instance: Server) -> None:
    """What it starts with is its own, and whole."""
    cluster, name = instance.cluster, instance.name
    identity.require_own_data(cluster.engine, cluster.topology, name)
    replacing.forget_copy(cluster.engine, name, cluster.mark(name))


def _bring_up_above(replica: Server, tell: Tell) -> None:
    """Before a replica starts, the replica that it follows runs and has its slot."""
    above = replica.upstream
    if above.is_replica:
        Action.sequence([whole_action(above), slot_action(above, replica.slot)]).do(tell)


def _require_complete(instance: Server) -> None:
    if ahead.looking() or not instance.is_replica:
        return
    if not (instance.has_configuration() and instance.prepared()):
        cause = t("{name} has no complete data folder yet.", name=instance.name)
        remedy = instance.cluster.addressed(t("`pgrepl run` prepares it (chapter 02)"))
        raise StepFailed(cause, remedy=remedy)


def _is_first(instance: Server) -> bool:
    """Whether no data have ever been: only then may the primary be made from nothing."""
    topology, made = instance.cluster.topology, ("data", instance.name) in ahead.seen().facts
    first = instance.name == topology.primary == PRIMARY
    return first and not (topology.system_identifier or made)


def _handed(instance: Server) -> Action:
    """What its server needs; a first primary is given it once it has data (`encrypting.py`)."""
    needed = handed_action(instance, follows=instance.is_replica)
    if instance.is_replica or needed is NOTHING or instance.cluster.engine.has_data(instance.name):
        return needed
    return NOTHING
