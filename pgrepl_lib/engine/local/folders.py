"""The data of instances that are processes: what is read, written and removed in their folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...doors import ahead, files, show
from ...doors.command import Command, into_file
from ...errors import StepFailed
from ...postgres import tls
from ...words.text import t
from .. import processes
from ..action import (
    NOTHING,
    ONE_OWNER,
    REWINDER_PASSFILE,
    SIGNAL,
    TEMPORARY_PRIMARY,
    Action,
    Tell,
    leaving,
    rewind_words,
    temporary_of,
)
from ..secret import content, secret_of
from .programs import HOST, Programs


class Folders(Programs):
    """What is done to an instance's data while it does not run."""

    def has_data(self, name: str) -> bool:
        control = self.folder / self._data(name) / "global/pg_control"
        return ahead.fact("data", name, control.exists)

    def forbid_writes(self, name: str) -> Action:
        target = f"{self._data(name)}/{SIGNAL}"

        def done() -> bool:
            return (self.folder / target).exists() or not self.has_data(name)

        recovers = ahead.leaves(name, recovers=True)
        return self._by(leaving(self._tool("touch", target), recovers), done)

    def allow_writes(self, name: str) -> Action:
        return self._without(f"{self._data(name)}/{SIGNAL}", "rm")

    def discard_data(self, name: str) -> Action:
        return self._without(self._data(name), "rm -r")

    def _without(self, target: str, typed: str) -> Action:
        """Remove a file or folder of the cluster's."""

        def do(tell: Tell) -> None:
            files.remove_below(self.folder, target)

        def done() -> bool:
            return not (self.folder / target).exists()

        return Action((f"{typed} {target}",), do, done)

    def other_image(self, name: str) -> str:
        return ""

    def renew(self, name: str) -> Action:
        return NOTHING

    # --- temporary instances -----------------------------------------------------------------

    def start_temporary(self) -> Action:
        target = self._data(TEMPORARY_PRIMARY)

        def do(tell: Tell) -> None:
            tell("…")
            files.remove_below(self.folder, target)
            self.run(self._initdb(target))

        return Action((self._initdb(target),), do)

    def start_temporary_replica(self, name: str) -> Action:
        target = self._data(temporary_of(name))
        return self._by(self._tool("mkdir", "-m", "700", target), (self.folder / target).exists)

    def copy_out(self, temporary: str, file: str, target: Path) -> Action:
        source = self.folder / self._data(temporary) / file
        shown = f"cp {self._data(temporary)}/{file} {target.relative_to(self.folder).parent}/"

        def do(tell: Tell) -> None:
            files.write_atomic(target, source.read_text("utf-8"), 0o600)

        return Action((shown,), do)

    def remove_temporary(self, temporary: str, keep_for: str = "") -> Action:
        source, target = self._data(temporary), self._data(keep_for)
        if not keep_for:
            return self._without(source, "rm -r")

        def do(tell: Tell) -> None:
            there = self.folder / target
            holds = there.exists() and any(there.iterdir())
            if holds and not (there / "backup_manifest").exists():  # no earlier backup
                cause = t("{path} exists already.", path=target)
                raise StepFailed(cause, remedy=t("move it away, then run again"))
            self._put(source, target)

        def done() -> bool:
            return not (self.folder / source).exists()

        kept = ahead.leaves(keep_for, data=True)
        return Action((leaving(self._tool("mv", source, target), kept),), do, done)

    def base_backup(
        self, name: str, source: str, arguments: tuple[str, ...], target: str = ""
    ) -> tuple[Command, ...]:
        host, port = self.upstream(source)
        where = ("--pgdata", target or self._data(temporary_of(name)))
        source_at = (f"--host={host}", f"--port={port}", *self._encrypted(secret_of(name)))
        return (self._tool("pg_basebackup", *where, *arguments, *source_at),)

    def backup_complete(self, name: str) -> bool:
        return (self.folder / self._data(temporary_of(name)) / "backup_manifest").exists()

    def discard_backup(self, name: str) -> None:
        target = self._data(temporary_of(name))
        processes.end_orphans(self.folder)
        files.remove_below(self.folder, target)
        self.run(self._tool("mkdir", "-m", "700", target))

    # --- a copy beside the data ---------------------------------------------------------------

    def copy_beside(self, name: str, source: str, arguments: tuple[str, ...]) -> Action:
        copy = f"{self._data(name)}.copy"
        (backup,) = self.base_backup(name, source, arguments, copy)
        one_owner = self._tool(*ONE_OWNER, f"{copy}/postgresql.auto.conf")

        def do(tell: Tell) -> None:
            self.discard_copy(name)
            self.run(backup, tell, source=source)
            self.run(one_owner)
            for link in files.links(self.folder, [f"{self._data(name)}/pg_wal"]):
                show.notice(t("{link}: what is there stays, the copy has its own", link=link))

        return Action((backup, one_owner), do)

    def discard_copy(self, name: str) -> None:
        processes.end_orphans(self.folder)
        files.remove_below(self.folder, f"{self._data(name)}.copy")

    def exchange(self, name: str) -> Action:
        data = self._data(name)
        moves = self._tool("mv", data, f"{data}.before"), self._tool("mv", f"{data}.copy", data)

        def do(tell: Tell) -> None:
            self._put(f"{data}.copy", data)

        return Action((*moves, f"rm -r {data}.before"), do)

    def _put(self, source: str, target: str) -> None:
        """A folder takes another one's place, which goes once it is there; can be done again."""
        before = f"{target}.before"
        if (self.folder / source).exists():
            if (self.folder / target).exists():
                files.remove_below(self.folder, before)
                self.run(self._tool("mv", target, before))
            self.run(self._tool("mv", source, target))
        files.remove_below(self.folder, before)

    def archive(self, name: str, target: Path) -> Command:
        place = self.folder / self._data(name)
        follow = "-chv"  # pg_wal may be a link
        return into_file(("tar", follow, f"--directory={place}", "."), target)

    def free_space(self, name: str) -> int:
        seen = os.statvfs(self.folder / "data")
        return seen.f_bavail * seen.f_frsize

    # --- its data -----------------------------------------------------------------------------

    def on_data(self, name: str, *argv: str) -> Command:
        return self._tool(*argv[:-1], f"{self._data(name)}/{argv[-1]}")

    def control_file(self, name: str) -> bytes:
        return (self.folder / self._data(name) / "global/pg_control").read_bytes()

    def rewind(self, name: str, source: str) -> tuple[Command, ...]:
        if not (self.binaries.server / "pg_rewind").exists():
            return ()
        more = tls.conninfo_words(self.params, secret_of(name))
        made = self._tool(*rewind_words(self._data(name), *self.upstream(source), more))
        passfile = f"secrets/{REWINDER_PASSFILE}"
        env = {**made.env, "PGPASSFILE": str(self.folder / passfile)}
        rewind = replace(made, env=env, shown=f"env PGPASSFILE={passfile} {made.shown}")
        return rewind, self.forget_recovery_settings(name, temporary=False)

    def forget_recovery_settings(self, name: str, *, temporary: bool = True) -> Command:
        data = self._data(temporary_of(name) if temporary else name)
        return self._tool(*ONE_OWNER, f"{data}/postgresql.auto.conf")

    def protected(self, name: str, file: str) -> str:
        return str(self.folder / self._data(name) / file)

    def give(self, name: str, given: Mapping[str, str]) -> Action:
        return Action.sequence([self._give(name, *each) for each in given.items()])

    def _give(self, name: str, file: str, source: str) -> Action:
        target, place = Path(self.protected(name, file)), f"{self._data(name)}/"  # a folder
        if file != source:
            place += file
        copy = self._tool("install", "-m", "600", f"secrets/{source}", place)

        def done() -> bool:
            wanted = content(self.folder / "secrets" / source).encode()
            if not target.is_file() or target.read_bytes() != wanted:
                return False
            seen = target.stat()  # libpq ignores one that others may read
            return seen.st_mode & 0o777 == 0o600 and seen.st_uid == target.parent.stat().st_uid

        return self._by(copy, done)

    def join(self, name: str) -> Action:
        return NOTHING

    def reaches(self, name: str, other: str) -> bool:
        return True  # all are on this machine's own address

    def upstream(self, name: str) -> tuple[str, int]:
        return HOST, self.ports.get(name, 0)  # 0: it is not there yet
