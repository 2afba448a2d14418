"""Whether what is configured is what the server does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..doors import db
from ..engine.action import CONFIGURATION
from ..postgres import conf
from ..postgres.configured import IN_EFFECT

if TYPE_CHECKING:
    from ..steps.instance import Instance

ERRORS = (
    "select name || ': ' || error as e from pg_file_settings where error is not null",
    "select 'pg_hba.conf line ' || line_number || ': ' || error as e from pg_hba_file_rules where error is not null",
    "select name || ' waits for a restart' as e from pg_settings where pending_restart",
)


def wrong_settings(instance: Instance) -> Iterator[str]:
    """Managed settings that another owner overrides, and every error that the server sees."""
    folder, engine = instance.cluster.folder / instance.name, instance.cluster.engine
    path = engine.configuration_path(instance.name, "postgresql.conf")
    found = db.rows_as_configured(instance.address, IN_EFFECT, [path])
    in_effect = {r["name"]: r["setting"] for r in found}
    managed = conf.managed_settings((folder / CONFIGURATION[0]).read_text("utf-8"))
    for name, value in managed.items():
        if in_effect.get(name) != value:
            yield f"{instance.name}: {name} = {value} is not in effect from {path}"
    for file in instance.unread():
        yield f"{instance.name}: {file} was edited, and is not read yet"
    for query in ERRORS:
        yield from (f"{instance.name}: {r['e']}" for r in db.rows(instance.address, query))
