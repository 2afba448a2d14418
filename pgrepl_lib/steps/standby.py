"""What makes a server a replica: its configuration, and the whole way from nothing to streaming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..cluster import promises
from ..doors import files
from ..drift import undo
from ..engine.action import CONFIGURATION, Action, Tell
from ..engine.edit import Edit

if TYPE_CHECKING:
    from .instance import Instance


def whole_action(instance: Instance) -> Action:
    """Everything from the slot to streaming, as one action."""
    copied = [*instance.copy_actions(), configuration_action(instance)]
    commands = tuple(c for part in copied for c in part.commands)

    def started() -> Action:
        """Known only once there are data."""
        return undo.with_settings(instance, instance.start_action())

    def do(tell: Tell) -> None:
        Action.sequence(copied[:-1]).do(tell)
        copied[-1].do(tell)
        started().do(tell)

    def done() -> bool:
        return instance.prepared() and copied[-1].done() and started().done()

    back, start = undo.settings_action(instance).commands, instance.start_commands()
    return Action((*commands, *back, *start), do, done, anew=(*commands, *start))


def bring_up_above(instance: Instance, tell: Tell) -> None:
    """Before a replica starts, the replica that it follows runs and has its slot."""
    above = instance.upstream
    if above.is_replica:
        for each in (whole_action(above), above.slot_action(instance.slot)):
            if not each.done():
                each.do(tell)


def configuration_action(instance: Instance) -> Action:
    """The primary's files, with the replica's own upstream and slot."""
    folder, source = instance.cluster.folder, instance.cluster.primary.name
    pairs = [(folder / source / file, folder / instance.name / file) for file in CONFIGURATION]
    shown = f"cp {' '.join(f'{source}/{file}' for file in CONFIGURATION)} {instance.name}/"
    follows = standby_action(instance, instance.upstream)

    def there() -> bool:
        return all(target.exists() for _, target in pairs)

    def do(tell: Tell) -> None:
        for original, target in pairs:
            if not target.exists():
                files.write_atomic(target, original.read_text("utf-8"))
        follows.do(tell)

    def done() -> bool:
        return there() and follows.done()

    return Action((shown, *follows.commands), do, done)


def standby_action(instance: Instance, upstream: Instance, *, promises_on: bool = False) -> Action:
    """`primary_conninfo` and `primary_slot_name` of a replica, and what it needs to log in there.

    promises_on: it is still the primary, and keeps its synchronous promise.
    """
    password = instance.cluster.engine.give_password(instance.name)
    edit = standby_edit(instance, upstream, promises_on=promises_on)

    def do(tell: Tell) -> None:
        Action.sequence([password]).do(tell)
        edit.write()

    return Action((*password.commands, edit), do, edit.done)


def standby_edit(instance: Instance, upstream: Instance, *, promises_on: bool = False) -> Edit:
    """The same for its file alone, which has nothing else that only a primary has."""
    cluster, file = instance.cluster, CONFIGURATION[0]
    taken_out: dict[str, Sequence[str] | None] = {} if promises_on else {promises.BLOCK: None}
    blocks = {**taken_out, "standby": instance.standby_lines(upstream)}
    original = cluster.folder / cluster.primary.name / file
    return Edit(cluster.folder, f"{instance.name}/{file}", blocks, begins_as=original)
