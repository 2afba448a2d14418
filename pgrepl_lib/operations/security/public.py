"""The schema `public`: up to 14 every user may create objects in it (manual, 5.9.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...doors import db
from ...engine.action import Action, Tell
from ...words.text import t

if TYPE_CHECKING:
    from ...steps.cluster import Cluster
    from ...steps.instance import Instance

DATABASES = "select datname as name from pg_database where datallowconn order by 1"
OPEN = """
select exists (
    select from pg_namespace n, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
    where nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE') as open"""
CLOSE = "revoke create on schema public from public"


def close(cluster: Cluster) -> str:
    """Step: only who is allowed to creates objects in `public`, in each database."""
    primary = cluster.primary
    client = cluster.engine.client

    def do(tell: Tell) -> None:
        for name in open_in(primary):
            with db.connect(primary.address, dbname=name) as connection:
                connection.execute(CLOSE)

    def done() -> bool:
        return not open_in(primary)

    found = open_in(primary)
    commands = tuple(client(primary.name, "psql", "-d", n, "-c", f"{CLOSE};") for n in found)
    title = t("Let nobody create objects in the schema public without being allowed to")
    return cluster.perform(title, Action(commands, do, done))


def open_in(server: Instance) -> list[str]:
    """The databases in which everybody may."""
    names = [r["name"] for r in db.rows(server.address, DATABASES)]
    return [name for name in names if _is_open(server, name)]


def _is_open(server: Instance, database: str) -> bool:
    with db.connect(server.address, dbname=database) as connection:
        return bool((connection.execute(OPEN).fetchone() or {})["open"])
