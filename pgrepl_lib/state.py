"""What a project was made with (`cluster.json`), and what may not differ afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from . import ports as host_ports
from .engine import PRIMARY
from .errors import ParameterError
from .files import make_folder, write_atomic
from .params import Params
from .topology import Topology

FILE = "cluster.json"
# These cannot be changed on data that exists; the rest converges when a run is repeated.
FIXED = ("engine", "pg_version", "network", "replication_user", "auth_method")


def read(folder: Path) -> dict[str, Any]:
    """What the project was made with; empty where there is none yet."""
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        made = json.loads(path.read_text("utf-8"))
        if made["engine"] and made["ports"].values() and Params.parse(made["params"]) and Topology.of(made, 0):
            return made  # type: ignore[no-any-return]
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise ParameterError(f"{path} is damaged.", remedy="put it back from a copy, or use another project name")


def write(params: Params, engine: str, ports: Mapping[str, int], topology: Topology) -> None:
    """Record it; unchanged content is not written again."""
    plain = {"engine": engine, "ports": dict(ports), "topology": topology.plain(), "params": params.plain()}
    text = json.dumps(plain, indent=2, ensure_ascii=False)
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


def ports(params: Params, made: Mapping[str, Any], names: Sequence[str]) -> dict[str, int]:
    """The ports on 127.0.0.1: those that the project has, else those asked for, else free ones of no other project."""
    had = made.get("ports", {})
    if not had or params.port not in (0, had[PRIMARY]):
        return new_ports(params, names)
    new = [n for n in names if n not in had]
    free = iter(host_ports.pick(len(new), 0, _others(params) | set(had.values()), first=max(had.values()) + 1))
    return {n: had[n] if n in had else next(free) for n in names}


def new_ports(params: Params, names: Sequence[str]) -> dict[str, int]:
    """The ports asked for, else free ones of no other project."""
    return dict(zip(names, host_ports.pick(len(names), params.port, _others(params)), strict=True))


def _others(params: Params) -> set[int]:
    """The ports of the work folder's other projects."""
    taken: set[int] = set()
    for file in params.workdir.glob(f"*/{FILE}"):
        with suppress(ParameterError):  # another project's damaged record is not this one's business
            taken |= set(read(file.parent)["ports"].values()) if file.parent != params.folder else set()
    return taken
