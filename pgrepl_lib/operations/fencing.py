"""A lost primary is fenced: dead, and however it is started again, in recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import files
from ..engine.action import CONFIGURATION, NOTHING, Action, Tell
from ..engine.edit import Edit
from ..postgres import conf
from ..postgres.conf import FENCE

if TYPE_CHECKING:
    from ..steps.instance import Instance


def action(old: Instance, new: Instance) -> Action:
    """Fence the old primary; the new one first gets its place in the network."""
    engine, name = old.cluster.engine, old.name
    kill, forbid, reject = engine.kill(name), engine.forbid_writes(name), _reject(old)
    place = engine.join(new.name)

    def do(tell: Tell) -> None:
        if not place.done():
            place.do(tell)
        kill.do(tell)  # also one that is paused, or whose postmaster alone is dead
        if not forbid.done():
            forbid.do(tell)
        kill.do(tell)  # somebody may have started it in between
        reject.do(tell)

    def done() -> bool:
        return kill.done() and forbid.done() and reject.done()

    kills = () if kill.done() else kill.commands
    commands = (*place.commands, *kills, *forbid.commands, *reject.commands)
    return Action(commands, do, done)


def _reject(old: Instance) -> Action:
    """Nor may a replica that still follows it receive what the new primary does not have."""
    user, network = old.cluster.params.replication_user, old.cluster.engine.rule_network()
    lines = conf.hba_lines(user, network, "reject")
    edit = Edit(old.cluster.folder, f"{old.name}/{CONFIGURATION[1]}", {FENCE: lines})
    if not files.there(edit.path):  # without it, nothing starts with these rules
        return NOTHING
    return Action((edit,), lambda tell: edit.write(), edit.done)
