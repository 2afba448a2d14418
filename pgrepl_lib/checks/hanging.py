"""Instances that run and say nothing: found by one look at all of them at the same time."""

from __future__ import annotations

from ..cluster.members import AnyCluster
from ..cluster.server import Server
from ..doors.answer import Answer, Kind, ask_all
from ..errors import EnvironmentLacking, StepFailed
from ..words.text import joined, mark, t

REMEDY = mark(
    "its log, and the machine's disk and load, say why it hangs; where its processes are stopped, "
    "let them go on; a primary that stays so: `pgrepl failover`"
)


def hanging(cluster: AnyCluster) -> list[str]:
    """Each instance that hangs, with what was seen of it."""

    def told(instance: Server) -> str:
        if not cluster.engine.running(instance.name):
            return ""
        try:
            seen = instance.look("select 1")
        except EnvironmentLacking:  # no password to ask with
            return ""
        if isinstance(seen, Answer) and seen.kind is Kind.HUNG:
            return joined(" ", [instance.name, str(seen)])
        return ""

    return [line for line in ask_all(told, [cluster.primary, *cluster.replicas]) if line]


def silent(cluster: AnyCluster) -> list[str]:
    """The same, and each one that is paused or half dead: nobody who asks it gets an answer."""
    engine = cluster.engine
    found = {n: engine.life(n) for n in (cluster.topology.primary, *cluster.topology.replicas)}
    still = [
        t("{name} is {state}", name=name, state=t(life))
        for name, life in found.items()
        if not (life.ended or engine.running(name))
    ]
    return [*still, *hanging(cluster)]


def require_none(cluster: AnyCluster) -> None:
    """Raise `StepFailed` that names who hangs, before each step waits for it."""
    if found := hanging(cluster):
        raise StepFailed(
            t("What was to be done needs an answer, and somebody hangs; nothing was changed."),
            looked_at=found,
            remedy=cluster.addressed(t(REMEDY)),
        )
