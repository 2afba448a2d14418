"""Replicas that can follow no more: they went on along a timeline that the primary has left.

Each has records that the cluster threw away, and asks for a place that its upstream does not know:
it connects again and again, and may look as if it followed.
"""

from __future__ import annotations

from ...doors.answer import SHOWN_SECONDS, Answer, look
from ...engine.protocol import Engine
from ...errors import EnvironmentLacking
from ...postgres import recovery, timelines
from ...postgres.recovery import Recovery
from ...postgres.timelines import Branch
from ...words.commands import addressed
from ...words.text import joined, t
from ..topology import Topology

CHECKS = ("streaming", "slot", "receiver", "same-cluster", "contents", "sample", "tables")


def why(engine: Engine, name: str, primary: str) -> str:
    """Why a replica cannot follow the primary, whose timeline left it; else, or unknown, empty."""
    try:
        if not (engine.running(name) and engine.running(primary)):
            return ""
        seen = look(engine.address(name), recovery.QUERY, seconds=SHOWN_SECONDS)
        mine, theirs = (
            look(engine.address(n), timelines.QUERY, seconds=SHOWN_SECONDS) for n in (name, primary)
        )
    except (OSError, EnvironmentLacking):  # no password to ask with
        return ""
    if isinstance(seen, Answer) or isinstance(mine, Answer) or isinstance(theirs, Answer):
        return ""
    return timelines.left(Branch.of(**mine), Recovery.of(seen).replayed, [Branch.of(**theirs)])


def remedy(engine: Engine, name: str) -> str:
    """What makes it follow: without what it alone has."""
    way = t(
        "`pgrepl replica rebuild {name} --discard` makes it anew, without what it alone has",
        name=name,
    )
    return addressed(way, engine.params)


def told(engine: Engine, topology: Topology) -> str:
    """All such replicas as advice, which takes the place of looking for another cause."""
    found = []
    for name in topology.replicas:
        if left := why(engine, name, topology.primary):
            way = remedy(engine, name)
            found.append(t("{name} is {left}: {remedy}", name=name, left=left, remedy=way))
    return joined("; ", found)
