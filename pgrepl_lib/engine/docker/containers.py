"""A project's own containers, volumes and Compose commands: what the docker engine is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from ...doors import ahead, command
from ...doors.command import Command
from ...doors.wait import wait_until
from ...params import Params
from ...words.text import t
from .. import ports
from ..action import Action, Tell
from ..commands import Commands
from ..life import KILL_SECONDS, Life, wait_stopped
from ..processes import owner_of
from ..secret import content
from . import network, owner
from .contents import is_private, write_file
from .host import client, compose, create, find_container, image_here, life_of
from .network import SERVICE


class Containers(Commands):
    """What exists of one project, and commands for it."""

    def __init__(self, params: Params, ports: Mapping[str, int]) -> None:
        super().__init__(params, ports)
        mount = "/var/lib/postgresql"
        self.pgdata = self.data_mount = f"{mount}/data"
        if params.pg_version >= 18:
            self.pgdata, self.data_mount = f"{mount}/{params.pg_version}/docker", mount

    def look_only(self) -> None:
        """Nothing is fetched by naming it."""

    def life(self, name: str) -> Life:
        def look() -> Life:
            return life_of(self._service(name))

        return ahead.fact("life", name, look)

    def running(self, name: str) -> bool:
        return self.life(name) is Life.RUNNING

    def frozen(self, name: str) -> bool:
        return False  # who stops what is in a container pauses it: that is told as such

    def protected(self, name: str, file: str) -> str:
        return f"{self.pgdata}/{file}"

    def give(self, name: str, given: Mapping[str, str]) -> Action:
        """Through the SDK: a container of its own would take a second to start."""
        owned, secrets = f"{self.pgdata}/PG_VERSION", self.folder / "secrets"
        wanted = {self.protected(name, file): source for file, source in given.items()}

        def do(tell: Tell) -> None:
            with self._looking_glass(name) as container:
                for path, source in wanted.items():
                    write_file(container, path, content(secrets / source), like=owned)

        def done() -> bool:
            with self._looking_glass(name) as container:
                return all(
                    is_private(container, path, content(secrets / source).encode(), like=owned)
                    for path, source in wanted.items()
                )

        def write(path: str, source: str) -> Command:
            alone = self._alone(name, "sh", "-c", f"umask 077; cat > {path}")
            return replace(alone, stdin=Path("secrets") / source)

        return Action(tuple(write(*each) for each in wanted.items()), do, done)

    @property
    def labels(self) -> dict[str, str]:
        """What is put on everything that this project makes, and what all of it is found by."""
        return owner.labels(self.id, self.folder, owner_of(self.folder))

    def upstream(self, name: str) -> tuple[str, int]:
        return name, 5432

    def find_id(self) -> str:
        return owner.id_of_folder(self.params.project, self.folder)

    def _shut_down(self, name: str, tell: Tell) -> None:
        """A fast shutdown, as the image's stop signal; nothing kills a server that still writes."""
        for container in self._living(name):
            with suppress(APIError):  # it has ended just now
                container.kill(signal="SIGINT")
                if life_of(find_container(str(container.id))) is Life.PAUSED:
                    container.unpause()  # it gets the signal first
        wait_stopped(name, self.life, self.activity, self.log_tail)

    def _kill(self, name: str, tell: Tell) -> None:
        """With a container's first process, which is the server, the system ends all the others.

        Who starts it again meanwhile has another server, which is not waited for.
        """
        for container in self._living(name):
            began = container.attrs["State"]["StartedAt"]
            with suppress(APIError):  # it has ended just now; else the wait says that it has not
                container.kill()

            def gone(container: Any = container, began: str = began) -> tuple[bool, str]:
                return _began(container.id) != began, self.life(name).told

            wait_until(t("the end of {name}", name=name), gone, seconds=KILL_SECONDS)

    def join(self, name: str) -> Action:
        def commands() -> tuple[str, ...]:
            found = self._service(name)
            return network.commands(found, self._network) if found else ()

        def done() -> bool:
            return not commands()

        def do(tell: Tell) -> None:
            network.join(self._service(name), self._network)

        return Action(commands(), do, done)

    def log_tail(self, name: str) -> str:
        found = self._service(name)
        return found.logs(tail=15).decode(errors="replace") if found else ""

    def activity(self, name: str) -> str:
        """The titles of the container's processes and their seconds of work."""
        found = self._service(name)
        try:
            # None of a container that ends between its last process and its own end
            rows = found.top(ps_args="-eo pid,time,args")["Processes"] or []
            return "\n".join(" ".join(row) for row in rows)
        except (APIError, AttributeError):  # it has just ended, or its host's `ps` is another
            return ""

    def _containers(self, *labels: str) -> list[Any]:
        """All of the project, or those with these labels: Docker is asked for each one."""
        if not self.id:
            return []
        mine: dict[str, Any] = {"filters": {"label": [f"{owner.ID}={self.id}", *labels]}}
        return client().containers.list(all=True, ignore_removed=True, **mine)

    def _volume(self, name: str) -> Any:
        """An instance's volume; None where there is none."""
        if not self.id:
            return None
        found = client().volumes.list(filters={"label": f"{owner.ID}={self.id}"})
        return next((v for v in found if v.name == f"{self.params.project}_{name}"), None)

    def _service(self, name: str) -> Any:
        """An instance's container: that which lives, where an interrupted Compose has left two."""
        found = self._containers(f"{SERVICE}={name}", "com.docker.compose.oneoff=False")
        return max(found, key=_lives, default=None)

    def _living(self, name: str) -> Iterator[Any]:
        """An instance's container for as long as one lives, each once."""
        seen: set[str] = set()
        while (found := self._service(name)) and _lives(found) and found.id not in seen:
            seen.add(found.id)
            yield found

    @property
    def _network(self) -> str:
        return f"{self.params.project}_cluster"

    @cached_property
    def image(self) -> str:
        """The image of new containers: by its name, else by the id that ours have."""
        if image_here(self.params.image):
            return self.params.image
        ids = (str(c.attrs["Image"]) for c in self._containers())
        return next(filter(image_here, ids), self.params.image)

    def _alone(self, name: str, *argv: str) -> Command:
        """In a container of its own with the instance's data, while the instance does not run."""
        program = ("--entrypoint", argv[0], name, *argv[1:])
        return self._compose("run", "--rm", "--no-deps", "-T", "-u", "postgres", *program)

    def _compose(self, *arguments: str) -> Command:
        argv = (*compose(), *arguments)
        if self.image == self.params.image:
            return Command(argv)
        shown = f"PGREPL_IMAGE={self.image} {command.shell_text(argv)}"
        return Command(argv, env={"PGREPL_IMAGE": self.image}, shown=shown)

    def _exec(self, container: str, *argv: str, options: tuple[str, ...] = ()) -> Command:
        return Command(("docker", "container", "exec", *options, container, *argv))

    def _in_volume(self, name: str, path: str) -> bool:
        """Whether a file exists in an instance's volume."""
        with self._looking_glass(name) as container:
            try:
                container.get_archive(path)
                return True
            except NotFound:
                return False

    @contextmanager
    def _looking_glass(self, name: str) -> Iterator[Any]:
        """A container that sees an instance's volume: its own, else one that is never started.

        A stopped one of its own would not do: what else it mounts may be gone. nocopy: an empty
        volume stays empty, where Docker would fill it from the image. Who only plans makes none:
        raises `LookupError` where there is no volume yet.
        """
        its = self._service(name)
        if its and self.running(name):
            yield its
            return
        if ahead.looking() and not self._volume(name):
            raise LookupError(name)
        mount = {f"{self.params.project}_{name}": {"bind": self.data_mount, "mode": "rw,nocopy"}}
        made = create(self.image, volumes=mount, labels=self.labels)
        try:
            yield made
        finally:
            made.remove(v=True)

    def _start_remedy(self, name: str) -> str:
        if (taken := ports.held(self.ports[name])) and self.life(name).ended:
            return taken
        return t("correct the cause named above and run again")

    def _ended(self, name: str) -> bool:
        return self.life(name).ended


def _lives(container: Any) -> bool:
    return not life_of(container).ended


def _began(container_id: str) -> str:
    """When what lives in a container was started; empty where nothing does."""
    if not _lives(found := find_container(container_id)):
        return ""
    return str(found.attrs["State"]["StartedAt"])
