"""A change of roles is taken back before its promotion: only the old primary is needed for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from ..checks import slots
from ..cluster import promises, restarts
from ..cluster.changes import promotion
from ..doors import files, show
from ..doors.command import silently
from ..engine.action import CONFIGURATION, Action, Tell
from ..errors import PgreplError, StepFailed, first_line
from ..postgres import conf

if TYPE_CHECKING:
    from ..steps.instance import Instance


def action(old: Instance, new: Instance) -> Action:
    """The old primary writes again, with every guarantee that it gave; the new one forgets."""
    cluster, engine = old.cluster, old.cluster.engine
    parts = [engine.stop(old.name), engine.allow_writes(old.name), engine.start(old.name)]

    def do(tell: Tell) -> None:
        promotion.give_up(engine, cluster.topology, tell)
        _restore_files(old)  # before it starts: its first commit waits for whom it shall
        if not engine.life(old.name).ended and not engine.running(old.name):
            engine.start(old.name).do(tell)  # it is paused, and goes on
        if not old.runs_as_primary():
            _start(old, tell)
        restarts.take_over(old)
        _forget(new)

    patches = tuple(f"patch {old.name}/{file}" for file in CONFIGURATION)
    return Action((*patches, *(c for part in parts for c in part.commands)), do)


def _restore_files(old: Instance) -> None:
    """No upstream, nobody shut out, and the promise to synchronous replicas as it is recorded."""
    cluster = old.cluster
    settings, rules = (cluster.folder / old.name / file for file in CONFIGURATION)
    names = promises.standbys(cluster, old.name)
    before = settings.read_text("utf-8")
    text = promises.wanted(before, cluster.topology.synchronous, names)
    text = conf.without_block(text, "standby")
    if text != before:
        files.write_atomic(settings, text)
    before = rules.read_text("utf-8")
    text = conf.without_block(before, conf.FENCE)
    if text != before:
        files.write_atomic(rules, text)


def _start(old: Instance, tell: Tell) -> None:
    engine, name = old.cluster.engine, old.name
    if engine.running(name) and not old.answers()[0]:
        raise StepFailed(
            f"{name} does not answer; it was not taken back.",
            remedy=old.cluster.addressed("let a replica take over: `pgrepl failover`"),
        )
    for each in (engine.stop(name), engine.allow_writes(name), engine.start(name)):
        if not each.done():
            each.do(tell)
    old.wait_ready()


def _forget(new: Instance) -> None:
    """Undo what was prepared on it; where it does not answer, that is only told."""
    path = new.cluster.folder / new.name / CONFIGURATION[0]
    if path.exists():
        text = path.read_text("utf-8")
        files.write_atomic(path, promises.wanted(text, "", []))
    try:
        if new.cluster.engine.running(new.name):
            restarts.take_over(new)
            slots.drops(new.cluster, new.cluster.topology).do(silently)
            return
        why = str(new.cluster.engine.life(new.name))
    except (PgreplError, psycopg.Error, OSError) as error:
        why = first_line(error)
    later = new.cluster.addressed("`pgrepl check` names the slots that it may keep for nobody")
    show.notice(f"{new.name} was not asked ({why}): once it answers, {later}")
