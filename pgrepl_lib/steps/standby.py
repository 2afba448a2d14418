"""What makes a server a replica: its configuration, and the whole way from nothing to streaming."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import files
from ..doors.command import Command, silently
from ..drift import undo
from ..engine.action import CONFIGURATION, Action, Tell
from ..postgres import conf

if TYPE_CHECKING:
    from .instance import Instance


def whole_action(instance: Instance) -> Action:
    """Everything from the slot to streaming, as one action."""
    start = lambda: undo.with_settings(instance, instance.start_action())  # noqa: E731 - only once there is data

    def do(tell: Tell) -> None:
        for each in instance.copy_actions():
            if not each.done():
                each.do(tell)
        configuration_action(instance).do(tell)
        start().do(tell)

    def done() -> bool:
        return instance.prepared() and configuration_action(instance).done() and start().done()

    parts = [*instance.copy_actions(), configuration_action(instance)]
    copied, start_commands = [c for p in parts for c in p.commands], instance.start_commands()
    taken_back = undo.settings_action(instance).commands
    return Action(
        (*copied, *taken_back, *start_commands), do, done, anew=(*copied, *start_commands)
    )


def bring_up_above(instance: Instance, tell: Tell) -> None:
    """Before a replica starts, the replica that it follows runs and has its slot."""
    above = instance.upstream
    if above.is_replica:
        for each in (whole_action(above), above.slot_action(instance.slot)):
            if not each.done():
                each.do(tell)


def configuration_action(instance: Instance) -> Action:
    """The primary's files, with the replica's own upstream and slot."""
    cluster = instance.cluster
    source, target = cluster.folder / cluster.primary.name, cluster.folder / instance.name
    shown = f"cp {source.name}/{CONFIGURATION[0]} {source.name}/{CONFIGURATION[1]} {target.name}/"

    def do(tell: Tell) -> None:
        for file in CONFIGURATION:
            if not (target / file).exists():
                files.write_atomic(target / file, (source / file).read_text("utf-8"))
        write_standby(instance, instance.upstream)

    def done() -> bool:
        path = target / CONFIGURATION[0]
        return all((target / f).exists() for f in CONFIGURATION) and path.read_text(
            "utf-8"
        ) == _standby(instance)

    return Action((shown, *standby_commands(instance)), do, done)


def standby_commands(instance: Instance) -> tuple[Command | str, ...]:
    """What a person would type for `write_standby`."""
    password = instance.cluster.engine.give_password(instance.name)
    return *password.commands, f"patch {instance.name}/{CONFIGURATION[0]}"


def write_standby(instance: Instance, upstream: Instance) -> None:
    """`primary_conninfo` and `primary_slot_name` of a replica, and nothing that only a primary has.

    Also what its server needs to log in there. Who still is the primary keeps its synchronous promise.
    """
    Action.sequence([instance.cluster.engine.give_password(instance.name)]).do(silently)
    path = instance.cluster.folder / instance.name / CONFIGURATION[0]
    text = path.read_text("utf-8")
    if instance.is_replica:
        text = conf.without_block(text, "synchronous")
    files.write_atomic(path, conf.with_block(text, "standby", instance.standby_lines(upstream)))


def _standby(instance: Instance) -> str:
    text = (instance.cluster.folder / instance.name / CONFIGURATION[0]).read_text("utf-8")
    return conf.with_block(
        conf.without_block(text, "synchronous"),
        "standby",
        instance.standby_lines(instance.upstream),
    )
