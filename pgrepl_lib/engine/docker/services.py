"""Compose's files: the definition of the services, a cluster's values, its further replicas."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from ...doors.resources import COMPOSE_FILE
from ...params import Params
from ...postgres import guards
from ..action import PRIMARY, REPLICA
from .owner import FOLDER, ID, USER

ENV = ".env"
HEAD = "# Written by pgrepl: further replicas, as the service `replica` of docker-compose.yaml.\n"
VARIABLES = {"PGREPL_ID": ID, "PGREPL_FOLDER": FOLDER, "PGREPL_USER": USER}


def compose_files(
    params: Params, ports: Mapping[str, int], pgdata: str, data_mount: str
) -> dict[str, str]:
    """The texts of Compose's files in the cluster's folder; an empty one: no such file."""
    values = {
        "COMPOSE_PROJECT_NAME": params.project,
        "PGREPL_IMAGE": params.image,
        "PGREPL_NETWORK": params.network,
        "PGREPL_PGDATA": pgdata,
        "PGREPL_DATA_MOUNT": data_mount,
        "PGREPL_INITDB_ARGS": " ".join(guards.initdb_options(params)),
        **{f"PGREPL_{name.upper().replace('-', '_')}_PORT": port for name, port in ports.items()},
    }
    more = more_replicas([name for name in ports if name not in (PRIMARY, REPLICA)])
    return {
        ENV: "".join(f"{name}={value}\n" for name, value in values.items()),
        "docker-compose.yaml": COMPOSE_FILE.read_text("utf-8"),
        "docker-compose.override.yaml": more,
    }


def owner_lines(labels: Mapping[str, str]) -> str:
    """The end of `.env`: what the services, volumes and networks carry as labels."""
    return "".join(f"{name}={labels[label]}\n" for name, label in VARIABLES.items())


def owner_command(labels: Mapping[str, str]) -> str:
    """What a person would type to add these lines, with an id of his own."""
    folder, user = '"$PWD"', '"$(id -un)"'
    if "%" in labels[FOLDER]:  # encoded, since `.env` cannot hold it as it is
        folder = shlex.quote(labels[FOLDER])
    if "%" in labels[USER]:
        user = shlex.quote(labels[USER])
    words = f'ID "$(openssl rand -hex 16)" FOLDER {folder} USER {user}'
    return f"printf 'PGREPL_%s=%s\\n' {words} >> {ENV}"


def more_replicas(names: Sequence[str]) -> str:
    """Compose's override file: services for further replicas, made of the service `replica`."""
    if not names:
        return ""
    import yaml  # a cluster of two needs none

    defined = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))
    template = yaml.safe_dump({REPLICA: defined["services"][REPLICA]}, sort_keys=False)
    services: dict[str, Any] = {}
    for name in names:
        variable = f"PGREPL_{name.upper().replace('-', '_')}_PORT"
        text = re.sub(r"PGREPL_REPLICA_PORT:-\d+", variable, template)
        services |= yaml.safe_load(
            re.sub(rf"(^|[ /]){REPLICA}:", rf"\1{name}:", text, flags=re.MULTILINE)
        )
    volumes = {name: deepcopy(defined["volumes"][REPLICA]) for name in names}
    made = {"services": services, "volumes": volumes}
    return HEAD + yaml.safe_dump(made, sort_keys=False)
