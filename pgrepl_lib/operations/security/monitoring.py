"""A role for a monitoring system, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...cluster.changes import outdated
from ...doors import ahead
from ...logins import monitoring
from ...words.text import t

if TYPE_CHECKING:
    from ...steps.cluster import Cluster


def admit(cluster: Cluster) -> None:
    """Steps: its password, and the role on the primary, from which the replicas get it.

    Raises `StepFailed` where a role of that name is somebody else's.
    """
    _require(cluster)
    with cluster.working():
        title = t("Make the password of {role}, in protected files", role=monitoring.ROLE)
        cluster.perform(title, monitoring.password_action(cluster.primary))
        title = t("Let {role} see statistics, and no rows", role=monitoring.ROLE)
        cluster.perform(title, monitoring.role_action(cluster.primary))


def undo(cluster: Cluster) -> None:
    """Step: neither the role nor its password is there any more."""
    _require(cluster)
    with cluster.working():
        title = t("Take {role} away", role=monitoring.ROLE)
        cluster.perform(title, monitoring.gone_action(cluster.primary))


def _require(cluster: Cluster) -> None:
    cluster.refuse_unfinished()
    outdated.require_none(cluster.engine, cluster.topology)
    cluster.require_primary()
    if not ahead.looking():  # in a plan, the server may not be there yet
        monitoring.is_there(cluster.primary)
