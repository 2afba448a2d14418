"""A replica that has received a part of a record which the new primary does not have.

It is no advance, and nothing is lost with it. But PostgreSQL asks the new primary to go on in the
middle of that record: before the new primary's WAL reaches there it refuses, and afterwards, where
the record began in another segment, the replica's startup process ends with a PANIC ("there is no
contrecord flag", "could not open file"; seen with 14). Started again, it reads the new
primary's WAL from the beginning of the record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...doors import db
from ...doors.program import silently
from ...errors import WaitTimeout
from ...postgres.recovery import Recovery, position
from ..standing import STANDSTILL_SECONDS

if TYPE_CHECKING:
    from ...steps.instance import Instance

HERE = "select pg_current_wal_flush_lsn()::text as at"
MORE = "select pg_logical_emit_message(false, 'pgrepl', ''), pg_switch_wal()"  # a segment each


def let_follow(
    other: Instance, before: Recovery, primary: Instance, follow: Callable[[], object]
) -> None:
    """Let a replica follow the new primary, and go on after the part of a record that it has.

    before: how far it was. follow: how it is told, and awaited. Raises `WaitTimeout`.
    """
    if before.received <= before.replayed:
        follow()
        return
    there = _write_beyond(primary, before)
    try:
        follow()
        other.wait_replayed(there, STANDSTILL_SECONDS)
    except WaitTimeout:
        if other.cluster.engine.running(other.name):
            raise
        other.cluster.engine.start(other.name).do(silently)
        other.wait_ready()
        other.wait_streaming()
        other.wait_replayed(there, STANDSTILL_SECONDS)


def _write_beyond(primary: Instance, before: Recovery) -> str:
    """The new primary's position once it is beyond all that the replica has received."""
    here = str(db.row(primary.address, HERE)["at"])
    while position(here) <= before.received:
        db.rows(primary.address, MORE)
        here = str(db.row(primary.address, HERE)["at"])
    return here
