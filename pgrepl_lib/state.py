"""What a project was made with (`cluster.json`), and what may not differ afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from . import ports as host_ports
from .engine import PRIMARY, REPLICA
from .errors import ParameterError
from .files import make_folder, write_atomic
from .params import Params

FILE = "cluster.json"
# These cannot be changed on data that exists; the rest converges when a run is repeated.
FIXED = ("engine", "pg_version", "network", "replication_user", "auth_method", "replicas")


def read(folder: Path) -> dict[str, Any]:
    """What the project was made with; empty where there is none yet."""
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        made = json.loads(path.read_text("utf-8"))
        if made["engine"] and made["ports"].values() and Params.parse(made["params"]):
            return made  # type: ignore[no-any-return]
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise ParameterError(f"{path} is damaged.", remedy="put it back from a copy, or use another project name")


def write(params: Params, engine: str, ports: Mapping[str, int]) -> None:
    """Record it; unchanged content is not written again."""
    text = json.dumps({"engine": engine, "ports": dict(ports), "params": params.plain()}, indent=2, ensure_ascii=False)
    path = params.folder / FILE
    if not path.exists() or path.read_text("utf-8") != text:
        write_atomic(path, text)


def reserving(params: Params) -> FileLock:
    """A lock over the work folder, held while ports are chosen and recorded."""
    make_folder(params.workdir)
    return FileLock(params.workdir / ".ports.lock", timeout=30)


def guard(params: Params, made: Mapping[str, Any]) -> None:
    """Refuse parameters that the existing cluster cannot take over; raises `ParameterError` naming each."""
    if not made:
        return
    before = {**made["params"], "engine": made["engine"]}
    now = params.plain() | ({"engine": made["engine"]} if params.engine == "auto" else {})
    if differing := [f"{n}: made with {before[n]}, asked for {now[n]}" for n in FIXED if before[n] != now[n]]:
        raise ParameterError(
            f"Project {params.project} exists and was made with other parameters; nothing was touched.",
            looked_at=[*differing, f"folder {params.folder}"],
            remedy=f"use the first values, another project name, or remove it: pgrepl down --project {params.project}",
        )


def replica_names(count: int) -> list[str]:
    """replica, replica-2, replica-3, …: the document's name first."""
    return [REPLICA, *(f"{REPLICA}-{n}" for n in range(2, count + 1))]


def ports(params: Params, made: Mapping[str, Any]) -> dict[str, int]:
    """The ports on 127.0.0.1: those that the project has, else those asked for, else free ones of no other project."""
    names = [PRIMARY, *replica_names(params.replicas)]
    had = made.get("ports", {})
    if set(names) <= set(had) and params.port in (0, had[PRIMARY]):
        return {n: had[n] for n in names}
    return new_ports(params)


def new_ports(params: Params) -> dict[str, int]:
    """The ports asked for, else free ones of no other project."""
    names = [PRIMARY, *replica_names(params.replicas)]
    others: set[int] = set()
    for file in params.workdir.glob(f"*/{FILE}"):
        with suppress(ParameterError):  # another project's damaged record is not this one's business
            others |= set(read(file.parent)["ports"].values()) if file.parent != params.folder else set()
    return dict(zip(names, host_ports.pick(len(names), params.port, others), strict=True))
