"""What a project was made with (`cluster.json`), and what may not differ afterwards."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)

from ..doors.files import make_folder, make_link, remove, write_atomic
from ..engine import ports as host_ports
from ..engine.action import PRIMARY
from ..errors import EnvironmentLacking, ParameterError
from ..params import Params, default_workdir
from ..words.commands import addressed
from .topology import NAME, Topology

FILE = "cluster.json"
KNOWN = ".known"  # in the default work folder: links to a user's projects in whatever work folders
# These cannot be changed on data that exists; the rest converges when a run is repeated.
FIXED = ("engine", "pg_version", "network", "replication_user", "auth_method")


def _instance(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no instance's name")
    return name


Name = Annotated[str, AfterValidator(_instance)]
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
Fact = str | int | float | bool | None
Facts = dict[str, Fact | list[Fact] | dict[str, Fact]]  # shallow, so that it can be written again


OPERATIONS = ("switchover", "failover")  # that change roles, and are gone on with where they ended


class Roles(BaseModel):
    """The topology as it is written down: names are instances', and whom one follows exists."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    primary: Name = PRIMARY
    upstreams: dict[Name, Name] = {}
    fenced: dict[Name, Facts] = {}
    operation: Facts = {}
    synchronous: Annotated[str, Field(pattern=r"^((FIRST|ANY) [1-9][0-9]?)?$")] = ""
    system_identifier: Annotated[str, Field(pattern=r"^[0-9]{0,20}$")] = ""

    @model_validator(mode="after")
    def _consistent(self) -> Roles:
        known = {self.primary, *self.upstreams, *self.fenced}
        if self.primary in self.upstreams:
            raise ValueError("the primary follows an instance")
        begun = self.operation
        named = [*self.upstreams.values(), *(begun.get(end) for end in ("from", "to") if begun)]
        if strange := [name for name in named if name not in known]:
            raise ValueError(f"there is no instance {strange[0]!r}")
        if begun and begun.get("kind") not in OPERATIONS:
            raise ValueError(f"no operation is called {begun.get('kind')!r}")
        if begun and begun["from"] == begun["to"]:
            raise ValueError("an operation from an instance to itself")
        for name in self.upstreams:
            self._end_of(name)
        return self

    def _end_of(self, name: str) -> None:
        """Follow an instance's upstreams to their end; raises `ValueError` where there is none."""
        above, seen = name, set[str]()
        while above in self.upstreams:
            if above in seen:
                raise ValueError(f"{name} follows itself")
            seen.add(above)
            above = self.upstreams[above]


class Made(BaseModel):
    """What `cluster.json` must hold; what it holds besides is left out of account."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-z]{0,40}$")] = ""
    engine: Literal["docker", "local"]
    ports: Annotated[dict[Name, Port], Field(min_length=1)]
    params: dict[str, Any]
    topology: Roles = Roles()

    @model_validator(mode="after")
    def _own_ports(self) -> Made:
        if len(set(self.ports.values())) < len(self.ports):
            raise ValueError("two instances have one port")
        return self


def read(folder: Path) -> dict[str, Any]:
    """What the project was made with; empty where there is none yet.

    Raises `ParameterError` for a file that cannot be read, or holds what was never written there.
    """
    path = folder / FILE
    try:
        made = json.loads(path.read_bytes().decode("utf-8"))
        Made.model_validate(made)
        return {**made, "params": Params.parse(made["params"]).plain()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError, OSError) as error:
        raise ParameterError(
            f"{path} is damaged.",
            looked_at=_wrong(error),
            remedy="put it back from a copy, or use another project name",
        ) from None


def _wrong(error: Exception) -> list[str]:
    """What is wrong with a record, without its contents."""
    if isinstance(error, ValidationError):
        return [f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors()][:5]
    if isinstance(error, ParameterError):
        return list(error.looked_at)
    return [(str(error).splitlines() or [type(error).__name__])[0]]


def new_id() -> str:
    """What tells a project from every other one, whatever their names."""
    return uuid.uuid4().hex


def raw(folder: Path) -> str:
    """The record as it is written down; empty where there is none, or none that can be read."""
    try:
        return (folder / FILE).read_text("utf-8")
    except (OSError, ValueError):
        return ""


def write(
    params: Params,
    project_id: str,
    engine: str,
    ports: Mapping[str, int],
    topology: Topology,
) -> str:
    """Record it, and return what is written down; unchanged content is not written again."""
    made = text(params.plain(), project_id, engine, ports, topology)
    if raw(params.folder) != made:
        write_atomic(params.folder / FILE, made)
    return made


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
    except (
        EnvironmentLacking
    ):  # that folder is not this user's to write: at least those beside this project
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
    remedy = "use the first values, another project name, or remove it: `pgrepl down`"
    if differing := [
        f"{n}: made with {before[n]}, asked for {now[n]}" for n in FIXED if before[n] != now[n]
    ]:
        raise ParameterError(
            f"Project {params.project} exists and was made with other parameters; nothing was touched.",
            looked_at=[*differing, f"folder {params.folder}"],
            remedy=addressed(remedy, params.model_copy(update={"engine": "auto"})),
        )


def _refuse_copy(params: Params, made: Mapping[str, Any]) -> None:
    """A copied folder has the id of another cluster, whose containers it would take for its own."""
    here, original = params.folder / FILE, Params.parse(made["params"]).folder / FILE
    if made["engine"] != "docker" or not original.exists() or original.samefile(here):
        return
    with suppress(ParameterError):  # what is damaged there is not this one's business
        if made.get("id") and read(original.parent).get("id") == made["id"]:
            raise EnvironmentLacking(
                f"{params.folder} is a copy of the cluster in {original.parent}; nothing was touched.",
                remedy=f"use that one, or remove {here} and use another project name",
            )


def refuse_changes(given: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Refuse parameters that differ from those of the project, where none is to be changed.

    given: what was asked for by options or environment variables. Raises `ParameterError` naming
    each.
    """
    if not made:
        return
    had = made["params"]
    asked = Params.parse({**had, **given}).plain()
    kept = {"project", "workdir", *FIXED}  # what never changes is refused by `guard`
    other = [n for n in had if n in given and n not in kept and not _fits(n, asked[n], made)]
    differing = [f"{n}: it has {_has(n, made)}, asked for {asked[n]}" for n in other]
    if differing:
        cause = f"Project {had['project']} has other parameters; nothing was touched."
        remedy = "leave them out (options, variables PGREPL_…); only `pgrepl run` changes them"
        remedy = addressed(remedy, Params.parse(had))
        raise ParameterError(cause, looked_at=differing, remedy=remedy)


def _has(name: str, made: Mapping[str, Any]) -> Any:
    return made["ports"].get(PRIMARY) if name == "port" else made["params"][name]


def _fits(name: str, asked: Any, made: Mapping[str, Any]) -> bool:
    if name == "port":
        return asked in (0, made["ports"].get(PRIMARY))
    if name == "replicas":  # fewer than there are removes none
        return bool(asked <= len(made["ports"]) - 1)
    return bool(asked == made["params"][name])


def claimed_ports(params: Params, made: Mapping[str, Any], names: Sequence[str]) -> dict[str, int]:
    """The same ports, those that are new and free also kept from everybody else on this machine."""
    refused: set[int] = set()
    while True:
        chosen = ports(params, made, names, refused)
        new = set(chosen.values()) - set(made.get("ports", {}).values())
        lost = {port for port in new if not params.port and not host_ports.claim(port)}
        if not lost:
            return chosen
        refused |= lost


def ports(
    params: Params,
    made: Mapping[str, Any],
    names: Sequence[str],
    refused: Set[int] = frozenset(),
) -> dict[str, int]:
    """The ports on 127.0.0.1: those that the project has or asks for, else free ones of no other.

    refused: ports that are not to be chosen.
    """
    had = made.get("ports", {})
    if not had or params.port not in (0, had.get(PRIMARY)):
        return new_ports(params, names, refused)
    new = [n for n in names if n not in had]
    avoid = _others(params) | set(had.values()) | refused
    free = iter(host_ports.pick(len(new), 0, avoid, first=max(had.values()) + 1))
    return {n: had[n] if n in had else next(free) for n in names}


def new_ports(
    params: Params,
    names: Sequence[str],
    refused: Set[int] = frozenset(),
) -> dict[str, int]:
    """The ports asked for, else free ones of no other project."""
    found = host_ports.pick(len(names), params.port, _others(params) | refused)
    return dict(zip(names, found, strict=True))


def _others(params: Params) -> set[int]:
    """The ports of this user's other projects."""
    taken: set[int] = set()
    for file in (*params.workdir.glob(f"*/{FILE}"), *(default_workdir() / KNOWN).glob(f"*/{FILE}")):
        with suppress(
            ParameterError
        ):  # another project's damaged record is not this one's business
            mine = file.parent.resolve() == params.folder.resolve()
            taken |= set() if mine else set(read(file.parent).get("ports", {}).values())
    return taken
