"""Drift: what on the cluster is no longer as it is recorded (`drift/recorded.py`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from psycopg import OperationalError

from ..cluster.members import AnyCluster
from ..cluster.server import Server
from ..cluster.topology import Topology, owner_of
from ..doors import db
from ..doors.answer import Answer, ask_all
from ..engine.action import CONFIGURATION
from ..postgres.conf import OWNED
from ..words.text import Text, joined, mark, t
from . import recorded
from .snapshot import snapshot
from .undo import settable

MANAGED = mark(
    "{name}: {programs} works there, and changes roles, settings and slots by itself: "
    "end it first, or leave the cluster to it"
)
FOREIGN_FILE = mark("{name}: nobody recorded the file {name}/{file}")
ROLES = (mark("primary"), mark("replica"), mark("fenced"))  # as `snapshot` calls them
HIDDEN = re.compile(r"hidden by one for a ([a-z ]+)")  # as `snapshot` records it


@dataclass(frozen=True)
class Difference:
    """One thing that is not as recorded. instance: "" for what belongs to no instance."""

    instance: str
    what: str
    recorded: str
    seen: str
    remedy: str

    def told(self) -> Text:
        """As one line."""
        had = t("{seen} (recorded: {recorded})", seen=self.seen, recorded=self.recorded)
        return joined(": ", filter(None, [self.instance, self.what, had]))


def verdict(cluster: AnyCluster) -> tuple[str, str, str] | None:
    """Expected, seen and hint of the check `drift`; None where nothing is recorded yet."""
    record = recorded.known(cluster)
    if record is None:
        return None
    now = snapshot(cluster)
    found = list(differences(record.state, now))
    expected = t("as recorded by {run}", run=record.run)
    hint = joined("; ", dict.fromkeys(d.remedy for d in found))
    if _is_old(cluster.topology, record.state, now):
        hint = t(
            "{file} is not the newest one: put that back, or remove it: the next run records anew",
            file=recorded.FILE,
        )
    return expected, joined("; ", [d.told() for d in found] or [expected]), hint


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """What is not as it was in a recorded state; of what nobody recorded `notices` tells."""
    for name, instance in now["instances"].items():
        if name in before["instances"]:
            yield from _of_instance(name, _in_use(name, before["instances"][name], now), instance)
    yield from _of_rights(before["replication_user"], now["replication_user"])
    yield from _of_files("", before, now)


def _is_old(topology: Topology, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether the servers have the roles of `cluster.json`, and the record has others."""
    primary = [name for name, i in now["instances"].items() if i["role"] == "primary"]
    recorded = [name for name, i in before["instances"].items() if i["role"] == "primary"]
    return primary == [topology.primary] and primary != recorded


def _in_use(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of an instance, without slots whose replica now follows another one."""
    upstreams = {n: i["upstream"] for n, i in now["instances"].items()}
    slots = before["slots"] or {}
    kept = {s: kind for s, kind in slots.items() if upstreams.get(owner_of(s), name) == name}
    return {**before, "slots": kept}


def notices(cluster: AnyCluster) -> list[Text]:
    """What is there and was never recorded: it is somebody's and is never removed."""
    record = recorded.known(cluster)
    if record is None:
        return []
    found = []
    if record.before:
        found.append(
            t("something that pgrepl did has not ended, or was killed: its changes are recorded")
        )
    for name, now in snapshot(cluster)["instances"].items():
        known = record.state["instances"].get(name, {}).get("slots") or {}
        found += [_slot(cluster, name, slot) for slot in now["slots"] or {} if slot not in known]
        others = sorted({p.name for p in (cluster.folder / name).glob("[!.]*")} - {*CONFIGURATION})
        found += [t(FOREIGN_FILE, name=name, file=other) for other in others]
    return [*found, *consumers(cluster), *_managers(cluster)]


def _slot(cluster: AnyCluster, name: str, slot: str) -> Text:
    query = "select active from pg_replication_slots where slot_name = %s"
    if db.row(cluster.instance(name).address, query, [slot]).get("active"):
        return t("{name}: nobody recorded the slot {slot}", name=name, slot=slot)
    return t(
        "{name}: nobody recorded the slot {slot}, which is inactive and holds WAL",
        name=name,
        slot=slot,
    )


def consumers(cluster: AnyCluster) -> list[Text]:
    """Who else receives WAL from the primary: an archive, a base backup, a logical consumer."""
    ours = [r.application_name for r in cluster.replicas]
    query = """select application_name as n, state from pg_stat_replication
               where application_name <> all(%s)"""
    try:
        found = db.rows(cluster.primary.address, query, [ours])
    except (OperationalError, OSError):  # the checks say so
        return []
    name = cluster.primary.name
    return [t("{name}: {n} receives WAL, too ({state})", name=name, **r) for r in found]


def _managers(cluster: AnyCluster) -> list[Text]:
    """What else manages the cluster: whatever is taken back of what it does, it does again."""
    query = """select string_agg(distinct application_name, ', ') as n from pg_stat_activity
               where application_name ~* '^(patroni|repmgr|pg_auto)'"""
    names = cluster.topology.names
    seen = ask_all(partial(Server.look, query=query), map(cluster.instance, names))
    return [
        t(MANAGED, name=name, programs=row["n"])
        for name, row in zip(names, seen, strict=True)
        if not isinstance(row, Answer) and row["n"]
    ]


def _of_instance(
    name: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Difference]:
    ended = before["running"] and not now["running"]
    if ended and now["role"] != "fenced":  # that one stands until it is brought back
        remedy = t("`pgrepl run` starts it")
        yield Difference(name, t("the server"), t("running"), t("not running"), remedy)
    elif (before["role"] == "primary") != (now["role"] == "primary") and now["running"]:
        yield _of_role(name, before["role"], now["role"])
    yield from _of_settings(name, before, now)
    for slot, kind in (before["slots"] or {}).items():
        if now["slots"] is not None and now["slots"].get(slot) != kind:
            yield _of_slot(name, slot, kind, now["slots"].get(slot) or t("gone"))
    yield from _of_files(name, before, now)


def _of_role(name: str, before: str, now: str) -> Difference:
    if now == "primary":
        remedy = t(
            "`pgrepl replica rebuild {name} --discard` makes it a replica again, without what was "
            "written there",
            name=name,
        )
    else:
        remedy = t(
            "{name} was put into recovery by hand: take its standby.signal away and restart it, "
            "or replace it with `pgrepl failover --force`",
            name=name,
        )
    return Difference(name, t("the role"), t(before), t(now), remedy)


def _of_rights(
    before: Mapping[str, Any] | None, now: Mapping[str, Any] | None
) -> Iterator[Difference]:
    if now is None:
        return
    for right, value in (before or {}).items():
        if now.get(right) != value:
            what = t("the replication user's {right}", right=right)
            remedy = t("`pgrepl run` gives it back")
            yield Difference("", what, _plain(value), _plain(now.get(right)), remedy)


def _of_slot(name: str, slot: str, before: str, now: str) -> Difference:
    remedy = t("`pgrepl run` makes it again")
    if owner := owner_of(slot):
        remedy = t(
            "`pgrepl run` makes it again; if {owner} does not stream then, it lacks WAL: "
            "`pgrepl replica rebuild {owner}`",
            owner=owner,
        )
    return Difference(name, t("the slot {slot}", slot=slot), before, now, remedy)


def _of_settings(
    name: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Difference]:
    if None in (before["settings"], now["settings"]):
        return
    was, has = before["alter_system"], now["alter_system"]
    system = [s for s in {**was, **has} if was.get(s) != has.get(s)]
    for s in system:
        old, new = was.get(s, t("none")), has.get(s, t("none"))
        yield Difference(name, f"ALTER SYSTEM SET {s}", old, new, _system_back(s, was))
    old, new = before["settings"], now["settings"]
    for s in {**old, **new}:
        if old.get(s) != new.get(s) and s not in system:
            yield Difference(name, s, _value(old.get(s)), _value(new.get(s)), _back(s, new.get(s)))


def _system_back(setting: str, was: Mapping[str, str]) -> Text:
    statement = f"ALTER SYSTEM {'SET' if setting in was else 'RESET'} {setting}"
    if setting in was and not settable(setting):
        return t("by hand: {statement}", statement=statement)
    return _or_kept(setting, t("`pgrepl run` takes it back ({statement})", statement=statement))


def _back(setting: str, now: str | None) -> Text:
    if HIDDEN.match(now or ""):
        reset = f"RESET {setting}"
        return t(
            "take it back by hand: ALTER ROLE … {reset} or ALTER DATABASE … {reset}", reset=reset
        )
    return _or_kept(setting, t("`pgrepl run` takes it back"))


def _or_kept(setting: str, back: Text) -> Text:
    """How to keep it, too, where that is the user's to say."""
    if setting in OWNED:
        return back
    return joined("; ", [back, t("to keep it, give it with the parameter settings")])


def _value(recorded: str | None) -> str:
    """A setting's value, as a person reads it."""
    if recorded is None:
        return t("not set")
    if hidden := HIDDEN.fullmatch(recorded):
        return t("hidden by one for a {source}", source=hidden[1])
    return recorded


def _of_files(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    remedy = t("`pgrepl plan` shows the difference, `pgrepl run` takes it back")
    for file, known in before["files"].items():
        if (seen := now["files"].get(file)) != known:
            what = t("the file {file}", file=file)
            yield Difference(name, what, _digest(known), _digest(seen), remedy)
    for file, mode in before["modes"].items():
        if (seen := now["modes"].get(file, mode)) != mode:
            yield Difference(name, t("the mode of {file}", file=file), mode, seen, remedy)


def _digest(found: str | None) -> str:
    return f"SHA-256 {found[:8]}…" if found else t("gone")


def _plain(value: Any) -> str:
    return str(value).lower()
