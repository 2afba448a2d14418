"""Whose a container, volume or network is: its maker's labels say it, its name does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from docker.errors import APIError, NotFound

from ...errors import StepFailed, first_line
from ...words.text import Text, t
from .host import client, remove_container

ID, FOLDER, USER = "pgrepl.id", "pgrepl.folder", "pgrepl.user"
COMPOSE_PROJECT = "com.docker.compose.project"
COMPOSE_FOLDER = f"{COMPOSE_PROJECT}.working_dir"


@dataclass(frozen=True)
class Thing:
    """A container, volume or network of the Docker engine; status: of a container."""

    kind: str
    name: str
    labels: Mapping[str, str]
    key: str  # what the engine knows it by, also after somebody has renamed it
    status: str = ""

    def __str__(self) -> str:
        state = f" ({self.status})" if self.status else ""
        return f"{self.kind} {self.name}{state}"

    @property
    def folder(self) -> str:
        """The folder of the cluster, or Compose project, that made it; empty where unknown."""
        return unquote(self.labels.get(FOLDER, "")) or self.labels.get(COMPOSE_FOLDER, "")

    def whose(self) -> Text:
        """Who made it, as far as its labels say."""
        if self.labels.get(ID):
            user = unquote(self.labels.get(USER, ""))
            return t("of the cluster in {folder}, made by {user}", folder=self.folder, user=user)
        project = self.labels.get(COMPOSE_PROJECT)
        if project and self.folder:
            return t(
                "of the Compose project {project} in {folder}", project=project, folder=self.folder
            )
        if project:
            return t("of the Compose project {project}", project=project)
        return t("nothing says whose it is")


def everything() -> Iterator[Thing]:
    """All that the engine has, of whomever, by name; containers first, since they use the rest."""
    kinds = ("container", "volume", "network")

    def place(thing: Thing) -> tuple[int, str]:
        return kinds.index(thing.kind), thing.name

    yield from sorted(_unordered(), key=place)


def _unordered() -> Iterator[Thing]:
    api = client().api
    for c in api.containers(all=True):
        name = min(c["Names"] or [c["Id"]], key=len).lstrip("/")
        yield Thing("container", name, c["Labels"] or {}, c["Id"], c["State"])
    for v in api.volumes()["Volumes"] or []:
        yield Thing("volume", v["Name"], v["Labels"] or {}, v["Name"])
    for n in api.networks():
        yield Thing("network", n["Name"], n["Labels"] or {}, n["Id"])


def of_project(project_id: str) -> list[Thing]:
    """What a project has made; without an id nothing is its."""
    return [each for each in everything() if project_id and each.labels.get(ID) == project_id]


def strangers(project: str, project_id: str, needed: Iterable[str]) -> list[Thing]:
    """What others have made and the project would meet, by a name or as a Compose project."""
    names = frozenset(needed)
    found = everything()
    met = (o for o in found if o.name in names or o.labels.get(COMPOSE_PROJECT) == project)
    return [other for other in met if not project_id or other.labels.get(ID) != project_id]


def id_of_folder(project: str, folder: Path) -> str:
    """The id of the cluster that was made in this very folder; empty where there is none."""
    here = folder.resolve()
    for thing in strangers(project, "", ()):
        if thing.labels.get(ID) and Path(thing.folder).resolve() == here:
            return thing.labels[ID]
    return ""


def remove(things: Iterable[Thing]) -> None:
    """Remove containers, running or not, volumes and networks; what has gone meanwhile is fine."""
    api = client().api
    for thing in things:
        try:
            if thing.kind == "container":
                remove_container(thing.key)
            elif thing.kind == "volume":
                api.remove_volume(thing.key)
            else:
                api.remove_network(thing.key)
        except NotFound:
            continue
        except APIError as error:
            raise StepFailed(
                t("The {kind} {name} could not be removed.", kind=thing.kind, name=thing.name),
                looked_at=[first_line(error)],
                remedy=t("end what still uses it, then run again"),
            ) from None


def removal_commands(things: Iterable[Thing]) -> tuple[str, ...]:
    """What a person would type for it."""
    programs = {
        "container": "docker container rm -f -v",
        "volume": "docker volume rm",
        "network": "docker network rm",
    }
    found = list(things)
    named = {kind: [each.name for each in found if each.kind == kind] for kind in programs}
    return tuple(f"{programs[kind]} {' '.join(names)}" for kind, names in named.items() if names)


def labels(project_id: str, folder: Path, user: str) -> dict[str, str]:
    """What is put on all that a project makes; encoded, since `.env` cannot hold everything."""
    return {ID: project_id, FOLDER: quote(str(folder)), USER: quote(user)}
