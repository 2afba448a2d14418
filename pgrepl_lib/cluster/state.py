"""What a project was made with (`cluster.json`), and what may not differ afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ..doors import ahead
from ..doors.files import content, make_folder, make_link, remove, write_atomic
from ..engine import ports as host_ports
from ..engine.action import PRIMARY
from ..errors import EnvironmentLacking, ParameterError, first_line
from ..params import Params, default_workdir
from ..postgres import tls
from ..words.commands import addressed
from ..words.text import Text, joined, mark, t
from .topology import Name, Topology, require_consistent

FILE = "cluster.json"
OTHER = mark("{name}: it has {had}, asked for {asked}")
MADE_OTHERWISE = mark(
    "Project {project} exists and was made with other parameters; nothing was touched."
)
# In the default work folder: links to a user's projects, in whatever work folders they are.
KNOWN = ".known"
ENDS_TRUST = mark("`pgrepl run --auth-method scram-sha-256` ends trust (with --plan it says how)")
# These cannot be changed on data that exists (chapter 00 can end trust); the rest converges.
KEPT = ("tls", "certificates")  # asking for less takes nothing away
FIXED = ("engine", "pg_version", "network", "replication_user", "auth_method", *KEPT)


Port = Annotated[int, Strict(), Field(ge=1, le=65535)]


class Made(BaseModel):
    """What `cluster.json` must hold; what it holds besides is left out of account."""

    model_config = ConfigDict(hide_input_in_errors=True)

    # What tells a project from every other one, whatever their names.
    id: Annotated[str, Field(pattern=r"^[0-9a-z]{0,40}$")] = ""
    engine: Literal["docker", "local"]
    ports: Annotated[dict[Name, Port], Field(min_length=1)]
    params: dict[str, Any]
    topology: Topology = Topology()

    @model_validator(mode="after")
    def _consistent(self) -> Made:
        require_consistent(self.topology)
        if len(set(self.ports.values())) < len(self.ports):
            raise ValueError(t("two instances have one port"))
        return self


def read(folder: Path) -> dict[str, Any]:
    """What the project was made with; empty where there is none yet.

    Raises `ParameterError` for a file that cannot be read, or holds what was never written there.
    """
    path = folder / FILE
    try:
        made = json.loads(content(path).decode("utf-8"))
        Made.model_validate(made)
        return {**made, "params": Params.parse(made["params"]).plain()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError, OSError) as error:
        raise ParameterError(
            t("{path} is damaged.", path=path),
            looked_at=_wrong(error),
            remedy=t("put it back from a copy, or use another project name"),
        ) from None


def _wrong(error: Exception) -> list[str]:
    """What is wrong with a record, without its contents."""
    if isinstance(error, ValidationError):
        return [_explained(found) for found in error.errors()[:5]]
    if isinstance(error, ParameterError):
        return list(error.looked_at)
    if isinstance(error, OSError):
        return [first_line(error)]
    return [t("it is not JSON in UTF-8")]


def _explained(found: ErrorDetails) -> Text:
    """What is wrong in one place, in our words: pydantic's are English."""
    place = ".".join(map(str, found["loc"])) or FILE
    ours = found.get("ctx", {}).get("error")
    why = t("is not what was written there")
    if found["type"] == "missing":
        why = t("is missing")
    return joined(": ", [place, *(ours.args if isinstance(ours, ValueError) else [why])])


def raw(folder: Path) -> str:
    """The record as it is written down; empty where there is none, or none that can be read."""
    try:
        return content(folder / FILE).decode("utf-8")
    except (OSError, ValueError):
        return ""


def write(
    params: Params, project_id: str, engine: str, ports: Mapping[str, int], topology: Topology
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
    """Held while ports are chosen and recorded: no two projects of a user take the same one."""
    if ahead.looking():
        yield
        return
    known = default_workdir() / KNOWN
    try:
        make_folder(known)
    except EnvironmentLacking:  # it is another user's: at least those beside this project
        make_folder(known := params.workdir / KNOWN)
    with FileLock(known / "ports.lock", timeout=30):
        for link in (p for p in known.iterdir() if p.is_symlink() and not p.exists()):
            remove(link)
        make_link(known / hashlib.sha256(bytes(params.folder)).hexdigest()[:16], params.folder)
        yield


def kept(params: Params, made: Mapping[str, Any]) -> Params:
    """The parameters with what asking for less never takes away: TLS, and one's certificates."""
    had = made.get("params", {})
    less = [n for n in KEPT if getattr(params, n) in (tls.OFF, "") and n in had]
    return params.model_copy(update={name: had[name] for name in less})


def guard(params: Params, made: Mapping[str, Any], *, hardens: bool = False) -> None:
    """Refuse what the existing cluster cannot take over; raises `ParameterError` naming each.

    hardens: who asks ends `trust`, where it was made so and a password is asked for now.
    """
    if not made:
        return
    _refuse_copy(params, made)
    before, now = {**made["params"], "engine": made["engine"]}, params.plain()
    if params.engine == "auto":
        now["engine"] = made["engine"]
    if hardens and params.auth_method != "trust":
        before["auth_method"] = params.auth_method
    differing = [
        t("{name}: made with {had}, asked for {asked}", name=n, had=before[n], asked=now[n])
        for n in FIXED
        if before[n] != now[n]
    ]
    if differing:
        raise ParameterError(
            t(MADE_OTHERWISE, project=params.project),
            looked_at=[*differing, t("folder {path}", path=params.folder)],
            remedy=_remedy(before, now, params.model_copy(update={"engine": "auto"})),
        )


def _remedy(had: Mapping[str, Any], asked: Mapping[str, Any], params: Params) -> str:
    remedy = t("use the first values, another project name, or remove it: `pgrepl down`")
    if had["certificates"] != asked["certificates"]:
        remedy = t("use the first values; `pgrepl rotate certificates` takes others")
    if had["tls"] != asked["tls"]:
        remedy = t("use the first values; `pgrepl secure` turns TLS on")
    if had["auth_method"] == "trust" != asked["auth_method"]:
        remedy = t(ENDS_TRUST)
    return addressed(remedy, params)


def _refuse_copy(params: Params, made: Mapping[str, Any]) -> None:
    """A copied folder has the id of another cluster, whose containers it would take for its own."""
    here, original = params.folder / FILE, Params.parse(made["params"]).folder / FILE
    if made["engine"] != "docker" or not original.exists() or original.samefile(here):
        return
    with suppress(ParameterError):  # what is damaged there is not this one's business
        if made.get("id") and read(original.parent).get("id") == made["id"]:
            raise EnvironmentLacking(
                t(
                    "{folder} is a copy of the cluster in {original}; nothing was touched.",
                    folder=params.folder,
                    original=original.parent,
                ),
                remedy=t("use that one, or remove {path} and use another project name", path=here),
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
    has = {**had, "port": made["ports"].get(PRIMARY, had.get("port"))}
    if other:
        remedy = t("leave them out (options, variables PGREPL_…); only `pgrepl run` changes them")
        raise ParameterError(
            t(
                "Project {project} has other parameters; nothing was touched.",
                project=had["project"],
            ),
            looked_at=[t(OTHER, name=n, had=has[n], asked=asked[n]) for n in other],
            remedy=addressed(remedy, Params.parse(had)),
        )


def _fits(name: str, asked: Any, made: Mapping[str, Any]) -> bool:
    if name == "port":
        return asked in (0, made["params"].get("port"), made["ports"].get(PRIMARY))
    if name == "replicas":  # fewer than there are removes none
        return bool(asked <= len(made["ports"]) - 1)
    return bool(asked == made["params"][name])


def claimed_ports(params: Params, made: Mapping[str, Any], names: Sequence[str]) -> dict[str, int]:
    """The same ports, those that are new and free also kept from everybody else on this machine."""
    refused: set[int] = set()
    while True:
        chosen = ports(params, made, names, refused)
        new = set(chosen.values()) - set(made.get("ports", {}).values())
        lost: set[int] = set()
        if not (params.port or ahead.looking()):
            lost = {port for port in new if not host_ports.claim(port)}
        if not lost:
            return chosen
        refused |= lost


def ports(
    params: Params, made: Mapping[str, Any], names: Sequence[str], refused: Set[int] = frozenset()
) -> dict[str, int]:
    """The ports on 127.0.0.1: those that the project has or asks for, else free ones of no other.

    refused: ports that are not to be chosen.
    """
    had = made.get("ports", {})
    if not had or asks_for_another_port(params, made):
        found = host_ports.pick(len(names), params.port, _others(params) | refused)
        return dict(zip(names, found, strict=True))
    new = [n for n in names if n not in had]
    avoid = _others(params) | set(had.values()) | refused
    free = iter(host_ports.pick(len(new), 0, avoid, first=max(had.values()) + 1))
    return {n: had[n] if n in had else next(free) for n in names}


def asks_for_another_port(params: Params, made: Mapping[str, Any]) -> bool:
    """Whether a port is asked for that the project neither has nor was made with.

    The instance that was the first primary may have been removed, and its port with it.
    """
    asked, had = made.get("params", {}).get("port", 0), made.get("ports", {})
    return params.port not in (0, asked, had.get(PRIMARY))


def _others(params: Params) -> set[int]:
    """The ports of this user's other projects."""
    taken: set[int] = set()
    for file in (*params.workdir.glob(f"*/{FILE}"), *(default_workdir() / KNOWN).glob(f"*/{FILE}")):
        if file.parent.resolve() == params.folder.resolve():
            continue
        with suppress(ParameterError):  # what is damaged there is not this one's business
            taken |= set(read(file.parent).get("ports", {}).values())
    return taken
