"""Drift: what on the cluster is no longer as it is recorded (`drift/recorded.py`), and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import OperationalError, sql

from ..cluster import restarts
from ..cluster.members import AnyCluster
from ..cluster.server import Server
from ..cluster.topology import Topology, owner_of
from ..doors import db
from ..doors.wait import wait_until
from ..engine.action import CONFIGURATION, Action, Tell
from ..errors import EnvironmentLacking
from ..postgres.conf import masked
from . import recorded
from .snapshot import ALTER_SYSTEM, server_settings, snapshot

RIGHTS = {"rolreplication": "replication", "rolsuper": "superuser", "rolcanlogin": "login"}
COMMAND_LINE = "command line"  # the source of a setting, as pg_settings calls it
LISTS = (
    "preload_libraries",
    "search_path",
    "temp_tablespaces",
)  # ALTER SYSTEM would quote such a list as one name
TAKEN_BACK = "`pgrepl run` takes it back"
OLD = "put that back, or remove it: the next run records anew"
KEEP = "; to keep it, give it with the parameter settings"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as recorded. instance: "" for what belongs to no instance."""

    instance: str
    what: str
    recorded: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{f'{self.instance}: ' if self.instance else ''}{self.what}: {self.seen} (recorded: {self.recorded})"


def verdict(cluster: AnyCluster) -> tuple[str, str, str] | None:
    """Expected, seen and hint of the check `drift`; None where nothing is recorded yet."""
    record = recorded.known(cluster)
    if record is None:
        return None
    now = snapshot(cluster)
    found = list(differences(record.state, now))
    expected = f"as recorded by {record.run}"
    hint = "; ".join(dict.fromkeys(d.remedy for d in found)) or TAKEN_BACK
    if _is_old(cluster.topology, record.state, now):
        hint = f"{recorded.FILE} is not the newest one: {OLD}"
    return expected, "; ".join(map(str, found)) or expected, hint


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """What is not as it was in a recorded state; what nobody recorded is none of it (`notices` tells it)."""
    for name, instance in now["instances"].items():
        if name in before["instances"]:
            yield from _of_instance(name, _in_use(name, before["instances"][name], now), instance)
    for right, value in (before["replication_user"] or {}).items():
        if (seen := now["replication_user"]) is not None and seen.get(right) != value:
            yield Difference(
                "",
                f"the replication user's {right}",
                _plain(value),
                _plain(seen.get(right)),
                "`pgrepl run` gives it back",
            )
    yield from _of_files("", before, now)


def _is_old(topology: Topology, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether the record is of other roles than the servers have, which are those of `cluster.json`."""
    primary = [name for name, i in now["instances"].items() if i["role"] == "primary"]
    recorded = [name for name, i in before["instances"].items() if i["role"] == "primary"]
    return primary == [topology.primary] and primary != recorded


def _in_use(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of an instance, without slots whose replica now follows another one."""
    upstreams = {n: i["upstream"] for n, i in now["instances"].items()}
    slots = before["slots"] or {}
    kept = {s: kind for s, kind in slots.items() if upstreams.get(owner_of(s), name) == name}
    return {**before, "slots": kept}


def notices(cluster: AnyCluster) -> list[str]:
    """What is there and was never recorded: it is somebody's and is never removed, but slots hold WAL."""
    record = recorded.known(cluster)
    if record is None:
        return []
    found = []
    if record.before:
        found.append(
            "something that pgrepl did has not ended, or was killed: its changes count as recorded"
        )
    for name, now in snapshot(cluster)["instances"].items():
        known = (record.state["instances"].get(name, {}).get("slots") or {}).keys()
        for slot in [s for s in now["slots"] or {} if s not in known]:
            query = "select active from pg_replication_slots where slot_name = %s"
            active = db.row(cluster.instance(name).address, query, [slot]).get("active")
            found.append(
                f"{name}: nobody recorded the slot {slot}{'' if active else ', which is inactive and holds WAL'}"
            )
        others = sorted(
            p.name for p in (cluster.folder / name).glob("[!.]*") if p.name not in CONFIGURATION
        )
        found += [f"{name}: nobody recorded the file {name}/{other}" for other in others]
    return [*found, *consumers(cluster)]


def consumers(cluster: AnyCluster) -> list[str]:
    """Who else receives WAL from the primary: an archive, a base backup, a logical consumer."""
    ours = [r.application_name for r in cluster.replicas]
    query = """select application_name as n, state from pg_stat_replication
               where application_name <> all(%s)"""
    try:
        found = db.rows(cluster.primary.address, query, [ours])
    except (OperationalError, OSError):  # the checks say so
        return []
    return [f"{cluster.primary.name}: {r['n']} receives WAL, too ({r['state']})" for r in found]


# --- the way back -----------------------------------------------------------------------------------------


def with_settings(instance: Server, start: Action) -> Action:
    """An instance's start that also takes ALTER SYSTEM, and options that it was started with, back to what is recorded.

    Before the start, for a replica may not stream because of them, and after it, for only a running server tells them.
    """
    settings = settings_action(instance)

    def do(tell: Tell) -> None:
        for each in (settings, start, settings):
            if not each.done():
                each.do(tell)

    commands, anew = (*settings.commands, *start.commands), start.anew or start.commands
    return Action(commands, do, lambda: start.done() and settings.done(), anew=anew)


def renewed(instance: Server, start: Action) -> Action:
    """A start that also changes the image of one whose image's name means another one now."""
    renew = instance.cluster.engine.renew(instance.name)
    if renew.done():
        return start

    def do(tell: Tell) -> None:
        renew.do(tell)
        start.do(tell)

    return Action((*renew.commands, *start.commands), do, anew=start.anew or start.commands)


def rights_back(cluster: AnyCluster, seen: Mapping[str, Any]) -> sql.Composed | None:
    """The statement that gives the replication user the rights that are recorded; None where it has them."""
    record = recorded.read(cluster)
    before = (record and record.state["replication_user"]) or {}
    words = [
        w if before[r] else f"no{w}"
        for r, w in RIGHTS.items()
        if r in before and before[r] != seen[r]
    ]
    words += ["password null"] if before.get("password") is False and seen["password"] else []
    name = sql.Identifier(cluster.params.replication_user)
    return sql.SQL("alter role {} {}").format(name, sql.SQL(" ".join(words))) if words else None


def settings_action(instance: Server) -> Action:
    """The part of that which needs a running server; without one there is nothing to do."""
    engine = instance.cluster.engine
    stop, start = engine.stop(instance.name), engine.start(instance.name)

    def do(tell: Tell) -> None:
        statements, restart = _astray(instance)
        for statement in statements:
            db.rows(instance.address, statement)
        _reload(instance)
        if restart:
            restarts.restart(instance)
        restarts.take_over(instance)

    statements, restart = _astray(instance)
    reset = (engine.client(instance.name, "psql", "-c", s.as_string() + ";") for s in statements)
    reload = restarts.reload_action(instance).commands if statements else ()
    again = (*stop.commands, *start.commands) if restart else ()
    return Action((*reset, *reload, *again), do, lambda: _astray(instance) == ([], False))


def _astray(instance: Server) -> tuple[list[sql.Composed], bool]:
    """ALTER SYSTEM, as often as an entry is not as recorded, and whether the options of its start are others.

    Nothing where the server does not answer.
    """
    before = _recorded(instance)
    was = before.get("alter_system")
    if was is None:
        return [], False
    try:
        has = {
            r["name"]: masked(r["name"], r["value"])
            for r in db.rows(instance.address, ALTER_SYSTEM)
        }
        live = [r for r in server_settings(instance.address) if r["source"] == COMMAND_LINE]
        given = {r["name"]: masked(r["name"], r["value"]) for r in live}
    except (OperationalError, OSError, EnvironmentLacking):
        return [], False
    reset, assign = sql.SQL("alter system reset {}"), sql.SQL("alter system set {} = {}")
    statements = [reset.format(_name(n)) for n in has if n not in was]
    statements += [
        assign.format(_name(n), sql.Literal(was[n]))
        for n in was
        if was[n] != has.get(n) and _settable(n)
    ]
    return statements, any(before["settings"].get(n) != value for n, value in given.items())


def _settable(name: str) -> bool:
    """Whether the recorded value can be given to ALTER SYSTEM again: a list would be one name, a secret is masked."""
    return not name.endswith(LISTS) and masked(name, "x") == "x"


def _recorded(instance: Server) -> dict[str, Any]:
    record = recorded.read(instance.cluster)
    return dict(record.state["instances"].get(instance.name, {})) if record else {}


def _reload(instance: Server) -> None:
    """Let the server read its files, and wait until it has."""
    query = "select pg_conf_load_time()::text as t"
    before = db.row(instance.address, query)["t"]
    db.row(instance.address, "select pg_reload_conf()")
    probe = lambda: (db.row(instance.address, query)["t"] != before, "old configuration")  # noqa: E731
    wait_until(f"{instance.name} to read its files", probe, seconds=10)


def _name(setting: str) -> sql.Identifier:
    """An extension's has two parts, each quoted by itself."""
    return sql.Identifier(*setting.split("."))


# --- what differs -----------------------------------------------------------------------------------------


def _of_instance(
    name: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Difference]:
    if before["running"] and not now["running"]:
        yield Difference(name, "the server", "running", "not running", "`pgrepl run` starts it")
    elif (before["role"] == "primary") != (now["role"] == "primary") and now["running"]:
        yield _of_role(name, before["role"], now["role"])
    yield from _of_settings(name, before, now)
    for slot, kind in (before["slots"] or {}).items():
        if now["slots"] is not None and now["slots"].get(slot) != kind:
            yield _of_slot(name, slot, kind, now["slots"].get(slot, "gone"))
    yield from _of_files(name, before, now)


def _of_role(name: str, before: str, now: str) -> Difference:
    if now == "primary":
        command = f"`pgrepl replica rebuild {name} --discard`"
        remedy = f"{command} makes it a replica again, without what was written there"
    else:
        remedy = (
            f"{name} was put into recovery by hand: take its standby.signal away and restart it, "
            "or replace it with `pgrepl failover --force`"
        )
    return Difference(name, "the role", before, now, remedy)


def _of_slot(name: str, slot: str, before: str, now: str) -> Difference:
    remedy = "`pgrepl run` makes it again"
    if owner := owner_of(slot):
        remedy += f"; if {owner} does not stream then, it lacks WAL: "
        remedy += f"`pgrepl replica rebuild {owner}`"
    return Difference(name, f"the slot {slot}", before, now, remedy)


def _of_settings(
    name: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Difference]:
    if None in (before["settings"], now["settings"]):
        return
    was, has = before["alter_system"], now["alter_system"]
    system = [s for s in {**was, **has} if was.get(s) != has.get(s)]
    for s in system:
        statement = f"ALTER SYSTEM RESET {s}" if s not in was else f"ALTER SYSTEM SET {s}"
        remedy = (
            f"{TAKEN_BACK} ({statement}){KEEP}"
            if s not in was or _settable(s)
            else f"by hand: {statement}"
        )
        yield Difference(
            name, f"ALTER SYSTEM SET {s}", was.get(s, "none"), has.get(s, "none"), remedy
        )
    for s in {**before["settings"], **now["settings"]}:
        old, new = before["settings"].get(s, "not set"), now["settings"].get(s, "not set")
        if old != new and s not in system:
            by_hand = f"take it back by hand: ALTER ROLE … RESET {s} or ALTER DATABASE … RESET {s}"
            yield Difference(
                name, s, old, new, by_hand if new.startswith("hidden by") else f"{TAKEN_BACK}{KEEP}"
            )


def _of_files(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    remedy = f"`pgrepl plan` shows the difference, {TAKEN_BACK}"
    for file in before["files"]:
        if (seen := now["files"].get(file)) != before["files"][file]:
            yield Difference(
                name,
                f"the file {file}",
                f"SHA-256 {before['files'][file][:8]}…",
                f"SHA-256 {seen[:8]}…" if seen else "gone",
                remedy,
            )
    for file, mode in before["modes"].items():
        if (seen := now["modes"].get(file, mode)) != mode:
            yield Difference(name, f"the mode of {file}", mode, seen, remedy)


def _plain(value: Any) -> str:
    return str(value).lower()
