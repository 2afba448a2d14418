"""The rows that only one server has, each written into a file as it is read.

Looked at are the blocks that its own WAL names. Texts stay the bytes that they are in their
database: no conversion refuses a row, and no Unicode escape in JSON is resolved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import psycopg

from ...doors import db
from ...doors.db import Address, BoundedConnection
from ...errors import first_line
from ...words.legible import in_a_line
from ...words.text import Text, joined, t
from .own_wal import Place, Written
from .rowtext import line, shown

Tell = Callable[[str], None]
Range = tuple[int, int]
AS_BYTES = "-c client_encoding=SQL_ASCII -c statement_timeout=0"
INVALID = -2  # the connection limit of a database whose removal was interrupted
SHARED = 0  # the database of what belongs to all of them
AT_ONCE = 100  # runs of blocks that one query reads
NEAR = 16  # blocks between two that are read with them, rather than by another query
WHOLE = [(0, 2**32 - 1)]
LARGE_OBJECTS = "pg_largeobject"  # in the catalogue, but a user's data
UNTOLD = (b"pg_statistic", b"pg_statistic_ext_data")  # what ANALYZE makes of the rows

DATABASES = """
select oid::bigint, datname as name, datconnlimit as most, datallowconn as open
from pg_database where datname <> 'template0' order by datname"""
THIS = """
select oid::bigint, pg_encoding_to_char(encoding) as encoding
from pg_database where datname = current_database()"""
RELATIONS = """
select n.nspname as schema, c.relname as name, c.relisshared as shared,
       pg_relation_filenode(c.oid)::bigint as number
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname <> 'information_schema'
  and n.nspname !~ '^pg_(toast|temp)'
order by 1, 2"""
ROWS = b"select row_to_json(r.*)::text as row from %s r where %s"
COUNT = b"select count(*) as n from %s r where %s"
BLOCKS = "r.ctid >= '({},0)' and r.ctid < '({},0)'"
# A row's xmin has 32 bits, a snapshot's transactions 64 (manual, 9.27 pg_snapshot): it is the
# transaction of that end that is next to the snapshot. Those below 3 are no transactions.
UNSEEN = """ and r.xmin::text::bigint >= 3 and not pg_visible_in_snapshot(
({most} + (r.xmin::text::bigint - {most} % 4294967296 + 6442450944) % 4294967296 - 2147483648)
::text::xid8, '{snapshot}'::pg_snapshot)"""


@dataclass
class Found:
    """What only it has. kept: database, table and number of the rows that went into the file.

    lacking: what could not be kept, and why. told: what else goes with it.
    """

    kept: list[dict[str, Any]] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows were kept."""
        return sum(each["rows"] for each in self.kept)


@dataclass(frozen=True)
class _Table:
    """One relation of a database that is connected to."""

    connection: BoundedConnection
    database: str
    encoding: str
    schema: bytes
    relation: bytes

    @property
    def name(self) -> str:
        return f"{shown(self.schema, self.encoding)}.{shown(self.relation, self.encoding)}"

    def told(self, what: str) -> Text:
        """Something about it, for a person."""
        return t(
            "database {database}, table {table}: {what}",
            database=in_a_line(self.database),
            table=in_a_line(self.name),
            what=what,
        )

    @property
    def definitions(self) -> bool:
        """Whether it is a part of the catalogue."""
        return self.schema == b"pg_catalog" and self.relation != LARGE_OBJECTS.encode()

    def ask(self, query: bytes, conditions: list[str]) -> Iterator[Any]:
        """The one column of the query's rows under each condition, as they come."""
        names = (b'"' + n.replace(b'"', b'""') + b'"' for n in (self.schema, self.relation))
        name = b".".join(names)
        for first in range(0, len(conditions), AT_ONCE):
            some = conditions[first : first + AT_ONCE]
            whole = b" union all ".join(query % (name, each.encode()) for each in some)
            for found in self.connection.cursor().stream(whole):
                yield from found.values()


class OwnRows:
    """Goes through a server's databases.

    snapshot: the transactions that others have too; "" for unknown. written: the blocks to look
    at; None for all. into: where each row is written, as a line.
    """

    def __init__(
        self,
        at: Address,
        snapshot: str,
        written: Written | None,
        into: BinaryIO,
        tell: Tell,
    ) -> None:
        self.at, self.written, self.into, self.tell = at, written, into, tell
        self.unseen, self.found, self.first = _unseen(snapshot), Found(), True

    def keep(self) -> Found:
        """Write every row that only this server has; says what there was."""
        with db.connect(self.at, options=AS_BYTES) as connection:
            databases = connection.execute(DATABASES).fetchall()
        for base in databases:
            name = shown(base["name"], "UTF8")
            if base["open"] and base["most"] != INVALID:
                self._look_into(name)
            elif self.written and not self.written.in_database(base["oid"]):
                untouched = t("{why}; nothing was written there", why=_closed(base))
                self.found.told.append(_in_database(name, untouched))
            else:
                self.found.lacking.append(_in_database(name, _closed(base)))
        return self.found

    def _look_into(self, name: str) -> None:
        definitions: list[str] = []
        limit = db.WHOLE_TABLE
        try:
            with db.connect(self.at, options=AS_BYTES, limit=limit, dbname=name) as connection:
                (this,) = connection.execute(THIS).fetchall()
                encoding = this["encoding"].decode()
                for each in connection.execute(RELATIONS).fetchall():
                    table = _Table(connection, name, encoding, each["schema"], each["name"])
                    place = (SHARED if each["shared"] else this["oid"], each["number"])
                    if self.first or not each["shared"]:
                        definitions += self._look_at(table, place)
        except psycopg.Error as error:
            self.found.lacking.append(_in_database(name, first_line(error)))
        if definitions:
            what = t("definitions and rights made there: {list}", list=joined(", ", definitions))
            self.found.told.append(_in_database(name, what))
        self.first = False

    def _look_at(self, table: _Table, place: Place) -> list[str]:
        """Keep a table's rows, or count those of the catalogue, which are returned."""
        conditions = [BLOCKS.format(*each) + self.unseen for each in self._ranges(place)]
        if not conditions or table.relation in UNTOLD:
            return []
        try:
            if table.definitions:
                count = sum(table.ask(COUNT, conditions))
                return [f"{table.name} {count}"] if count else []
            self._keep(table, conditions)
        except psycopg.Error as error:
            self.found.lacking.append(table.told(first_line(error)))
        if self.written and (deleted := self.written.deleted.get(place, 0)):
            most = t("{deleted} rows at most that were deleted there", deleted=deleted)
            self.found.told.append(table.told(most))
        return []

    def _keep(self, table: _Table, conditions: list[str]) -> None:
        count = 0
        try:
            for raw in table.ask(ROWS, conditions):
                self.into.write(line(table.database, table.name, raw, table.encoding))
                count += 1
                if count % 1000 == 0:
                    self.tell(t("{table}: {count} rows kept", table=table.name, count=count))
        finally:
            if count:
                fact = {"database": table.database, "table": table.name, "rows": count}
                self.found.kept.append(fact)

    def _ranges(self, place: Place) -> list[Range]:
        if self.written is None:
            return WHOLE
        return ranges(self.written.blocks.get(place, ()))


def ranges(blocks: Iterable[int]) -> list[Range]:
    """First block and the one behind the last of each run; what is near is one run."""
    found: list[Range] = []
    for block in sorted(blocks):
        if found and block - found[-1][1] < NEAR:
            found[-1] = (found[-1][0], block + 1)
        else:
            found.append((block, block + 1))
    return found


def _unseen(snapshot: str) -> str:
    """The condition that keeps only what others have not."""
    if not re.fullmatch(r"\d+:\d+:[\d,]*", snapshot):
        return ""
    return UNSEEN.format(most=snapshot.split(":")[1], snapshot=snapshot)


def _in_database(name: str, what: str) -> Text:
    return t("database {name}: {what}", name=in_a_line(name), what=what)


def _closed(base: dict[str, Any]) -> Text:
    """Why nobody can read a database."""
    if base["most"] == INVALID:
        return t("invalid, for its removal was interrupted: only DROP DATABASE is possible")
    return t("it allows no connections")
