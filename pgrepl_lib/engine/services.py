"""Compose's files: the one definition of the services, a cluster's values, and what further replicas add to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ..doors.resources import COMPOSE_FILE
from ..params import Params
from . import PRIMARY, REPLICA


def compose_files(params: Params, ports: Mapping[str, int], pgdata: str, data_mount: str) -> dict[str, str]:
    """The texts of Compose's files in the cluster's folder; an empty one: no such file."""
    values = {
        "COMPOSE_PROJECT_NAME": params.project,
        "PGREPL_IMAGE": params.image,
        "PGREPL_NETWORK": params.network,
        "PGREPL_PGDATA": pgdata,
        "PGREPL_DATA_MOUNT": data_mount,
        **{f"PGREPL_{name.upper().replace('-', '_')}_PORT": port for name, port in ports.items()},
    }
    more = [name for name in ports if name not in (PRIMARY, REPLICA)]
    return {
        ".env": "".join(f"{name}={value}\n" for name, value in values.items()),
        "docker-compose.yaml": COMPOSE_FILE.read_text("utf-8"),
        "docker-compose.override.yaml": more_replicas(more) if more else "",
    }


def more_replicas(names: Sequence[str]) -> str:
    """Compose's override file with services for further replicas, derived from the service `replica`."""
    definition = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))["services"][REPLICA]
    template = yaml.safe_dump({REPLICA: definition}, sort_keys=False)
    services: dict[str, Any] = {}
    for name in names:
        variable = f"PGREPL_{name.upper().replace('-', '_')}_PORT"
        text = re.sub(r"PGREPL_REPLICA_PORT:-\d+", variable, template)
        services |= yaml.safe_load(re.sub(rf"(^|[ /]){REPLICA}:", rf"\1{name}:", text, flags=re.MULTILINE))
    made = {"services": services, "volumes": dict.fromkeys(names)}
    head = "# Written by pgrepl: further replicas, as the service `replica` of docker-compose.yaml.\n"
    return head + yaml.safe_dump(made, sort_keys=False)
