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
from ...words.text import Text, mark, t
from .. import state
from ..topology import Topology

UNDER_WAY = mark(
    "a {kind} from {old} to {new} is under way since {since} (process {pid}): wait for it; "
    "where it stands still, {way}"
)
INTERRUPTED = mark("a {kind} from {old} to {new} was interrupted, unfinished since {since}: {way}")
INTERRUPTED_ONCE = mark("a {kind} from {old} to {new} was interrupted, unfinished: {way}")


def facts() -> dict[str, str]:
    """Who begins an operation, and when: what is recorded with it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"since": now, "host": socket.gethostname(), "pid": str(os.getpid())}


def told(topology: Topology, params: Params) -> str:
    """One line about the recorded operation, with the ways on; empty where there is none."""
    begun = topology.operation
    if not begun:
        return ""
    what = INTERRUPTED_ONCE
    if _goes_on(begun):
        what = UNDER_WAY
    elif begun.get("since"):
        what = INTERRUPTED
    line = t(
        what,
        kind=begun["kind"],
        old=begun["from"],
        new=begun["to"],
        since=begun.get("since", ""),
        pid=begun.get("pid", ""),
        way=_way_on(begun, topology.primary),
    )
    return addressed(line, params)


def _way_on(begun: dict[str, Any], primary: str) -> Text:
    way = t("`pgrepl {kind} --to {new}` finishes it", kind=begun["kind"], new=begun["to"])
    if begun["to"] == primary:
        return way
    return t(
        "{way}, before the promotion `pgrepl {kind} --cancel` takes it back",
        way=way,
        kind=begun["kind"],
    )


def now(folder: Path, params: Params, known: Topology) -> str:
    """The same as it is recorded at this moment; also where roles are no more what was `known`."""
    made = state.read(folder)
    recorded = Topology.of(made, 0) if made else known
    if line := told(recorded, params) or told(known, params):
        return line
    moved = [n for n, up in recorded.upstreams.items() if known.upstreams.get(n) != up]
    if moved or recorded.primary != known.primary:
        return t("the roles have changed during this look: look again")
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
