"""Which replicas may be removed or made anew; raised before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster import promises, roles
from ..errors import ParameterError
from ..words.text import mark, t

if TYPE_CHECKING:
    from .cluster import Cluster


REMOVE_FIRST = mark("remove them first, or: `pgrepl replica follow {name} {upstream}`")
FOLLOW_FIRST = mark("let them follow another one first: `pgrepl replica follow {name} {upstream}`")
LISTED = mark(
    "`pgrepl rejoin {name}` lists them; all the same: `pgrepl replica remove {name} --yes`"
)


def require_removable(cluster: Cluster, name: str, confirm: bool) -> None:
    """Raise `ParameterError` for the primary, for what others follow, for what is unique."""
    cluster.instance(name)
    if name == cluster.topology.primary:
        others = cluster.topology.replicas or ["NAME"]
        remedy = t("switch to another one first: `pgrepl switchover --to {name}`", name=others[0])
        cause = t("{name} is the primary; nothing was removed.", name=name)
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    if followers := cluster.topology.followers(name):
        remedy = t(REMOVE_FIRST, name=followers[0], upstream=cluster.primary.name)
        cause = t(
            "{names} follow {name}; nothing was removed.", names=", ".join(followers), name=name
        )
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    if not confirm and name in cluster.topology.fenced:
        remedy = t(LISTED, name=name)
        cause = t(
            "{name} was the primary, and may have rows of its own; nothing was removed.", name=name
        )
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    if not confirm and cluster.topology.replicas == [name]:
        remedy = t("confirm it: `pgrepl replica remove {name} --yes`", name=name)
        cause = t("{name} is the last copy of the primary's data; nothing was removed.", name=name)
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    cluster.require_primary()  # else what is removed may be the last copy of the data
    promises.require_enough_left(cluster, name)
    roles.require_another_writer(cluster.engine, cluster.topology, name)


def require_rebuildable(cluster: Cluster, name: str, discard: bool = False) -> None:
    """Raise `ParameterError` unless it is a replica that nobody follows, and really is one."""
    cluster.instance(name)
    if name == cluster.topology.primary:
        remedy = cluster.addressed(t("switch to another one first: `pgrepl switchover`"))
        cause = t("{name} is the primary; nothing was touched.", name=name)
        raise ParameterError(cause, remedy=remedy)
    if name not in cluster.topology.upstreams:
        remedy = t("a fenced former primary is brought back by: `pgrepl rejoin {name}`", name=name)
        cause = t("{name} is no replica; nothing was touched.", name=name)
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    # A new copy has neither their slots nor the WAL that they need.
    if followers := cluster.topology.followers(name):
        upstream = cluster.instance(name).upstream.name
        remedy = t(FOLLOW_FIRST, name=followers[0], upstream=upstream)
        cause = t(
            "{names} follow {name}; nothing was touched.", names=", ".join(followers), name=name
        )
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    source = cluster.instance(name).upstream
    source.require_copyable()
    roles.require_expendable(cluster.engine, cluster.topology, name, source.name, discard=discard)
