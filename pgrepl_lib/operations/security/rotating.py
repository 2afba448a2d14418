"""A new replication password while replication goes on; an interrupted change is finished.

Who is connected stays so until the primary and all replicas have the new password. Only then does
each replica connect anew: that it can is seen before its connection is ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...cluster.changes import outdated
from ...errors import ParameterError
from ...logins import renewal
from ...logins.tls import revoking
from ...steps.actions import replication_user
from ...steps.actions.connecting import password_known
from ...steps.actions.handing import handed_action
from ...words.text import mark, t

if TYPE_CHECKING:
    from ...steps.cluster import Cluster

NO_PASSWORD = mark("Replicas of this cluster log in without a password; nothing was changed.")
FIRST = mark("`pgrepl run --auth-method scram-sha-256` gives them one")


def password(cluster: Cluster) -> None:
    """Steps: the password, the primary, each replica, connections.

    Raises `ParameterError` where no password is asked for.
    """
    if cluster.params.auth_method == "trust":
        raise ParameterError(t(NO_PASSWORD), remedy=cluster.addressed(t(FIRST)))
    cluster.refuse_unfinished()
    outdated.require_none(cluster.engine, cluster.topology)
    cluster.require_primary()
    out = revoking.revoked(cluster)  # these are not to know it
    with cluster.working():
        made = renewal.action(cluster)
        cluster.perform(t("Make a new replication password, in protected files"), made)
        told = replication_user.action(cluster.primary)
        cluster.perform(t("Tell the primary the new password"), told)
        for replica in (r for r in cluster.replicas if r.prepared() and r.name not in out):
            given = handed_action(replica, follows=True)
            cluster.perform(t("Give {name} the new password", name=replica.name), given)
        anew = password_known([cluster.primary, *cluster.replicas])
        cluster.perform(t("Let each replica connect with the new password"), anew)
