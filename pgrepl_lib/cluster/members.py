"""A project's instances, as servers that can be asked."""

from __future__ import annotations

from typing import Generic, TypeVar

from ..errors import ParameterError, StepFailed
from .project import Project
from .server import Server

Kind = TypeVar("Kind", bound=Server, covariant=True)


class Members(Project, Generic[Kind]):
    """A project with its instances, each of one kind: servers that are only asked, or that also do steps."""

    instance_kind: type[Kind]

    def instance(self, name: str) -> Kind:
        """The instance of this name; raises `ParameterError` where there is none."""
        if name not in self.topology.names:
            raise ParameterError(
                f"No instance {name!r}.",
                looked_at=[f"there are {', '.join(self.topology.names)}"],
                remedy=self.addressed("`pgrepl status` lists them"),
            )
        return self.instance_kind(self, name)

    @property
    def primary(self) -> Kind:
        """The instance that accepts writes now."""
        return self.instance_kind(self, self.topology.primary)

    @property
    def replicas(self) -> list[Kind]:
        """The replicas, by number."""
        return [self.instance_kind(self, name) for name in self.topology.replicas]

    @property
    def replica(self) -> Kind:
        """The first replica."""
        if not self.topology.replicas:
            fenced = list(self.topology.fenced)
            back = [f"`pgrepl rejoin {name}` brings the fenced {name} back" for name in fenced]
            remedy = self.addressed("; ".join([*back, "`pgrepl replica add` adds one"]))
            looked_at = [f"fenced: {', '.join(fenced) or 'none'}"]
            cause = f"Project {self.params.project} has no replica now."
            raise StepFailed(cause, looked_at=looked_at, remedy=remedy)
        return self.replicas[0]


AnyCluster = Members[Server]
