"""Which replicas may be removed or made anew; raised before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster import promises, roles
from ..errors import ParameterError

if TYPE_CHECKING:
    from .cluster import Cluster


def require_removable(cluster: Cluster, name: str, confirm: bool) -> None:
    """Raise `ParameterError` for the primary, for what others follow, for what is unique."""
    if name not in cluster.topology.upstreams and name not in cluster.topology.fenced:
        others = cluster.topology.replicas or ["NAME"]
        remedy = f"switch to another one first: `pgrepl switchover --to {others[0]}`"
        cause = f"{name} is the primary; nothing was removed."
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    if followers := cluster.topology.followers(name):
        first = f"pgrepl replica follow {followers[0]} {cluster.primary.name}"
        remedy = cluster.addressed(f"remove them first, or: `{first}`")
        raise ParameterError(
            f"{', '.join(followers)} follow {name}; nothing was removed.", remedy=remedy
        )
    if not confirm and name in cluster.topology.fenced:
        by_force = f"all the same: `pgrepl replica remove {name} --yes`"
        remedy = f"`pgrepl rejoin {name}` lists them; {by_force}"
        cause = f"{name} was the primary, and may have rows of its own; nothing was removed."
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    if not confirm and cluster.topology.replicas == [name]:
        remedy = cluster.addressed(f"confirm it: `pgrepl replica remove {name} --yes`")
        cause = f"{name} is the last copy of the primary's data; nothing was removed."
        raise ParameterError(cause, remedy=remedy)
    promises.require_enough_left(cluster, name)
    roles.require_another_writer(cluster.engine, cluster.topology, name)


def require_rebuildable(cluster: Cluster, name: str, discard: bool = False) -> None:
    """Raise `ParameterError` unless it is a replica that nobody follows, and really is one."""
    cluster.instance(name)
    if name == cluster.topology.primary:
        remedy = cluster.addressed("switch to another one first: `pgrepl switchover`")
        raise ParameterError(f"{name} is the primary; nothing was touched.", remedy=remedy)
    if name not in cluster.topology.upstreams:
        remedy = f"a fenced former primary is brought back by: `pgrepl rejoin {name}`"
        cause = f"{name} is no replica; nothing was touched."
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    if followers := cluster.topology.followers(
        name
    ):  # a new copy has neither their slots nor the WAL that they need
        first = f"pgrepl replica follow {followers[0]} {cluster.instance(name).upstream.name}"
        remedy = cluster.addressed(f"let them follow another one first: `{first}`")
        raise ParameterError(
            f"{', '.join(followers)} follow {name}; nothing was touched.", remedy=remedy
        )
    source = cluster.instance(name).upstream
    source.require_copyable()
    roles.require_expendable(cluster.engine, cluster.topology, name, source.name, discard=discard)
