"""Streams that begin anew, for what a login needs by now: a password, or no TLS any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ...cluster.server import Server
from ...doors import db
from ...doors.command import Command
from ...doors.program import nothing
from ...engine.action import Action, Tell, never
from ...errors import StepFailed
from ...logins import logins, renewal
from ...logins.tls import revoking
from ...words.text import joined, mark, t

ENDS = "select pg_terminate_backend(pid, 5000) from pg_stat_replication"
WRITTEN = "select pg_current_wal_flush_lsn()::text as lsn"
REPLAY_SECONDS = 60
REFUSED = mark("Replicas could not log in by password; those that are connected stay so.")


def connect_anew(instance: Server) -> None:
    """Who follows it connects anew: ours can, which is seen before, and nobody else.

    Who was revoked is meant to be refused. Raises `StepFailed` for others that would be, too; these
    stay connected.
    """
    cluster, topology = instance.cluster, instance.cluster.topology
    let_in = set(topology.followers(instance.name)) - set(revoking.revoked(cluster))
    followers = [f for f in map(instance.other, sorted(let_in)) if answers(f)]
    primary = instance.other(topology.primary)
    if instance.is_replica and answers(primary):  # whose password it must know, too
        instance.wait_replayed(db.row(primary.address, WRITTEN)["lsn"], REPLAY_SECONDS)
    _require_admitted(followers)
    db.rows(instance.address, ENDS)
    for each in followers:
        each.wait_streaming()


def connecting_anew(
    instances: Sequence[Server],
    last: Callable[[], object] = nothing,
    done: Callable[[], bool] = never,
) -> Action:
    """Every connection of a replica is made anew; it was seen before that each can."""
    out = revoking.revoked(instances[0].cluster)
    sources = [i for i in instances if i.name not in out and answers(i)]

    def do(tell: Tell) -> None:
        for each in sources:
            connect_anew(each)
        last()

    return Action(tuple(ends_command(each) for each in sources), do, done)


def password_known(instances: Sequence[Server]) -> Action:
    """The same; with it, a change of the password has ended."""
    cluster = instances[0].cluster
    forget = partial(renewal.forget, cluster)

    def done() -> bool:
        return not renewal.begun(cluster)

    action = connecting_anew(instances, forget, done)
    return replace(action, commands=(*action.commands, renewal.FORGOTTEN), leaves=forget)


def ends_command(instance: Server) -> Command:
    """What a person would type for that."""
    return instance.cluster.engine.client(instance.name, "psql", "-c", f"{ENDS};")


def _require_admitted(followers: list[Server]) -> None:
    """Raise `StepFailed` for those that their upstream would refuse from now on."""
    refused: list[str] = []
    for each in followers:
        conninfo = each.conninfo(each.upstream)
        said = logins.of_replica(each.cluster.engine, each.name, conninfo)
        if said != logins.ADMITTED:
            refused.append(joined(": ", [each.name, said]))
    if refused:
        remedy = followers[0].cluster.addressed(t("`pgrepl run` gives them what they need"))
        raise StepFailed(t(REFUSED), looked_at=refused, remedy=remedy)


def end(follower: Server) -> None:
    """End one's connection; it comes again at once."""
    db.rows(follower.upstream.address, _end_of(follower))


def end_command(follower: Server) -> Command:
    """What a person would type for that."""
    client = follower.cluster.engine.client
    return client(follower.upstream.name, "psql", "-c", f"{_end_of(follower)};")


def _end_of(follower: Server) -> str:
    return f"{ENDS} where application_name = '{follower.application_name}'"


def answers(instance: Server) -> bool:
    """Whether it runs and answers."""
    return instance.cluster.engine.running(instance.name) and instance.answers()[0]
