"""Whether what is configured is what the server does."""

from __future__ import annotations

from collections.abc import Iterator

from ...cluster.server import Server
from ...doors import db
from ...engine.action import CONFIGURATION
from ...postgres import conf
from ...words.text import t

ERRORS = """
select name || ': ' || error as told from pg_file_settings where error is not null
union all
select 'pg_hba.conf:' || line_number || ': ' || error from pg_hba_file_rules
where error is not null"""
WAITING = "select name from pg_settings where pending_restart"

# The settings of one file that are in effect from there. Names as in the file may differ in case;
# those of extensions that are not loaded are in no view but the file's.
IN_EFFECT = """
select lower(f.name) as name, f.setting
from pg_file_settings f left join pg_settings s on lower(s.name) = lower(f.name)
where f.applied and f.sourcefile = %s
  and (s.sourcefile = f.sourcefile or s.name is null and f.name like '%%.%%')"""


def wrong_settings(instance: Server) -> Iterator[str]:
    """Managed settings that another owner overrides, and every error that the server sees."""
    folder, path = instance.cluster.folder / instance.name, instance.told_path(CONFIGURATION[0])
    found = db.rows_as_configured(instance.address, IN_EFFECT, [path])
    in_effect = {r["name"]: r["setting"] for r in found}
    managed = conf.managed_settings((folder / CONFIGURATION[0]).read_text("utf-8"))
    for name, value in managed.items():
        if in_effect.get(name) != value:
            yield t(
                "{name} = {value} is not in effect from {path}", name=name, value=value, path=path
            )
    for file in instance.unread():
        yield t("{file} was edited, and is not read yet", file=file)
    yield from (row["told"] for row in db.rows(instance.address, ERRORS))
    for row in db.rows(instance.address, WAITING):
        yield t("{name} waits for a restart", name=row["name"])
