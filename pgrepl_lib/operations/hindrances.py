"""What would keep a switchover from ending, seen while the primary still writes."""

from __future__ import annotations

from .. import db

# A fast shutdown waits until the last segment is archived, however long that takes (26.3.1).
ARCHIVER = """
select last_failed_wal as wal from pg_stat_archiver
where current_setting('archive_mode') <> 'off'
  and last_failed_time > coalesce(last_archived_time, '-infinity')
union all
select min(name) from pg_ls_archive_statusdir()
where current_setting('archive_mode') <> 'off' and name like '%.ready'
  and modification < now() - interval '30 seconds'"""
DELAY = "select current_setting('recovery_min_apply_delay') as delay"
# With -1 a reader may hold replay for ever (manual, 27.4.2).
READERS = """
select pid from pg_stat_activity
where current_setting('max_standby_streaming_delay') = '-1' and backend_type = 'client backend'
  and pid <> pg_backend_pid() and xact_start < now() - interval '5 seconds' order by 1"""
LOGICAL = "select slot_name as n from pg_replication_slots where slot_type = 'logical' order by 1"


def of_primary(name: str, at: db.Address) -> list[str]:
    """Why its end would not come."""
    failed = [r["wal"] for r in db.rows(at, ARCHIVER) if r["wal"]]
    if not failed:
        return []
    told = f"{name}: archive_command does not archive {failed[0]}"
    return [f"{told}, and its shutdown waits for that"]


def of_replica(name: str, at: db.Address) -> list[str]:
    """Why it would not replay everything."""
    found = []
    if (delay := db.row(at, DELAY)["delay"]) != "0":
        found.append(f"{name}: recovery_min_apply_delay is {delay}; reset it, and reload")
    for reader in db.rows(at, READERS):
        held = f"{name}: process {reader['pid']} reads, and may hold replay for ever"
        way = f"select pg_terminate_backend({reader['pid']})"
        found.append(f"{held} (max_standby_streaming_delay = -1); wait for it, or: {way}")
    return found
