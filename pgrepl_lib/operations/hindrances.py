"""What would keep a switchover from ending, seen while the primary still writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..checks import replay
from ..doors import db
from ..errors import StepFailed
from ..postgres.recovery import Replay
from ..words.text import joined, t

if TYPE_CHECKING:
    from ..steps.instance import Instance
    from .standing import Standing

# A fast shutdown waits until the last segment is archived, however long that takes (26.3.1).
ARCHIVER = """
select last_failed_wal as wal from pg_stat_archiver
where current_setting('archive_mode') <> 'off'
  and last_failed_time > coalesce(last_archived_time, '-infinity')
union all
select min(name) from pg_ls_archive_statusdir()
where current_setting('archive_mode') <> 'off' and name like '%.ready'
  and modification < now() - interval '30 seconds'"""
ARCHIVES = "archiver archiving"  # the title of its process, which no language changes
DELAY = "select current_setting('recovery_min_apply_delay') as delay"
# With -1 a reader may hold replay for ever (manual, 27.4.2).
READERS = """
select pid from pg_stat_activity
where current_setting('max_standby_streaming_delay') = '-1' and backend_type = 'client backend'
  and pid <> pg_backend_pid() and xact_start < now() - interval '5 seconds' order by 1"""
LAG = "select pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn)::bigint as lag"


@dataclass(frozen=True)
class Hindrance:
    """What was seen, and what is to be done about just that."""

    seen: str
    remedy: str


def refuse(kind: str, to: str, reasons: Sequence[str], remedy: str) -> None:
    """Raise `StepFailed` with every reason, where there is one; nothing was changed yet."""
    if reasons:
        cause = t("No {kind} to {name}; nothing was changed.", kind=kind, name=to)
        raise StepFailed(cause, looked_at=reasons, remedy=remedy)


def refuse_all(kind: str, to: str, found: Sequence[Hindrance]) -> None:
    """The same, with everything that was seen, and each remedy once."""
    remedy = joined("; ", dict.fromkeys(each.remedy for each in found))
    reasons = [each.seen for each in found]
    refuse(kind, to, reasons, t("{remedy}; then run again", remedy=remedy))


def of_primary(primary: Instance) -> Iterator[Hindrance]:
    """Why its end would not come."""
    failed = [r["wal"] for r in db.rows(primary.address, ARCHIVER) if r["wal"]]
    if failed:
        yield archiver(primary, failed[0])


def archiver(primary: Instance, wal: str = "") -> Hindrance:
    """A command that does not archive. wal: the segment; empty where it is not known."""
    name = primary.name
    seen = t(
        "{name}: archive_command does not archive {wal}, and its shutdown waits for that",
        name=name,
        wal=wal or t("its WAL"),
    )
    look = f"`pgrepl psql {name} -- -c 'select * from pg_stat_archiver'`"
    remedy = t(
        "correct archive_command ({name}'s log has what it says), until {look} shows a success",
        name=name,
        look=look,
    )
    return Hindrance(seen, primary.cluster.addressed(remedy))


def of_replica(replica: Instance) -> Iterator[Hindrance]:
    """Why it would not replay everything."""
    name = replica.name
    if (delay := db.row(replica.address, DELAY)["delay"]) != "0":
        seen = t("{name}: recovery_min_apply_delay is {delay}", name=name, delay=delay)
        reset = "-c 'alter system reset recovery_min_apply_delay' -c 'select pg_reload_conf()'"
        yield Hindrance(seen, replica.cluster.addressed(f"`pgrepl psql {name} -- {reset}`"))
    for reader in db.rows(replica.address, READERS):
        pid = reader["pid"]
        seen = t(
            "{name}: process {pid} reads, and may hold replay for ever "
            "(max_standby_streaming_delay = -1)",
            name=name,
            pid=pid,
        )
        end = f"`pgrepl psql {name} -- -c 'select pg_terminate_backend({pid})'`"
        remedy = t("wait for process {pid}, or end it: {end}", pid=pid, end=end)
        yield Hindrance(seen, replica.cluster.addressed(remedy))


def of_upstream(replica: Instance, primary: Instance) -> Iterator[Hindrance]:
    """Whether it follows another replica."""
    name, upstream = replica.name, replica.upstream.name
    if upstream != primary.name:
        seen = t("{name} follows {upstream}, not the primary", name=name, upstream=upstream)
        follow = f"`pgrepl replica follow {name} {primary.name}`"
        yield Hindrance(seen, replica.cluster.addressed(follow))


def of_state(replica: Instance, standing: Standing) -> Iterator[Hindrance]:
    """Whether it runs, streams and replays."""
    name = replica.name
    if not standing.runs:
        seen = t("{name}: {state}", name=name, state=standing.told)
        yield Hindrance(seen, replica.cluster.addressed(t("`pgrepl run` starts it")))
    else:
        yield from of_streaming(replica)
    doing = standing.recovery.doing
    if doing is Replay.PAUSED:
        seen = joined(": ", [name, replay.told(doing)])
        yield Hindrance(seen, replay.remedy(replica, doing))


def of_streaming(replica: Instance) -> Iterator[Hindrance]:
    """Whether it streams; one that does not would be left behind."""
    streams, state = replica.streams()
    if not streams:
        seen = t("{name}: {state}", name=replica.name, state=state)
        remedy = t("`pgrepl run` starts {name}, or says why it does not stream", name=replica.name)
        yield Hindrance(seen, replica.cluster.addressed(remedy))


def of_lag(
    replica: Instance,
    primary: Instance,
    replayed: str | None,
    limit: int,
) -> Iterator[Hindrance]:
    """Whether it is further behind than it may be, in bytes."""
    if not replayed:
        return
    lag = db.row(primary.address, LAG, [replayed])["lag"]
    if lag > limit:
        name = replica.name
        seen = t(
            "{name}: {lag} bytes behind, the limit is {limit}", name=name, lag=lag, limit=limit
        )
        more = f"`pgrepl switchover --to {name} --max-lag {lag}`"
        remedy = t("wait until `pgrepl lag` says less, or allow it: {more}", more=more)
        yield Hindrance(seen, replica.cluster.addressed(remedy))


def of_places(replica: Instance, unreached: Sequence[str]) -> Iterator[Hindrance]:
    """Who would not find it in the network."""
    remedy = replica.cluster.addressed(t("`pgrepl run` gives each its place in the network"))
    yield from (Hindrance(seen, remedy) for seen in unreached)
