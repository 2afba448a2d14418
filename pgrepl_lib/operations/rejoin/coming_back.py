"""How a former primary becomes a replica again: with its own data, or by a new copy."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...cluster.dropping import drop_originals, drop_slot
from ...doors import db, files
from ...doors.program import silently
from ...engine.action import CONFIGURATION, Action, Shown, Tell
from ...engine.edit import Edit
from ...logins import rewinder
from ...postgres import conf
from ...steps.actions import replacing
from ...steps.actions.copying import replacing_action, slot_action
from ...steps.actions.standby import standby_action
from ...steps.actions.starting import start_action, start_commands, whole_action

if TYPE_CHECKING:
    from ...steps.instance import Instance

UNUSED = "select slot_name as n from pg_replication_slots where not active"


def by_copy(instance: Instance) -> Action:
    """A new base backup in the place of its data, which stay until it is complete."""
    engine, primary = instance.cluster.engine, instance.cluster.primary
    whole, copy = whole_action(instance), replacing_action(instance)
    slot = slot_action(primary, instance.slot)

    def do(tell: Tell) -> None:
        if engine.has_data(instance.name):
            replacing.require_room(engine, instance.name, primary.name)
            Action.sequence([slot, copy]).do(tell)
        _belongs(instance)
        whole.do(tell)

    belongs = partial(_belongs, instance)
    if not engine.has_data(instance.name):
        return Action(whole.commands, do, leaves=belongs)
    edits = (*_opens(instance).commands, *standby_action(instance, primary).commands)
    commands = (*slot.commands, *copy.commands, *edits, *start_commands(instance, handed=True))
    return Action(commands, do, leaves=belongs)


def by_itself(instance: Instance) -> Action:
    """With its own data, which the new primary has, too; it stays fenced until it follows."""
    primary = instance.cluster.primary

    def switch(tell: Tell) -> None:
        """A part of a record at its end is not had by the new primary: it begins after that."""
        db.rows(primary.address, "select pg_switch_wal()")

    return _following(instance, Action((), switch))


def by_rewind(instance: Instance) -> Action:
    """With its own data, rewound to where they have diverged."""
    cluster, name = instance.cluster, instance.name
    engine, source = cluster.engine, cluster.primary.name
    commands = engine.rewind(name, source)

    def rewind(tell: Tell) -> None:
        """It reads the new timeline from the control file; half rewound data serve for nothing."""
        db.checkpoint(cluster.primary.address)
        with rewinder.let_in(engine, source):
            files.write_atomic(cluster.mark(name), "")
            for each in commands:
                engine.run(each, tell, source=source)
        files.remove(cluster.mark(name))

    return _following(instance, Action(rewinder.around(engine, source, commands), rewind))


def _following(instance: Instance, first: Action) -> Action:
    """Let it follow the new primary over a slot of its own. first: what its data need before."""
    primary = instance.cluster.primary
    slot, start = slot_action(primary, instance.slot), instance.cluster.engine.start(instance.name)
    follows = standby_action(instance, primary)

    def do(tell: Tell) -> None:
        Action.sequence([slot]).do(tell)
        first.do(tell)
        follows.do(tell)
        _belongs(instance)
        start_action(instance).do(tell)

    edits: tuple[Shown, ...] = (*follows.commands, *_opens(instance).commands)
    commands = (*slot.commands, *first.commands, *edits, *start.commands)
    return Action(commands, do, leaves=partial(_belongs, instance))


def drop_old_slots(instance: Instance) -> None:
    """Those that it kept for its followers would hold WAL for ever."""
    topology = instance.cluster.topology
    known = {instance.cluster.instance(name).slot for name in topology.names}
    for found in db.rows(instance.address, UNUSED):
        if found["n"] in known:
            drop_slot(instance, found["n"]).do(silently)
    drop_originals(instance)


def _opens(instance: Instance) -> Action:
    """Nobody is shut out any more: it is fenced no longer."""
    name = f"{instance.name}/{CONFIGURATION[1]}"
    edit = Edit(instance.cluster.folder, name, {conf.FENCE: None})
    return Action((edit,), lambda tell: edit.write(), edit.done)


def _belongs(instance: Instance) -> None:
    """It is a replica again, and fenced too until it streams: an interrupted rejoin goes on."""
    _opens(instance).do(silently)
    topology = instance.cluster.topology
    topology.upstreams[instance.name] = topology.primary
    instance.cluster.record()
