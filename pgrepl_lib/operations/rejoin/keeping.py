"""A former primary's whole data folder, kept in a file before the data become another's."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...doors import ahead, db
from ...engine.action import Action
from ...engine.protocol import Engine
from ...errors import EnvironmentLacking
from ...words.language import decimal
from ...words.text import Text, t

SIZE = """
select sum(pg_database_size(oid))::bigint + (select sum(size) from pg_ls_waldir())::bigint as bytes
from pg_database"""
RATE = 100e6  # bytes a second that are read at least, for a first estimate


def size(engine: Engine, name: str) -> int:
    """Bytes of a running server's data."""
    return int(db.row(engine.address(name), SIZE)["bytes"])


@ahead.judged_now
def require_room(engine: Engine, name: str, target: Path) -> None:
    """Raise `EnvironmentLacking` where the file has no room."""
    needed, free = size(engine, name), shutil.disk_usage(target.parent).free
    if free < needed:
        raise EnvironmentLacking(
            t(
                "There is no room for {name}'s data in {folder}; nothing was changed.",
                name=name,
                folder=target.parent,
            ),
            looked_at=[
                t(
                    "{needed} GB are needed, {free} GB are free",
                    needed=decimal(f"{needed / 1e9:.2f}"),
                    free=decimal(f"{free / 1e9:.2f}"),
                )
            ],
            remedy=t("free some space, then run again"),
        )


def action(engine: Engine, name: str, target: Path) -> Action:
    """The data of a stopped instance as a tar file that only its owner may read."""
    archive = engine.archive(name, target)
    return Action((archive,), lambda tell: engine.run(archive, tell), target.exists)


def minutes(amount: int) -> Text:
    """How long it takes to read so many bytes."""
    size, duration = decimal(f"{amount / 1e9:.1f}"), max(1, round(amount / RATE / 60))
    return t("{size} GB, about {minutes} min", size=size, minutes=duration)
