"""Restarts in the order that replicas need.

A replica may not have lower limits than its primary: it pauses replay where it learns of higher
ones, and does not start again with its own (manual, 27.4.3 Hot Standby, Administrator's Overview).
So what is raised is raised on the replicas first, and what is lowered is lowered there last. What a
replica needs beyond its own settings stands in a block of its own at the end of its file.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from ..doors import ahead, db
from ..doors.command import Command
from ..doors.program import silently
from ..doors.wait import wait_until
from ..engine.action import CONFIGURATION, Action, Tell, edit_action, leaving
from ..engine.edit import Edit
from ..errors import PgreplError
from ..postgres import conf
from ..words.text import t

if TYPE_CHECKING:
    from .server import Server

Limits = dict[str, int]
LIMITS = ["max_connections", "max_worker_processes", "max_wal_senders"]
LIMITS += ["max_prepared_transactions", "max_locks_per_transaction"]
BLOCK = "limits"
IN_USE = "select name, setting::int as value from pg_settings where name = any(%s)"
LOADED = "select pg_conf_load_time()::text as at"
# What stands last in the files counts, also while it cannot be applied without a restart.
COMING = r"""
select s.name, coalesce((
    select f.setting::int from pg_file_settings f
    where lower(f.name) = s.name and f.setting ~ '^\d{1,9}$' and s.source <> 'command line'
      and not (f.sourcefile = %s and f.sourceline between %s and %s)
    order by f.seqno desc limit 1),
    case s.source when 'command line' then s.setting else s.boot_val end::int) as value
from pg_settings s where s.name = any(%s)"""
KNOWS = """
select pg_last_wal_replay_lsn() >= %s::pg_lsn
       or pg_get_wal_replay_pause_state() = 'paused' as knows"""
POSITION = """
select pg_get_wal_replay_pause_state() as state, pg_last_wal_replay_lsn()::text as at,
       pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() as all"""
# The names and numbers of the server's complaint are the same in each language.
LOWER = re.compile(rf"({'|'.join(LIMITS)}) = \d+\D+(\d+)")
SECONDS = 90  # without progress
RESUME_SECONDS = 5


def restart(instance: Server) -> None:
    """Restart a server that runs, for what its files say now."""
    needed = _higher(in_use(instance), coming(instance))
    for name in instance.cluster.topology.followers(instance.name):
        hold(instance.other(name), needed)
    if instance.is_replica:
        _learn(instance)
    _again(instance)


def start(instance: Server, action: Action, tell: Tell) -> None:
    """Start a server unless it runs; a replica also where it needs higher limits than its own."""
    for _ in LIMITS:
        try:
            _start(instance, action, tell)
            return
        except PgreplError:
            if not _raise(instance, _complaint(instance)):
                raise
    _start(instance, action, tell)


def _start(instance: Server, action: Action, tell: Tell) -> None:
    if not action.done():
        tell("…")
        action.do(tell)
    instance.wait_ready()


def resume(replica: Server) -> None:
    """Let a replica whose replay is paused go on.

    One that had paused for its limits ends with that, and starts with what it needs.
    """
    before = db.row(replica.address, POSITION)
    if before["state"] != "paused":
        return
    db.row(replica.address, "select pg_wal_replay_resume()")
    running = replica.cluster.engine.running

    def probe() -> tuple[bool, str]:
        if not running(replica.name):
            return True, t("ended")
        with suppress(psycopg.Error):
            now = db.row(replica.address, POSITION)
            return now["at"] != before["at"] or bool(now["all"]), str(now["at"])
        return False, t("ends")

    with suppress(PgreplError):  # what is left then is a part of a record
        wait_until(t("replay on {name} to go on", name=replica.name), probe, seconds=RESUME_SECONDS)
    start(replica, replica.cluster.engine.start(replica.name), silently)


def take_over(instance: Server) -> None:
    """Let a server read its edited files, and restart it where that is not enough."""
    if not instance.stale():
        return
    now = time.time()
    for path in instance.files():
        if path.stat().st_mtime > now:  # the machine's clock was set back since the edit
            os.utime(path, (now, now))
    reload(instance)
    if db.rows(instance.address, "select name from pg_settings where pending_restart"):
        restart(instance)


def reload(instance: Server) -> None:
    """Let a server read its files and keys, and wait until it has.

    A file that is edited while it still reads would count as read (`Server.unread`).
    """
    before = db.row(instance.address, LOADED)["at"]
    db.row(instance.address, "select pg_reload_conf()")

    def probe() -> tuple[bool, str]:
        return db.row(instance.address, LOADED)["at"] != before, t("old configuration")

    wait_until(t("{name} to read its files", name=instance.name), probe, seconds=10)


def reload_action(instance: Server) -> Action:
    """Let the running server read its edited files."""

    def do(tell: Tell) -> None:
        take_over(instance)

    def done() -> bool:
        return not instance.stale()

    return Action((reload_command(instance),), do, done)


def reload_command(instance: Server) -> Command:
    """What a person would type for it."""
    client = instance.cluster.engine.client
    typed = client(instance.name, "psql", "-c", "select pg_reload_conf();")
    return leaving(typed, partial(ahead.note_read, instance.name, instance.files()))


def edited(instance: Server, edit: Edit) -> Action:
    """An edit that its running server takes over at once."""
    return Action.sequence([edit_action(edit), reload_action(instance)])


def follows(instance: Server) -> bool:
    """Whether it streams where it is a replica, and has no other limits than it needs."""
    if instance.name in instance.cluster.topology.upstreams and not instance.streams()[0]:
        return False
    return not superfluous(instance)


def superfluous(instance: Server) -> bool:
    """Whether its block can go: its own settings are as high as what the primary has now.

    One that was promoted with it is bound to nobody.
    """
    if not _raised(instance):
        return False
    with suppress(psycopg.Error, OSError):
        own = coming(instance, without_block=True)
        needed = in_use(instance.other(instance.cluster.topology.primary))
        enough = all(own[name] >= value for name, value in needed.items())
        return enough or not instance.is_replica
    return False


def release(instance: Server) -> None:
    """Back to its own limits, where they are enough and it knows that they are."""
    if not superfluous(instance):
        return
    _edit(instance, None).write()
    take_over(instance)
    if instance.is_replica:
        instance.wait_streaming()


def in_use(instance: Server) -> Limits:
    """What the server has now."""
    return {r["name"]: r["value"] for r in db.rows(instance.address, IN_USE, [LIMITS])}


def too_low(replica: Server) -> list[str]:
    """Each limit that is lower than the primary's: replay stops for it (manual, 27.4.3)."""
    wanted = in_use(replica.other(replica.cluster.topology.primary))
    has = in_use(replica)
    return [f"{name} {has[name]} < {value}" for name, value in wanted.items() if has[name] < value]


def coming(instance: Server, *, without_block: bool = False) -> Limits:
    """What it will have after a restart."""
    first, last = _lines_of_block(instance) if without_block else (0, 0)
    path = instance.told_path(CONFIGURATION[0])
    found = db.rows(instance.address, COMING, [path, first, last, LIMITS])
    return {r["name"]: r["value"] for r in found}


def hold(replica: Server, needed: Limits) -> None:
    """A running replica, and who follows it, gets limits that are as high as this."""
    if not (replica.cluster.engine.running(replica.name) and replica.answers()[0]):
        return
    for name in replica.cluster.topology.followers(replica.name):
        hold(replica.other(name), needed)
    has = in_use(replica)
    if _raise(replica, {name: value for name, value in needed.items() if value > has[name]}):
        _again(replica)


def _raise(instance: Server, needed: Limits) -> bool:
    """Write these limits where they are higher than those written; whether it changed a thing."""
    had = _raised(instance)
    wanted = _higher(had, needed)
    if wanted == had:
        return False
    _edit(instance, wanted).write()
    return True


def _higher(one: Limits, other: Limits) -> Limits:
    """Of each the higher value."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def _complaint(instance: Server) -> Limits:
    """What a server that has just ended says to need."""
    found = LOWER.findall(instance.cluster.engine.log_tail(instance.name))
    return {name: int(value) for name, value in found if instance.is_replica}


def _learn(replica: Server) -> None:
    """Wait until it has replayed the primary's change, or has paused for it."""
    query = "select pg_current_wal_flush_lsn()::text as lsn"
    lsn = db.row(replica.other(replica.cluster.topology.primary).address, query)["lsn"]

    def probe() -> tuple[bool, str]:
        knows = bool(db.row(replica.address, KNOWS, [lsn])["knows"])
        return knows, t("has not replayed up to {lsn}", lsn=lsn)

    what = t("{name} to see the primary's limits", name=replica.name)
    replica.wait_on_replay(what, probe, SECONDS)


def _again(instance: Server) -> None:
    engine = instance.cluster.engine
    engine.stop(instance.name).do(silently)
    start(instance, engine.start(instance.name), silently)


def _raised(instance: Server) -> Limits:
    """What its block holds."""
    found = conf.settings_of_block(_text(instance), BLOCK)
    return {name: int(value) for name, value in found.items()}


def _lines_of_block(instance: Server) -> tuple[int, int]:
    """The numbers of the block's first and last line, as the server counts them."""
    lines = _text(instance).split("\n")
    marks = [number for number, line in enumerate(lines, 1) if line in conf.marks(BLOCK)]
    return marks[0], marks[-1]


def _edit(instance: Server, limits: Limits | None) -> Edit:
    lines = conf.setting_lines(limits) if limits else None
    return Edit(instance.cluster.folder, f"{instance.name}/{CONFIGURATION[0]}", {BLOCK: lines})


def _text(instance: Server) -> str:
    return (instance.cluster.folder / instance.name / CONFIGURATION[0]).read_text("utf-8")
