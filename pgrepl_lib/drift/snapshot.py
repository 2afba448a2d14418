"""The state of a cluster as a run records it: roles, live settings, files, slots, the replication user's rights.

JSON-ready, stable while nothing is changed, and without secrets: a password inside a value is masked, and what may hold
one (commands, passphrases) is a checksum.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import psycopg

from ..cluster.members import AnyCluster
from ..cluster.server import Server
from ..doors import db
from ..doors.answer import ask_all
from ..engine.action import CONFIGURATION
from ..errors import EnvironmentLacking
from ..postgres import conf
from ..postgres.conf import masked

# What the server as a whole uses; a managed setting that ALTER ROLE or ALTER DATABASE hides from us is told as such.
SETTINGS = """
select lower(name) as name, source, current_setting(name) as value from pg_settings
where source not in ('default', 'override', 'client', 'environment variable') order by 1"""
SERVER_WIDE = ("configuration file", "command line")
# Also what waits for a reload: it is in the file already.
ALTER_SYSTEM = """
select lower(name) as name, setting as value from pg_file_settings
where sourcefile like '%/postgresql.auto.conf' order by 1, seqno"""
SLOTS = "select slot_name as name, slot_type as value from pg_replication_slots where not temporary order by 1"
USER = """
select rolreplication, rolsuper, rolcanlogin, rolpassword is not null as password from pg_authid where rolname = %s"""
TEXTS = (
    ".env",
    "docker-compose.yaml",
    "docker-compose.override.yaml",
)  # Compose's files, beside the instances' folders
UNKNOWN = {
    "settings": None,
    "alter_system": None,
    "slots": None,
}  # of a server that does not answer


def snapshot(cluster: AnyCluster) -> dict[str, Any]:
    """The whole state: `instances`, `replication_user`, `files` (SHA-256) and `modes` of the cluster's folder.

    What a server would have to say that does not answer is None: unknown.
    """
    primary, names = cluster.primary, cluster.topology.names
    found = ask_all(of_instance, [cluster.instance(name) for name in names])
    instances = dict(zip(names, found, strict=True))
    return {
        "instances": instances,
        "replication_user": _user(primary) if instances[primary.name]["running"] else None,
        "files": {
            name: digest(path.read_bytes())
            for name in TEXTS
            if (path := cluster.folder / name).is_file()
        },
        "modes": {
            f"secrets/{p.name}": _mode(p)
            for p in sorted((cluster.folder / "secrets").glob("*"))
            if p.is_file()
        },
    }


def of_instance(instance: Server) -> dict[str, Any]:
    """One instance: role, upstream, port, running (that is: it answers), settings, alter_system, slots, files, modes.

    role: primary where it accepts writes, else replica or fenced; of one that does not answer what `cluster.json` says.
    """
    topology, name = instance.cluster.topology, instance.name
    files = {
        f: path for f in CONFIGURATION if (path := instance.cluster.folder / name / f).is_file()
    }
    text = (
        files[CONFIGURATION[0]].read_text("utf-8", errors="replace")
        if CONFIGURATION[0] in files
        else ""
    )
    live = _live(instance, conf.managed_settings(text))
    recovering = live.pop("recovering", name != topology.primary)
    return {
        "role": "primary" if not recovering else "fenced" if name in topology.fenced else "replica",
        "upstream": topology.upstreams.get(name),
        "port": instance.cluster.engine.ports.get(name),
        **live,
        "files": {f: digest(path.read_bytes()) for f, path in files.items()},
        "modes": {f: _mode(path) for f, path in files.items()},
    }


def server_settings(at: db.Address) -> list[dict[str, str]]:
    """Name, source and value of what is not a default, as an ordinary session has it."""
    return db.rows_as_configured(at, SETTINGS)


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _live(instance: Server, managed: dict[str, str]) -> dict[str, Any]:
    try:
        seen = server_settings(instance.address)
        found = [r for r in seen if r["source"] in SERVER_WIDE or r["name"] in managed]
        with db.connect(instance.address) as connection:
            ask = lambda query: connection.execute(query).fetchall()  # noqa: E731
            return {
                "running": True,
                "recovering": ask("select pg_is_in_recovery() as r")[0]["r"],
                "settings": {r["name"]: _told(r) for r in found},
                "alter_system": {
                    r["name"]: masked(r["name"], r["value"]) for r in ask(ALTER_SYSTEM)
                },
                "slots": {r["name"]: r["value"] for r in ask(SLOTS)},
            }
    except (psycopg.Error, OSError, EnvironmentLacking, LookupError):  # it has no port yet
        return {"running": False, **UNKNOWN}


def _told(row: dict[str, str]) -> str:
    return (
        masked(row["name"], row["value"])
        if row["source"] in SERVER_WIDE
        else f"hidden by one for a {row['source']}"
    )


def _user(primary: Server) -> dict[str, Any] | None:
    try:
        return db.row(primary.address, USER, [primary.cluster.params.replication_user])
    except (psycopg.Error, OSError, EnvironmentLacking):
        return None


def _mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"
