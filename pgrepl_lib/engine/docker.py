"""The `docker` engine: the official image, containers through the Docker SDK, services through Compose."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from functools import cached_property
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from docker.errors import DockerException, ImageNotFound, NotFound

from .. import command, files
from ..command import Command, Completed
from ..db import Address
from ..errors import CommandFailed, EnvironmentLacking, StepFailed
from ..params import Params
from ..redact import register
from ..wait import wait_until
from . import PRIMARY, TEMPORARY_PRIMARY, TEMPORARY_REPLICA, Action, Tell, first_complaint, settings_probe
from .docker_host import (
    client,
    compose,
    compose_version,
    container_runs,
    find_container,
    host_address_outside,
    image_environment,
    wait_accepting,
)

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yaml"
MOUNTED = "/etc/postgresql"
PASSFILE = "replication.pgpass"
LABEL = "pgrepl.project"


class DockerEngine:
    """Instances as Compose services `primary` and `replica` of the Compose project `project`."""

    name = "docker"

    def __init__(self, params: Params, ports: Mapping[str, int]) -> None:
        self.params, self.ports = params, ports
        self.folder = params.folder
        mount = "/var/lib/postgresql"
        self.pgdata = f"{mount}/{params.pg_version}/docker" if params.pg_version >= 18 else f"{mount}/data"
        self.data_mount = mount if params.pg_version >= 18 else self.pgdata

    def facts(self) -> dict[str, str]:
        image = client().images.get(self.params.image)
        digest = next(iter(image.attrs.get("RepoDigests") or []), image.id)
        environment = image_environment(image.attrs)
        version = f"{' '.join(compose())} {compose_version()}"
        return {"engine": "docker", "docker": client().version()["Version"], "compose": version,
                "image": self.params.image, "digest": str(digest),
                "postgres": environment.get("PG_VERSION", environment.get("PG_MAJOR", "?"))}  # fmt: skip

    def fetch(self) -> Action:
        image = self.params.image

        def do(tell: Tell) -> None:
            reference, _, tag = image.rpartition(":") if ":" in image.rsplit("/", 1)[-1] else (image, "", "latest")
            try:
                for event in client().api.pull(reference, tag=tag, stream=True, decode=True):
                    tell(" ".join(str(event.get(k, "")) for k in ("id", "status", "progress")).strip())
                client().images.get(image)
            except DockerException as error:
                raise EnvironmentLacking(f"The image {image} could not be pulled.", looked_at=[str(error)[:200]],
                                         remedy="check the connection and run again") from None  # fmt: skip

        return Action((f"docker image pull {image}",), do, lambda: self._image_here())

    def prepare(self) -> None:
        values = {
            "COMPOSE_PROJECT_NAME": self.params.project,
            "PGREPL_IMAGE": self.params.image,
            "PGREPL_NETWORK": self.params.network,
            "PGREPL_PGDATA": self.pgdata,
            "PGREPL_DATA_MOUNT": self.data_mount,
            **{f"PGREPL_{n.upper().replace('-', '_')}_PORT": p for n, p in self.ports.items()},
        }
        files.make_folder(self.folder / "secrets", 0o700)
        files.write_atomic(self.folder / ".env", "".join(f"{k}={v}\n" for k, v in values.items()))
        files.write_atomic(self.folder / "docker-compose.yaml", COMPOSE_FILE.read_text("utf-8"))

    def shut_out(self) -> str:
        return ""  # folders are mounted, not entered

    def refuse_settings(self, settings: Mapping[str, str]) -> list[str]:
        complaints = []
        for name, value in settings.items():
            probe = ("docker", "container", "run", "--rm", "--user=postgres", "--entrypoint=postgres", self.params.image)
            done = command.run(Command((*probe, *settings_probe(name, value))), cwd=Path("/"), check=False)
            if done.code:
                complaints.append(first_complaint(done.err))
        return complaints

    # --- temporary instances -------------------------------------------------------------------------------

    def start_temporary(self) -> Action:
        """Without the document's `--rm`: a container that ends at once would take its last words with it."""
        name, secret = self._temporary(TEMPORARY_PRIMARY), self.folder / "secrets/superuser"
        shown = (f"docker container run --name {name} -d --env POSTGRES_PASSWORD_FILE=/run/secrets/superuser "
                 f"--volume ./secrets/superuser:/run/secrets/superuser:ro {self.params.image}")  # fmt: skip
        ready = f"until docker container exec {name} pg_isready --host=127.0.0.1 --quiet; do sleep 1; done"

        def do(tell: Tell) -> None:
            tell("…")
            self._remove_container(name)
            container = client().containers.run(
                self.params.image, name=name, detach=True, labels={LABEL: self.params.project},
                environment={"POSTGRES_PASSWORD_FILE": "/run/secrets/superuser"},
                volumes={str(secret): {"bind": "/run/secrets/superuser", "mode": "ro"}},
            )  # fmt: skip
            wait_accepting(str(container.id))

        return Action((shown, ready), do)

    def start_temporary_replica(self, name: str) -> Action:
        temporary = self._temporary(TEMPORARY_REPLICA)
        start = self._compose("run", "--rm", "-d", "-u", "postgres", "--name", temporary, name, "bash")

        def do(tell: Tell) -> None:
            self._remove_container(temporary)
            self.run(start)

        return Action((start,), do, lambda: container_runs(temporary))

    def copy_out(self, temporary: str, file: str, target: Path) -> Action:
        name, source = self._temporary(temporary), f"{self.pgdata}/{file}"

        def do(tell: Tell) -> None:
            chunks, _ = client().containers.get(name).get_archive(source)
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                member = archive.extractfile(file)
                assert member, "the engine answers with the file or an error"
                files.write_atomic(target, member.read().decode(), 0o600)

        return Action((f"docker container cp {name}:{source} {target.relative_to(self.folder).parent}/",), do)

    def remove_temporary(self, temporary: str) -> Action:
        name = self._temporary(temporary)
        return Action((f"docker container rm -f {name}",), lambda tell: self._remove_container(name),
                      lambda: find_container(name) is None)  # fmt: skip

    def base_backup(self, name: str, arguments: tuple[str, ...]) -> tuple[Command, ...]:
        """The data folder must be empty for the backup, so the password file goes to /tmp first."""
        temporary, (host, port) = self._temporary(TEMPORARY_REPLICA), self.upstream()
        words = ("pg_basebackup", "--pgdata", self.pgdata, *arguments, f"--host={host}", f"--port={port}")
        if self.params.auth_method == "trust":
            return (self._exec(temporary, *words),)
        write = self._exec(temporary, "sh", "-c", f"umask 077; cat > /tmp/{PASSFILE}", options=("-i",))
        return (Command(write.argv, stdin=Path("secrets") / PASSFILE),
                self._exec(temporary, *words, env={"PGPASSFILE": f"/tmp/{PASSFILE}"}),
                self._exec(temporary, "cp", "-p", f"/tmp/{PASSFILE}", self.pgdata))  # fmt: skip

    def backup_complete(self, name: str) -> bool:
        needed = ["backup_manifest", *([PASSFILE] if self.params.auth_method != "trust" else [])]
        return all(self._in_temporary("test", "-e", f"{self.pgdata}/{n}") for n in needed)

    def discard_backup(self, name: str) -> None:
        self._in_temporary("find", self.data_mount, "-mindepth", "1", "-delete")

    def forget_recovery_settings(self, name: str) -> Command:
        file = f"{self.pgdata}/postgresql.auto.conf"
        return self._exec(self._temporary(TEMPORARY_REPLICA), "sed", "-i.basebackup", "/^primary_/d", file)

    def passfile(self, name: str) -> str:
        return f"{self.pgdata}/{PASSFILE}"

    # --- instances -----------------------------------------------------------------------------------------

    def start(self, name: str) -> Action:
        up = self._compose("up", "-d", name)

        def do(tell: Tell) -> None:
            try:
                self.run(up)
            except CommandFailed as error:
                raise StepFailed(f"{name} did not start.", looked_at=error.looked_at[-6:],
                                 remedy=self._start_remedy(name)) from None  # fmt: skip

        return Action((up,), do, lambda: self.running(name))

    def stop(self, name: str) -> Action:
        stop = self._compose("stop", name)
        return Action((stop,), lambda tell: self.run(stop), lambda: not self.running(name))

    def client(self, name: str, *argv: str, terminal: bool = False) -> Command:
        return self._compose("exec", *(() if terminal else ("-T",)), "-u", "postgres", name, *argv)

    def inside(self, name: str, *argv: str) -> Command:
        return self._exec(self._service(name).id, *argv, options=("--user=postgres",))

    def run(self, each: Command, tell: Tell = lambda line: None, *, check: bool = True) -> Completed:
        return command.run(each, cwd=self.folder, seconds=3600, check=check, on_error_line=tell)

    def has_data(self, name: str) -> bool:
        if not any(v.name == f"{self.params.project}_{name}" for v in self._volumes()):
            return False
        return self.running(name) or self._in_volume(name, f"{self.pgdata}/global/pg_control")

    def running(self, name: str) -> bool:
        found = self._service(name)
        return bool(found and found.status == "running")

    def log_tail(self, name: str) -> str:
        found = self._service(name)
        return found.logs(tail=15).decode(errors="replace") if found else ""

    def address(self, name: str) -> Address:
        secret = register((self.folder / "secrets/superuser").read_text().strip())
        return Address("127.0.0.1", self.ports[name], "postgres", secret)

    def upstream(self) -> tuple[str, int]:
        return PRIMARY, 5432

    def rule_network(self) -> IPv4Network:
        return self.params.network

    def configuration_path(self, name: str, file: str) -> str:
        return f"{MOUNTED}/{file}"

    def outside_the_rule(self) -> tuple[str, int, str]:
        """The container's own address, from an address of this host that lies outside the cluster's network."""
        networks = self._service(PRIMARY).attrs["NetworkSettings"]["Networks"].values()
        address = next(n["IPAddress"] for n in networks if n["IPAddress"])
        return address, 5432, host_address_outside(self.params.network)

    def existing(self) -> list[str]:
        temporaries = [self._temporary(t) for t in (TEMPORARY_PRIMARY, TEMPORARY_REPLICA)]
        containers = {c.name: c for c in self._containers()}
        containers |= {t: c for t in temporaries if (c := find_container(t)) and self._mine_is(c)}
        return [*(f"container {n} ({c.status})" for n, c in sorted(containers.items())),
                *sorted(f"volume {v.name}" for v in self._volumes()),
                *sorted(f"network {n.name}" for n in client().networks.list(filters=self._mine()))]  # fmt: skip

    def remove_all(self) -> Action:
        down = self._compose("down", "--volumes", "--remove-orphans")
        temporaries = [self._temporary(t) for t in (TEMPORARY_PRIMARY, TEMPORARY_REPLICA)]

        def do(tell: Tell) -> None:
            for name in temporaries:
                if (found := find_container(name)) and self._mine_is(found):
                    self._remove_container(name)
            self.run(down)

        return Action((f"docker container rm -f {' '.join(temporaries)}", down), do, lambda: not self.existing())

    # --- pieces --------------------------------------------------------------------------------------------

    @cached_property
    def _labels(self) -> str:
        return f"com.docker.compose.project={self.params.project}"

    def _mine(self) -> dict[str, Any]:
        return {"label": [self._labels]}

    def _containers(self) -> list[Any]:
        return client().containers.list(all=True, filters=self._mine(), ignore_removed=True)

    def _volumes(self) -> list[Any]:
        return client().volumes.list(filters=self._mine())

    def _service(self, name: str) -> Any:
        wanted = {"com.docker.compose.service": name, "com.docker.compose.oneoff": "False"}
        return next((c for c in self._containers() if wanted.items() <= c.labels.items()), None)

    def _temporary(self, name: str) -> str:
        """Container names are the engine's, so a second project needs its own: the default keeps the document's."""
        return name if self.params.project == "pgrepl" else f"{self.params.project}_{name}"

    def _compose(self, *arguments: str) -> Command:
        return Command((*compose(), *arguments))

    def _exec(self, container: str, *argv: str, env: Mapping[str, str] | None = None, options: tuple[str, ...] = ()) -> Command:
        variables = (a for k, v in (env or {}).items() for a in ("--env", f"{k}={v}"))
        return Command(("docker", "container", "exec", *options, *variables, container, *argv))

    def _in_temporary(self, *argv: str) -> bool:
        return self.run(self._exec(self._temporary(TEMPORARY_REPLICA), *argv), check=False).code == 0

    def _in_volume(self, name: str, path: str) -> bool:
        """Whether a file exists in an instance's volume, looked at through a container that is never started."""
        mount = {f"{self.params.project}_{name}": {"bind": self.data_mount, "mode": "ro"}}
        looking_glass = client().containers.create(self.params.image, volumes=mount, labels={LABEL: self.params.project})
        try:
            looking_glass.get_archive(path)
            return True
        except NotFound:
            return False
        finally:
            looking_glass.remove(v=True)

    def _image_here(self) -> bool:
        try:
            return bool(client().images.get(self.params.image))
        except ImageNotFound:
            return False

    def _remove_container(self, name: str) -> None:
        if found := find_container(name):
            if not self._mine_is(found):
                raise StepFailed(f"A container named {name} exists that this project did not make.",
                                 looked_at=[f"image {found.attrs['Config']['Image']}, {found.status}"],
                                 remedy=f"rename or remove it (docker container rm -f {name}), then run again")  # fmt: skip
            found.remove(force=True, v=True)
            wait_until(f"the removal of {name}", lambda: (find_container(name) is None, "still there"), seconds=20)

    def _mine_is(self, container: Any) -> bool:
        """A name is the engine's, so a container of somebody else may have ours."""
        return self.params.project in (container.labels.get(LABEL), container.labels.get("com.docker.compose.project"))

    def _start_remedy(self, name: str) -> str:
        from ..ports import holder

        if (who := holder(self.ports[name])) and not self.running(name):
            return f"port {self.ports[name]} is held by {who}: stop it, or choose another with the parameter port"
        return "correct the cause named above and run again"
