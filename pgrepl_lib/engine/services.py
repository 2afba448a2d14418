"""Compose's files: the one definition of the services, and what further replicas add to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from . import REPLICA

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yaml"


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
