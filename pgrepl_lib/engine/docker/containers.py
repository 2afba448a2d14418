"""A project's own containers, volumes and Compose commands: what the docker engine is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from ...doors import command
from ...doors.command import Command, Completed
from ...doors.program import silently
from ...doors.wait import wait_until
from ...params import Params
from ...words.text import t
from .. import hanging, life, ports
from ..action import (
    NOTHING,
    PASSFILE,
    Action,
    Tell,
)
from ..ending import KILL_SECONDS, wait_stopped
from ..life import Life
from ..processes import owner_of
from ..secret import content
from . import network, owner
from .contents import is_private, write_file
from .host import (
    client,
    compose,
    container_life,
    create,
    find_container,
    image_here,
)
from .network import SERVICE


class Containers:
    """What exists of one project, and commands for it."""

    def __init__(self, params: Params, ports: Mapping[str, int]) -> None:
        self.params, self.ports, self.had_data = params, ports, False
        self.folder = params.folder
        self.id = ""
        mount = "/var/lib/postgresql"
        self.pgdata = self.data_mount = f"{mount}/data"
        if params.pg_version >= 18:
            self.pgdata, self.data_mount = f"{mount}/{params.pg_version}/docker", mount

    def run(
        self,
        each: Command,
        tell: Tell = silently,
        *,
        check: bool = True,
        source: str = "",
    ) -> Completed:
        hangs = partial(hanging.hung, self.folder, self.ports, source)
        return hanging.run(each, self.folder, tell, check=check, hung=hangs)

    def look_only(self) -> None:
        """Nothing is fetched by naming it."""

    def life(self, name: str) -> Life:
        found = self._service(name)
        return life.of_container(found.status) if found else Life.ABSENT

    def running(self, name: str) -> bool:
        return self.life(name) is Life.RUNNING

    def passfile(self, name: str) -> str:
        return f"{self.pgdata}/{PASSFILE}"

    def give_password(self, name: str) -> Action:
        """Through the SDK: a container of its own would take a second to start."""
        if self.params.auth_method == "trust":
            return NOTHING
        path, source = self.passfile(name), self.folder / "secrets" / PASSFILE
        write = self._alone(name, "sh", "-c", f"umask 077; cat > {path}")
        owned = f"{self.pgdata}/PG_VERSION"

        def do(tell: Tell) -> None:
            with self._looking_glass(name) as container:
                write_file(container, path, content(source), like=owned)

        def done() -> bool:
            with self._looking_glass(name) as container:
                return is_private(container, path, content(source).encode(), like=owned)

        return Action((Command(write.argv, stdin=Path("secrets") / PASSFILE),), do, done)

    @property
    def labels(self) -> dict[str, str]:
        """What is put on everything that this project makes, and what all of it is found by."""
        return owner.labels(self.id, self.folder, owner_of(self.folder))

    def upstream(self, name: str) -> tuple[str, int]:
        return name, 5432

    def find_id(self) -> str:
        """The id of the cluster that was made in this very folder; empty where there is none."""
        return owner.id_of_folder(self.params.project, self.folder)

    def _shut_down(self, name: str) -> None:
        """A fast shutdown, as the image's stop signal; nothing kills a server that still writes."""
        for container in self._living(name):
            with suppress(APIError):  # it has ended just now
                container.kill(signal="SIGINT")
                if container_life(str(container.id)) is Life.PAUSED:
                    container.unpause()  # it gets the signal first
        wait_stopped(self, name)

    def _kill(self, name: str) -> None:
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
        """The server's last log lines."""
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

    def _mine(self) -> dict[str, Any]:
        return {"label": [f"{owner.ID}={self.id}"]}

    def _containers(self) -> list[Any]:
        if not self.id:
            return []
        return client().containers.list(all=True, filters=self._mine(), ignore_removed=True)

    def _volumes(self) -> list[Any]:
        if not self.id:
            return []
        return client().volumes.list(filters=self._mine())

    def _service(self, name: str) -> Any:
        """An instance's container: that which lives, where an interrupted Compose has left two."""
        wanted = {SERVICE: name, "com.docker.compose.oneoff": "False"}
        found = [c for c in self._containers() if wanted.items() <= c.labels.items()]
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

    def _exec(
        self,
        container: str,
        *argv: str,
        env: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> Command:
        variables = (a for k, v in (env or {}).items() for a in ("--env", f"{k}={v}"))
        return Command(("docker", "container", "exec", *options, *variables, container, *argv))

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
        volume stays empty, where Docker would fill it from the image.
        """
        if self.running(name):
            yield self._service(name)
            return
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

    def _by(self, each: Command) -> Action:
        """The action that this command is."""

        def do(tell: Tell) -> None:
            self.run(each)

        return Action((each,), do)

    def _ended(self, name: str) -> bool:
        return self.life(name).ended


def _lives(container: Any) -> bool:
    return not life.of_container(container.status).ended


def _began(container_id: str) -> str:
    """When what lives in a container was started; empty where nothing does."""
    found = find_container(container_id)
    return str(found.attrs["State"]["StartedAt"]) if found and _lives(found) else ""
