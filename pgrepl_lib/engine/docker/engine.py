"""The `docker` engine: the official image, containers through the Docker SDK, services through Compose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from docker.errors import DockerException

from ...doors import command, files
from ...doors.command import Command
from ...doors.db import Address
from ...errors import CommandFailed, EnvironmentLacking, StepFailed
from ...postgres.sessions import FOR_PROGRAMS
from ..action import PASSFILE, TEMPORARY_PRIMARY, Action, Tell, temporary_of
from ..complaints import first_complaint, no_data, settings_probe
from ..life import Life
from ..secret import password
from . import network, owner
from .host import (
    client,
    compose,
    compose_version,
    container_life,
    find_container,
    host_address_outside,
    image_environment,
    image_here,
    read_file,
    wait_accepting,
)
from .services import ENV, compose_files, owner_command, owner_lines
from .volumes import COPY, Volumes

READY = (
    "pg_isready",
    "--host=127.0.0.1",
    "--quiet",
)  # not the socket: the image's first start listens there for itself
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
            reference, _, tag = (
                image.rpartition(":") if ":" in image.rsplit("/", 1)[-1] else (image, "", "latest")
            )
            try:
                for event in client().api.pull(reference, tag=tag, stream=True, decode=True):
                    tell(
                        " ".join(
                            str(event.get(k, "")) for k in ("id", "status", "progress")
                        ).strip()
                    )
                client().images.get(image)
            except DockerException as error:
                raise EnvironmentLacking(
                    f"The image {image} could not be pulled.",
                    looked_at=[str(error)[:200]],
                    remedy="check the connection and run again",
                ) from None

        shown = f"docker image inspect {image} >/dev/null 2>&1 || docker image pull {image}"
        return Action((shown,), do, lambda: image_here(self.image))

    def prepare(self) -> None:
        self.sweep()
        files.make_folder(self.folder / "secrets", 0o700)
        for name, text in self._texts().items():
            text += owner_lines(self.labels) if name == ENV else ""
            if name == ENV and self.had_data:
                files.write_atomic(self.folder / NO_PASSWORD, "", 0o600)
                text += f"PGREPL_FIRST_PASSWORD=./{NO_PASSWORD}\n"
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
        complaints = []
        for name, value in settings.items():
            here = ("--user=postgres", "--entrypoint=postgres", "--env=LC_ALL=C", self.image)
            probe = ("docker", "container", "run", "--rm", *here)
            done = command.run(
                Command((*probe, *settings_probe(name, value))), cwd=Path("/"), check=False
            )
            if done.code:
                complaints.append(first_complaint(done.err))
        return complaints

    # --- temporary instances -------------------------------------------------------------------------------

    def start_temporary(self) -> Action:
        """Without the document's `--rm`: a container that ends at once would take its last words with it."""
        name, secret = self._temporary(TEMPORARY_PRIMARY), self.folder / "secrets/superuser"
        shown = (
            f"docker container run --name {name} -d --env POSTGRES_PASSWORD_FILE=/run/secrets/superuser "
            f'--volume "$PWD/secrets/superuser:/run/secrets/superuser:ro" {self.params.image}'
        )
        ready = _until(self._exec(name, *READY))

        def do(tell: Tell) -> None:
            tell("…")
            self._remove_container(name)
            container = client().containers.run(
                self.image,
                name=name,
                detach=True,
                labels=self.labels,
                environment={"POSTGRES_PASSWORD_FILE": "/run/secrets/superuser"},
                volumes={str(secret): {"bind": "/run/secrets/superuser", "mode": "ro"}},
            )
            wait_accepting(str(container.id))

        return Action((shown, ready), do)

    def start_temporary_replica(self, name: str) -> Action:
        temporary = self._temporary(temporary_of(name))
        start = self._compose(
            "run", "--rm", "-d", "-u", "postgres", "--name", temporary, name, "bash"
        )

        def do(tell: Tell) -> None:
            self._remove_container(temporary)
            self.run(start)

        return Action((start,), do, lambda: container_life(temporary) is Life.RUNNING)

    def copy_out(self, temporary: str, file: str, target: Path) -> Action:
        name, source = self._temporary(temporary), f"{self.pgdata}/{file}"

        def do(tell: Tell) -> None:
            files.write_atomic(
                target, read_file(client().containers.get(name), source).decode(), 0o600
            )

        return Action(
            (f"docker container cp {name}:{source} {target.relative_to(self.folder).parent}/",), do
        )

    def remove_temporary(self, temporary: str, keep_for: str = "") -> Action:
        name = self._temporary(temporary)
        return Action(
            (f"docker container rm -f {name}",),
            lambda tell: self._remove_container(name),
            lambda: find_container(name) is None,
        )

    def base_backup(
        self, name: str, source: str, arguments: tuple[str, ...]
    ) -> tuple[Command, ...]:
        return self._backup(name, source, self.pgdata, arguments)

    def _backup(
        self,
        name: str,
        source: str,
        target: str,
        arguments: tuple[str, ...],
    ) -> tuple[Command, ...]:
        """The target must be empty for the backup, so the password file goes to /tmp first."""
        temporary, (host, port) = self._temporary(temporary_of(name)), self.upstream(source)
        where = (f"--host={host}", f"--port={port}")
        words = ("pg_basebackup", "--pgdata", target, *arguments, *where)
        if self.params.auth_method == "trust":
            return (self._exec(temporary, *words),)
        write = self._exec(
            temporary, "sh", "-c", f"umask 077; cat > /tmp/{PASSFILE}", options=("-i",)
        )
        return (
            Command(write.argv, stdin=Path("secrets") / PASSFILE),
            self._exec(temporary, *words, env={"PGPASSFILE": f"/tmp/{PASSFILE}"}),
        )

    def copy_beside(self, name: str, source: str, arguments: tuple[str, ...]) -> Action:
        temporary, copy = self._temporary(temporary_of(name)), f"{self.pgdata}/{COPY}"
        start = self.start_temporary_replica(name)
        sed = ("sed", "-i.basebackup", "/^primary_/d", f"{copy}/postgresql.auto.conf")
        backup = (*self._backup(name, source, copy, arguments), self._exec(temporary, *sed))
        end = self.remove_temporary(temporary_of(name))

        def do(tell: Tell) -> None:
            self.discard_copy(name)
            start.do(tell)
            try:
                for each in backup:
                    self.run(each, tell)
            finally:
                end.do(tell)

        return Action((*start.commands, *backup, *end.commands), do)

    def backup_complete(self, name: str) -> bool:
        return self._in_temporary(name, "test", "-e", f"{self.pgdata}/backup_manifest")

    def discard_backup(self, name: str) -> None:
        temporary = find_container(self._temporary(temporary_of(name)))
        if temporary and any(
            "pg_basebackup" in row[-1] for row in temporary.top()["Processes"] or []
        ):
            temporary.restart(
                timeout=0
            )  # one whose runner was killed goes on, and would write into the new one's folder
        self._in_temporary(name, "find", self.data_mount, "-mindepth", "1", "-delete")

    # --- instances -----------------------------------------------------------------------------------------

    def start(self, name: str, *, initialise: bool = False) -> Action:
        """An empty volume is initialised by the image's own start, so that must not begin."""
        up, ready = self._compose("up", "-d", name), _until(self.client(name, *READY))
        place = self.join(name)
        first: tuple[Command | str, ...] = (up,)
        if self.life(name) is Life.PAUSED:
            first = (self._compose("unpause", name),)

        def do(tell: Tell) -> None:
            if not (initialise or self.has_data(name)):
                raise no_data(name, self.params)
            if self.life(name) is Life.PAUSED:
                self._service(name).unpause()
            elif not (self.running(name) and network.find(self._network)):
                self._up(up, name)
            if not place.done():
                place.do(tell)

        def done() -> bool:
            return self.running(name) and place.done()

        return Action((*first, *place.commands, ready), do, done)

    def _up(self, up: Command, name: str) -> None:
        try:
            self.run(self._as_it_is(up, name))
        except CommandFailed as error:
            raise StepFailed(
                f"{name} did not start.",
                looked_at=error.looked_at[-6:],
                remedy=self._start_remedy(name),
            ) from None

    def reaches(self, name: str, other: str) -> bool:
        host, port = self.upstream(other)
        asked = ("pg_isready", f"--host={host}", f"--port={port}", "--timeout=3", "--quiet")
        return self.run(self.inside(name, *asked), check=False).code in ANSWERED

    def stop(self, name: str) -> Action:
        """Through the SDK: Compose takes half a second to start, in which nobody can write."""
        shown = self._compose("stop", name)
        return Action((shown,), lambda tell: self._shut_down(name), lambda: self.life(name).ended)

    def kill(self, name: str) -> Action:
        shown = self._compose("kill", name)
        return Action((shown,), lambda tell: self._kill(name), lambda: self.life(name).ended)

    @contextmanager
    def small_server(self, megabytes: int) -> Iterator[Address]:
        secret = self.folder / "secrets/superuser"
        anywhere: dict[str, Any] = {"5432/tcp": ("127.0.0.1", None)}
        made = client().containers.run(
            self.image,
            detach=True,
            labels=self.labels,
            tmpfs={self.data_mount: f"size={megabytes}m"},
            environment={"POSTGRES_PASSWORD_FILE": "/run/secrets/superuser"},
            ports=anywhere,
            volumes={str(secret): {"bind": "/run/secrets/superuser", "mode": "ro"}},
        )
        try:
            wait_accepting(str(made.id))
            made.reload()
            port = int(made.attrs["NetworkSettings"]["Ports"]["5432/tcp"][0]["HostPort"])
            yield Address("127.0.0.1", port, "postgres", password(secret))
        finally:
            made.remove(force=True, v=True)

    def tool(self, name: str, program: str, *arguments: str) -> Command:
        options = ("-T", "-e", f"PGOPTIONS={FOR_PROGRAMS}", "-u", "postgres")
        command = self._compose("exec", *options, name, program, *arguments)
        return Command(command.argv, shown=str(self.client(name, program, *arguments)))

    def client(self, name: str, *argv: str, terminal: bool = False) -> Command:
        return self._compose("exec", *(() if terminal else ("-T",)), "-u", "postgres", name, *argv)

    def inside(self, name: str, *argv: str) -> Command:
        options = ("--user=postgres", "--env=PGPASSWORD")
        return self._exec(self._service(name).id, *argv, options=options)

    def address(self, name: str) -> Address:
        secret = password(self.folder / "secrets/superuser")
        return Address("127.0.0.1", self.ports[name], "postgres", secret)

    def rule_network(self) -> IPv4Network:
        return self.params.network

    def configuration_path(self, name: str, file: str) -> str:
        return f"{MOUNTED}/{file}"

    def outside_the_rule(self, name: str) -> tuple[str, int, str]:
        """The container's own address, and one of this host outside the cluster's network."""
        networks = self._service(name).attrs["NetworkSettings"]["Networks"].values()
        addresses = [n["IPAddress"] for n in networks if n["IPAddress"]]
        if not addresses:
            raise LookupError(f"the container of {name} is in no network")
        return addresses[0], 5432, host_address_outside(self.params.network)

    def existing(self) -> list[str]:
        return list(map(str, owner.of_project(self.id)))

    def remove_all(self) -> Action:
        """What carries this project's id, and nothing by its name."""

        def do(tell: Tell) -> None:
            owner.remove(owner.of_project(self.id))

        return Action(
            owner.removal_commands(owner.of_project(self.id)), do, lambda: not self.existing()
        )


def _until(probe: Command) -> str:
    return f"until {probe}; do sleep 1; done"
