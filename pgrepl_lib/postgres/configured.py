"""A query that compares a configuration file with what the server uses (pg_file_settings)."""

from __future__ import annotations

# The settings of one file that are in effect from there. Names as in the file may differ in case;
# those of extensions that are not loaded are in no view but the file's.
IN_EFFECT = """
select lower(f.name) as name, f.setting
from pg_file_settings f left join pg_settings s on lower(s.name) = lower(f.name)
where f.applied and f.sourcefile = %s
  and (s.sourcefile = f.sourcefile or s.name is null and f.name like '%%.%%')"""
