"""A change of roles is taken back before its promotion: only the old primary is needed for that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from ..checks import slots
from ..cluster import promises, restarts
from ..cluster.changes import promotion
from ..doors import show
from ..doors.program import silently
from ..engine.action import CONFIGURATION, Action, Tell
from ..engine.edit import Edit
from ..errors import PgreplError, StepFailed, first_line
from ..postgres import conf
from ..words.text import t

if TYPE_CHECKING:
    from ..steps.instance import Instance


def action(old: Instance, new: Instance) -> Action:
    """The old primary writes again, with every guarantee that it gave; the new one forgets."""
    cluster, engine = old.cluster, old.cluster.engine
    parts = [engine.stop(old.name), engine.allow_writes(old.name), engine.start(old.name)]
    restored, forgets = _restored_files(old), promises.edit(cluster.folder, new.name, "", [])

    def do(tell: Tell) -> None:
        promotion.give_up(engine, cluster.topology, tell)
        for edit in restored:  # before it starts: its first commit waits for whom it shall
            edit.write()
        if not engine.life(old.name).ended and not engine.running(old.name):
            engine.start(old.name).do(tell)  # it is paused, and goes on
        if not old.runs_as_primary():
            _start(old, tell)
        restarts.take_over(old)
        forgets.write()
        _forget(new)

    commands = (c for part in parts for c in part.commands)
    return Action((*restored, forgets, *commands), do)


def _restored_files(old: Instance) -> list[Edit]:
    """No upstream, nobody shut out, and the promise to synchronous replicas as it is recorded."""
    promise = promises.recorded_edit(old.cluster, old.name)
    settings = replace(promise, blocks={**promise.blocks, "standby": None})
    return [
        settings,
        Edit(old.cluster.folder, f"{old.name}/{CONFIGURATION[1]}", {conf.FENCE: None}),
    ]


def _start(old: Instance, tell: Tell) -> None:
    engine, name = old.cluster.engine, old.name
    if engine.running(name) and not old.answers()[0]:
        raise StepFailed(
            t("{name} does not answer; it was not taken back.", name=name),
            remedy=old.cluster.addressed(t("let a replica take over: `pgrepl failover`")),
        )
    for each in (engine.stop(name), engine.allow_writes(name), engine.start(name)):
        if not each.done():
            each.do(tell)
    old.wait_ready()


def _forget(new: Instance) -> None:
    """Undo what was prepared on it; where it does not answer, that is only told."""
    try:
        if new.cluster.engine.running(new.name):
            restarts.take_over(new)
            slots.drops(new.cluster, new.cluster.topology).do(silently)
            return
        why: str = new.cluster.engine.life(new.name).told
    except (PgreplError, psycopg.Error, OSError) as error:
        why = first_line(error)
    told = t(
        "{name} was not asked ({why}): once it answers, "
        "`pgrepl check` names the slots that it may keep for nobody",
        name=new.name,
        why=why,
    )
    show.notice(new.cluster.addressed(told))
