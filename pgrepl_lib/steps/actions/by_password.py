"""A cluster made with `trust` is taken over: its replicas log in by password, then all must.

First what a replica needs to log in, then the rules: so nobody is locked out on the way, and who
has no password is out at the end, also where a connection was open.
"""

from __future__ import annotations

from dataclasses import replace

from ...cluster import restarts
from ...cluster.project import Project
from ...cluster.server import Server
from ...doors import ahead, db
from ...doors.command import Command
from ...engine.action import CONFIGURATION, NOTHING, Action, Tell, edit_action
from ...errors import StepFailed
from ...logins import logins
from ...postgres import conf
from ...words.text import joined, mark, t
from . import replication_user
from .rules import ADMITS, rule_edit
from .standby import standby_action

ENDS = "select pg_terminate_backend(pid, 5000) from pg_stat_replication"
WRITTEN = "select pg_current_wal_flush_lsn()::text as lsn"
REPLAY_SECONDS = 60
REFUSED = mark("Replicas could not log in by password; those that are connected stay so.")


def needed(primary: Server) -> bool:
    """Whether a password is asked for, and a rule of an instance still lets everybody in."""
    if primary.cluster.params.auth_method == "trust":
        return False
    return any(conf.method_of_block(_rules(each), ADMITS) == "trust" for each in _all(primary))


def action(primary: Server) -> Action:
    """All of it; an interrupted one is gone on with."""
    instances, parts = _all(primary), list[Action]()
    if answers(primary):
        parts.append(replication_user.action(primary))
    parts += [_login(each) for each in instances if each.is_replica and each.has_configuration()]
    parts += [_rule(each) for each in instances]

    def done() -> bool:
        return not needed(primary)

    leaves = ahead.leaves(primary.cluster.params.project, by_password=True)
    return Action.sequence([*parts, replace(NOTHING, leaves=leaves)], done)


def _all(primary: Server) -> list[Server]:
    """The primary first: a leaf's rule is the last that says `trust`."""
    return [primary.other(name) for name in primary.cluster.topology.primary_first]


def _login(replica: Server) -> Action:
    """The password's file, and its path in the settings of a replica that may be fenced."""
    if replica.name not in replica.cluster.topology.upstreams:
        return NOTHING
    follows = standby_action(replica, replica.upstream)
    return Action.sequence([follows, *([restarts.reload_action(replica)] * answers(replica))])


def _rule(instance: Server) -> Action:
    """The rule; who is connected connects anew, which takes a moment and the password."""
    edit = rule_edit(instance)
    if not answers(instance):
        return edit_action(edit)

    def do(tell: Tell) -> None:
        edit.write()
        restarts.take_over(instance)
        connect_anew(instance)

    def done() -> bool:
        return edit.done() and not instance.stale()

    reload = restarts.reload_action(instance).commands
    return Action((edit, *reload, ends_command(instance)), do, done)


def connect_anew(instance: Server) -> None:
    """Who follows it connects anew: ours can, which is seen before, and nobody else.

    Raises `StepFailed` for those that would be refused; they stay connected.
    """
    names = instance.cluster.topology.followers(instance.name)
    followers = [f for f in map(instance.other, names) if answers(f)]
    primary = instance.other(instance.cluster.topology.primary)
    if instance.is_replica and answers(primary):  # whose password it must know, too
        instance.wait_replayed(db.row(primary.address, WRITTEN)["lsn"], REPLAY_SECONDS)
    _require_admitted(followers)
    db.rows(instance.address, ENDS)
    for each in followers:
        each.wait_streaming()


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


def answers(instance: Server) -> bool:
    """Whether it runs and answers."""
    return instance.cluster.engine.running(instance.name) and instance.answers()[0]


def _rules(instance: Server) -> str:
    cluster: Project = instance.cluster
    return cluster.text_of(cluster.folder / instance.name / CONFIGURATION[1])
