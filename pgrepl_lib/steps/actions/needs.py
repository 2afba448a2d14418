"""What a step needs of the steps before it: it refuses before anything is touched, and names them.

A reader may execute the chapters' cells in any order; a run never meets this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import psycopg

from ...cluster.server import Server
from ...doors import db, files
from ...engine.action import CONFIGURATION, PRIMARY, TEMPORARY_PRIMARY, Action, Tell, temporary_of
from ...errors import PgreplError, StepFailed
from ...postgres import conf
from ...words.text import mark, t

TOO_EARLY = mark("Another step comes first: {what} is missing; nothing was changed.")
FIRST = mark("first execute `{cell}` (chapter {chapter}); `pgrepl run` does all steps in order")
ALONE = mark("first execute `{cell}`; `pgrepl run` starts all that does not run")
NOT_ASKED = (psycopg.Error, OSError, PgreplError)  # of what is not there yet
ROLE = "select rolname from pg_roles where rolname = %s"


@dataclass(frozen=True)
class Need:
    """What has to be there: how it is called, the cell that makes it, and of which chapter.

    chapter: empty for a cell of any.
    """

    there: Callable[[], bool]
    what: str
    cell: str
    chapter: str = "01"


def require(instance: Server, needs: Iterable[Need]) -> None:
    """Raise `StepFailed` for the first need that is not met."""
    for each in needs:
        if not each.there():
            first = t(FIRST, cell=each.cell, chapter=each.chapter)
            if not each.chapter:
                first = t(ALONE, cell=each.cell)
            cause = t(TOO_EARLY, what=each.what)
            raise StepFailed(cause, remedy=instance.cluster.addressed(first))


def after(action: Action, instance: Server, needs: Iterable[Need]) -> Action:
    """The same action; where it has something to do, and a need of it is not met, it refuses."""
    required = tuple(needs)

    refuse = partial(require, instance, required)

    def do(tell: Tell) -> object:
        refuse()
        return action.do(tell)

    def done() -> bool:
        try:
            return action.done()
        except NOT_ASKED:
            refuse()
            raise

    return replace(action, do=do, done=done)


def file(instance: Server, name: str) -> Need:
    """A configuration file as its server made it, which others are written into."""
    who, chapter = _place(instance)
    there = partial(instance.has_file, name)
    return Need(there, f"{instance.name}/{name}", f'{who}.copy_configuration("{name}")', chapter)


def passwords(instance: Server) -> Need:
    """The superuser's, which its server is made with."""
    secret = instance.cluster.folder / "secrets/superuser"
    return Need(secret.exists, "secrets/superuser", "cluster.make_secrets()")


def to_start(instance: Server) -> Iterator[Need]:
    """The passwords, and both files, which the server's user may read."""
    who, chapter = _place(instance)
    yield passwords(instance)
    for name in CONFIGURATION:
        yield file(instance, name)
        mode = t("mode 644 of {file}", file=f"{instance.name}/{name}")
        cell = f'{who}.make_readable("{name}")'
        yield Need(partial(_readable, instance, name), mode, cell, chapter)
    if instance.name in instance.cluster.topology.upstreams:
        follows = partial(_follows, instance)
        yield Need(follows, "primary_conninfo", f"{who}.follow({who}.upstream)", chapter)


def running(instance: Server) -> Need:
    """The server."""
    engine, name = instance.cluster.engine, instance.name
    cell, chapter = f'cluster.instance("{name}").start()', ""
    if name == PRIMARY and not engine.has_data(name):
        cell, chapter = "primary.start()", "01"
    return Need(partial(engine.running, name), t("a running {name}", name=name), cell, chapter)


def temporary(instance: Server) -> Need:
    """The temporary instance: the primary's, or the one for a replica's base backup."""
    who, chapter = _place(instance)
    name, cell = TEMPORARY_PRIMARY, "cluster.start_temporary()"
    if instance.is_replica:
        name, cell = temporary_of(instance.name), f"{who}.start_temporary()"
    return Need(partial(_exists, instance, name), name, cell, chapter)


def backup(replica: Server) -> Need:
    """The whole base backup, in the temporary instance."""
    complete = partial(replica.cluster.engine.backup_complete, replica.name)
    return Need(complete, "base backup", "replica.base_backup()", "02")


def to_end(replica: Server, has_one_owner: Callable[[], bool]) -> Iterator[Need]:
    """What is done in the temporary instance, before its data count as complete."""
    yield backup(replica)
    cell = "replica.forget_recovery_settings()"
    yield Need(has_one_owner, t("one owner of primary_conninfo"), cell, "02")


def to_copy(replica: Server) -> Iterator[Need]:
    """What the upstream must have before a base backup is made of it."""
    source = replica.upstream
    yield running(source)
    user, rule = replica.cluster.params.replication_user, f"{source.name}/{CONFIGURATION[1]}"
    yield Need(partial(_has_role, source, user), user, "primary.create_replication_user()")
    yield Need(partial(_allows, source), rule, "primary.allow_replication()")
    yield Need(partial(_has_read, source), rule, "primary.start()")


def slot(replica: Server, there: Callable[[], bool]) -> Need:
    """Its slot at its upstream."""
    return Need(there, replica.slot, "primary.create_slot(cluster.replica.slot)")


def _place(instance: Server) -> tuple[str, str]:
    """The variable of the cells that prepare it, and their chapter."""
    return ("replica", "02") if instance.is_replica else ("primary", "01")


def _readable(instance: Server, name: str) -> bool:
    return bool(instance.mode_of(name) & 0o004)


def _follows(instance: Server) -> bool:
    text = files.text(instance.cluster.folder / instance.name / CONFIGURATION[0])
    return bool(conf.settings_of_block(text, "standby"))


def _exists(instance: Server, temporary: str) -> bool:
    return not instance.cluster.engine.remove_temporary(temporary).done()


def _has_role(instance: Server, name: str) -> bool:
    return bool(db.row(instance.address, ROLE, [name]))


def _allows(instance: Server) -> bool:
    begin, _ = conf.marks("replication")
    return begin in files.text(instance.cluster.folder / instance.name / CONFIGURATION[1])


def _has_read(instance: Server) -> bool:
    return CONFIGURATION[1] not in instance.unread()
