"""The replicas that a change of roles does not need: it neither waits for them nor fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg

from ..doors import db, show
from ..doors.wait import wait_until
from ..engine.action import Action, Tell
from ..errors import PgreplError, WaitTimeout, first_line
from ..words.text import t

if TYPE_CHECKING:
    from .instance import Instance

PATIENCE = 3.0  # seconds for a confirmation that takes milliseconds
LATE = """
select pid, application_name as n from pg_stat_replication
where state = 'streaming' and application_name <> %s
  and coalesce(flush_lsn, write_lsn, '0/0') < %s::pg_lsn"""
WRITE = "select pg_logical_emit_message(true, 'pgrepl', 'confirm')"


def cut_off_late(primary: Instance, new: Instance) -> None:
    """End the WAL senders of receivers that confirm nothing any more, while writes still go on.

    A shutdown waits until each receiver has everything (manual, 19.5), up to `wal_sender_timeout`,
    and nobody can write meanwhile. Whoever is left here gets the rest from the new primary.
    """
    db.rows(primary.address, WRITE)
    target = db.row(primary.address, "select pg_current_wal_flush_lsn()::text as at")["at"]
    late: list[dict[str, Any]] = []

    def probe() -> tuple[bool, str]:
        nonlocal late
        late = db.rows(primary.address, LATE, [new.application_name, target])
        return not late, ", ".join(r["n"] for r in late)

    with suppress(WaitTimeout):
        wait_until(t("the other receivers to confirm"), probe, seconds=PATIENCE)
    for each in late:
        db.row(primary.address, "select pg_terminate_backend(%s)", [each["pid"]])
        show.notice(t("{name} confirms nothing and is not waited for", name=each["n"]))


def not_needed(action: Action, left: Callable[[str], object]) -> Action:
    """The same, for one that is told and left where it does not answer or does not come along.

    left: called with the reason, instead of a failure.
    """

    def do(tell: Tell) -> None:
        try:
            action.do(tell)
        except KeyboardInterrupt:
            raise
        except PgreplError as error:
            left(error.cause)
        except (psycopg.Error, OSError) as error:
            left(first_line(error))

    def done() -> bool:
        try:
            return action.done()
        except (psycopg.Error, OSError):
            return False

    return replace(action, do=do, done=done)
