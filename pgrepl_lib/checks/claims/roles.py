"""Who accepts writes, and who refuses them."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from ...cluster.members import AnyCluster
from ...cluster.server import Server
from ...doors import db
from ...doors.answer import Answer, Kind, ask_all
from ...postgres.sessions import AS_A_CLIENT
from ...words.text import joined, mark, t
from .. import momentary
from ..outcome import Fact
from ..registry import check, of_replicas

WRITES = "CREATE TABLE, pg_is_in_recovery = {}"
REFUSES = "pg_is_in_recovery = true, SQLSTATE 25006"


@check(
    "primary-writes",
    mark("The primary accepts writes"),
    mark("the primary is down, in recovery or out of space: see its log (`pgrepl status`)"),
)
def primary_writes(cluster: AnyCluster) -> Iterable[Fact]:
    """Really writes, since a full disk shows in no setting."""
    primary = cluster.primary
    with momentary.schema(primary.address) as schema:
        create = sql.SQL("create table {}.t as select 1 as n").format(schema)
        db.rows(primary.address, create, settings=AS_A_CLIENT)
        recovers = _recovers(primary)
    yield Fact(primary.name, WRITES.format("false"), WRITES.format(recovers))


@check(
    "replica-refuses-writes",
    mark("Each replica is in recovery and refuses writes (SQLSTATE 25006)"),
    mark(
        "a replica that accepts writes has been promoted and no longer follows: "
        "`pgrepl replica rebuild NAME --discard` makes it one again, without what was written there"
    ),
)
@of_replicas
def replica_refuses_writes(replica: Server) -> tuple[str, str]:
    """Really tries to write."""
    recovery = f"pg_is_in_recovery = {_recovers(replica)}"
    try:
        db.rows(replica.address, "create temporary table pgrepl_refused (n int)")
        return REFUSES, f"{recovery}, CREATE TABLE"
    except psycopg.Error as error:
        return REFUSES, f"{recovery}, SQLSTATE {error.sqlstate}"


@check(
    "one-primary",
    mark("Exactly one instance accepts writes"),
    mark("two writable servers: stop at once the one that `pgrepl status` does not call primary"),
)
def one_primary(cluster: AnyCluster) -> Iterable[Fact]:
    """Asks every instance, the fenced ones too; one that lives and does not say so may do it."""

    def accepts(name: str) -> str:
        seen = cluster.instance(name).look("select pg_is_in_recovery() as r")
        if not isinstance(seen, Answer):
            return "" if seen["r"] else name
        return "" if seen.kind is Kind.NOBODY else joined(" ", [name, str(seen)])

    found = filter(None, ask_all(accepts, cluster.topology.names))
    yield Fact("", cluster.primary.name, ", ".join(found) or t("nobody"))


def _recovers(server: Server) -> str:
    return str(server.in_recovery()).lower()
