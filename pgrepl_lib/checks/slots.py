"""Slots that a change of roles leaves without anybody to use them."""

from __future__ import annotations

from contextlib import suppress

import psycopg

from ..cluster.dropping import drop_slot
from ..cluster.members import AnyCluster
from ..cluster.server import Server
from ..cluster.topology import Topology, owner_of
from ..doors import ahead, db
from ..engine.action import Action, Tell
from ..words.text import t

Held = dict[str, dict[str, bool]]  # each instance's physical slots, and whether one is in use
PHYSICAL = """
select slot_name as name, active from pg_replication_slots
where slot_type = 'physical' and not temporary order by 1"""


def unused(held: Held, now: Topology, after: Topology) -> list[tuple[str, str]]:
    """Instances and slots there of those that follow another one after a change, or nobody.

    now, after: who follows whom; the same where no change is to come. One that is in use counts
    only where its owner will leave it. A fenced instance drops its own when it rejoins.
    """
    found = []
    for name, slots in held.items():
        for slot, active in slots.items():
            owner = owner_of(slot)
            leaves = owner in after.names and after.upstreams.get(owner) != name
            if leaves and not (active and now.upstreams.get(owner) != name):
                found.append((name, slot))
    return found


def drops(cluster: AnyCluster, after: Topology) -> Action:
    """They hold WAL for ever: each is dropped once. after: who then follows whom."""
    found = unused(_held(cluster, after), cluster.topology, after)
    return Action.sequence([drop_slot(cluster.instance(name), slot) for name, slot in found])


def elsewhere(cluster: AnyCluster, instance: Server, upstream: str) -> Action:
    """An instance's slot goes where it is no longer used; whoever uses it there is waited for."""
    slot = instance.slot
    held = _held(cluster, cluster.topology)
    places = [name for name, its in held.items() if slot in its and name != upstream]
    return Action.sequence([drop_slot(cluster.instance(name), slot) for name in places])


def tidied(cluster: AnyCluster, instance: Server, start: Action) -> Action:
    """A start after which an instance has a slot at its upstream alone, and holds none for nobody.

    Who was down while roles changed may still have some.
    """
    mine = (instance.name, instance.slot)

    def strays() -> Action:
        found = [stray for stray in _unused_now(cluster) if set(stray) & set(mine)]
        return Action.sequence([drop_slot(cluster.instance(name), slot) for name, slot in found])

    def do(tell: Tell) -> None:
        if not start.done():
            start.do(tell)
        strays().do(tell)

    def done() -> bool:
        return start.done() and strays().done()

    commands = (*start.commands, *strays().commands)
    return Action(commands, do, done, anew=start.anew or start.commands)


def told(cluster: AnyCluster) -> list[str]:
    """Such slots as facts; while roles change there may be some that will be used."""
    if cluster.topology.operation:
        return []
    return [
        t("{name}: {slot} inactive, of nobody", name=name, slot=slot)
        for name, slot in _unused_now(cluster)
    ]


def remedy(cluster: AnyCluster) -> str:
    """The commands that drop them."""
    text = "`pgrepl psql {} -- -c \"select pg_drop_replication_slot('{}')\"`"
    found = _unused_now(cluster)
    return cluster.addressed("; ".join(text.format(name, slot) for name, slot in found))


def _unused_now(cluster: AnyCluster) -> list[tuple[str, str]]:
    topology = cluster.topology
    return unused(_held(cluster, topology), topology, topology)


def _held(cluster: AnyCluster, after: Topology) -> Held:
    """What each instance that is asked has; one that does not answer may have any."""
    running = (n for n in after.names if n not in after.fenced and cluster.engine.running(n))
    return {name: _physical(cluster.instance(name)) for name in running}


def _physical(server: Server) -> dict[str, bool]:
    found: dict[str, bool] = {}
    with suppress(psycopg.Error, OSError):
        found = {row["name"]: row["active"] for row in db.rows(server.address, PHYSICAL)}
    if ahead.uncertain():  # who uses one then is who follows then
        found = dict.fromkeys(found, False)
    foreseen = ahead.facts("slot", server.name)
    kept = {slot: active for slot, active in found.items() if foreseen.get(slot, True)}
    made = dict.fromkeys((slot for slot, there in foreseen.items() if there), False)
    return dict(sorted({**made, **kept}.items()))
