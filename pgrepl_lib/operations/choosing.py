"""Who may still become the primary, or has to be replaced, while a change of roles goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..cluster.changes import promotion
from ..doors import ahead
from ..doors.answer import DECISION_SECONDS, Answer, Kind
from ..errors import ParameterError, StepFailed
from ..postgres.recovery import Replay
from ..words.text import Text, joined, mark, t
from .hindrances import refuse
from .standing import Standing

if TYPE_CHECKING:
    from ..steps.cluster import Cluster
    from ..steps.instance import Instance

FAILOVER = "failover"


def more(one: Standing, other: Standing) -> Text:
    """Why one goes before another."""
    if one.branch.timeline != other.branch.timeline:
        return t(
            "{one} is on timeline {later}, {other} on {earlier}",
            one=one.name,
            later=one.branch.timeline,
            other=other.name,
            earlier=other.branch.timeline,
        )
    return t(
        "{one} has received more ({most}, {other}: {least})",
        one=one.name,
        most=one.received,
        other=other.name,
        least=other.received,
    )


def earlier(snapshot: str, other: str) -> str:
    """The one of two snapshots (`pg_snapshot`) with less in it; an unknown one, "", stays so."""
    if not snapshot or not other:
        return snapshot
    return min(snapshot, other, key=_end_of)


def _end_of(snapshot: str) -> int:
    return int(snapshot.split(":")[1])


def choice_is_open(cluster: Cluster, begun: dict[str, str], to: str) -> bool:
    """Whether another primary may be chosen, although a change of roles has begun.

    Before its promotion, the replica of a failover may be exchanged when somebody asks for another,
    or when it is lost. After it, that replica is the primary, and replaced only when it is lost. A
    switchover gives way to a failover when whoever is the primary now is lost.
    """
    chosen, another = begun["to"], to not in ("", begun["to"])
    promoted = chosen == cluster.topology.primary
    if begun["kind"] == FAILOVER and not promoted:
        return another or is_lost(cluster.instance(chosen))
    if begun["kind"] == FAILOVER and not another:
        return not cluster.engine.has_data(chosen)
    return is_lost(cluster.primary)


def candidate(cluster: Cluster, to: str) -> Instance:
    """The replica to promote by name; raises `ParameterError` where it is none."""
    instance = cluster.instance(to)
    if to == cluster.topology.primary:
        remedy = t("`pgrepl status` lists the replicas, one of which takes over")
        cause = t("{name} is the primary already; nothing was changed.", name=to)
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    if to not in cluster.topology.upstreams:
        remedy = t("`pgrepl rejoin {name}` makes it one", name=to)
        cause = t("{name} is fenced, not a replica; nothing was changed.", name=to)
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    return instance


def chosen(cluster: Cluster, seen: Sequence[Standing], to: str, *, force: bool) -> Instance:
    """Whom a failover promotes: who is asked for, else the most advanced replica.

    seen: how far each replica is. Raises `StepFailed` where nobody can take over, or another one
    has more.
    """
    if ahead.uncertain():  # a plan
        return cluster.instance(to or cluster.replica.name)
    alive = [s for s in seen if s.runs]
    forced = to and force and not alive
    if cluster.topology.operation or forced:  # it may have stopped one itself
        alive += [s for s in seen if can_start(cluster, s)]
    if to:
        wanted = candidate(cluster, to)
        _require_most_advanced(cluster, seen, alive, to, force=force)
        return wanted
    if not alive:
        raise _nobody(cluster, seen)
    return cluster.instance(alive[0].name)


def _require_most_advanced(
    cluster: Cluster, seen: Sequence[Standing], alive: Sequence[Standing], to: str, *, force: bool
) -> None:
    mine = next(s for s in seen if s.name == to)
    able = mine in alive or (force and (mine.left or mine.state == Replay.ENDED))
    reasons = [more(s, mine) for s in alive if s.has_more_than(mine)]
    if not able:
        reasons.insert(0, t("{name}: {state}", name=to, state=mine.told))
    remedy = t("`pgrepl status` says who is there")
    if alive:
        most = alive[0].name
        remedy = t("choose the most advanced one: `pgrepl failover --to {name}`", name=most)
    refuse(FAILOVER, to, reasons, cluster.addressed(remedy))


def _nobody(cluster: Cluster, seen: Sequence[Standing]) -> StepFailed:
    """None of the replicas runs, or may be taken."""
    ways = [t("start a replica, or the primary: `pgrepl run`")]
    if left := [s.name for s in seen if s.left]:
        lose = t("to lose all since then: `pgrepl failover --to {name} --force`", name=left[0])
        ways += [lose]
    elif idle := [s.name for s in seen if can_start(cluster, s)]:
        have = mark("with what it had: `pgrepl failover --to {name} --force` starts it")
        ways += [t(have, name=idle[0])]
    remedy = cluster.addressed(joined("; ", ways))
    if cluster.topology.operation:
        remedy = promotion.ways_on(cluster.topology, cluster.params)
    cause = t("No replica can take over; nothing was changed.")
    states = [t("{name}: {state}", name=s.name, state=s.told) for s in seen]
    return StepFailed(cause, looked_at=states, remedy=remedy)


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
    one = next(iter(names), "NAME")
    raise ParameterError(
        t("Which replica shall become the primary?"),
        looked_at=[joined(", ", names) or t("no replica")],
        remedy=cluster.addressed(t("name it: `pgrepl switchover --to {name}`", name=one)),
    )


def is_lost(instance: Instance) -> bool:
    """Whether it is dead, or hangs; who refuses us lives, and of some nothing is known."""
    seen = answer_of(instance)
    return not seen.lives and seen.kind is not Kind.UNKNOWN


def answer_of(instance: Instance) -> Answer:
    """What it says, which gets time for it; nothing where it does not run."""
    if not instance.cluster.engine.running(instance.name):
        return Answer(Kind.NOBODY)
    return instance.answer(DECISION_SECONDS)
