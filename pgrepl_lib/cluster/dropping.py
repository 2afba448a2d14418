"""Replication slots that go: one that nobody uses holds WAL for ever."""

from __future__ import annotations

from psycopg import sql

from ..doors import ahead, db
from ..doors.wait import wait_until
from ..engine.action import Action, Tell, leaving
from ..words.text import t
from .server import Server

SLOT = """
select not active as free, active_pid::text as pid from pg_replication_slots where slot_name = %s"""


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


def wait_slot_free(instance: Server, slot: str) -> None:
    """Wait until nobody uses a slot, even if it does not exist; raises `WaitTimeout`."""

    def probe() -> tuple[bool, str]:
        found = db.row(instance.address, SLOT, [slot])
        used = t("used by process {pid}", pid=found.get("pid"))
        return not found or bool(found["free"]), used

    what = t("nobody to use the slot {slot}", slot=slot)
    wait_until(what, probe, seconds=20, hint=t("a replica still follows this instance"))
