"""Nobody creates objects in the schema `public` who was not allowed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from ...doors import ahead
from ...engine.action import Action, Tell
from ...logins.public import CLOSE, OPEN_AT_FIRST, close_in, open_in
from ...words.text import t

if TYPE_CHECKING:
    from ...steps.cluster import Cluster


def close(cluster: Cluster) -> str:
    """Step: only who is allowed to creates objects in `public`, in each database."""
    primary, client = cluster.primary, cluster.engine.client

    def do(tell: Tell) -> None:
        for name in open_in(primary.address):
            close_in(primary.address, name)

    def done() -> bool:
        return not _open(cluster)

    commands = tuple(
        client(primary.name, "psql", "-d", n, "-c", f"{CLOSE};") for n in _open(cluster)
    )
    title = t("Let nobody create objects in the schema public without being allowed to")
    return cluster.perform(title, Action(commands, do, done))


def _open(cluster: Cluster) -> list[str]:
    """The databases in which everybody may; of a primary that is only planned, as it begins."""
    try:
        return open_in(cluster.primary.address)
    except (psycopg.Error, OSError):
        if not ahead.looking():
            raise
    return OPEN_AT_FIRST.get(cluster.params.pg_version, [])
