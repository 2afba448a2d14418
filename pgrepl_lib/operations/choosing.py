"""Who may still become the primary, or has to be replaced, while a change of roles goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.changes import promotion
from ..doors.answer import DECISION_SECONDS, Answer, Kind
from ..errors import ParameterError
from .standing import Standing

if TYPE_CHECKING:
    from ..steps.cluster import Cluster
    from ..steps.instance import Instance

FAILOVER = "failover"


def more(one: Standing, other: Standing) -> str:
    """Why one goes before another."""
    if one.branch.timeline != other.branch.timeline:
        timelines = f"{one.branch.timeline}, {other.name} on {other.branch.timeline}"
        return f"{one.name} is on timeline {timelines}"
    return f"{one.name} has received more ({one.received}, {other.name}: {other.received})"


def earlier(snapshot: str, other: str) -> str:
    """The one of two snapshots (`pg_snapshot`) with less in it; an unknown one, "", stays so."""
    if not snapshot or not other:
        return snapshot
    return min(snapshot, other, key=_end_of)


def _end_of(snapshot: str) -> int:
    return int(snapshot.split(":")[1])


def choice_is_open(cluster: Cluster, begun: dict[str, str], to: str) -> bool:
    """Whether another primary may be chosen, although a change of roles has begun.

    Until its promotion the chosen replica may be changed, or is where it is lost; afterwards it is
    the primary, and like every other replaced where it is lost. A switchover is replaced where
    whoever is the primary now is lost.
    """
    chosen, another = begun["to"], to not in ("", begun["to"])
    promoted = chosen == cluster.topology.primary
    if begun["kind"] == FAILOVER and not promoted:
        return another or is_lost(cluster.instance(chosen))
    if begun["kind"] == FAILOVER and not another:
        return not cluster.engine.has_data(chosen)
    return is_lost(cluster.primary)


def can_start(cluster: Cluster, replica: Standing) -> bool:
    """Whether one that does not run is still a replica, which can be started."""
    engine, name = cluster.engine, replica.name
    if engine.running(name) or not engine.has_data(name):
        return False
    return not promotion.has_happened(engine, name)


def only_replica(cluster: Cluster) -> str:
    """The one that there is to choose; raises `ParameterError` where there are more, or none."""
    names = cluster.topology.replicas
    if len(names) == 1:
        return names[0]
    one = names[0] if names else "NAME"
    remedy = cluster.addressed(f"name it: `pgrepl switchover --to {one}`")
    looked_at = [", ".join(names) or "no replica"]
    cause = "Which replica shall become the primary?"
    raise ParameterError(cause, looked_at=looked_at, remedy=remedy)


def is_lost(instance: Instance) -> bool:
    """Whether it is dead, or hangs; who refuses us lives, and of some nothing is known."""
    seen = answer_of(instance)
    return not seen.lives and seen.kind is not Kind.UNKNOWN


def answer_of(instance: Instance) -> Answer:
    """What it says, which gets time for it; nothing where it does not run."""
    if not instance.cluster.engine.running(instance.name):
        return Answer(Kind.NOBODY)
    return instance.answer(DECISION_SECONDS)
