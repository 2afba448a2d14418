"""Whether a replica was promoted, and that one which was told to be never will.

A promotion that was asked for happens as soon as its server can: one that hangs does it when it
wakes up. So that it was asked for is recorded before it is.
"""

from __future__ import annotations

from ...engine.action import Tell
from ...engine.protocol import Engine
from ...errors import StepFailed
from ...params import Params
from ...words.commands import addressed
from ...words.text import Text, t
from ..topology import Topology

ASKED = "promoting"  # in the recorded operation


def has_happened(engine: Engine, name: str) -> bool:
    """Whether a replica has left recovery, or would when it starts; also of one that hangs.

    A promotion removes `standby.signal` before it lets anybody write.
    """
    return engine.has_data(name) and not engine.forbid_writes(name).done()


def give_up(engine: Engine, topology: Topology, tell: Tell) -> None:
    """Make sure that the replica which was told to become the primary stays one.

    It is killed: a server that starts forgets that it was told. Raises `StepFailed` where it was
    promoted meanwhile.
    """
    begun = topology.operation
    if ASKED not in begun or begun["to"] == topology.primary:
        return
    kill = engine.kill(begun["to"])
    if not kill.done():
        kill.do(tell)
    require_none(engine, topology)


def require_none(engine: Engine, topology: Topology) -> None:
    """Raise `StepFailed` where the replica that was chosen is the primary already."""
    to = topology.operation["to"]
    if to == topology.primary or has_happened(engine, to):
        cause = t("{name} was promoted already; nothing was changed.", name=to)
        raise StepFailed(cause, remedy=addressed(_finish(topology), engine.params))


def ways_on(topology: Topology, params: Params) -> str:
    """The commands that lead out of what has begun and not ended."""
    way = _finish(topology)
    if topology.operation["to"] != topology.primary:
        kind = topology.operation["kind"]
        way = t("{finish}; or take it back: `pgrepl {kind} --cancel`", finish=way, kind=kind)
    return addressed(way, params)


def _finish(topology: Topology) -> Text:
    begun = topology.operation
    return t("finish it: `pgrepl {kind} --to {name}`", kind=begun["kind"], name=begun["to"])
