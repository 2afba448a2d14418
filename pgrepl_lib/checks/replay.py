"""What a replica's replay stands still for, although it streams, and what ends that."""

from __future__ import annotations

from ..cluster import restarts
from ..cluster.server import Server
from ..doors import db
from ..errors import StepFailed, WaitTimeout
from ..postgres import recovery
from ..postgres.recovery import Recovery, Replay
from ..words.text import Text, joined, mark, t

STANDS = {
    Replay.PAUSED: mark("replay is paused"),
    Replay.DELAYED: mark("replay is delayed by recovery_min_apply_delay"),
    Replay.HELD: mark("replay is held by a query"),
}
# Who has the lock that replay waits for, else whose snapshot may still need the rows that it would
# remove (manual, 27.4.2 Handling Query Conflicts).
HOLDERS = """
with wanted as (
    select l.* from pg_locks l join pg_stat_activity a using (pid)
    where a.backend_type = 'startup' and not l.granted
)
select pid from pg_stat_activity a
where backend_type = 'client backend' and pid <> pg_backend_pid()
  and case when exists (select from wanted)
      then exists (select from pg_locks l join wanted w
                   on (l.database, l.relation) = (w.database, w.relation)
                   where l.pid = a.pid and l.granted)
      else backend_xmin is not null end
order by xact_start limit 5"""


def told(doing: str | None) -> str:
    """What it stands still for; empty where it goes on. doing: a `Replay`, or its value."""
    if doing not in STANDS:
        return ""
    return t(STANDS[Replay(doing)])


def remedy(replica: Server, doing: str) -> str:
    """What ends that."""
    name = replica.name
    if doing == Replay.PAUSED and restarts.too_low(replica):
        way: str = t("`pgrepl run`, which sets its limits right: resumed, it would stop")
    elif doing == Replay.PAUSED:
        way = f"`pgrepl psql {name} -- -c 'select pg_wal_replay_resume()'`"
    elif doing == Replay.DELAYED:
        reset = "-c 'alter system reset recovery_min_apply_delay' -c 'select pg_reload_conf()'"
        way = t("wait, or: {reset}", reset=f"`pgrepl psql {name} -- {reset}`")
    else:
        way = _end_readers(replica)
    return replica.cluster.addressed(way)


def _end_readers(replica: Server) -> Text:
    pids = [str(row["pid"]) for row in db.rows(replica.address, HOLDERS)]
    end = " ".join(f"-c 'select pg_terminate_backend({pid})'" for pid in pids or ["PID"])
    return t(
        "wait as long as max_standby_streaming_delay allows; or end who reads: {end}",
        end=f"`pgrepl psql {replica.name} -- {end}`",
    )


def wait(replica: Server, lsn: str, seconds: float) -> None:
    """As `Server.wait_replayed`; raises `StepFailed` for what replay stands still for.

    At once for a pause, which ends by nobody's waiting.
    """
    seen = _look(replica)
    if seen.doing is Replay.PAUSED and seen.replayed < recovery.position(lsn):
        raise _stands(replica, seen.doing)
    try:
        replica.wait_replayed(lsn, seconds)
    except WaitTimeout:
        if (doing := _look(replica).doing) not in STANDS:
            raise
        raise _stands(replica, doing) from None


def _stands(replica: Server, doing: Replay) -> StepFailed:
    return StepFailed(joined(": ", [replica.name, told(doing)]), remedy=remedy(replica, doing))


def _look(replica: Server) -> Recovery:
    return Recovery.of(db.row(replica.address, recovery.QUERY))
