"""An instance's data are replaced by a new copy: beside them, and they go once it is complete.

Two files in the instance's folder tell what an interrupted one has left: `.copying` beside data
that are whole, and `.unfinished` (the mark of data that are not) with `EXCHANGING` in it.
"""

from __future__ import annotations

from pathlib import Path

from ...doors import db, files
from ...doors.program import silently
from ...engine.action import Action, Tell
from ...engine.protocol import Engine
from ...errors import EnvironmentLacking
from ...words.commands import addressed
from ...words.text import mark, t

EXCHANGING = "exchanging\n"
SPARE = 64 * 1024**2  # bytes, for the WAL that is written during the copy
SIZE = "select sum(pg_database_size(oid))::bigint as bytes from pg_database"
NO_ROOM = mark("There is no room for a copy of {source} beside {name}'s data; nothing was changed.")
ROOM = mark("{needed:.2f} GB are needed, {free:.2f} GB are free")
GIVE_UP = mark(
    "free some space; or give these data up before there is a copy: "
    "`pgrepl replica remove {name} --yes`, then `pgrepl replica add`"
)


def copying(mark: Path) -> Path:
    """Exists while a copy is made beside the data of the instance whose mark this is."""
    return mark.with_name(".copying")


def require_room(engine: Engine, name: str, source: str) -> None:
    """Raise `EnvironmentLacking` where a copy of `source` has no room beside the data."""
    needed = db.row(engine.address(source), SIZE)["bytes"] + SPARE
    free = engine.free_space(name)
    if free < needed:
        raise EnvironmentLacking(
            t(NO_ROOM, source=source, name=name),
            looked_at=[t(ROOM, needed=needed / 1e9, free=free / 1e9)],
            remedy=addressed(t(GIVE_UP, name=name), engine.params),
        )


def copy_action(
    engine: Engine,
    name: str,
    source: str,
    arguments: tuple[str, ...],
    mark: Path,
) -> Action:
    """A stopped instance's data replaced by a base backup of `source`; they stay where it fails."""
    copy, exchange = engine.copy_beside(name, source, arguments), engine.exchange(name)

    def do(tell: Tell) -> None:
        files.write_atomic(copying(mark), "")
        copy.do(tell)
        files.write_atomic(mark, EXCHANGING)
        files.remove(copying(mark))
        exchange.do(tell)
        files.remove(mark)

    return Action((*copy.commands, *exchange.commands), do)


def go_on(engine: Engine, name: str, mark: Path) -> None:
    """Finish an exchange that was interrupted."""
    if mark.exists() and mark.read_text("utf-8") == EXCHANGING:
        engine.exchange(name).do(silently)
        files.remove(mark)


def forget_copy(engine: Engine, name: str, mark: Path) -> bool:
    """Remove what an interrupted copy has left beside data; whether the instance has whole ones."""
    if copying(mark).exists():
        engine.discard_copy(name)
        files.remove(copying(mark))
    return engine.has_data(name) and not mark.exists()
