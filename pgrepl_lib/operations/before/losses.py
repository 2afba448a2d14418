"""What a change of roles takes from the users, to be said before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import psycopg

from ...checks.claims import alike
from ...cluster.server import Server
from ...doors import db
from ...drift import recorded
from ...postgres import conf
from ...words.legible import in_a_line
from ...words.text import Text, joined, mark, t

LOGICAL = (
    "select slot_name as n from pg_replication_slots where slot_type = 'logical' and not temporary"
)
LOST = mark(
    "{name} has logical slots that the new primary will not have: {slots}; "
    "their consumers need new ones there"
)
# Their rows are in no WAL: a replica has such a table, and it is empty (manual, CREATE TABLE).
UNLOGGED = """
select n.nspname || '.' || c.relname as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence = 'u' order by 1"""
SHOWN = 5  # tables by name


def of(old: Server, new: Server) -> list[str]:
    """Logical slots, the rows of unlogged tables, and libraries."""
    return [*_slots(old, new), *_unlogged(new), *_libraries(old, new)]


def _slots(old: Server, new: Server) -> Iterator[Text]:
    """Logical slots do not change over with the role (manual, 29.6)."""
    kept, had = _logical(new) or [], _logical(old)
    if had is None:  # it does not answer any more: then it has what was recorded
        before = recorded.last_of(old).get("slots") or {}
        had = sorted(name for name, kind in before.items() if kind == "logical")
    if slots := ", ".join(name for name in had if name not in kept):
        yield t(LOST, name=old.name, slots=slots)


def _logical(server: Server) -> list[str] | None:
    """Its logical slots; None of one that does not answer."""
    if server.cluster.engine.running(server.name):
        with suppress(psycopg.Error, OSError):
            return [row["n"] for row in db.rows(server.address, LOGICAL)]
    return None


def _unlogged(new: Server) -> Iterator[Text]:
    """The replica knows them by name, also where the primary cannot be asked any more."""
    names: list[str] = []
    with suppress(psycopg.Error, OSError):
        for base in db.rows(new.address, db.BASES):
            with db.connect(new.address, dbname=base["n"]) as connection:
                found = connection.execute(UNLOGGED).fetchall()
            names += [in_a_line(f"{base['n']}.{row['name']}") for row in found]
    if names:
        more = ["…"] if len(names) > SHOWN else []
        shown = joined(", ", [*names[:SHOWN], *more])
        yield t("unlogged tables will be empty on {name}: {names}", name=new.name, names=shown)


def _libraries(old: Server, new: Server) -> Iterator[str]:
    """Who is to be the primary may not have loaded what the applications need."""
    has = _preloaded(new)
    if lacking := [name for name in _preloaded(old) if name not in has]:
        told = mark(
            "{name} has not preloaded {libraries}; to have it on all: "
            "`pgrepl run --settings '{settings}'`"
        )
        wanted = json.dumps({"shared_preload_libraries": ",".join([*has, *lacking])})
        what = {"libraries": joined(", ", lacking), "settings": wanted}
        yield new.cluster.addressed(t(told, name=new.name, **what))


def _preloaded(server: Server) -> list[str]:
    """Those of one that answers, else those that are recorded."""
    if server.cluster.engine.running(server.name):
        with suppress(psycopg.Error, OSError):
            return alike.preloaded(server)
    settings = recorded.last_of(server).get("settings") or {}
    return conf.listed(settings.get("shared_preload_libraries", ""))
