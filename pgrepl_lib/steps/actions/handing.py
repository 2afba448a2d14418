"""What an instance's server is handed: files that it alone may read."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ...cluster.server import Server
from ...doors import ahead
from ...engine.action import NOTHING, PASSFILE, Action
from ...engine.secret import files_of
from ...logins.tls import certificates, revoking
from ...postgres import tls


def certified_action(instance: Server) -> Action:
    """With TLS, a certificate for an instance that has none yet."""
    cluster = instance.cluster
    if cluster.params.tls == tls.OFF:
        return NOTHING
    action = certificates.action(cluster, [instance.name])
    if action.done():
        return NOTHING
    return action


def handed_action(instance: Server, *, follows: bool) -> Action:
    """The password by which it logs in, and with TLS its own key and certificate.

    follows: whether it is to log in to an upstream.
    """
    cluster, given = instance.cluster, dict[str, str]()
    if follows and cluster.params.auth_method != "trust":
        given[PASSFILE] = PASSFILE
    if cluster.params.tls != tls.OFF:
        given |= files_of(instance.name)
        if revoking.any_ever(cluster):
            given[tls.REVOKED] = revoking.LIST
    if not given:
        return NOTHING
    found = [certified_action(instance), cluster.engine.give(instance.name, given)]
    return _foreseen(Action.sequence(found), f"handed {' '.join(given)}", instance.name)


def _foreseen(action: Action, what: str, whom: str) -> Action:
    """For whoever only plans: what is in its data is not read again once it is planned."""

    def leaves() -> None:
        action.leaves()
        ahead.leaves(whom, **{what: True})()

    return replace(action, done=partial(ahead.fact, what, whom, action.done), leaves=leaves)
