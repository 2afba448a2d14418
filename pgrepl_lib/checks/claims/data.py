"""Whether the replicas have what the primary has."""

from __future__ import annotations

from collections.abc import Iterable

from ...cluster.members import AnyCluster
from ...cluster.server import Server
from ...doors import db
from ...words.text import mark
from ..outcome import Fact
from ..registry import check, of_replicas
from . import written
from .contents import digests

ROWS = 100_000
FEW = 200  # of a check that comes every minute: all that it writes is under 100 KB of WAL
REPLAY_SECONDS = 60
LAGS = mark("the replica lags or has stopped replaying: look at `pgrepl status` and its log")


@check(
    "contents",
    mark("100,000 rows written on the primary are identical on the replica"),
    LAGS,
)
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
    target = db.row(cluster.primary.address, "select pg_current_wal_flush_lsn()::text as lsn")[
        "lsn"
    ]
    wanted = digests(cluster.primary.address)

    def expected(replica: Server) -> str:
        return "="

    def seen(replica: Server) -> str:
        replica.wait_replayed(target, REPLAY_SECONDS)
        found = digests(replica.address)
        differing = sorted(name for name, _ in wanted.items() ^ found.items())
        if not differing:
            return "="
        return f"{', '.join(dict.fromkeys(differing))} ≠"

    return of_replicas(cluster, expected, seen)


def _compared(cluster: AnyCluster, rows: int) -> Iterable[Fact]:
    with written.rows(cluster.primary.address, rows) as wanted:

        def expected(replica: Server) -> str:
            return wanted.digest

        def seen(replica: Server) -> str:
            replica.wait_replayed(wanted.lsn, REPLAY_SECONDS)
            return wanted.found(replica.address)

        yield from of_replicas(cluster, expected, seen)
