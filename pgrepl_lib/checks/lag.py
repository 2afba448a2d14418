"""How far each replica is behind, in bytes and seconds, now and over time; when it is too much."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import psycopg

from ..cluster.changes import left
from ..cluster.members import AnyCluster
from ..cluster.server import Server
from ..doors import ahead, db
from ..doors.answer import SHOWN_SECONDS, Answer, Kind, ask_all
from ..doors.wait import wait_until
from ..errors import StepFailed
from ..postgres import recovery
from ..postgres.recovery import Recovery
from ..words.text import joined, t
from . import replay

if TYPE_CHECKING:
    import pandas


# Bytes: WAL that the upstream has and the replica has not yet written, flushed, replayed. Seconds:
# `write_lag` and the others, which the upstream measures on recent WAL and forgets when the replica
# has caught up (manual, 28.2.4).
SENDER = """
select application_name as name, state, sync_state,
       pg_wal_lsn_diff(here, write_lsn)::bigint as write_bytes,
       pg_wal_lsn_diff(here, flush_lsn)::bigint as flush_bytes,
       pg_wal_lsn_diff(here, replay_lsn)::bigint as replay_bytes,
       extract(epoch from write_lag)::float as write_seconds,
       extract(epoch from flush_lag)::float as flush_seconds,
       extract(epoch from replay_lag)::float as replay_seconds
from pg_stat_replication,
     (select case when pg_is_in_recovery() then pg_last_wal_receive_lsn()
                  else pg_current_wal_lsn() end as here) h
where application_name not in ('pg_basebackup', 'walreceiver') order by application_name"""
RECEIVER = """
select status, sender_host, sender_port, slot_name, received_tli as timeline
from pg_stat_wal_receiver"""
# What a reader of the replica sees: the age of the last transaction replayed, 0 where there is
# nothing to replay; nobody knows it where it has replayed none since it started.
READER = """
select case when pg_last_wal_replay_lsn() >= %s::pg_lsn then 0
            else extract(epoch from now() - pg_last_xact_replay_timestamp())
       end::float as seconds,
       pg_wal_lsn_diff(%s::pg_lsn, pg_last_wal_replay_lsn())::bigint as bytes,
       pg_is_wal_replay_paused() as paused"""
LOOK = f"select * from ({READER}) reader, ({recovery.QUERY}) recovery"
SEEN = ("bytes", "seconds", "paused", "replay")
UNKNOWN_VALUE = "U"  # of performance data
LEVELS, CRITICAL = ("OK", "WARNING", "CRITICAL"), 2
HERE = "select pg_current_wal_lsn()::text as lsn"
SLOTS = """
select slot_name as slot, active, wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as kept_bytes,
       safe_wal_size::bigint as bytes_left
from pg_replication_slots order by slot_name"""
BACKUPS = """
select phase, backup_streamed as streamed_bytes, backup_total as total_bytes,
       round(100.0 * backup_streamed / nullif(backup_total, 0), 1)::float as percent
from pg_stat_progress_basebackup"""


@dataclass(frozen=True)
class Thresholds:
    """From which lag on a replica is worth a warning, and from which it is critical."""

    warning_bytes: int = 16 * 1024**2
    critical_bytes: int = 256 * 1024**2
    warning_seconds: float = 10
    critical_seconds: float = 60


@ahead.measured
def senders(cluster: AnyCluster) -> pandas.DataFrame:
    """What every upstream says of its replicas: write, flush, replay lag, bytes and seconds."""
    upstreams = {r.upstream.name: r.upstream for r in cluster.replicas}
    return _frame([r for u in upstreams.values() for r in db.rows(u.address, SENDER)])


@ahead.measured
def receivers(cluster: AnyCluster) -> pandas.DataFrame:
    """`pg_stat_wal_receiver` of every replica."""
    return _frame([{"name": r.name, **db.row(r.address, RECEIVER)} for r in cluster.replicas])


@ahead.measured
def slots(cluster: AnyCluster) -> pandas.DataFrame:
    """The primary's slots: used or not, how much WAL each holds back, and how much more it may."""
    return _frame(db.rows(cluster.primary.address, SLOTS))


@ahead.measured
def backups(cluster: AnyCluster) -> pandas.DataFrame:
    """`pg_stat_progress_basebackup`: the base backups that are being made from the primary now."""
    return _frame(db.rows(cluster.primary.address, BACKUPS))


@ahead.measured
def now(cluster: AnyCluster) -> list[dict[str, Any]]:
    """Each replica's lag as its readers see it: name, state, bytes, seconds, paused, replay.

    None where it does not answer. replay: what that does (`recovery.Replay`). Raises `StepFailed`
    where the primary does not say how far it is.
    """
    return ask_all(partial(_of_replica, _here(cluster)), cluster.replicas)


def _here(cluster: AnyCluster) -> str:
    """How far the primary is; whoever hangs is asked once."""
    primary, engine = cluster.primary, cluster.engine
    life = engine.life(primary.name)
    if not (life.ended or engine.running(primary.name)):
        said: list[str] = [t("{name} is {state}", name=primary.name, state=t(life))]
    else:
        seen = primary.look(HERE, seconds=SHOWN_SECONDS)
        if not isinstance(seen, Answer):
            return str(seen["lsn"])
        said = [joined(" ", [primary.name, str(seen)])]
        if seen.kind is not Kind.HUNG:
            said.append(cluster.underway())
    remedy = cluster.addressed(t("`pgrepl status` says who answers"))
    raise StepFailed(joined("; ", filter(None, said)), remedy=remedy)


def _of_replica(here: str, replica: Server) -> dict[str, Any]:
    known = {"name": replica.name, "state": "", **dict.fromkeys(SEEN)}
    seen = replica.look(LOOK, [here, here], SHOWN_SECONDS)
    if isinstance(seen, Answer):
        return {**known, "state": str(seen)}
    streams, state = replica.streams()
    if not streams:
        cluster = replica.cluster
        state = left.why(cluster.engine, replica.name, cluster.topology.primary) or state
    doing = str(Recovery.of(seen).doing)
    known |= {**{name: seen[name] for name in SEEN[:-1]}, "state": state, "replay": doing}
    if seen["bytes"] is not None:
        known["bytes"] = max(0, seen["bytes"])
    return known


def watch(
    cluster: AnyCluster,
    seconds: float,
    every: float = 0.25,
    events: Mapping[float, Any] | None = None,
) -> pandas.DataFrame:
    """Look at the lag for some seconds; returns time, name, bytes, seconds for a plot.

    events: what to do at which second, as functions without arguments (pause a replica, resume it).
    """
    left = dict(sorted((events or {}).items()))
    if ahead.looking():
        return _only(left.values())
    return _frame(_samples(cluster, seconds, every, left))


def _samples(
    cluster: AnyCluster, seconds: float, every: float, left: dict[float, Any]
) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = []
    started = time.monotonic()

    def sample() -> tuple[bool, str]:
        at = time.monotonic() - started
        for moment in [m for m in left if m <= at]:
            left.pop(moment)()
        for seen in now(cluster):
            kept = {name: seen[name] for name in ("name", "bytes", "seconds")}
            samples.append({"time": round(at, 2), **kept})
        return at >= seconds and not left, f"{at:.1f} s"

    wait_until(t("the samples"), sample, seconds=seconds + 30, every=every)
    return samples


def watch_backups(
    cluster: AnyCluster, work: Callable[[], object], every: float = 0.1
) -> pandas.DataFrame:
    """The base backups while `work` makes one, as a rebuild does: time, phase, bytes, percent."""
    if ahead.looking():
        return _only([work])
    with _backups_watched(cluster, every) as samples:
        work()
    return _frame(samples, columns=["time", "phase", "streamed_bytes", "total_bytes", "percent"])


@contextmanager
def _backups_watched(cluster: AnyCluster, every: float) -> Iterator[list[dict[str, Any]]]:
    samples: list[dict[str, Any]] = []
    started, ended = time.monotonic(), Event()

    def look() -> None:
        with suppress(psycopg.Error, OSError):  # what ends the primary is `work`'s to report
            while not ended.wait(every):
                found, at = db.rows(cluster.primary.address, BACKUPS), time.monotonic() - started
                samples.extend({"time": round(at, 2), **row} for row in found)

    watcher = Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield samples
    finally:
        ended.set()
        watcher.join()


def _only(events: Iterable[Callable[[], object]]) -> pandas.DataFrame:
    """For a plan: what is done meanwhile; what is seen then nobody knows."""
    for event in events:
        event()
    unknown: pandas.DataFrame = ahead.UNKNOWN
    return unknown


def _frame(rows: list[dict[str, Any]], columns: Sequence[str] = ()) -> pandas.DataFrame:
    """As a table; pandas takes longer to load than a look at the lag."""
    import pandas

    return pandas.DataFrame(rows, columns=list(columns) or None)


def judge(lags: list[dict[str, Any]], limits: Thresholds, begun: str = "") -> tuple[int, str]:
    """A verdict as monitoring plug-ins give it: 0 OK, 1 WARNING, 2 CRITICAL, and one line.

    The line ends with performance data. begun: the change of roles that has begun and not ended.
    """
    worst = max((_level(lag, limits) for lag in lags), default=CRITICAL)
    facts = [_fact(lag) for lag in lags] or [t("no replica")]
    line = f"REPLICATION {LEVELS[worst]} - {'; '.join(filter(None, [*facts, begun]))}"
    data = [part for lag in lags if lag["bytes"] is not None for part in _performance(lag, limits)]
    if not data:
        return worst, line
    return worst, f"{line} | {' '.join(data)}"


def _level(lag: Mapping[str, Any], limits: Thresholds) -> int:
    """0 to 2, of one replica."""
    if lag["bytes"] is None or lag["state"] != "streaming":
        return CRITICAL
    found = {
        "bytes": (limits.warning_bytes, limits.critical_bytes),
        "seconds": (limits.warning_seconds, limits.critical_seconds),
    }
    known = [k for k in found if lag[k] is not None]
    return int(max(sum(lag[k] >= limit for limit in found[k]) for k in known))


def _fact(lag: Mapping[str, Any]) -> str:
    """For people; `|` would begin the performance data."""
    state = str(lag["state"])
    fact = ": ".join([lag["name"], t(state)]).replace("|", "/")
    if lag["bytes"] is None:
        return fact
    known, stands = [f"{lag['bytes']} B"], replay.told(lag.get("replay"))
    if lag["seconds"] is not None:
        known.append(f"{lag['seconds']:.1f} s")
    return ", ".join(filter(None, [fact, *known, stands]))


def _performance(lag: Mapping[str, Any], limits: Thresholds) -> Iterator[str]:
    """For graphs: label, value, and both limits."""
    sizes = f"{limits.warning_bytes};{limits.critical_bytes};0"
    ages = f"{limits.warning_seconds};{limits.critical_seconds};0"
    yield f"'{lag['name']}_bytes'={lag['bytes']}B;{sizes}"
    known = UNKNOWN_VALUE
    if lag["seconds"] is not None:
        known = f"{lag['seconds']:.3f}s"
    yield f"'{lag['name']}_seconds'={known};{ages}"
