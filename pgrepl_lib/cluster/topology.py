"""Who is primary, whom each replica follows, what is half done: what changes in `cluster.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

from ..engine.action import PRIMARY, REPLICA
from ..words.text import t

NAME = re.compile(rf"{PRIMARY}|{REPLICA}(-([2-9]|[1-9][0-9]{{1,2}}))?")  # all that `name_of` gives


def number_of(name: str) -> int:
    """An instance's number, which stays: 0 for `primary`, 1 for `replica`, N for `replica-N`."""
    if name in (PRIMARY, REPLICA):
        return (PRIMARY, REPLICA).index(name)
    return int(name.rpartition("-")[2])


def name_of(number: int) -> str:
    """primary, replica, replica-2, …: the document's names first."""
    return {0: PRIMARY, 1: REPLICA}.get(number, f"{REPLICA}-{number}")


def application_name(name: str) -> str:
    """Its name towards its upstream: replica-1 for the first replica, as in the document."""
    return f"replica-{number_of(name)}"


def slot_of(name: str) -> str:
    """Its slot at its upstream: replica_1_slot for the first replica, as in the document."""
    return f"replica_{number_of(name)}_slot"


def owner_of(slot: str) -> str:
    """The instance that has this slot; empty for a slot that is not one of ours."""
    found = re.fullmatch(r"replica_(\d+)_slot", slot)
    return name_of(int(found[1])) if found else ""


def _instance(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(t("{name} is no instance's name", name=repr(name)))
    return name


Name = Annotated[str, AfterValidator(_instance)]
Fact = str | int | float | bool | None
SHALLOW = TypeAdapter(dict[str, Fact | list[Fact] | dict[str, Fact]])  # it can be written again
Facts = Annotated[dict[str, Any], AfterValidator(SHALLOW.validate_python)]
OPERATIONS = ("switchover", "failover")  # that change roles, and are gone on with where they ended


@dataclass
class Topology:
    """The instances' roles. Names stay; roles change with a switchover or a failover.

    upstreams: each replica and the instance it follows. fenced: former primaries that may not come
    up writable, with what was known when they were lost. operation: the switchover or failover that
    has begun and not ended. synchronous: how many replicas a commit waits for, such as "ANY 1";
    empty for asynchronous replication. system_identifier: of the cluster's data, once there have
    been any (`cluster/identity.py`). What is read from a file is held to these types.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    primary: Name = PRIMARY
    upstreams: dict[Name, Name] = field(default_factory=dict)
    fenced: dict[Name, Facts] = field(default_factory=dict)
    operation: Facts = field(default_factory=dict)
    synchronous: Annotated[str, Field(pattern=r"^((FIRST|ANY) [1-9][0-9]?)?$")] = ""
    system_identifier: Annotated[str, Field(pattern=r"^[0-9]{0,20}$")] = field(
        default="", compare=False
    )

    @classmethod
    def of(cls, made: Mapping[str, Any], replicas: int) -> Topology:
        """What is recorded, and the primary's new replicas that the wanted number lacks."""
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
    def primary_first(self) -> list[str]:
        """All instances: the primary, then the others by number."""
        return [self.primary, *(name for name in self.names if name != self.primary)]

    def role_of(self, name: str) -> str:
        """As it is recorded: primary, replica or fenced."""
        if name == self.primary:
            return "primary"
        return "fenced" if name in self.fenced else "replica"

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


def require_consistent(read: Topology) -> None:
    """Raise `ValueError` where roles contradict each other, or name nobody."""
    known = set(read.names)
    if read.primary in read.upstreams:
        raise ValueError(t("the primary follows an instance"))
    begun = read.operation
    named = [*read.upstreams.values(), *(begun.get(end) for end in ("from", "to") if begun)]
    if strange := [name for name in named if name not in known]:
        raise ValueError(t("there is no instance {name}", name=repr(strange[0])))
    if begun and begun.get("kind") not in OPERATIONS:
        raise ValueError(t("no operation is called {kind}", kind=repr(begun.get("kind"))))
    if begun and begun["from"] == begun["to"]:
        raise ValueError(t("an operation from an instance to itself"))
    for name in read.upstreams:
        _end_of(name, read.upstreams)


def _end_of(name: str, upstreams: Mapping[str, str]) -> None:
    """Follow an instance's upstreams to their end; raises `ValueError` where there is none."""
    above, seen = name, set[str]()
    while above in upstreams:
        if above in seen:
            raise ValueError(t("{name} follows itself", name=name))
        seen.add(above)
        above = upstreams[above]
