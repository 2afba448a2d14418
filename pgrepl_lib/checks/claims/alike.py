"""What instances silently differ in: all else works, and one day an answer is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg

from ...cluster import restarts
from ...cluster.members import AnyCluster
from ...cluster.server import Server
from ...doors import db
from ...errors import first_line
from ...postgres import conf
from ...words.text import joined, mark, t
from ..outcome import Fact
from ..registry import check, of_replicas, running

CLOCK_SECONDS = 2.0  # more than two machines that a time server sets differ by
# One collation for each library that brings them: all of it has one version.
LIBRARIES = """
select distinct on (collprovider)
       case collprovider when 'i' then 'icu' when 'c' then 'libc' else 'builtin' end as library,
       collversion as made_with, pg_collation_actual_version(oid) as has
from pg_collation where collversion is not null order by collprovider, oid"""
TEXT_INDEXES = """
select c.oid::regclass::text as name, c.oid
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
where a.amname = 'btree' and i.indisvalid and c.relpersistence = 'p'
  and exists (select from unnest(i.indcollation::oid[]) o where o <> 0)
  and exists (select from pg_extension where extname = 'amcheck')
order by 1"""
PRELOADED = "select current_setting('shared_preload_libraries') as names"
NOW = "select extract(epoch from clock_timestamp())::float as now"
KEPT = """
select slot_name as slot, pg_size_pretty(pg_wal_lsn_diff(
           case when pg_is_in_recovery() then pg_last_wal_receive_lsn()
           else pg_current_wal_lsn() end, restart_lsn)) as size,
       coalesce(to_jsonb(s) ->> 'invalidation_reason', wal_status) as why
from pg_replication_slots s where wal_status <> 'reserved' and not temporary order by 1"""

IDLE = """
select slot_name as slot,
       pg_size_pretty(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), restart_lsn)) as size
from pg_replication_slots
where slot_type = 'physical' and not temporary and not active and restart_lsn is not null
  and slot_name <> all(%s::text[]) order by 1"""


@check(
    "collations",
    mark("Each instance sorts text as the indexes were made"),
    mark(
        "another libc or ICU sorts otherwise, and text indexes answer wrongly: run all instances "
        "on the same system, then `pgrepl psql NAME -- -c 'reindex database NAME'`; "
        "the extension amcheck lets this check say which indexes"
    ),
)
def collations(cluster: AnyCluster) -> Iterable[Fact]:
    """`collversion` and `pg_collation_actual_version` (manual, 24.2.2.5 and System Catalogs)."""
    for instance in (cluster.primary, *cluster.replicas):
        found = db.rows(instance.address, LIBRARIES)
        wanted, seen = (_versions(found, which) for which in ("made_with", "has"))
        if wanted == seen:
            yield Fact(instance.name, wanted, seen)
        else:
            yield Fact(instance.name, wanted, joined("; ", [seen, *_torn(instance)]))


def _versions(found: list[dict[str, Any]], which: str) -> str:
    return ", ".join(f"{row['library']} {row[which]}" for row in found) or "C"


def _torn(instance: Server) -> Iterator[str]:
    """What amcheck says of the text indexes of each database that has it (manual, F.2)."""
    for base in db.rows(instance.address, db.BASES):
        patient = {
            "dbname": base["n"],
            "limit": db.WHOLE_TABLE,
            "options": "-c statement_timeout=0",
        }
        with db.connect(instance.address, **patient) as connection:
            for index in connection.execute(TEXT_INDEXES).fetchall():
                try:
                    connection.execute("select bt_index_check(%s)", [index["oid"]])
                except psycopg.errors.IndexCorrupted as error:
                    yield f"{base['n']}.{index['name']}: {first_line(error)}"


@check(
    "limits",
    mark("No replica has a lower limit than the primary"),
    mark("it stops replaying, and would not start again: `pgrepl run` sets it right"),
)
@of_replicas
def limits(replica: Server) -> tuple[str, str]:
    """As `restarts.too_low` compares them."""
    none = t("no lower limit")
    return none, ", ".join(restarts.too_low(replica)) or none


@check(
    "libraries",
    mark("Each replica has preloaded what the primary has"),
    mark("after a failover an application may miss it: give it with the parameter settings"),
)
@of_replicas
def libraries(replica: Server) -> tuple[str, str]:
    """`shared_preload_libraries`; ALTER SYSTEM sets it on one instance alone."""
    has, none = preloaded(replica), t("no library is missing")
    lacking = [name for name in preloaded(_primary(replica)) if name not in has]
    return none, ", ".join(lacking) or none


def preloaded(server: Server) -> list[str]:
    """The libraries that a server has loaded at its start."""
    return conf.listed(db.row(server.address, PRELOADED)["names"])


@check(
    "wal-kept",
    mark("No slot keeps more WAL than max_wal_size, and none has lost what it needs"),
    mark(
        "extended: the replica is away or behind (`pgrepl lag`), and max_slot_wal_keep_size bounds "
        "what it may keep; lost: `pgrepl replica rebuild NAME`"
    ),
)
def wal_kept(cluster: AnyCluster) -> Iterable[Fact]:
    """`pg_replication_slots`; `invalidation_reason` from 17 on (manual, System Views)."""
    none = t("no such slot")
    followed = [r for r in cluster.replicas if cluster.topology.followers(r.name)]
    for instance in (cluster.primary, *followed):
        told = [f"{r['slot']}: {r['why']} ({r['size']})" for r in db.rows(instance.address, KEPT)]
        yield Fact(instance.name, none, "; ".join(told) or none)
    for replica in (r for r in running(cluster) if r.is_replica):
        yield from _unused(cluster, replica)


def _unused(cluster: AnyCluster, replica: Server) -> Iterator[Fact]:
    """Slots on a replica that none of ours uses: nobody looks there, and each keeps WAL."""
    theirs = [cluster.instance(n).slot for n in cluster.topology.followers(replica.name)]
    for idle in db.rows(replica.address, IDLE, [theirs]):
        drop = f"select pg_drop_replication_slot('{idle['slot']}')"
        way = cluster.addressed(f'`pgrepl psql {replica.name} -- -c "{drop}"`')
        seen = t("{slot}: nobody uses it here ({size})", **idle)
        yield Fact(replica.name, t("no such slot"), seen, way)


@check(
    "clock",
    mark("The instances' clocks agree"),
    mark(
        "lag in seconds, logs and certificates are wrong by that: set the clocks by a time server"
    ),
)
@of_replicas
def clock(replica: Server) -> tuple[str, str]:
    """Asked between two looks at this machine's clock, so that a slow answer is no difference."""
    apart = _ahead(replica) - _ahead(_primary(replica))
    same = t("within {seconds:g} s of the primary's", seconds=CLOCK_SECONDS)
    if abs(apart) <= CLOCK_SECONDS:
        return same, same
    return same, t("{seconds:+.0f} s from the primary's", seconds=apart)


def _ahead(server: Server) -> float:
    """How far its clock is ahead of ours; half of what the answer took is ignored."""
    before = time.time()
    now = float(db.row(server.address, NOW)["now"])
    return now - (before + time.time()) / 2


def _primary(replica: Server) -> Server:
    return replica.other(replica.cluster.topology.primary)
