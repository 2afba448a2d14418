"""A cluster made with `trust` is taken over: its replicas log in by password, then all must.

First what a replica needs to log in, then the rules: so nobody is locked out on the way, and who
has no password is out at the end, also where a connection was open.
"""

from __future__ import annotations

from dataclasses import replace

from ...cluster import restarts
from ...cluster.project import Project
from ...cluster.server import Server
from ...doors import ahead
from ...engine.action import CONFIGURATION, NOTHING, Action, Tell, edit_action
from ...postgres import conf
from . import replication_user
from .connecting import answers, connect_anew, ends_command
from .rules import ADMITS, rule_edit
from .standby import standby_action


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


def _rules(instance: Server) -> str:
    cluster: Project = instance.cluster
    return cluster.text_of(cluster.folder / instance.name / CONFIGURATION[1])
