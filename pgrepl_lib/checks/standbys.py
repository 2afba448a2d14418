"""Who confirms commits as a synchronous standby: with `trust` any user may answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from ..cluster.topology import Topology
from ..doors import db
from ..params import Params
from ..postgres.confirmation import COMMITS, RECEIVES, STANDBYS, promised, seen, waited_for
from ..words.commands import addressed
from ..words.text import joined, mark, t

STRANGER = mark("{address} answers as {name} and is none of ours")
NO_STRANGERS = mark(
    "end who is none of ours; with scram-sha-256 nobody without the password can answer"
)
FEW = mark("only {count} follow {primary} itself: {more}, or `pgrepl sync off`")


@dataclass(frozen=True)
class Standby:
    """One of our replicas: what it calls itself, the slot that it has, how it is reached."""

    name: str
    slot: str
    at: db.Address


def verdict(
    primary: db.Address,
    topology: Topology,
    ours: Sequence[Standby],
    sender: tuple[str, int],
    params: Params,
) -> tuple[str, ...]:
    """Expected, seen and hint of the check `synchronous`.

    topology: what is promised, and who follows whom; sender: host and port of the primary as its
    replicas reach it.
    """
    method = topology.synchronous
    found = seen(db.row(primary, COMMITS))
    others = strangers(primary, ours, sender)
    if not others:
        return promised(method), found, way_back(topology, params)
    told = [t(STRANGER, address=r["address"], name=r["name"]) for r in others]
    return promised(method), joined("; ", [found, *told]), t(NO_STRANGERS)


def way_back(topology: Topology, params: Params) -> str:
    """How enough replicas come to follow the primary itself: for others no commit waits."""
    direct, primary = topology.followers(topology.primary), topology.primary
    if waited_for(topology.synchronous) <= len(direct):
        way = t("`pgrepl run` starts replicas that stand, and puts the promise back")
        return addressed(way, params)
    ways = [f"`pgrepl rejoin {name}`" for name in topology.fenced]
    ways += [f"`pgrepl replica follow {n} {primary}`" for n in topology.replicas if n not in direct]
    more = ", ".join([*ways, "`pgrepl replica add`"])
    return addressed(t(FEW, count=len(direct), primary=primary, more=more), params)


def strangers(
    primary: db.Address, ours: Sequence[Standby], sender: tuple[str, int]
) -> list[dict[str, Any]]:
    """The standbys that commits wait for and that are none of ours; each with name and address.

    A name proves nothing. Ours is the one that uses the slot of the replica of that name, while
    that replica says that it receives through it: a slot serves one connection at a time.
    """
    slots = {s.name: s for s in ours}
    found = db.rows(primary, STANDBYS)
    return [r for r in found if not _is(slots.get(r["name"]), r["slot"], sender)]


def _is(standby: Standby | None, slot: str | None, sender: tuple[str, int]) -> bool:
    """Whether this replica of ours receives through this slot of the primary."""
    if standby is None or slot != standby.slot:
        return False
    host, port = sender
    try:
        return db.row(standby.at, RECEIVES) == {"slot": slot, "sender": f"{host}:{port}"}
    except (psycopg.Error, OSError):
        return False
