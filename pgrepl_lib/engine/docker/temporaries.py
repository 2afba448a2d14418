"""Temporary containers, in which configuration files and base backups are made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from docker.errors import APIError

from ...doors import ahead, files
from ...doors.command import Command
from ...doors.wait import wait_until
from ...errors import StepFailed
from ...postgres import tls
from ...words.text import joined, t
from ..action import (
    PASSFILE,
    PRIMARY,
    TEMPORARY_PRIMARY,
    Action,
    Tell,
    leaving,
    temporary_of,
)
from ..life import Life
from ..secret import files_of
from . import owner
from .containers import Containers
from .contents import read_file
from .host import client, find_container, life_of, remove_container, wait_accepting

PASSWORD = "/run/secrets/superuser"  # where the image reads it
GOES_ON = "grep -qsx pg_basebackup /proc/[0-9]*/comm"
# Not the socket: the image's first start listens there for itself.
READY = ("pg_isready", "--host=127.0.0.1", "--quiet")


class Temporaries(Containers):
    """The document's `pg_temp` and `repl_temp`."""

    def start_temporary(self) -> Action:
        """Without the document's `--rm`, which takes the last words of one that ends at once."""
        name = self._temporary(TEMPORARY_PRIMARY)
        shown = (
            f"docker container run --name {name} -d --env POSTGRES_PASSWORD_FILE={PASSWORD} "
            f'--volume "$PWD/secrets/superuser:{PASSWORD}:ro" {self.params.image}'
        )

        def do(tell: Tell) -> None:
            tell("…")
            self._remove_container(name)
            container = self._run_alone(name=name)
            wait_accepting(str(container.id))

        return Action((shown, until(self._exec(name, *READY))), do)

    def start_temporary_replica(self, name: str) -> Action:
        temporary = self._temporary(temporary_of(name))
        options = ("--rm", "-d", "-u", "postgres", "--name", temporary)
        start = self._compose("run", *options, name, "bash")

        def do(tell: Tell) -> None:
            self._remove_container(temporary)
            self.run(start)

        def done() -> bool:
            return life_of(find_container(temporary)) is Life.RUNNING

        return Action((start,), do, done)

    def copy_out(self, temporary: str, file: str, target: Path) -> Action:
        name, source = self._temporary(temporary), f"{self.pgdata}/{file}"

        place = target.relative_to(self.folder).parent

        def do(tell: Tell) -> None:
            text = read_file(client().containers.get(name), source).decode()
            files.write_atomic(target, text, 0o600)

        return Action((f"docker container cp {name}:{source} {place}/",), do)

    def remove_temporary(self, temporary: str, keep_for: str = "") -> Action:
        name = self._temporary(temporary)

        def do(tell: Tell) -> None:
            self._remove_container(name)

        def done() -> bool:
            return find_container(name) is None

        remove = f"docker container rm -f {name}"
        return Action((leaving(remove, ahead.leaves(keep_for, data=True)),), do, done)

    def base_backup(
        self, name: str, source: str, arguments: tuple[str, ...], target: str = ""
    ) -> tuple[Command, ...]:
        """The target must be empty for the backup, so the password file goes to /tmp first."""
        temporary, (host, port) = self._temporary(temporary_of(name)), self.upstream(source)
        where = (f"--host={host}", f"--port={port}", *self._encrypted("/tmp/{}".format))
        words = ("pg_basebackup", "--pgdata", target or self.pgdata, *arguments, *where)
        before: list[Command] = []
        options: tuple[str, ...] = ()
        if self.params.auth_method != "trust":
            options = ("--env", f"PGPASSFILE=/tmp/{PASSFILE}")
            before.append(self._bring(temporary, PASSFILE, f"/tmp/{PASSFILE}"))
        if self.params.tls != tls.OFF:
            sources = files_of(name).items()
            before += [self._bring(temporary, source, f"/tmp/{f}") for f, source in sources]
        return *before, self._exec(temporary, *words, options=options)

    def _bring(self, temporary: str, source: str, path: str) -> Command:
        """A file of `secrets/` into a temporary container."""
        into = ("sh", "-c", f"umask 077; cat > {path}")
        return replace(
            self._exec(temporary, *into, options=("-i",)), stdin=Path("secrets") / source
        )

    def backup_complete(self, name: str) -> bool:
        return self._in_temporary(name, "test", "-e", f"{self.pgdata}/backup_manifest")

    def discard_backup(self, name: str) -> None:
        """Where its runner was killed, the earlier one may still write beside the new one.

        It is looked for inside: a rootless engine may have no cgroups to tell processes by.
        """
        if self._in_temporary(name, "sh", "-c", GOES_ON):
            find_container(self._temporary(temporary_of(name))).restart(timeout=0)
        self._in_temporary(name, "find", self.data_mount, "-mindepth", "1", "-delete")

    # --- pieces -------------------------------------------------------------------------------

    def strangers(self, *, temporaries: bool = False) -> list[str]:
        project = self.params.project
        services = [f"{project}{s}{n}{s}1" for n in self.ports for s in "_-"]  # Compose 1 and 2
        needed = [f"{project}_cluster", *(f"{project}_{n}" for n in self.ports), *services]
        if temporaries:
            copies = (temporary_of(name) for name in self.ports if name != PRIMARY)
            needed += map(self._temporary, (TEMPORARY_PRIMARY, *copies))
        found = owner.strangers(project, self.id, needed)
        return [joined(", ", [str(each), each.whose()]) for each in found]

    def _temporary(self, name: str) -> str:
        """A container's name is the engine's: the document's is for the default project alone."""
        return name if self.params.project == "pgrepl" else f"{self.params.project}_{name}"

    def _in_temporary(self, name: str, *argv: str) -> bool:
        """Through the SDK: the command would take longer to start than to ask."""
        found = find_container(self._temporary(temporary_of(name)))
        try:
            return bool(found) and found.exec_run(list(argv)).exit_code == 0
        except APIError:  # it does not run
            return False

    def _remove_container(self, name: str) -> None:
        if not (found := find_container(name)):
            return
        if not self._mine_is(found):
            image = found.attrs["Config"]["Image"]
            raise StepFailed(
                t("A container named {name} exists that this project did not make.", name=name),
                looked_at=[t("image {image}, {status}", image=image, status=found.status)],
                remedy=t("use another project name (--project), or ask whose it is to rename it"),
            )
        remove_container(found.id)

        def gone() -> tuple[bool, str]:
            return find_container(name) is None, t("still there")

        wait_until(t("the removal of {name}", name=name), gone, seconds=20)

    def _run_alone(self, **options: Any) -> Any:
        """A container of the image, with a server that has the superuser's password."""
        secret = str(self.folder / "secrets/superuser")
        return client().containers.run(
            self.image,
            detach=True,
            labels=self.labels,
            environment={"POSTGRES_PASSWORD_FILE": PASSWORD},
            volumes={secret: {"bind": PASSWORD, "mode": "ro"}},
            **options,
        )

    def _mine_is(self, container: Any) -> bool:
        """A name is the engine's, so a container of somebody else may have ours."""
        return bool(self.id) and container.labels.get(owner.ID) == self.id


def until(probe: Command) -> str:
    """What a person would type to wait for it."""
    return f"until {probe}; do sleep 1; done"
