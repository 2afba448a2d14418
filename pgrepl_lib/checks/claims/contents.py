"""What a server's tables hold, as digests that can be compared with another's."""

from __future__ import annotations

from psycopg import sql

from ...doors import db

# Nobody can read an invalid one, whose removal was interrupted (limit -2).
BASES = """
select datname as n from pg_database
where datallowconn and not datistemplate and datconnlimit <> -2"""
DIGEST = """
select md5(coalesce(string_agg(md5((t.*)::text), '' order by md5((t.*)::text)), '')) as d
from {} t"""
LARGE_OBJECTS = {"schema": "pg_catalog", "name": "pg_largeobject"}


def digests(at: db.Address) -> dict[str, str]:
    """One of every table's rows; as long as it takes, but no lock is awaited for ever."""
    found = {}
    for base in db.rows(at, BASES):
        options = "-c statement_timeout=0 -c lock_timeout=60s"
        patient = {"dbname": base["n"], "limit": db.WHOLE_TABLE, "options": options}
        with db.connect(at, **patient) as connection:
            for t in [*connection.execute(db.TABLES).fetchall(), LARGE_OBJECTS]:
                query = sql.SQL(DIGEST).format(sql.Identifier(t["schema"], t["name"]))
                digest = connection.execute(query).fetchone() or {}
                found[f"{base['n']}.{t['schema']}.{t['name']}"] = str(digest["d"])
    return found
