"""A change of roles that has begun and not ended: since when, by whom, and how it goes on.

While one is recorded, roles are not what they seem: who was just promoted looks like a replica that
somebody promoted by hand.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from ...params import Params
from ...words.commands import addressed
from .. import state
from ..topology import Topology


def facts() -> dict[str, str]:
    """Who begins an operation, and when: what is recorded with it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"since": now, "host": socket.gethostname(), "pid": str(os.getpid())}


def told(topology: Topology, params: Params) -> str:
    """One line about the recorded operation, with the ways on; empty where there is none."""
    operation = topology.operation
    if not operation:
        return ""
    kind, old, new = operation["kind"], operation["from"], operation["to"]
    since = f" since {operation['since']}" if operation.get("since") else ""
    way = f"`pgrepl {kind} --to {new}` finishes it"
    if new != topology.primary:
        way += f", before the promotion `pgrepl {kind} --cancel` takes it back"
    if _goes_on(operation):
        who = f"(process {operation['pid']})"
        how = f"is under way{since} {who}: wait for it; where it stands still, "
    else:
        how = f"was interrupted, unfinished{since}: "
    return addressed(f"a {kind} from {old} to {new} {how}{way}", params)


def now(folder: Path, params: Params, known: Topology) -> str:
    """The same as it is recorded at this moment; also where roles are no more what was `known`."""
    made = state.read(folder)
    recorded = Topology.of(made, 0) if made else known
    if line := told(recorded, params) or told(known, params):
        return line
    moved = [n for n, up in recorded.upstreams.items() if known.upstreams.get(n) != up]
    if moved or recorded.primary != known.primary:
        return "the roles have changed during this look: look again"
    return ""


def _goes_on(operation: dict[str, Any]) -> bool:
    """Whether the process that began it, on this host, still runs: it, no later one."""
    try:
        if operation["host"] != socket.gethostname():
            return False
        begun = datetime.fromisoformat(operation["since"]).timestamp()
        return psutil.Process(int(operation["pid"])).create_time() <= begun + 1
    except (KeyError, ValueError, TypeError, psutil.Error):
        return False
