"""A project's instances, as servers that can be asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..errors import ParameterError, StepFailed
from ..params import Params
from ..words.text import joined, mark, t
from . import promises
from .project import Project, find
from .server import Server

Kind = TypeVar("Kind", bound=Server, covariant=True)


class Replicas(list[Any]):
    """The replicas, by number. absent: raises the error for one that there is not."""

    absent: Callable[[int], StepFailed]

    def __getitem__(self, number: Any) -> Any:
        try:
            return super().__getitem__(number)
        except IndexError:
            raise self.absent(number) from None


class Members(Project, Generic[Kind]):
    """A project with its instances: servers that are only asked, or that also do steps."""

    instance_kind: type[Kind]

    def instance(self, name: str) -> Kind:
        """The instance of this name; raises `ParameterError` where there is none."""
        if name not in self.topology.names:
            raise ParameterError(
                t("No instance {name}.", name=repr(name)),
                looked_at=[t("there are {names}", names=", ".join(self.topology.names))],
                remedy=self.addressed(t("`pgrepl status` lists them")),
            )
        return self.instance_kind(self, name)

    @property
    def primary(self) -> Kind:
        """The instance that accepts writes now."""
        return self.instance_kind(self, self.topology.primary)

    @property
    def replicas(self) -> list[Kind]:
        """The replicas, by number; asked for one that there is not, it raises `StepFailed`."""
        found = Replicas(self.instance_kind(self, name) for name in self.topology.replicas)
        found.absent = self._without_replica
        return found

    @property
    def replica(self) -> Kind:
        """The first replica; raises `StepFailed` where there is none."""
        return self.replicas[0]

    def _without_replica(self, number: int) -> StepFailed:
        fenced = list(self.topology.fenced)
        back = [t("`pgrepl rejoin {name}` brings the fenced {name} back", name=n) for n in fenced]
        names = ", ".join(fenced) or t("none")
        has = mark("Project {project} has no replica now.")
        if self.topology.replicas:
            has = mark("Project {project} has no replica number {number} now.")
        return StepFailed(
            t(has, project=self.params.project, number=number + 1),
            looked_at=[t("fenced: {names}", names=names)],
            remedy=self.addressed(joined("; ", [*back, t("`pgrepl replica add` adds one")])),
        )


AnyCluster = Members[Server]


class Seen(AnyCluster):
    """A project that is only looked at."""

    instance_kind = Server


def look_at(params: Params) -> Seen:
    """The project of these parameters, without what changes it; raises what `find` does."""
    found = find(params)
    cluster = Seen(found.params, found.engine, found.topology)
    promises.keep(cluster, cluster.topology.primary)
    return cluster
