"""Slots that a change of roles leaves without anybody to use them, or takes with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg

from .. import db, recorded
from ..engine import Action
from ..topology import owner_of
from .hindrances import LOGICAL

if TYPE_CHECKING:
    from ..cluster import Cluster
    from ..server import Server

IDLE = """
select slot_name as name from pg_replication_slots
where slot_type = 'physical' and not active and not temporary order by 1"""


def unused(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Instances and slots there of replicas of this cluster that follow another one, or nobody.

    A fenced instance's are none of them: it drops them when it rejoins.
    """
    topology = cluster.topology
    for name in topology.names:
        if name in topology.fenced or not cluster.engine.running(name):
            continue
        for slot in _idle(cluster.instance(name).address):
            owner = owner_of(slot)
            if owner in topology.names and topology.upstreams.get(owner) != name:
                yield name, slot


def drops(cluster: Cluster) -> list[Action]:
    """They hold WAL for ever: away with them."""
    return [cluster.instance(name).drop_slot_action(slot) for name, slot in unused(cluster)]


def told(cluster: Cluster) -> list[str]:
    """Such slots as facts; while roles change there may be some that will be used."""
    if cluster.topology.operation:
        return []
    return [f"{name}: {slot} inactive, of nobody" for name, slot in unused(cluster)]


def remedy(cluster: Cluster) -> str:
    """The commands that drop them."""
    text = "`pgrepl psql {} -- -c \"select pg_drop_replication_slot('{}')\"`"
    return cluster.addressed("; ".join(text.format(name, slot) for name, slot in unused(cluster)))


def lost_with(old: Server, new: Server) -> list[str]:
    """Logical slots that do not change over with the role (manual, 29.6), to be said before."""
    kept = _names(new, LOGICAL) or []
    slots = [name for name in _logical(old) if name not in kept]
    if not slots:
        return []
    told = f"{old.name} has logical slots that the new primary will not have: {', '.join(slots)}"
    return [f"{told}; their consumers need new ones there"]


def _logical(old: Server) -> list[str]:
    """Those of a server that does not answer any more are known from what was recorded."""
    found = _names(old, LOGICAL)
    if found is not None:
        return found
    record = recorded.read(old.cluster)
    known = record.state["instances"].get(old.name, {}).get("slots") if record else None
    return sorted(name for name, kind in (known or {}).items() if kind == "logical")


def _names(server: Server, query: str) -> list[str] | None:
    """The names that a query finds; None of a server that does not answer."""
    if not server.cluster.engine.running(server.name):
        return None
    with suppress(psycopg.Error, OSError):
        return [row["n"] for row in db.rows(server.address, query)]
    return None


def _idle(at: db.Address) -> list[str]:
    with suppress(psycopg.Error, OSError):
        return [row["name"] for row in db.rows(at, IDLE)]
    return []
