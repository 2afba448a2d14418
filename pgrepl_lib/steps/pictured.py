"""A cluster as a picture: its instances as boxes, and the way of the WAL."""

from __future__ import annotations

from ..cluster.members import AnyCluster
from ..words import picture


def topology(cluster: AnyCluster, *, network: str, writes: str, reads: str, alt: str) -> str:
    """The primary, its replicas and the way of the WAL. The texts are the reader's language, hence arguments."""
    nodes = [
        picture.Node(
            cluster.primary.name, "primary", (writes, f"PostgreSQL {cluster.params.pg_version}")
        )
    ]
    nodes += [
        picture.Node(
            r.name,
            "replica",
            (reads, f"application_name {r.application_name}"),
            r.upstream.name,
            r.slot,
        )
        for r in cluster.replicas
    ]
    return picture.draw(nodes, network=network, alt=alt)
