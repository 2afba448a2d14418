"""The way back to what is recorded: settings, options of a server's start, rights, images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from psycopg import OperationalError, sql

from ..cluster import restarts
from ..cluster.project import Project
from ..cluster.server import Server
from ..doors import db, show
from ..engine.action import Action, Shown, Tell
from ..errors import EnvironmentLacking, PgreplError
from ..postgres.conf import masked
from ..words.text import mark, t
from . import recorded
from .snapshot import ALTER_SYSTEM, server_settings

RIGHTS = {"rolreplication": "replication", "rolsuper": "superuser", "rolcanlogin": "login"}
AUTO = "postgresql.auto.conf"  # ALTER SYSTEM's
COMMAND_LINE = "command line"  # the source of a setting, as pg_settings calls it
# ALTER SYSTEM would quote such a list as one name.
LISTS = ("preload_libraries", "search_path", "temp_tablespaces")


def with_settings(instance: Server, start: Action) -> Action:
    """An instance's start that also takes back ALTER SYSTEM, and options that it was started with.

    Before the start, for a replica may not stream because of them, and after it, for only a running
    server tells them.
    """
    settings, start = settings_action(instance), _startable(instance, start)
    done = Action.sequence([start, settings]).done
    whole = Action.sequence([settings, start, settings], done)
    commands, anew = (*settings.commands, *start.commands), start.anew or start.commands
    return replace(whole, commands=commands, anew=anew)


def _startable(instance: Server, start: Action) -> Action:
    """A start that takes out of ALTER SYSTEM's file what nobody recorded, where it fails with it.

    As a library that is not here any more: only a server that runs could take it back itself.
    """

    def do(tell: Tell) -> None:
        try:
            start.do(tell)
        except PgreplError:
            if not _unrecorded_taken_out(instance):
                raise
            start.do(tell)

    return replace(start, do=do)


def _unrecorded_taken_out(instance: Server) -> bool:
    """Of an instance that does not run; whether there was anything."""
    engine, name = instance.cluster.engine, instance.name
    was = recorded.last_of(instance).get("alter_system")
    if was is None or not engine.life(name).ended:
        return False
    kept = rf"^\s*(#|$|({'|'.join(map(re.escape, was)) or '#'})\s*=)"
    found = engine.run(engine.on_data(name, "grep", "-vE", kept, AUTO), check=False).out
    names = [line.split("=")[0].strip() for line in found.splitlines() if "=" in line]
    if not names:
        return False
    told = mark("{name} does not start with {names} in {file}, which nobody recorded: taken out")
    show.notice(t(told, name=name, names=", ".join(names), file=AUTO))
    engine.run(engine.on_data(name, "sed", "-i", "-E", rf"/{kept}/!d", AUTO))
    return True


def renewed(instance: Server, start: Action) -> Action:
    """A start that also changes the image of one whose image's name means another one now."""
    renew = instance.cluster.engine.renew(instance.name)
    if renew.done():
        return start

    def do(tell: Tell) -> None:
        renew.do(tell)
        start.do(tell)

    return Action((*renew.commands, *start.commands), do, anew=start.anew or start.commands)


def rights_back(cluster: Project, seen: Mapping[str, Any]) -> sql.Composed | None:
    """The statement that gives the replication user its recorded rights; None where it has them."""
    record = recorded.read(cluster)
    before = (record and record.state["replication_user"]) or {}
    words = [
        f"{'' if before[right] else 'no'}{word}"
        for right, word in RIGHTS.items()
        if right in before and before[right] != seen[right]
    ]
    trusted = cluster.params.auth_method == "trust"
    if trusted and before.get("password") is False and seen["password"]:
        words.append("password null")
    if not words:
        return None
    name = sql.Identifier(cluster.params.replication_user)
    return sql.SQL("alter role {} {}").format(name, sql.SQL(" ".join(words)))


def settings_action(instance: Server) -> Action:
    """The part of that which needs a running server; without one there is nothing to do."""
    engine, name = instance.cluster.engine, instance.name

    def do(tell: Tell) -> None:
        statements, restart = _astray(instance)
        for statement in statements:
            db.rows(instance.address, statement)
        restarts.reload(instance)
        if restart:
            restarts.restart(instance)
        restarts.take_over(instance)

    def done() -> bool:
        return _astray(instance) == ([], False)

    statements, restart = _astray(instance)
    commands: list[Shown] = [
        engine.client(name, "psql", "-c", f"{s.as_string()};") for s in statements
    ]
    if statements:
        commands += restarts.reload_action(instance).commands
    if restart:
        commands += (*engine.stop(name).commands, *engine.start(name).commands)
    return Action(tuple(commands), do, done)


def _astray(instance: Server) -> tuple[list[sql.Composed], bool]:
    """ALTER SYSTEM for each entry that is not as recorded, and whether its start had other options.

    Nothing where the server does not answer.
    """
    before = recorded.last_of(instance)
    was = before.get("alter_system")
    if was is None:
        return [], False
    try:
        has = _masked(db.rows(instance.address, ALTER_SYSTEM))
        live = server_settings(instance.address)
    except (OperationalError, OSError, EnvironmentLacking):
        return [], False
    given = _masked(r for r in live if r["source"] == COMMAND_LINE)
    reset, assign = sql.SQL("alter system reset {}"), sql.SQL("alter system set {} = {}")
    statements = [reset.format(_name(n)) for n in has if n not in was]
    statements += [
        assign.format(_name(n), sql.Literal(was[n]))
        for n in was
        if was[n] != has.get(n) and settable(n)
    ]
    return statements, any(before["settings"].get(n) != value for n, value in given.items())


def _masked(rows: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {r["name"]: masked(r["name"], r["value"]) for r in rows}


def settable(name: str) -> bool:
    """Whether ALTER SYSTEM takes its recorded value: not a list, nor what is masked."""
    return not name.endswith(LISTS) and masked(name, "x") == "x"


def _name(setting: str) -> sql.Identifier:
    """An extension's has two parts, each quoted by itself."""
    return sql.Identifier(*setting.split("."))
