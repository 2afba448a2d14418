"""The parameters of a cluster: the one place for their names, types, defaults and limits.

The notebooks' `parameters` cells, the command line and papermill all end here, before anything is
touched.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .doors.resources import among_chapters
from .errors import ParameterError, first_line
from .postgres import conf
from .postgres.conf import CONTROL
from .postgres.limits import off
from .words.text import Text, joined, mark, t

PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
IMAGE = re.compile(r"[\w][\w.:/@-]{0,254}", re.ASCII)
INSIDE = mark("that is an address inside a network; the network itself is {network}")
PRIVATE = mark("a private network (inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16)")
TOO_SMALL = mark("too small: /27 or larger, to hold {most} replicas, the primary and a gateway")
UNKNOWN = mark("{name}: no such parameter; there are {names}")
WRONG = mark("{name}: {reason}; given: {value}")
MADE_A_NUMBER = mark(
    "(papermill turns text that looks like a number into one: use its -r NAME VALUE)"
)
RESERVED = mark("PostgreSQL reserves this name, or reads it as something else in pg_hba.conf")
MAINTENANCE = "postgres"  # the database that every server has
MAX_REPLICAS = 16
LAST_PORT = 65535 - MAX_REPLICAS
FOLDER = mark(
    "a folder's path that is text (LC_ALL=C.UTF-8 reads most), without control characters"
)
# What is allowed, in our words: pydantic's own are English.
RULES = {
    "project": mark("1 to 40 characters of a-z, 0-9, '-' and '_', the first a letter or a digit"),
    "engine": mark("auto, docker or local"),
    "pg_version": mark("a major version from 14 to 18"),
    "image": mark("an image reference such as postgres:14"),
    "replicas": mark("a number from 1 to {most}"),
    "network": mark("an IPv4 network such as 192.168.55.0/24"),
    "port": mark("0 (the first free one) or a number from 1024 to {most}"),
    "replication_user": mark("1 to 63 bytes without control characters or outer spaces"),
    "auth_method": mark("scram-sha-256 or trust"),
    "tls": mark("off or on"),
    "certificates": FOLDER,
    "settings": mark('a mapping of names to values, as JSON: {"work_mem": "8MB"}'),
    "parameters": mark("names that are text in UTF-8"),
    "workdir": FOLDER,
}
MOST = {"replicas": {"most": MAX_REPLICAS}, "port": {"most": LAST_PORT}}


class Params(BaseModel):
    """Validated, frozen parameters; see `docs/reference.md` for what each means to a user."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    project: str = Field("pgrepl", description="The cluster's name; several live side by side.")
    engine: Literal["auto", "docker", "local"] = Field(
        "auto", description="auto (docker where it can work, else local), docker, or local."
    )
    pg_version: int = Field(14, ge=14, le=18, description="PostgreSQL's major version, 14 to 18.")
    image: str = Field("", description="Docker's image; empty means postgres:<pg_version>.")
    replicas: int = Field(
        1, ge=1, le=MAX_REPLICAS, description="How many replicas at least, 1 to 16."
    )
    network: IPv4Network = Field(
        IPv4Network("192.168.55.0/24"), description="The cluster's network on Docker."
    )
    port: int = Field(0, description="The primary's port on 127.0.0.1; 0 takes a free one.")
    replication_user: str = Field("repl", description="The user that replicas log in as.")
    auth_method: Literal["trust", "scram-sha-256"] = Field(
        "scram-sha-256",
        description="scram-sha-256, or trust, as in the document: every local user gets in.",
    )
    tls: Literal["off", "on"] = Field(
        "off", description="off, or on: TLS for all connections, with the cluster's own authority."
    )
    certificates: str = Field(
        "", description="A folder with your own certificates; empty: the cluster makes them."
    )
    settings: dict[str, str] = Field(
        {}, description='Further entries for postgresql.conf, such as {"work_mem": "8MB"}.'
    )
    workdir: Path = Field(
        Path(), description="Where clusters and evidence live; empty means your default folder."
    )

    @classmethod
    def parse(
        cls, values: Mapping[str, Any], called: Mapping[str, str] = MappingProxyType({})
    ) -> Params:
        """Validate plain values; raises `ParameterError` that names every wrong one.

        called: what the user knows a parameter by, where that is not its name.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ParameterError(
                t("The parameters are not usable; nothing was touched."),
                looked_at=[_explain(e, values, called) for e in error.errors()],
                remedy=t("correct the named parameters"),
            ) from None

    @field_validator("project")
    @classmethod
    def _project(cls, value: str) -> str:
        if not PROJECT.fullmatch(value):
            raise ValueError
        return value

    @field_validator("pg_version", "replicas", "port", mode="before")
    @classmethod
    def _whole_number(cls, value: Any) -> Any:
        if isinstance(value, (bool, float)):
            raise ValueError
        return value

    @field_validator("port")
    @classmethod
    def _port(cls, value: int) -> int:
        if value and not 1024 <= value <= LAST_PORT:
            raise ValueError
        return value

    @field_validator("image")
    @classmethod
    def _image(cls, value: str) -> str:
        if value and not IMAGE.fullmatch(value):
            raise ValueError
        return value

    @field_validator("network", mode="before")
    @classmethod
    def _network(cls, value: Any) -> Any:
        if isinstance(value, IPv4Network):
            return value
        loose = ip_network(str(value), strict=False)
        if loose.version != 4 or "/" not in str(value):
            raise ValueError
        if str(loose) != str(value):
            raise ValueError(t(INSIDE, network=loose))
        if not any(
            loose.subnet_of(IPv4Network(n))
            for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        ):
            raise ValueError(t(PRIVATE))
        if loose.prefixlen > 27:
            raise ValueError(t(TOO_SMALL, most=MAX_REPLICAS))
        return loose

    @field_validator("replication_user")
    @classmethod
    def _replication_user(cls, value: str) -> str:
        if not 1 <= len(value.encode()) <= 63 or CONTROL.search(value) or value != value.strip():
            raise ValueError
        if value.startswith(("pg_", "/", "-")) or value in ("postgres", "public", "none"):
            raise ValueError(t(RESERVED))
        return value

    @field_validator("certificates")
    @classmethod
    def _certificates(cls, value: str) -> str:
        folder = str(_real_folder(value)) if value else ""
        if CONTROL.search(folder):
            raise ValueError
        return folder

    @field_validator("settings", mode="before")
    @classmethod
    def _settings(cls, value: Any) -> Any:
        if isinstance(value, str):  # papermill -p and the command line pass text
            value = json.loads(value or "{}")
        if not isinstance(value, Mapping):
            raise ValueError
        return {str(name): conf.text_of(str(name), v) for name, v in value.items()}

    @field_validator("workdir", mode="before")
    @classmethod
    def _workdir(cls, value: Any) -> Any:
        folder = _real_folder(value) if str(value) else default_workdir()
        if CONTROL.search(str(value)) or CONTROL.search(str(folder)):
            raise ValueError
        return folder

    def model_post_init(self, _: Any) -> None:
        """Fill the defaults that depend on other values or on the machine."""
        if not self.image:
            object.__setattr__(self, "image", f"postgres:{self.pg_version}")
        if self.workdir == Path():
            object.__setattr__(self, "workdir", default_workdir())

    @property
    def folder(self) -> Path:
        """The cluster's own folder: configuration, secrets, local data, and the runs' evidence."""
        return self.workdir / self.project

    @property
    def databases(self) -> tuple[str, ...]:
        """What replicas connect to: from 17 on also a database, to copy logical slots from there.

        They do where `sync_replication_slots` is on (manual, 47.2.3).
        """
        syncs = self.settings.get("sync_replication_slots", "off")
        return ("replication",) if off(syncs) else ("replication", MAINTENANCE)

    def options(self, *, anywhere: bool = False) -> list[str]:
        """By which a command line finds this cluster, also where variables name another one.

        anywhere: also from another work folder.
        """
        found, exported = [], from_environment()
        if self.project != "pgrepl" or "project" in exported:
            found.append(f"--project {self.project}")
        if anywhere or self.workdir != default_workdir() or "workdir" in exported:
            found.append(f"-p workdir {shlex.quote(str(self.workdir))}")
        if self.engine != "auto":
            found.append(f"--engine {self.engine}")
        return found

    @classmethod
    def of_folder(cls, folder: Path) -> Params:
        """Those by which the project in this folder is found."""
        return cls.parse({"project": folder.name, "workdir": folder.parent})

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values, for the journal, the runner and `cluster.json`."""
        return self.model_dump(mode="json")


def variable(name: str) -> str:
    """The environment variable by which the command line takes a parameter."""
    return f"PGREPL_{name.upper()}"


def from_environment() -> dict[str, str]:
    """The parameters that environment variables give; an empty variable counts as none."""
    given = {name: os.environ.get(variable(name), "") for name in Params.model_fields}
    return {name: value for name, value in given.items() if value}


def default_workdir() -> Path:
    """Where clusters live unless `workdir` says otherwise.

    As root a place that other users may enter.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/pgrepl").resolve()
    from platformdirs import user_data_path

    return user_data_path("pgrepl").resolve()


def _real_folder(given: str | Path) -> Path:
    """A work folder, absolute and without links and `..`, so that one place has one name.

    A relative one is relative to the current folder; where chapters are (there JupyterLab starts
    their kernels), to the user's home.
    """
    try:
        folder = Path(given).expanduser()
        if not folder.is_absolute() and among_chapters(Path.cwd()):
            folder = Path.home() / folder
        return folder.resolve()
    except RuntimeError:
        raise ValueError(t("no user of that name has a home folder")) from None
    except OSError as error:
        raise ValueError(first_line(error)) from None
    except TypeError:
        raise ValueError from None


def _rule(name: str) -> Text:
    return t(RULES[name], **MOST.get(name, {}))


def _explain(error: Any, given: Mapping[str, Any], called: Mapping[str, str]) -> str:
    """What is wrong with one parameter: as its validator says, else what is allowed."""
    name = str(next(iter(error["loc"]), "parameters"))
    if error["type"] == "extra_forbidden":
        return t(UNKNOWN, name=name, names=", ".join(Params.model_fields))
    own = error.get("ctx", {}).get("error")
    reason = next((a for a in getattr(own, "args", ()) if isinstance(a, Text)), _rule(name))
    if error["type"] == "string_type":
        reason = joined(" ", [reason, t(MADE_A_NUMBER)])
    return t(WRONG, name=called.get(name, name), reason=reason, value=repr(given.get(name)))
