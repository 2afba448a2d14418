"""Replication slots that go: one that nobody uses holds WAL for ever."""

from __future__ import annotations

from psycopg import sql

from ..doors import ahead, db
from ..doors.program import silently
from ..doors.wait import wait_until
from ..engine.action import Action, Tell, leaving
from ..words.text import t
from .server import Server

SLOT = """
select not active as free, active_pid::text as pid from pg_replication_slots where slot_name = %s"""


# Of those that others may copy (from 17 on), a former primary's own, and those of its successor.
ORIGINALS = """
select slot_name as name from pg_replication_slots where failover and not synced and not active"""
COPIES = "select slot_name as name from pg_replication_slots where failover"


def drop_slot(instance: Server, slot: str) -> Action:
    """Drop a slot at an instance, as soon as nobody uses it."""
    query = sql.SQL("select pg_drop_replication_slot({});").format(slot).as_string()
    command, its = instance.cluster.engine.client(instance.name, "psql", "-c", query), instance.name

    def do(tell: Tell) -> None:
        wait_slot_free(instance, slot)
        db.rows(instance.address, query)

    def there() -> bool:
        return bool(db.row(instance.address, SLOT, [slot]))

    def done() -> bool:
        return not ahead.fact("slot", f"{its}/{slot}", there)

    return Action((leaving(command, ahead.leaves(f"{its}/{slot}", slot=False)),), do, done)


def drop_originals(former: Server) -> None:
    """Where replicas copy logical slots: those of a former primary that its successor has now.

    While they are there, nothing is copied to it (manual, 47.2.3).
    """
    if not former.cluster.params.databases[1:]:
        return
    copies = db.rows(former.upstream.address, COPIES)
    for original in db.rows(former.address, ORIGINALS):
        if original in copies:
            drop_slot(former, original["name"]).do(silently)


def wait_slot_free(instance: Server, slot: str) -> None:
    """Wait until nobody uses a slot, even if it does not exist; raises `WaitTimeout`."""

    def probe() -> tuple[bool, str]:
        found = db.row(instance.address, SLOT, [slot])
        used = t("used by process {pid}", pid=found.get("pid"))
        return not found or bool(found["free"]), used

    what = t("nobody to use the slot {slot}", slot=slot)
    wait_until(what, probe, seconds=20, hint=t("a replica still follows this instance"))
