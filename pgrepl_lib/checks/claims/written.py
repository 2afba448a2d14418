"""Rows that are written for a moment, and what a server has of them, as a digest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from ...doors import db
from .. import momentary

FILL = """
create table {}.t as select i as id, md5(i::text) as word, i * 0.5 as number
from generate_series(1, {}) i"""
DIGEST = """
select count(*) || ', md5 ' || md5(string_agg(md5(t::text), '' order by id)) as digest
from {}.t as t"""


@dataclass(frozen=True)
class Rows:
    """Where they are, up to where the WAL tells of them, and their digest on the primary."""

    schema: sql.Identifier
    lsn: str
    digest: str

    def found(self, at: db.Address) -> str:
        """Their digest on another server."""
        return _digest(at, self.schema)


@contextmanager
def rows(at: db.Address, number: int) -> Iterator[Rows]:
    """So many rows, gone afterwards."""
    with momentary.schema(at) as schema:
        db.rows(at, sql.SQL(FILL).format(schema, number))
        lsn = db.row(at, "select pg_current_wal_flush_lsn()::text as lsn")["lsn"]
        yield Rows(schema, lsn, _digest(at, schema))


def _digest(at: db.Address, schema: sql.Identifier) -> str:
    return str(db.row(at, sql.SQL(DIGEST).format(schema))["digest"])
