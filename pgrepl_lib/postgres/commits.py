"""Transactions in WAL records: which of them a record commits, and how far they were counted.

(PostgreSQL source, `xact.h` and `standbydefs.h`, 14 to 18.)
"""

from __future__ import annotations

import struct

from .wal import COMMIT, COMMIT_PREPARED, RUNNING, STANDBY, XACT, Record

MORE = 0x80  # in the record's info: flags that say what else there is
DATABASE, CHILDREN, FILES, INVALIDATIONS, PREPARED, STATISTICS = 1, 2, 4, 8, 16, 256
FILE, INVALIDATION = 12, 16  # bytes of one of them
STATISTIC, STATISTIC_18 = 12, 16
HALF, WHOLE = 2**31, 2**32


def committed(record: Record, major: int) -> list[int]:
    """The transaction that a record commits, and its subtransactions; none for other records."""
    kind = record.info & 0x70
    if record.manager != XACT or kind not in (COMMIT, COMMIT_PREPARED):
        return []
    data, at, flags = record.data, 8, 0
    if record.info & MORE:
        (flags,) = struct.unpack_from("<I", data, at)
        at += 4
    if flags & DATABASE:
        at += 8
    children: list[int] = []
    if flags & CHILDREN:
        (count,) = struct.unpack_from("<i", data, at)
        children = list(struct.unpack_from(f"<{count}I", data, at + 4))
        at += 4 + 4 * count
    if kind == COMMIT:
        return [record.transaction, *children]
    statistic = STATISTIC_18 if major >= 18 else STATISTIC
    for flag, size in ((FILES, FILE), (STATISTICS, statistic), (INVALIDATIONS, INVALIDATION)):
        if flags & flag:
            at += 4 + size * struct.unpack_from("<i", data, at)[0]
    return [*struct.unpack_from("<I", data, at), *children]


def next_transaction(record: Record) -> int:
    """Of a record that lists the running transactions: the next one's number; else 0."""
    if record.manager != STANDBY or record.info != RUNNING:
        return 0
    return int(struct.unpack_from("<I", record.data, 12)[0])


def whole(transaction: int, near: int) -> int:
    """A transaction of 32 bits as one of 64, of which `near` is one."""
    return near + (transaction - near + HALF) % WHOLE - HALF
