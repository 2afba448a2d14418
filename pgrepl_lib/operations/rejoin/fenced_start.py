"""A former primary comes up in recovery, without an upstream: readable, and never writable."""

from __future__ import annotations

from ...cluster import restarts
from ...cluster.server import Server
from ...doors import files
from ...engine.action import CONFIGURATION, Action, Tell
from ...postgres import conf


def action(instance: Server) -> Action:
    """Start it so. What it replays after it has answered is its own WAL, up to the end."""
    engine, name = instance.cluster.engine, instance.name
    forbid, start = engine.forbid_writes(name), engine.start(name)
    path = instance.cluster.folder / name / CONFIGURATION[0]

    def alone() -> bool:
        """Whether its file names no upstream."""
        text = path.read_text("utf-8")
        return text == conf.without_block(text, "standby")

    def do(tell: Tell) -> None:
        files.write_atomic(path, conf.without_block(path.read_text("utf-8"), "standby"))
        if not engine.life(name).ended and not _refuses_writes(instance):
            engine.kill(name).do(tell)
        if not start.done():
            forbid.do(tell)
            start.do(tell)
        instance.wait_ready()
        restarts.take_over(instance)

    def done() -> bool:
        return alone() and answers(instance) and instance.in_recovery()

    return Action((*forbid.commands, *start.commands), do, done)


def answers(instance: Server) -> bool:
    """Whether it runs and answers a query."""
    return instance.cluster.engine.running(instance.name) and instance.answers()[0]


def _refuses_writes(instance: Server) -> bool:
    """Whether it runs and refuses writes; one that is paused may go on with one."""
    return instance.cluster.engine.running(instance.name) and instance.in_recovery()
