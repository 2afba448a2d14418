"""A former primary comes up in recovery, without an upstream: readable, and never writable."""

from __future__ import annotations

from ...cluster import restarts
from ...cluster.server import Server
from ...engine.action import CONFIGURATION, Action, Tell
from ...engine.edit import Edit


def action(instance: Server) -> Action:
    """Start it so. What it replays after it has answered is its own WAL, up to the end."""
    engine, name = instance.cluster.engine, instance.name
    forbid, start = engine.forbid_writes(name), engine.start(name)
    alone = Edit(instance.cluster.folder, f"{name}/{CONFIGURATION[0]}", {"standby": None})

    def do(tell: Tell) -> None:
        alone.write()
        if not engine.life(name).ended and not _refuses_writes(instance):
            engine.kill(name).do(tell)
        if not start.done():
            forbid.do(tell)
            start.do(tell)
        instance.wait_ready()
        restarts.take_over(instance)

    def done() -> bool:
        return alone.done() and answers(instance) and instance.in_recovery()

    return Action((alone, *forbid.commands, *start.commands), do, done)


def answers(instance: Server) -> bool:
    """Whether it runs and answers a query."""
    return instance.cluster.engine.running(instance.name) and instance.answers()[0]


def _refuses_writes(instance: Server) -> bool:
    """Whether it runs and refuses writes; one that is paused may go on with one."""
    return instance.cluster.engine.running(instance.name) and instance.in_recovery()
