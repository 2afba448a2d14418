"""Who is the primary, whom each replica follows, and what is half done: the part of `cluster.json` that changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..engine.action import PRIMARY, REPLICA

NAME = re.compile(rf"{PRIMARY}|{REPLICA}(-([2-9]|[1-9][0-9]{{1,2}}))?")  # all that `name_of` gives


def number_of(name: str) -> int:
    """An instance's number: 0 for `primary`, 1 for `replica`, N for `replica-N`. It never changes, its role may."""
    known = {PRIMARY: 0, REPLICA: 1}
    return known[name] if name in known else int(name.rpartition("-")[2])


def name_of(number: int) -> str:
    """primary, replica, replica-2, …: the document's names first."""
    return {0: PRIMARY, 1: REPLICA}.get(number, f"{REPLICA}-{number}")


def application_name(name: str) -> str:
    """What an instance calls itself towards its upstream: replica-1 for the first replica, as in the document."""
    return f"replica-{number_of(name)}"


def slot_of(name: str) -> str:
    """The slot that an instance has at its upstream: replica_1_slot for the first replica, as in the document."""
    return f"replica_{number_of(name)}_slot"


def owner_of(slot: str) -> str:
    """The instance that has this slot; empty for a slot that is not one of ours."""
    found = re.fullmatch(r"replica_(\d+)_slot", slot)
    return name_of(int(found[1])) if found else ""


@dataclass
class Topology:
    """The instances' roles. Names stay what they were at the beginning; roles change with a switchover or a failover.

    upstreams: each replica and the instance it follows. fenced: former primaries that may not come up writable, with
    what was known when they were lost. operation: the switchover or failover that has begun and not ended.
    synchronous: how many replicas a commit waits for, such as "ANY 1"; empty for asynchronous replication.
    system_identifier: of the cluster's data, once there have been any (`cluster/identity.py`).
    """

    primary: str = PRIMARY
    upstreams: dict[str, str] = field(default_factory=dict)
    fenced: dict[str, dict[str, Any]] = field(default_factory=dict)
    operation: dict[str, str] = field(default_factory=dict)
    synchronous: str = ""
    system_identifier: str = field(default="", compare=False)

    @classmethod
    def of(cls, made: Mapping[str, Any], replicas: int) -> Topology:
        """What is recorded, and as many new replicas of the primary as are missing to the wanted number."""
        found = cls(**made.get("topology", {}))
        if not made.get("topology"):
            found.upstreams = {name: PRIMARY for name in made.get("ports", {}) if name != PRIMARY}
        while len(found.names) - 1 < replicas:
            found.upstreams[found.next_name()] = found.primary
        return found

    @property
    def operated(self) -> bool:
        """Whether it is another than the set-up chapters make: a primary that all others follow."""
        return self != Topology.of({"ports": self.names}, 0)

    @property
    def names(self) -> list[str]:
        """All instances, by number."""
        return sorted({self.primary, *self.upstreams, *self.fenced}, key=number_of)

    @property
    def replicas(self) -> list[str]:
        """The replicas, by number."""
        return sorted(self.upstreams, key=number_of)

    def next_name(self) -> str:
        """The first name that no instance has."""
        return next(name for name in map(name_of, range(1, 1000)) if name not in self.names)

    def followers(self, name: str) -> list[str]:
        """The replicas that follow this instance directly."""
        return [r for r in self.replicas if self.upstreams[r] == name]

    def promote(self, name: str) -> None:
        """Record a new primary; whom the others follow is recorded when they are told."""
        del self.upstreams[name]
        self.primary = name

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)
