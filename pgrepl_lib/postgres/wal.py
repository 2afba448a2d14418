"""WAL, read record by record: which blocks were written.

The format is PostgreSQL's from 14 to 18 (source: `xlog_internal.h`, `xlogrecord.h`); `pg_waldump`
of the same major shows the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..words.text import t

BLOCK = 8192  # bytes of a page of WAL
LONG_HEADER, SHORT_HEADER = 40, 24  # of a segment's first page, and of the others
PAGE = struct.Struct("<HHIQI")  # magic, flags, timeline, position, what is left of a record
CONTINUES = 0x0001
RECORD = struct.Struct("<IIQBB2xI")  # length, transaction, previous, info, manager, checksum
SHORT_DATA, LONG_DATA, ORIGIN, TOP_LEVEL = 255, 254, 253, 252
SAME_RELATION, HAS_IMAGE, FORK = 0x80, 0x10, 0x0F
HOLE, COMPRESSED = 0x01, {14: 0x02}  # the other majors: 0x1C

# Resource managers, and the kinds of their records.
XLOG, XACT, STANDBY, HEAP = 0, 1, 8, 10
CHECKPOINTS, SWITCH = (0x00, 0x10), 0x40
DELETE = 0x10
COMMIT, COMMIT_PREPARED, RUNNING = 0x00, 0x30, 0x10


class Unreadable(ValueError):
    """WAL that is not there as a whole, or not as it should be."""


@dataclass(frozen=True, order=True)
class Relation:
    """A relation's file: its tablespace, its database (0: shared by all), its number."""

    tablespace: int
    database: int
    number: int


@dataclass(frozen=True)
class Record:
    """One record: where it begins, whose it is, what kind it is, the blocks it touches, its data.

    blocks: of relations' main forks. data: what belongs to no block.
    """

    position: int
    transaction: int
    manager: int
    info: int
    blocks: tuple[tuple[Relation, int], ...]
    data: bytes


def records(segments: Iterable[tuple[int, bytes]], end: int, major: int) -> Iterator[Record]:
    """The records of segments that follow each other, from the first that begins there to `end`.

    segments: each with the position of its first byte. Raises `Unreadable` where one is missing.
    """
    previous = reached = 0
    for position, following, raw in _raw(segments):
        if position >= end:
            break
        if previous and RECORD.unpack_from(raw)[2] != previous:
            raise Unreadable(
                t(
                    "the record at {position:X} does not follow the one at {previous:X}",
                    position=position,
                    previous=previous,
                )
            )
        yield parse(position, raw, major)
        previous, reached = position, following
    if end - reached > LONG_HEADER:
        raise Unreadable(t("read up to {reached:X}, not to {end:X}", reached=reached, end=end))


def within(segment: tuple[int, bytes], end: int, major: int) -> Iterator[Record]:
    """The records before `end` that begin and end in one segment."""
    for position, _, raw in _raw([segment]):
        if position >= end:
            break
        yield parse(position, raw, major)


def redo_of(record: Record) -> int:
    """Where a recovery from this checkpoint begins; 0 for other records."""
    if record.manager != XLOG or record.info not in CHECKPOINTS:
        return 0
    return int(struct.unpack_from("<Q", record.data)[0])


def parse(position: int, raw: bytes, major: int) -> Record:
    """One record out of its bytes."""
    _, transaction, _, info, manager, _ = RECORD.unpack_from(raw)
    blocks, at, data_length = [], RECORD.size, 0
    behind = 0  # bytes that belong to what the headers announce
    relation: Relation | None = None
    while len(raw) - at > behind:
        kind = raw[at]
        if kind in (SHORT_DATA, LONG_DATA):
            at, data_length = _data_header(raw, at)
            behind += data_length
        elif kind in (ORIGIN, TOP_LEVEL):
            at += {ORIGIN: 3, TOP_LEVEL: 5}[kind]
        else:
            at, announced, relation, fork, number = _block_header(raw, at, relation, major)
            behind += announced
            if fork == 0:
                blocks.append((relation, number))
    data = raw[len(raw) - data_length :]
    return Record(position, transaction, manager, info & 0xF0, tuple(blocks), data)


def _data_header(raw: bytes, at: int) -> tuple[int, int]:
    """Where the header of a record's own data ends, and their length."""
    if raw[at] == SHORT_DATA:
        return at + 2, raw[at + 1]
    (length,) = struct.unpack_from("<I", raw, at + 1)
    return at + 5, length


def _block_header(
    raw: bytes, at: int, relation: Relation | None, major: int
) -> tuple[int, int, Relation, int, int]:
    """Where a block's header ends, the bytes it announces, its relation, fork and number."""
    flags, announced = struct.unpack_from("<BH", raw, at + 1)
    at += 4
    if flags & HAS_IMAGE:
        length, _, how = struct.unpack_from("<HHB", raw, at)
        announced += length
        compressed = how & HOLE and how & COMPRESSED.get(major, 0x1C)
        at += 7 if compressed else 5
    if not flags & SAME_RELATION:
        relation = Relation(*struct.unpack_from("<III", raw, at))
        at += 12
    if relation is None:
        raise Unreadable(t("a block without its relation"))
    (number,) = struct.unpack_from("<I", raw, at)
    return at + 4, announced, relation, flags & FORK, number


def _raw(segments: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, int, bytes]]:
    """Each record's position, the position behind it, and its bytes, put together of its pages."""
    pages = _Pages()
    for first, segment in segments:
        for offset in range(0, len(segment), BLOCK):
            _, flags, _, address, rest = PAGE.unpack_from(segment, offset)
            if address != first + offset:  # never written, or of an earlier use of this file
                break
            header = SHORT_HEADER if offset else LONG_HEADER
            page = segment[offset + header : offset + BLOCK]
            if flags & CONTINUES and not pages.pending:  # it began before what is read
                page, header = page[_aligned(rest) :], header + _aligned(rest)
            if not flags & CONTINUES:
                pages.pending.clear()  # what was never written to its end
            for position, following, raw in pages.records(address + header, page):
                if pages.switched:
                    following = first + len(segment)
                yield position, following, raw
            if pages.switched:
                break


class _Pages:
    """What of a record is there when a page ends, and where that began."""

    def __init__(self) -> None:
        self.pending, self.begins, self.switched = bytearray(), 0, False

    def records(self, address: int, page: bytes) -> Iterator[tuple[int, int, bytes]]:
        """The records that end in a page whose content begins at this address."""
        before, at, self.switched = len(self.pending), 0, False
        self.pending += page
        while (length := _length(self.pending, at)) is not None and length >= RECORD.size:
            raw = bytes(self.pending[at : at + length])
            position = self._position(address, at - before)
            at += _aligned(length)
            self.switched = raw[17] == XLOG and raw[16] & 0xF0 == SWITCH
            if self.switched:  # nothing follows in its segment
                at = len(self.pending)
            yield position, address + at - before, raw
        self.begins = self._position(address, at - before)
        del self.pending[:at]

    def _position(self, address: int, offset: int) -> int:
        return address + offset if offset >= 0 else self.begins


def _length(content: bytearray, at: int) -> int | None:
    """The length of the record that begins there; None where it is not there as a whole."""
    if at + 4 > len(content):
        return None
    (length,) = struct.unpack_from("<I", content, at)
    return None if at + length > len(content) else int(length)


def _aligned(length: int) -> int:
    return (length + 7) & ~7
