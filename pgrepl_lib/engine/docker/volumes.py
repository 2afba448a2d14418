"""The data of instances that are containers: what is read, written and removed in their volumes."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound

from ...doors import ahead
from ...doors.command import Command, into_file
from ...postgres import tls
from ..action import (
    ONE_OWNER,
    REWINDER_PASSFILE,
    SIGNAL,
    Action,
    Tell,
    leaving,
    rewind_words,
    temporary_of,
)
from . import owner
from .contents import read_file, write_file
from .host import client
from .temporaries import Temporaries

LOOK_SECONDS = 60  # in which a look into a volume has ended, or never will
COPY = "pgrepl.copy"  # beside an instance's data, inside its volume
WITH_PASSWORD = 'umask 077; cat > /tmp/pgpass; PGPASSFILE=/tmp/pgpass "$@"'
# Each part of it can be done again: the old data go aside, the copy takes their place, they go.
EXCHANGE = f"""set -e
if [ -d {COPY} ]; then
    mkdir -p pgrepl.before
    [ ! -e PG_VERSION ] || mv PG_VERSION pgrepl.before/
    find . -mindepth 1 -maxdepth 1 ! -name 'pgrepl.*' -exec mv {{}} pgrepl.before/ \\;
    mv {COPY} pgrepl.next
fi
if [ -d pgrepl.next ]; then
    find pgrepl.next -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv {{}} . \\;
    [ ! -e pgrepl.next/PG_VERSION ] || mv pgrepl.next/PG_VERSION .
    rmdir pgrepl.next
fi
rm -rf pgrepl.before"""


class Volumes(Temporaries):
    """What is done to an instance's data while it does not run."""

    def has_data(self, name: str) -> bool:
        return ahead.fact("data", name, partial(self._has_data, name))

    def _has_data(self, name: str) -> bool:
        if not self._volume(name):
            return False
        control = f"{self.pgdata}/global/pg_control"
        return not self.life(name).ended or self._in_volume(name, control)

    def forbid_writes(self, name: str) -> Action:
        """A file into the data of a container that does not run, with the owner of the data."""
        path = f"{self.pgdata}/{SIGNAL}"

        def do(tell: Tell) -> None:
            with self._looking_glass(name) as container:
                write_file(container, path, "", like=f"{self.pgdata}/PG_VERSION")

        def done() -> bool:
            return not self.has_data(name) or self._in_volume(name, path)

        touch = leaving(self._alone(name, "touch", path), ahead.leaves(name, recovers=True))
        return Action((touch,), do, done)

    def allow_writes(self, name: str) -> Action:
        path = f"{self.pgdata}/{SIGNAL}"

        def done() -> bool:
            return not self._in_volume(name, path)

        return self._by(self._alone(name, "rm", "-f", path), done)

    def discard_data(self, name: str) -> Action:
        volume = f"{self.params.project}_{name}"
        commands = (self._compose("rm", "--force", "--stop", name), f"docker volume rm {volume}")

        def do(tell: Tell) -> None:
            using: dict[str, Any] = {"filters": {"volume": volume}, "ignore_removed": True}
            for each in client().containers.list(all=True, **using):
                if self._mine_is(each):  # also one that an interrupted step has left
                    self._remove_container(str(each.id))
            if found := self._volume(name):
                found.remove()

        def done() -> bool:
            return not self._volume(name)

        return Action(commands, do, done)

    def sweep(self) -> None:
        """Remove what a killed process has made to look into a volume, and never started."""
        for each in self._containers():
            helper = owner.COMPOSE_PROJECT not in each.labels
            if helper and each.status == "created" and _age(each) > LOOK_SECONDS:
                each.remove(v=True)

    # --- its image ----------------------------------------------------------------------------

    def other_image(self, name: str) -> str:
        container = self._service(name)
        with suppress(ImageNotFound):
            meant = client().images.get(self.params.image).id
            if container and container.attrs["Image"] != meant:
                return str(container.attrs["Image"])
        return ""

    def renew(self, name: str) -> Action:
        """A container of the image that is meant now; its data stay in their volume."""
        up = self._compose("up", "-d", name)

        def do(tell: Tell) -> None:
            self._shut_down(name, tell)
            self.run(up)

        def done() -> bool:
            return not self.other_image(name)

        return Action((up,), do, done)

    def _as_it_is(self, up: Command, name: str) -> Command:
        """Compose would make another container where the image's name means another one now."""
        if not self.other_image(name):
            return up
        return replace(up, argv=(*up.argv[:-1], "--no-recreate", name))

    # --- a copy beside the data ---------------------------------------------------------------

    def copy_beside(self, name: str, source: str, arguments: tuple[str, ...]) -> Action:
        temporary, copy = self._temporary(temporary_of(name)), f"{self.pgdata}/{COPY}"
        start = self.start_temporary_replica(name)
        one_owner = self._exec(temporary, *ONE_OWNER, f"{copy}/postgresql.auto.conf")
        backup = (*self.base_backup(name, source, arguments, copy), one_owner)
        end = self.remove_temporary(temporary_of(name))

        def do(tell: Tell) -> None:
            self.discard_copy(name)
            start.do(tell)
            try:
                for each in backup:
                    self.run(each, tell, source=source)
            finally:
                end.do(tell)

        return Action((*start.commands, *backup, *end.commands), do)

    def discard_copy(self, name: str) -> None:
        self._remove_container(self._temporary(temporary_of(name)))
        self.run(self._alone(name, "rm", "-rf", f"{self.pgdata}/{COPY}"))

    def exchange(self, name: str) -> Action:
        """Inside the volume, where it costs nothing; without `PG_VERSION`, nothing starts there."""
        return self._by(self._alone(name, "sh", "-c", f"cd {self.pgdata}\n{EXCHANGE}"))

    def archive(self, name: str, target: Path) -> Command:
        return into_file(self._alone(name, "tar", "-cv", "-C", self.pgdata, ".").argv, target)

    def free_space(self, name: str) -> int:
        answer = self.run(self._alone(name, "df", "-Pk", self.pgdata)).out
        return int(answer.splitlines()[-1].split()[3]) * 1024

    # --- its data -----------------------------------------------------------------------------

    def on_data(self, name: str, *argv: str) -> Command:
        return self._alone(name, *argv[:-1], f"{self.pgdata}/{argv[-1]}")

    def control_file(self, name: str) -> bytes:
        with self._looking_glass(name) as container:
            return read_file(container, f"{self.pgdata}/global/pg_control")

    def rewind(self, name: str, source: str) -> tuple[Command, ...]:
        found = self.run(self._alone(name, "pg_rewind", "--version"), check=False)
        if found.code or not re.search(rf"\b{self.params.pg_version}\.", found.out):
            return ()
        more = tls.conninfo_words(self.params, partial(self.protected, name))
        words = rewind_words(self.pgdata, *self.upstream(source), more)
        passed = self._alone(name, "sh", "-c", WITH_PASSWORD, "-", *words)
        rewind = replace(passed, stdin=Path("secrets") / REWINDER_PASSFILE)
        return rewind, self.forget_recovery_settings(name, temporary=False)

    def forget_recovery_settings(self, name: str, *, temporary: bool = True) -> Command:
        words = (*ONE_OWNER, f"{self.pgdata}/postgresql.auto.conf")
        if temporary:
            return self._exec(self._temporary(temporary_of(name)), *words)
        return self._alone(name, *words)


def _age(container: Any) -> float:
    """Seconds since a container was made, by this machine's clock."""
    made = datetime.fromisoformat(container.attrs["Created"][:19]).replace(tzinfo=UTC)
    return (datetime.now(UTC) - made).total_seconds()
