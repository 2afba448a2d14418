"""A replica that is to receive nothing any more: its certificate is revoked; and the way back.

Its password stays good, and without a certificate is not enough. Its slot stays, too, and keeps
WAL for it, up to the limit that a cluster with TLS has.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...doors import ahead
from ...engine.action import Action, Tell
from ...errors import ParameterError, StepFailed
from ...logins.tls import certificates, revoking, succession
from ...steps.actions.connecting import answers, end, end_command
from ...steps.actions.encrypting import presenting_action
from ...words.text import mark, t
from .renewing import BEGUN, FINISH, given_new, require_running

if TYPE_CHECKING:
    from ...steps.cluster import Cluster
    from ...steps.instance import Instance

PRIMARY = mark("{name} is the primary: its certificate cannot be revoked; nothing was changed.")
INSTEAD = mark("first let another one be the primary: `pgrepl switchover`")
ELSEWHERE = mark(
    "{folder} has an authority that only its owner can let revoke; nothing was changed."
)
OWN = mark("`pgrepl rotate certificates -p certificates ''` takes one of the cluster's own")
FOLLOWED = mark("{others} follow {name}; nothing was changed.")
MOVE = mark("first let them follow another one: `pgrepl replica follow {other} primary`")


def revoke(cluster: Cluster, name: str) -> None:
    """Steps: the authority's list, each server that reads it, and the end of the connection.

    Raises `ParameterError` for the primary, and where the authority is not the cluster's own.
    """
    _require(cluster, name)
    with cluster.working():
        title = t("Revoke the certificate of {name}", name=name)
        cluster.perform(title, _listed(cluster, name))
        for each in map(cluster.instance, cluster.topology.primary_first):
            if each.prepared() and each.name != name:
                title = t("Let {name} refuse what is revoked", name=each.name)
                cluster.perform(title, presenting_action(each))
        title = t("End the connection of {name}", name=name)
        cluster.perform(title, _ended(cluster.instance(name)))


def take_back(cluster: Cluster, name: str) -> None:
    """Step: another certificate, with which it follows again; the first one stays revoked."""
    _require(cluster, name)
    replica, is_revoked = cluster.instance(name), name in revoking.revoked(cluster)
    with cluster.working():
        action = given_new(replica, due=is_revoked)
        cluster.perform(t("Give {name} a new certificate", name=name), action)
    if answers(replica):
        replica.wait_streaming()


def _require(cluster: Cluster, name: str) -> None:
    require_running(cluster)
    if name == cluster.topology.primary:
        raise ParameterError(t(PRIMARY, name=name), remedy=cluster.addressed(t(INSTEAD)))
    if folder := cluster.params.certificates:
        cause = t(ELSEWHERE, folder=folder)
        raise ParameterError(cause, remedy=cluster.addressed(t(OWN)))
    if others := cluster.topology.followers(cluster.instance(name).name):
        cause = t(FOLLOWED, others=", ".join(others), name=name)
        remedy = t(MOVE, other=others[0])
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    if succession.begun(cluster):
        raise StepFailed(t(BEGUN), remedy=cluster.addressed(t(FINISH)))
    certificates.signer(cluster)


def _listed(cluster: Cluster, name: str) -> Action:
    def do(tell: Tell) -> None:
        revoking.revoke(cluster, name)
        cluster.engine.prepare()

    def done() -> bool:
        return name in revoking.revoked(cluster)

    leaves = partial(revoking.revoke, cluster, name)
    return Action((revoking.command(name),), do, done, leaves=leaves)


def _ended(replica: Instance) -> Action:
    def do(tell: Tell) -> None:
        end(replica)

    def done() -> bool:
        return not ahead.looking() and not replica.streams()[0]

    return Action((end_command(replica),), do, done)
