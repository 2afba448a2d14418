"""What a server in recovery says of itself: how far it is, and what its replay waits for.

What was received may end inside a record, at a page's end: replay then never reaches it, and
nothing is missing. So two positions alone do not say whether everything is replayed; the startup
process says it, by what it waits for (manual, 28.2.3, Wait Events).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..words.text import Text, mark, t
from .control import lsn

QUERY = """
select pg_is_in_recovery() as recovering,
       pg_last_wal_receive_lsn()::text as received, pg_last_wal_replay_lsn()::text as replayed,
       exists (select from pg_stat_wal_receiver) as receiving,
       case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() end as pause,
       (select wait_event_type || ':' || wait_event
          from pg_stat_activity where backend_type = 'startup') as waits_for"""
RECEIVES = "select 1 as n from pg_stat_wal_receiver where status = 'streaming'"
POSITION = """
select pg_last_wal_receive_lsn()::text as received, pg_last_wal_replay_lsn()::text as replayed"""
REPLAYED = """
select coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false) as there,
       pg_last_wal_replay_lsn()::text as at"""
FOR_MORE = ("RecoveryWalStream", "RecoveryRetrieveRetryInterval")


class Replay(StrEnum):
    """What the startup process does. Waiting: all complete records that are there are replayed."""

    APPLYING = mark("applying")
    WAITING = mark("waiting for more")
    PAUSED = mark("paused")
    DELAYED = mark("delayed")
    HELD = mark("held by a query")
    ENDED = mark("not in recovery")
    UNKNOWN = mark("unknown")


@dataclass(frozen=True)
class Recovery:
    """One look at a server. received, replayed: positions in bytes, 0 where it does not know.

    receiving: whether a WAL receiver is connected to an upstream.
    """

    received: int
    replayed: int
    receiving: bool
    doing: Replay

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Recovery:
        """From the row of `QUERY`."""
        received, replayed = position(row["received"]), position(row["replayed"])
        return cls(received, replayed, row["receiving"], _doing(row))

    def __str__(self) -> str:
        return self.told

    @property
    def told(self) -> Text:
        """As a person reads it."""
        return t(
            "received {received}, replayed {replayed}, {doing}",
            received=lsn(self.received),
            replayed=lsn(self.replayed),
            doing=t(self.doing.value),
        )

    @property
    def complete(self) -> bool:
        """Whether every complete record that it has is replayed."""
        return self.doing in (Replay.WAITING, Replay.ENDED)

    @property
    def restarted(self) -> bool:
        """Whether it no longer knows what it had received before its start: more may be there."""
        return self.received < self.replayed

    @property
    def end(self) -> int:
        """Up to where it may have records: replayed, or while that goes on, received."""
        return self.replayed if self.complete else max(self.received, self.replayed)

    def has_more_than(self, other: Recovery) -> bool:
        """Whether it may have a record that the other has not; a part of one is none."""
        return self.end > max(other.received, other.replayed)


UNKNOWN = Recovery(0, 0, receiving=False, doing=Replay.UNKNOWN)


def position(lsn: str | None) -> int:
    """A position such as 0/3000060 in bytes (manual, 8.20 pg_lsn Type); 0 for none."""
    if not lsn:
        return 0
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _doing(row: Mapping[str, Any]) -> Replay:
    if not row["recovering"]:
        return Replay.ENDED
    kind, _, event = (row["waits_for"] or "").partition(":")
    if row["pause"] == "paused":
        return Replay.PAUSED
    if event == "RecoveryApplyDelay":
        return Replay.DELAYED
    if event.startswith("RecoveryConflict") or kind == "Lock" or event == "BufferPin":
        return Replay.HELD
    return Replay.WAITING if event in FOR_MORE else Replay.APPLYING
