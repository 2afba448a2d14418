"""A cluster made with `trust` is taken over: its replicas log in by password, then all must.

First what a replica needs to log in, then the rules: so nobody is locked out on the way, and who
has no password is out at the end, also where a connection was open. A change of the password that
was interrupted ends in the same way.
"""

from __future__ import annotations

from dataclasses import replace

from ...cluster import restarts
from ...cluster.server import Server
from ...doors import ahead
from ...engine.action import NOTHING, Action, edit_action
from ...logins import renewal
from ...logins.tls import revoking
from ...words.text import mark, t
from . import replication_user
from .connecting import answers, password_known
from .handing import handed_action
from .rules import admits, rule_edit
from .standby import standby_edit

SECRETS = mark("Make the passwords, in protected files")
BY_PASSWORD = mark("Let replicas log in by password, and nobody without one")


def needed(primary: Server) -> bool:
    """Whether a password is asked for that somebody need not have, or not know yet.

    A rule lets him in without one, or who is connected has not been asked again.
    """
    if primary.cluster.params.auth_method == "trust":
        return False
    return renewal.begun(primary.cluster) or any(
        admits(each)[1] == "trust" for each in _all(primary)
    )


def steps(primary: Server) -> list[tuple[str, Action]]:
    """What is done about it, with its titles; an interrupted change is gone on with."""
    cluster = primary.cluster
    return [(t(SECRETS), renewal.first_action(cluster)), (t(BY_PASSWORD), action(primary))]


def action(primary: Server) -> Action:
    """The role, what replicas log in with, the rules, and the connections."""
    instances, parts = _all(primary), list[Action]()
    if answers(primary):
        parts.append(replication_user.action(primary))
    parts += [_login(each) for each in instances if each.is_replica and each.has_configuration()]
    parts += [_rule(each) for each in instances]
    parts.append(password_known(instances))

    def done() -> bool:
        return not needed(primary)

    leaves = ahead.leaves(primary.cluster.params.project, by_password=True)
    return Action.sequence([*parts, replace(NOTHING, leaves=leaves)], done)


def _all(primary: Server) -> list[Server]:
    """The primary first, whose rule decides for most."""
    return [primary.other(name) for name in primary.cluster.topology.primary_first]


def _login(replica: Server) -> Action:
    """The password's file, and its path in the settings of a replica that may be fenced."""
    cluster = replica.cluster
    if replica.name not in cluster.topology.upstreams or replica.name in revoking.revoked(cluster):
        return NOTHING
    handed, follows = handed_action(replica, follows=True), standby_edit(replica, replica.upstream)
    reload = [restarts.reload_action(replica)] * answers(replica)
    return Action.sequence([handed, edit_action(follows), *reload])


def _rule(instance: Server) -> Action:
    edit = rule_edit(instance)
    if not answers(instance):
        return edit_action(edit)
    return restarts.edited(instance, edit)
