"""Whether the replicas have what the primary has."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from ...cluster.members import AnyCluster
from ...cluster.server import Server
from ...doors import db
from ...words.text import joined, mark, t
from .. import arrival, momentary
from ..outcome import Fact
from ..registry import check, of_replicas

ROWS = 100_000
FEW = 200  # of a check that comes every minute: all that it writes is under 100 KB of WAL
REPLAY_SECONDS = 60
TABLE = """
select md5(coalesce(string_agg(md5((t.*)::text), '' order by md5((t.*)::text)), '')) as d
from {} t"""
LARGE_OBJECTS = {"schema": "pg_catalog", "name": "pg_largeobject"}
CHECKSUMS = """
select current_setting('data_checksums') as watched,
       string_agg(format('%s %s', coalesce(datname, 'pg_global'), checksum_failures), ', '
                  order by datname) filter (where checksum_failures > 0) as failed
from pg_stat_database"""
HERE = "select pg_current_wal_flush_lsn()::text as lsn"
FILL = """
create table {}.t as select i as id, md5(i::text) as word, i * 0.5 as number
from generate_series(1, {}) i"""
DIGEST = """
select count(*) || ', md5 ' || md5(string_agg(md5(t::text), '' order by id)) as digest
from {}.t as t"""
LAGS = mark("the replica lags or has stopped replaying: look at `pgrepl status` and its log")


@check("contents", mark("100,000 rows written on the primary are identical on the replica"), LAGS)
def contents(cluster: AnyCluster) -> Iterable[Fact]:
    """Compares contents, once the replica has replayed up to where the primary wrote."""
    return _compared(cluster, ROWS)


@check("sample", mark("200 rows written on the primary are identical on the replica"), LAGS)
def sample(cluster: AnyCluster) -> Iterable[Fact]:
    """The same with little WAL, which every replica and every archive gets."""
    return _compared(cluster, FEW)


@check(
    "tables",
    mark("Every table has the same rows on every replica"),
    mark(
        "the replica lags or is broken: `pgrepl status` and its log; "
        "anew: `pgrepl replica rebuild NAME`"
    ),
)
def tables(cluster: AnyCluster) -> Iterable[Fact]:
    """Compares the contents of every table of every database, row by row through a digest."""
    target = db.row(cluster.primary.address, HERE)["lsn"]
    wanted, same = _digests(cluster.primary.address), t("the same rows")

    @of_replicas
    def of_each(replica: Server) -> tuple[str, str]:
        arrival.wait_replayed(replica, target, REPLAY_SECONDS)
        differing = sorted(name for name, _ in wanted.items() ^ _digests(replica.address).items())
        if not differing:
            return same, same
        return same, t("other rows in {tables}", tables=", ".join(dict.fromkeys(differing)))

    return of_each(cluster)


@check(
    "checksums",
    mark("No page that was read had a wrong checksum"),
    mark("a disk, or somebody, damaged pages: the server's log names them"),
)
def checksums(cluster: AnyCluster) -> Iterable[Fact]:
    """`pg_stat_database` counts them where `data_checksums` is on (manual, 28.2.17)."""
    for instance in (cluster.primary, *cluster.replicas):
        seen = db.row(instance.address, CHECKSUMS)
        wanted = [f"data_checksums = {seen['watched']}", t("no page failed")]
        found = [wanted[0], seen["failed"] or wanted[1]]
        remedy = _undamaged(cluster, instance)
        yield Fact(instance.name, joined(", ", wanted), joined(", ", found), remedy)


def _undamaged(cluster: AnyCluster, instance: Server) -> str:
    """The way to whole data: those of another instance; a damaged primary first hands over."""
    anew = t("`pgrepl replica rebuild {name}` copies it anew", name=instance.name)
    if not instance.is_replica:
        other = next(iter(cluster.topology.replicas), "NAME")
        first = t("`pgrepl switchover --to {name}` where that one is whole", name=other)
        anew = joined(", ", [first, anew])
    return cluster.addressed(anew)


def _compared(cluster: AnyCluster, number: int) -> Iterable[Fact]:
    """Rows that are there for a moment, as a digest."""
    at = cluster.primary.address
    with momentary.schema(at) as schema:
        db.rows(at, sql.SQL(FILL).format(schema, number))
        lsn = db.row(at, HERE)["lsn"]
        digest = sql.SQL(DIGEST).format(schema)
        wanted = str(db.row(at, digest)["digest"])

        @of_replicas
        def of_each(replica: Server) -> tuple[str, str]:
            arrival.wait_replayed(replica, lsn, REPLAY_SECONDS)
            return wanted, str(db.row(replica.address, digest)["digest"])

        yield from of_each(cluster)


def _digests(at: db.Address) -> dict[str, str]:
    """One of every table's rows; as long as it takes, but no lock is awaited for ever."""
    found = {}
    for base in db.rows(at, db.BASES):
        options = "-c statement_timeout=0 -c lock_timeout=60s"
        patient = {"dbname": base["n"], "limit": db.WHOLE_TABLE, "options": options}
        with db.connect(at, **patient) as connection:
            for each in [*connection.execute(db.TABLES).fetchall(), LARGE_OBJECTS]:
                query = sql.SQL(TABLE).format(sql.Identifier(each["schema"], each["name"]))
                digest = connection.execute(query).fetchone() or {}
                found[f"{base['n']}.{each['schema']}.{each['name']}"] = str(digest["d"])
    return found
