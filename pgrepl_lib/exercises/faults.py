"""Faults that several exercises begin with, and the steps that take them back.

A fault is made as somebody else would make it, beside the steps: none of it is recorded as ours.
"""

from __future__ import annotations

from psycopg import sql

from ..cluster import restarts
from ..cluster.server import Server
from ..doors import db
from ..doors.wait import wait_until
from ..engine.action import Action, Tell, leaving
from ..steps.cluster import Cluster
from ..words.text import t

ACTIVE = "select active from pg_replication_slots where slot_name = %s"
SCHEMA = "exercicio"  # of tables; slots and roles of exercises begin with it
# What exercises change by ALTER SYSTEM.
SETTINGS = (
    "default_transaction_read_only",
    "max_slot_wal_keep_size",
    "primary_conninfo",
    "primary_slot_name",
    "recovery_min_apply_delay",
    "synchronous_commit",
    "synchronous_standby_names",
)


def alter_system(instance: Server, name: str, value: str) -> None:
    """Change a setting where it wins over the file, and let the server read it."""
    statement = sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value))
    db.rows(instance.address, statement)
    restarts.reload(instance)


def reset(cluster: Cluster, instance: Server, name: str) -> str:
    """Step: what ALTER SYSTEM says of a setting goes; the file counts again."""
    statement = f"alter system reset {name};"
    client = cluster.engine.client
    commands = (
        client(instance.name, "psql", "-c", statement),
        client(instance.name, "psql", "-c", "select pg_reload_conf();"),
    )

    def do(tell: Tell) -> None:
        db.rows(instance.address, statement)
        restarts.reload(instance)

    title = t("Take {name} back on {instance}", name=name, instance=instance.name)
    return cluster.perform(title, Action(commands, do))


def typed(cluster: Cluster, instance: Server, statement: str) -> str:
    """Step: an SQL statement, as a person would type it."""

    def do(tell: Tell) -> None:
        db.rows(instance.address, statement)

    command = leaving(cluster.engine.client(instance.name, "psql", "-c", statement), _nothing)
    title = t("Have {instance} do it", instance=instance.name)
    return cluster.perform(title, Action((command,), do))


def read_files(cluster: Cluster, instance: Server) -> str:
    """Step: a server takes over its edited files."""
    title = t("Let {instance} read its files", instance=instance.name)
    return cluster.perform(title, restarts.reload_action(instance))


def wait_gone(replica: Server) -> None:
    """Wait until a replica does not stream any more."""

    def probe() -> tuple[bool, str]:
        streams, state = replica.streams()
        return not streams, state

    wait_until(t("{name} to end its stream", name=replica.name), probe, seconds=30)


def wait_used(instance: Server, slot: str, *, used: bool = True) -> None:
    """Wait until a slot is used, or is not any more."""

    def probe() -> tuple[bool, str]:
        active = bool(db.row(instance.address, ACTIVE, [slot]).get("active"))
        return active == used, str(active)

    wait_until(t("the slot {slot} to change", slot=slot), probe, seconds=30)


def table(cluster: Cluster, columns: str, rows: str) -> None:
    """The exercises' table `dados`, with these rows, as SQL has them."""
    at = cluster.primary.address
    db.rows(at, f"create schema if not exists {SCHEMA}")
    db.rows(at, f"create table {SCHEMA}.dados ({columns})")
    db.rows(at, f"insert into {SCHEMA}.dados {rows}")


def _nothing() -> None:
    """It leaves nothing that a plan would have to know."""
