"""The state of a cluster as a run records it: roles, settings, files, slots, rights.

JSON-ready, stable while nothing is changed, and without secrets: a password inside a value is
masked, and what may hold one (commands, passphrases) is a checksum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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

# What the server as a whole uses; of a managed setting that ALTER ROLE or ALTER DATABASE hides from
# us, that it does.
SETTINGS = """
select lower(name) as name, source, current_setting(name) as value from pg_settings
where source not in ('default', 'override', 'client', 'environment variable') order by 1"""
RECOVERING = "select pg_is_in_recovery() as r"
SERVER_WIDE = ("configuration file", "command line")
# Also what waits for a reload: it is in the file already.
ALTER_SYSTEM = """
select lower(name) as name, setting as value from pg_file_settings
where sourcefile like '%/postgresql.auto.conf' order by 1, seqno"""
SLOTS = """
select slot_name as name, slot_type as value from pg_replication_slots
where not temporary order by 1"""
USER = """
select rolreplication, rolsuper, rolcanlogin, rolpassword is not null as password
from pg_authid where rolname = %s"""
# Compose's files, beside the instances' folders.
TEXTS = (".env", "docker-compose.yaml", "docker-compose.override.yaml")
# Of a server that does not answer.
UNKNOWN = {"settings": None, "alter_system": None, "slots": None}


def snapshot(cluster: AnyCluster) -> dict[str, Any]:
    """The whole state: `instances`, `replication_user`, the folder's `files` (SHA-256) and `modes`.

    What a server would have to say that does not answer is None: unknown.
    """
    primary, names = cluster.primary, cluster.topology.names
    found = ask_all(of_instance, [cluster.instance(name) for name in names])
    instances = dict(zip(names, found, strict=True))
    user = None
    if instances[primary.name]["running"]:
        user = _user(primary)
    files = _files(cluster.folder, TEXTS)
    secrets = sorted(p for p in (cluster.folder / "secrets").glob("*") if p.is_file())
    return {
        "instances": instances,
        "replication_user": user,
        "files": {name: digest(path.read_bytes()) for name, path in files.items()},
        "modes": {f"secrets/{path.name}": _mode(path) for path in secrets},
    }


def of_instance(instance: Server) -> dict[str, Any]:
    """One instance: role, upstream, port, settings, alter_system, slots, files, modes.

    role: primary where it accepts writes, else replica or fenced; of one that does not answer what
    `cluster.json` says. running: whether it answers.
    """
    topology, name = instance.cluster.topology, instance.name
    files = _files(instance.cluster.folder / name, CONFIGURATION)
    text = ""
    if main := files.get(CONFIGURATION[0]):
        text = main.read_text("utf-8", errors="replace")
    live = _live(instance, conf.managed_settings(text))
    role = "primary"
    if live.pop("recovering", name != topology.primary):
        role = "fenced" if name in topology.fenced else "replica"
    return {
        "role": role,
        "upstream": topology.upstreams.get(name),
        "port": instance.cluster.engine.ports.get(name),
        **live,
        "files": {f: digest(path.read_bytes()) for f, path in files.items()},
        "modes": {f: _mode(path) for f, path in files.items()},
    }


def with_role(
    cluster: AnyCluster, name: str, recorded: dict[str, Any], now: dict[str, Any]
) -> dict[str, Any]:
    """What is recorded, with the role that server and `cluster.json` agree on: that is no drift.

    now: the instance's state. It may be somebody else who promoted it.
    """
    if now["role"] != cluster.topology.role_of(name):
        return recorded
    return {**recorded, "role": now["role"]}


def _files(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Those of these files that there are."""
    return {name: folder / name for name in names if (folder / name).is_file()}


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
            recovering, system, slots = (
                connection.execute(query).fetchall() for query in (RECOVERING, ALTER_SYSTEM, SLOTS)
            )
        return {
            "running": True,
            "recovering": recovering[0]["r"],
            "settings": {r["name"]: _told(r) for r in found},
            "alter_system": {r["name"]: masked(r["name"], r["value"]) for r in system},
            "slots": {r["name"]: r["value"] for r in slots},
        }
    except (psycopg.Error, OSError, EnvironmentLacking, LookupError):  # it has no port yet
        return {"running": False, **UNKNOWN}


def _told(row: dict[str, str]) -> str:
    if row["source"] in SERVER_WIDE:
        return masked(row["name"], row["value"])
    return f"hidden by one for a {row['source']}"  # as `drift.HIDDEN` reads it


def _user(primary: Server) -> dict[str, Any] | None:
    try:
        return db.row(primary.address, USER, [primary.cluster.params.replication_user])
    except (psycopg.Error, OSError, EnvironmentLacking):
        return None


def _mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"
