"""What a project was made with (`cluster.json`), and what may not differ afterwards."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from . import ports as host_ports
from .engine import PRIMARY
from .errors import EnvironmentLacking, ParameterError
from .files import make_folder, make_link, remove, write_atomic
from .params import Params, default_workdir
from .topology import Topology

FILE = "cluster.json"
KNOWN = ".known"  # in the default work folder: links to a user's projects in whatever work folders
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


def new_id() -> str:
    """What tells a project from every other one, whatever their names."""
    return uuid.uuid4().hex


def write(
    params: Params,
    project_id: str,
    engine: str,
    ports: Mapping[str, int],
    topology: Topology,
) -> None:
    """Record it; unchanged content is not written again."""
    made, path = text(params.plain(), project_id, engine, ports, topology), params.folder / FILE
    if not path.exists() or path.read_text("utf-8") != made:
        write_atomic(path, made)


def text(
    params: Mapping[str, Any],
    project_id: str,
    engine: str,
    ports: Mapping[str, int],
    topology: Topology,
) -> str:
    """What `cluster.json` holds; params: as plain values."""
    plain = {
        "id": project_id,
        "engine": engine,
        "ports": dict(ports),
        "topology": topology.plain(),
        "params": dict(params),
    }
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def reserving(params: Params) -> Iterator[None]:
    """Held while ports are chosen and recorded: no two projects of a user take the same, in whatever work folders."""
    known = default_workdir() / KNOWN
    try:
        make_folder(known)
    except EnvironmentLacking:  # that folder is not this user's to write: at least those beside this project
        make_folder(known := params.workdir / KNOWN)
    with FileLock(known / "ports.lock", timeout=30):
        for link in (p for p in known.iterdir() if p.is_symlink() and not p.exists()):
            remove(link)
        make_link(known / hashlib.sha256(bytes(params.folder)).hexdigest()[:16], params.folder)
        yield


def guard(params: Params, made: Mapping[str, Any]) -> None:
    """Refuse parameters that the existing cluster cannot take over; raises `ParameterError` naming each."""
    if not made:
        return
    _refuse_copy(params, made)
    before = {**made["params"], "engine": made["engine"]}
    now = params.plain() | ({"engine": made["engine"]} if params.engine == "auto" else {})
    if differing := [f"{n}: made with {before[n]}, asked for {now[n]}" for n in FIXED if before[n] != now[n]]:
        raise ParameterError(
            f"Project {params.project} exists and was made with other parameters; nothing was touched.",
            looked_at=[*differing, f"folder {params.folder}"],
            remedy=f"use the first values, another project name, or remove it: pgrepl down --project {params.project}",
        )


def _refuse_copy(params: Params, made: Mapping[str, Any]) -> None:
    """A copied folder has the id of another cluster, whose containers it would take for its own."""
    before, here = made["params"], params.folder / FILE
    original = Path(before["workdir"], before["project"]) / FILE
    if made["engine"] != "docker" or not original.exists() or original.samefile(here):
        return
    with suppress(ParameterError):  # what is damaged there is not this one's business
        if made.get("id") and read(original.parent).get("id") == made["id"]:
            raise EnvironmentLacking(
                f"{params.folder} is a copy of the cluster in {original.parent}; nothing was touched.",
                remedy=f"use that one, or remove {here} and use another project name",
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
    """The ports of this user's other projects."""
    taken: set[int] = set()
    for file in (*params.workdir.glob(f"*/{FILE}"), *(default_workdir() / KNOWN).glob(f"*/{FILE}")):
        with suppress(ParameterError):  # another project's damaged record is not this one's business
            mine = file.parent.resolve() == params.folder.resolve()
            taken |= set() if mine else set(read(file.parent).get("ports", {}).values())
    return taken
