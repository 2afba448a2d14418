"""An instance's data as a copy of another one's: the document's way, from the slot on."""

from __future__ import annotations

import re
from functools import partial

from psycopg import sql

from ...cluster.dropping import wait_slot_free
from ...cluster.server import Server
from ...doors import ahead, db, files
from ...engine.action import Action, Tell, leaving, temporary_of
from . import needs, replacing
from .handing import certified_action

ONE_OWNER = "one owner\n"  # in the mark of data that are made, once that is done
SLOT = "select slot_type from pg_replication_slots where slot_name = %s"


def copy_actions(replica: Server) -> list[Action]:
    """The document's way to a complete data folder, for steps that do it as a whole."""
    return [
        certified_action(replica),
        slot_action(replica.upstream, replica.slot),
        temporary_action(replica),
        backup_action(replica),
        one_owner_action(replica),
        end_temporary_action(replica),
    ]


def slot_action(instance: Server, slot: str) -> Action:
    """A physical slot on an instance, which reserves WAL at once (correction 6)."""
    made = sql.SQL("select * from pg_create_physical_replication_slot({}, true);").format(slot)
    query = made.as_string()
    command, its = instance.cluster.engine.client(instance.name, "psql", "-c", query), instance.name

    def do(tell: Tell) -> None:
        db.rows(instance.address, query)

    def there() -> bool:
        return bool(db.row(instance.address, SLOT, [slot]))

    def done() -> bool:
        return ahead.fact("slot", f"{its}/{slot}", there)

    return Action((leaving(command, ahead.leaves(f"{its}/{slot}", slot=True)),), do, done)


def temporary_action(replica: Server) -> Action:
    """A place with the replica's empty data folder (document: repl_temp)."""
    action = replica.cluster.engine.start_temporary_replica(replica.name)
    mark = replica.cluster.mark(replica.name)

    def do(tell: Tell) -> None:
        replica.upstream.require_copyable()
        files.write_atomic(mark, "")
        action.do(tell)

    def done() -> bool:
        return replica.prepared() or (mark.exists() and action.done())

    leaves = ahead.leaves(temporary_of(replica.name), temporary=True)
    return Action(action.commands, do, done, leaves=leaves)


def backup_arguments(replica: Server) -> tuple[str, ...]:
    """The document's options of `pg_basebackup`, and the slot, so that no WAL it needs can go."""
    user = f"--username={replica.cluster.params.replication_user}"
    how = ("--format=p", "--write-recovery-conf", "--checkpoint=fast")
    whose = (f"--label={replica.application_name}", "--progress", user, "--no-password")
    return (*how, *whose, f"--slot={replica.slot}")


def backup_action(replica: Server) -> Action:
    """`pg_basebackup` into the temporary instance."""
    engine, name, source = replica.cluster.engine, replica.name, replica.upstream
    commands = engine.base_backup(name, source.name, backup_arguments(replica))

    def do(tell: Tell) -> None:
        def tell_percent(line: str) -> None:
            percent = re.search(r"(\d+)%", line)
            tell(f"{percent[1]} %" if percent else line.strip()[:60])

        source.require_copyable()
        files.write_atomic(replica.cluster.mark(name), "")
        engine.discard_backup(name)
        wait_slot_free(source, replica.slot)
        for command in commands:
            engine.run(command, tell_percent, source=source.name)

    def done() -> bool:
        return replica.prepared() or engine.backup_complete(name)

    return needs.after(Action(commands, do, done), replica, needs.to_copy(replica))


def one_owner_action(replica: Server) -> Action:
    """The copy of `primary_conninfo` in `postgresql.auto.conf` goes (corrections 4 and 5)."""
    engine, mark = replica.cluster.engine, replica.cluster.mark(replica.name)
    command = engine.forget_recovery_settings(replica.name)

    def do(tell: Tell) -> None:
        engine.run(command)
        files.write_atomic(mark, ONE_OWNER)

    def done() -> bool:
        return replica.prepared() or has_one_owner(replica)

    return needs.after(Action((command,), do, done), replica, [needs.backup(replica)])


def has_one_owner(replica: Server) -> bool:
    """Of data that are being made."""
    mark = replica.cluster.mark(replica.name)
    return mark.exists() and mark.read_text("utf-8") == ONE_OWNER


def end_temporary_action(replica: Server) -> Action:
    """The temporary instance ends; from now on the data folder counts as complete."""
    temporary, mark = temporary_of(replica.name), replica.cluster.mark(replica.name)
    action = replica.cluster.engine.remove_temporary(temporary, keep_for=replica.name)

    def do(tell: Tell) -> None:
        action.do(tell)
        files.remove(mark)

    def there() -> bool:
        return not action.done()

    def done() -> bool:
        return not ahead.fact("temporary", temporary, there) and not mark.exists()

    gone = ahead.leaves(temporary, temporary=False)
    ended = Action(action.commands, do, done, leaves=gone)
    return needs.after(ended, replica, needs.to_end(replica, partial(has_one_owner, replica)))


def replacing_action(replica: Server) -> Action:
    """Its data replaced by a new copy of its upstream; they stay until that is complete."""
    engine, mark, source = (
        replica.cluster.engine,
        replica.cluster.mark(replica.name),
        replica.upstream,
    )
    arguments = backup_arguments(replica)
    copy = replacing.copy_action(engine, replica.name, source.name, arguments, mark)

    def require_copyable(tell: Tell) -> None:
        source.require_copyable()

    return Action.sequence([certified_action(replica), Action((), require_copyable), copy])
