"""The `local` engine: PostgreSQL processes of an unprivileged user on 127.0.0.1."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network

from ...doors import ahead, command, files
from ...doors.command import Command
from ...doors.db import Address
from ...errors import StepFailed, WaitTimeout
from ...postgres import tls
from ...postgres.sessions import FOR_PROGRAMS
from ...words.quoted import LOG, quoted
from ...words.text import joined, t
from .. import ports as host_ports
from .. import processes
from ..action import Action, Tell, leaving
from ..life import Life, wait_stopped
from ..secret import as_superuser
from . import binaries, packages
from .folders import Folders
from .programs import HOST, NO_CERTIFICATE

# That pg_ctl waits; a server that recovers longer is waited for by who started it.
START_SECONDS = 60


class LocalEngine(Folders):
    """Instances as processes: `data/NAME` and `logs/NAME.log` of the cluster's folder."""

    name = "local"

    def facts(self) -> dict[str, str]:
        found, user = self.binaries, self.user or processes.user_name(os.getuid())
        return {
            "engine": "local",
            "postgres": found.version(),
            "origin": found.origin,
            "checksum": found.checksum(),
            "server user": user,
        }

    def fetch(self) -> Action:
        major = self.params.pg_version
        path = shlex.quote(binaries.search_path(major))
        passfile = shlex.quote(str(self.folder / "secrets/pgpass"))

        def done() -> bool:
            return binaries.find(major) is not None

        shown = f'export PATH={path}:"$PATH" PGPASSFILE={passfile}'
        if self.params.tls != tls.OFF:
            shown += f" PGSSLCERT={shlex.quote(str(self.folder / NO_CERTIFICATE))}"
        return Action((shown,), partial(packages.fetch, major), done)

    def prepare(self) -> None:
        owner = self._owner()
        for name, mode in (("data", 0o711), ("logs", 0o755), ("secrets", 0o700)):
            files.make_folder(self.folder / name, mode, owner)
        for secret in (self.folder / "secrets").iterdir():
            if owner and secret.stat().st_uid != owner[0]:
                os.chown(secret, *owner)

    def preparation(self) -> tuple[str, ...]:
        return (
            f"mkdir -p {' '.join(self.ports)} logs",
            "mkdir -p -m 711 data",
            "mkdir -p -m 700 secrets",
            *self.hand_over("data", "logs", "secrets"),
        )

    def hand_over(self, *folders: str) -> tuple[str, ...]:
        return (f"chown -R {self.user} {' '.join(folders)}",) if self.user else ()

    def shut_out(self) -> str:
        parent = next(p for p in [self.folder, *self.folder.parents] if p.exists())
        if self.user and not binaries.enterable_by_all(parent):
            return t(
                "PostgreSQL does not run as root, and the user {user} may not enter {folder}",
                user=self.user,
                folder=parent,
            )
        return ""

    def refuse_settings(self, settings: Mapping[str, str]) -> list[str]:
        return self._complaints(settings, partial(self._tool, "postgres"))

    # --- instances ----------------------------------------------------------------------------

    def start(self, name: str, *, initialise: bool = False) -> Action:
        data, part = self._data(name), f"{self._data(name)}.new"
        where = (f"--pgdata={data}", f"--log=logs/{name}.log", "--wait")
        options = (f"--timeout={START_SECONDS}", f"--options={self._server_options(name)}")
        up = ahead.leaves(name, life=Life.RUNNING, data=True)
        start = leaving(self._tool("pg_ctl", *where, *options, "start"), up)
        make: list[Command] = []
        if initialise:
            first = (self._initdb(part), self._tool("mv", part, data))
            make = [replace(each, unless=data) for each in first]

        def do(tell: Tell) -> None:
            if self.life(name) in (Life.PAUSED, Life.RUNNING):
                processes.go_on(self.folder / data)
                return
            if not self.has_data(name):
                if not initialise:
                    raise self._no_data(name)
                files.remove_below(self.folder, part)
                for each in make:
                    self.run(each)
            self._start(start, name)

        return Action((*make, start), do, partial(self._goes_on, name))

    def _goes_on(self, name: str) -> bool:
        return self.running(name) and not self.frozen(name)

    def _start(self, start: Command, name: str) -> None:
        processes.forget_dead(self.folder / self._data(name))
        if self.run(start, check=False).code and not self.running(name):
            raise StepFailed(
                t("{name} did not start.", name=name),
                looked_at=[quoted(LOG, "\n".join(self.log_tail(name).splitlines()[-8:]))],
                remedy=self._start_remedy(name),
            )

    def stop(self, name: str) -> Action:
        data = self.folder / self._data(name)
        how = ("pg_ctl", f"--pgdata={self._data(name)}", "--mode=fast")
        shown = command.shell_text((*how, "--wait", "stop"))
        down = ahead.leaves(name, life=Life.STOPPED)
        stop = replace(self._tool(*how, "--no-wait", "stop"), shown=shown, leaves=down)

        def do(tell: Tell) -> None:
            if self.life(name) is Life.ORPHANED:
                processes.kill(data, name)
                return
            if self.life(name) is Life.PAUSED:
                processes.go_on(data)
            self.run(stop, check=False)
            wait_stopped(name, self.life, self.activity, self.log_tail)

        return Action((stop,), do, partial(self._ended, name))

    def kill(self, name: str) -> Action:
        data = self._data(name)
        shown = f"P=$(head -n 1 {data}/postmaster.pid); kill -KILL $P $(pgrep -P $P)"
        kill = leaving(shown, ahead.leaves(name, life=Life.STOPPED))

        def do(tell: Tell) -> None:
            processes.kill(self.folder / data, name)

        return Action((kill,), do, partial(self._ended, name))

    @contextmanager
    def small_server(self, megabytes: int) -> Iterator[Address]:
        data = self.folder / self._data("small")
        port = host_ports.pick(1, 0, set(self.ports.values()))[0]
        with processes.small_file_system(data, megabytes, self._owner()):
            self.run(self._initdb("data/small/pgdata"))
            options = f"-c port={port} -c listen_addresses={HOST} -c unix_socket_directories=''"
            control = ("--pgdata=data/small/pgdata", "--log=logs/small.log", "--wait")
            self.run(self._tool("pg_ctl", *control, f"--options={options}", "start"))
            try:
                yield as_superuser(self.folder, port)
            finally:
                self.run(self._tool("pg_ctl", *control, "--mode=immediate", "stop"), check=False)

    def tool(self, name: str, program: str, *arguments: str) -> Command:
        folders = (self.binaries.server, self.binaries.client)
        if program not in binaries.CLIENT and not any((f / program).exists() for f in folders):
            packages.copy_wheel_clients()
        client = self.client(name, program, *arguments)
        return replace(client, env={**client.env, "PGOPTIONS": FOR_PROGRAMS})

    def inside(self, name: str, *argv: str) -> Command:
        return self.client(name, *argv)

    def rule_network(self) -> IPv4Network:
        return IPv4Network(f"{HOST}/32")

    def configuration_path(self, name: str, file: str) -> str:
        return str(self.folder / name / file)

    def outside_the_rule(self, name: str) -> tuple[str, int, str]:
        return HOST, self.ports[name], "127.0.0.2"

    def strangers(self, *, temporaries: bool = False) -> list[str]:
        return []  # all that it makes lies in the project's folder

    def find_id(self) -> str:
        return ""

    def existing(self) -> list[str]:
        found = sorted(p.name for p in (self.folder / "data").glob("*"))
        return [joined("", [f"data/{n} (", self.life(n).told, ")"]) for n in found]

    def remove_all(self) -> Action:
        instances = [n for n in self.ports if not self.life(n).ended]
        stops = [self.stop(n) for n in instances]

        def do(tell: Tell) -> None:
            for name in instances:
                self._end(name, tell)
            processes.take_away(self.folder / self._data("small"))
            files.remove_below(self.folder, "data")
            files.remove_below(self.folder, "logs")

        def done() -> bool:
            return not self.existing()

        return Action((*(c for s in stops for c in s.commands), "rm -r data logs"), do, done)

    # --- pieces -------------------------------------------------------------------------------

    def _ended(self, name: str) -> bool:
        return self.life(name).ended

    def _end(self, name: str, tell: Tell) -> None:
        """Also where it does not end, as with an archiver that hangs: its data go anyway."""
        try:
            self.stop(name).do(tell)
        except WaitTimeout:
            self.kill(name).do(tell)

    def _server_options(self, name: str) -> str:
        options = {
            "config_file": self.configuration_path(name, "postgresql.conf"),
            "hba_file": self.configuration_path(name, "pg_hba.conf"),
            "port": str(self.ports[name]),
            "listen_addresses": HOST,
            "unix_socket_directories": "",  # no path too long, no way in without a password
        }
        return " ".join(f"-c {shlex.quote(f'{k}={v}')}" for k, v in options.items())

    def _start_remedy(self, name: str) -> str:
        if taken := host_ports.held(self.ports[name]):
            return taken
        log = self.folder / "logs" / f"{name}.log"
        return t("the log is {path}; correct the cause and run again", path=log)
