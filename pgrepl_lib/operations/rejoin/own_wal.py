"""WAL that lies with a server: which segments are there, and what they say was written.

So that what an instance has alone is found at the cost of what it wrote, not of all that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from psycopg.rows import tuple_row

from ...doors import db
from ...doors.db import Address
from ...postgres import commits, wal
from ...postgres.control import lsn
from ...postgres.timelines import Piece, fork, lineage
from ...postgres.wal import Unreadable
from ...words.text import t

Tell = Callable[[str], None]
Place = tuple[int, int]  # of a relation's file: its database (0: of all of them) and its number
# A control file knows a new timeline only from the next checkpoint on.
TIMELINE = """
select case when pg_is_in_recovery()
            then greatest(c.timeline_id, r.min_recovery_end_timeline)
            else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
       end as timeline
from pg_control_checkpoint() c, pg_control_recovery() r"""
HISTORY = "select coalesce(pg_read_file(%s, 0, 1000000, true), '') as text"
NAMES = "select name from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$' order by 1"
SIZE = "select pg_size_bytes(current_setting('wal_segment_size')) as size"
VERSION = "select current_setting('server_version_num')::int / 10000 as major"


@dataclass
class Written:
    """What was written: each relation's blocks, and how often one of its rows was deleted.

    committed: the transactions, subtransactions too, in 32 bits.
    """

    blocks: dict[Place, set[int]] = field(default_factory=dict)
    deleted: dict[Place, int] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)

    def committed_before(self, most: int) -> list[int]:
        """Those of them that were running when `most` was the next transaction, in 64 bits."""
        return sorted(n for n in (commits.whole(t, most) for t in self.committed) if n < most)

    def note(self, record: wal.Record) -> None:
        """Put down what one record touches."""
        places = [(relation.database, relation.number) for relation, _ in record.blocks]
        for place, (_, block) in zip(places, record.blocks, strict=True):
            self.blocks.setdefault(place, set()).add(block)
        if places and record.manager == wal.HEAP and record.info & 0x70 == wal.DELETE:
            self.deleted[places[0]] = self.deleted.get(places[0], 0) + 1

    def in_database(self, number: int) -> bool:
        """Whether anything of this database was touched."""
        return any(database == number for database, _ in self.blocks)


class OwnWal:
    """The segments in a running server's `pg_wal`, by number."""

    def __init__(self, at: Address) -> None:
        self.at = at
        self.size = int(db.row(at, SIZE)["size"])
        self.major = int(db.row(at, VERSION)["major"])
        in_a_file = 0x100000000 // self.size
        # Of two timelines' files the later one also has what the earlier one wrote before it.
        self.names = {
            int(name[8:16], 16) * in_a_file + int(name[16:], 16): name
            for name in (found["name"] for found in db.rows(at, NAMES))
        }

    def has(self, position: int) -> bool:
        """Whether the segment is there that this position lies in."""
        return position // self.size in self.names

    def segments(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """From the one that `start` lies in; raises `Unreadable` for one that is gone."""
        for number in range(start // self.size, (end - 1) // self.size + 1):
            if number not in self.names:
                start_lsn = lsn(number * self.size)
                raise Unreadable(t("the WAL from {lsn} on is no longer there", lsn=start_lsn))
            yield number * self.size, self._read(self.names[number])

    def written(self, start: int, end: int, tell: Tell) -> Written:
        """What the records from `start` to `end` touch; raises `Unreadable`."""
        found = Written()
        told = 0
        for record in wal.records(self.segments(start, end), end, self.major):
            if record.position < start:
                continue
            found.note(record)
            found.committed.update(commits.committed(record, self.major))
            if record.position - told > self.size:
                told = record.position
                tell(t("WAL read up to {lsn} of {end}", lsn=lsn(told), end=lsn(end)))
        return found

    def checkpoint_before(self, position: int) -> int:
        """Where the redo of the last checkpoint before a position begins; raises `Unreadable`."""
        for number in range((position - 1) // self.size, -1, -1):
            found = [redo for r in self._within(number, position) if (redo := wal.redo_of(r))]
            if found:
                return found[-1]
        raise Unreadable(t("there is no checkpoint"))

    def note_earlier(self, written: Written, parted: int, most: int) -> None:
        """Also the blocks that were written before, by transactions that committed after it.

        parted: where to look back from. most: the next transaction there. Raises `Unreadable`.
        """
        late = written.committed_before(most)
        if not late:
            return
        own = {n % commits.WHOLE for n in late}
        start = self._segment_before(late[0], parted)
        for record in wal.records(self.segments(start, parted), parted, self.major):
            if record.transaction in own:
                written.note(record)

    def _segment_before(self, transaction: int, position: int) -> int:
        """A segment that begins, before `position`, where this transaction had not begun."""
        for number in range((position - 1) // self.size, -1, -1):
            for record in self._within(number, position):
                following = commits.next_transaction(record)
                if following and commits.whole(following, transaction) <= transaction:
                    return number * self.size
        raise Unreadable(t("the running transactions are not known"))

    def _within(self, number: int, end: int) -> Iterator[wal.Record]:
        (segment,) = self.segments(number * self.size, number * self.size + 1)
        return wal.within(segment, end, self.major)

    def _read(self, name: str) -> bytes:
        with db.connect(self.at) as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            found = cursor.execute("select pg_read_binary_file(%s)", [f"pg_wal/{name}"]).fetchone()
        assert found, "a function gives a row, or raises"
        return bytes(found[0])


def parted(mine: Address, theirs: Address) -> int:
    """Up to which position two servers have the same WAL; raises `ValueError` for none at all."""
    return fork(_lineage(mine), _lineage(theirs))


def _lineage(at: Address) -> list[Piece]:
    timeline = int(db.row(at, TIMELINE)["timeline"])
    history = str(db.row(at, HISTORY, [f"pg_wal/{timeline:08X}.history"])["text"])
    return lineage(history, timeline)


def why_not_follow(source: Address, position: int) -> str:
    """Why nobody can follow a server from this position on; empty where it has the WAL."""
    if OwnWal(source).has(position):
        return ""
    return t("the new primary no longer has the WAL from {lsn} on", lsn=lsn(position))


def why_not_rewind(target: Address, source: Address, parted: int) -> str:
    """Why `pg_rewind` would fail, or what it leaves would not start; empty where the WAL is there.

    It reads the target's from the last common checkpoint on, and what it leaves replays the
    source's from there (manual, pg_rewind, How It Works).
    """
    try:
        return why_not_follow(source, OwnWal(target).checkpoint_before(parted))
    except Unreadable as gone:
        return t(
            "pg_rewind reads the last checkpoint that both have, and {gone}", gone=gone.args[0]
        )
