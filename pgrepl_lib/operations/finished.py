"""Whether a process that was killed right after has done what is asked for: nothing is left then.

`recorded.json` holds the state at the beginning of what was killed (`recorded.Record.before`), so
that the same command is told from one that wants it done once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..drift import recorded

if TYPE_CHECKING:
    from ..steps.cluster import Cluster


def changed_roles(cluster: Cluster, to: str, *, record: bool = True) -> bool:
    """Whether the primary is who it shall be, and answers. to: "" for whoever was chosen."""
    return _primary_is(cluster, to) and (not record or _recorded(cluster))


def _primary_is(cluster: Cluster, to: str) -> bool:
    topology = cluster.topology
    if topology.operation or to not in ("", topology.primary):
        return False
    if not to and _before(cluster).get(topology.primary, {}).get("role") in (None, "primary"):
        return False
    return cluster.primary.answers()[0] and not cluster.primary.in_recovery()


def added(cluster: Cluster, upstream: str) -> str:
    """The replica that was added and is whole; empty where none was."""
    before, topology = _before(cluster), cluster.topology
    new = [name for name in topology.replicas if before and name not in before]
    wanted = upstream or topology.primary
    whole = [n for n in new if topology.upstreams[n] == wanted and cluster.instance(n).prepared()]
    if whole and _recorded(cluster):
        return whole[0]
    return ""


def removed(cluster: Cluster, name: str) -> bool:
    """Whether an instance of this name was there and was removed."""
    gone = name in _before(cluster) and name not in cluster.topology.names
    return gone and _recorded(cluster)


def rejoining(cluster: Cluster, name: str) -> bool:
    """Whether a former primary was brought back, although it may not follow just now."""
    return bool(_before(cluster).get(name, {}).get("role") == "fenced")


def _recorded(cluster: Cluster) -> bool:
    """Do what the killed process could not do any more: its changes are recorded."""
    with recorded.following(cluster):
        return True


def _before(cluster: Cluster) -> dict[str, Any]:
    """The instances at the beginning of what was killed; none where nothing was."""
    found = recorded.read(cluster)
    instances: dict[str, Any] = {}
    if found and found.before:
        instances = found.before["instances"]
    return instances
