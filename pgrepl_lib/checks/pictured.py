"""A cluster as a picture: its instances as boxes, and the way of the WAL."""

from __future__ import annotations

from ..cluster.members import AnyCluster
from ..words import picture
from ..words.text import t


def topology(cluster: AnyCluster) -> str:
    """The primary, its replicas and the way of the WAL."""
    version, primary = f"PostgreSQL {cluster.params.pg_version}", cluster.primary.name
    nodes = [picture.Node(primary, "primary", (t("reads and writes"), version))]
    for replica in cluster.replicas:
        lines = (t("reads only"), f"application_name {replica.application_name}")
        node = picture.Node(replica.name, "replica", lines, replica.upstream.name, replica.slot)
        nodes.append(node)
    ways = [
        t(
            "{upstream} sends its WAL to {name}, over the slot {slot}",
            upstream=node.upstream,
            name=node.name,
            slot=node.slot,
        )
        for node in nodes[1:]
    ]
    alt = "; ".join(ways) or primary
    return picture.draw(nodes, network=t("the cluster's network"), alt=alt)
