"""The `docker` engine: the official image, the Docker SDK for containers, Compose for services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network

from docker.errors import DockerException

from ...doors import ahead, command, files
from ...doors.command import Command
from ...doors.db import Address
from ...errors import CommandFailed, EnvironmentLacking, StepFailed, first_line
from ...postgres.sessions import FOR_PROGRAMS
from ...words.text import t
from ..action import Action, Tell, leaving
from ..life import Life
from ..secret import as_superuser
from . import network, owner
from .host import (
    client,
    compose,
    compose_version,
    host_address_outside,
    image_environment,
    image_here,
    pull,
    remove_container,
    wait_accepting,
)
from .services import ENV, compose_files, owner_command, owner_lines
from .temporaries import READY, until
from .volumes import Volumes

ANSWERED = (0, 1)  # of pg_isready: it accepts connections, or rejects them by now
MOUNTED = "/etc/postgresql"
NO_PASSWORD = "secrets/none"  # empty: with this file, the image does not initialise a volume


class DockerEngine(Volumes):
    """Instances as Compose services `primary` and `replica` of the Compose project `project`."""

    name = "docker"

    def facts(self) -> dict[str, str]:
        image = client().images.get(self.image)
        digest = next(iter(image.attrs.get("RepoDigests") or []), image.id)
        environment = image_environment(image.attrs)
        version = f"{' '.join(compose())} {compose_version()}"
        return {
            "engine": "docker",
            "docker": client().version()["Version"],
            "compose": version,
            "image": self.params.image,
            "digest": str(digest),
            "postgres": environment.get("PG_VERSION", environment.get("PG_MAJOR", "?")),
        }

    def fetch(self) -> Action:
        image = self.params.image

        def do(tell: Tell) -> None:
            try:
                pull(image, tell)
            except DockerException as error:
                raise EnvironmentLacking(
                    t("The image {image} could not be pulled.", image=image),
                    looked_at=[first_line(error)],
                    remedy=t("check the connection and run again"),
                ) from None

        def done() -> bool:
            return image_here(self.image)

        shown = f"docker image inspect {image} >/dev/null 2>&1 || docker image pull {image}"
        return Action((shown,), do, done)

    def prepare(self) -> None:
        self.sweep()
        files.make_folder(self.folder / "secrets", 0o700)
        texts = self._texts()
        texts[ENV] += owner_lines(self.labels)
        if self.had_data:
            files.write_atomic(self.folder / NO_PASSWORD, "", 0o600)
            texts[ENV] += f"PGREPL_FIRST_PASSWORD=./{NO_PASSWORD}\n"
        for name, text in texts.items():
            if text:
                files.write_atomic(self.folder / name, text)
            else:
                files.remove(self.folder / name)

    def _texts(self) -> dict[str, str]:
        """Compose's files in the cluster's folder; an empty text: no such file."""
        return compose_files(self.params, self.ports, self.pgdata, self.data_mount)

    def preparation(self) -> tuple[str, ...]:
        texts = self._texts()
        env = command.here_document(ENV, texts.pop(ENV)), owner_command(self.labels)
        rest = (command.here_document(name, text) for name, text in texts.items() if text)
        return f"mkdir -p {' '.join(self.ports)}", "mkdir -p -m 700 secrets", *env, *rest

    def hand_over(self, *folders: str) -> tuple[str, ...]:
        return ()  # the container's own start reads them as root

    def shut_out(self) -> str:
        return ""  # folders are mounted, not entered

    def refuse_settings(self, settings: Mapping[str, str]) -> list[str]:
        return self._complaints(settings, self._judge)

    def _judge(self, *arguments: str) -> Command:
        here = ("--user=postgres", "--entrypoint=postgres", "--env=LC_ALL=C", self.image)
        return Command(("docker", "container", "run", "--rm", *here, *arguments))

    # --- instances ----------------------------------------------------------------------------

    def start(self, name: str, *, initialise: bool = False) -> Action:
        """An empty volume is initialised by the image's own start, so that must not begin."""
        up, ready = self._compose("up", "-d", name), until(self.client(name, *READY))
        runs = ahead.leaves(name, life=Life.RUNNING, data=True)
        place = self.join(name)
        first: tuple[Command | str, ...] = (up,)
        if self.life(name) is Life.PAUSED:
            first = (self._compose("unpause", name),)

        def do(tell: Tell) -> None:
            if not (initialise or self.has_data(name)):
                raise self._no_data(name)
            if self.life(name) is Life.PAUSED:
                self._service(name).unpause()
            elif not (self.running(name) and network.find(self._network)):
                self._up(up, name)
            if not place.done():
                place.do(tell)

        def done() -> bool:
            return self.running(name) and place.done()

        return Action((*first, *place.commands, leaving(ready, runs)), do, done)

    def _up(self, up: Command, name: str) -> None:
        try:
            self.run(self._as_it_is(up, name))
        except CommandFailed as error:
            raise StepFailed(
                t("{name} did not start.", name=name),
                looked_at=error.looked_at,
                remedy=self._start_remedy(name),
            ) from None

    def reaches(self, name: str, other: str) -> bool:
        host, port = self.upstream(other)
        asked = ("pg_isready", f"--host={host}", f"--port={port}", "--timeout=3", "--quiet")
        return self.run(self.inside(name, *asked), check=False).code in ANSWERED

    def stop(self, name: str) -> Action:
        """Through the SDK: Compose takes half a second to start, in which nobody can write."""
        end, ended = partial(self._shut_down, name), partial(self._ended, name)
        stop = leaving(self._compose("stop", name), ahead.leaves(name, life=Life.STOPPED))
        return Action((stop,), end, ended)

    def kill(self, name: str) -> Action:
        end, ended = partial(self._kill, name), partial(self._ended, name)
        kill = leaving(self._compose("kill", name), ahead.leaves(name, life=Life.STOPPED))
        return Action((kill,), end, ended)

    @contextmanager
    def small_server(self, megabytes: int) -> Iterator[Address]:
        room = {self.data_mount: f"size={megabytes}m"}
        made = self._run_alone(tmpfs=room, ports={"5432/tcp": ("127.0.0.1", None)})
        try:
            wait_accepting(str(made.id))
            made.reload()
            port = int(made.attrs["NetworkSettings"]["Ports"]["5432/tcp"][0]["HostPort"])
            yield as_superuser(self.folder, port)
        finally:
            remove_container(str(made.id))

    def tool(self, name: str, program: str, *arguments: str) -> Command:
        """Without Compose, whose version 1 takes half a second to start."""
        found, words = self._service(name), (program, *arguments)
        options = ("--interactive", "--user=postgres", f"--env=PGOPTIONS={FOR_PROGRAMS}")
        done = self._exec(found.id if found else name, *words, options=options)
        return replace(done, shown=str(self.client(name, *words)))

    def client(self, name: str, *argv: str, terminal: bool = False) -> Command:
        options = ("-u", "postgres") if terminal else ("-T", "-u", "postgres")
        return self._compose("exec", *options, name, *argv)

    def inside(self, name: str, *argv: str) -> Command:
        """With an empty password where none is given: Podman takes no variable without a value."""
        options = ("--user=postgres", "--env=PGPASSWORD")
        made = self._exec(self._service(name).id, *argv, options=options)
        return replace(made, env={"PGPASSWORD": ""})

    def rule_network(self) -> IPv4Network:
        return self.params.network

    def configuration_path(self, name: str, file: str) -> str:
        return f"{MOUNTED}/{file}"

    def outside_the_rule(self, name: str) -> tuple[str, int, str]:
        """The container's own address, and one of this host outside the cluster's network."""
        networks = self._service(name).attrs["NetworkSettings"]["Networks"].values()
        addresses = [n["IPAddress"] for n in networks if n["IPAddress"]]
        if not addresses:
            raise LookupError(t("the container of {name} is in no network", name=name))
        return addresses[0], 5432, host_address_outside(self.params.network)

    def existing(self) -> list[str]:
        return list(map(str, owner.of_project(self.id)))

    def remove_all(self) -> Action:
        """What carries this project's id, and nothing by its name."""

        def do(tell: Tell) -> None:
            owner.remove(owner.of_project(self.id))

        def done() -> bool:
            return not self.existing()

        return Action(owner.removal_commands(owner.of_project(self.id)), do, done)
